"""Write the points of BCCD, the centres of its boxes, from the boxes of `visionzoo convert voc2coco`.

python datasets/bccd/prepare.py data/bccd
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

SPLITS = ("train", "val", "test")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder from `visionzoo convert voc2coco`")
    folder = parser.parse_args(argv).data
    missing = [split for split in SPLITS if not boxes_of(folder, split).is_file()]
    if missing:
        print(f"{boxes_of(folder, missing[0])}: no such file; convert BCCD first, see README.md", file=sys.stderr)
        return 1
    for split in SPLITS:
        rows = points_of(json.loads(boxes_of(folder, split).read_text(encoding="utf-8")), f"{split}2017")
        target = folder / f"{split}.jsonl"
        target.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        print(f"{target}: {len(rows)} images, {sum(len(row['points']) for row in rows)} points")
    return 0


def boxes_of(folder: Path, split: str) -> Path:
    return folder / "annotations" / f"instances_{split}2017.json"


def points_of(record: dict, folder: str) -> list[dict]:
    """Return one row for each image, with the centres of its boxes in pixels."""
    centres: dict[int, list[list[float]]] = {image["id"]: [] for image in record["images"]}
    for annotation in record["annotations"]:
        left, top, width, height = annotation["bbox"]
        centres[annotation["image_id"]].append([left + width / 2, top + height / 2])
    return [{"image": f"{folder}/{image['file_name']}", "points": centres[image["id"]]} for image in record["images"]]


if __name__ == "__main__":
    sys.exit(main())
