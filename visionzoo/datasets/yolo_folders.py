"""Splits, images and class names of a YOLO folder.

The layouts, and the names of the splits (``val``, ``valid`` and ``validation`` are the same)::

    data.yaml                                    train: images/train, a list of such folders, or a list of images .txt
    images/{train,val,test}, labels/{train,val,test}
    {train,valid,test}/{images,labels}
    {train,val,test}.txt                         lists of images
    images, labels                               one split, train
    1.jpg, 1.txt                                 one split, train

The label file of an image has the same stem. Its folder has ``labels`` where the path of the image has ``images``, or
is the folder of the image. Class names are in ``data.yaml``, ``classes.txt``, ``obj.names`` or another ``*.names``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from visionzoo.datasets.file_names import once_each
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.image_lookup import first_file
from visionzoo.errors import DataError, first_of, some_of
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS, is_left_over
from visionzoo.system.text_files import read_text

_SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_NAME_FILES = ("classes.txt", "obj.names", "labels/classes.txt", "labels.txt")
_IMAGE_FOLDERS = ("images", "JPEGImages")
_LONGEST_YAML = 2_000_000  # characters


@dataclass(frozen=True)
class YoloFolder:
    """Images of a YOLO folder by split.

    Attributes:
        root: the folder.
        names: class names by index; None if no file states them.
        splits: image files by split, sorted by name.
        keypoint_values: numbers in each line after the box that describe keypoints.
    """

    root: Path
    names: dict[int, str] | None
    splits: dict[str, list[Path]]
    keypoint_values: int = 0


def find_yolo(place: Path, names_file: Path | None = None) -> YoloFolder:
    """Find the images and class names of a YOLO data set.

    Args:
        place: its folder, or its ``data.yaml``.
        names_file: a file with one class name per line. Default: the first of the usual files.

    Raises:
        DataError: there is no image, ``data.yaml`` cannot be read or names folders that do not exist, or class names
            are missing or repeated. One error covers all findings of a file.
    """
    config: Path | None
    if place.is_file() and place.suffix.lower() in (".yaml", ".yml"):
        root, config = place.parent, place
    elif place.is_dir():
        root, config = place, _find_config(place)
    else:
        found = "another file" if place.exists() else "no such folder"
        raise DataError(place, expected="a YOLO folder or its data.yaml", found=found, advice="check the path")
    if config is None:
        entries, names, keypoint_values = _usual_entries(root), None, 0
        where = root
    else:
        where = config
        with Findings(config, expected="a YOLO data.yaml") as findings:
            facts = _read_yaml(config)
            entries = _stated_entries(facts, root, findings)
            names = _stated_names(facts, findings)
            keypoint_values = _keypoint_values(facts, findings)
    named = names_file or _find_names(root)
    if names_file is not None or (names is None and named is not None):
        names = _read_names(named or root)
    splits = _images_of(where, entries)
    return YoloFolder(root, names, splits, keypoint_values)


def label_file(image: Path) -> Path:
    """Return the path of the label file of an image, which may not exist.

    Example:
        >>> label_file(Path("data/images/train/1.jpg")).as_posix(), label_file(Path("data/1.jpg")).as_posix()
        ('data/labels/train/1.txt', 'data/1.txt')
    """
    parts = image.parent.parts
    at = max((number for number, part in enumerate(parts) if part in _IMAGE_FOLDERS), default=None)
    beside = image.with_suffix(".txt")
    if at is None:
        return beside
    inside = Path(*parts[:at], "labels", *parts[at + 1 :], beside.name)
    return beside if beside.is_file() and not inside.is_file() else inside


# --- splits ---


def _find_config(root: Path) -> Path | None:
    """Return the file that names the splits: data.yaml, or the only YAML file with class names."""
    files = sorted(
        path for path in root.iterdir() if path.suffix.lower() in (".yaml", ".yml") and not is_left_over(path.name)
    )
    usual = [path for path in files if path.stem.lower() in ("data", "dataset")]
    chosen = usual or [path for path in files if _has_names(path)]
    if len(chosen) > 1:
        raise DataError(
            root, expected="one data.yaml", found=first_of(path.name for path in chosen), advice="name the file itself"
        )
    return chosen[0] if chosen else None


def _has_names(path: Path) -> bool:
    """Return True for a YAML file that may describe a data set. Others, such as settings of a training, are ignored."""
    try:
        return b"names" in path.read_bytes()
    except OSError:
        return False


def _usual_entries(root: Path) -> dict[str, list[Path]]:
    for pattern in ("images/{}", "{}/images", "{}", "{}.txt"):
        entries = {
            split: [root / pattern.format(name) for name in names if (root / pattern.format(name)).exists()]
            for split, names in _SPLITS.items()
        }
        if any(entries.values()):
            return {split: paths for split, paths in entries.items() if paths}
    return {"train": [root / "images" if (root / "images").is_dir() else root]}


def _read_yaml(path: Path) -> dict:
    advice = "correct the file, or remove it if the folders have the usual names"
    text = read_text(path, "a YOLO data.yaml", advice)
    try:
        # An alias may expand to gigabytes. BaseLoader keeps names such as `no` and `1` as text.
        if len(text) > _LONGEST_YAML or any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise DataError(path, expected="a short YAML file without aliases", found="another one", advice=advice)
        facts = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(getattr(error, "problem", None) or type(error).__name__).split())
        raise DataError(
            path, expected="a YOLO data.yaml", found=f"broken YAML ({reason:.200})", advice=advice
        ) from error
    if not isinstance(facts, dict):
        raise DataError(path, expected="YAML with train, val and names", found=shown(facts), advice=advice)
    return facts


def _stated_entries(facts: dict, root: Path, findings: Findings) -> dict[str, list[Path]]:
    entries: dict[str, list[Path]] = {}
    for split, keys in _SPLITS.items():
        given = [facts[key] for key in keys if facts.get(key)]
        paths = [path for value in given for path in (value if isinstance(value, list) else [value])]
        if not all(isinstance(path, str) and path.strip() and path.isprintable() for path in paths):
            findings.wrong(split, "path", expected="a folder, a list of images, or a list of them", found=shown(given))
            continue
        found = [(path, _existing(path, facts.get("path"), root)) for path in paths]
        missing = [path for path, place in found if place is None]
        if missing and split == "test":  # tools that export data sets name it even if it is empty
            findings.note("test names a folder that does not exist, left out")
        elif missing:
            findings.wrong(split, "path", expected="an existing folder or list", found=shown(missing[0], most=80))
        places = [place for _, place in found if place is not None]
        if places:
            entries[split] = places
    if not entries and not findings:
        known = some_of(map(shown, facts), most=6) or "none"
        findings.wrong("splits", "train", expected="the folder of the images", found=f"no such key (keys: {known})")
    return entries


def _existing(path: str, base: Any, root: Path) -> Path | None:
    """Return the place that a path of data.yaml means: relative to ``path:``, to the file, or above it by mistake."""
    without_up = path.replace("\\", "/")
    while without_up.startswith("../"):
        without_up = without_up[3:]
    bases = [root / base.strip()] if isinstance(base, str) else []
    for place in [*(each / path for each in (*bases, root)), root / without_up]:
        try:
            if place.exists():
                return place
        except OSError:  # a name that is too long
            continue
    return None


def _keypoint_values(facts: dict, findings: Findings) -> int:
    shape = facts.get("kpt_shape")
    if shape is None:
        return 0
    if isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, str) and n.isdecimal() for n in shape):
        return int(shape[0][:6]) * int(shape[1][:6])
    findings.wrong("kpt_shape", "value", expected="two whole numbers", found=shown(shape))
    return 0


# --- class names ---


def _stated_names(facts: dict, findings: Findings) -> dict[int, str] | None:
    names = facts.get("names")
    if names is None:
        return None
    if isinstance(names, list):
        pairs: list[tuple[Any, Any]] = list(enumerate(names))
    elif isinstance(names, dict) and all(isinstance(key, str) and _is_index(key) for key in names):
        pairs = sorted((int(key), name) for key, name in names.items()) if _are_texts(names.values()) else [(0, names)]
    else:
        pairs = []
    if not pairs or not _are_texts(name for _, name in pairs):
        findings.wrong("names", "value", expected="a list of class names, or names by index", found=shown(names))
        return None
    count = facts.get("nc")
    if count is not None and (not isinstance(count, str) or not _is_index(count) or int(count) != len(pairs)):
        findings.wrong("nc", "value", expected=f"the number of names, {len(pairs)}", found=shown(count))
    _require_different([name.strip() for _, name in pairs], findings)
    return {index: name.strip() for index, name in pairs}


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 7


def _are_texts(names: Any) -> bool:
    return all(isinstance(name, str) and name.strip() and name.strip().isprintable() for name in names)


def _find_names(root: Path) -> Path | None:
    others = sorted(path for path in root.glob("*.names") if not is_left_over(path.name))
    return next((path for path in (*(root / name for name in _NAME_FILES), *others) if path.is_file()), None)


def _read_names(path: Path) -> dict[int, str]:
    names = [line.strip() for line in read_text(path, "one class name per line", "check it").splitlines()]
    while names and not names[-1]:
        names.pop()
    with Findings(path, expected="one class name per line") as findings:
        for number, name in enumerate(names, 1):
            if not name or not name.isprintable():
                findings.wrong(f"line {number}", "name", expected="the name of a class", found=shown(name))
        _require_different([name for name in names if name], findings)
    if not names:
        raise DataError(path, expected="one class name per line", found="an empty file", advice="add the names")
    return dict(enumerate(names))


def _require_different(names: Sequence[str], findings: Findings) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            findings.wrong("names", shown(name), expected="every name once", found=f"it {times} times")


# --- images ---


def _images_of(where: Path, entries: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Return the images of each split; splits without an image are an error."""
    with Findings(where, expected="a YOLO folder", advice="correct the lists") as findings:
        splits = {
            split: once_each([image for place in places for image in _images_in(place, findings)], findings, "images")
            for split, places in entries.items()
        }
        shared = [
            image for image, times in Counter(i for images in splits.values() for i in images).items() if times > 1
        ]
        findings.note(f"images in several of the splits {', '.join(splits)}", len(shared))
    empty = [split for split, images in splits.items() if not images]
    if empty:
        places = some_of(map(str, entries[empty[0]]), most=2)
        raise DataError(
            where, expected=f"images for {', '.join(empty)}", found=f"none in {places}", advice="check the folders"
        )
    return {split: sorted(images, key=str) for split, images in splits.items()}


def _images_in(place: Path, findings: Findings) -> list[Path]:
    if not place.is_dir():
        return _listed(place, findings)
    return list(_below(place))


def _below(folder: Path) -> Iterator[Path]:
    """Yield the images in a folder and its subfolders."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.suffix.lower() in ANY_IMAGE_ENDINGS and not any(map(is_left_over, inside)) and not path.is_dir():
            yield path


def _listed(path: Path, findings: Findings) -> list[Path]:
    """Return the images of a list, whose paths are relative to the folder of the list, or absolute."""
    lines = [line.strip().replace("\\", "/") for line in read_text(path, "a list of images", "check it").splitlines()]
    images = []
    for line in filter(None, lines):
        image = first_file(_meanings(line, path.parent))
        if image is None:
            findings.wrong(path.name, "image", expected="an existing image", found=shown(line, most=80))
        else:
            images.append(image)
    return images


def _meanings(line: str, folder: Path) -> Iterator[Path]:
    """Yield the places that a line of a list may mean: darknet writes ``data/obj_train_data/1.jpg`` from its folder."""
    yield folder / line
    yield Path(line)
    parts = Path(line).parts
    for start in range(1, min(len(parts), 8)):
        yield folder.joinpath(*parts[start:])
