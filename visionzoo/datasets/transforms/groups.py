"""Loading and augmentation of image groups, with one object mask per image.

``img`` of a sample is a list of (H, W, 3) uint8 RGB. ``gt_map``, if there are masks, is a list of (H, W) uint8, 0 to
255. Random numbers are drawn for each image from the global generators of Python and NumPy, which the engine seeds for
each sample. Pillow computes the changes, as in the authors' code of GCoNet+.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from mmcv.transforms.base import BaseTransform
from PIL import Image, ImageEnhance

from visionzoo.allowed import Count, Degrees, Share, Sides
from visionzoo.datasets.mask_files import read_mask
from visionzoo.datasets.transforms.loading import read_image
from visionzoo.registry import TRANSFORMS

PILImage = Image.Image
Change = Callable[[PILImage], PILImage]


@TRANSFORMS.register_module()
class LoadGroup(BaseTransform):
    """Set ``img`` and ``ori_shape``, a list of (H, W), of a group; also ``gt_map`` if ``gt_path`` names masks.

    The sample has either ``img_path``, a list of files, or ``img``, a list of RGB arrays.

    Args:
        exif: rotate images by their EXIF orientation. Off by default, because masks refer to the stored pixels.

    Raises:
        DataError: a file cannot be read, or a mask differs from its image in size or has no grey
            levels (see :mod:`visionzoo.datasets.mask_files`).

    Example:
        >>> sample = LoadGroup()({"img": [np.zeros((4, 6, 3), np.uint8), np.zeros((5, 5, 3), np.uint8)]})
        >>> sample["ori_shape"]
        [(4, 6), (5, 5)]
    """

    PROVIDES = ("img", "gt_map")
    CHANNEL_ORDER = "rgb"

    def __init__(self, exif: bool = False):
        self.exif = exif

    def transform(self, results: dict) -> dict:
        sources = results["img"] if results.get("img") is not None else results["img_path"]
        results["img"] = [read_image(source, exif=self.exif) for source in sources]
        results["ori_shape"] = [image.shape[:2] for image in results["img"]]
        if "gt_path" in results:
            names = results.get("img_path") or ["its image"] * len(sources)
            results["gt_map"] = [
                read_mask(*each) for each in zip(results["gt_path"], results["ori_shape"], names, strict=True)
            ]
        return results

    read = staticmethod(read_mask)

    def __repr__(self) -> str:
        return f"LoadGroup(exif={self.exif})"


class GroupTransform(BaseTransform):
    """Base of transforms that draw one change for each image of a group and for its mask."""

    @abstractmethod
    def changes(self) -> tuple[Change, Change]:
        """Return the change of the next image and the change of its mask."""

    def transform(self, results: dict) -> dict:
        drawn = [self.changes() for _ in results["img"]]
        results["img"] = [_changed(change, image) for (change, _), image in zip(drawn, results["img"])]
        if "gt_map" in results:
            results["gt_map"] = [_changed(change, mask) for (_, change), mask in zip(drawn, results["gt_map"])]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value}' for key, value in vars(self).items())})"


@TRANSFORMS.register_module()
class ResizeGroup(GroupTransform):
    """Resize all images of a group to one size, bilinear, and set ``img_shape``. The aspect ratio is not kept.

    Args:
        size: side or (H, W) in pixels.
        masks: also resize the masks, which keep grey values; for training. Evaluation uses the original masks.

    Example:
        >>> sample = ResizeGroup(size=(8, 6))({"img": [np.zeros((4, 6, 3), np.uint8), np.zeros((5, 5, 3), np.uint8)]})
        >>> [image.shape for image in sample["img"]]
        [(8, 6, 3), (8, 6, 3)]
    """

    def __init__(self, size: Count | Sides = 256, masks: bool = True):
        height, width = (size, size) if isinstance(size, int) else size
        self.size, self.masks = (int(height), int(width)), masks

    def changes(self) -> tuple[Change, Change]:
        return self._resized, self._resized if self.masks else _as_it_is

    def transform(self, results: dict) -> dict:
        results["img_shape"] = self.size
        return super().transform(results)

    def graph_step(self) -> dict[str, Any]:
        """Return the step of :mod:`visionzoo.inference.exported_steps` that gives the same pixels."""
        scale = list(self.size[::-1])
        return dict(op="resize", scale=scale, keep_ratio=False, interpolation="bilinear", backend="pillow")

    def _resized(self, image: PILImage) -> PILImage:
        return image.resize(self.size[::-1], Image.Resampling.BILINEAR)


@TRANSFORMS.register_module()
class FlipGroup(GroupTransform):
    """Mirror each image and its mask horizontally with probability ``prob``.

    Raises:
        ConfigError: ``prob`` outside [0, 1].

    Example:
        >>> image = np.array([[[1, 1, 1], [2, 2, 2]]], dtype=np.uint8)
        >>> FlipGroup(prob=1.0)({"img": [image]})["img"][0][0, :, 0].tolist()
        [2, 1]
    """

    def __init__(self, prob: Share = 0.5):
        self.prob = prob

    def changes(self) -> tuple[Change, Change]:
        change = _flipped if random.random() < self.prob else _as_it_is
        return change, change


@TRANSFORMS.register_module()
class RotateGroup(GroupTransform):
    """Rotate each image and its mask by a whole number of degrees, bicubic; uncovered corners are 0.

    Args:
        prob: probability of a rotation.
        degrees: the angle is drawn from -degrees to degrees - 1.

    Raises:
        ConfigError: ``prob`` outside [0, 1].

    Example:
        >>> RotateGroup(prob=1.0)({"img": [np.zeros((4, 6, 3), np.uint8)]})["img"][0].shape
        (4, 6, 3)
    """

    def __init__(self, prob: Share = 0.2, degrees: Degrees = 15):
        self.prob, self.degrees = prob, degrees

    def changes(self) -> tuple[Change, Change]:
        if random.random() >= self.prob:
            return _as_it_is, _as_it_is
        angle = int(np.random.randint(-self.degrees, self.degrees))

        def turned(image: PILImage) -> PILImage:
            return image.rotate(angle, Image.Resampling.BICUBIC)

        return turned, turned


@TRANSFORMS.register_module()
class EnhanceGroup(GroupTransform):
    """Multiply brightness and contrast by 0.5 to 1.5, colour by 0 to 2 and sharpness by 0 to 3, in steps of 0.1.

    Masks are unchanged.

    Example:
        >>> EnhanceGroup()({"img": [np.zeros((4, 6, 3), np.uint8)]})["img"][0].shape
        (4, 6, 3)
    """

    def changes(self) -> tuple[Change, Change]:
        factors = [random.randint(low, high) / 10 for low, high in ((5, 15), (5, 15), (0, 20), (0, 30))]
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color, ImageEnhance.Sharpness)

        def enhanced(image: PILImage) -> PILImage:
            for kind, factor in zip(kinds, factors):
                image = kind(image).enhance(factor)
            return image

        return enhanced, _as_it_is


def _changed(change: Change, array: np.ndarray) -> np.ndarray:
    return array if change is _as_it_is else np.array(change(Image.fromarray(array)))


def _as_it_is(image: PILImage) -> PILImage:
    return image


def _flipped(image: PILImage) -> PILImage:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
