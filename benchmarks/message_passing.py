"""SCNN's message passing against one convolution per slice: time, and peak memory in training, for CULane's shapes.

    python benchmarks/message_passing.py             # two minutes

128 channels, kernel 9, all four directions. The reference keeps a list of slices, applies one convolution to each, and
concatenates them, as the PyTorch ports of SCNN do. Outputs, and in training gradients, are first checked to be equal.
Training is compared in float64, because in float32 a message near 0 may be positive in only one candidate. Then both
candidates run in turns in one process on one thread. Times are CPU time, medians of the rounds. Memory is the increase
to its peak (Linux only). The floor is only the arithmetic: one matrix product per slice, on memory that is allocated
before. Every case and mode runs in a new process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from timing import Row, Run, mebibytes, peak_memory, record, time_in_turns
from torch import Tensor
from torch.nn import functional as F

from visionzoo.ops.message_passing import pass_messages

CHANNELS, KERNEL = 128, 9
DIRECTIONS = ((2, False), (2, True), (3, False), (3, True))

# Maximum share of the reference's memory in training, for batch 1.
MEMORY = 0.8

Pass = Callable[[Tensor, Tensor, int, bool], Tensor]


@dataclass(frozen=True)
class Case:
    """Size of a map, and the ratios that ours must reach: forward, and forward with backward."""

    batch: int
    height: int
    width: int
    accept: tuple[float, float]

    def __str__(self) -> str:
        return f"batch {self.batch}, {self.height}x{self.width}"


CASES = (
    Case(1, 36, 100, (1.6, 1.6)),
    Case(1, 26, 100, (1.6, 1.6)),
    Case(4, 36, 100, (1.1, 1.4)),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table. Return 1 if a ratio is too low, 2 if results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each candidate, at least 5 (default: 9)")
    parser.add_argument("--only", type=int, nargs=2, metavar=("CASE", "TRAINING"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if args.only:
        return compare(CASES[args.only[0]], bool(args.only[1]), args.rounds)
    print(f"{CHANNELS} channels, kernel {KERNEL}, four directions, one thread")
    print(row("case", "mode", "candidate", "median ms", "ratio", "accept", "peak MiB", "floor ms"), flush=True)
    line = [sys.executable, __file__, "--rounds", str(args.rounds), "--only"]
    return max(subprocess.call([*line, str(i), str(mode)]) for i in range(len(CASES)) for mode in (0, 1))


def compare(case: Case, training: bool, rounds: int) -> int:
    """Print one block of rows. Return 0 on success."""
    if not are_equal(case, training):
        print(f"{case}: results differ; nothing was timed", file=sys.stderr)
        return 2
    runs = candidates(*tensors_of(case, training), training)
    for run in runs.values():
        run()
    memory = {name: peak_memory(run) for name, run in runs.items()}
    times = time_in_turns(runs, rounds)
    floor = arithmetic_floor(case, rounds) * (3 if training else 1)
    mode = "fwd+bwd" if training else "fwd"
    for name, seconds in times.items():
        accept = f"{case.accept[training]:g}" if name == "ours" else ""
        ratio = f"{times['slices'] / seconds:.2f}"
        shown = mebibytes(memory[name])
        print(row(case, mode, name, f"{1e3 * seconds:.1f}", ratio, accept, shown, f"{1e3 * floor:.1f}"))
    missed = times["slices"] / times["ours"] < case.accept[training]
    if training and case.batch == 1 and memory["slices"]:
        missed |= memory["ours"] > MEMORY * memory["slices"]  # type: ignore[operator]
    what, equal = f"SCNN's messages, {case}, {mode}", "float64, 1e-10" if training else "1e-5 relative"
    goal = 1 / case.accept[training]
    fair = Row(what, "a convolution per slice, as in ports", times["ours"], times["slices"], equal, goal, floor)
    return max(int(missed), record(fair))


def row(*cells: object) -> str:
    """Format one line of the table."""
    widths = ("<18", "<9", "<11", ">10", ">7", ">8", ">10", ">10")
    return "".join(f"{cell!s:{width}}" for cell, width in zip(cells, widths, strict=True))


def tensors_of(case: Case, training: bool, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
    """Return a map, and one kernel for each direction with values as small as at the start of SCNN's training."""
    x = torch.randn(case.batch, CHANNELS, case.height, case.width, dtype=dtype)
    kernels = [torch.randn(CHANNELS, CHANNELS, KERNEL, dtype=dtype) * 0.00165 for _ in DIRECTIONS]
    return x.requires_grad_(training), [kernel.requires_grad_(training) for kernel in kernels]


def candidates(x: Tensor, kernels: list[Tensor], training: bool) -> dict[str, Run]:
    """Return the runs to time. In training, each call computes new gradients of the inputs."""
    passes: dict[str, Pass] = {"slices": by_slices, "ours": ours}
    runs = {name: lambda one=one: all_directions(one, x, kernels) for name, one in passes.items()}  # type: ignore[misc]
    if not training:
        return {name: torch.no_grad()(run) for name, run in runs.items()}
    return {name: with_backward(run, [x, *kernels]) for name, run in runs.items()}


def all_directions(one: Pass, x: Tensor, kernels: list[Tensor]) -> Tensor:
    for (dim, reverse), kernel in zip(DIRECTIONS, kernels, strict=True):
        x = one(x, kernel, dim, reverse)
    return x


def ours(x: Tensor, kernel: Tensor, dim: int, reverse: bool) -> Tensor:
    return pass_messages(x, kernel, dim=dim, reverse=reverse)


def by_slices(x: Tensor, kernel: Tensor, dim: int, reverse: bool) -> Tensor:
    """Compute the reference: a list of slices, with one convolution for each."""
    half = KERNEL // 2
    kernel, padding = (kernel[:, :, None], (0, half)) if dim == 2 else (kernel[..., None], (half, 0))
    slices = [x.narrow(dim, place, 1) for place in range(x.shape[dim])]
    if reverse:
        slices = slices[::-1]
    outs = [slices[0]]
    for piece in slices[1:]:
        outs.append(piece + F.relu(F.conv2d(outs[-1], kernel, padding=padding)))
    return torch.cat(outs[::-1] if reverse else outs, dim)


def with_backward(forward: Run, tensors: list[Tensor]) -> Run:
    def run() -> Tensor:
        for tensor in tensors:
            tensor.grad = None
        out = forward()
        out.square().sum().backward()  # type: ignore[attr-defined]
        return out.detach()  # type: ignore[attr-defined]

    return run


def are_equal(case: Case, training: bool) -> bool:
    """Return True if outputs are equal up to rounding. Training, with gradients, is compared in float64."""
    dtype, allowed = (torch.float64, 1e-10) if training else (torch.float32, 1e-5)
    x, kernels = tensors_of(case, training, dtype)
    results = []
    for run in candidates(x, kernels, training).values():
        outs = [run()]
        results.append(outs + [tensor.grad.clone() for tensor in (x, *kernels)] if training else outs)  # type: ignore
    return all(
        float((a - b).abs().max()) <= allowed * float(b.abs().max())
        for a, b in zip(*results, strict=True)  # type: ignore[attr-defined]
    )


def arithmetic_floor(case: Case, rounds: int) -> float:
    """Return the CPU seconds of all matrix products of one forward pass."""
    matrix = torch.randn(KERNEL * CHANNELS, CHANNELS)
    sizes = ((case.height, case.width), (case.width, case.height))
    work = [(2 * (count - 1), torch.randn(case.batch * length, KERNEL * CHANNELS)) for count, length in sizes]

    def multiply() -> None:
        for times, rows in work:
            for _ in range(times):
                rows @ matrix

    return time_in_turns({"floor": multiply}, rounds)["floor"]


if __name__ == "__main__":
    sys.exit(main())
