"""NWPU-Crowd: 5,109 images, some without people, with labels of crowd level and luminance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from visionzoo.datasets.counting.base import (
    LEVELS,
    LUMINANCES,
    CountingDataset,
    Sample,
    read_each,
    require_files,
    require_split,
    sample_of,
)
from visionzoo.datasets.counting.point_files import numbered_lines, read_json_points, read_mat_points
from visionzoo.datasets.file_names import require_inside
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError, require_known
from visionzoo.registry import DATASETS

_SPLITS = ("train", "val", "test")
_ANNOTATIONS = ("mat", "json")
_DIGITS = ("0", "1", "2", "3", "4")


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
        samples = _samples(root, split, annotation if has_points else None)
        super().__init__(root, samples, source=root / f"{split}.txt", **loading)


def _samples(root: Path, split: str, annotation: str | None) -> list[Sample]:
    listed = _listed(root / f"{split}.txt")
    require_inside(listed, root / "images", root, root / f"{split}.txt")
    with Findings(root, expected="images with points", advice="correct the files") as findings:
        images = require_files([root / "images" / f"{name}.jpg" for name in listed], "images", root, findings)
        points = _points(list(listed), root, annotation, findings)
    return [sample_of(image, each, **facts) for image, each, facts in zip(images, points, listed.values(), strict=True)]


def _points(names: Sequence[str], root: Path, annotation: str | None, findings: Findings) -> Sequence[Any]:
    """Return the points of each image; None if they are not published."""
    if annotation is None:
        return [None] * len(names)
    paths = [root / f"{annotation}s" / f"{name}.{annotation}" for name in names]
    read = read_mat_points if annotation == "mat" else partial(read_json_points, findings=findings)
    return read_each(require_files(paths, "annotations", root, findings), read, root, findings)


def _listed(path: Path) -> dict[str, dict[str, int]]:
    """Return luminance and level by id."""
    entries: dict[str, dict[str, int]] = {}
    with Findings(path, expected="images with luminance and level") as findings:
        for number, line in numbered_lines(path, "lines of id, luminance and level"):
            name, *facts = line.split()
            if name in entries:
                findings.wrong(f"line {number}", "id", expected="every id once", found=f"{shown(name)} again")
            entries[name] = _labels(facts, line, number, findings)
        lacking = sum(not facts for facts in entries.values())
        findings.note("images without luminance and level", lacking if lacking < len(entries) else 0)
    if not entries:
        raise DataError(path, expected="at least one image", found="an empty list", advice=f"{advice('nwpu_crowd')}")
    return entries


def _labels(facts: Sequence[str], line: str, number: int, findings: Findings) -> dict[str, int]:
    """Return luminance and level by name; empty without both."""
    known = (_DIGITS[:LUMINANCES], _DIGITS[:LEVELS])
    if not facts or (len(facts) == 2 and all(fact in digits for fact, digits in zip(facts, known, strict=True))):
        return dict(zip(("luminance", "level"), map(int, facts), strict=False))
    expected = "id, luminance (0 to 3) and level (0 to 4), or only id"
    findings.wrong(f"line {number}", "labels", expected=expected, found=shown(line))
    return {}
