"""Inference of NASNet-A Mobile against a literal implementation of its cells: time and peak memory in evaluation mode.

    python benchmarks/nasnet.py                # images of 224 pixels, as its authors trained it; a few seconds
    python benchmarks/nasnet.py --size 640 --batch 2

The maps are first checked in double precision: they are equal to 1e-10 of their largest value. Then all candidates run
in turns on the same weights in one process on one thread. ``literal`` applies ReLU, padding and norm in every branch,
as in the paper's figures. ``ours`` shares ReLUs, pads within convolutions where possible, and computes equal pools
once. ``folded`` also computes norms within convolutions (:class:`visionzoo.models.fast_form.FastForm`).
``channels_last`` also uses that memory format. Times are CPU time, medians of the rounds. Memory is the increase to its
peak (Linux only).

Measured on 2026-11-25 (two x86-64 cores shared with other work, torch 2.15 CPU), literal / candidate:

    224x224, batch 1    ours 1.2    folded 1.3    channels_last 1.7    peak MiB 14 / 12, 10, 10
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import torch
from timing import Row, Run, peak_memory, record, time_in_turns
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "backbones"))

from nasnet_formulas import Formulas

from visionzoo.backbones.nasnet import NASNet
from visionzoo.models.fast_form import FastForm

WANTED = 1.3  # ratio that the faster of folded and channels_last must reach
TOLERANCE = 1e-10  # in double precision, in which rounding hides no mistake


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table. Return 1 if the goal is missed, 2 if maps differ."""
    args = parser().parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    image = torch.randn(args.batch, 3, args.size, args.size)
    net = make_net(image)
    print(f"mobile, {args.size}x{args.size}, batch {args.batch}, one thread")
    if not equal(candidates(deepcopy(net).double(), image.double())):
        print("maps differ; nothing was timed", file=sys.stderr)
        return 2
    runs = candidates(net, image)
    times, memory = time_in_turns(runs, args.rounds), {name: peak_memory(run) for name, run in runs.items()}
    print(f"{'candidate':<16}{'median s':>9}{'ratio':>7}{'peak MiB':>10}")
    for name, seconds in times.items():
        shown = "n/a" if memory[name] is None else f"{memory[name] / 2**20:.0f}"
        print(f"{name:<16}{seconds:>9.4f}{times['literal'] / seconds:>7.2f}{shown:>10}")
    best = min(times["folded"], times["channels_last"])
    what = f"NASNet-A Mobile, {args.size}x{args.size}, batch {args.batch}"
    return record(
        Row(what, "cells as in the paper's figures", best, times["literal"], f"{TOLERANCE:g} in double", 1 / WANTED)
    )


def parser() -> argparse.ArgumentParser:
    """Return the parser of sizes and options."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    described.add_argument("--size", type=int, default=224, help="side of the images in pixels (default 224)")
    described.add_argument("--batch", type=int, default=1, help="images (default 1)")
    described.add_argument("--rounds", type=int, default=11, help="turns of each candidate, at least 5 (default 11)")
    return described


@torch.no_grad()
def make_net(image: Tensor) -> NASNet:
    """Return a net in evaluation mode. Random norms with the statistics of the image keep values near 1."""
    net = NASNet("mobile").train()
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0, 0.2)
    net(image)
    return net.eval()


def candidates(net: NASNet, image: Tensor) -> dict[str, Run]:
    """Return the runs to time, each from the image to the maps of strides 4 to 32."""
    design = net.design
    state = {name: value.clone() for name, value in net.state_dict().items()}
    literal = Formulas(state, design.num_cells, design.norm_eps, design.skip_reduction_layer_input)
    last = {planned.level: planned.name for planned in net.plan}
    folded, laid_out = FastForm(net, channels_last=False), FastForm(net, channels_last=True)
    runs = {
        "literal": lambda: [x.relu() for name, x in literal(image).items() if name in last.values()],
        "ours": lambda: net(image),
        "folded": lambda: in_form(folded, image),
        "channels_last": lambda: in_form(laid_out, image),
    }
    return {name: torch.inference_mode()(run) for name, run in runs.items()}


def in_form(form: FastForm, image: Tensor) -> Sequence[Tensor]:
    """Return the maps of a form."""
    with form.applied():
        return form.model(image)


def equal(runs: dict[str, Run]) -> bool:
    """Return True if the maps of every candidate equal the literal ones."""
    literal, *others = (list(run()) for run in runs.values())  # type: ignore[call-overload]
    pairs = [(one, wanted) for maps in others for one, wanted in zip(maps, literal, strict=True)]
    return all(float((one - wanted).abs().max()) <= TOLERANCE * float(wanted.abs().max()) for one, wanted in pairs)


if __name__ == "__main__":
    sys.exit(main())
