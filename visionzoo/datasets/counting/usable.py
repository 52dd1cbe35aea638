"""Check that the points of a whole data set can be learned, before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.findings import Findings
from visionzoo.datasets.issues import Issue
from visionzoo.errors import DataError
from visionzoo.structures.image_size import size_of_file

# Reading the size of one image takes up to 10 ms on shared disks.
_MOST_IMAGES = 100
_LEAST_TOUCHING = 8  # points of an image below which neighbours may be a coincidence
_FRACTIONS = "all coordinates are between 0 and 1; x and y are pixels"


def check_usable(samples: Sequence[Mapping[str, Any]], source: Path, *, training: bool) -> None:
    """Check the points of all images together, and log one warning for all doubts.

    Points that are fractions of the image, and points that are mostly outside their images, cause a warning. The sizes
    of the first 100 images with points are read for this.

    Args:
        samples: the samples that are used. Samples without ``gt_points`` are not checked.
        source: file or folder of the annotations, for messages.
        training: True if the samples are used for training.

    Raises:
        DataError: for training, no image has a point, or all points are outside their images.

    Example:
        >>> check_usable([{"img_path": "a.png", "gt_points": np.zeros((0, 2))}], "points.csv", training=True)
        Traceback (most recent call last):
        visionzoo.errors.DataError: points.csv: points: expected at least one to learn, found none in 1 images; ...
    """
    labelled = [sample for sample in samples if "gt_points" in sample]
    with_points = [sample for sample in labelled if len(sample["gt_points"])]
    if not labelled:
        return
    with Findings(source, expected="points in pixels", advice="annotate objects, or check x and y") as findings:
        if with_points:
            _check_fractions(with_points, findings)
            _check_outside(with_points, findings, training)
        elif training:
            raise _nothing_to_learn(source, f"none in {len(labelled)} images")
        else:
            findings.note("images, none with a point", len(labelled))


def _nothing_to_learn(source: Path, found: str) -> DataError:
    return DataError(
        f"{source}: points", expected="at least one to learn", found=found, advice="annotate objects, or check the file"
    )


def _check_fractions(samples: Sequence[Mapping[str, Any]], findings: Findings) -> None:
    """Whole numbers are pixels, even if all are 0 or 1."""
    whole = True
    for sample in samples:
        points = sample["gt_points"]
        if points.min() < 0 or points.max() > 1:
            return
        whole = whole and not (points % 1).any()
    if not whole:
        findings.note(_FRACTIONS, sum(len(sample["gt_points"]) for sample in samples))


def _check_outside(samples: Sequence[Mapping[str, Any]], findings: Findings, training: bool) -> None:
    total = outside = swapped = 0
    for points, size in _with_sizes(samples[:_MOST_IMAGES]):
        total += len(points)
        outside += len(points) - _count_inside(points, size)
        swapped += _count_inside(points[:, ::-1], size)
    if not total or outside * 2 <= total:
        return
    hint = "; x and y are swapped" if swapped == total else ""
    if outside == total and training:
        findings.wrong("all images", "points", expected="points in their images", found=f"{total} outside{hint}")
    else:
        findings.note(f"points outside their images, of {total} checked{hint}", outside)


def _with_sizes(samples: Sequence[Mapping[str, Any]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield points and (W, H); images that Pillow cannot read are skipped, because their reader reports them."""
    for sample in samples:
        try:
            yield sample["gt_points"], np.array(size_of_file(sample["img_path"]))
        except DataError:
            continue


def _count_inside(points: np.ndarray, size: np.ndarray) -> int:
    """Count points inside an image, with one pixel of tolerance for coordinates that start at 1."""
    return int(((points > -1) & (points < size + 1)).all(axis=1).sum())


def touching_points(points: np.ndarray, place: str) -> Iterator[Issue]:
    """Yield an issue if most points are neighbouring pixels, as dots that went through JPEG give.

    Args:
        points: (N, 2) in pixels.
        place: the image.

    Example:
        >>> square = np.argwhere(np.ones((5, 5)))
        >>> [issue.found for issue in touching_points(square, "a.jpg")]
        ['25 of 25 points are next to another one']
    """
    if len(points) < _LEAST_TOUCHING:
        return
    pixels = {tuple(pixel) for pixel in np.floor(points).astype(int).tolist()}
    around = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
    touching = sum(any((x + dx, y + dy) in pixels for dx, dy in around) for x, y in pixels)
    if 2 * touching > len(pixels):
        found = f"{touching} of {len(pixels)} points are next to another one"
        yield Issue("images whose points touch", place, found, "one dot may be several pixels; save dots as PNG")
