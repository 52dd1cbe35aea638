"""TRANCOS: vehicles in traffic jams, counted inside a region of interest."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np

from visionzoo.datasets.counting.base import (
    CountingDataset,
    Sample,
    require_files,
    require_split,
    sample_of,
)
from visionzoo.datasets.counting.point_files import read_lines
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.transforms.loading import read_image
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

    A point is the column and row of its dot, counted from 0. Samples have ``roi_path``, which ``LoadRoi`` reads. Points
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
        super().__init__(
            root,
            _samples(root, root / "image_sets" / f"{_LISTS[split]}.txt"),
            **loading,
        )


def _samples(root: Path, listed: Path) -> list[Sample]:
    lines = read_lines(listed, "one name per line")
    if not lines:
        raise DataError(listed, expected="at least one image", found="an empty list", advice=f"{advice('trancos')}")
    stems = [without_ending(line) for line in lines]
    files = {
        kind: [root / "images" / f"{stem}{ending}" for stem in stems]
        for kind, ending in (("images", ".jpg"), ("dots", "dots.png"), ("masks", "mask.mat"))
    }
    for kind, paths in files.items():
        require_files(paths, kind, root)
    return [
        sample_of(image, _dots_of(image, dots), roi_path=str(mask))
        for image, dots, mask in zip(*files.values(), strict=True)
    ]


def _dots_of(image: Path, path: Path) -> np.ndarray:
    """Return (N, 2) float64, column and row of each pixel that is not black, in row order."""
    dots = read_image(path, exif=False)
    width, height = size_of_file(image)
    require_size(dots.shape[:2], (height, width), path, what="dots", like=image.name, advice="copy both again")
    rows, columns = np.nonzero(dots.any(axis=2))
    return np.stack([columns, rows], axis=1).astype(np.float64)
