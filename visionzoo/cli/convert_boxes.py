"""``visionzoo convert voc2coco | yolo2coco | labelme2coco | cvat2coco | via2coco``: boxes and masks to COCO."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.cli.common import Parser, add_summary_flags, note, readers_on_stderr
from visionzoo.errors import DataError, some_of

if TYPE_CHECKING:  # reading data imports mmengine, which --help does not need
    from visionzoo.datasets.coco_records import AnnotatedImages, CocoRecords

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
Watch = Callable[[Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Conversion:
    """What one conversion has beside the flags of all conversions.

    Attributes:
        described: text of the help.
        examples: lines after ``visionzoo convert``.
        source: help of the positional argument.
        read: reads the images with the arguments; its second argument shows the progress of a list.
        add_flags: adds flags to the parser; its second argument is the group of flags that choose splits.
    """

    described: str
    examples: tuple[str, ...]
    source: str
    read: Callable[[argparse.Namespace, Watch], AnnotatedImages]
    add_flags: Callable[[argparse.ArgumentParser, argparse._MutuallyExclusiveGroup], None] = lambda *_: None


def parser(name: str) -> Parser:
    """Return the parser of one conversion."""
    conversion = CONVERSIONS[name]
    described = Parser(
        f"convert {name}",
        f"{conversion.described} Files are named as in COCO 2017, so that a config for COCO needs only another "
        "data_root.",
        "\n".join(f"  visionzoo convert {example}" for example in conversion.examples),
    )
    described.add_argument("source", type=Path, help=conversion.source)
    described.add_argument(
        "-o", "--out", type=Path, required=True, help="a new folder, or FILE.json for annotations only"
    )
    choice = described.add_mutually_exclusive_group()
    choice.add_argument(
        "--val-every", type=_at_least_two, metavar="N", help="use every N-th image for val (default: none)"
    )
    conversion.add_flags(described, choice)
    described.add_argument(
        "--classes", nargs="+", default=[], help="use only these classes, in this order (default: all)"
    )
    described.add_argument("--link", action="store_true", help="link the images (default: copy them)")
    described.add_argument("--overwrite", action="store_true", help="replace OUT if it exists (default: an error)")
    add_summary_flags(described)
    return described


def run(name: str, args: argparse.Namespace) -> int:
    """Run one conversion."""
    from visionzoo.cli.progress import progress
    from visionzoo.datasets.coco_records import to_coco
    from visionzoo.datasets.coco_writing import require_free, write_coco_file, write_coco_folder

    one_file = args.out.suffix == ".json"
    require_free(args.out, overwrite=args.overwrite, is_file=one_file)
    _require_unpacked(args.source)
    with readers_on_stderr(quiet=args.quiet):
        images = CONVERSIONS[name].read(args, lambda items: progress(items, len(items), "reading", quiet=args.quiet))
    coco = to_coco(images, args.classes)
    if one_file:
        write_coco_file(args.out, coco.records, overwrite=args.overwrite)
    else:
        shown = {split: progress(files, len(files), split, quiet=args.quiet) for split, files in coco.images.items()}
        write_coco_folder(args.out, coco.records, shown, link=args.link, overwrite=args.overwrite)
    _summarize(args, coco, one_file)
    return 0


def _require_unpacked(source: Path) -> None:
    if source.suffix.lower() in _ARCHIVES and source.is_file():
        raise DataError(source, expected="a folder", found="an archive", advice="unpack it and name its folder")


def _at_least_two(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 2, found {text!r}")
    return int(text)


def _summarize(args: argparse.Namespace, coco: CocoRecords, one_file: bool) -> None:
    splits = {name: (len(record["images"]), len(record["annotations"])) for name, record in coco.records.items()}
    classes = [category["name"] for category in next(iter(coco.records.values()))["categories"]]
    if args.json:
        counts = {name: {"images": images, "boxes": boxes} for name, (images, boxes) in splits.items()}
        summary = {"out": str(args.out), "splits": counts, "classes": classes, "changes": dict(coco.changes)}
        print(json.dumps(summary))
    for name, (images, boxes) in splits.items():
        note(f"{name}: {images} images, {boxes} boxes", quiet=args.quiet)
        if one_file:
            note(f"{name}: the folder of the images is {coco.folders[name]}", quiet=args.quiet)
    for change, count in sorted(coco.changes.items()):
        note(f"boxes {change}: {count}", quiet=args.quiet)
    note(f"{args.out}: classes: {some_of(classes, most=12)}", quiet=args.quiet)
    if not one_file and "train" in splits:
        note(f"\nnext:\n{_next_command(args.out, coco)}", quiet=args.quiet)


def _next_command(out: Path, coco: CocoRecords) -> str:
    """Return the command that trains a model on the data: of masks if objects have outlines, else of boxes."""
    has_outlines = any("segmentation" in each for each in coco.records["train"]["annotations"])
    name = "rcnet_mask_rcnn" if has_outlines else "rcnet_retinanet"
    return f"  visionzoo train {name} --data {shlex.quote(str(out))}"


# --- Pascal VOC ---


def _add_voc_flags(described: argparse.ArgumentParser, choice: argparse._MutuallyExclusiveGroup) -> None:
    choice.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="FILE",
        help="a list of images, or its name in ImageSets/Main; repeat for each split (default: see above)",
    )
    described.add_argument(
        "--difficult",
        choices=("ignore", "keep", "drop"),
        default="ignore",
        help="objects marked difficult: set iscrowd, keep as usual objects, or leave out (default: ignore)",
    )
    described.add_argument(
        "--zero-based",
        action="store_true",
        help="corners are pixel edges counted from 0, not pixel indices counted from 1 (default: off)",
    )


def _read_voc(args: argparse.Namespace, watch: Watch) -> AnnotatedImages:
    from visionzoo.datasets.voc import VocFolder, annotated, choose_splits

    folder = VocFolder.find(args.source)
    splits = choose_splits(folder, files=args.split, val_every=args.val_every)
    wanted = list(dict.fromkeys(stem for stems in splits.values() for stem in stems))
    images = folder.read_all(watch(wanted))
    return annotated(folder, splits, images, difficult=args.difficult, zero_based=args.zero_based)


# --- YOLO ---


def _add_yolo_flags(described: argparse.ArgumentParser, _: argparse._MutuallyExclusiveGroup) -> None:
    described.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="class names, one per line (default: data.yaml, classes.txt or obj.names)",
    )


def _read_yolo(args: argparse.Namespace, watch: Watch) -> AnnotatedImages:
    from visionzoo.datasets.coco_records import each_nth
    from visionzoo.datasets.yolo import read_yolo

    return each_nth(read_yolo(args.source, names_file=args.names, watch=watch), args.val_every)


# --- labelme, CVAT, VIA ---


def _add_image_folder(described: argparse.ArgumentParser, _: argparse._MutuallyExclusiveGroup) -> None:
    described.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the images (default: that of SOURCE, or images/ in it)"
    )


def _add_via_flags(described: argparse.ArgumentParser, choice: argparse._MutuallyExclusiveGroup) -> None:
    _add_image_folder(described, choice)
    described.add_argument(
        "--attribute", metavar="NAME", help="region attribute that is the class (default: the only one)"
    )


def _read_labelme(args: argparse.Namespace, watch: Watch) -> AnnotatedImages:
    from visionzoo.datasets.coco_records import each_nth
    from visionzoo.datasets.labelme import read_labelme

    return each_nth(read_labelme(args.source, watch=watch), args.val_every)


def _read_cvat(args: argparse.Namespace, watch: Watch) -> AnnotatedImages:
    from visionzoo.datasets.coco_records import each_nth
    from visionzoo.datasets.cvat import read_cvat

    return each_nth(read_cvat(args.source, images=args.images, watch=watch), args.val_every)


def _read_via(args: argparse.Namespace, watch: Watch) -> AnnotatedImages:
    from visionzoo.datasets.coco_records import each_nth
    from visionzoo.datasets.via import read_via

    return each_nth(read_via(args.source, images=args.images, attribute=args.attribute, watch=watch), args.val_every)


CONVERSIONS = {
    "voc2coco": Conversion(
        "Convert a Pascal VOC folder to the layout of COCO. Without --split and --val-every, the lists train, val and "
        "test in ImageSets/Main define the splits. Without these lists, every image is in train.",
        (
            "voc2coco data/raccoon -o data/raccoon_coco --val-every 5",
            "voc2coco VOCdevkit/VOC2007 -o voc_test.json --split test --difficult ignore",
        ),
        "folder with Annotations/*.xml and JPEGImages/, or annotations/ and images/",
        _read_voc,
        _add_voc_flags,
    ),
    "yolo2coco": Conversion(
        "Convert YOLO labels, boxes or polygons, to the layout of COCO. The splits are those of data.yaml, or the "
        "folders train, val and test.",
        (
            "yolo2coco data/boats -o data/boats_coco --val-every 5",
            "yolo2coco data/boats/data.yaml -o data/boats_coco --link",
        ),
        "folder with images/ and labels/, or its data.yaml",
        _read_yolo,
        _add_yolo_flags,
    ),
    "labelme2coco": Conversion(
        "Convert labelme's JSON files to the layout of COCO. Folders train, val and test are splits. Without them, "
        "every image is in train. Shapes of one group_id are one object.",
        ("labelme2coco data/cells -o data/cells_coco --val-every 5",),
        "folder with one JSON for each image",
        _read_labelme,
    ),
    "cvat2coco": Conversion(
        "Convert an export `CVAT for images 1.1` to the layout of COCO. The subsets of CVAT are the splits.",
        (
            "cvat2coco data/cars -o data/cars_coco --val-every 5",
            "cvat2coco annotations.xml --images data/frames -o data/cars_coco",
        ),
        "folder with annotations.xml, or the XML file",
        _read_cvat,
        _add_image_folder,
    ),
    "via2coco": Conversion(
        "Convert a project, JSON or CSV of the VGG Image Annotator 2 to the layout of COCO. Every image is in train, "
        "without --val-every.",
        (
            "via2coco data/birds/via_project.json -o data/birds_coco --val-every 5",
            "via2coco via_region_data.csv --images data/birds -o data/birds_coco --attribute species",
        ),
        "the JSON or CSV file, or a folder with one of them",
        _read_via,
        _add_via_flags,
    ),
}
