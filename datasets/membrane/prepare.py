"""Write the 30 sections with their membranes as masks: membranes become 255, cells 0, and three lists the splits.

python datasets/membrane/prepare.py unet/data/membrane/train data/membrane
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2

SECTIONS = 30
SPLITS = {"train": range(20), "val": range(20, 25), "test": range(25, 30)}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with image/0.png to 29.png and label/0.png to 29.png")
    parser.add_argument("target", type=Path, help="folder to write, usually data/membrane")
    args = parser.parse_args(argv)
    pairs = [args.source / kind / f"{number}.png" for kind in ("image", "label") for number in range(SECTIONS)]
    missing = [path for path in pairs if not path.is_file()]
    if missing:
        print(f"{missing[0]}: no such file ({len(missing)} of {len(pairs)} missing), see README.md", file=sys.stderr)
        return 1
    for name in ("imgs", "gt"):
        (args.target / name).mkdir(parents=True, exist_ok=True)
    for number in range(SECTIONS):
        image = cv2.imread(str(args.source / "image" / f"{number}.png"), cv2.IMREAD_GRAYSCALE)
        cells = cv2.imread(str(args.source / "label" / f"{number}.png"), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(args.target / "imgs" / f"{number:02d}.png"), image)
        cv2.imwrite(str(args.target / "gt" / f"{number:02d}.png"), 255 - cells)
    for split, numbers in SPLITS.items():
        lines = "".join(f"{number:02d}\n" for number in numbers)
        (args.target / f"{split}.txt").write_text(lines, encoding="utf-8")
    print(f"{args.target}: {SECTIONS} sections, " + ", ".join(f"{len(each)} {name}" for name, each in SPLITS.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
