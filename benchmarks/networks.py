"""Whole networks on one core: CPU time against other implementations, and their share of the arithmetic limit.

    python benchmarks/networks.py                          # all networks; some minutes
    python benchmarks/networks.py bossnet_t0 --operators   # one network, and its time by operator

``exact`` is our plain network. ``fast`` is its form for inference: norms are inside convolutions, and the memory format
is ``channels_last`` where that gains. Opponents take part if they are installed, with the same weights and in
``channels_last``: timm's NASNet-Large, and Cadene's ``pretrainedmodels``. No package has DiNAT or BossNet for a CPU.
The last maps must be equal to 1e-4 of their largest value. Cadene's are, timm's are not. Then all candidates run in
turns in one process on one thread. Times are CPU time, medians of the rounds. The share of the limit is the number of
operations of products and convolutions, divided by the time, relative to a plain matrix product in the same turns.

Measured on 2026-11-30 at 91f6ce8 (two cores of an x86-64 CPU, one of them idle, torch 2.15):

    network         batch    fast s    fast / exact    fast / theirs                share of the limit: fast, exact
    nasnet_mobile       1    0.043     0.79            0.91 (Cadene)                0.28, 0.22
    nasnet_mobile       8    0.208     0.73            0.82 (Cadene)                0.46, 0.33
    nasnet_large        1    0.616     0.78            0.92 (timm), 0.92 (Cadene)   0.82, 0.63
    dinat_mini          1    0.104     0.96            none                         0.58, 0.55
    bossnet_t0          1    0.100     0.86            none                         0.72, 0.61

The share depends on the load of the machine: with 20 other processes, the fast forms had 0.35 (NASNet-Mobile, batch 8),
0.44 (DiNAT) and 0.52 (BossNet). ``--operators`` shows what is not at the limit, which was 89 to 97 GFLOP/s, and 24 GB/s
for a copy:

- NASNet-Mobile, batch 1: the cost of calling 350 small convolutions dominates.
- DiNAT: 57 % of the time are linear layers at 0.92 of the limit, 18 % attention at 38 GFLOP/s in products of 49x32 and
  64x32, 7 % convolutions at 0.75 of the limit. The other 18 % are GELU, norms, copies, stacks and views, without
  arithmetic that counts. Without them, and with attention at the limit, the share would be 0.75.
- BossNet: 84 % are convolutions at 0.83 to 0.91 of the limit. The others are activations, sums and depthwise
  convolutions.

Tried without a gain above 3 %, so left out: linear layers or products accumulated in place instead of 1x1 convolutions
(NASNet, BossNet); weights packed for oneDNN, other sizes of tiles, and plain products instead of fused attention
(DiNAT).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import torch
from operators import count_flops, print_operators, product_run
from timing import Row, record, time_in_turns
from torch import Tensor, nn

from visionzoo.models.fast_form import FastForm

TOLERANCE = 1e-4
GOALS = {"timm": 0.95}  # fast / theirs


class Case(NamedTuple):
    """A network: side of its images, and the share of the limit that each batch must reach, None for no goal."""

    side: int
    shares: dict[int, float | None]


CASES = {
    "nasnet_mobile": Case(224, {1: None, 8: 0.4}),
    "nasnet_large": Case(331, {1: None}),
    "dinat_mini": Case(224, {1: 0.7}),
    "bossnet_t0": Case(224, {1: 0.7}),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table. Return 1 if a goal is missed, 2 if the maps of a fast form differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each candidate, at least 5 (default 9)")
    parser.add_argument(
        "--size", type=int, help="side of the images in pixels (default: that of the network; no goals)"
    )
    parser.add_argument("--operators", action="store_true", help="also print the time of the fast form by operator")
    args = parser.parse_args(argv)
    if unknown := set(args.names) - set(CASES):
        parser.error(f"unknown network {', '.join(sorted(unknown))}; choose from {', '.join(CASES)}")
    torch.set_num_threads(1)
    print(f"{'network':<16}{'batch':>6}  {'candidate':<18}{'seconds':>9}{'fast / it':>11}{'equal':>7}{'of limit':>10}")
    cases = [(name, batch) for name in args.names or CASES for batch in CASES[name].shares]
    return max(compare(name, batch, args) for name, batch in cases)


@torch.no_grad()  # inference mode would hide the operators inside convolutions and linear layers
def compare(name: str, batch: int, args: argparse.Namespace) -> int:
    """Print the rows of one network. Return 0 on success."""
    torch.manual_seed(0)
    side = args.size or CASES[name].side
    runs = candidates(name, torch.randn(batch, 3, side, side))
    expected = runs["exact"]()
    are_equal = {other: is_equal(run(), expected) for other, run in runs.items()}
    if not are_equal["fast"]:
        print(f"{name}: the maps of the fast form differ; nothing was timed", file=sys.stderr)
        return 2
    flops = count_flops(runs["exact"])
    product, product_flops = product_run()
    times = time_in_turns({**runs, "product": product}, args.rounds)
    rate = product_flops / times.pop("product")
    for other, seconds in times.items():
        ratio, share = times["fast"] / seconds, flops / seconds / rate
        equal = "yes" if are_equal[other] else "no"
        print(f"{name:<16}{batch:>6}  {other:<18}{seconds:>9.4f}{ratio:>11.2f}{equal:>7}{share:>10.2f}", flush=True)
    if args.operators:
        print_operators(runs["fast"])
    rows = list(rows_of(name, batch, side, times, flops / rate, are_equal))
    return max(record(row) for row in rows)


def rows_of(
    name: str, batch: int, side: int, times: dict[str, float], limit: float, are_equal: dict[str, bool]
) -> Iterator[Row]:
    """Return one row for each opponent; without one, the opponent is the plain form."""
    case, fast = CASES[name], times["fast"]
    least = case.shares[batch] if side == case.side else None
    for other in times.keys() - {"fast", "exact"} or {"exact"}:
        theirs = "its plain form" if other == "exact" else f"{other}, channels_last"
        equal = f"{TOLERANCE:g}" if are_equal[other] else "not equal; of the plain form: 1e-4"
        goal = GOALS.get(other) if side == case.side else None
        yield Row(f"{name}, {side}x{side}, batch {batch}", theirs, fast, times[other], equal, goal, limit, least)


def candidates(name: str, image: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Return the runs to time, each from the image to the last map."""
    net = network(name)
    form = FastForm(net)

    def fast() -> Tensor:
        with form.applied():
            return features(net, laid_out(image) if form.channels_last else image)

    runs: dict[str, Callable[[], Tensor]] = {"fast": fast, "exact": partial(features, net, image)}
    for other, opponent in opponents(name, net).items():
        runs[other] = partial(features, opponent.to(memory_format=torch.channels_last), laid_out(image))
    return runs


def laid_out(image: Tensor) -> Tensor:
    return image.contiguous(memory_format=torch.channels_last)


# --------------------------------------------------------------------------- networks


def network(name: str) -> nn.Module:
    """Return our network in evaluation mode, with random norms."""
    if name.startswith("nasnet"):
        from visionzoo.backbones.nasnet import NASNet

        return with_random_norms(NASNet(name.removeprefix("nasnet_")))
    if name.startswith("dinat"):
        from visionzoo.backbones.dinat import DiNAT

        return with_random_norms(DiNAT(name))
    from visionzoo.backbones.bossnet import BossNet

    return with_random_norms(BossNet("T0"))


def with_random_norms(net: nn.Module) -> nn.Module:
    """Return a network in evaluation mode whose batch norms change values."""
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.weight, norm.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)  # type: ignore[arg-type]
            for tensor in (norm.bias, norm.running_mean):
                nn.init.normal_(tensor, 0, 0.2)  # type: ignore[arg-type]
    return net.eval()


def opponents(name: str, net: nn.Module) -> dict[str, nn.Module]:
    """Return the other implementations that are installed. All, and ours, receive the weights of the first one."""
    built = dict(_built_opponents(name))
    if built:
        from visionzoo.backbones.nasnet import convert

        state = with_random_norms(next(iter(built.values()))).state_dict()
        net.load_state_dict(convert(state))
        for opponent in built.values():
            opponent.eval().load_state_dict(state)
    return built


def _built_opponents(name: str) -> Iterator[tuple[str, nn.Module]]:
    if name == "nasnet_large":
        with suppress(ImportError):
            import timm

            yield "timm", timm.create_model("nasnetalarge", pretrained=False)
    if name.startswith("nasnet"):
        with suppress(ImportError):
            from pretrainedmodels import models as cadene

            build: Callable[..., Any] = cadene.nasnetalarge if name == "nasnet_large" else cadene.nasnetamobile
            yield "pretrainedmodels", build(num_classes=1000, pretrained=None)


def features(net: Any, image: Tensor) -> Tensor:
    """Return the last map of ours, timm's or Cadene's network, after its ReLU."""
    if hasattr(net, "forward_features"):
        return net.forward_features(image)
    return net.features(image).relu() if hasattr(net, "features") else net(image)[-1]


def is_equal(one: Tensor, other: Tensor) -> bool:
    return float((one - other).abs().max()) <= TOLERANCE * float(other.abs().max())


if __name__ == "__main__":
    sys.exit(main())
