"""Pairs of a fixed and a moving image: their files, and both images on the grid of the fixed one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.findings import Findings
from visionzoo.datasets.issues import Examined, Issue, issue_of
from visionzoo.datasets.volume_files import read_labels, read_volume, stem_of
from visionzoo.errors import DataError, ZooError, counted
from visionzoo.structures.volume_grids import (
    are_inside,
    chained,
    identity_map,
    inverted,
    map_between,
    moved_points,
    resample,
)
from visionzoo.structures.volume_names import COLUMNS as COLUMNS
from visionzoo.structures.volumes import Volume, plane_affine
from visionzoo.system.byte_cache import ByteCache
from visionzoo.system.text_files import read_text

File = str | os.PathLike[str] | np.ndarray | Volume
Note = Callable[[str], object]
Reader = Callable[[str | os.PathLike[str], Note], Volume]


class KeptVolumes:
    """Volumes and label maps that were read, for files that belong to several pairs.

    A file is read again when its size or time of change differs. The notes of a file are repeated.

    Args:
        most: limit in bytes.

    Example:
        >>> import tempfile
        >>> kept = KeptVolumes(10_000)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/a.npy", np.eye(4))
        ...     first, second = (kept.read(read_volume, f"{folder}/a.npy", print) for _ in range(2))
        >>> first is second
        True
    """

    def __init__(self, most: int):
        self._cache = ByteCache(most)

    def read(self, reader: Reader, path: str | os.PathLike[str], note: Note) -> Volume:
        """Return the volume that ``reader`` reads from a file, from memory if the file was read before."""
        key = (reader.__name__, os.fspath(path), *_state_of(path))
        kept = self._cache.get(key)
        if kept is None:
            notes: list[str] = []
            volume = reader(path, notes.append)
            kept = (volume, notes)
            self._cache.put(key, kept, volume.data.nbytes + (0 if volume.labels is None else volume.labels.nbytes))
        for text in kept[1]:
            note(text)
        return kept[0]


def _state_of(path: str | os.PathLike[str]) -> tuple[int, ...]:
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # the reader states it
        return ()
    return state.st_mtime_ns, state.st_size


@dataclass(frozen=True)
class Pair:
    """A fixed and a moving image, as read.

    Attributes:
        name: name in results and messages.
        fixed, moving: the images.
        to_moving: map (n, n + 1) from the voxels of the fixed image to those of the moving image, at the start.
        fixed_labels, labels: label maps of the fixed and of the moving image, on the grid of their image, or None.
        mask: (*S) bool on the grid of the fixed image; None for the whole image.
        fixed_points, points: landmarks (N, n) of the fixed and of the moving image, in voxels of their image, or None.
        also: name, volume and interpolation of further images in the space of the moving image.
        notes: what was read in its obvious meaning, and differences of the grids, as sentences.
    """

    name: str
    fixed: Volume
    moving: Volume
    to_moving: np.ndarray
    fixed_labels: np.ndarray | None = None
    labels: np.ndarray | None = None
    mask: np.ndarray | None = None
    fixed_points: np.ndarray | None = None
    points: np.ndarray | None = None
    also: tuple[tuple[str, Volume, str], ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def moving_on_fixed(self) -> np.ndarray:
        """The moving image on the grid of the fixed one, before registration."""
        return resample(self.moving.data, self.to_moving, self.fixed.shape)

    @cached_property
    def labels_on_fixed(self) -> np.ndarray | None:
        """The label map of the moving image on the grid of the fixed one, before registration."""
        return None if self.labels is None else resample(self.labels, self.to_moving, self.fixed.shape, nearest=True)

    @property
    def points_on_fixed(self) -> np.ndarray | None:
        """The landmarks of the moving image in voxels of the fixed image, before registration."""
        return None if self.points is None else moved_points(inverted(self.to_moving), self.points.T).T

    @property
    def by_affines(self) -> np.ndarray:
        """The map from the voxels of the fixed image to those of the moving image that the affines state."""
        axes = self.fixed.axes
        if self.fixed.affine is None or self.moving.affine is None:
            return identity_map(axes)
        return np.linalg.solve(*(plane_affine(each.affine, axes) for each in (self.moving, self.fixed)))[:axes]

    @property
    def start(self) -> np.ndarray:
        """The shift that was added to the affines, as a map (n, n + 1) of the voxels of the fixed image."""
        return chained(inverted(self.by_affines), self.to_moving)


def name_of_pair(files: Mapping[str, Any]) -> str:
    """Return the name of a pair: the stems of both files; their folders too if the stems are equal.

    Example:
        >>> name_of_pair({"fixed": "a/T1.nii.gz", "moving": "a/T2.nii.gz"})
        'T1-T2'
        >>> name_of_pair({"fixed": "s1/norm.nii.gz", "moving": "s2/norm.nii.gz"})
        's1_norm-s2_norm'
    """
    paths = [files[key] for key in ("fixed", "moving")]
    if not all(isinstance(path, str | os.PathLike) for path in paths):
        return "pair"
    return "-".join(stems_of_pair(*paths))


def stems_of_pair(fixed: str | os.PathLike[str], moving: str | os.PathLike[str]) -> list[str]:
    """Return the stems of both files; with their folders in front if the stems are equal.

    Example:
        >>> stems_of_pair("s1/norm.nii.gz", "s2/norm.nii.gz")
        ['s1_norm', 's2_norm']
    """
    stems = [stem_of(path) for path in (fixed, moving)]
    if stems[0] == stems[1]:
        stems = [f"{Path(path).parent.name}_{stem}".lstrip("_") for path, stem in zip((fixed, moving), stems)]
    return stems


def read_pair(
    files: Mapping[str, Any], name: str = "", note: Note | None = None, kept: KeptVolumes | None = None
) -> Pair:
    """Read a pair.

    Args:
        files: by column of :data:`COLUMNS` a path, or an array or a volume in memory; None for a missing one. Without
            label maps, those in the files of the images (``seg`` of ``.npz``) are used.
        name: name of the pair; default: see :func:`name_of_pair`.
        note: takes a sentence about each value that is read in its obvious meaning, and about the grids; default: one
            warning.
        kept: volumes that were read before; default: none. Arrays of the pair may be those of other pairs.

    Raises:
        DataError: a file cannot be used, the grids do not fit, or the images do not overlap.

    Example:
        >>> pair = read_pair({"fixed": np.eye(4), "moving": np.eye(4)[::-1]})
        >>> pair.name, pair.moving_on_fixed[0].tolist()
        ('pair', [0.0, 0.0, 0.0, 1.0])
    """
    name = name or name_of_pair(files)
    if note is None:
        with Findings(name, expected="a pair of images") as findings:
            return read_pair(files, name, findings.note_once, kept)
    given = {key: value for key, value in files.items() if value is not None}
    read = (kept or KeptVolumes(0)).read
    fixed, moving = (_volume(given[key], key, note, read) for key in ("fixed", "moving"))
    try:
        pair = Pair(name, fixed, moving, map_between(fixed, moving, note))
    except ZooError as error:
        raise error.at(name) from error
    _require_overlap(pair)
    pair = replace(
        pair,
        fixed_labels=_on_grid_of(given.get("fixed_labels"), fixed, "fixed labels", name, note, read),
        labels=_on_grid_of(given.get("labels"), moving, "labels", name, note, read),
        mask=_mask(given.get("fixed_mask"), fixed, name, note, read),
        fixed_points=_points(given.get("fixed_points"), fixed, "fixed", note),
        points=_points(given.get("points"), moving, "moving", note),
    )
    _require_partners(pair, note)
    return pair


def _require_overlap(pair: Pair) -> None:
    values = pair.moving_on_fixed
    if values.min() == values.max():
        raise DataError(
            pair.name,
            expected="images that overlap",
            found=f"the value {values.flat[0]:g} of the moving image on the whole grid of the fixed one",
            advice="align the images roughly, or correct their affines",
        )


def _require_partners(pair: Pair, note: Note) -> None:
    """Raise an error if the two lists of landmarks differ in length; note what has no counterpart."""
    if pair.fixed_points is not None and pair.points is not None:
        if len(pair.fixed_points) != len(pair.points):
            raise DataError(
                f"{pair.name}: landmarks",
                expected="the same landmarks in both images, in the same order",
                found=f"{len(pair.fixed_points)} in the fixed and {len(pair.points)} in the moving image",
                advice="list the partner of every landmark",
            )
    elif pair.fixed_points is not None or pair.points is not None:
        other = "fixed" if pair.fixed_points is None else "moving"
        note(f"the {other} image has no landmarks, so their error is not measured")
    if pair.fixed_labels is not None and pair.labels is None:
        note("the moving image has no label map, so Dice is not measured")


Read = Callable[[Reader, str | os.PathLike[str], Note], Volume]


def _volume(value: Any, key: str, note: Note, read: Read) -> Volume:
    if isinstance(value, Volume):
        return value
    if not isinstance(value, str | os.PathLike):
        return Volume(_numbers(value, key), ending=".npy")
    return read(read_volume, value, lambda text: note(f"{Path(value).name}: {text}"))


def _numbers(value: Any, key: str) -> np.ndarray:
    data = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if (
        data.ndim not in (2, 3)
        or data.dtype.kind not in "iufb"
        or not np.isfinite(data).all()
        or not np.ptp(data * 1.0)
    ):
        raise DataError(
            f"the {key} image",
            expected="a path, or a finite array of two or three axes with at least two values",
            found=f"{type(value).__name__} of shape {data.shape}",
            advice="pass one volume or slice",
        )
    return data


def _on_grid_of(
    value: Any, image: Volume, what: str, name: str, note: Note, read: Read, *, is_mask: bool = False
) -> np.ndarray | None:
    """Return a label map on the grid of its image."""
    if value is None:
        return None if is_mask else image.labels
    if isinstance(value, np.ndarray):
        labels = Volume(value, image.affine)
    else:
        labels = value if isinstance(value, Volume) else read(read_labels, value, lambda text: note(f"{what}: {text}"))
    try:
        matrix = map_between(image, labels, lambda text: note(f"{what}: {text.replace('moving image', 'map', 1)}"))
    except ZooError as error:
        raise error.at(f"{name}: {what}") from error
    return resample(labels.data, matrix, image.shape, nearest=True)


def _mask(value: Any, fixed: Volume, name: str, note: Note, read: Read) -> np.ndarray | None:
    mask = _on_grid_of(value, fixed, "fixed mask", name, note, read, is_mask=True)
    if mask is not None and not mask.any():
        raise DataError(f"{name}: fixed mask", expected="voxels other than 0", found="none", advice="give another mask")
    return None if mask is None else mask != 0


def _points(value: Any, image: Volume, which: str, note: Note) -> np.ndarray | None:
    """Return landmarks (N, n); note how many are outside their image."""
    if value is None:
        return None
    is_array, expected = isinstance(value, np.ndarray), f"lines of {image.axes} voxel indices"
    points = value if is_array else _read_points(value, expected)
    where = f"landmarks of the {which} image" if is_array else value
    if points.ndim != 2 or points.shape[1] != image.axes or not np.isfinite(points).all():
        raise DataError(where, expected=expected, found=f"an array {points.shape}", advice="correct the points")
    outside = len(points) - int(are_inside(points.T, image.shape).sum())
    if outside:
        source = where if is_array else Path(value).name
        note(f"{source}: {outside} of {counted(len(points), 'point')} outside the {which} image; give voxel indices")
    return points


def _read_points(path: str | os.PathLike[str], expected: str) -> np.ndarray:
    """Read points, one line each, with commas or spaces between the numbers."""
    text = read_text(Path(path), expected=expected, advice="check the path")
    rows = [line.replace(",", " ").split() for line in text.splitlines() if line.strip()]
    try:
        return np.array(rows, np.float64)
    except ValueError as error:
        raise DataError(path, expected=expected, but="a line has other contents", advice="correct it") from error


def examined_pair(record: Mapping[str, Any], kept: KeptVolumes) -> Examined:
    """Return the issues of one pair: files that cannot be used, other geometry, labels that only one image has.

    Args:
        record: ``files``, paths by column of :data:`COLUMNS`, and ``img_path``, the name of the pair.
        kept: volumes that were read before.
    """
    name, issues = f"{record.get('img_path', '')}", list[Issue]()
    try:
        pair = read_pair(
            {key: record["files"].get(key) for key in COLUMNS},
            name,
            lambda text: issues.append(Issue("pairs that are read with an assumption", name, text, is_note=True)),
            kept,
        )
    except ZooError as error:
        return Examined([*issues, issue_of(error, "pairs that cannot be read", name)])
    if pair.fixed.shape != pair.moving.shape or not _same_space(pair):
        found = f"fixed {pair.fixed.shape}, moving {pair.moving.shape}"
        issues.append(
            Issue("pairs of different geometry", name, found, "the affines bring them together", is_note=True)
        )
    labels = [
        None if each is None else set(np.unique(each).tolist()) - {0} for each in (pair.fixed_labels, pair.labels)
    ]
    if None not in labels and labels[0] != labels[1]:
        only = [sorted(map(int, labels[a] - labels[b])) for a, b in ((0, 1), (1, 0))]  # type: ignore[operator]
        found = f"only in the fixed image {only[0]}, only in the moving image {only[1]}"
        advice = "Dice of such a label is 0; check the label maps"
        issues.append(Issue("labels that only one image of a pair has", name, found, advice))
    return Examined(issues, has_truth=labels[0] is not None or pair.fixed_points is not None or None)


def _same_space(pair: Pair) -> bool:
    fixed, moving = pair.fixed.affine, pair.moving.affine
    return fixed is None or moving is None or bool(np.allclose(fixed, moving, atol=1e-3))
