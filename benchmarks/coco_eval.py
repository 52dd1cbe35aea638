"""COCO AP of boxes and masks: ours against pycocotools and faster-coco-eval, both called as in their demos.

    python benchmarks/coco_eval.py                                    # a synthetic set, about a minute
    python benchmarks/coco_eval.py --images 1000 --rounds 5
    python benchmarks/coco_eval.py --truth instances.json --bbox boxes.json --segm masks.json

All twelve numbers are first checked to be equal. All start from the same records in memory and run in turns in one
process on one thread. Times are CPU time, medians of the rounds. Memory is the increase to its peak (Linux only). The
floor is the time for only the IoUs of all pairs of the same image and class. Accept: 3 times as fast as pycocotools for
boxes, 1.8 times for masks. Ours evaluates with faster-coco-eval, so it should take no longer than that library called
by hand: at most 1.1 of its time.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import faster_coco_eval
import numpy as np
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from timing import Row, Run, mebibytes, peak_memory, record, time_in_turns

from visionzoo.metrics.coco import NUMBERS, coco_ap

ACCEPT, GOAL = {"bbox": 3.0, "segm": 1.8}, 1.1
REGION = {"bbox": "bbox", "segm": "segmentation"}


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table per kind of region. Return 1 if a ratio is not accepted, 2 if numbers differ."""
    args = parser().parse_args(argv)
    return max(compare(*data, args.rounds) for data in data_sets(args))


def compare(iou_type: str, truth: dict, found: list[dict], rounds: int) -> int:
    """Print one table. Return 0 on success."""
    counts = f"{len(truth['images'])} images, {len(truth['annotations'])} objects, {len(found)} detections"
    print(f"{iou_type}: {counts}")
    runs = candidates(iou_type, truth, found)
    if differing := differences(runs):
        print(f"numbers differ: {', '.join(differing)}; nothing was timed")
        return 2
    seconds, memory = time_in_turns(runs, rounds, 3), {name: peak_memory(run) for name, run in runs.items()}
    least = floor(iou_type, truth, found)
    print_table(seconds, memory, least)
    what, equal = f"COCO AP of {iou_type}, {counts}", "1e-12"
    return max(
        record(Row(what, name, seconds["ours"], seconds[name], equal, goal, least))
        for name, goal in (("pycocotools", 1 / ACCEPT[iou_type]), ("faster-coco-eval by hand", GOAL))
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median counts (default: 5)")
    parser.add_argument("--images", type=int, default=250, help="images of the synthetic set (default: 250)")
    parser.add_argument("--truth", type=Path, help="an instances json instead of the synthetic set")
    parser.add_argument("--bbox", type=Path, help="results with boxes for --truth")
    parser.add_argument("--segm", type=Path, help="results with masks for --truth")
    return parser


# --- data ---


def data_sets(args: argparse.Namespace) -> list[tuple[str, dict, list[dict]]]:
    """Return (kind of region, truth, detections) of the given files, else of the synthetic set."""
    if args.truth is None:
        truth, results = synthetic(args.images)
        return [(iou_type, truth, results) for iou_type in ACCEPT]
    truth = json.loads(args.truth.read_bytes())
    files = {"bbox": args.bbox, "segm": args.segm}
    return [(iou_type, truth, json.loads(path.read_bytes())) for iou_type, path in files.items() if path]


def synthetic(count: int) -> tuple[dict, list[dict]]:
    """Create ellipses with COCO's proportions: 80 classes, some frequent, 7 objects and 70 detections per image."""
    rng = np.random.default_rng(0)
    truth: dict = {"images": [], "annotations": [], "categories": [{"id": i, "name": str(i)} for i in range(1, 81)]}
    results: list[dict] = []
    weights = 1 / np.arange(1, 81)
    for image_id in range(1, count + 1):
        height, width = 480, 640
        truth["images"].append({"id": image_id, "height": height, "width": width})
        present = rng.choice(80, size=3, p=weights / weights.sum()) + 1
        for _ in range(rng.poisson(7)):
            box, category = random_box(rng, height, width), int(rng.choice(present))
            truth["annotations"].append(
                {"id": len(truth["annotations"]) + 1, "image_id": image_id, **region(box), "category_id": category}
                | {"iscrowd": int(rng.random() < 0.02)}
            )
            for _ in range(5):
                near = box + rng.normal(0, 0.1, 4) * box[[2, 3, 2, 3]]
                results.append(detection(rng, image_id, category, near.clip(2), height, width))
        for _ in range(35):
            category = int(rng.choice(present))
            results.append(detection(rng, image_id, category, random_box(rng, height, width), height, width))
    return truth, results


def random_box(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    w, h = np.exp(rng.uniform(np.log(8), np.log([width * 0.8, height * 0.8])))
    return np.array([rng.uniform(0, width - w), rng.uniform(0, height - h), w, h])


def region(box: np.ndarray) -> dict:
    """Return an ellipse as a polygon of 24 corners, with its box and area."""
    x, y, w, h = box.tolist()
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    corners = np.stack([x + w / 2 * (1 + np.cos(angle)), y + h / 2 * (1 + np.sin(angle))], 1)
    return {"bbox": [x, y, w, h], "area": w * h * np.pi / 4, "segmentation": [corners.ravel().tolist()]}


def detection(rng: np.random.Generator, image_id: int, category: int, box: np.ndarray, height: int, width: int) -> dict:
    shape = region(box)
    rle = masks.merge(masks.frPyObjects(shape["segmentation"], height, width))
    return {
        "image_id": image_id,
        "category_id": category,
        "score": float(rng.random()),
        "bbox": shape["bbox"],
        "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
    }


# --- candidates ---


def candidates(iou_type: str, truth: dict, found: list[dict]) -> dict[str, Run]:
    """Return the runs to time."""
    keys = ("image_id", "category_id", "score", REGION[iou_type])
    results = [{key: one[key] for key in keys} for one in found]
    theirs = {
        "pycocotools": (COCO, COCOeval),
        "faster-coco-eval by hand": (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
    }
    runs: dict[str, Run] = {name: partial(by_hand, *both, truth, results, iou_type) for name, both in theirs.items()}
    return runs | {"ours": lambda: list(coco_ap(truth, results, iou_type).values())}


def by_hand(coco: Any, evaluation: Any, truth: dict, results: list[dict], iou_type: str) -> list[float]:
    """Evaluate as the demos do. The libraries change their records, so each run has its own."""
    with contextlib.redirect_stdout(io.StringIO()):
        index = coco()
        index.dataset = {**truth, "annotations": [dict(one) for one in truth["annotations"]]}
        index.createIndex()
        done = evaluation(index, index.loadRes([dict(one) for one in results]), iou_type)
        done.evaluate()
        done.accumulate()
        done.summarize()
    return [float(number) for number in done.stats[: len(NUMBERS)]]


def differences(runs: dict[str, Run]) -> list[str]:
    """Return the names of unequal numbers. Sums in another order may differ in the last bit."""
    ours = runs["ours"]()
    return [
        f"{number} of {name}"
        for name, run in runs.items()
        for number, a, b in zip(NUMBERS, ours, run(), strict=True)  # type: ignore[call-overload]
        if abs(a - b) > 1e-12
    ]


def floor(iou_type: str, truth: dict, found: list[dict]) -> float:
    """Return the CPU seconds of only the IoUs."""
    sides = pairs(iou_type, truth, found)
    start = time.process_time()
    for objects, detections, crowd in sides:
        masks.iou(detections, objects, crowd)
    return time.process_time() - start


def pairs(iou_type: str, truth: dict, found: list[dict]) -> list[tuple[list, list, list[int]]]:
    """Return objects, detections and crowd flags for each image and class that has both objects and detections."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    objects, detections, crowd = defaultdict(list), defaultdict(list), defaultdict(list)
    for one in truth["annotations"]:
        key = one["image_id"], one["category_id"]
        objects[key].append(one["bbox"] if iou_type == "bbox" else as_rle(one["segmentation"], *sizes[key[0]]))
        crowd[key].append(one["iscrowd"])
    for one in found:
        detections[one["image_id"], one["category_id"]].append(one[REGION[iou_type]])
    return [(objects[key], detections[key], crowd[key]) for key in objects if key in detections]


def as_rle(segmentation: list | dict, height: int, width: int) -> dict:
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str | bytes):
        return segmentation
    rle = masks.frPyObjects(segmentation, height, width)
    return masks.merge(rle) if isinstance(rle, list) else rle


# --- output ---


def print_table(seconds: dict[str, float], memory: dict[str, int | None], floor_seconds: float) -> None:
    print(f"{'candidate':<26}{'median CPU s':>13}{'ratio':>8}{'peak MiB':>10}")
    for name, value in seconds.items():
        print(f"{name:<26}{value:13.3f}{seconds['pycocotools'] / value:8.2f}{mebibytes(memory[name]):>10}")
    print(f"{'floor: IoUs':<26}{floor_seconds:13.3f}")


if __name__ == "__main__":
    raise SystemExit(main())
