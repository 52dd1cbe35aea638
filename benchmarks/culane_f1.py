"""CULane's IoU of lanes: ours against lanes that are drawn once, as in Python ports, and once for every pair.

    python benchmarks/culane_f1.py                          # 4x4 lanes, 1640x590, a few seconds
    python benchmarks/culane_f1.py --lanes 2 --size 3280 1180

``drawn once`` works as the Python ports in pytorch-auto-drive and LaneATT: each lane is drawn once, segment by segment,
on an image of full size, and the images of each pair are compared. ``full images`` works as the official program: for
each pair of lanes it creates two empty images, draws a line for every step of the spline, and computes intersection and
union of the whole images. Ours computes the first and last column of each lane in every row only once, from stamps of
what OpenCV draws for a step (visionzoo/metrics/lanes/strips.py), and compares rows. Its fallback, a single
``cv2.polylines`` into a mask of the lane's bounding box, was 14 times as fast as the reference. The IoU of both is
first checked to be equal bit for bit, also for lanes that cross the border, are outside the image, or are too short.
Then both run in turns in one process on one thread.

Times are CPU time per image, medians of the rounds. Memory is the increase to its peak (Linux only). Accept, for 4x4
lanes at 1640x590: ours 20 times as fast as full images, and at most 0.2 of the time of lanes drawn once.

Measured on 2026-11-30 (two shared cores of an x86-64 CPU, OpenCV 4.12), beside other work: ours takes 0.13 to 0.16 of
the time of lanes drawn once, 8.4 and 54 ms. Both have our splines.

Measured on 2026-11-26 (two x86-64 cores shared with other work, OpenCV 4.12), reference / ours, ms per image:

    4x4, 1640x590    74 / 2.7 (28)      2x2, 3280x1180    57 / 2.1 (27)

The remaining time is spread over splines, stamps and the drawing near the border. While other work uses all cores, the
ratio is 23.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from timing import Row, mebibytes, peak_memory, record, time_in_turns

from visionzoo.metrics.lanes import lane_iou, spline_points
from visionzoo.metrics.lanes.culane import LANE_WIDTH, SIZE

Lane = np.ndarray

LANES = 4  # annotated and detected lanes for which the ratio is checked
ACCEPT, GOAL = 20.0, 0.2


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table. Return 1 if the ratio is not accepted, 2 if numbers differ."""
    args = parser().parse_args(argv)
    cv2.setNumThreads(1)
    size = (args.size[0], args.size[1])
    if not all(same_numbers(*sides, size) for sides in odd_images(size)):
        print("IoU differs; nothing was timed", file=sys.stderr)
        return 2
    annotated, detected = drawn(args.lanes, size)
    runs = {
        "full images": lambda: reference_iou(annotated, detected, size),
        "drawn once": lambda: drawn_once_iou(annotated, detected, size),
        "ours": lambda: lane_iou(annotated, detected, size=size),
    }
    seconds, memory = time_in_turns(runs, args.rounds), {name: peak_memory(run) for name, run in runs.items()}
    print(f"{args.lanes}x{args.lanes} lanes, {size[0]}x{size[1]}, one thread; IoU equal")
    print(f"{'candidate':<16}{'median ms':>10}{'ratio':>9}{'peak MiB':>10}")
    for name, value in seconds.items():
        ratio = seconds["full images"] / value
        print(f"{name:<16}{1e3 * value:>10.2f}{ratio:>9.1f}{mebibytes(memory[name]):>10}")
    what = f"CULane IoU, {args.lanes}x{args.lanes} lanes, {size[0]}x{size[1]}"
    code = record(Row(what, "lanes drawn once", seconds["ours"], seconds["drawn once"], "bit for bit", GOAL))
    judged = size == SIZE and args.lanes == LANES
    if judged and seconds["full images"] / seconds["ours"] < ACCEPT:
        print(f"NOT accepted: at least {ACCEPT:.0f}")
        return 1
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of sizes and options."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    described.add_argument(
        "--size", type=int, nargs=2, default=SIZE, metavar=("W", "H"), help="pixels (default 1640 590)"
    )
    described.add_argument("--lanes", type=int, default=LANES, help="annotated and detected lanes each (default 4)")
    described.add_argument("--rounds", type=int, default=5, help="turns of each candidate, at least 5 (default 5)")
    return described


def drawn(count: int, size: tuple[int, int], seed: int = 0) -> tuple[list[Lane], list[Lane]]:
    """Create lanes as in CULane's files: annotated every 10th row from below, detected every 20th with small errors.

    They meet above the road, bend slightly, and end at the image border.
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
    """Return normal lanes, and lanes that leave the image, are outside it, or have only one or two points."""
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
    """Return True if the IoUs are equal bit for bit, including NaN."""
    ours = lane_iou(annotated, detected, size=size)
    others = (count(annotated, detected, size) for count in (reference_iou, drawn_once_iou))
    return all(np.array_equal(ours, other, equal_nan=True) for other in others)


# --- the references ---


def drawn_once_iou(annotated: list[Lane], detected: list[Lane], size: tuple[int, int]) -> np.ndarray:
    """Compute the IoU of each pair from images of full size, one for each lane, (A, D)."""
    left, right = ([segment_by_segment(lane, size) > 0 for lane in lanes] for lanes in (annotated, detected))
    found = np.zeros((len(left), len(right)))
    for row, column in np.ndindex(found.shape):
        if min(len(annotated[row]), len(detected[column])) > 1:
            either = (left[row] | right[column]).sum()
            found[row, column] = (left[row] & right[column]).sum() / either if either else np.nan
    return found


def reference_iou(annotated: list[Lane], detected: list[Lane], size: tuple[int, int]) -> np.ndarray:
    """Compute the IoU of each pair separately, (A, D)."""
    return np.array([[pair_iou(one, other, size) for other in detected] for one in annotated])


def pair_iou(one: Lane, other: Lane, size: tuple[int, int]) -> float:
    """Compute the IoU from two images of full size."""
    if len(one) < 2 or len(other) < 2:
        return 0.0
    left, right = (segment_by_segment(lane, size) for lane in (one, other))
    both, either = np.logical_and(left, right).sum(), np.logical_or(left, right).sum()
    return float(both / either) if either else float("nan")


def segment_by_segment(lane: Lane, size: tuple[int, int]) -> np.ndarray:
    """Draw a lane segment by segment, (H, W) uint8; 1 for the pixels of the lane."""
    canvas = np.zeros(size[::-1], np.uint8)
    corners = np.rint(spline_points(lane)).astype(np.int64).tolist()
    for start, end in pairwise(corners):
        cv2.line(canvas, start, end, 1, LANE_WIDTH)
    return canvas


if __name__ == "__main__":
    sys.exit(main())
