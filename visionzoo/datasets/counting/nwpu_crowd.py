"""NWPU-Crowd: 5,109 images, some without people, with labels of crowd level and luminance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from visionzoo.datasets.counting.base import CountingDataset, Sample, require_files, require_split, sample_of
from visionzoo.datasets.counting.point_files import numbered_lines, read_json_points, read_mat_points
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError, require_known
from visionzoo.registry import DATASETS

_SPLITS = ("train", "val", "test")
_ANNOTATIONS = {"mat": ("mats", read_mat_points), "json": ("jsons", read_json_points)}
_LUMINANCES, _LEVELS = 4, 5


@DATASETS.register_module()
class NWPUCrowdDataset(CountingDataset):
    """3,109 images for training, 500 for validation and 1,500 for testing; the test points are not published.

    On disk::

        <data_root>/images/0001.jpg
        <data_root>/mats/0001.mat         annPoints, N x 2; not for the test split
        <data_root>/jsons/0001.json       the same as "points"
        <data_root>/train.txt             lines: id luminance (0 to 3) level (0 to 4); the test list may have only ids

    Samples have ``level`` and ``luminance`` if the list has them.

    Args:
        data_root: a folder, or ``tiny://nwpu_crowd?train=24&val=10&test=4&seed=0`` for drawn images.
        split: ``train``, ``val`` or ``test``.
        annotation: ``mat`` or ``json``.
        labelled: True if the split has points. Default: True except for ``test``.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        UnknownName: unknown ``annotation``.
        DataError: lists, images or annotations are missing or unusable.

    Example:
        >>> root = "tiny://nwpu_crowd?train=1&val=1&test=1&size=48"
        >>> dataset = NWPUCrowdDataset(root, split="test", serialize_data=False)
        >>> "gt_points" in dataset[0], dataset[0]["luminance"]
        (False, 0)
    """

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        annotation: str = "mat",
        labelled: bool | None = None,
        **loading: Unpack[LoadingOptions],
    ):
        require_split(split, _SPLITS, "NWPUCrowdDataset")
        require_known(annotation, _ANNOTATIONS, "annotation of NWPUCrowdDataset")
        root = resolve_data_root(data_root)
        has_points = split != "test" if labelled is None else labelled
        super().__init__(
            root,
            _samples(root, split, annotation if has_points else None),
            **loading,
        )


def _samples(root: Path, split: str, annotation: str | None) -> list[Sample]:
    listed = _listed(root / f"{split}.txt")
    images = [root / "images" / f"{name}.jpg" for name in listed]
    require_files(images, "images", root)
    if annotation is None:
        pairs = zip(images, listed.values(), strict=True)
        return [sample_of(image, None, **facts) for image, facts in pairs]
    folder, read = _ANNOTATIONS[annotation]
    paths = [root / folder / f"{name}.{annotation}" for name in listed]
    require_files(paths, "annotations", root)
    return [
        sample_of(image, read(path), **facts) for image, path, facts in zip(images, paths, listed.values(), strict=True)
    ]


def _listed(path: Path) -> dict[str, dict[str, int]]:
    """Return luminance and level by id."""
    entries = {}
    for number, line in numbered_lines(path, "lines of id, luminance and level"):
        name, *facts = line.split()
        if not _are_labels(facts):
            raise DataError(
                f"{path}: line {number}",
                expected="id, luminance (0 to 3) and level (0 to 4), or only id",
                found=f"{line!r}",
                advice="correct it",
            )
        entries[name] = dict(zip(("luminance", "level"), map(int, facts), strict=False))
    if not entries:
        raise DataError(path, expected="at least one image", found="an empty list", advice=f"{advice('nwpu_crowd')}")
    return entries


def _are_labels(facts: Sequence[str]) -> bool:
    if not facts:
        return True
    limits = (_LUMINANCES, _LEVELS)
    return len(facts) == 2 and all(
        fact.isdecimal() and int(fact) < limit for fact, limit in zip(facts, limits, strict=True)
    )
