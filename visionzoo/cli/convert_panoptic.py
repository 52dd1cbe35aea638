"""``visionzoo convert panoptic2coco | panoptic2instances | ...``: conversions and checks of panoptic data sets."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.cli.common import Parser, add_summary_flags, note, readers_on_stderr
from visionzoo.errors import DataError, RunFailed

if TYPE_CHECKING:  # reading data imports mmengine, which --help does not need
    from visionzoo.datasets.panoptic.files import PanopticFile, PanopticImage
    from visionzoo.structures.panoptic import PanopticMap

_SOURCE = "annotations in any shape: COCO, COCONut, rows of Hugging Face, a list of one image, panseg_info of XL"


@dataclass(frozen=True)
class Verb:
    """One conversion.

    Attributes:
        described: text of the help.
        examples: lines after ``visionzoo convert``.
        out: help of ``--out``; empty for a check, which writes nothing.
        run: converts, and returns numbers for the summary.
        add_flags: adds flags to the parser.
        is_file: True if OUT is one JSON file.
    """

    described: str
    examples: tuple[str, ...]
    out: str
    run: Callable[[argparse.Namespace], dict[str, Any]]
    add_flags: Callable[[Parser], None]
    is_file: bool = False


def parser(name: str) -> Parser:
    """Return the parser of one conversion."""
    verb = CONVERSIONS[name]
    examples = "\n".join(f"  visionzoo convert {example}" for example in verb.examples)
    described = Parser(f"convert {name}", verb.described, examples)
    verb.add_flags(described)
    if verb.out:
        described.add_argument("-o", "--out", type=Path, required=True, help=verb.out)
        described.add_argument("--overwrite", action="store_true", help="replace OUT if it exists (default: an error)")
    add_summary_flags(described)
    return described


def run(name: str, args: argparse.Namespace) -> int:
    """Run one conversion."""
    from visionzoo.datasets.coco_writing import require_free

    verb = CONVERSIONS[name]
    if verb.out:
        require_free(args.out, overwrite=args.overwrite, is_file=verb.is_file)
    with readers_on_stderr(quiet=args.quiet):
        numbers = verb.run(args)
    facts = {"out": str(args.out), **numbers} if verb.out else numbers
    if args.json:
        print(json.dumps(facts))
    counts = ", ".join(f"{count:,} {what}" for what, count in numbers.items() if isinstance(count, int))
    note(f"{args.out}: {counts}" if verb.out else counts, quiet=args.quiet)
    return 0


# --- flags and readers ---


def _add_source(described: Parser) -> None:
    described.add_argument("source", type=Path, help=_SOURCE)
    described.add_argument("--masks", type=Path, metavar="DIR", help="folder of the PNG files (default: beside SOURCE)")


def _read(args: argparse.Namespace) -> tuple[PanopticFile, Iterator[tuple[PanopticImage, PanopticMap]]]:
    """Return the annotations, and their maps with progress."""
    from visionzoo.cli.progress import progress
    from visionzoo.datasets.panoptic.maps import folder_of_masks, map_in
    from visionzoo.datasets.panoptic.reading import read_panoptic

    file = read_panoptic(args.source)
    folder = args.masks or folder_of_masks(args.source)
    images = progress(file.annotated, len(file.annotated), "reading", quiet=args.quiet)
    return file, ((image, map_in(folder, image, file.where)) for image in images)


def _write_json(args: argparse.Namespace, record: Any) -> None:
    from visionzoo.system.atomic import write_text

    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(args.out, json.dumps(record, ensure_ascii=False, allow_nan=False))


# --- conversions ---


def _add_coco(described: Parser) -> None:
    _add_source(described)
    described.add_argument("--renumber", action="store_true", help="number segments 1, 2, 3, ... (default: keep ids)")


def _to_coco(args: argparse.Namespace) -> dict[str, Any]:
    from visionzoo.datasets.coco_writing import new_folder
    from visionzoo.datasets.panoptic.semantic import renumbered
    from visionzoo.datasets.panoptic.writing import write_panoptic

    file, maps = _read(args)
    items = ((image, renumbered(panoptic) if args.renumber else panoptic) for image, panoptic in maps)
    without = [image for image in file.images if image.mask is None]
    with new_folder(args.out, overwrite=args.overwrite) as folder:
        record = write_panoptic(folder, args.source.stem, items, file.categories, without=without, info=file.info)
    return _numbers(record)


def _numbers(record: dict[str, Any]) -> dict[str, int]:
    segments = sum(len(each["segments_info"]) for each in record["annotations"])
    return {"images": len(record["images"]), "annotated": len(record["annotations"]), "segments": segments}


def _add_instances(described: Parser) -> None:
    _add_source(described)
    described.add_argument(
        "--form",
        choices=("rle", "coconut"),
        default="rle",
        help="run-length codes without loss, or the polygons of COCONut's script (default: rle)",
    )
    described.add_argument("--with-stuff", action="store_true", help="convert stuff too (default: things only)")


def _to_instances(args: argparse.Namespace) -> dict[str, Any]:
    from visionzoo.datasets.panoptic.instances import instances_record

    file, maps = _read(args)
    record = instances_record(file, maps, args.form, with_stuff=args.with_stuff)
    _write_json(args, record)
    return {"images": len(record["images"]), "instances": len(record["annotations"])}


def _to_boxes(args: argparse.Namespace) -> dict[str, Any]:
    from visionzoo.datasets.panoptic.instances import boxes_record

    record = boxes_record(*_read(args))
    _write_json(args, record)
    return {"images": len(record), "boxes": sum(len(each["bbox_infos"]) for each in record)}


def _add_semantic(described: Parser) -> None:
    _add_source(described)
    described.add_argument(
        "--numbers",
        choices=("index", "category"),
        default="index",
        help="class indices with 255 for no label, or category ids with 0 (default: index)",
    )
    described.add_argument("--things-together", action="store_true", help="with category: write 183 for all things")


def _to_semantic(args: argparse.Namespace) -> dict[str, Any]:
    from visionzoo.datasets.coco_writing import new_folder
    from visionzoo.datasets.panoptic.files import in_label_order
    from visionzoo.datasets.panoptic.semantic import category_map, index_map, write_labels
    from visionzoo.datasets.panoptic.writing import mask_name

    if args.things_together and args.numbers != "category":
        raise DataError("--things-together", expected="--numbers category", found="--numbers index", advice="add it")
    file, maps = _read(args)
    count = 0
    with new_folder(args.out, overwrite=args.overwrite) as folder:
        (folder / "annotations").mkdir()
        for image, panoptic in maps:
            labels = (
                index_map(panoptic, file.categories)
                if args.numbers == "index"
                else category_map(panoptic, file.categories, things_together=args.things_together)
            )
            write_labels(folder / "annotations" / mask_name(image), labels)
            count += 1
        names = [each.name for each in in_label_order(file.categories)]
        if args.numbers == "index":
            (folder / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return {"maps": count, "classes": len(names)}


# --- instances and stuff to panoptic ---


def _add_combining(described: Parser) -> None:
    described.add_argument("source", type=Path, help="a JSON with the images and all categories")
    described.add_argument(
        "--instances", type=Path, required=True, metavar="FILE", help="a COCO json or a list of results"
    )
    described.add_argument(
        "--stuff",
        type=Path,
        required=True,
        metavar="PATH",
        help="a list of results, or a folder of maps of class indices",
    )
    described.add_argument(
        "--heuristic", action="store_true", help="for predictions that overlap, by scores (default: exact, for truth)"
    )
    described.add_argument("--confidence", type=float, default=0.5, help="smallest score of an instance (default: 0.5)")
    described.add_argument(
        "--overlap", type=float, default=0.5, help="largest covered fraction of an instance (default: 0.5)"
    )
    described.add_argument(
        "--stuff-area", type=int, default=64 * 64, help="smallest area of stuff in pixels (default: 4096)"
    )


def _to_panoptic(args: argparse.Namespace) -> dict[str, Any]:
    from visionzoo.cli.progress import progress
    from visionzoo.datasets.coco_writing import new_folder
    from visionzoo.datasets.panoptic.combining import combined, joined
    from visionzoo.datasets.panoptic.reading import read_images
    from visionzoo.datasets.panoptic.results import Results
    from visionzoo.datasets.panoptic.writing import write_panoptic

    file = read_images(args.source)
    instances, stuff = Results.read(args.instances, file), Results.read(args.stuff, file)

    def maps() -> Iterator[tuple[PanopticImage, PanopticMap]]:
        for image in progress(file.images, len(file.images), "combining", quiet=args.quiet):
            size = stuff.size_of(image)
            parts = list(instances.regions(image, size)), list(stuff.regions(image, size))
            if args.heuristic:
                limits = {"confidence": args.confidence, "overlap": args.overlap, "stuff_area": args.stuff_area}
                yield image, combined(*parts, size, **limits)
            else:
                yield image, joined([*parts[0], *parts[1]], size, image.place)

    with new_folder(args.out, overwrite=args.overwrite) as folder:
        return _numbers(write_panoptic(folder, "panoptic", maps(), file.categories, info=file.info))


# --- merging ---


def _add_merging(described: Parser) -> None:
    described.add_argument("sources", type=Path, nargs="+", help=f"two or more files; {_SOURCE}")
    described.add_argument(
        "--masks", type=Path, nargs="+", metavar="DIR", help="folder of the PNG files of each source (default: its own)"
    )
    described.add_argument("--names", nargs="+", metavar="NAME", help="name of each source (default: its file name)")
    described.add_argument("--link", action="store_true", help="link the PNG files (default: copy them)")


def _merge(args: argparse.Namespace) -> dict[str, Any]:
    from visionzoo.datasets.coco_writing import new_folder
    from visionzoo.datasets.panoptic.joining import Source, join, write_joined
    from visionzoo.datasets.panoptic.maps import folder_of_masks
    from visionzoo.datasets.panoptic.reading import read_panoptic

    names = args.names or [path.stem for path in args.sources]
    masks = args.masks or [folder_of_masks(path) for path in args.sources]
    _require_one_each(args.sources, {"--names": names, "--masks": masks})
    sources = [Source(name, read_panoptic(path), folder) for name, path, folder in zip(names, args.sources, masks)]
    merged = join(sources)
    with new_folder(args.out, overwrite=args.overwrite) as folder:
        record = write_joined(folder, args.out.name, merged, link=args.link)
    for name in names:
        dropped, renumbered = merged.dropped[name], merged.renumbered[name]
        if dropped or renumbered:
            text = f"{name}: {dropped:,} images that an earlier source has, left out; {renumbered:,} with a new id"
            note(text, quiet=args.quiet)
    return _numbers(record) | {"dropped": merged.dropped.total(), "renumbered": merged.renumbered.total()}


def _require_one_each(sources: Sequence[Path], options: dict[str, Sequence[Any]]) -> None:
    for option, values in options.items():
        if len(values) != len(sources):
            expected = f"one value for each of {len(sources)} sources"
            raise DataError(option, expected=expected, found=f"{len(values)}", advice="name them in the same order")
    twice = [name for name in options["--names"] if list(options["--names"]).count(name) > 1]
    if twice:
        raise DataError("--names", expected="different names", found=f"{twice[0]} twice", advice="set --names")


# --- checking ---


def _add_checking(described: Parser) -> None:
    _add_source(described)
    described.add_argument("--images", type=Path, metavar="DIR", help="folder of the images (default: not checked)")
    described.add_argument(
        "--split", metavar="NAME", help="published split to compare with, such as coconut_s (default: name of SOURCE)"
    )
    described.add_argument("--report", type=Path, metavar="FILE", help="write all findings to a CSV (default: none)")
    described.add_argument("--jobs", type=int, default=1, help="number of threads (default: 1)")


def _check(args: argparse.Namespace) -> dict[str, Any]:
    from visionzoo.cli.progress import progress
    from visionzoo.datasets.panoptic.checking import check_panoptic

    def watch(images: Sequence[PanopticImage]) -> Iterable[PanopticImage]:
        return progress(images, len(images), "checking", quiet=args.quiet)

    report = check_panoptic(args.source, args.masks, args.images, watch=watch, jobs=max(1, args.jobs))
    published = report.published(args.split or args.source.stem)
    for line in [*published, *_lines_of(report.counts, report.findings)]:
        note(line, quiet=args.quiet)
    for text, count in report.notes.items():
        note(f"{text}: {count:,}", quiet=args.quiet)
    if args.report:
        _write_csv(args.report, report.findings)
    if not report.is_usable:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.counts.most_common())
        raise RunFailed(f"{args.source}: expected a data set without errors, found {kinds}; correct the files")
    numbers = {"images": report.images, "annotated": report.annotated, "segments": report.segments}
    return {**numbers, "findings": len(report.findings), "kinds": dict(report.counts), "published": published}


def _lines_of(counts: dict[str, int], findings: Sequence[Any], most: int = 3) -> Iterator[str]:
    for kind, count in counts.items():
        yield f"{kind}: {count:,}"
        for each in [finding for finding in findings if finding.kind == kind][:most]:
            yield f"  {each.place}: expected {each.expected}, found {each.found}"


def _write_csv(path: Path, findings: Sequence[Any]) -> None:
    import csv
    import io

    from visionzoo.system.atomic import write_text

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["kind", "place", "expected", "found"])
    writer.writerows([each.kind, each.place, each.expected, each.found] for each in findings)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue())


CONVERSIONS = {
    "panoptic2coco": Verb(
        "Write panoptic annotations of any shape as COCO does: one JSON with areas and boxes that are counted from the "
        "PNG files, and the PNG files.",
        (
            "panoptic2coco demo_segments_info.json -o data/demo",
            "panoptic2coco data/xl/panseg_info -o data/coconut_xl --renumber",
        ),
        "a new folder",
        _to_coco,
        _add_coco,
    ),
    "panoptic2instances": Verb(
        "Write the things of panoptic annotations as COCO instances.",
        (
            "panoptic2instances data/coconut/relabeled_coco_val.json -o instances_val2017.json",
            "panoptic2instances data/coconut/relabeled_coco_val.json -o polygons.json --form coconut",
        ),
        "the JSON to write",
        _to_instances,
        _add_instances,
        is_file=True,
    ),
    "panoptic2semantic": Verb(
        "Write the class of each pixel of panoptic annotations as PNG files. With class indices, OUT is a folder for "
        "`SemanticFolders`: `annotations/` and `classes.txt`.",
        ("panoptic2semantic data/coconut/coconut_s.json -o data/coconut_semantic",),
        "a new folder",
        _to_semantic,
        _add_semantic,
    ),
    "panoptic2boxes": Verb(
        "Write the boxes of the things of panoptic annotations, as COCONut's script for object detection does.",
        ("panoptic2boxes data/coconut/coconut_s.json -o boxes.json",),
        "the JSON to write",
        _to_boxes,
        _add_source,
        is_file=True,
    ),
    "coco2panoptic": Verb(
        "Join instances and stuff to panoptic annotations: exactly for ground truth, or by the heuristic of "
        "panopticapi for predictions.",
        (
            "coco2panoptic panoptic_val2017.json --instances instances.json --stuff maps/ -o data/joined",
            "coco2panoptic panoptic_val2017.json --instances segm.json --stuff stuff.json --heuristic -o results",
        ),
        "a new folder, with panoptic.json and panoptic/",
        _to_panoptic,
        _add_combining,
    ),
    "mergepanoptic": Verb(
        "Merge panoptic data sets to one JSON and one folder of PNG files. Ids are unique afterwards, an image of "
        "several sources is that of the first, and each image has its `source`.",
        ("mergepanoptic data/coconut_b.json data/panseg_object365_train_v2.json -o data/coconut_l --link",),
        "a new folder, with NAME.json and NAME/",
        _merge,
        _add_merging,
    ),
    "checkpanoptic": Verb(
        "Check a panoptic data set: ids of JSON and PNG, areas, boxes, sizes, categories, missing files, and the "
        "published numbers of its split. The exit code is 1 if a finding would stop a run.",
        ("checkpanoptic data/coconut/coconut_s.json --images data/coconut/train2017 --report findings.csv",),
        "",
        _check,
        _add_checking,
    ),
}
