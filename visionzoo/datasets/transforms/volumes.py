"""Loading and preparation of pairs of volumes or slices.

``img`` of a sample is a list of the fixed and the moving image, (*S, 1) float32 each, on one grid. Label maps and the
mask follow every change of the grid. ``grid``, a map (n, n + 1) as lists, takes the voxels of the current grid to those
of the fixed image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmcv.transforms.base import BaseTransform
from scipy import ndimage

from visionzoo.allowed import Count, Index, Part, Positive
from visionzoo.datasets.findings import say_notes
from visionzoo.datasets.volume_pairs import COLUMNS, KeptVolumes, Pair, read_pair
from visionzoo.errors import ConfigError
from visionzoo.ops.intensities import match_histogram, scale_intensities
from visionzoo.registry import TRANSFORMS
from visionzoo.structures.volume_grids import (
    chained,
    crop_map,
    identity_map,
    inverted,
    moved_points,
    resample,
    resize_map,
)

_MAPS = ("gt_fixed_labels", "gt_moving_labels", "gt_fixed_mask")
_POINTS = ("gt_fixed_points", "gt_moving_points")
_MOST_NOTED = 5  # pairs whose notes are printed while a data set is loaded


def start_of_pair(pair: Pair) -> dict[str, Any]:
    """Return the keys of a sample for a pair that was read.

    - ``img``: fixed and moving image, (*S, 1) float32 each, on the grid of the fixed image.
    - ``img_path``: name of the pair; ``img_shape``, ``ori_shape``: S; ``spacing``: millimetres; ``grid``.
    - if the pair has them: ``gt_fixed_labels``, ``gt_moving_labels`` and ``gt_fixed_mask`` (*S), ``gt_fixed_points``
      and ``gt_moving_points`` (N, n), all on this grid.
    """
    images = [pair.fixed.data, pair.moving_on_fixed]
    shape = pair.fixed.shape
    values = (pair.fixed_labels, pair.labels_on_fixed, pair.mask, pair.fixed_points, pair.points_on_fixed)
    return {
        "img": [np.array(image, np.float32)[..., None] for image in images],
        "img_path": pair.name,
        "img_shape": shape,
        "ori_shape": shape,
        "spacing": pair.fixed.spacing,
        "grid": identity_map(len(shape)).tolist(),
        **{key: np.array(value) for key, value in zip((*_MAPS, *_POINTS), values, strict=True) if value is not None},
    }


@TRANSFORMS.register_module()
class LoadVolumePair(BaseTransform):
    """Read a pair whose files are ``files`` of the sample, by column of a CSV file of pairs.

    The moving image is brought to the grid of the fixed one. See :func:`start_of_pair` for the keys.

    Args:
        cache_mb: memory for volumes that other pairs use too, in MB for each process that loads; 0 to read each file
            again. Six subjects of 160 x 192 x 224 voxels with labels need 330 MB.

    Raises:
        DataError: a file cannot be used, the grids do not fit, or the images do not overlap.
    """

    PROVIDES = ("img", "gt_fixed_labels", "gt_moving_labels")

    def __init__(self, cache_mb: Index = 512):
        self.kept = KeptVolumes(cache_mb * 10**6)
        self.noted: set[str] = set()

    def transform(self, results: dict) -> dict:
        files = {key: results["files"].get(key) for key in COLUMNS}
        notes: dict[str, int] = {}
        pair = read_pair(files, results.get("img_path", ""), lambda text: notes.setdefault(text, 0), self.kept)
        self._say(pair.name, notes)
        return {**results, **start_of_pair(pair)}

    def _say(self, name: str, notes: Mapping[str, int]) -> None:
        """Print the notes of the first pairs that have any; the others have the same kinds of notes."""
        if not notes or len(self.noted) > _MOST_NOTED:
            return
        self.noted.add(name)
        is_last = len(self.noted) > _MOST_NOTED
        say_notes(name, {"further notes about pairs are not shown": 0} if is_last else notes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@TRANSFORMS.register_module()
class NormalizeVolumes(BaseTransform):
    """Clip intensities at their order statistics and scale them to 0 to 1, as MICDIR does.

    Args:
        share: share of the voxels that is clipped at each end, in [0, 0.5); at least one voxel is.
        keep: True to keep the images as ``gt_fixed`` and ``gt_moving`` (1, *S), for measures of similarity.
        standardise: True to give each image mean 0 and standard deviation 1 after that, as ICNet does.

    Example:
        >>> image = np.arange(6.0).reshape(2, 3, 1)
        >>> NormalizeVolumes()({"img": [image, image]})["img"][0].ravel().tolist()
        [0.0, 0.0, 0.25, 0.5, 0.75, 1.0]
    """

    def __init__(self, share: Part = 1e-4, keep: bool = False, standardise: bool = False):
        self.share, self.keep, self.standardise = share, keep, standardise

    def transform(self, results: dict) -> dict:
        images = [scale_intensities(image, self.share) for image in results["img"]]
        kept = dict(zip(("gt_fixed", "gt_moving"), (image[None, ..., 0] for image in images))) if self.keep else {}
        if self.standardise:
            images = [(image - image.mean()) / max(float(image.std()), 1e-6) for image in images]
        return {**results, "img": images, **kept}


@TRANSFORMS.register_module()
class MatchHistograms(BaseTransform):
    """Give the moving image the intensities of the fixed one, rank by rank, as ICNet requires.

    The background, the smallest value of each image, keeps its place: it becomes that of the fixed image.

    Example:
        >>> fixed, moving = np.array([[0.0, 1, 2, 3]]), np.array([[5.0, 40, 30, 20]])
        >>> MatchHistograms()({"img": [fixed[..., None], moving[..., None]]})["img"][1].ravel().tolist()
        [0.0, 3.0, 2.0, 1.0]
    """

    def transform(self, results: dict) -> dict:
        fixed, moving = (image[..., 0] for image in results["img"])
        return {**results, "img": [results["img"][0], match_histogram(moving, fixed)[..., None]]}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Regrid(BaseTransform):
    """Base of the transforms that bring all values of a pair to a grid of another size."""

    def __init__(self, size: Sequence[Count]):
        self.size = tuple(size)
        if not 2 <= len(self.size) <= 3:
            raise ConfigError(type(self).__name__, expected="2 or 3 sides", found=f"{size}", advice="give one per axis")

    def matrix(self, shape: Sequence[int]) -> np.ndarray:
        """Return the map from the new grid to the one of ``shape``."""
        raise TypeError(f"{type(self).__name__}.matrix is not defined")

    def smoothed(self, image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Return an image (*S) whose details the new grid can represent."""
        factors = np.diag(matrix)
        return ndimage.gaussian_filter(image, np.maximum(factors - 1, 0) / 2) if factors.max() > 1 else image

    def transform(self, results: dict) -> dict:
        shape = results["img"][0].shape[:-1]
        if len(shape) != len(self.size):
            raise ConfigError(
                type(self).__name__,
                expected=f"{len(shape)} sides for images of {len(shape)} axes",
                found=f"{self.size}",
                advice="change size in the pipeline",
            )
        matrix = self.matrix(shape)
        changed = {**results, "img_shape": self.size}
        images = [self.smoothed(image[..., 0], matrix) for image in results["img"]]
        changed["img"] = [resample(image, matrix, self.size)[..., None] for image in images]
        changed["grid"] = chained(np.array(results["grid"]), matrix).tolist()
        lengths = np.diag(matrix) * results.get("spacing", (1.0,) * len(shape))
        changed["spacing"] = tuple(float(length) for length in lengths)
        for key in _MAPS:
            if key in results:
                changed[key] = resample(results[key], matrix, self.size, nearest=True)
        for key in _POINTS:
            if key in results:
                changed[key] = moved_points(inverted(matrix), results[key].T).T
        return changed

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


@TRANSFORMS.register_module()
class CropOrPadVolumes(_Regrid):
    """Crop the images to a size around their centre, or pad them with 0.

    Args:
        size: number of voxels along each axis.
    """

    def matrix(self, shape: Sequence[int]) -> np.ndarray:
        return crop_map(shape, self.size)


@TRANSFORMS.register_module()
class ResizeVolumes(_Regrid):
    """Resample the images to a size; the images keep their extent. Labels take the nearest voxel.

    Args:
        size: number of voxels along each axis.
    """

    def matrix(self, shape: Sequence[int]) -> np.ndarray:
        return resize_map(shape, self.size)


@TRANSFORMS.register_module()
class ResampleVolumes(BaseTransform):
    """Resample the images to cubic voxels of a length; the images keep their extent. Labels take the nearest voxel.

    Args:
        spacing: length of a voxel in millimetres, such as 2 for the volumes of MICDIR.

    Example:
        >>> image = np.zeros((9, 12, 1), np.float32)
        >>> pair = {"img": [image, image], "spacing": (1.0, 2.0), "grid": identity_map(2).tolist()}
        >>> ResampleVolumes(3.0)(pair)["img_shape"]
        (3, 8)
    """

    def __init__(self, spacing: Positive):
        self.spacing = spacing

    def transform(self, results: dict) -> dict:
        shape = results["img"][0].shape[:-1]
        lengths = results.get("spacing", (1.0,) * len(shape))
        size = [max(1, round(side * length / self.spacing)) for side, length in zip(shape, lengths, strict=True)]
        return results if tuple(size) == shape else ResizeVolumes(size).transform(results)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(spacing={self.spacing})"
