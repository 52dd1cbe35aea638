"""``visionzoo convert idmaps2coco``: convert a folder of id maps to one COCO json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from visionzoo.cli.common import Parser, add_summary_flags, note, readers_on_stderr


def parser() -> Parser:
    """Return the parser of ``convert idmaps2coco``."""
    described = Parser(
        "convert idmaps2coco",
        "Write the instances of id maps as COCO annotations of one category. An id map is a PNG of 8 or 16 bit, or "
        "with a palette. Its value is 0 for the background and k for instance k.",
        "  visionzoo convert idmaps2coco data/sis1k -o data/sis1k/annotations/instances_train.json --split train.txt\n"
        "  visionzoo convert idmaps2coco data/sis1k -o all.json --maps ids --category salient",
    )
    described.add_argument("root", type=Path, help="folder with imgs/<name>.jpg and instances/<name>.png")
    described.add_argument("-o", "--out", type=Path, required=True, help="the json to write")
    described.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="a file with one name per line, here or in ROOT (default: all id maps)",
    )
    described.add_argument("--imgs", default="imgs", help="folder of the images in ROOT (default: imgs)")
    described.add_argument("--maps", default="instances", help="folder of the id maps in ROOT (default: instances)")
    described.add_argument("--category", default="salient", help="name of the only category (default: salient)")
    described.add_argument("--overwrite", action="store_true", help="replace OUT if it exists (default: an error)")
    add_summary_flags(described)
    return described


def run(args: argparse.Namespace) -> int:
    """Convert one split."""
    from visionzoo.cli.progress import progress
    from visionzoo.datasets.coco_writing import require_free, write_coco_file
    from visionzoo.datasets.id_maps import images_of, to_coco

    require_free(args.out, overwrite=args.overwrite, is_file=True)
    with readers_on_stderr(quiet=args.quiet):
        pairs = images_of(args.root, _found(args.root, args.split), img_folder=args.imgs, map_folder=args.maps)
        record = to_coco(progress(pairs, len(pairs), "reading", quiet=args.quiet), args.category)
    write_coco_file(args.out, {"all": record}, overwrite=args.overwrite)
    images, instances = len(record["images"]), len(record["annotations"])
    if args.json:
        print(json.dumps({"out": str(args.out), "images": images, "instances": instances}))
    note(f"{args.out}: {images} images, {instances} instances", quiet=args.quiet)
    return 0


def _found(root: Path, split: Path | None) -> Path | None:
    """Return the path of a list: relative to the working folder if that file exists, else relative to ROOT."""
    return split if split is None or split.is_file() else root / split
