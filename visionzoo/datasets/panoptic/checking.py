"""Check of a panoptic data set: everything that is wrong with its JSON, PNG and image files, with file and id."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionzoo.datasets.decoding import read_bytes
from visionzoo.datasets.issues import Examined, Issue
from visionzoo.datasets.missing_files import are_files
from visionzoo.datasets.panoptic.files import PanopticFile, PanopticImage
from visionzoo.datasets.panoptic.id_png import decode_id_png, is_single_channel
from visionzoo.datasets.panoptic.maps import folder_of_masks
from visionzoo.datasets.panoptic.reading import parsed
from visionzoo.datasets.panoptic.shapes import read_raw
from visionzoo.errors import DataError
from visionzoo.structures.image_size import size_of_file
from visionzoo.structures.panoptic import Extent, extents_of

# Images and segments of the published splits, as their page rounds them, and the units of the rounding.
PUBLISHED = {
    "coconut_s": (118_000, 1_540_000),
    "coconut_b": (242_000, 2_780_000),
    "coconut_l": (358_000, 4_750_000),
    "coconut_xl": (488_000, 6_430_000),
    "relabeled_coco_val": (5_000, 67_000),
    "coconut_val": (25_000, 437_000),
}
_IMAGE_UNIT, _SMALL_UNIT, _LARGE_UNIT = 1_000, 1_000, 10_000

# Findings that change no number of this package, because it counts areas and boxes from the PNG and leaves images
# without annotation out.
HARMLESS = (
    "image without annotation",
    "area that differs from the PNG",
    "box of width or height 0",
    "box that differs from the PNG",
    "PNG of one channel",
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: what is wrong, such as ``id in PNG without JSON``.
        place: the file or image, and the id of the segment.
        expected, found: the expected and the actual value.
    """

    kind: str
    place: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.place}: expected {self.expected}, found {self.found}"


@dataclass
class Report:
    """Findings about one data set.

    Attributes:
        where: its file.
        images, annotated, segments: numbers of images, of images with annotation, and of segments.
        findings: everything that is wrong.
        notes: values that are read in their obvious meaning, and their numbers.
    """

    where: str
    images: int = 0
    annotated: int = 0
    segments: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    def wrong(self, entry: object, field: str, *, expected: str, found: str) -> None:
        """Add a finding of the reader."""
        self.findings.append(Finding(_KINDS.get(field, f"wrong {field}"), f"{entry}", expected, found))

    def note(self, text: str, count: int = 1) -> None:
        """Add a note of the reader."""
        self.notes[text] += count

    @property
    def counts(self) -> Counter[str]:
        """Number of findings of each kind."""
        return Counter(each.kind for each in self.findings)

    @property
    def is_usable(self) -> bool:
        """True if no finding changes a number or stops a run."""
        return all(each.kind in HARMLESS for each in self.findings)

    def published(self, split: str) -> list[str]:
        """Return the published numbers of a split beside those of the data set; empty for an unknown split.

        Example:
            >>> Report("coconut_s.json", images=118_287, segments=1_500_000).published("coconut_s")
            ['images: 118,287 of 118,000 (agrees)', 'segments: 1,500,000 of 1,540,000 (differs)']
        """
        images, segments = PUBLISHED.get(split.removesuffix("_panoptic"), (0, 0))
        if not images:
            return []
        unit = _LARGE_UNIT if segments >= 1_000_000 else _SMALL_UNIT
        pairs = ("images", self.images, images, _IMAGE_UNIT), ("segments", self.segments, segments, unit)
        return [
            f"{name}: {found:,} of {stated:,} ({'agrees' if abs(found - stated) < unit else 'differs'})"
            for name, found, stated, unit in pairs
        ]


# Kinds of the reader's findings, by field.
_KINDS = {
    "id": "duplicate or invalid id",
    "category_id": "unknown category",
    "image id": "duplicate image id",
    "file_name": "duplicate image file",
    "image_id": "annotation without image",
    "annotation": "duplicate or invalid annotation",
}

Watch = Callable[[Sequence[PanopticImage]], Iterable[PanopticImage]]


def check_panoptic(
    path: Path, masks: Path | None = None, images: Path | None = None, *, watch: Watch = iter, jobs: int = 1
) -> Report:
    """Check a data set; every PNG is read.

    Args:
        path: the annotations, in any shape.
        masks: folder of the PNG files. Default: :func:`visionzoo.datasets.panoptic.maps.folder_of_masks`.
        images: folder of the images, whose sizes are compared; None to check no image.
        watch: shows the progress of a list.
        jobs: number of threads.

    Raises:
        DataError: the file cannot be read at all.

    Example:
        >>> from visionzoo.datasets.tiny import resolve_data_root
        >>> report = check_panoptic(resolve_data_root("tiny://coconut?train=2&val=1&size=32") / "coconut_s.json")
        >>> report.images, report.is_usable, report.findings
        (2, True, [])
    """
    report = Report(f"{path}")
    file = parsed(read_raw(path), path, report)
    folder = masks or folder_of_masks(path)
    report.images, report.annotated = len(file.images), len(file.annotated)
    report.segments = sum(len(image.segments) for image in file.images)
    report.findings += _without_annotation(file)
    if images is not None:
        report.findings += _of_image_files(file, images)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        findings = pool.map(lambda image: list(_of_image(folder, image)), file.annotated)
        for _, found in zip(watch(file.annotated), findings):
            report.findings += found
    return report


def _without_annotation(file: PanopticFile) -> Iterator[Finding]:
    for image in file.images:
        if image.mask is None:
            yield Finding("image without annotation", image.place, "an annotation", "none")


def _of_image_files(file: PanopticFile, folder: Path) -> Iterator[Finding]:
    paths = [os.path.join(folder, image.file_name) for image in file.images]
    for image, path, is_there in zip(file.images, paths, are_files(paths)):
        if not is_there:
            yield Finding("image file missing", f"{image.place}: {path}", "an image file", "no such file")
            continue
        try:
            width, height = size_of_file(path)
        except DataError as error:
            yield Finding("image file that cannot be read", path, f"{error.expected}", f"{error.found or error.but}")
            continue
        if image.height and image.width and (width, height) != (image.width, image.height):
            yield Finding(
                "image of another size", path, f"{image.width}x{image.height} as in JSON", f"{width}x{height}"
            )


def _of_image(folder: Path, image: PanopticImage) -> Iterator[Finding]:
    """Yield the findings about the PNG of an image and its segments."""
    path = folder / f"{image.mask}"
    try:
        data = read_bytes(path, "an id map")
        ids = decode_id_png(data, path)
    except DataError as error:
        kind = "PNG missing" if error.found == "no such file" else "PNG that cannot be read"
        yield Finding(kind, f"{image.place}: {path}", f"{error.expected}", f"{error.found or error.but}")
        return
    if is_single_channel(data):
        yield Finding("PNG of one channel", f"{path}", "RGB with id = R + 256 G + 65536 B", "plain ids")
    if image.height and image.width and ids.shape != (image.height, image.width):
        found = f"{ids.shape[1]}x{ids.shape[0]}"
        yield Finding("PNG of another size", f"{path}", f"{image.width}x{image.height} as in JSON", found)
    extents, stated = extents_of(ids), {each["id"]: each for each in image.segments}
    for number in sorted(extents.keys() - stated.keys()):
        found = f"{extents[number].area} pixels"
        yield Finding("id in PNG without JSON", f"{path}, id {number}", "a segment in JSON", found)
    for number, segment in stated.items():
        place = f"{path}, segment {number}"
        if number in extents:
            yield from _of_segment(place, segment, extents[number])
        else:
            yield Finding("id in JSON without PNG", place, "pixels in the PNG", "none")


def _of_segment(place: str, segment: Mapping[str, Any], extent: Extent) -> Iterator[Finding]:
    area, box = segment.get("area"), segment.get("bbox")
    if area is not None and area != extent.area:
        yield Finding("area that differs from the PNG", place, f"{extent.area}", f"{area}")
    if box is not None and min(box[2:]) <= 0:
        yield Finding("box of width or height 0", place, f"{list(extent.bbox)}", f"{box}")
    elif box is not None and tuple(box) != extent.bbox:
        yield Finding("box that differs from the PNG", place, f"{list(extent.bbox)}", f"{box}")


def examined_panoptic(record: Mapping[str, Any]) -> Examined:
    """Return the issues of one record of ``PanopticDataset``: those of its PNG file and its segments.

    Args:
        record: ``panoptic_path`` and ``segments``; ``height`` and ``width`` if the file states them.
    """
    path = Path(record["panoptic_path"])
    segments = [dict(each) for each in record["segments"]]
    sides = record.get("height"), record.get("width")
    image = PanopticImage(record["img_id"], f"{record['img_path']}", *sides, mask=path.name, segments=segments)
    issues = [
        Issue(each.kind, each.place, f"expected {each.expected}, found {each.found}", is_note=each.kind in HARMLESS)
        for each in _of_image(path.parent, image)
    ]
    labels = [each["category_id"] for each in segments if each["category_id"] >= 0]
    return Examined(issues, labels, has_truth=bool(labels))
