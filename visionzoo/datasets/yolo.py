"""Reading of YOLO label files: one text file per image, one line per object.

A line is ``class cx cy width height`` for a box, or ``class x1 y1 x2 y2 x3 y3 ...`` for a polygon of at least three
points. ``class`` counts from 0; the other numbers are fractions of the width and height of the image, from 0 (the left
or upper edge of the first pixel) to 1 (the right or lower edge of the last one). So the left edge of a box is
``(cx - width / 2) * image width``. This is the convention of darknet and of Ultralytics
(https://docs.ultralytics.com/datasets/detect/).

An image without a label file, or with an empty one, is background. Both are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from visionzoo.datasets.coco_records import AnnotatedImage, AnnotatedImages, Region, measured
from visionzoo.datasets.file_names import once_each
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.numerals import plain_numbers
from visionzoo.datasets.yolo_folders import YoloFolder, find_yolo, label_file
from visionzoo.errors import DataError
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS, is_left_over
from visionzoo.system.text_files import read_text

_SLIGHTLY = 0.1  # beyond 0 and 1: objects at the border; farther, the numbers are pixels
_NO_LABELS = ("classes", "labels", "train", "val", "valid", "test", "readme", "license")


def read_yolo(
    place: Path,
    *,
    names_file: Path | None = None,
    watch: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> AnnotatedImages:
    """Read a YOLO data set.

    Args:
        place: its folder, or its ``data.yaml``; see :mod:`visionzoo.datasets.yolo_folders` for the layouts.
        names_file: a file with one class name per line. Default: ``data.yaml``, ``classes.txt`` or ``obj.names``.
            Without these, the names are the numbers of the classes.
        watch: returns its argument and may show the progress.

    Returns:
        The images by split.

    Raises:
        DataError: a file cannot be read, a line is not an object, or a label file has no image. One error covers all
            files.
    """
    folder = find_yolo(place, names_file)
    advice = "correct the label files: class, then fractions of the image's width and height"
    with Findings(folder.root, expected="YOLO label files", advice=advice) as findings:
        if folder.names is None:
            findings.note_once("no data.yaml, classes.txt or obj.names: the classes are named by their numbers")
        reader = _Reader(folder, findings)
        files = sorted({image for images in folder.splits.values() for image in images}, key=str)
        images = {file: reader.read(file) for file in watch(files)}
        if reader.labels == 0 and not findings:
            raise _no_labels(folder)
        _require_images({label_file(file).parent: file.parent for file in files}, findings)
    splits = {split: [images[file] for file in members] for split, members in folder.splits.items()}
    classes = None if folder.names is None else list(folder.names.values())
    if classes is None:
        numbers = {int(region.name) for image in images.values() for region in image.regions}
        classes = [str(number) for number in sorted(numbers)]
    return AnnotatedImages(folder.root, "YOLO", splits, classes, advice="check the label files")


def _no_labels(folder: YoloFolder) -> DataError:
    some = next(iter(folder.splits.values()))[0]
    return DataError(
        folder.root,
        expected="YOLO label files",
        found=f"no file such as {label_file(some)}",
        advice="put the .txt files into labels/ beside images/, or beside the images",
    )


def _require_images(folders: dict[Path, Path], findings: Findings) -> None:
    """Report label files whose image does not exist."""
    for labels, images in folders.items():
        if not labels.is_dir():
            continue
        stems = {path.stem for path in images.iterdir() if path.suffix.lower() in ANY_IMAGE_ENDINGS}
        texts = [path for path in sorted(labels.iterdir()) if path.suffix == ".txt" and not is_left_over(path.name)]
        alone = [path for path in texts if path.stem not in stems and path.stem.lower() not in _NO_LABELS]
        if labels == images:
            findings.note("text files without an image, left out", len(alone))
            continue
        for path in alone:
            findings.wrong(path.name, "image", expected=f"an image of this name in {images}", found="none")


class _Reader:
    """Reader of label files; it counts those that exist."""

    def __init__(self, folder: YoloFolder, findings: Findings):
        self.names, self.keypoint_values, self.findings = folder.names, folder.keypoint_values, findings
        self.labels = 0

    def read(self, file: Path) -> AnnotatedImage:
        size = measured(file, self.findings)
        lines = self._lines(label_file(file))
        if size is None:
            return AnnotatedImage(file, 0, 0)
        regions = (self._region(line, where, size) for where, line in lines)
        return AnnotatedImage(file, *size, tuple(region for region in regions if region is not None))

    def _lines(self, path: Path) -> list[tuple[str, str]]:
        """Return the lines that are not empty, each once, with their place."""
        if not path.exists() and not path.is_symlink():
            self.findings.note("images without a label file, background")
            return []
        self.labels += 1
        try:
            text = read_text(path, "YOLO labels", "save it as UTF-8")
        except DataError as error:
            self.findings.wrong(path.name, "file", expected=f"{error.expected}", found=f"{error.but}")
            return []
        places: dict[str, str] = {}
        lines = [" ".join(line.split()) for line in text.splitlines()]
        for number, line in enumerate(lines, 1):
            places.setdefault(line, f"{path.name}, line {number}")
        places.pop("", None)
        once_each([line for line in lines if line], self.findings, "objects")
        if not places:
            self.findings.note("images with an empty label file, background")
        return [(where, line) for line, where in places.items()]

    def _region(self, line: str, where: str, size: tuple[int, int]) -> Region | None:
        words = line.split(" ")
        values = plain_numbers(words)
        if values is None:
            self.findings.wrong(where, "line", expected="a class number and fractions", found=shown(line))
            return None
        name = self._name(values[0], where)
        fractions = self._fractions(values[1:], where)
        if name is None or fractions is None:
            return None
        width, height = size
        if len(fractions) > 4:
            points = zip(fractions[::2], fractions[1::2], strict=True)
            return Region(name, outlines=(tuple((x * width, y * height) for x, y in points),))
        x, y, w, h = fractions
        return Region(name, ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height))

    def _name(self, value: float, where: str) -> str | None:
        index = int(value) if 0 <= value < 1e6 and value.is_integer() else None
        if index is not None and self.names is None:
            return str(index)
        name = None if index is None else (self.names or {}).get(index)
        if name is None:
            known = f"one of the {len(self.names)} classes, counted from 0" if self.names else "a class number"
            self.findings.wrong(where, "class", expected=known, found=f"{value:g}")
        return name

    def _fractions(self, values: list[float], where: str) -> list[float] | None:
        """Return the numbers of a box or a polygon, or None after an error."""
        if self.keypoint_values and len(values) == 4 + self.keypoint_values:
            self.findings.note("keypoints, left out")
            values = values[:4]
        if len(values) < 4 or len(values) % 2:
            expected = "4 after the class for a box, or an even number >= 6 for a polygon"
            confidence = " (is the last one the confidence of a prediction? remove it)" if len(values) == 5 else ""
            self.findings.wrong(where, "numbers", expected=expected, found=f"{len(values)}{confidence}")
            return None
        least, most = min(values), max(values)
        if not (least >= -_SLIGHTLY and most <= 1 + _SLIGHTLY) or (len(values) == 4 and min(values[2:]) < 0):
            found = f"{most if most > 1 else least:g}" + (
                " (pixels? divide them by the image's size)" if most > 2 else ""
            )
            self.findings.wrong(where, "fractions", expected="numbers from 0 to 1", found=found)
            return None
        if least < 0 or most > 1:
            self.findings.note("objects with numbers slightly outside 0 to 1, cut off at the border")
        return values
