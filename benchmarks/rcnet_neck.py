"""RCNet's neck against the steps of the authors' module: time and peak memory, forward and with backward.

    python benchmarks/rcnet_neck.py                            # a 256x384 image, about a minute
    python benchmarks/rcnet_neck.py --size 800 1344 --rounds 5 # the size that the paper trains at
    python benchmarks/rcnet_neck.py --plain-conv               # without deformable convolutions

The reference (``literal``) computes what the authors' module does in its order, with torchvision's deformable
convolution, which is what remains on a CPU for that of mmcv. Outputs and gradients are first checked to be equal. Then
both run in turns on the same weights in one process on one thread. Times are CPU time, medians of the rounds. Memory is
the increase to its peak (Linux only). The floor is only the arithmetic of the forward pass: every convolution as one
matrix product of the same shape.

Measured on 2026-11-24 (two x86-64 cores shared with other work, torch 2.15 CPU), literal / ours:

    256x384, batch 1       forward 1.9    forward+backward 3.6    peak MiB 28 / 22 and  99 /  71
    256x384, plain conv    forward 1.05   forward+backward 1.1    peak MiB 21 / 20 and  71 /  57
    800x1344, batch 1      forward 2.0    forward+backward 3.5    peak MiB 333 / 188 and 808 / 773

The neck includes these optimisations: reading deformed positions with ``grid_sample`` in chunks of a few rows (more
than twice as fast as torchvision's operator forward, at least 4 times with the backward pass); shifting channels with
one concatenation per level; computing contexts as matrix products that are added once at the end instead of to every
level. Others were tried and rejected, because they were no faster: the five mixing convolutions as one grouped
convolution (37 % slower than five on one thread) or as one batched product (10 % slower), and folding batch norms into
the convolutions (less than 2 % of the neck).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from timing import Row, Run, mebibytes, peak_memory, record, time_in_turns
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "necks"))

from rcnet_formulas import Formulas

from visionzoo.necks.rcnet import RCNet
from visionzoo.necks.rcnet.blocks import DeformConv

NOISE, GOAL = 1.1, 0.7


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table. Return 1 if ours needs more time or memory beyond noise, 2 if results differ."""
    args = parser().parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    neck, feats = make_neck(args), make_feats(args)
    print(f"image {args.size[0]}x{args.size[1]}, batch {args.batch}, {args.channels} channels, one thread")
    print(f"{'mode':<18}{'candidate':<12}{'median s':>9}{'ratio':>7}{'peak MiB':>10}{'floor s':>9}")
    floor, slower = arithmetic_floor(neck, feats, args.rounds), False
    for training in (False, True):
        runs = candidates(neck, feats, training)
        if not are_equal(neck, runs, training):
            print("results differ; nothing was timed", file=sys.stderr)
            return 2
        times, memory = time_in_turns(runs, args.rounds), {name: peak_memory(run) for name, run in runs.items()}
        mode = "forward+backward" if training else "forward"
        for name, seconds in times.items():
            shown = mebibytes(memory[name])
            bound = "" if training else f"{floor:.3f}"
            print(f"{mode:<18}{name:<12}{seconds:>9.3f}{times['literal'] / seconds:>7.2f}{shown:>10}{bound:>9}")
        what = f"RCNet's neck, {args.size[0]}x{args.size[1]}, {mode}"
        equal, least = ("1e-2 relative", None) if training else ("1e-4 relative", floor)
        goal = None if args.plain_conv else GOAL
        slower |= bool(record(Row(what, "the authors' module", times["ours"], times["literal"], equal, goal, least)))
        slower |= times["ours"] > NOISE * times["literal"] or (memory["ours"] or 0) > NOISE * (memory["literal"] or 0)
    return int(slower)


def parser() -> argparse.ArgumentParser:
    """Return the parser of sizes and options."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    described.add_argument(
        "--size", type=int, nargs=2, default=(256, 384), metavar=("H", "W"), help="pixels (default 256 384)"
    )
    described.add_argument("--batch", type=int, default=1, help="images (default 1)")
    described.add_argument("--channels", type=int, default=256, help="width of the neck (default 256)")
    described.add_argument("--rounds", type=int, default=7, help="turns of each candidate, at least 5 (default 7)")
    described.add_argument("--plain-conv", action="store_true", help="plain 3x3 convolutions instead of deformable")
    return described


def make_neck(args: argparse.Namespace) -> RCNet:
    """Return a neck with noise added to all parameters, so that the positions are really deformed."""
    options = {"out_conv_cfg": None} if args.plain_conv else {}
    neck = RCNet([64, 128, 256, 512], args.channels, 5, start_level=1, norm_cfg={"type": "BN"}, **options)
    with torch.no_grad():
        for parameter in neck.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return neck


def make_feats(args: argparse.Namespace) -> list[Tensor]:
    """Return random maps of a backbone at strides 4 to 32."""
    sizes = [[-(-side // (4 * 2**i)) for side in args.size] for i in range(4)]
    return [torch.randn(args.batch, c, *size) for c, size in zip((64, 128, 256, 512), sizes)]


def candidates(neck: RCNet, feats: list[Tensor], training: bool) -> dict[str, Run]:
    """Return the runs to time: the neck and its formulas, with the same weights."""
    neck.train(training)
    formulas = Formulas(dict(neck.named_parameters()) | dict(neck.named_buffers()), training=training)
    forwards = {"literal": lambda: formulas(feats[1:]), "ours": lambda: neck(feats)}
    if not training:
        return {name: torch.no_grad()(forward) for name, forward in forwards.items()}
    return {name: _with_backward(neck, forward) for name, forward in forwards.items()}


def _with_backward(neck: nn.Module, forward: Callable[[], Sequence[Tensor]]) -> Run:
    def run() -> list[Tensor]:
        neck.zero_grad()
        outs = list(forward())
        torch.stack([out.square().mean() for out in outs]).sum().backward()
        return [out.detach() for out in outs]

    return run


def are_equal(neck: nn.Module, runs: dict[str, Run], training: bool) -> bool:
    """Return True if outputs, and in training gradients, are equal up to rounding of float32."""
    results = []
    for run in runs.values():
        outs = list(run())  # type: ignore[call-overload]
        results.append(outs + [parameter.grad.clone() for parameter in neck.parameters()] if training else outs)
    tolerance = 1e-2 if training else 1e-4  # batch statistics of the smallest maps amplify rounding
    return all(float((a - b).norm()) <= tolerance * max(1e-3, float(b.norm())) for a, b in zip(*results, strict=True))


@torch.no_grad()
def arithmetic_floor(neck: RCNet, feats: list[Tensor], rounds: int) -> float:
    """Return the CPU seconds of all convolutions of the forward pass as plain matrix products of float32."""
    shapes: list[tuple[int, int, int]] = []
    convs = [module for module in neck.modules() if isinstance(module, (nn.Conv2d, DeformConv))]
    hooks = [conv.register_forward_hook(_noting(shapes)) for conv in convs]
    neck.eval()(feats)
    for hook in hooks:
        hook.remove()
    products = [(torch.randn(m, k), torch.randn(k, n)) for m, k, n in shapes]
    return time_in_turns({"floor": lambda: [a @ b for a, b in products]}, rounds)["floor"]


def _noting(shapes: list[tuple[int, int, int]]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        inner = [module.conv_offset] if isinstance(module, DeformConv) else []
        for conv in (module, *inner):
            positions = output.shape[0] * output.shape[2] * output.shape[3]
            shapes.append((conv.weight.shape[0], conv.weight[0].numel(), positions))

    return note


if __name__ == "__main__":
    sys.exit(main())
