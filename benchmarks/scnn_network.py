"""SCNN as a whole: one forward pass against the same network with a convolution for each slice, as in PyTorch ports.

    python benchmarks/scnn_network.py                # 288x800, CULane's size, a minute
    python benchmarks/scnn_network.py --size 96 160

The trunk, VGG-16, takes most of the time and is the same in both. Maps of lanes are first checked to be equal to 1e-5
of their largest value. Then both run on the same random weights in turns in one process on one thread. Times are CPU
time, medians of the rounds. The floor is the arithmetic of the network at the rate of a matrix product."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any
from unittest import mock

import torch
from message_passing import by_slices
from timing import Row, Run, arithmetic_seconds, record, time_in_turns
from torch import Tensor

from visionzoo.layers import message_passing
from visionzoo.models.wiring import build_model

GOAL, TOLERANCE = 1.0, 1e-5


def main(argv: Sequence[str] | None = None) -> int:
    """Print the times. Return 1 if the goal is missed, 2 if maps differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each candidate, at least 5 (default: 5)")
    parser.add_argument("--size", type=int, nargs=2, default=(288, 800), metavar=("H", "W"), help="default: 288 800")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    backbone = dict(type="VGG", variant="16_bn", large_field=True, out_indices=(4,))
    head = dict(type="SCNNHead", input_size=tuple(args.size))
    model = build_model(dict(type="TaskModel", backbone=backbone, head=head)).eval()
    runs = candidates(model, torch.randn(1, 3, *args.size))
    ours, theirs = (run() for run in runs.values())
    if not same(ours, theirs):
        print("maps differ; nothing was timed")
        return 2
    seconds, floor = time_in_turns(runs, args.rounds), arithmetic_seconds(runs["slices"])
    what = f"SCNN, {args.size[0]}x{args.size[1]}"
    equal = f"{TOLERANCE:g} relative"
    return record(Row(what, "the network of the ports", seconds["ours"], seconds["slices"], equal, GOAL, floor))


def candidates(model: torch.nn.Module, image: Tensor) -> dict[str, Run]:
    """Return the runs to time."""

    def slices(x: Tensor, weight: Tensor, bias: None, *, dim: int, reverse: bool = False, **_: Any) -> Tensor:
        return by_slices(x, weight, dim, reverse)

    @torch.no_grad()
    def literally() -> object:
        with mock.patch.object(message_passing, "pass_messages", slices):
            return model(image)

    return {"ours": torch.no_grad()(lambda: model(image)), "slices": literally}


def same(ours: Any, theirs: Any) -> bool:
    """Return True if all tensors of both results are equal up to rounding."""
    if isinstance(ours, Tensor):
        return float((ours - theirs).abs().max()) <= TOLERANCE * float(theirs.abs().max())
    pairs = zip(ours.values(), theirs.values()) if isinstance(ours, dict) else zip(ours, theirs)
    return all(same(*pair) for pair in pairs)


if __name__ == "__main__":
    raise SystemExit(main())
