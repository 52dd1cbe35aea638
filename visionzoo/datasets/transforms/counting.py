"""Transforms of images with points: resizing, cropping, flipping, and density maps as training targets.

A sample has ``gt_points``, (N, 2) float64 of x and y in pixels. Every change of geometry moves them. A sample may also
have ``gt_roi``, (H, W) uint8 of 0 and 1. ``MakeDensityMap`` adds ``gt_density``, (H, W) float32, people per pixel.

``MakeDensityMap`` must come after resizing. It may come before or after cropping and flipping:

- Before, as in the released preprocessing: a crop keeps the density of its pixels, parts of people included, and a
  flipped map is the mirror image of the original map.
- After: all kernels of a crop are inside it, and the sum of the density is the number of points. This is less work for
  large images.

Evaluation needs only the points, in pixels of the original image.
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

from visionzoo.allowed import Byte, Count, Share, Sides
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
    """Set ``gt_roi``, (H, W) uint8 of 0 and 1, from the variable ``BW`` of ``roi_path``.

    In training, place it before the changes of geometry, so that they also change the region. For evaluation, place it
    after them.

    Raises:
        DataError: the data have no regions, or the file is missing, has another layout, or differs from the image in
            size.

    Example:
        >>> LoadRoi.PROVIDES
        ('gt_roi',)
    """

    PROVIDES = ("gt_roi",)

    def transform(self, results: dict) -> dict:
        if "roi_path" not in results:
            raise DataError(
                results.get("img_path", "LoadRoi"),
                expected="a region of interest for each image",
                found="data without regions",
                advice="use a config without the step LoadRoi, such as hmode_shanghaitech_a",
            )
        path = Path(results["roi_path"])
        region = read_region(path)
        _require_size(region, results, path, "a region")
        results["gt_roi"] = region
        return results

    def __repr__(self) -> str:
        return "LoadRoi()"


def read_region(path: Path) -> np.ndarray:
    """Read the variable ``BW`` of a MATLAB file as (H, W) uint8, 1 where it is above 0.

    Raises:
        DataError: the file is missing or broken, or ``BW`` is not a matrix of real finite numbers.
    """
    values = mat_variable(path, "BW")
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif" or values.ndim != 2:
        found = f"{getattr(values, 'dtype', type(values).__name__)} {getattr(values, 'shape', '')}"
        raise DataError(f"{path}: BW", expected="numbers (H, W)", found=found, advice="use the files as published")
    if not np.isfinite(values).all():
        raise DataError(f"{path}: BW", expected="finite numbers", found="others", advice="use the files as published")
    return (values > 0).astype(np.uint8)


@TRANSFORMS.register_module()
class LoadDensity(BaseTransform):
    """Set ``gt_density`` from ``density_path``, an HDF5 file with ``density`` of the image's size (HMoDE, SASNet).

    If the sample has no ``gt_count``, the sum of the density becomes ``gt_count``.

    Raises:
        MissingExtra: h5py is not installed.
        DataError: the file is missing or broken, has another layout, or differs from the image in size.

    Example:
        >>> LoadDensity.PROVIDES
        ('gt_density',)
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
    """Read the data set ``density`` of an HDF5 file as (H, W) float32.

    Raises:
        MissingExtra: h5py is not installed.
        DataError: the file is missing or broken, lacks ``density``, or has values that are not finite.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "counting", where=str(path)) from error
    try:
        with h5py.File(path, "r") as file:
            density = np.asarray(file["density"], dtype=np.float32)
    except KeyError as error:
        raise DataError(path, expected="a data set called density", found="none", advice="write it again") from error
    except (OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        raise DataError(
            path, expected="a density in HDF5", but=f"it cannot be read ({error})", advice="copy it again"
        ) from error
    if density.ndim != 2 or not np.isfinite(density).all():
        raise DataError(path, expected="finite values (H, W)", found=f"shape {density.shape}", advice="write it again")
    return density


def _require_size(values: np.ndarray, results: dict, path: Path, what: str) -> None:
    size, like = results["ori_shape"][:2], results.get("img_path")
    require_size(values.shape, size, path, what=what, like=like, advice="make it in the image's size")


# --- geometry ---


@TRANSFORMS.register_module()
class ResizeToFit(BaseTransform):
    """Resize image, points and region to fit, with sides rounded to a multiple, as in C-3-Framework and NWPU-Crowd.

    The image is scaled down to fit into ``size`` and scaled up to cover ``at_least``; ``at_least`` has priority. Each
    side is then rounded to the nearest multiple (halves up). Points are scaled by the exact ratio of each side. The
    transform must come before the density map is made.

    Args:
        size: (H, W), largest size in pixels; None for no limit.
        at_least: (H, W), smallest size in pixels; None for no limit.
        multiple: divisor of both sides in pixels, >= 1.
        truth: also change points and region. False: leave them in pixels of the original image, for evaluation.

    Raises:
        ConfigError: ``multiple`` is below 1, or the sample already has a density.

    Example:
        >>> sample = {"img": np.zeros((30, 60, 3), np.uint8), "gt_points": np.array([[10.0, 20.0]])}
        >>> sample = ResizeToFit(size=(20, 30), multiple=5)(sample)
        >>> sample["img"].shape, sample["gt_points"].tolist()
        ((15, 30, 3), [[5.0, 10.0]])
    """

    def __init__(
        self,
        size: Sides | None = None,
        at_least: Sides | None = None,
        multiple: Count = 1,
        truth: bool = True,
    ):
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

    def graph_step(self) -> dict[str, Any]:
        """Return the settings that an exported model repeats, see :mod:`visionzoo.inference.exported_steps`."""
        sides = {"size": self.size, "at_least": self.at_least}
        lists = {name: None if value is None else list(value) for name, value in sides.items()}
        return {"op": "resize_to_fit", **lists, "multiple": self.multiple}

    def target(self, shape: Sequence[int]) -> Shape:
        """Return (H, W) of the result for an image of ``shape``."""
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
    """Crop a random window, with its points, region and density.

    Images smaller than the window are padded at the right and bottom. A point outside the image belongs to its nearest
    pixel, so a window of the whole image keeps every point. ``gt_count`` becomes the number of remaining points.

    Args:
        size: (H, W) of the window in pixels; None for the size of the image, rounded down to ``multiple``.
        multiple: divisor of the window's sides if ``size`` is None, >= 1.
        pad_val: colour of the padding, RGB in [0, 255].

    Raises:
        ConfigError: a side or ``multiple`` is below 1.

    Example:
        >>> sample = {"img": np.zeros((8, 8, 3), np.uint8), "gt_points": np.array([[1.0, 2.0], [7.0, 7.0]])}
        >>> sample = RandomCropPoints(size=(8, 16))(sample)
        >>> sample["img"].shape, sample["gt_count"]
        ((8, 16, 3), 2.0)
    """

    CROPS = True

    def __init__(self, size: Sides | None = None, multiple: Count = 32, pad_val: Sequence[Byte] = _IMAGENET_MEAN):
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
    """Return the points whose nearest pixel of the image is inside a window.

    Args:
        points: (N, 2), x and y in pixels.
        shape: (H, W) of the image.
        corner: (top, left) of the window.
        size: (H, W) of the window.

    Returns:
        (M, 2), x and y relative to the corner of the window.
    """
    origin = np.array(corner[::-1])
    pixels = nearest_pixels(points, shape) - origin
    inside = ((pixels >= 0) & (pixels < np.array(size[::-1]))).all(axis=1)
    return points[inside] - origin


def _rounded_down(side: int, multiple: int) -> int:
    """Round a side down to a multiple; return it unchanged if it is smaller than the multiple."""
    return side // multiple * multiple or side


def _random_corner(shape: Sequence[int], size: Sequence[int]) -> Shape:
    top, left = (int(np.random.randint(max(side - want, 0) + 1)) for side, want in zip(shape, size, strict=True))
    return top, left


def _padded(values: np.ndarray, shape: Shape, fill: Any) -> np.ndarray:
    """Pad at the right and bottom to ``shape``."""
    bottom, right = (want - have for want, have in zip(shape, values.shape[:2], strict=True))
    if not (bottom or right):
        return values
    return cv2.copyMakeBorder(values, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=fill)


@TRANSFORMS.register_module()
class FlipPoints(RandomFlip):
    """Flip image, points, region and density at random, with mmcv's ``RandomFlip``.

    Args:
        prob: probability of a flip; a float, or one for each direction.
        direction: ``horizontal``, ``vertical``, ``diagonal``, or several of them.

    Convention:
        Pixel centres have integer coordinates: a point at column x moves to ``W - 1 - x``, at row y to ``H - 1 - y``.

    Example:
        >>> sample = {"img": np.zeros((4, 6, 3), np.uint8), "gt_points": np.array([[1.0, 2.0]])}
        >>> FlipPoints(prob=1.0)(sample)["gt_points"].tolist()
        [[4.0, 2.0]]
    """

    def __init__(self, prob: Share | Sequence[Share] = 0.5, direction: str | Sequence[str] = "horizontal"):
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
    """Set ``gt_density``, (H, W) float32, people per pixel, from ``gt_points``; see :mod:`visionzoo.ops.density_maps`.

    The density is 0 outside ``gt_roi``, if the sample has one. Heads may scale the map.

    Args:
        kind: ``fixed``, one kernel whose sum is always 1 (HMoDE, ShanghaiTech A: sigma 4, size 15); ``adaptive``, a
            kernel width that depends on the distance to the neighbours (CSRNet, ShanghaiTech A); ``sigma``, one
            Gaussian filter over all dots (CSRNet, part B: 15). ``adaptive`` and ``sigma`` merge points of one pixel
            and omit points outside the image.
        settings: settings of the kind: ``sigma`` and ``size`` of ``fixed``; ``neighbours``, ``factor`` and
            ``truncate`` of ``adaptive``; ``sigma`` and ``mode`` of ``sigma``.

    Raises:
        UnknownName: unknown kind or setting.
        DataError: the sample has no points.

    Example:
        >>> sample = {"img": np.zeros((20, 30, 3), np.uint8), "gt_points": np.array([[4.0, 5.0], [20.0, 9.0]])}
        >>> density = MakeDensityMap(kind="fixed")(sample)["gt_density"]
        >>> density.shape, round(float(density.sum()), 3)
        ((20, 30), 2.0)
    """

    def __init__(self, kind: str = "fixed", settings: Mapping[str, Any] | None = None):
        require_known(kind, DENSITIES, "kind of MakeDensityMap")
        self.kind, self.settings = kind, dict(settings or {})
        known = getfullargspec(DENSITIES[kind]).kwonlyargs
        unknown = next((name for name in self.settings if name not in known), None)
        if unknown is not None:
            raise UnknownName(unknown, kind=f"setting of {kind} density maps", known=known)

    def transform(self, results: dict) -> dict:
        if "gt_points" not in results:
            raise DataError(
                f"{results.get('img_path')}",
                expected="points for its density",
                found="none",
                advice="use a split with annotations, or LoadDensity",
            )
        density = DENSITIES[self.kind](results["gt_points"], results["img"].shape[:2], **self.settings)
        results["gt_density"] = density * results["gt_roi"] if "gt_roi" in results else density
        return results

    def __repr__(self) -> str:
        return f"MakeDensityMap(kind={self.kind!r}, settings={self.settings})"


@FUNCTIONS.register_module()
def crop_to_smallest(data_batch: Sequence[Mapping[str, Any]], multiple: int = 32) -> dict[str, list]:
    """Crop packed samples at random to their smallest height and width, and join them to a batch.

    This is HMoDE's rule for images of different sizes. A batch of one image is unchanged.

    Args:
        data_batch: samples of ``PackTaskInputs`` with ``gt_density``, ``gt_points`` or both.
        multiple: the common height and width are rounded down to a multiple of this number of pixels.

    Returns:
        ``inputs`` and ``data_samples``, one list each.

    Example:
        >>> from visionzoo.datasets.transforms.packing import PackTaskInputs
        >>> images = [np.zeros((64, 40, 3), np.uint8), np.zeros((35, 90, 3), np.uint8)]
        >>> batch = crop_to_smallest([PackTaskInputs()({"img": image}) for image in images])
        >>> [tuple(image.shape) for image in batch["inputs"]]
        [(3, 32, 32), (3, 32, 32)]
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
