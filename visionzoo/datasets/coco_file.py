"""COCO annotation files: reading and checking. Errors are one sentence each.

The format: https://cocodataset.org/#format-data (``instances_*.json``).
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.logging import print_log

from visionzoo.datasets.missing_files import inside, missing_files
from visionzoo.errors import ConfigError, DataError, nearest_name, require_none_missing, some_of
from visionzoo.structures.coco_annotations import completed

GET_COCO = (
    "download it with `python datasets/coco/prepare.py data/coco`, point data_root to its folder, "
    "or try --tiny, which draws a small data set"
)

_IMAGE_KEYS = ("id", "file_name", "height", "width")
_ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox")


def read_annotations(root: Path, ann_file: str, *, need_annotations: bool = True) -> dict:
    """Read and check ``root / ann_file``.

    A missing or null ``area`` is set to width times height, a missing or null ``iscrowd`` to 0.

    Args:
        root: folder of the data set.
        ann_file: path of the json in ``root``, or an absolute path.
        need_annotations: False for files that list only images, such as COCO's test-dev.

    Returns:
        The content of the file.

    Raises:
        DataError: the folder or file is missing, or the file is truncated or not in COCO's format.
    """
    path = root / ann_file
    _require_file(root, path)
    record = _read_json(path)
    _require_format(path, record, need_annotations)
    annotations = record.get("annotations", [])
    for field in ("area", "iscrowd"):
        nulls = sum(annotation.get(field, 0) is None for annotation in annotations)
        if nulls:
            print_log(f"{path}: {nulls} annotations with {field} null, read as missing", "current", logging.WARNING)
    record["annotations"] = [completed(annotation) for annotation in annotations]
    return record


def _require_file(root: Path, path: Path) -> None:
    if not root.is_dir():
        raise DataError(
            root,
            expected=f"a folder with {inside(root, path)} and its images",
            found=f"no such folder (in {Path.cwd()})",
            advice=f"{GET_COCO}",
        )
    if not path.is_file():
        raise DataError(
            path, expected="COCO annotations", found=f"no such file{_similar_files(path)}", advice=f"{GET_COCO}"
        )


def _similar_files(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    names = sorted(other.name for other in path.parent.glob("*.json"))
    return f" (beside it: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''})" if names else ""


def _read_json(path: Path) -> dict:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(path, expected="a readable file", but=f"{error.strerror}", advice="check its rights") from error
    if not text.strip():
        raise DataError(path, expected="COCO annotations", found="an empty file", advice="copy or download it again")
    try:
        record = json.loads(text)
    except UnicodeDecodeError as error:
        raise DataError(path, expected="json text", found="other bytes", advice="name the annotation file") from error
    except json.JSONDecodeError as error:
        what = "a file that is cut off" if error.pos >= len(text) - 64 else f"an error in line {error.lineno}"
        raise DataError(
            path, expected="json", found=f"{what} ({error.msg})", advice="copy or download it again"
        ) from error
    if not isinstance(record, dict):
        raise _not_coco(path, f"a json {type(record).__name__}")
    return record


def _not_coco(path: Path, found: str) -> DataError:
    return DataError(
        path,
        expected="a COCO object with lists images, annotations and categories",
        found=f"{found}",
        advice="`visionzoo convert voc2coco` makes one from Pascal VOC",
    )


def _require_format(path: Path, record: dict, need_annotations: bool) -> None:
    sections = ("images", "categories", "annotations") if need_annotations else ("images", "categories")
    for section in sections:
        if not isinstance(record.get(section), list):
            raise _not_coco(path, f"no list {section!r} (keys: {', '.join(sorted(record)[:8]) or 'none'})")
    if not record["images"]:
        raise DataError(path, expected="annotated images", found="an empty list", advice="check how the file was made")
    if not record["categories"]:
        raise DataError(path, expected="at least one category", found="none", advice="check how the file was made")
    _require_keys(path, "image", record["images"], _IMAGE_KEYS)
    _require_keys(path, "category", record["categories"], ("id", "name"))
    _require_keys(path, "annotation", record.get("annotations", []), _ANNOTATION_KEYS)
    _require_unique(path, "image id", [image["id"] for image in record["images"]])
    _require_unique(path, "category id", [category["id"] for category in record["categories"]])
    _require_unique(path, "category name", [category["name"] for category in record["categories"]])
    _require_unique(path, "annotation id", [annotation["id"] for annotation in record.get("annotations", [])])
    _require_references(path, record)
    _require_boxes(path, record)


def _require_keys(path: Path, kind: str, items: list, keys: Sequence[str]) -> None:
    for index, item in enumerate(items):
        missing = [key for key in keys if key not in item] if isinstance(item, dict) else list(keys)
        if missing:
            raise DataError(
                path,
                expected=f"every {kind} to have {', '.join(keys)}",
                found=f"number {index} without {', '.join(missing)}",
                advice="correct the file",
            )


def _require_unique(path: Path, kind: str, values: list) -> None:
    if len(set(values)) < len(values):
        value, times = Counter(values).most_common(1)[0]
        raise DataError(
            path, expected=f"every {kind} once", found=f"{value!r} {times} times", advice="correct the file"
        )


def _require_references(path: Path, record: dict) -> None:
    """Raise DataError if an annotation names an image or category that does not exist."""
    for key, section in (("image_id", "images"), ("category_id", "categories")):
        known = {item["id"] for item in record[section]}
        strangers = [a for a in record.get("annotations", []) if a[key] not in known]
        if strangers:
            first = strangers[0]
            raise DataError(
                path,
                expected=f"every {key} to be among the {section}",
                found=f"{len(strangers)} annotations with others (annotation {first['id']} has {first[key]!r})",
                advice="correct the file",
            )


def _require_boxes(path: Path, record: dict) -> None:
    for annotation in record.get("annotations", []):
        box = annotation["bbox"]
        if not (isinstance(box, list) and len(box) == 4 and all(isinstance(v, (int, float)) for v in box)):
            raise DataError(
                path,
                expected="bbox to be [x, y, width, height]",
                found=f"{box!r} in annotation {annotation['id']}",
                advice="correct the file",
            )


# --- classes ---


def choose_classes(
    path: Path, record: dict, wanted: Sequence[str] | None, absent: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the class names in label order.

    Args:
        path: the annotation file, for errors.
        record: its content.
        wanted: names in label order; the file must have all of them. None: all names of the file, by category id.
        absent: names in ``wanted`` that the file need not have.

    Raises:
        ConfigError: the file lacks a name: ``config has "Cat"; file has "cat"``.

    Example:
        >>> record = {"categories": [{"id": 7, "name": "dog"}, {"id": 2, "name": "cat"}]}
        >>> choose_classes(Path("a.json"), record, None)
        ('cat', 'dog')
    """
    in_file = [category["name"] for category in sorted(record["categories"], key=_category_id)]
    if wanted is None:
        return tuple(in_file)
    strangers = [name for name in wanted if name not in in_file and name not in absent]
    if strangers:
        pairs = [f'config has "{name}"; file has {_nearest_or_all(name, in_file)}' for name in strangers]
        raise ConfigError(
            path,
            expected="the config's classes to be among the file's",
            but=f"{pairs[0]}",
            advice="leave classes out to use the file's",
            problems=pairs[1:],
        )
    _require_unique(path, "class", list(wanted))
    return tuple(wanted)


def _category_id(category: dict) -> int:
    return category["id"]


def _nearest_or_all(name: str, in_file: Sequence[str]) -> str:
    nearest = nearest_name(name, in_file)
    if nearest:
        return f'"{nearest}"'
    return some_of((f'"{other}"' for other in in_file), most=8)


def category_ids(record: dict, classes: Sequence[str], absent: Sequence[str] = ()) -> list[int | None]:
    """Return the category id of each label, in the order of ``classes``; None for the classes in ``absent``."""
    ids = {category["name"]: category["id"] for category in record["categories"]}
    return [None if name in absent else ids[name] for name in classes]


# --- boxes that the loader omits ---


def _is_outside(box: Sequence[float], image: dict) -> bool:
    x, y, w, h = box
    return min(x + w, image["width"]) <= max(x, 0) or min(y + h, image["height"]) <= max(y, 0)


def _is_thin(box: Sequence[float], image: dict) -> bool:
    return box[2] < 1 or box[3] < 1


_UNUSABLE: dict[str, Callable[[Sequence[float], dict], bool]] = {
    "narrower than a pixel": _is_thin,
    "outside their image": _is_outside,
}


def _reason_omitted(annotation: dict, image: dict) -> str | None:
    for reason, applies in _UNUSABLE.items():
        if applies(annotation["bbox"], image):
            return reason
    return "of no area" if annotation["area"] <= 0 else None


def count_unusable_boxes(record: dict) -> dict[str, int]:
    """Return the number of boxes that the loader omits, by reason; only reasons that occur are included."""
    images = {image["id"]: image for image in record["images"]}
    counts: Counter[str] = Counter()
    for annotation in record["annotations"]:
        reason = _reason_omitted(annotation, images[annotation["image_id"]])
        if reason:
            counts[reason] += 1
    return dict(counts)


def require_learnable(path: Path, record: dict, categories: Sequence[int | None]) -> None:
    """Raise an error if a training file has annotations, but none that a detector can learn.

    Args:
        path: the annotation file, for the error.
        record: its content.
        categories: ids of the used categories.

    Raises:
        DataError: every annotation of these categories is a crowd, or the loader omits its box.
    """
    images, chosen = {image["id"]: image for image in record["images"]}, set(categories)
    used = [annotation for annotation in record["annotations"] if annotation["category_id"] in chosen]
    if not used or any(_reason_not_learned(a, images[a["image_id"]]) is None for a in used):
        return
    reasons = Counter(_reason_not_learned(a, images[a["image_id"]]) for a in used)
    fractions = all(max(a["bbox"]) <= 1 for a in used)
    raise DataError(
        path,
        expected="at least one box to learn",
        found=f"{len(used)} annotations: {', '.join(f'{count} {reason}' for reason, count in reasons.items())}",
        advice="multiply the boxes by width and height, they look like fractions" if fractions else "check the file",
    )


def _reason_not_learned(annotation: dict, image: dict) -> str | None:
    return "crowds" if annotation["iscrowd"] else _reason_omitted(annotation, image)


# --- image files ---


def require_image_files(paths: Sequence[str], root: Path) -> None:
    """Raise DataError if a file is missing. Each folder is listed once, which takes 0.1 s for COCO.

    Raises:
        DataError: names the number of missing files, the first three and ``root``.
    """
    require_none_missing(
        missing_files(paths, root),
        root,
        expected=f"{len(paths)} image files",
        advice="check data_root and data_prefix, or copy them again",
    )
