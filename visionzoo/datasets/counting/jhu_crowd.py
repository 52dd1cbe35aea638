"""JHU-CROWD++: crowds with labels of scene and weather."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from visionzoo.datasets.counting.base import (
    CountingDataset,
    Sample,
    images_in,
    require_files,
    require_split,
    sample_of,
)
from visionzoo.datasets.counting.point_files import numbered_lines, read_text_points
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError
from visionzoo.registry import DATASETS

_SPLITS = ("train", "val", "test")
_WEATHER = {"0": "none", "1": "fog", "2": "rain", "3": "snow"}


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
        super().__init__(
            root,
            _samples(root / split),
            **loading,
        )


def _samples(folder: Path) -> list[Sample]:
    images = images_in(folder / "images", "jhu_crowd")
    annotations = [folder / "gt" / f"{image.stem}.txt" for image in images]
    require_files(annotations, "annotations", folder)
    labels = _labels(folder / "image_labels.txt")
    return [
        sample_of(image, read_text_points(path, columns=6), **labels.get(image.stem, {}))
        for image, path in zip(images, annotations, strict=True)
    ]


def _labels(path: Path) -> dict[str, dict[str, str]]:
    """Return scene and weather by image; empty without the file."""
    if not path.is_file():
        return {}
    labels = {}
    for number, line in numbered_lines(path, "lines of id,count,scene,weather,distractor"):
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) < 5 or cells[-2] not in _WEATHER:
            raise DataError(
                f"{path}: line {number}",
                expected="id,count,scene,weather (0 to 3),distractor",
                found=f"{line!r}",
                advice="correct it",
            )
        labels[cells[0]] = {"scene": ",".join(cells[2:-2]), "weather": _WEATHER[cells[-2]]}
    return labels
