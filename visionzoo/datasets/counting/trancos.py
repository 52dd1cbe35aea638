"""TRANCOS: vehicles in traffic jams, counted inside a region of interest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np

from visionzoo.datasets.counting.base import (
    CountingDataset,
    Sample,
    read_each,
    require_files,
    require_split,
    sample_of,
)
from visionzoo.datasets.counting.dots import read_dots
from visionzoo.datasets.counting.point_files import numbered_lines
from visionzoo.datasets.file_names import require_inside
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.transforms.counting import read_region
from visionzoo.errors import DataError
from visionzoo.registry import DATASETS
from visionzoo.structures.image_names import without_ending
from visionzoo.structures.image_size import require_size, size_of_file

_LISTS = {"train": "training", "val": "validation", "trainval": "trainval", "test": "test"}


@DATASETS.register_module()
class TRANCOSDataset(CountingDataset):
    """1,244 images of traffic cameras, 640x480 pixels, with 46,796 vehicles.

    On disk::

        <data_root>/images/<name>.jpg
        <data_root>/images/<name>dots.png           one coloured pixel for each vehicle
        <data_root>/images/<name>mask.mat           BW, the region that counts
        <data_root>/image_sets/training.txt         one name per line, with or without ending

    A point is the column and row of its dot, counted from 0; see :func:`read_dots`.
    Samples have ``roi_path``, which ``LoadRoi`` reads. Points
    outside the region are kept in the sample, but are not counted.

    Args:
        data_root: a folder, or ``tiny://trancos?train=24&val=8&test=8&seed=0`` for drawn images.
        split: ``train``, ``val``, ``trainval`` or ``test``.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: lists, images, dots or masks are missing or unusable.

    Example:
        >>> root = "tiny://trancos?train=1&val=1&test=1&size=48"
        >>> dataset = TRANCOSDataset(root, split="trainval", serialize_data=False)
        >>> len(dataset), Path(dataset[0]["roi_path"]).name
        (2, 'image-1-000001mask.mat')
    """

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        **loading: Unpack[LoadingOptions],
    ):
        require_split(split, _LISTS, "TRANCOSDataset")
        root = resolve_data_root(data_root)
        listed = root / "image_sets" / f"{_LISTS[split]}.txt"
        samples = _samples(root, listed, training=not loading.get("test_mode", False))
        super().__init__(root, samples, source=listed, **loading)


def _samples(root: Path, listed: Path, training: bool) -> list[Sample]:
    stems = _stems(listed)
    require_inside(stems, root / "images", root, listed)
    with Findings(root, expected="images with dots and regions", advice="correct the files") as findings:
        images, dots, masks = (
            require_files([root / "images" / f"{stem}{ending}" for stem in stems], kind, root, findings)
            for kind, ending in (("images", ".jpg"), ("dots", "dots.png"), ("masks", "mask.mat"))
        )
        read = partial(_dots_of, dict(zip(dots, images, strict=True)), findings)
        points = read_each(dots, read, root, findings)
        read = partial(_dots_inside, dict(zip(masks, zip(images, points, strict=True), strict=True)))
        inside = read_each(masks, read, root, findings)
        if not findings:
            _require_some_inside(points, inside, findings, training)
    return [sample_of(image, each, roi_path=str(mask)) for image, each, mask in zip(images, points, masks, strict=True)]


def _stems(listed: Path) -> list[str]:
    lines = numbered_lines(listed, "one name per line")
    if not lines:
        raise DataError(listed, expected="at least one image", found="an empty list", advice=f"{advice('trancos')}")
    seen: dict[str, int] = {}
    with Findings(listed, expected="every name once") as findings:
        for number, line in lines:
            stem = without_ending(line)
            if stem in seen:
                found = f"{shown(stem)} of line {seen[stem]} again"
                findings.wrong(f"line {number}", "name", expected="every name once", found=found)
            seen.setdefault(stem, number)
    return list(seen)


def _dots_of(images: Mapping[Path, Path], findings: Findings, path: Path) -> np.ndarray:
    """Read the dots of a file and compare its size with its image."""
    points, size = read_dots(path, findings)
    require_size(size, size_of_file(images[path])[::-1], path, what="dots", like=images[path].name, advice="copy both")
    return points


def _dots_inside(images: Mapping[Path, tuple[Path, np.ndarray]], path: Path) -> np.ndarray:
    """Return the dots inside the region of a file."""
    image, points = images[path]
    region = read_region(path)
    require_size(region.shape, size_of_file(image)[::-1], path, what="a region", like=image.name, advice="copy both")
    columns, rows = points.astype(int).T
    return points[region[rows, columns] > 0]


def _require_some_inside(
    points: Sequence[np.ndarray], inside: Sequence[np.ndarray], findings: Findings, training: bool
) -> None:
    total = sum(map(len, points))
    if not total or any(map(len, inside)):
        return
    if training:
        findings.wrong("all images", "dots", expected="dots inside the regions", found=f"{total} outside")
    else:
        findings.note("dots, all outside the regions", total)
