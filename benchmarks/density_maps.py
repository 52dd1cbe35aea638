"""Density maps with geometry-adaptive kernels: ours against filtering the whole image for each head.

    python benchmarks/density_maps.py                       # 1000 and 100 heads at 1024x768, two minutes
    python benchmarks/density_maps.py --size 384 512 --heads 50

The reference works as CSRNet's script: for each head scipy filters a whole image with one dot, and the results are
added. The maps of both are first checked to be equal to 1e-7 for all heads. Then all candidates run in turns in one
process on one thread. The reference takes half a minute for 1000 heads, so it is timed on 20 of them, spread evenly
over the order of kernel widths, and the time is scaled to all heads. Times are CPU time, medians of the rounds. Memory
is the increase to its peak (Linux only). The floor only adds precomputed windows of numbers to a map. Accept, at
1024x768: 300 times as fast.

The fixed kernel and one Gaussian over all dots have no reference here; only their times are printed.

Measured on 2026-11-26 (two x86-64 cores shared with other work, numpy 2.2, scipy 1.17), ms, reference / ours (ratio):

    1000 heads    29749 / 18.2 (1636)    floor 6.9    fixed 3.6    one Gaussian 63
     100 heads     9776 /  8.3 (1175)    floor 4.6    fixed 0.9    one Gaussian 62

Maps differed by at most 3e-9. Memory: 9 MiB, of which 6 are the map, against 18.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree
from timing import Row, Run, mebibytes, peak_memory, record, time_in_turns

from visionzoo.ops.density_maps import adaptive_density, blurred_dots, dot_map, fixed_density

SIZE = (768, 1024)  # size for which ratios are checked
ACCEPT, TOLERANCE, SAMPLE = 300.0, 1e-7, 20


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table for each number of heads. Return 1 if a ratio is not accepted, 2 if maps differ."""
    args = parser().parse_args(argv)
    accepted = True
    for heads in args.heads:
        points = np.random.default_rng(0).random((heads, 2)) * args.size[::-1]
        dots, sigmas = reference_sigmas(points, tuple(args.size))
        gap = np.abs(filtered(dots, sigmas, tuple(args.size)) - adaptive_density(points, tuple(args.size))).max()
        print(f"{heads} heads at {args.size[1]}x{args.size[0]}, one thread; largest difference {gap:.1e}")
        if gap > TOLERANCE:
            print(f"maps differ by more than {TOLERANCE}; nothing was timed", file=sys.stderr)
            return 2
        accepted &= table(points, dots, sigmas, tuple(args.size), args.rounds)
    return 0 if accepted else 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of sizes and options."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    described.add_argument(
        "--size", type=int, nargs=2, default=SIZE, metavar=("H", "W"), help="pixels (default 768 1024)"
    )
    described.add_argument("--heads", type=int, nargs="+", default=[1000, 100], help="heads (default 1000 100)")
    described.add_argument("--rounds", type=int, default=5, help="turns of each candidate, at least 5 (default 5)")
    return described


def table(points: np.ndarray, dots: np.ndarray, sigmas: np.ndarray, size: tuple[int, int], rounds: int) -> bool:
    """Print medians and ratios. Return True if ours is accepted."""
    runs, share = candidates(points, dots, sigmas, size)
    seconds, memory = time_in_turns(runs, rounds), {name: peak_memory(run) for name, run in runs.items()}
    seconds["filter each"] *= share
    print(f"{'candidate':<14}{'median ms':>12}{'ratio':>9}{'peak MiB':>10}")
    for name, value in seconds.items():
        ratio = f"{seconds['filter each'] / value:.1f}" if name in ("filter each", "ours", "floor") else "-"
        print(f"{name:<14}{1e3 * value:>12.2f}{ratio:>9}{mebibytes(memory[name]):>10}")
    what, goal = f"density map of {len(points)} heads, {size[1]}x{size[0]}", 1 / ACCEPT if size == SIZE else None
    equal, theirs = f"{TOLERANCE:g}", "one filter per head, as in CSRNet's script"
    return not record(Row(what, theirs, seconds["ours"], seconds["filter each"], equal, goal, seconds["floor"]))


def candidates(
    points: np.ndarray, dots: np.ndarray, sigmas: np.ndarray, size: tuple[int, int]
) -> tuple[dict[str, Run], float]:
    """Return the runs by name, and the factor for the time of the first one."""
    chosen = np.argsort(sigmas)[np.linspace(0, len(dots) - 1, min(SAMPLE, len(dots))).round().astype(int)]
    windows = window_values(dots, sigmas, size)

    def add_windows() -> np.ndarray:
        density = np.zeros(size)
        for rows, columns, values in windows:
            density[rows, columns] += values
        return density

    runs: dict[str, Run] = {
        "filter each": lambda: filtered(dots[chosen], sigmas[chosen], size),
        "ours": lambda: adaptive_density(points, size),
        "floor": add_windows,
        "fixed": lambda: fixed_density(points, size),
        "one sigma 15": lambda: blurred_dots(points, size),
    }
    return runs, len(dots) / len(chosen)


def reference_sigmas(points: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return column and row of every dot, (N, 2), and its sigma, (N,)."""
    rows, columns = np.nonzero(dot_map(points, size))
    dots = np.stack([columns, rows], axis=1)
    distances, _ = KDTree(dots, leafsize=2048).query(dots, k=4)
    return dots, 0.1 * distances[:, 1:].sum(axis=1)


def filtered(dots: np.ndarray, sigmas: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Filter a whole image for each dot, and add the results, (H, W)."""
    density = np.zeros(size)
    for (column, row), sigma in zip(dots, sigmas, strict=True):
        dot = np.zeros(size)
        dot[row, column] = 1
        density += gaussian_filter(dot, sigma, mode="constant")
    return density


def window_values(dots: np.ndarray, sigmas: np.ndarray, size: tuple[int, int]) -> list[tuple[slice, slice, np.ndarray]]:
    """Return the rows and columns of each kernel, and an array of its size."""
    reach = (4 * sigmas + 0.5).astype(int)[:, None]
    low, high = np.maximum(dots - reach, 0), np.minimum(dots + reach + 1, size[::-1])
    return [
        (slice(top, bottom), slice(left, right), np.ones((bottom - top, right - left)))
        for (left, top), (right, bottom) in zip(low.tolist(), high.tolist(), strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
