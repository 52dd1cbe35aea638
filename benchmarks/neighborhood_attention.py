"""Neighborhood attention against gathering the keys of every query: time and peak memory for the shapes of DiNAT.

    python benchmarks/neighborhood_attention.py             # all shapes, two minutes
    python benchmarks/neighborhood_attention.py --model     # only memory of DiNAT-Mini, dense, on an 800x1333 image

Batch 2, heads of 32 channels, kernel 7 with a relative position bias. The reference gathers the 49 keys and values of
every query and multiplies. ``shifts`` is what a user writes without an operator: 49 shifted maps of keys, one score
each, and 49 shifted maps of values; at the border, the shifted rows and columns are chosen by index. Outputs and
gradients are first checked to be equal. Then all candidates of a shape run in turns in one process on one thread. Times
are CPU time, medians of the rounds. Memory is the increase to its peak (Linux only). natten takes part if it is
installed and supports the bias.

Ratios depend on the allocator. An allocator that keeps freed pages makes the reference three times faster, because it
allocates large blocks. The allocator is printed; the required ratios are for glibc's default. It also keeps pages after
large tensors were freed, so every shape and mode runs in a new process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from timing import Row, Run, mebibytes, peak_memory, record, time_in_turns
from torch import Tensor

from visionzoo.ops.neighborhood_attention import na2d, neighborhood_rules, window_indices

KERNEL, HEAD_DIM, BATCH = 7, 32, 2


@dataclass(frozen=True)
class Shape:
    """Shape of a map, and the ratios that ours must reach: forward, and forward with backward."""

    side: int
    heads: int
    dilation: int
    accept: tuple[float, float]

    def __str__(self) -> str:
        return f"{self.side}x{self.side}, {self.heads} heads, d={self.dilation}"


SHAPES = (
    Shape(56, 2, 1, (4, 4)),
    Shape(56, 2, 8, (12, 10)),
    Shape(28, 4, 4, (12, 10)),
    Shape(28, 4, 1, (4, 4)),
    Shape(14, 8, 1, (2, 2)),
    Shape(14, 8, 2, (5, 5)),
    Shape(7, 16, 1, (5, 5)),
    Shape(56, 2, 3, (3, 3)),
)
# Maximum share of the reference's memory for the first shape: forward, and forward with backward.
MEMORY = (1 / 3, 1 / 2)
GOAL = 0.5  # maximum share of the time of 49 shifted maps


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table. Return 1 if a ratio is too low, 2 if results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each candidate, at least 5 (default: 7)")
    parser.add_argument("--model", action="store_true", help="memory of DiNAT-Mini on a large image instead")
    parser.add_argument("--only", type=int, nargs=2, metavar=("SHAPE", "TRAINING"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if args.model:
        return measure_model()
    if args.only:
        return compare(SHAPES[args.only[0]], bool(args.only[1]), args.rounds)
    print(f"batch {BATCH}, head dim {HEAD_DIM}, kernel {KERNEL}, one thread, allocator: {allocator()}")
    print(row("case", "mode", "candidate", "median ms", "ratio", "accept", "peak MiB", "floor ms"), flush=True)
    line = [sys.executable, __file__, "--rounds", str(args.rounds), "--only"]
    return max(subprocess.call([*line, str(i), str(mode)]) for i in range(len(SHAPES)) for mode in (0, 1))


def compare(shape: Shape, training: bool, rounds: int) -> int:
    """Print one block of rows. Return 0 on success."""
    tensors = make_tensors(shape, training)
    runs = candidates(shape, tensors, training)
    if not equal(runs, tensors, training):
        print(f"{shape}: results differ; nothing was timed", file=sys.stderr)
        return 2
    times, memory = time_in_turns(runs, rounds), {name: peak_memory(run) for name, run in runs.items()}
    floor = arithmetic_floor(shape, rounds) * (3 if training else 1)
    mode = "fwd+bwd" if training else "fwd"
    for name, seconds in times.items():
        accept = f"{shape.accept[training]:g}" if name == "ours" else ""
        shown, ratio = mebibytes(memory[name]), times["gather"] / seconds
        print(row(shape, mode, name, f"{1e3 * seconds:.1f}", f"{ratio:.1f}", accept, shown, f"{1e3 * floor:.1f}"))
    missed = times["gather"] / times["ours"] < shape.accept[training]
    if shape == SHAPES[0] and memory["gather"]:
        missed |= memory["ours"] > MEMORY[training] * memory["gather"]  # type: ignore[operator]
    what = f"neighborhood attention, {shape}, {mode}"
    fair = Row(what, "49 shifted maps", times["ours"], times["shifts"], "1e-4 relative", GOAL, floor)
    return max(int(missed), record(fair))


def row(*cells: object) -> str:
    """Format one line of the table."""
    widths = ("<26", "<9", "<11", ">10", ">7", ">8", ">10", ">10")
    return "".join(f"{cell!s:{width}}" for cell, width in zip(cells, widths, strict=True))


def make_tensors(shape: Shape, training: bool) -> list[Tensor]:
    """Return q, k, v and the bias."""
    size = (BATCH, shape.side, shape.side, shape.heads, HEAD_DIM)
    tensors = [torch.randn(size) for _ in range(3)] + [torch.randn(shape.heads, 2 * KERNEL - 1, 2 * KERNEL - 1)]
    return [tensor.requires_grad_(training) for tensor in tensors]


def candidates(shape: Shape, tensors: list[Tensor], training: bool) -> dict[str, Run]:
    """Return the runs to time."""
    q, k, v, rpb = tensors
    keys, offsets = indices(shape)
    places = (
        keys.view(shape.side, shape.side, KERNEL, KERNEL)[0, :, 0] % shape.side
    )  # (side, 7): the window of a column
    forwards = {
        "gather": lambda: gather(q, k, v, rpb, keys, offsets),
        "shifts": lambda: shifts(q, k, v, rpb, places, offsets),
        "ours": lambda: na2d(q, k, v, KERNEL, dilation=shape.dilation, rpb=rpb),
    }
    if find_spec("natten") is not None:
        forwards["natten"] = lambda: na2d(q, k, v, KERNEL, dilation=shape.dilation, rpb=rpb, implementation="natten")
    if not training:
        return {name: torch.no_grad()(forward) for name, forward in forwards.items()}
    return {name: with_backward(forward, tensors) for name, forward in forwards.items()}


def with_backward(forward: Run, tensors: list[Tensor]) -> Run:
    def run() -> Tensor:
        for tensor in tensors:
            tensor.grad = None
        out = forward()
        out.square().sum().backward()  # type: ignore[attr-defined]
        return out.detach()  # type: ignore[attr-defined]

    return run


def indices(shape: Shape) -> tuple[Tensor, Tensor]:
    """Return the keys of every query, (L, 49), and their indices in the table of biases. A module would cache them."""
    sizes = (shape.side, shape.side)
    keys, _, offsets = window_indices(sizes, neighborhood_rules(sizes, KERNEL, dilation=shape.dilation))
    return keys, offsets


def gather(q: Tensor, k: Tensor, v: Tensor, rpb: Tensor, keys: Tensor, offsets: Tensor) -> Tensor:
    """Compute the reference with copies of the keys and values of every window."""
    size = q.shape
    q, k, v = (x.flatten(1, 2).transpose(1, 2) for x in (q, k, v))  # (B, heads, L, D)
    scores = torch.einsum("bhld,bhlnd->bhln", q * HEAD_DIM**-0.5, k[:, :, keys])
    weights = (scores + rpb.flatten(1)[:, offsets]).softmax(-1)
    return torch.einsum("bhln,bhlnd->bhld", weights, v[:, :, keys]).transpose(1, 2).reshape(size)


def shifts(q: Tensor, k: Tensor, v: Tensor, rpb: Tensor, places: Tensor, offsets: Tensor) -> Tensor:
    """Compute one score for each of 49 shifted maps of keys, and add as many shifted maps of values."""
    side = q.shape[1]
    bias = rpb.flatten(1)[:, offsets].view(-1, side, side, KERNEL**2).permute(3, 1, 2, 0)
    q = q * HEAD_DIM**-0.5
    scores = torch.stack([(q * key).sum(-1) for key in shifted(k, places)])  # (49, B, H, W, heads)
    weights = (scores + bias[:, None]).softmax(0)[..., None]
    return sum(weight * value for weight, value in zip(weights, shifted(v, places), strict=True))  # type: ignore[return-value]


def shifted(x: Tensor, places: Tensor) -> Iterator[Tensor]:
    """Yield the maps that hold, at every query, the key of each place of its window."""
    for rows in places.unbind(1):
        moved = x.index_select(1, rows)
        for columns in places.unbind(1):
            yield moved.index_select(2, columns)


def equal(runs: dict[str, Run], tensors: list[Tensor], training: bool) -> bool:
    """Return True if outputs, and in training gradients, are equal up to rounding of float32."""
    results = []
    for run in runs.values():
        outs = [run()]
        results.append(outs + [tensor.grad.clone() for tensor in tensors] if training else outs)  # type: ignore
    return all(
        float((a - b).abs().max()) <= 1e-4 * float(b.abs().max())
        for other in results[1:]
        for a, b in zip(results[0], other, strict=True)
    )


def arithmetic_floor(shape: Shape, rounds: int) -> float:
    """Return the CPU seconds of only the two products over the windows, as plain matrix products of float32."""
    tokens = BATCH * shape.heads * shape.side**2
    a, b = torch.randn(tokens, HEAD_DIM), torch.randn(HEAD_DIM, 2 * KERNEL**2)
    return time_in_turns({"floor": lambda: a @ b}, rounds)["floor"]


def allocator() -> str:
    """Return the name and settings of the memory allocator that the environment states."""
    preloaded = os.environ.get("LD_PRELOAD")
    settings = {name: value for name, value in os.environ.items() if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    return (Path(preloaded).name if preloaded else "glibc malloc") + (f" with {settings}" if settings else ", defaults")


def measure_model() -> int:
    """Print the peak memory of DiNAT-Mini with COCO's dilations in evaluation mode. Return 1 if it is too high."""
    from visionzoo.backbones.dinat import DiNAT

    model = DiNAT("dinat_mini", dilations="coco").eval()
    image = torch.randn(1, 3, 800, 1333)
    with torch.no_grad():
        peak = peak_memory(lambda: model(image))
    print("n/a" if peak is None else f"DiNAT-Mini, 800x1333, COCO's dilations: peak {peak / 2**30:.2f} GiB (accept 4)")
    return int(peak is not None and peak > 4 * 2**30)


if __name__ == "__main__":
    sys.exit(main())
