"""ShanghaiTech, parts A and B, in the published format and in HMoDE's format."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np

from visionzoo.datasets.counting.base import (
    CountingDataset,
    Sample,
    images_in,
    require_files,
    require_split,
    sample_of,
)
from visionzoo.datasets.counting.point_files import read_shanghaitech_points, read_text_points
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError
from visionzoo.registry import DATASETS

_FOLDERS = {"train": "train_data", "test": "test_data"}
_PARTS = {"A": ("part_A_final", "part_A"), "B": ("part_B_final", "part_B")}  # folder names of different copies


@DATASETS.register_module()
class ShanghaiTechDataset(CountingDataset):
    """Crowds from the web (part A: 300 train, 182 test images) and from streets of Shanghai (part B: 400, 316).

    On disk::

        <data_root>/part_A_final/train_data/images/IMG_1.jpg
        <data_root>/part_A_final/train_data/ground_truth/GT_IMG_1.mat

    HMoDE's format adds ``ground_truth/IMG_1_sigma4.h5``, a density of the image's size, or replaces the points by it.

    Args:
        data_root: a folder, or ``tiny://shanghaitech_a?train=24&test=8&seed=0`` for drawn images.
        part: ``A`` or ``B``; None if ``data_root`` itself contains ``train_data``.
        split: ``train`` or ``test``.
        density_suffix: ending of stored densities, for example ``_sigma4.h5``. Each sample then has ``density_path``,
            which ``LoadDensity`` reads. It has points only if there is a ``.mat``, or a text of ``x y`` beside the
            image.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: images or annotations are missing or unusable.

    Example:
        >>> root = "tiny://shanghaitech_a?train=1&test=2&size=48"
        >>> dataset = ShanghaiTechDataset(root, part="A", split="test", serialize_data=False)
        >>> [sample["img_id"] for sample in dataset]
        ['IMG_1', 'IMG_2']
    """

    def __init__(
        self,
        data_root: str,
        part: str | None = "A",
        split: str = "train",
        density_suffix: str | None = None,
        **loading: Unpack[LoadingOptions],
    ):
        require_split(split, _FOLDERS, "ShanghaiTechDataset")
        root = resolve_data_root(data_root)
        folder = _part_folder(root, part) / _FOLDERS[split]
        super().__init__(
            root,
            _samples(folder, density_suffix),
            **loading,
        )


def _part_folder(root: Path, part: str | None) -> Path:
    if part is None:
        return root
    if part not in _PARTS:
        raise DataError(
            "ShanghaiTechDataset", expected="part to be A, B or None", found=f"{part!r}", advice="correct it"
        )
    folders = [root / name for name in _PARTS[part]]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _samples(folder: Path, density_suffix: str | None) -> list[Sample]:
    images = images_in(folder / "images", "shanghaitech")
    truth = folder / "ground_truth"
    if density_suffix is None:
        annotations = [truth / f"GT_{image.stem}.mat" for image in images]
        require_files(annotations, "annotations", folder)
        pairs = zip(images, annotations, strict=True)
        return [sample_of(image, read_shanghaitech_points(path)) for image, path in pairs]
    densities = [truth / f"{image.stem}{density_suffix}" for image in images]
    require_files(densities, "densities", folder)
    return [
        sample_of(image, _points_if_any(image, truth), density_path=str(path))
        for image, path in zip(images, densities, strict=True)
    ]


def _points_if_any(image: Path, truth: Path) -> np.ndarray | None:
    matlab, text = truth / f"GT_{image.stem}.mat", image.with_suffix(".txt")
    if matlab.is_file():
        return read_shanghaitech_points(matlab)
    return read_text_points(text) if text.is_file() else None
