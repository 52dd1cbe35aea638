"""Operators of registration against their literal formulations: time and peak memory, side by side.

    python benchmarks/registration_ops.py                          # eight minutes
    python benchmarks/registration_ops.py --only warp              # or correlation, separable, jacobian

The references are what the released codes compute: the local correlation with convolutions of ones (VoxelMorph), or
with one convolution per axis; a spatial transformer that keeps an identity grid in voxels (VoxelMorph); the determinant
from ``numpy.gradient`` (VoxelMorph). Outputs and gradients are first checked to be equal; those of the correlation also
against float64. Then both run in turns in one process on one thread. Times are CPU time, medians of the rounds. Memory
is the increase to its peak (Linux only), at 256x256x256 for the warp and the determinant. The floor is the time to copy
the inputs, twice with the backward pass. Every case and mode runs in a new process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from timing import Row, Run, mebibytes, peak_memory, record, time_in_turns
from torch import Tensor
from torch.nn import functional as F

from visionzoo.ops.local_correlation import local_correlation
from visionzoo.ops.warp import jacobian_determinant, warp

HALF, FULL, CUBE = (80, 96, 112), (160, 192, 224), (256, 256, 256)
WINDOW = 9
GRADIENT = 1e-4  # largest error of a gradient in float32, as a share of the largest value in float64

Tensors = list[Tensor]
Compute = Callable[..., Tensor]


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        size: sides of the volumes that are timed.
        reference, ours: functions of the tensors.
        accept: ratio to reach, forward and with backward; None if the mode is not measured.
        memory: largest share of the reference's memory, forward and with backward; None for any.
        memory_size: sides of the volumes for the memory.
        rounds: turns of each candidate.
    """

    size: tuple[int, ...]
    reference: Compute
    ours: Compute
    accept: tuple[float | None, float | None]
    memory: tuple[float | None, float | None] = (None, None)
    memory_size: tuple[int, ...] | None = None
    rounds: int = 5


# --- references ---


def literal_correlation(fixed: Tensor, moving: Tensor) -> Tensor:
    ones = fixed.new_ones(1, 1, WINDOW, WINDOW, WINDOW)
    return _correlation(fixed, moving, lambda values: F.conv3d(values, ones, padding=WINDOW // 2))


def separable_correlation(fixed: Tensor, moving: Tensor) -> Tensor:
    def window_sum(values: Tensor) -> Tensor:
        for axis in range(3):
            side = [WINDOW if at == axis else 1 for at in range(3)]
            values = F.conv3d(values, values.new_ones(1, 1, *side), padding=[each // 2 for each in side])
        return values

    return _correlation(fixed, moving, window_sum)


def _correlation(fixed: Tensor, moving: Tensor, window_sum: Callable[[Tensor], Tensor]) -> Tensor:
    count = WINDOW**3
    sums = [window_sum(values) for values in (fixed, moving, fixed * fixed, moving * moving, fixed * moving)]
    first, second, squares, other_squares, products = sums
    first_mean, second_mean = first / count, second / count
    cross = products - second_mean * first - first_mean * second + first_mean * second_mean * count
    own = squares - 2 * first_mean * first + first_mean * first_mean * count
    other = other_squares - 2 * second_mean * second + second_mean * second_mean * count
    return (cross * cross / (own * other + 1e-5)).mean()


def literal_warp(image: Tensor, field: Tensor) -> Tensor:
    sides = field.shape[2:]
    identity = _identity_grid(tuple(sides))
    places = identity + field
    for axis, side in enumerate(sides):
        places[:, axis, ...] = 2 * (places[:, axis, ...] / (side - 1) - 0.5)
    places = places.permute(0, 2, 3, 4, 1)[..., [2, 1, 0]]
    return F.grid_sample(image, places, align_corners=True, mode="bilinear")


_GRIDS: dict[tuple[int, ...], Tensor] = {}


def _identity_grid(sides: tuple[int, ...]) -> Tensor:
    """Return the grid in voxels; the reference keeps it as a buffer."""
    if sides not in _GRIDS:
        lines = torch.meshgrid(*[torch.arange(side) for side in sides], indexing="ij")
        _GRIDS[sides] = torch.stack(lines)[None].float()
    return _GRIDS[sides]


def literal_jacobian(field: Tensor) -> Tensor:
    displacements = field[0].movedim(0, -1).numpy()
    grid = np.stack(np.meshgrid(*[np.arange(side) for side in displacements.shape[:-1]], indexing="ij"), -1)
    gradients = np.gradient(displacements + grid.astype(np.float32))
    dx, dy, dz = gradients[0], gradients[1], gradients[2]
    first = dx[..., 0] * (dy[..., 1] * dz[..., 2] - dy[..., 2] * dz[..., 1])
    second = dx[..., 1] * (dy[..., 0] * dz[..., 2] - dy[..., 2] * dz[..., 0])
    third = dx[..., 2] * (dy[..., 0] * dz[..., 1] - dy[..., 1] * dz[..., 0])
    return torch.from_numpy(first - second + third)[None]


CASES = {
    "correlation": Case(HALF, literal_correlation, lambda *pair: local_correlation(*pair).mean(), (10, 60)),
    "separable": Case(FULL, separable_correlation, lambda *pair: local_correlation(*pair).mean(), (None, 5)),
    "warp": Case(HALF, literal_warp, warp, (1.2, 1.2), memory_size=CUBE, rounds=15),
    "jacobian": Case(FULL, literal_jacobian, jacobian_determinant, (4, None), (0.25, None), memory_size=CUBE),
}

THEIRS = dict.fromkeys(CASES, "VoxelMorph's form") | {"separable": "one convolution per axis"}


# --- comparison ---


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table. Return 1 if a ratio is too low or memory too high, 2 if results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=CASES, action="append", help="compare only this operator; may be repeated")
    parser.add_argument("--side", type=int, help="cubes with this side in voxels instead, without a required ratio")
    parser.add_argument("--mode", type=int, choices=(0, 1), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    chosen = args.only or list(CASES)
    if args.mode is not None:
        return compare(chosen[0], bool(args.mode), args.side)
    print("batch 1, one thread, float32")
    print(
        row("operator", "size", "mode", "candidate", "median ms", "ratio", "accept", "peak MiB", "floor ms"), flush=True
    )
    line = [sys.executable, __file__, *(["--side", str(args.side)] if args.side else []), "--only"]
    modes = [(name, mode) for name in chosen for mode in (0, 1) if CASES[name].accept[mode] is not None]
    return max(subprocess.call([*line, name, "--mode", str(mode)]) for name, mode in modes)


def row(*cells: object) -> str:
    """Format one line of the table."""
    widths = ("<13", "<13", "<9", "<11", ">10", ">8", ">8", ">10", ">10")
    return "".join(f"{cell!s:{width}}" for cell, width in zip(cells, widths, strict=True))


def compare(name: str, training: bool, side: int | None) -> int:
    """Print the rows of one case and mode. Return 0 on success."""
    case = CASES[name]
    if side is not None:
        case = replace(case, size=(side,) * 3, accept=(None, None), memory=(None, None), memory_size=None)
    if wrong := difference(name, case, training, [half if side is None else side for half in HALF]):
        print(f"{name}: {wrong}; nothing was timed", file=sys.stderr)
        return 2
    memory = memory_of(name, case, training)
    inputs = tensors_of(name, case.size, training)
    times = time_in_turns(runs_of(case, inputs, training), case.rounds)
    floor = time_in_turns({"floor": copies(inputs, training)}, 5)["floor"]
    mode, accept = "fwd+bwd" if training else "fwd", case.accept[training]
    size = "x".join(map(str, case.size))
    for candidate, seconds in times.items():
        ratio, shown = times["reference"] / seconds, mebibytes(memory[candidate])
        limit = f"{accept:g}" if candidate == "ours" and accept else ""
        cells = (f"{1e3 * seconds:.1f}", f"{ratio:.2f}", limit, shown, f"{1e3 * floor:.1f}")
        print(row(name, size, mode, candidate, *cells), flush=True)
    share = case.memory[training]
    heavy = share is not None and memory["reference"] and memory["ours"] > share * memory["reference"]  # type: ignore[operator]
    if heavy:
        print(f"{name}: memory above {share:g} of the reference", file=sys.stderr)
    what, goal = f"{name} of volumes, {size}, {mode}", accept and 1 / accept
    fair = Row(what, THEIRS[name], times["ours"], times["reference"], f"{GRADIENT:g}", goal, floor)
    return max(record(fair), int(bool(heavy)))


def tensors_of(name: str, size: Sequence[int], training: bool, dtype: torch.dtype = torch.float32) -> Tensors:
    """Draw the inputs: two related images, an image and a smooth field, or a field."""
    image = _smooth(1, size)
    if name in ("correlation", "separable"):
        drawn = [image, 0.7 * image + 0.3 * _smooth(1, size)]
    else:
        field = 10 * (_smooth(3, size) - 0.5)
        drawn = [image, field] if name == "warp" else [field]
    return [each.to(dtype).requires_grad_(training) for each in drawn]


def _smooth(channels: int, size: Sequence[int]) -> Tensor:
    coarse = torch.rand(1, channels, *[side // 8 for side in size])
    fine = F.interpolate(coarse, size=tuple(size), mode="trilinear", align_corners=True)
    return fine + 0.05 * torch.rand_like(fine)


def runs_of(case: Case, inputs: Tensors, training: bool) -> dict[str, Run]:
    """Return the runs to time. In training, each call computes new gradients of the inputs."""

    def run(compute: Compute) -> Tensor | None:
        if not training:
            with torch.no_grad():
                return compute(*inputs)
        for each in inputs:
            each.grad = None
        compute(*inputs).sum().backward()
        return None

    return {name: lambda f=f: run(f) for name, f in (("reference", case.reference), ("ours", case.ours))}  # type: ignore[misc]


def memory_of(name: str, case: Case, training: bool) -> dict[str, int | None]:
    """Return the peak memory of each candidate."""
    inputs = tensors_of(name, case.memory_size or case.size, training)
    runs = runs_of(case, inputs, training)
    small = tensors_of(name, (24, 24, 24), training)
    for run in runs_of(case, small, training).values():
        run()  # the first call allocates what a process needs only once
    return {candidate: peak_memory(run) for candidate, run in runs.items()}


def copies(inputs: Tensors, training: bool) -> Run:
    """Return the floor: a copy of each input, and one more for its gradient."""
    targets = [torch.empty_like(each.detach()) for each in inputs]

    def run() -> None:
        for _ in range(2 if training else 1):
            for each, target in zip(inputs, targets):
                target.copy_(each.detach())

    return run


def difference(name: str, case: Case, training: bool, sides: Sequence[int]) -> str:
    """Return how the results differ, or an empty string."""
    size = [side // 2 for side in sides]
    inputs = tensors_of(name, size, training)
    exact = [each.detach().double().requires_grad_(training) for each in inputs]
    # The reference in float32 is the literal one in most cases; float64 is the truth for both.
    if name == "jacobian":
        gap = (case.ours(*inputs) - case.reference(*inputs)).abs().max()
        return "" if gap < 1e-4 else f"determinants differ by {gap:.1e}"
    truth = case.reference(*exact) if name != "warp" else warp(*exact)
    values = {"ours": case.ours(*inputs), "reference": case.reference(*inputs)}
    for candidate, value in values.items():
        gap = (value - truth).abs().max()
        if gap > GRADIENT:
            return f"values of {candidate} differ from float64 by {gap:.1e}"
    if not training:
        return ""
    wanted = torch.autograd.grad(truth.sum(), exact)
    for gradient, right in zip(torch.autograd.grad(values["ours"].sum(), inputs), wanted):
        error = (gradient - right).abs().max() / right.abs().max()
        if error > GRADIENT:
            return f"a gradient differs from float64 by {error:.1e} of its maximum"
    return ""


if __name__ == "__main__":
    sys.exit(main())
