"""CULane's IoU of lanes: ours against a drawing of both lanes of every pair on images of full size, equal numbers.

    python benchmarks/culane_f1.py                          # 4x4 lanes, 1640x590, some seconds
    python benchmarks/culane_f1.py --lanes 2 --size 3280 1180

The reference does what the official program does: for each pair of lanes two empty images, on each one a line for
every step of the spline, then intersection and union of the whole images. Ours finds the first and last column of
each lane in every row once, by stamps of what OpenCV draws for a step (visionzoo/metrics/lanes/strips.py), and compares
rows. A single ``cv2.polylines`` into a mask of the lane's bounding box, which ours falls back on, was 14 times as fast
as the reference. Both in one process, on one thread, in turns, after
their IoU was found equal, bit for bit, also for lanes that are cut by the border, lie outside, or are too short.

Times are CPU time per image, medians of the rounds; memory is the peak above what lay there before (Linux only).
Accept, for 4x4 lanes at 1640x590: ours 20 times as fast.

Measured on 2026-11-26 (two x86-64 cores shared with other work, OpenCV 4.12), reference / ours, ms per image:

    4x4, 1640x590    74 / 2.7 (28)      2x2, 3280x1180    57 / 2.1 (27)

What is left is spread over splines, stamps and the drawing near the border; while other work uses all cores, 23.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from timing import peak_memory, time_in_turns

from visionzoo.metrics.lanes import lane_iou, spline_points
from visionzoo.metrics.lanes.culane import LANE_WIDTH, SIZE

Lane = np.ndarray

LANES = 4  # on both sides, at which the ratio is judged
ACCEPT = 20.0


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table; 1 when the ratio is not accepted, 2 when numbers differ."""
    args = parser().parse_args(argv)
    cv2.setNumThreads(1)
    size = (args.size[0], args.size[1])
    if not all(same_numbers(*sides, size) for sides in odd_images(size)):
        print("IoU differs; nothing was timed", file=sys.stderr)
        return 2
    annotated, detected = drawn(args.lanes, size)
    runs = {
        "full images": lambda: reference_iou(annotated, detected, size),
        "ours": lambda: lane_iou(annotated, detected, size=size),
    }
    seconds, memory = time_in_turns(runs, args.rounds), {name: peak_memory(run) for name, run in runs.items()}
    print(f"{args.lanes}x{args.lanes} lanes, {size[0]}x{size[1]}, one thread; IoU equal")
    print(f"{'candidate':<16}{'median ms':>10}{'ratio':>9}{'peak MiB':>10}")
    for name, value in seconds.items():
        shown = "n/a" if memory[name] is None else f"{memory[name] / 2**20:.1f}"
        print(f"{name:<16}{1e3 * value:>10.2f}{seconds['full images'] / value:>9.1f}{shown:>10}")
    judged = size == SIZE and args.lanes == LANES
    if judged and seconds["full images"] / seconds["ours"] < ACCEPT:
        print(f"NOT accepted: at least {ACCEPT:.0f}")
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Sizes and options."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    described.add_argument(
        "--size", type=int, nargs=2, default=SIZE, metavar=("W", "H"), help="pixels (default 1640 590)"
    )
    described.add_argument("--lanes", type=int, default=LANES, help="on both sides (default 4)")
    described.add_argument("--rounds", type=int, default=5, help="turns of each candidate, at least 5 (default 5)")
    return described


def drawn(count: int, size: tuple[int, int], seed: int = 0) -> tuple[list[Lane], list[Lane]]:
    """Lanes as CULane's files have them: annotated every 10th row from below, detected every 20th, some pixels off.

    They meet above the road, bend a little, and leave the image where it ends.
    """
    rng = np.random.default_rng(seed)
    annotated, rows = [], np.arange(size[1], 0.42 * size[1], -10.0)
    near = (rows - 0.38 * size[1]) / (0.62 * size[1])
    for at in np.linspace(-1.5, 1.5, count):
        x = size[0] * (0.5 + 0.38 * at * near + rng.uniform(-0.05, 0.05) * (1 - near) ** 2)
        inside = (x > -40) & (x < size[0] + 40)
        annotated.append(np.stack([x, rows], axis=1)[inside])
    return annotated, [lane[::2] + rng.normal(scale=3, size=lane[::2].shape) * (1, 0) for lane in annotated]


def odd_images(size: tuple[int, int]) -> list[tuple[list[Lane], list[Lane]]]:
    """Lanes as drawn, and some that leave the image, lie outside, have two points or one."""
    width, height = size
    odd = [
        np.array([[-50.0, height], [width * 0.4, height * 0.5], [width + 90.0, height * 0.45], [width + 500.0, 3.0]]),
        np.array([[width * 0.3, height + 200.0], [width * 0.35, -80.0]]),
        np.array([[-900.0, 10.0], [-880.0, 90.0], [-700.0, 300.0]]),
        np.array([[5.5, 2.5], [6.5, 2.5], [6.5, 3.5]]),
        np.array([[40.0, 40.0]]),
        np.array([[40.0, 40.0], [40.0, 40.0]]),
    ]
    return [*(drawn(LANES, size, seed) for seed in range(5)), (odd, odd), (odd, drawn(LANES, size)[0])]


def same_numbers(annotated: list[Lane], detected: list[Lane], size: tuple[int, int]) -> bool:
    """Bit for bit, NaN included."""
    found, want = lane_iou(annotated, detected, size=size), reference_iou(annotated, detected, size)
    return np.array_equal(found, want, equal_nan=True)


# --- the reference ---


def reference_iou(annotated: list[Lane], detected: list[Lane], size: tuple[int, int]) -> np.ndarray:
    """(A, D): pair by pair."""
    return np.array([[pair_iou(one, other, size) for other in detected] for one in annotated])


def pair_iou(one: Lane, other: Lane, size: tuple[int, int]) -> float:
    """Of two images of full size."""
    if len(one) < 2 or len(other) < 2:
        return 0.0
    left, right = (segment_by_segment(lane, size) for lane in (one, other))
    both, either = np.logical_and(left, right).sum(), np.logical_or(left, right).sum()
    return float(both / either) if either else float("nan")


def segment_by_segment(lane: Lane, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8, 1 where the lane is."""
    canvas = np.zeros(size[::-1], np.uint8)
    corners = np.rint(spline_points(lane)).astype(np.int64).tolist()
    for start, end in pairwise(corners):
        cv2.line(canvas, start, end, 1, LANE_WIDTH)
    return canvas


if __name__ == "__main__":
    sys.exit(main())
