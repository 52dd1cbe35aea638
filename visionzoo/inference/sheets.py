"""Sheets with the drawn images of a group, for models that take groups of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from visionzoo.inference.taken_names import TakenNames
from visionzoo.reports.images import contact_sheet
from visionzoo.structures.image_names import shortened
from visionzoo.tasks.inputs.base import Source


class Sheets:
    """The sheets of the groups of a run. A sheet is saved when its group is complete.

    Args:
        names: names of files that the run has given.
        save: saves an image, (H, W, 3) uint8 RGB, to a path relative to the output folder.

    Example:
        >>> import tempfile
        >>> saved = []
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     names = TakenNames(Path(folder))
        ...     sheets = Sheets(names, lambda place, image: saved.append(place.as_posix()))
        ...     sheets.name("in/cats", Source("in/cats/a.jpg", None, Path("cats/a.jpg")))
        ...     sheets.add("in/cats", 1, [np.zeros((8, 8, 3), np.uint8)])
        ...     names.close()
        >>> saved, sheets.are_open
        (['sheets/cats.jpg'], False)
    """

    def __init__(self, names: TakenNames, save: Callable[[Path, np.ndarray], object]):
        self._names, self._save = names, save
        self._places: dict[str, Path] = {}
        self._missing: dict[str, int] = {}
        self._thumbnails: dict[str, list[np.ndarray]] = {}

    @property
    def are_open(self) -> bool:
        """True if images of a group are missing."""
        return bool(self._missing)

    def name(self, group: str, source: Source) -> None:
        """Give the sheet of a group its path, if it has none. The first of its images determines it."""
        if group in self._places:
            return
        folder = source.place.parent
        name = shortened(folder if folder != Path() else Path(Path(group).name))

        def numbered(number: int) -> Path:
            return Path("sheets", f"{name}.jpg" if number == 1 else f"{name}-{number}.jpg")

        self._places[group] = numbered(self._names.first_free(lambda number: [numbered(number)]))

    def add(self, group: str, size: int, thumbnails: Sequence[np.ndarray]) -> None:
        """Keep the thumbnails of the next image of a group, and save the sheet after its ``size`` images.

        Args:
            group: a group whose sheet has a path.
            size: number of its images.
            thumbnails: of this image; empty for an image that is not drawn.
        """
        self._missing[group] = self._missing.get(group, size) - 1
        self._thumbnails.setdefault(group, []).extend(thumbnails)
        if self._missing[group] == 0:
            del self._missing[group]
            if drawn := self._thumbnails.pop(group):
                self._save(self._places[group], contact_sheet(drawn))
