"""UCF_CC_50 (50 images in five folds) and UCF-QNRF."""

from __future__ import annotations

from collections.abc import Sequence
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
from visionzoo.datasets.counting.point_files import read_mat_points
from visionzoo.datasets.findings import Findings
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import ConfigError
from visionzoo.registry import DATASETS

# The authors publish no folds, and papers use different ones. These folds are consecutive numbers in groups of ten.
FOLDS = tuple(tuple(range(first, first + 10)) for first in range(1, 51, 10))
_FOLDERS = {"train": "Train", "test": "Test"}


@DATASETS.register_module()
class UCFCC50Dataset(CountingDataset):
    """50 grey images of 94 to 4,543 people; a model is trained and evaluated once for each fold.

    On disk::

        <data_root>/1.jpg ... 50.jpg
        <data_root>/1_ann.mat ...           annPoints, N x 2

    Args:
        data_root: a folder, or ``tiny://ucf_cc_50?seed=0`` for drawn images.
        fold: index of the test fold, >= 0.
        split: ``test`` for the images of ``fold``, ``train`` for the images of the other folds.
        folds: image numbers of each fold; each image must occur once.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        ConfigError: the folds overlap or omit images, or ``fold`` is out of range.
        DataError: images or annotations are missing or unusable.

    Example:
        >>> dataset = UCFCC50Dataset("tiny://ucf_cc_50?size=48", fold=1, split="test", serialize_data=False)
        >>> [sample["img_id"] for sample in dataset][:3]
        ['11', '12', '13']
    """

    def __init__(
        self,
        data_root: str,
        fold: int = 0,
        split: str = "train",
        folds: Sequence[Sequence[int]] = FOLDS,
        **loading: Unpack[LoadingOptions],
    ):
        require_split(split, _FOLDERS, "UCFCC50Dataset")
        _check_folds(folds, fold)
        root = resolve_data_root(data_root)
        numbers = [
            number for index, members in enumerate(folds) for number in members if (index == fold) == (split == "test")
        ]
        with Findings(root, expected="images with points", advice="correct the files") as findings:
            named = [root / f"{number}.jpg" for number in numbers]
            samples = _with_mat(require_files(named, "images", root, findings), root, findings)
        super().__init__(root, samples, **loading)


@DATASETS.register_module()
class UCFQNRFDataset(CountingDataset):
    """1,201 images for training and 334 for testing, of up to 12,865 people and many sizes.

    On disk::

        <data_root>/Train/img_0001.jpg
        <data_root>/Train/img_0001_ann.mat      annPoints, N x 2

    Args:
        data_root: a folder, or ``tiny://ucf_qnrf?train=24&test=8&seed=0`` for drawn images.
        split: ``train`` or ``test``.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: images or annotations are missing or unusable.

    Example:
        >>> root = "tiny://ucf_qnrf?train=1&test=1&size=48"
        >>> dataset = UCFQNRFDataset(root, split="test", serialize_data=False)
        >>> dataset[0]["img_id"]
        'img_0001'
    """

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        **loading: Unpack[LoadingOptions],
    ):
        require_split(split, _FOLDERS, "UCFQNRFDataset")
        root = resolve_data_root(data_root)
        folder = root / _FOLDERS[split]
        with Findings(folder, expected="images with points", advice="correct the files") as findings:
            samples = _with_mat(images_in(folder, "ucf_qnrf", findings), root, findings, whole_folder=True)
        super().__init__(root, samples, source=folder, **loading)


def _with_mat(images: Sequence[Path], root: Path, findings: Findings, *, whole_folder: bool = False) -> list[Sample]:
    named = [image.with_name(f"{image.stem}_ann.mat") for image in images]
    annotations = require_files(named, "annotations", root, findings)
    if whole_folder:
        require_no_other(images[0].parent, "*_ann.mat", annotations, findings)
    points = read_each(annotations, read_mat_points, root, findings)
    return [sample_of(image, each) for image, each in zip(images, points, strict=True)]


def _check_folds(folds: Sequence[Sequence[int]], fold: int) -> None:
    numbers = sorted(number for members in folds for number in members)
    if numbers != list(range(1, 51)):
        raise ConfigError(
            "UCFCC50Dataset.folds",
            expected="every number from 1 to 50 once",
            found=f"{len(numbers)} numbers, {len(set(numbers) & set(range(1, 51)))} of them different and in 1 to 50",
            advice="correct the lists",
        )
    if not 0 <= fold < len(folds):
        raise ConfigError("UCFCC50Dataset.fold", expected=f"a number from 0 to {len(folds) - 1}", found=f"{fold}")
