"""Reading of a COCO annotation file: ours, which checks every entry, against ``json.load`` with pycocotools' index.

    python benchmarks/coco_reading.py                              # a synthetic file of val2017's shape, a minute
    python benchmarks/coco_reading.py --ann-file instances_val2017.json

The synthetic file has 5,000 images, 80 categories and 36,781 boxes with polygons, as val2017. Both sides read the same
file and run in turns in one process on one thread. Times are CPU time, medians of the rounds. ``data set`` is the time
until all samples of :class:`CocoDetection` are built, against mmdet's data set. Accept: 1.3 times the time of the plain
reading, also with a check of all masks.

Measured on 2026-11-30 (one of two x86-64 cores, idle), CPU seconds and ratio:

    plain             0.95  1.00
    strict            0.80  0.84    the reading suspends Python's search for cycles
    strict, masks     0.96  1.01
    mmdet data set    1.73  1.00
    our data set      1.25  0.73
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from timing import Row, Run, record, time_in_turns

with contextlib.redirect_stdout(io.StringIO()):
    from mmdet.datasets.coco import CocoDataset
    from pycocotools.coco import COCO

from visionzoo.datasets import coco
from visionzoo.datasets.coco_annotations import require_segmentations
from visionzoo.datasets.coco_file import read_coco

ACCEPT = 1.3
THEIRS = {"plain": "pycocotools' index", "mmdet data set": "mmdet's CocoDataset"}
IMAGES, BOXES, CATEGORIES = 5000, 36_781, 80


def main(argv: Sequence[str] | None = None) -> int:
    """Print the medians and ratios. Return 1 if a ratio is not accepted."""
    args = parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = args.ann_file or Path(folder, "instances.json")
        if args.ann_file is None:
            path.write_text(json.dumps(synthetic(args.images)))
        seconds = time_in_turns(candidates(path), args.rounds)
    print(f"{args.ann_file or f'{BOXES:,} boxes'}, one thread, CPU seconds and ratio")
    for name, value in seconds.items():
        base = seconds["mmdet data set" if "data set" in name else "plain"]
        print(f"{name:<22}{value:8.3f}{value / base:7.2f}")
    what = f"reading of {args.ann_file.name if args.ann_file else f'a COCO file of {args.images:,} images'}"
    for name, other, goal in (("strict", "plain", ACCEPT), ("our data set", "mmdet data set", 1.0)):
        record(Row(f"{what}: {name}", THEIRS[other], seconds[name], seconds[other], "same records", goal))
    worst = max(seconds["strict"], seconds["strict, masks"]) / seconds["plain"]
    print(f"{'accepted' if worst <= ACCEPT else 'NOT accepted'}: {worst:.2f} times (at most {ACCEPT})")
    return int(worst > ACCEPT)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the file and the rounds."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    described.add_argument("--ann-file", type=Path, help="an instances json (default: a synthetic one)")
    described.add_argument("--images", type=int, default=IMAGES, help=f"of the synthetic file (default: {IMAGES})")
    described.add_argument("--rounds", type=int, default=7, help="turns of each candidate, at least 5 (default 7)")
    return described


def synthetic(count: int = IMAGES) -> dict:
    """Return a record of val2017's shape: polygons have 6 to 60 corners with two decimals."""
    rng, boxes = np.random.default_rng(0), count * BOXES // IMAGES
    images = [
        {
            "license": 4,
            "file_name": f"{number:012d}.jpg",
            "coco_url": f"http://images.cocodataset.org/val2017/{number:012d}.jpg",
            "height": 480,
            "width": 640,
            "date_captured": "2013-11-14 17:02:52",
            "flickr_url": "http://farm7.staticflickr.com/6116/6255196340_da26cf2c9e_z.jpg",
            "id": number,
        }
        for number in rng.permutation(600_000)[:count].tolist()
    ]
    annotations = [_annotation(rng, number, images[int(rng.integers(count))]["id"]) for number in range(1, boxes + 1)]
    categories = [{"supercategory": "thing", "id": number, "name": f"name {number}"} for number in range(1, 81)]
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}


def _annotation(rng: np.random.Generator, number: int, image_id: int) -> dict:
    x, y, width, height = rng.uniform((0, 0, 8, 8), (320, 240, 300, 220)).tolist()
    corners = rng.uniform((x, y), (x + width, y + height), (int(rng.integers(6, 60)), 2))
    return {
        "segmentation": [corners.round(2).ravel().tolist()],
        "area": round(width * height * 0.7, 4),
        "iscrowd": 0,
        "image_id": image_id,
        "bbox": [round(value, 2) for value in (x, y, width, height)],
        "category_id": int(rng.integers(1, CATEGORIES + 1)),
        "id": number,
    }


def candidates(path: Path) -> dict[str, Run]:
    """Return both sides, without and with the building of samples."""
    coco.require_image_files = lambda *_: None  # no image is read here
    names = tuple(category["name"] for category in json.loads(path.read_bytes())["categories"])
    return {
        "plain": lambda: plain(path),
        "strict": lambda: read_coco(path),
        "strict, masks": lambda: require_segmentations(path, read_coco(path), "masks are needed"),
        "mmdet data set": lambda: quiet(CocoDataset, str(path), {"classes": names}, data_prefix={"img": ""}),
        "our data set": lambda: coco.CocoDetection(str(path), str(path.parent)),
    }


def plain(path: Path) -> COCO:
    """Read the file as pycocotools does."""
    return quiet(COCO, str(path))


def quiet(function, *args, **options):
    """Call a function without its output."""
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*args, **options)


if __name__ == "__main__":
    raise SystemExit(main())
