"""Files of explanations, written input by input.

::

    OUT/explanations.jsonl   one line per input: target, value, layer, method, feature map, paths, or the error
    OUT/sheets/...           PNG: the input as the model is fed, the heat map, and the maps with random weights
    OUT/maps/...             8-bit PNG of the input's size as the model is fed; 255 raises the value most

The folders and stems of the inputs are kept; a second input of the same name gets a number.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from visionzoo.analysis.explaining import Explainer, Explanation
from visionzoo.inference.result_files import Lines
from visionzoo.structures.image_names import shortened
from visionzoo.system.atomic import cannot_write, write_file

LINES = "explanations.jsonl"


class ExplanationWriter:
    """Context manager that writes explanations into the folder ``out``.

    Args:
        out: an existing folder.
        explainer: source of the explanations.

    Attributes:
        done, failed: number of inputs so far, and of those without a map.
    """

    def __init__(self, out: Path, explainer: Explainer):
        self.out, self.explainer = out, explainer
        self.done = self.failed = 0
        self._names: set[Path] = set()
        self._lines: Lines | None = None  # opened by the first input, so that an error before it leaves no file

    def __enter__(self) -> ExplanationWriter:
        return self

    def __exit__(self, *reason: object) -> None:
        if self._lines is not None:
            self._lines.close()

    def write(self, found: Explanation) -> None:
        """Write the files of one input, then its line."""
        self.done += 1
        lines = self._lines = self._lines or Lines(self.out / LINES)
        record, made = found.record(), self.explainer
        if found.error is not None:
            self.failed += 1
            lines.add(record)
            return
        place = self._free(shortened(found.source.place))
        images = {"map": np.rint(255 * found.map).astype(np.uint8), "sheet": made.sheet(found)}
        paths = {key: Path(f"{key}s", place) for key in images}
        for key, image in images.items():
            self._save(paths[key], image)
        record |= {"method": made.method, "layout": made.layout}
        record |= {"model": made.inferencer.name, "task": made.inferencer.task}
        lines.add(record | {key: path.as_posix() for key, path in paths.items()})

    def _free(self, place: Path) -> Path:
        """Return the input's name as a PNG file, with a number if another input has this name."""
        wanted, number = place.with_suffix(".png"), 1
        while wanted in self._names:
            number += 1
            wanted = place.with_name(f"{place.stem}-{number}.png")
        self._names.add(wanted)
        return wanted

    def _save(self, path: Path, image: np.ndarray) -> None:
        path = self.out / path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        write_file(path, lambda file: Image.fromarray(image).save(file, "PNG"))
