"""Objects of a results file by the name of the image, for images that no data set numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from visionzoo.datasets.coco_ids import COCO_IDS
from visionzoo.datasets.findings import say_notes
from visionzoo.datasets.json_objects import parse_json
from visionzoo.datasets.referring.objects import LEAST_SCORE, MOST_OBJECTS, Object, read_results
from visionzoo.errors import DataError
from visionzoo.system.text_files import read_text

# Files that `visionzoo infer` writes: the image_id of the first is the number of a line of the second.
_RESULTS, _LINES = "predictions.coco.json", "predictions.jsonl"
_NUMBER = re.compile(r"(\d+)\.\w+$")  # a file name of COCO ends with the id of its image


class ListedObjects:
    """Objects that an instance segmenter found, by the name of the image.

    The ``image_id`` of an entry is the path of the image, the name of its file, with or without the ending, or the
    number at the end of this name, as in COCO: 139 for ``COCO_train2014_000000000139.jpg``. In a
    ``predictions.coco.json`` of ``visionzoo infer``, it is the number of the image's line in the ``predictions.jsonl``
    beside it. Scores below 0.05 are left out, and the 20 best objects of an image are kept.

    Args:
        path: a results file in COCO's format, with masks.

    Raises:
        DataError: the file cannot be read, or has entries of another form.

    Example:
        >>> import json, tempfile
        >>> entry = dict(image_id=139, category_id=3, segmentation=[[0, 0, 4, 0, 4, 4]], score=0.9)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "results.json")
        ...     _ = path.write_text(json.dumps([entry]))
        ...     listed = ListedObjects(path)
        >>> len(listed.of("images/COCO_train2014_000000000139.jpg"))
        1
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path).expanduser()
        self._by_image = read_results(self.path, COCO_IDS, score_threshold=LEAST_SCORE, most=MOST_OBJECTS)
        self._lines = _lines_of(self.path)

    def of(self, image: str) -> list[Object]:
        """Return the objects of an image, the best first. An image without any is stated once.

        Args:
            image: path of the image, or another name of an input.
        """
        for image_id in self._ids_of(image):
            if image_id in self._by_image:
                return self._by_image[image_id]
        say_notes(self.path, {f"no entry for {image}; images without an entry have no proposals": 0})
        return []

    def _ids_of(self, image: str) -> Iterator[str | int]:
        path = Path(image)
        if self._lines:
            yield from (self._lines[name] for name in (image, path.name) if name in self._lines)
            return
        yield from (image, path.name, path.stem)
        if number := _NUMBER.search(path.name):
            yield int(number[1])


def _lines_of(path: Path) -> dict[str, int]:
    """Return the number of the line of each input, by its name and by the last part of a name that is unique."""
    beside = path.with_name(_LINES)
    if path.name != _RESULTS or not beside.exists():
        return {}
    text = read_text(beside, "the lines of the same inference", "copy both files")
    numbers: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name = parse_json(line, f"{beside}: line {number}").get("input")
        if not isinstance(name, str):
            raise DataError(beside, expected=f"an input in line {number}", found="none", advice="copy both files")
        numbers[name] = number
    last: dict[str, list[int]] = {}
    for name, number in numbers.items():
        last.setdefault(Path(name).name, []).append(number)
    return {**{name: found[0] for name, found in last.items() if len(found) == 1}, **numbers}
