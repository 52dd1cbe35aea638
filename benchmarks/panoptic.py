"""Panoptic quality: ours against the usual formulation by ``np.unique``, as in panopticapi; all counts are equal.

    python benchmarks/panoptic.py                           # drawn scenes, half a minute
    python benchmarks/panoptic.py --images 40 --rounds 9

Three stages run side by side in turns in one process on one thread: the matching of two maps in memory; the same from
PNG files; and the matching with boundaries, against the erosion of whole images for each segment. A map of ours has its
runs of equal ids from the moment it is read. ``ours + runs`` finds them again, and the second stage includes them.
Times are CPU time, medians of the rounds. Memory is the increase to its peak (Linux only). The floor is one bincount
over all pixels, the decoding of the PNG files, and one erosion of each whole map. Accept: 8, 2 and 3 times as fast.

Measured on 29 November 2026 with `python benchmarks/panoptic.py --rounds 7`, on one core of an Intel Xeon (AVX-512),
numpy 2.2.6, OpenCV 4.12, Pillow 13.0, torchvision 0.29, at the commit that adds this table; CPU ms per image, 20
segments. The core was idle; seven runs beside other work gave ratios of 9.3 to 12.5, 2.0 to 2.8 and 3.9 to 6.1:

    stage         usual    ours   ratio   accept   floor
    counting       3.01    0.22    13.5        8    0.51    (ours + runs: 0.81, ratio 3.7)
    from PNG      12.57    5.43     2.3        2    3.96
    boundaries    18.51    3.21     5.8        3    1.03
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from PIL import Image
from timing import Row, mebibytes, peak_memory, record, time_in_turns

from visionzoo.datasets.panoptic.id_png import colours_of_ids, decode_id_png
from visionzoo.datasets.panoptic.maps import map_of
from visionzoo.metrics.boundaries import boundary_width
from visionzoo.metrics.panoptic import match_boundaries, match_segments
from visionzoo.structures.panoptic import PanopticMap

ACCEPT = {"counting": 8.0, "from PNG": 2.0, "boundaries": 3.0}
_OFFSET = 256**3
_CLASSES, _THINGS = 133, 80
REPEATS = 5

Segments = dict[int, dict]
Counts = dict[int, list]


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table per stage. Return 1 if a ratio is not accepted, 2 if numbers differ."""
    args = parser().parse_args(argv)
    cv2.setNumThreads(1)
    scenes = [Scene(np.random.default_rng(number)) for number in range(args.images)]
    segments = sum(len(scene.truth.segments) + len(scene.found.segments) for scene in scenes)
    print(f"{len(scenes)} images of 480x640, {segments / len(scenes):.1f} segments in both maps of an image")
    accepted = True
    for stage, (usual, ours, floor) in STAGES.items():
        if differ([usual(scene) for scene in scenes], [ours(scene) for scene in scenes]):
            print(f"{stage}: the numbers differ; nothing was timed")
            return 2
        candidates = {"usual": usual, "ours": ours, **FURTHER.get(stage, {}), "floor": floor}
        runs = {name: partial(run_all, run, scenes) for name, run in candidates.items()}
        accepted &= print_table(stage, time_in_turns(runs, args.rounds), runs, len(scenes))
    return 0 if accepted else 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--images", type=int, default=8, help="number of drawn scenes (default: 8)")
    made.add_argument("--rounds", type=int, default=5, help="rounds; the median counts (default: 5)")
    return made


# --- data ---


class Scene:
    """A truth and a prediction with COCO's proportions: stuff in bands, and things with rough outlines above them."""

    def __init__(self, rng: np.random.Generator):
        truth, kinds = np.zeros((480, 640), np.uint32), {}
        for band in np.array_split(np.arange(480), rng.integers(2, 5)):
            self.add(rng, truth, kinds, slice(band[0], band[-1] - 3), int(rng.integers(_THINGS, _CLASSES)))
        for _ in range(rng.integers(4, 12)):
            self.add(rng, truth, kinds, outline(rng), int(rng.integers(_THINGS)))
        found = np.roll(truth, rng.integers(-4, 5, 2), (0, 1))
        self.truth = shown(truth, kinds)
        self.found = shown(found, {number: (category, False) for number, (category, _) in kinds.items()})
        self.small = rng.integers(0, 8, truth.shape).astype(np.intp)
        self.files = [png_of(each.ids) for each in (self.truth, self.found)]
        self.lists = [
            [
                {"id": s.id, "category_id": s.category_id, "iscrowd": int(s.iscrowd), "area": s.area}
                for s in each.segments
            ]
            for each in (self.truth, self.found)
        ]

    def add(self, rng: np.random.Generator, ids: np.ndarray, kinds: dict, region: object, category: int) -> None:
        """Add a segment with a random id; 2 of 100 are crowds."""
        number = int(rng.integers(1, _OFFSET))
        ids[region] = number
        kinds[number] = category, bool(rng.random() < 0.02)


def outline(rng: np.random.Generator) -> np.ndarray:
    """Return a filled polygon of 60 corners, (H, W) bool."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radii = np.exp(rng.uniform(np.log(12), np.log(170))) * rng.uniform(0.85, 1.1, 60)
    corners = rng.uniform((0, 0), (640, 480)) + np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)
    return cv2.fillPoly(np.zeros((480, 640), np.uint8), [corners.astype(np.int32)], 1) == 1


def shown(ids: np.ndarray, kinds: dict) -> PanopticMap:
    """Return a map without the segments that others hide."""
    return PanopticMap.of_ids(ids, {number: kinds[number] for number in kinds if (ids == number).any()})


def png_of(ids: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(colours_of_ids(ids)).save(file, "PNG")
    return file.getvalue()


# --- the usual formulation ---


def usual_counting(scene: Scene) -> Counts:
    return usual(scene, scene.truth.ids, scene.found.ids)


def usual_from_png(scene: Scene) -> Counts:
    return usual(scene, *(usual_ids(data) for data in scene.files))


def usual_ids(data: bytes) -> np.ndarray:
    colours = np.array(Image.open(io.BytesIO(data)), dtype=np.uint32)
    return colours[:, :, 0] + 256 * colours[:, :, 1] + 256 * 256 * colours[:, :, 2]


def usual_boundaries(scene: Scene) -> Counts:
    """Erode the whole image for each segment of both maps."""
    width = boundary_width(scene.truth.size)
    edges = []
    for panoptic in (scene.truth, scene.found):
        image = np.full(panoptic.ids.shape, _OFFSET - 1, np.uint32)  # the inner pixels
        image[panoptic.ids == 0] = 0
        for segment in panoptic.segments:
            image[edge_of((panoptic.ids == segment.id).astype(np.uint8), width)] = segment.id
        edges.append(image)
    return usual(scene, scene.truth.ids, scene.found.ids, edges)


def edge_of(mask: np.ndarray, width: int) -> np.ndarray:
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)
    return (mask - eroded[1:-1, 1:-1]) > 0


def usual(scene: Scene, truth: np.ndarray, found: np.ndarray, edges: Sequence[np.ndarray] = ()) -> Counts:
    """Count matches by ``np.unique`` over pairs of 64 bits, and by dictionaries."""
    true, other = ({each["id"]: dict(each) for each in listed} for listed in scene.lists)
    for number, area in zip(*np.unique(found, return_counts=True), strict=True):
        if number:
            other[int(number)]["area"] = int(area)
    pairs = common(truth, found)
    near = common(*edges) if edges else {}
    counts: Counts = {}
    matched: set[tuple[str, int]] = set()
    for (row, column), pixels in pairs.items():
        if row not in true or column not in other or true[row]["iscrowd"]:
            continue
        if true[row]["category_id"] != other[column]["category_id"]:
            continue
        void = pairs.get((0, column), 0)
        iou = pixels / (other[column]["area"] + true[row]["area"] - pixels - void)
        if edges:
            iou = min(iou, iou_of_edges(near, row, column))
        if iou > 0.5:
            counts.setdefault(true[row]["category_id"], [[], 0, 0])[0].append(iou)
            matched |= {("truth", row), ("found", column)}
    add_unmatched(counts, matched, true, other, pairs)
    return counts


def common(truth: np.ndarray, found: np.ndarray) -> dict[tuple[int, int], int]:
    """Return the pixels of each pair of ids."""
    values, pixels = np.unique(truth.astype(np.uint64) * _OFFSET + found.astype(np.uint64), return_counts=True)
    return {(int(value) // _OFFSET, int(value) % _OFFSET): int(n) for value, n in zip(values, pixels, strict=True)}


def iou_of_edges(near: dict[tuple[int, int], int], row: int, column: int) -> float:
    both = near.get((row, column), 0)
    areas = sum(n for (a, _), n in near.items() if a == row) + sum(n for (_, b), n in near.items() if b == column)
    return both / (areas - both - near.get((0, column), 0))


def add_unmatched(counts: Counts, matched: set, true: Segments, other: Segments, pairs: dict) -> None:
    crowds = {}
    for number, each in true.items():
        if each["iscrowd"]:
            crowds[each["category_id"]] = number
        elif ("truth", number) not in matched:
            counts.setdefault(each["category_id"], [[], 0, 0])[2] += 1
    for number, each in other.items():
        if ("found", number) in matched:
            continue
        ignored = pairs.get((0, number), 0) + pairs.get((crowds.get(each["category_id"], -1), number), 0)
        if ignored / each["area"] <= 0.5:
            counts.setdefault(each["category_id"], [[], 0, 0])[1] += 1


# --- ours ---


def our_counting(scene: Scene) -> Counts:
    return match_segments(scene.truth, scene.found)


def our_counting_with_runs(scene: Scene) -> Counts:
    """Find the runs of both maps too, which a map that was read from a file has already."""
    return match_segments(*(PanopticMap(each.ids, each.segments) for each in (scene.truth, scene.found)))


def our_from_png(scene: Scene) -> Counts:
    maps = (
        map_of(decode_id_png(data, "a.png"), listed, "a.png")
        for data, listed in zip(scene.files, scene.lists, strict=True)
    )
    return match_segments(*maps)


def our_boundaries(scene: Scene) -> Counts:
    return match_boundaries(scene.truth, scene.found)


# --- floors ---


def one_bincount(scene: Scene) -> np.ndarray:
    return np.bincount(scene.small.ravel())


def only_decoding(scene: Scene) -> list[np.ndarray]:
    return [decode_id_png(data, "a.png") for data in scene.files]


def one_erosion(scene: Scene) -> list[np.ndarray]:
    width = boundary_width(scene.truth.size)
    return [edge_of((each.ids > 0).astype(np.uint8), width) for each in (scene.truth, scene.found)]


STAGES = {
    "counting": (usual_counting, our_counting, one_bincount),
    "from PNG": (usual_from_png, our_from_png, only_decoding),
    "boundaries": (usual_boundaries, our_boundaries, one_erosion),
}
FURTHER = {"counting": {"ours + runs": our_counting_with_runs}}


# --- output ---


def differ(usual_counts: list[Counts], our_counts: list[Counts]) -> bool:
    """Return True if integer counts differ, or an IoU by more than the last bits."""
    for one, other in zip(usual_counts, our_counts, strict=True):
        if set(one) != set(other):
            return True
        for category, (ious, extra, missed) in one.items():
            ours = other[category]
            if (len(ious), extra, missed) != (len(ours.ious), ours.extra, ours.missed):
                return True
            if np.abs(np.sort(ious) - np.sort(ours.ious)).max(initial=0) > 1e-12:
                return True
    return False


def run_all(run: Callable[[Scene], object], scenes: Sequence[Scene]) -> None:
    """Run one candidate on every scene, ``REPEATS`` times in a row: decoded maps are in the processor's cache."""
    for scene in scenes:
        for _ in range(REPEATS):
            run(scene)


def print_table(stage: str, seconds: dict[str, float], runs: dict, images: int) -> bool:
    """Print one stage, and return True if its ratio is accepted."""
    print(f"\n{stage:<14}{'CPU ms per image':>18}{'ratio':>8}{'peak MiB':>10}")
    for name, value in seconds.items():
        memory = mebibytes(peak_memory(runs[name]))
        print(f"{name:<14}{1000 * value / images / REPEATS:18.2f}{seconds['usual'] / value:8.1f}{memory:>10}")
    ours, usual, floor = (seconds[name] / images / REPEATS for name in ("ours", "usual", "floor"))
    what, goal = f"panoptic quality, {stage}, 480x640", 1 / ACCEPT[stage]
    return not record(Row(what, "np.unique, as panopticapi", ours, usual, "same counts", goal, floor))


if __name__ == "__main__":
    raise SystemExit(main())
