"""Common parts of data sets with points: samples, search for images and lists, and findings in files."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from visionzoo.datasets.counting.usable import check_usable
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.missing_files import advice, inside
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.errors import DataError, first_of, in_cwd, require_none_missing
from visionzoo.structures.image_names import IMAGE_ENDINGS, is_left_over

Sample = dict[str, Any]

# Numbers of crowd levels and luminances in NWPU-Crowd.
LEVELS, LUMINANCES = 5, 4


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
        source: the file or folder of the annotations, for messages. Default: ``root``.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: no sample is usable for training, see :func:`check_usable`.

    Example:
        >>> sample = sample_of(Path("a.jpg"), np.array([[1.0, 2.0], [3.0, 4.0]]), level=2)
        >>> dataset = CountingDataset(Path("."), [sample], serialize_data=False)
        >>> dataset[0]["img_id"], dataset[0]["gt_count"], dataset[0]["level"]
        ('a', 2.0, 2)
    """

    def __init__(
        self, root: Path, samples: list[Sample], *, source: Path | None = None, **loading: Unpack[LoadingOptions]
    ):
        used = samples[: loading.get("max_samples")]
        check_usable(used, source or root, training=not loading.get("test_mode", False))
        super().__init__(root, samples, **loading)


def sample_of(image: Path, points: np.ndarray | None, **facts: Any) -> Sample:
    """Return one sample; facts that are None are omitted."""
    sample: Sample = {"img_path": str(image), "img_id": image.stem}
    if points is not None:
        sample |= {"gt_points": points, "gt_count": float(len(points))}
    return sample | {key: value for key, value in facts.items() if value is not None}


# --- files ---


def images_in(folder: Path, readme: str, findings: Findings) -> list[Path]:
    """Return the images of a folder sorted by name, ``IMG_2`` before ``IMG_10``.

    Hidden files are skipped with a note. Folders and broken links with the name of an image are findings, as are two
    images whose names differ only in the ending, because one annotation belongs to both.

    Raises:
        DataError: the folder does not exist or has no image.
    """
    if not folder.is_dir():
        raise DataError(
            folder, expected="a folder of images", found=f"no such folder{in_cwd(folder)}", advice=f"{advice(readme)}"
        )
    named = [path for path in _listed(folder) if path.suffix.lower() in IMAGE_ENDINGS]
    images = [path for path in named if not is_left_over(path.name)]
    findings.note("hidden image files, not read", len(named) - len(images))
    if not images:
        raise DataError(
            folder, expected=f"images ({', '.join(IMAGE_ENDINGS)})", found="none", advice=f"{advice(readme)}"
        )
    for path in images:
        if not os.path.isfile(path):
            findings.wrong(shown(path.name), "image", expected="a file", found="a folder or a broken link")
    for stem, count in Counter(path.stem for path in images).items():
        if count > 1:
            findings.wrong(shown(stem), "image", expected="one image of this name", found=f"{count}")
    return sorted(images, key=lambda path: [part.zfill(12) for part in re.split(r"(\d+)", path.name)])


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(
            folder, expected="a readable folder", but=f"{error.strerror}", advice="check its rights"
        ) from error


def require_files(paths: Sequence[Path], kind: str, root: Path, findings: Findings) -> list[Path]:
    """Return existing files. An ending in other case, such as ``.JPG``, is accepted with a note.

    Raises:
        DataError: names the number of missing files and the first ones.
    """
    files = [as_stored(path) for path in paths]
    missing = [_short(inside(root, path)) for path, file in zip(paths, files, strict=True) if file is None]
    require_none_missing(
        missing, root, expected=f"{len(paths)} {kind}", advice="copy them again, or remove what lacks them"
    )
    found = [file for file in files if file is not None]
    findings.note(f"{kind} with an ending in other case", sum(a != b for a, b in zip(paths, found, strict=True)))
    return found


def as_stored(path: Path) -> Path | None:
    """Return the path, or the path with its ending in upper or lower case, that is a file, else None."""
    stem, ending = os.path.splitext(path)
    names = (f"{path}", stem + ending.upper(), stem + ending.lower())
    return next((Path(name) for name in names if os.path.isfile(name)), None)


def _short(path: Path) -> str:
    name = str(path)
    return name if name.isprintable() and len(name) <= 120 else shown(name)


def require_no_other(folder: Path, pattern: str, known: Iterable[Path], findings: Findings) -> None:
    """Report annotations of a folder that belong to no image, because images are then missing.

    Args:
        folder: folder of the annotations.
        pattern: names of annotations, such as ``*_ann.mat``.
        known: the annotations that belong to an image.
        findings: receives one finding for all of them.
    """
    found = {path.name for path in folder.glob(pattern) if not is_left_over(path.name)}
    other = sorted(found - {path.name for path in known})
    if other:
        findings.wrong(
            folder.name,
            "images",
            expected="one for each annotation",
            found=f"{len(other)} annotations without an image ({first_of(map(shown, other))})",
        )


def read_each(
    paths: Sequence[Path], read: Callable[[Path], np.ndarray], root: Path, findings: Findings
) -> list[np.ndarray]:
    """Read the points of each file. A file that cannot be read is a finding, and has no points."""
    return [_read_or_report(path, read, root, findings) for path in paths]


def _read_or_report(path: Path, read: Callable[[Path], np.ndarray], root: Path, findings: Findings) -> np.ndarray:
    try:
        return read(path)
    except DataError as error:
        report(error, path, root, findings)
        return np.zeros((0, 2))


def report(error: DataError, path: Path, root: Path, findings: Findings) -> None:
    """Add the error of one file to the findings of a folder."""
    field = error.where.removeprefix(f"{path}").removeprefix(": ") or "contents"
    found = error.found if error.found is not None else f"a file that cannot be read ({error.but})"
    findings.wrong(_short(inside(root, path)), field, expected=error.expected or "a readable file", found=found)


def require_split(split: str, known: Mapping[str, Any] | Sequence[str], name: str) -> None:
    """Raise DataError for an unknown split."""
    if split not in known:
        raise DataError(name, expected=f"a split of {', '.join(known)}", found=f"{split!r}", advice="correct split")
