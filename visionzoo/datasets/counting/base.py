"""What all data sets of points share: their samples, and finding images and lists."""

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
    """Samples of images with points.

    A sample is a dict with ``img_path``, ``img_id``, ``gt_points``, (N, 2) float64 of x and y in pixels as annotated,
    those outside the image included, and ``gt_count``, the float N. Where they are not published (test splits) both
    are missing. Some have ``roi_path``, ``density_path``, ``level``, ``luminance``, ``scene`` or ``weather``.
    Everything but pixels is read and checked when the data set is built; an image without people is a sample like any
    other.

    Args:
        root: the folder of the data.
        samples: the samples.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.
    """


def sample_of(image: Path, points: np.ndarray | None, **facts: Any) -> Sample:
    """One sample; facts that are None are left out."""
    sample: Sample = {"img_path": str(image), "img_id": image.stem}
    if points is not None:
        sample |= {"gt_points": points, "gt_count": float(len(points))}
    return sample | {key: value for key, value in facts.items() if value is not None}


def images_in(folder: Path, readme: str) -> list[Path]:
    """Images of a folder by name, ``IMG_2`` before ``IMG_10``.

    Raises:
        DataError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(
            folder, expected="a folder of images", found=f"no such folder (in {Path.cwd()})", advice=f"{advice(readme)}"
        )
    found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS and path.name[0] != "."]
    if not found:
        raise DataError(
            folder, expected=f"images ({', '.join(IMAGE_ENDINGS)})", found="none", advice=f"{advice(readme)}"
        )
    return sorted(found, key=lambda path: [part.zfill(12) for part in re.split(r"(\d+)", path.name)])


def require_files(paths: Sequence[Path], kind: str, root: Path) -> None:
    """Find what is missing before training does.

    Raises:
        DataError: names how many are missing, and the first ones.
    """
    require_none_missing(
        [str(path.relative_to(root)) for path in paths if not path.is_file()],
        root,
        expected=f"{len(paths)} {kind}",
        advice="copy them again, or remove what lacks them",
    )


def require_split(split: str, known: Mapping[str, Any] | Sequence[str], name: str) -> None:
    """Raises DataError for a split that the data set does not have."""
    if split not in known:
        raise DataError(name, expected=f"a split of {', '.join(known)}", found=f"{split!r}", advice="correct split")
