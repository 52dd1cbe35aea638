"""Gallery of a run: a folder with a page that lists all inputs with their drawn results. It opens by double click.

::

    OUT/gallery/index.html     the page
    OUT/gallery/entries.js     one line per input, in order; the page loads it as a script, because a page that is
                               opened from a disk may not read other files
    OUT/gallery/small/...      small versions of the drawn images
    OUT/gallery/drawn/...      the drawn images
    OUT/gallery/original/...   the images as read; not for tasks whose drawing shows its inputs

All images are JPEG files with the folders and stems of the inputs. ``entries.js`` is a valid script after every line.
The page therefore also opens during the run and after an interruption. Of a video, it has one frame per second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.errors import as_utf8
from visionzoo.inference.gallery_page import gallery_page
from visionzoo.inference.predictions import Prediction
from visionzoo.inference.result_files import Lines
from visionzoo.reports.images import fitted
from visionzoo.system.paths import shared_path
from visionzoo.tasks import Task
from visionzoo.tasks.inputs.base import Source

FOLDER = "gallery"
INDEX, ENTRIES = f"{FOLDER}/index.html", f"{FOLDER}/entries.js"
_SMALL, _DRAWN, _ORIGINAL = "small", "drawn", "original"
_SIDE = 320  # pixels of the longer side of a small image; a page shows it in about 240
_USUAL_FPS = 25.0


class Entries(Lines):
    """The script with the entries: an object that is made by the first line, and one line for each input."""

    def __init__(self, path: Path, keep: int | None = None):
        super().__init__(path, keep)
        if keep is None:
            self.add_text("const gallery = {entries: [], add(entry) { this.entries.push(entry); }};\n")

    def add_text(self, text: str) -> None:
        """Write a line of JSON as a call, and other text as it is."""
        super().add_text(f"gallery.add({text[:-1]});\n" if text.startswith("{") else text)


class Gallery:
    """The page of a run, and what it states about each input.

    Args:
        task: task of the model.
        about: lines about the run, for the top of the page.
    """

    def __init__(self, task: Task, about: Sequence[tuple[str, str]]):
        self._task, self._about = task, about
        self._has_original = "side" in task.images

    def page(self) -> bytes:
        """Return the page. It depends on no result."""
        return gallery_page(self._about, self._task.inputs.nouns, has_original=self._has_original).encode()

    def files_of(self, place: Path) -> Path:
        """Return a path that stands for all files of an input, see :meth:`images`."""
        return Path(FOLDER, _DRAWN, place).with_suffix(".jpg")

    def images(self, place: Path, image: np.ndarray, drawn: np.ndarray) -> dict[Path, np.ndarray]:
        """Return the images to write, by their paths relative to the output folder.

        Args:
            place: path of the input's files.
            image, drawn: (H, W, 3) uint8 RGB, the image as read and with its result.
        """
        own = {_SMALL: fitted(drawn, _SIDE), _DRAWN: drawn} | ({_ORIGINAL: image} if self._has_original else {})
        return {Path(FOLDER, folder, place).with_suffix(".jpg"): each for folder, each in own.items()}

    def entry(self, prediction: Prediction, place: Path, files: Sequence[str]) -> dict[str, Any]:
        """Return the line about an input.

        Args:
            prediction: the prediction, with a result or an error.
            place: path of the input's files.
            files: paths of its files, relative to the output folder.
        """
        name = as_utf8(listed_name(prediction.source))
        about: dict[str, Any] = {"name": name, **_columns(prediction)}
        if prediction.error is not None or prediction.result is None:
            return {**about, "error": str(prediction.error).replace(as_utf8(prediction.source.name), name)}
        shown: dict[str, Any] = {"size": list(prediction.size or ())}
        if prediction.image is not None:
            shown["image"] = place.with_suffix(".jpg").as_posix()
        overview = self._task.overview(prediction.result).to_json()
        return {**about, **shown, **overview, "files": [each for each in files if not each.startswith(f"{FOLDER}/")]}


def listed_name(source: Source) -> str:
    """Return the name of an input relative to the folder that was given, because a page is given to others.

    Example:
        >>> listed_name(Source("/home/eve/images/a/b.jpg", None, Path("a/b.jpg")))
        'a/b.jpg'
    """
    place = source.place if source.frame is None else source.frame.video.place
    return "/".join(Path(source.name).parts[-max(1, len(place.parts)) :])


def is_listed(source: Source) -> bool:
    """Return True for an input that the page lists: every image, and the first frame of each second of a video.

    Example:
        >>> is_listed(Source("a.jpg", None, Path("a.jpg")))
        True
    """
    if source.frame is None:
        return True
    return source.frame.number % max(1, round(source.frame.video.fps or _USUAL_FPS)) == 0


def _columns(prediction: Prediction) -> Mapping[str, Any]:
    """Return what identifies the input beside its name: its group, the columns of result files, its time in a video."""
    source = prediction.source
    found = {} if prediction.group is None else {"group": prediction.group}
    found |= {name: value for name, value in source.columns.items() if value not in (None, "")}
    if source.frame is not None and source.frame.seconds is not None:
        found["time"] = f"{source.frame.seconds:.2f} s"
    return {"about": {name: as_utf8(shared_path(str(value))) for name, value in found.items()}} if found else {}
