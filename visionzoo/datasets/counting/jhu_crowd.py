"""JHU-CROWD++: crowds with labels of scene and weather."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

from visionzoo.datasets.counting.base import (
    CountingDataset,
    Sample,
    images_in,
    read_each,
    require_files,
    require_no_other,
    require_split,
    sample_of,
)
from visionzoo.datasets.counting.point_files import note_count, numbered_lines, read_text_points
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.numerals import decimal
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import first_of
from visionzoo.registry import DATASETS

_SPLITS = ("train", "val", "test")
_WEATHER = {"0": "none", "1": "fog", "2": "rain", "3": "snow"}
_Label = tuple[float | None, dict[str, str]]


@DATASETS.register_module()
class JHUCrowdDataset(CountingDataset):
    """Images of 0 to 25,791 people in different weather.

    On disk::

        <data_root>/<split>/images/0000.jpg
        <data_root>/<split>/gt/0000.txt            x y width height occlusion blur; empty without people
        <data_root>/<split>/image_labels.txt       optional: id,count,scene,weather,distractor

    Samples have ``scene``, a name, and ``weather``: ``none``, ``fog`` (or haze), ``rain`` or ``snow``.

    Args:
        data_root: a folder, or ``tiny://jhu_crowd?train=24&val=8&test=8&seed=0`` for drawn images.
        split: ``train``, ``val`` or ``test``.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: images or annotations are missing or unusable.

    Example:
        >>> root = "tiny://jhu_crowd?train=1&val=1&test=1&size=48"
        >>> dataset = JHUCrowdDataset(root, split="val", serialize_data=False)
        >>> dataset[0]["scene"], dataset[0]["weather"]
        ('stadium', 'fog')
    """

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        **loading: Unpack[LoadingOptions],
    ):
        require_split(split, _SPLITS, "JHUCrowdDataset")
        root = resolve_data_root(data_root)
        super().__init__(root, _samples(root / split), source=root / split, **loading)


def _samples(folder: Path) -> list[Sample]:
    with Findings(folder, expected="images with points", advice="correct the files") as findings:
        images = images_in(folder / "images", "jhu_crowd", findings)
        named = [folder / "gt" / f"{image.stem}.txt" for image in images]
        annotations = require_files(named, "annotations", folder, findings)
        require_no_other(folder / "gt", "*.txt", annotations, findings)
        points = read_each(annotations, partial(read_text_points, columns=(6,)), folder, findings)
        labels = _labels(folder / "image_labels.txt", [image.stem for image in images], findings)
        for image, each in zip(images, points, strict=True):
            note_count([labels[image.stem][0]] if image.stem in labels else [], each, findings)
    facts = [labels[image.stem][1] if image.stem in labels else {} for image in images]
    return [sample_of(image, each, **fact) for image, each, fact in zip(images, points, facts, strict=True)]


def _labels(path: Path, stems: Sequence[str], findings: Findings) -> dict[str, _Label]:
    """Return the count, and scene and weather, by image; empty without the file."""
    if not os.path.lexists(path):
        return {}
    labels: dict[str, _Label] = {}
    for number, line in numbered_lines(path, "lines of id,count,scene,weather,distractor"):
        name, label = _label(line, f"{path.name}: line {number}", findings)
        if name in labels:
            findings.wrong(f"{path.name}: line {number}", "id", expected="every id once", found=f"{shown(name)} again")
        if label:
            labels[name] = label
    lacking = [stem for stem in stems if stem not in labels]
    if lacking:
        found = f"{len(lacking)} missing ({first_of(map(shown, lacking))})"
        findings.wrong(path.name, "id", expected="a line for every image", found=found)
    findings.note("lines of labels without an image", len(set(labels) - set(stems)))
    return labels


def _label(line: str, entry: str, findings: Findings) -> tuple[str, _Label | None]:
    """Return the image and its label, or None after a finding. A scene may contain commas."""
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) < 5 or cells[-2] not in _WEATHER or decimal(cells[1]) is None or not "".join(cells[2:-2]):
        expected = "id,count,scene,weather (0 to 3),distractor"
        findings.wrong(entry, "label", expected=expected, found=shown(line, 80))
        return cells[0], None
    scene = ",".join(cells[2:-2])
    return cells[0], (decimal(cells[1]), {"scene": scene, "weather": _WEATHER[cells[-2]]})
