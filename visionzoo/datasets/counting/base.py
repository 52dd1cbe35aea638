"""Common parts of data sets with points: samples, and search for images and lists."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import SampleList
from visionzoo.errors import DataError, require_none_missing
from visionzoo.structures.image_names import IMAGE_ENDINGS

Sample = dict[str, Any]


class CountingDataset(SampleList):
    """Base of data sets of images with points.

    A sample is a dict with ``img_path``, ``img_id``, ``gt_points`` and ``gt_count``. ``gt_points`` is (N, 2) float64 of
    x and y in pixels as annotated, including points outside the image. ``gt_count`` is the float N. Both are missing if
    the points are not published (test splits). Some sets add ``roi_path``, ``density_path``, ``level``, ``luminance``,
    ``scene`` or ``weather``. The constructor reads and checks everything except pixels. Images without people are
    included.

    Args:
        root: folder of the data.
        samples: the samples.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Example:
        >>> sample = sample_of(Path("a.jpg"), np.array([[1.0, 2.0], [3.0, 4.0]]), level=2)
        >>> dataset = CountingDataset(Path("."), [sample], serialize_data=False)
        >>> dataset[0]["img_id"], dataset[0]["gt_count"], dataset[0]["level"]
        ('a', 2.0, 2)
    """


def sample_of(image: Path, points: np.ndarray | None, **facts: Any) -> Sample:
    """Return one sample; facts that are None are omitted."""
    sample: Sample = {"img_path": str(image), "img_id": image.stem}
    if points is not None:
        sample |= {"gt_points": points, "gt_count": float(len(points))}
    return sample | {key: value for key, value in facts.items() if value is not None}


def images_in(folder: Path, readme: str) -> list[Path]:
    """Return the images of a folder sorted by name, ``IMG_2`` before ``IMG_10``.

    Raises:
        DataError: the folder does not exist or has no image.
    """
    if not folder.is_dir():
        raise DataError(
            folder, expected="a folder of images", found=f"no such folder (in {Path.cwd()})", advice=f"{advice(readme)}"
        )
    images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS and path.name[0] != "."]
    if not images:
        raise DataError(
            folder, expected=f"images ({', '.join(IMAGE_ENDINGS)})", found="none", advice=f"{advice(readme)}"
        )
    return sorted(images, key=lambda path: [part.zfill(12) for part in re.split(r"(\d+)", path.name)])


def require_files(paths: Sequence[Path], kind: str, root: Path) -> None:
    """Raise DataError if a file is missing.

    Raises:
        DataError: names the number of missing files and the first ones.
    """
    require_none_missing(
        [str(path.relative_to(root)) for path in paths if not path.is_file()],
        root,
        expected=f"{len(paths)} {kind}",
        advice="copy them again, or remove what lacks them",
    )


def require_split(split: str, known: Mapping[str, Any] | Sequence[str], name: str) -> None:
    """Raise DataError for an unknown split."""
    if split not in known:
        raise DataError(name, expected=f"a split of {', '.join(known)}", found=f"{split!r}", advice="correct split")
