"""Changes of images with points: resizing, cropping, flipping, and density maps as training targets.

A sample has ``gt_points``, (N, 2) float64 of x and y in pixels, which move with every change of geometry, perhaps
``gt_roi``, (H, W) uint8 of 0 and 1, and, once it is made, ``gt_density``, (H, W) float32, people per pixel.

``MakeDensityMap`` may come before or after cropping and flipping. Before, as in the released preprocessing, a crop
has what its pixels have of every kernel, parts of people included, and a flipped map is the mirror of the other. After,
all kernels of a crop lie inside it and its sum is the number of its points; for large images that is less work. It
comes after resizing in any case. Measuring needs points alone, in the original image's pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import getfullargspec
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from mmcv.transforms import RandomFlip
from mmcv.transforms.base import BaseTransform

from visionzoo.datasets.mat_files import mat_variable
from visionzoo.errors import ConfigError, DataError, MissingExtra, UnknownName, require_known
from visionzoo.ops.density_maps import DENSITIES, nearest_pixels
from visionzoo.registry import FUNCTIONS, TRANSFORMS
from visionzoo.structures.image_size import require_size

Shape = tuple[int, int]
_IMAGENET_MEAN = (124, 116, 104)  # RGB
_MAPS = ("gt_density", "gt_roi")


# --- reading ---


@TRANSFORMS.register_module()
class LoadRoi(BaseTransform):
    """Fill ``gt_roi``, (H, W) uint8 of 0 and 1, from the variable ``BW`` of ``roi_path``.

    In training it comes before the changes of geometry, so that they change it too; for measuring it comes after.

    Raises:
        DataError: the file is missing, of another layout, or of another size than the image.
    """

    PROVIDES = ("gt_roi",)

    def transform(self, results: dict) -> dict:
        path = Path(results["roi_path"])
        mask = np.asarray(mat_variable(path, "BW"))
        _require_size(mask, results, path, "a region")
        results["gt_roi"] = (mask > 0).astype(np.uint8)
        return results

    def __repr__(self) -> str:
        return "LoadRoi()"


@TRANSFORMS.register_module()
class LoadDensity(BaseTransform):
    """Fill ``gt_density`` from ``density_path``, an HDF5 file with ``density`` of the image's size (HMoDE, SASNet).

    Where the sample has no points, the map's sum becomes ``gt_count``.

    Raises:
        MissingExtra: h5py is not installed.
        DataError: the file is missing, broken, of another layout, or of another size than the image.
    """

    PROVIDES = ("gt_density",)

    def transform(self, results: dict) -> dict:
        path = Path(results["density_path"])
        density = read_density(path)
        _require_size(density, results, path, "a density")
        results["gt_density"] = density
        results.setdefault("gt_count", float(density.sum(dtype=np.float64)))
        return results

    def __repr__(self) -> str:
        return "LoadDensity()"


def read_density(path: Path) -> np.ndarray:
    """The data set ``density`` of an HDF5 file as (H, W) float32.

    Raises:
        MissingExtra: h5py is not installed.
        DataError: the file is missing, broken, without ``density``, or its values are not finite.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "counting", where=str(path)) from error
    try:
        with h5py.File(path, "r") as file:
            density = np.asarray(file["density"], dtype=np.float32)
    except KeyError as error:
        raise DataError(path, expected="a data set called density", found="none", advice="write it anew") from error
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            path, expected="a density in HDF5", but=f"it cannot be read ({error})", advice="copy it again"
        ) from error
    if density.ndim != 2 or not np.isfinite(density).all():
        raise DataError(path, expected="finite values (H, W)", found=f"shape {density.shape}", advice="write it anew")
    return density


def _require_size(values: np.ndarray, results: dict, path: Path, what: str) -> None:
    size, like = results["ori_shape"][:2], results.get("img_path")
    require_size(values.shape, size, path, what=what, like=like, advice="make it in the image's size")


# --- geometry ---


@TRANSFORMS.register_module()
class ResizeToFit(BaseTransform):
    """Image, points and region resized to fit, sides rounded to a multiple, as C-3-Framework and NWPU-Crowd do.

    The image is scaled down to lie inside ``size`` and, where that is given, up until it is ``at_least`` so large,
    which wins; then each side is rounded to the nearest multiple (halves up). Points are scaled by the exact ratio of
    each side. It comes before the density map is made.

    Args:
        size: (H, W), the largest; None for any.
        at_least: (H, W), the smallest; None for any.
        multiple: of the sides in pixels.
        truth: change points and region too; False where they are for measuring, in the original image's pixels.

    Raises:
        ConfigError: a multiple below 1, or a density that is there already.
    """

    def __init__(
        self,
        size: Sequence[int] | None = None,
        at_least: Sequence[int] | None = None,
        multiple: int = 1,
        truth: bool = True,
    ):
        if multiple < 1:
            raise ConfigError(
                "ResizeToFit", expected="multiple from 1 on", found=f"{multiple}", advice="use 1 for any size"
            )
        self.size, self.at_least, self.multiple, self.truth = size, at_least, multiple, truth

    def transform(self, results: dict) -> dict:
        if "gt_density" in results:
            raise ConfigError(
                "ResizeToFit",
                expected="no density yet",
                found="one",
                advice="put it before the density in the pipeline",
            )
        old = results["img"].shape[:2]
        new = self.target(old)
        ratio = new[1] / old[1], new[0] / old[0]
        if new != old:
            shrinks = new[0] * new[1] < old[0] * old[1]
            way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            results["img"] = cv2.resize(results["img"], new[::-1], interpolation=way)
            if self.truth:
                _scale_truth(results, ratio, new)
        results["img_shape"], results["scale_factor"] = new, ratio
        return results

    def target(self, shape: Sequence[int]) -> Shape:
        """(H, W) of the result for an image of ``shape``."""
        scale = 1.0
        if self.size is not None:
            scale = min(scale, *(limit / side for limit, side in zip(self.size, shape, strict=True)))
        if self.at_least is not None:
            scale = max(scale, *(limit / side for limit, side in zip(self.at_least, shape, strict=True)))
        height, width = (max(int(side * scale / self.multiple + 0.5), 1) * self.multiple for side in shape)
        return height, width

    def __repr__(self) -> str:
        return f"ResizeToFit(size={self.size}, at_least={self.at_least}, multiple={self.multiple}, truth={self.truth})"


def _scale_truth(results: dict, ratio: tuple[float, float], shape: Shape) -> None:
    if "gt_points" in results:
        results["gt_points"] = results["gt_points"] * np.array(ratio)
    if "gt_roi" in results:
        results["gt_roi"] = cv2.resize(results["gt_roi"], shape[::-1], interpolation=cv2.INTER_NEAREST)


@TRANSFORMS.register_module()
class RandomCropPoints(BaseTransform):
    """A window anywhere in the image, with the points, region and density inside it.

    Images smaller than the window are padded at their right and bottom. A point outside the image is where its
    nearest pixel is, so that a window of the whole image keeps every point. ``gt_count`` becomes the number of points
    that are left.

    Args:
        size: (H, W) of the window in pixels; None for the image's own, rounded down to ``multiple``.
        multiple: of the window's sides where ``size`` is None.
        pad_val: RGB of the padding.

    Raises:
        ConfigError: sides or a multiple below 1.
    """

    def __init__(self, size: Sequence[int] | None = None, multiple: int = 32, pad_val: Sequence[int] = _IMAGENET_MEAN):
        if multiple < 1 or (size is not None and (len(size) != 2 or min(size) < 1)):
            raise ConfigError(
                "RandomCropPoints",
                expected="size (H, W) and multiple from 1 on",
                found=f"{size} and {multiple}",
                advice="use (128, 128) and 32",
            )
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.multiple, self.pad_val = multiple, tuple(pad_val)

    def transform(self, results: dict) -> dict:
        shape = results["img"].shape[:2]
        height, width = self.size or tuple(_rounded_down(side, self.multiple) for side in shape)
        top, left = _random_corner(shape, (height, width))
        window = np.s_[top : top + height, left : left + width]
        results["img"] = _padded(results["img"][window], (height, width), self.pad_val)
        for key in _MAPS:
            if key in results:
                results[key] = _padded(results[key][window], (height, width), 0)
        if "gt_points" in results:
            results["gt_points"] = points_inside(results["gt_points"], shape, (top, left), (height, width))
            results["gt_count"] = float(len(results["gt_points"]))
        results["img_shape"] = (height, width)
        return results

    def __repr__(self) -> str:
        return f"RandomCropPoints(size={self.size}, multiple={self.multiple}, pad_val={self.pad_val})"


def points_inside(points: np.ndarray, shape: Shape, corner: Shape, size: Shape) -> np.ndarray:
    """Points whose nearest pixel of an image of ``shape`` lies in a window, from the window's corner.

    Args:
        points: (N, 2), x and y.
        shape: (H, W) of the image.
        corner: (top, left) of the window.
        size: (H, W) of the window.
    """
    origin = np.array(corner[::-1])
    pixels = nearest_pixels(points, shape) - origin
    inside = ((pixels >= 0) & (pixels < np.array(size[::-1]))).all(axis=1)
    return points[inside] - origin


def _rounded_down(side: int, multiple: int) -> int:
    """The side itself where it is smaller than the multiple."""
    return side // multiple * multiple or side


def _random_corner(shape: Sequence[int], size: Sequence[int]) -> Shape:
    top, left = (int(np.random.randint(max(side - want, 0) + 1)) for side, want in zip(shape, size, strict=True))
    return top, left


def _padded(values: np.ndarray, shape: Shape, fill: Any) -> np.ndarray:
    """At right and bottom, to ``shape``."""
    bottom, right = (want - have for want, have in zip(shape, values.shape[:2], strict=True))
    if not (bottom or right):
        return values
    return cv2.copyMakeBorder(values, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=fill)


@TRANSFORMS.register_module()
class FlipPoints(RandomFlip):
    """mmcv's ``RandomFlip``, which flips points, region and density too.

    A point of column x goes to ``W - 1 - x``, as pixels do, and rows likewise.

    Args:
        prob: how often; a float, or one for each direction.
        direction: ``horizontal``, ``vertical``, ``diagonal``, or several of them.
    """

    def __init__(self, prob: float | Sequence[float] = 0.5, direction: str | Sequence[str] = "horizontal"):
        super().__init__(prob=list(prob) if isinstance(prob, Sequence) else float(prob), direction=direction)

    def _flip(self, results: dict) -> None:
        super()._flip(results)
        direction = results["flip_direction"]
        for key in _MAPS:
            if key in results:
                results[key] = mmcv.imflip(results[key], direction=direction)
        if "gt_points" in results:
            height, width = results["img"].shape[:2]
            points = results["gt_points"].copy()
            if direction != "vertical":
                points[:, 0] = width - 1 - points[:, 0]
            if direction != "horizontal":
                points[:, 1] = height - 1 - points[:, 1]
            results["gt_points"] = points


# --- targets ---


@TRANSFORMS.register_module()
class MakeDensityMap(BaseTransform):
    """Fill ``gt_density``, (H, W) float32, people per pixel, from ``gt_points``; see :mod:`visionzoo.ops.density_maps`.

    Where there is a ``gt_roi``, nothing is left outside it. Heads scale the map as they like.

    Args:
        kind: ``fixed``, one kernel that always sums to 1 (HMoDE's ShanghaiTech A: sigma 4, size 15); ``adaptive``, as
            wide as neighbours are far (CSRNet's ShanghaiTech A); ``sigma``, one Gaussian over all dots (CSRNet's B:
            15). The last two take points of one pixel for one dot, and leave out those outside the image.
        settings: of the kind: ``sigma`` and ``size``; ``neighbours``, ``factor`` and ``truncate``; ``sigma`` and
            ``mode``.

    Raises:
        UnknownName: no such kind, or a setting that it lacks.
    """

    def __init__(self, kind: str = "fixed", settings: Mapping[str, Any] | None = None):
        require_known(kind, DENSITIES, "kind of MakeDensityMap")
        self.kind, self.settings = kind, dict(settings or {})
        known = getfullargspec(DENSITIES[kind]).kwonlyargs
        unknown = next((name for name in self.settings if name not in known), None)
        if unknown is not None:
            raise UnknownName(unknown, kind=f"setting of {kind} density maps", known=known)

    def transform(self, results: dict) -> dict:
        density = DENSITIES[self.kind](results["gt_points"], results["img"].shape[:2], **self.settings)
        results["gt_density"] = density * results["gt_roi"] if "gt_roi" in results else density
        return results

    def __repr__(self) -> str:
        return f"MakeDensityMap(kind={self.kind!r}, settings={self.settings})"


@FUNCTIONS.register_module()
def crop_to_smallest(data_batch: Sequence[Mapping[str, Any]], multiple: int = 32) -> dict[str, list]:
    """A batch of packed samples, each cut at random to the smallest sides among them, rounded down to a multiple.

    HMoDE's rule for batches of images of different sizes; a batch of one stays as it is.

    Args:
        data_batch: samples of ``PackTaskInputs`` with ``gt_density``, ``gt_points`` or both.
        multiple: of the sides in pixels.
    """
    if len(data_batch) > 1:
        sides = [min(item["inputs"].shape[axis] for item in data_batch) for axis in (1, 2)]
        size = tuple(_rounded_down(side, multiple) for side in sides)
        data_batch = [_cut(item, (size[0], size[1])) for item in data_batch]
    return {key: [item[key] for item in data_batch] for key in data_batch[0]}


def _cut(item: Mapping[str, Any], size: Shape) -> dict[str, Any]:
    shape = tuple(item["inputs"].shape[1:])
    top, left = _random_corner(shape, size)
    window = np.s_[..., top : top + size[0], left : left + size[1]]
    sample = item["data_samples"].clone()
    for key in _MAPS:
        if key in sample:
            sample.set_data({key: sample.get(key)[window]})
    if "gt_points" in sample:
        points = points_inside(sample.gt_points.numpy(), (shape[0], shape[1]), (top, left), size)
        sample.set_data({"gt_points": torch.from_numpy(points), "gt_count": torch.tensor(float(len(points)))})
    sample.set_metainfo({"img_shape": size})
    return {"inputs": item["inputs"][window], "data_samples": sample}
