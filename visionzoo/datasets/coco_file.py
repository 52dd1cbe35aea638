"""COCO annotation files: reading and checking. Errors are one sentence each.

The format: https://cocodataset.org/#format-data (``instances_*.json``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from visionzoo.datasets.coco_annotations import in_order
from visionzoo.datasets.coco_schema import check_record
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.json_objects import no_garbage_collection
from visionzoo.datasets.missing_files import inside, missing_files
from visionzoo.errors import ConfigError, DataError, in_cwd, nearest_name, require_none_missing, some_of

GET_COCO = (
    "download it with `python datasets/coco/prepare.py data/coco`, point data_root to its folder, "
    "or try --tiny, which draws a small data set"
)


def read_annotations(
    root: Path, ann_file: str, *, need_annotations: bool = True, say_notes: bool = True, where: object = None
) -> dict:
    """Read and check ``root / ann_file``; see :func:`read_coco`.

    Args:
        root: folder of the data set.
        ann_file: path of the json in ``root``, or an absolute path.
        need_annotations: False for files that list only images, such as COCO's test-dev.
        say_notes: False to print no warning, if another reader of the file printed it.
        where: the annotations in messages. Default: the file.

    Returns:
        The content of the file.

    Raises:
        DataError: the folder or file is missing, or the file is truncated or not in COCO's format.
    """
    path = root / ann_file
    if not root.is_dir():
        raise DataError(
            root,
            expected=f"a folder with {inside(root, path)} and its images",
            found=f"no such folder{in_cwd(root)}",
            advice=f"{GET_COCO}",
        )
    return read_coco(path, need_annotations=need_annotations, say_notes=say_notes, where=where)


def read_coco(path: Path, *, need_annotations: bool = True, say_notes: bool = True, where: object = None) -> dict:
    """Read and check a COCO ``instances`` file. The data sets, the metric and the crops read files by this function.

    A missing or null ``area`` is set to width times height, a missing or null ``iscrowd`` to 0. Numbers as text are
    read as numbers. One warning states how many values were not in their usual form.

    Args:
        path: the file.
        need_annotations, say_notes, where: see :func:`read_annotations`.

    Returns:
        The content of the file. It has the lists ``images``, ``categories`` and ``annotations``.

    Raises:
        DataError: the file is missing, truncated or not in COCO's format; the message has the number of errors by
            field and the first three.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else f"no such file{_similar_files(path)}"
        raise DataError(path, expected="COCO annotations", found=found, advice=f"{GET_COCO}")
    with Findings(where or path, expected="COCO annotations", say_notes=say_notes) as findings:
        record = _read_json(path, findings)
        _require_sections(path, record, need_annotations)
        check_record(record, findings)
    return record


def _similar_files(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    names = sorted(other.name for other in path.parent.glob("*.json"))
    return f" (beside it: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''})" if names else ""


def _read_json(path: Path, findings: Findings) -> dict:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(path, expected="a readable file", but=f"{error.strerror}", advice="check its rights") from error
    if not text.strip():
        raise DataError(path, expected="COCO annotations", found="an empty file", advice="copy or download it again")
    encoding = json.detect_encoding(text)
    if encoding != "utf-8":
        findings.note(f"encoded in {encoding}, read as such")
    try:
        with no_garbage_collection():
            record = json.loads(text)
    except UnicodeDecodeError as error:
        raise DataError(path, expected="json text", found="other bytes", advice="name the annotation file") from error
    except json.JSONDecodeError as error:
        what = "a file that is cut off" if error.pos >= len(text) - 64 else f"an error in line {error.lineno}"
        raise DataError(
            path, expected="json", found=f"{what} ({error.msg})", advice="copy or download it again"
        ) from error
    except (ValueError, RecursionError) as error:  # a number of more than 4,300 digits, or lists in lists
        what = "thousands of nested lists" if isinstance(error, RecursionError) else "a number of thousands of digits"
        raise DataError(path, expected="COCO annotations", found=what, advice="check how the file was made") from error
    if not isinstance(record, dict):
        raise _not_coco(path, f"a json {type(record).__name__}")
    return record


def _not_coco(path: Path, found: str) -> DataError:
    return DataError(
        path,
        expected="a COCO object with lists images, annotations and categories",
        found=f"{found}",
        advice="`visionzoo convert` makes one from Pascal VOC, YOLO, labelme, CVAT or VIA",
    )


def _require_sections(path: Path, record: dict, need_annotations: bool) -> None:
    if not need_annotations and record.get("annotations") is None:
        record["annotations"] = []
    for section in ("images", "categories", "annotations"):
        if not isinstance(record.get(section), list):
            raise _not_coco(
                path, f"no list {section!r} (keys: {some_of(map(shown, sorted(record)), most=8) or 'none'})"
            )
    if not record["images"]:
        raise DataError(path, expected="annotated images", found="an empty list", advice="check how the file was made")
    if not record["categories"]:
        raise DataError(path, expected="at least one category", found="none", advice="check how the file was made")


# --- classes ---


def choose_classes(
    path: object, record: dict, wanted: Sequence[str] | None, absent: Sequence[str] = ()
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
    names = {category["id"]: category["name"] for category in record["categories"]}
    in_file = [names[category_id] for category_id in in_order(names)]
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
    name, times = Counter(wanted).most_common(1)[0] if wanted else ("", 1)
    if times > 1:
        raise ConfigError(path, expected="classes without repetition", found=f'"{name}" {times} times')
    return tuple(wanted)


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


def reason_omitted(annotation: dict, image: dict) -> str | None:
    """Return why the loader omits the box of an annotation, or None if it loads the box.

    Example:
        >>> reason_omitted({"bbox": [70, 2, 5, 5], "area": 25}, {"width": 60, "height": 40})
        'outside their image'
    """
    x, y, width, height = annotation["bbox"]
    if width < 1 or height < 1:
        return "narrower than a pixel"
    if min(x + width, image["width"]) <= max(x, 0) or min(y + height, image["height"]) <= max(y, 0):
        return "outside their image"
    if annotation["area"] <= 0:
        return "of no area"
    return "with ignore=1" if annotation.get("ignore") else None


def require_learnable(path: object, record: dict, categories: Sequence[int | None]) -> None:
    """Raise an error if a training file has no box that a detector can learn.

    Args:
        path: the annotation file, for the error.
        record: its content.
        categories: ids of the used categories.

    Raises:
        DataError: there is no annotation of these categories, or each is a crowd or has a box that the loader omits.
    """
    images, chosen = {image["id"]: image for image in record["images"]}, set(categories)
    used = [annotation for annotation in record["annotations"] if annotation["category_id"] in chosen]
    if any(_reason_not_learned(a, images[a["image_id"]]) is None for a in used):
        return
    reasons = Counter(_reason_not_learned(a, images[a["image_id"]]) for a in used)
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    fractions = bool(used) and all(0 < max(a["bbox"]) <= 1 for a in used)
    raise DataError(
        path,
        expected="at least one box to learn",
        found=f"{len(used)} annotations of the classes{': ' if used else ''}{counts}",
        advice="multiply the boxes by width and height, they look like fractions" if fractions else "check the file",
    )


def _reason_not_learned(annotation: dict, image: dict) -> str | None:
    return "crowds" if annotation["iscrowd"] else reason_omitted(annotation, image)


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
