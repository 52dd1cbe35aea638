"""Reading of panoptic annotations in any shape, with a check of every entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from visionzoo.datasets.coco_annotations import MOST_PIXELS
from visionzoo.datasets.file_names import path_problem
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.json_objects import no_garbage_collection, read_json
from visionzoo.datasets.panoptic.categories import COCO_PANOPTIC
from visionzoo.datasets.panoptic.class_indices import with_ids
from visionzoo.datasets.panoptic.files import PanopticFile, PanopticImage
from visionzoo.datasets.panoptic.id_png import LARGEST_ID
from visionzoo.datasets.panoptic.shapes import read_raw
from visionzoo.errors import DataError
from visionzoo.structures.panoptic import PanopticCategory

_PHOTO_ENDINGS = (".jpg", ".jpeg")
_MOST_AREA = MOST_PIXELS**2


class Reports(Protocol):
    """Takes what is wrong with a file, as :class:`visionzoo.datasets.findings.Findings` does."""

    def wrong(self, entry: object, field: str, *, expected: str, found: str) -> None:
        """Report a value that has no obvious meaning."""

    def note(self, text: str, count: int = 1) -> None:
        """Report a value that is read in its obvious meaning."""


def read_panoptic(
    path: Path, categories: Sequence[PanopticCategory] | None = None, *, say_notes: bool = True
) -> PanopticFile:
    """Read panoptic annotations in any shape of :mod:`visionzoo.datasets.panoptic.shapes`.

    The PNG files are not read. ``isthing`` of a category decides, not that of a segment.

    Args:
        path: the file, or a folder of COCONut-XL.
        categories: categories if the file has none. Default: :data:`COCO_PANOPTIC`.
        say_notes: False to print no warning, if another reader of the file printed it.

    Raises:
        DataError: the file is missing or has another form. Ids are not unique, or name no image or category. The
            message has the number of errors by field, and the first three with file and id.
    """
    with Findings(path, expected="panoptic annotations", say_notes=say_notes) as findings, no_garbage_collection():
        return parsed(read_raw(path), path, findings, categories)


def read_images(path: Path, categories: Sequence[PanopticCategory] | None = None) -> PanopticFile:
    """Read only images and categories of a JSON object; annotations are ignored, and need not be there.

    Args:
        path: the file, such as COCO's ``image_info_test-dev2017.json`` or a panoptic one.
        categories: see :func:`read_panoptic`.

    Raises:
        DataError: see :func:`read_panoptic`.
    """
    record = read_json(path)
    if not isinstance(record.get("images"), list):
        advice = "name a COCO json with images and categories"
        raise DataError(path, expected="a list images", found=shown(list(record)), advice=advice)
    with Findings(path, expected="images and categories") as findings:
        return parsed({**record, "annotations": []}, path, findings, categories)


def parsed(
    raw: Mapping[str, Any], where: Path | str, reports: Reports, categories: Sequence[PanopticCategory] | None = None
) -> PanopticFile:
    """Return annotations in the shape of COCO as a :class:`PanopticFile`; entries with errors are left out.

    Args:
        raw: lists ``images`` and ``annotations``, and ``categories``, a list or None.
        where: the file, for messages.
        reports: takes the errors.
        categories: categories if the file has none. Default: :data:`COCO_PANOPTIC`.
    """
    known = tuple(_categories(raw.get("categories") or [], reports)) or tuple(categories or COCO_PANOPTIC)
    images = _images(raw["images"], reports)
    if indices := with_ids(raw["annotations"], images, known):
        reports.note("segments whose category_id is a class index, read as such", indices)
    _Annotations(images, {each.id: each for each in known}, reports).add_all(raw["annotations"])
    info = {key: raw[key] for key in ("info", "licenses") if key in raw}
    return PanopticFile(where, list(images.values()), known, info)


def _categories(entries: Any, reports: Reports) -> Iterator[PanopticCategory]:
    ids: set[int] = set()
    names: set[str] = set()
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        place = f"categories[{number}]"
        if not isinstance(entry, dict) or not _is_whole(entry.get("id")) or not isinstance(entry.get("name"), str):
            reports.wrong(place, "category", expected="an object with id and name", found=shown(entry))
        elif entry.get("isthing") not in (0, 1):
            found = shown(entry["isthing"]) if "isthing" in entry else "none"
            reports.wrong(f"{place}: {entry['name']}", "isthing", expected="0 or 1", found=found)
        elif entry["id"] in ids:
            reports.wrong(f"{place}: {entry['name']}", "id", expected="unique ids", found=f"{entry['id']} twice")
        elif entry["name"] in names:
            reports.wrong(place, "name", expected="unique names", found=f"{shown(entry['name'])} twice")
        else:
            ids.add(entry["id"])
            names.add(entry["name"])
            group = entry.get("supercategory") or ""
            yield PanopticCategory(entry["id"], entry["name"], bool(entry["isthing"]), f"{group}")


def _images(entries: Any, reports: Reports) -> dict[int | str, PanopticImage]:
    images: dict[int | str, PanopticImage] = {}
    files: set[str] = set()
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict) or not _is_key(entry.get("id")) or not isinstance(entry.get("file_name"), str):
            expected = "an object with id and file_name"
            reports.wrong(f"images[{number}]", "image", expected=expected, found=shown(entry))
            continue
        if problem := _name_problem(entry["file_name"]):
            reports.wrong(f"images[{number}]", "file_name", expected="the name of a file", found=problem)
            continue
        image = PanopticImage(entry["id"], entry["file_name"], source=f"{entry.get('source') or ''}")
        if image.id in images:
            reports.wrong(image.file_name, "image id", expected="unique ids", found=f"{shown(image.id)} twice")
            continue
        if image.file_name in files:
            found = f"{shown(image.file_name)} twice"
            reports.wrong(f"image {image.id}", "file_name", expected="unique names", found=found)
        image.height, image.width = (_side(entry.get(side), image, side, reports) for side in ("height", "width"))
        images[image.id] = image
        files.add(image.file_name)
    return images


def _side(value: Any, image: PanopticImage, name: str, reports: Reports) -> int | None:
    if value is not None and not (_is_whole(value) and value > 0):
        reports.wrong(image.place, name, expected="a whole number >= 1", found=shown(value))
        return None
    return value


class _Annotations:
    """Adds annotations to their images."""

    def __init__(
        self,
        images: Mapping[int | str, PanopticImage],
        categories: Mapping[int, PanopticCategory],
        reports: Reports,
    ):
        self.images, self.categories, self.reports = images, categories, reports
        self.kinds = {number: each.isthing for number, each in categories.items()}

    def add_all(self, entries: Any) -> None:
        for number, entry in enumerate(entries if isinstance(entries, list) else []):
            place = f"annotations[{number}]"
            if isinstance(entry, dict) and _is_key(entry.get("image_id")) and isinstance(entry.get("file_name"), str):
                self.add(entry, f"{place} ({entry['file_name']:.80})")
            else:
                expected = "an object with image_id, file_name and segments_info"
                self.reports.wrong(place, "annotation", expected=expected, found=shown(entry))

    def add(self, entry: Mapping[str, Any], place: str) -> None:
        """Add one annotation to its image."""
        image, segments = self.images.get(entry["image_id"]), entry.get("segments_info")
        if image is None:
            found = f"{shown(entry['image_id'])}, which images do not have"
            self.reports.wrong(place, "image_id", expected="the id of an image", found=found)
        elif image.mask is not None:
            found = f"two for image {shown(image.id)}"
            self.reports.wrong(place, "annotation", expected="one for each image", found=found)
        elif problem := _name_problem(entry["file_name"]):
            self.reports.wrong(place, "file_name", expected="the name of a PNG", found=problem)
        elif not isinstance(segments, list):
            self.reports.wrong(place, "segments_info", expected="a list of segments", found=shown(segments))
        else:
            image.mask = _png_name(entry["file_name"])
            image.segments = list(self._segments(segments, image))

    def _segments(self, entries: list[Any], image: PanopticImage) -> Iterator[dict[str, Any]]:
        ids: set[int] = set()
        for entry in entries:
            problem = self._problem(entry, ids)
            if problem:
                field, expected, found = problem
                number = entry.get("id") if isinstance(entry, dict) else None
                self.reports.wrong(f"{image.place}, segment {shown(number)}", field, expected=expected, found=found)
                continue
            ids.add(entry["id"])
            stated = entry.get("isthing")
            if stated is not None and bool(stated) != self.kinds[entry["category_id"]]:
                self.reports.note("segments whose isthing differs from that of their category, which counts")
            yield _usual(entry)

    def _problem(self, entry: Any, ids: set[int]) -> tuple[str, str, str] | None:
        """Return field, expected and found value of what is wrong with a segment, or None."""
        if not isinstance(entry, dict):
            return "segment", "an object with id and category_id", shown(entry)
        number, category = entry.get("id"), entry.get("category_id")
        if type(number) is not int or not 1 <= number <= LARGEST_ID:
            return "id", f"a whole number from 1 to {LARGEST_ID}", shown(number)
        if number in ids:
            return "id", "unique ids in an image", f"{number} twice"
        if not _is_whole(category) or category not in self.kinds:
            return "category_id", f"one of the {len(self.kinds)} categories", shown(category)
        if entry.get("iscrowd") not in (0, 1, None):
            return "iscrowd", "0 or 1", shown(entry["iscrowd"])
        area, box = entry.get("area"), entry.get("bbox")
        if area is not None and not (_is_number(area) and 0 <= area <= _MOST_AREA):
            return "area", "a number of pixels", shown(area)
        if box is not None and not (isinstance(box, list) and len(box) == 4 and all(map(_is_coordinate, box))):
            return "bbox", "four numbers: left, top, width, height", shown(box)
        return None


def _usual(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a segment that the package uses."""
    usual = {"id": entry["id"], "category_id": entry["category_id"], "iscrowd": int(entry.get("iscrowd") or 0)}
    for key in ("area", "bbox"):
        if (value := entry.get(key)) is not None:
            usual[key] = value
    return usual


def _name_problem(name: str) -> str | None:
    """Return what is wrong with a name; absolute paths and those that leave the folder are checked by data sets."""
    return path_problem(name.lstrip("/").replace("..", "__"))


def _png_name(name: str) -> str:
    """Return the name of the PNG of an annotation, some of which name the photo."""
    stem, dot, ending = name.rpartition(".")
    return f"{stem}.png" if f"{dot}{ending}".lower() in _PHOTO_ENDINGS else name


def _is_whole(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_coordinate(value: Any) -> bool:
    return _is_number(value) and abs(value) <= MOST_PIXELS


def _is_key(value: Any) -> bool:
    return type(value) in (int, str)
