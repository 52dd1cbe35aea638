"""``visionzoo convert voc2coco | idmaps2coco | checkpoint``: convert data sets and weights to the zoo's formats."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from visionzoo.cli import convert_checkpoint, convert_id_maps
from visionzoo.cli.common import Parser, add_summary_flags, note, readers_on_stderr, run_verb
from visionzoo.errors import some_of

_USAGE = """usage: visionzoo convert WHAT ...

what:
  voc2coco     a Pascal VOC folder to the layout of COCO
  idmaps2coco  id maps of instances to a COCO json
  checkpoint   a released checkpoint to a safetensors file of the zoo

`visionzoo convert WHAT --help` lists the options. Two examples:
  visionzoo convert voc2coco data/raccoon -o data/raccoon_coco --val-every 5
  visionzoo convert checkpoint rcnet_r50.pth rcnet_retinanet.safetensors --from rcnet"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``convert voc2coco``, the main conversion."""
    return _voc2coco_parser()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one conversion. Return 0 on success, 2 for wrong use."""
    return run_verb("convert", "conversion", _CONVERSIONS, _USAGE, argv)


def _voc2coco_parser() -> Parser:
    parser = Parser(
        "convert voc2coco",
        "Convert a Pascal VOC folder to the layout of COCO. Files are named as in COCO 2017, so that a config for "
        "COCO needs only another data_root. Without --split and --val-every, the lists train, val and test in "
        "ImageSets/Main define the splits. Without these lists, every image is in train.",
        "  visionzoo convert voc2coco data/raccoon -o data/raccoon_coco --val-every 5\n"
        "  visionzoo convert voc2coco VOCdevkit/VOC2007 -o voc_test.json --split test --difficult ignore",
    )
    parser.add_argument(
        "voc", type=Path, help="folder with Annotations/*.xml and JPEGImages/, or annotations/ and images/"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="a new folder, or FILE.json for annotations only")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="FILE",
        help="a list of images, or its name in ImageSets/Main; repeat for each split (default: see above)",
    )
    choice.add_argument(
        "--val-every", type=_at_least_two, metavar="N", help="use every N-th image for val (default: none)"
    )
    parser.add_argument(
        "--classes", nargs="+", default=[], help="use only these classes, in this order (default: all, sorted)"
    )
    parser.add_argument(
        "--difficult",
        choices=("ignore", "keep", "drop"),
        default="ignore",
        help="objects marked difficult: set iscrowd, keep as usual objects, or leave out (default: ignore)",
    )
    parser.add_argument(
        "--zero-based",
        action="store_true",
        help="corners are pixel edges counted from 0, not pixel indices counted from 1 (default: off)",
    )
    parser.add_argument("--link", action="store_true", help="link the images (default: copy them)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists (default: an error)")
    add_summary_flags(parser)
    return parser


def _at_least_two(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 2, found {text!r}")
    return int(text)


def _voc2coco(args: argparse.Namespace) -> int:
    from visionzoo.cli.progress import progress
    from visionzoo.datasets.coco_writing import write_coco_file, write_coco_folder
    from visionzoo.datasets.voc import VocFolder, choose_splits, to_coco

    with readers_on_stderr(quiet=args.quiet):
        folder = VocFolder.find(args.voc)
        splits = choose_splits(folder, files=args.split, val_every=args.val_every)
        wanted = list(dict.fromkeys(stem for stems in splits.values() for stem in stems))
        images = folder.read_all(progress(wanted, len(wanted), "reading", quiet=args.quiet))
    coco = to_coco(folder, splits, images, classes=args.classes, difficult=args.difficult, zero_based=args.zero_based)
    if args.out.suffix == ".json":
        write_coco_file(args.out, coco.records, overwrite=args.overwrite)
    else:
        shown = {split: progress(files, len(files), split, quiet=args.quiet) for split, files in coco.images.items()}
        write_coco_folder(args.out, coco.records, shown, link=args.link, overwrite=args.overwrite)
    _summarize(args, coco.records, dict(coco.changes))
    return 0


def _summarize(args: argparse.Namespace, records: dict[str, dict], changes: dict[str, int]) -> None:
    splits = {name: (len(record["images"]), len(record["annotations"])) for name, record in records.items()}
    classes = [category["name"] for category in next(iter(records.values()))["categories"]]
    if args.json:
        counts = {name: {"images": images, "boxes": boxes} for name, (images, boxes) in splits.items()}
        print(json.dumps({"out": str(args.out), "splits": counts, "classes": classes, "changes": changes}))
    for name, (images, boxes) in splits.items():
        note(f"{name}: {images} images, {boxes} boxes", quiet=args.quiet)
    for change, count in sorted(changes.items()):
        note(f"boxes {change}: {count}", quiet=args.quiet)
    note(f"{args.out}: classes: {some_of(classes, most=12)}", quiet=args.quiet)


_CONVERSIONS: dict[str, tuple[Callable[[], Parser], Callable[[argparse.Namespace], int]]] = {
    "voc2coco": (_voc2coco_parser, _voc2coco),
    "idmaps2coco": (convert_id_maps.parser, convert_id_maps.run),
    "checkpoint": (convert_checkpoint.parser, convert_checkpoint.run),
}
