"""ShanghaiTech, parts A and B, in the published format and in HMoDE's format."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

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
from visionzoo.datasets.counting.point_files import read_shanghaitech_points, read_text_points
from visionzoo.datasets.findings import Findings
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
        super().__init__(root, _samples(folder, density_suffix), source=folder, **loading)


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
    truth = folder / "ground_truth"
    with Findings(folder, expected="images with points", advice="correct the files") as findings:
        images = images_in(folder / "images", "shanghaitech", findings)
        if density_suffix is None:
            points: Sequence[Any] = _matlab_points(images, truth, findings)
            facts: Sequence[dict[str, str]] = [{}] * len(images)
        else:
            named = [truth / f"{image.stem}{density_suffix}" for image in images]
            facts = [{"density_path": str(path)} for path in require_files(named, "densities", folder, findings)]
            points = [_points_if_any(image, truth, findings) for image in images]
    return [sample_of(image, each, **fact) for image, each, fact in zip(images, points, facts, strict=True)]


def _matlab_points(images: Sequence[Path], truth: Path, findings: Findings) -> list[np.ndarray]:
    named = [truth / f"GT_{image.stem}.mat" for image in images]
    annotations = require_files(named, "annotations", truth.parent, findings)
    require_no_other(truth, "GT_*.mat", annotations, findings)
    return read_each(annotations, partial(read_shanghaitech_points, findings=findings), truth.parent, findings)


def _points_if_any(image: Path, truth: Path, findings: Findings) -> np.ndarray | None:
    matlab, text = truth / f"GT_{image.stem}.mat", image.with_suffix(".txt")
    if matlab.is_file():
        return read_each([matlab], partial(read_shanghaitech_points, findings=findings), truth.parent, findings)[0]
    return read_each([text], read_text_points, truth.parent, findings)[0] if text.is_file() else None
