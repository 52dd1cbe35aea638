"""Augmentations of classifiers: torchvision's and timm's, on a sample's RGB image.

timm is imported when one of its changes is built: its import takes seconds. All random numbers come from Python's,
NumPy's and torch's global generators, which the engine seeds for each sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from mmcv.transforms.base import BaseTransform
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from visionzoo.errors import ConfigError
from visionzoo.registry import TRANSFORMS

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

INTERPOLATIONS = {
    "nearest": InterpolationMode.NEAREST,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.LANCZOS,
}

Size = int | Sequence[int]


class ImageTransform(BaseTransform):
    """Changes ``img``, (H, W, 3) uint8 RGB, by a function of Pillow images, and says its new ``img_shape``.

    Args:
        change: takes an image and gives an image.
    """

    def __init__(self, change: Callable[[Image.Image], Image.Image]):
        self.change = change

    def transform(self, results: dict) -> dict:
        results["img"] = np.array(self.change(Image.fromarray(results["img"])))
        results["img_shape"] = results["img"].shape[:2]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.change})"


@TRANSFORMS.register_module()
class RandomResizedCrop(ImageTransform):
    """A part of random area and shape, resized (Szegedy et al., Going Deeper with Convolutions, CVPR 2015).

    Args:
        size: side or (H, W) of the result in pixels.
        scale: least and largest share of the image's area.
        ratio: least and largest width / height of the part.
        interpolation: nearest, bilinear, bicubic or lanczos.
    """

    def __init__(
        self,
        size: Size,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: str = "bicubic",
    ):
        super().__init__(v2.RandomResizedCrop(_pair(size), tuple(scale), tuple(ratio), _interpolation(interpolation)))


@TRANSFORMS.register_module()
class ResizeCrop(ImageTransform):
    """The shorter side resized to ``size / crop_pct`` pixels, rounded down, then the centre cut out: for measuring.

    Args:
        size: side of the result in pixels.
        crop_pct: share of the shorter side that remains; 1 only cuts the longer side.
        edge: the shorter side in pixels, in place of ``crop_pct``.
        interpolation: nearest, bilinear, bicubic or lanczos.
    """

    def __init__(self, size: int, crop_pct: float = 0.875, edge: int | None = None, interpolation: str = "bicubic"):
        if not 0 < crop_pct <= 1:
            raise ConfigError(
                "ResizeCrop.crop_pct", expected="a number in (0, 1]", found=f"{crop_pct}", advice="0.875 is usual"
            )
        if edge is not None and edge < size:
            raise ConfigError(
                "ResizeCrop.edge", expected=f"at least size={size}", found=f"{edge}", advice="make it larger"
            )
        short = math.floor(size / crop_pct) if edge is None else edge
        super().__init__(v2.Compose([v2.Resize(short, _interpolation(interpolation)), v2.CenterCrop(size)]))


@TRANSFORMS.register_module()
class PaddedRandomCrop(ImageTransform):
    """A window of ``size`` anywhere in the image after padding all sides with black; CIFAR's pad-4 crop.

    Args:
        size: side or (H, W) of the window in pixels.
        padding: pixels on each side.
    """

    def __init__(self, size: Size, padding: int = 4):
        super().__init__(v2.RandomCrop(_pair(size), padding=padding, pad_if_needed=True))


@TRANSFORMS.register_module()
class HorizontalFlip(ImageTransform):
    """Left becomes right with probability ``prob``."""

    def __init__(self, prob: float = 0.5):
        super().__init__(v2.RandomHorizontalFlip(prob))


@TRANSFORMS.register_module()
class ColorJitter(ImageTransform):
    """Brightness, contrast, saturation and hue changed by random factors; a number x means from 1 - x to 1 + x."""

    def __init__(self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, hue: float = 0.0):
        super().__init__(v2.ColorJitter(brightness, contrast, saturation, hue))


@TRANSFORMS.register_module()
class RandAugment(ImageTransform):
    """Some of fifteen changes at random (Cubuk et al., arXiv 1909.13719), as timm reads ``policy``.

    Args:
        policy: ``rand-m9-mstd0.5-inc1``: magnitude 9 with deviation 0.5, changes that grow with it.
        size: side of the image in pixels; translations go up to 0.45 of it.
        mean: RGB in [0, 255] that uncovered pixels get.
        interpolation: nearest, bilinear or bicubic.
    """

    def __init__(
        self,
        policy: str = "rand-m9-mstd0.5-inc1",
        size: int = 224,
        mean: Sequence[float] = IMAGENET_MEAN,
        interpolation: str = "bicubic",
    ):
        from timm.data.auto_augment import rand_augment_transform

        make = partial(rand_augment_transform, policy, _timm_options(size, mean, interpolation))
        super().__init__(_of_timm(make, policy, "rand-m9-mstd0.5-inc1"))


@TRANSFORMS.register_module()
class AutoAugment(ImageTransform):
    """One of 25 learnt pairs of changes (Cubuk et al., arXiv 1805.09501), as timm reads ``policy``.

    Args:
        policy: ``v0``, ``v0r``, ``original``, ``originalr`` or ``3a``, with ``-mstd0.5`` and the like.
        size, mean, interpolation: as for :class:`RandAugment`.
    """

    def __init__(
        self,
        policy: str = "original",
        size: int = 224,
        mean: Sequence[float] = IMAGENET_MEAN,
        interpolation: str = "bicubic",
    ):
        from timm.data.auto_augment import auto_augment_transform

        make = partial(auto_augment_transform, policy, _timm_options(size, mean, interpolation))
        super().__init__(_of_timm(make, policy, "original"))


@TRANSFORMS.register_module()
class RandomErasing(BaseTransform):
    """A random rectangle covered (Zhong et al., AAAI 2020), by timm's sampler.

    timm erases after normalisation. Here images are still uint8, so normal noise is given the data's mean and
    deviation, rounded, and cut to [0, 255].

    Args:
        prob: of erasing at all.
        mode: ``pixel`` (noise for each pixel), ``rand`` (one colour) or ``const`` (the mean).
        min_area, max_area: share of the image.
        count: most rectangles; they share the area.
        mean, std: of the data, RGB in [0, 255].
    """

    def __init__(
        self,
        prob: float = 0.25,
        mode: str = "pixel",
        min_area: float = 0.02,
        max_area: float = 1 / 3,
        count: int = 1,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ):
        if mode not in ("pixel", "rand", "const"):
            raise ConfigError(
                "RandomErasing.mode", expected="pixel, rand or const", found=f"{mode!r}", advice="use one of them"
            )
        from timm.data.random_erasing import RandomErasing as ErasingOfTimm

        self.erase = ErasingOfTimm(prob, min_area, max_area, mode=mode, max_count=count, device="cpu")
        self.mean, self.std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)

    def transform(self, results: dict) -> dict:
        height, width = results["img"].shape[:2]
        noise = self.erase(torch.full((3, height, width), torch.nan))  # what it leaves stays nan
        erased = ~noise[0].isnan().numpy()
        colours = (noise * self.std + self.mean).round().clamp(0, 255).permute(1, 2, 0).numpy()
        results["img"] = results["img"].copy()
        results["img"][erased] = colours[erased].astype(np.uint8)
        return results

    def __repr__(self) -> str:
        return f"RandomErasing({self.erase})"


@TRANSFORMS.register_module()
class Cutout(BaseTransform):
    """A square around a random pixel covered, cut at the border (DeVries and Taylor, arXiv 1708.04552).

    Args:
        size: side of the square in pixels.
        prob: of covering at all.
        fill: RGB in [0, 255].
    """

    def __init__(self, size: int = 16, prob: float = 1.0, fill: Sequence[float] = (0, 0, 0)):
        self.size, self.prob, self.fill = size, prob, tuple(fill)

    def transform(self, results: dict) -> dict:
        if np.random.rand() >= self.prob:
            return results
        height, width = results["img"].shape[:2]
        top = np.random.randint(height) - self.size // 2
        left = np.random.randint(width) - self.size // 2
        results["img"] = results["img"].copy()
        results["img"][max(top, 0) : max(top + self.size, 0), max(left, 0) : max(left + self.size, 0)] = self.fill
        return results

    def __repr__(self) -> str:
        return f"Cutout(size={self.size}, prob={self.prob}, fill={self.fill})"


def _pair(size: Size) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _interpolation(name: str) -> InterpolationMode:
    if name not in INTERPOLATIONS:
        raise ConfigError(
            "interpolation", expected=f"one of {', '.join(INTERPOLATIONS)}", found=f"{name!r}", advice="use one"
        )
    return INTERPOLATIONS[name]


def _timm_options(size: int, mean: Sequence[float], interpolation: str) -> dict:
    if interpolation not in ("nearest", "bilinear", "bicubic"):
        raise ConfigError(
            "interpolation", expected="nearest, bilinear or bicubic", found=f"{interpolation!r}", advice="use one"
        )
    resample = Image.Resampling[interpolation.upper()]
    colour = tuple(min(255, round(value)) for value in mean)
    return dict(translate_const=int(size * 0.45), img_mean=colour, interpolation=resample)


def _of_timm(make: Callable[[], Callable], policy: str, example: str) -> Callable:
    try:
        return make()
    except (AssertionError, KeyError, ValueError) as error:
        raise ConfigError(
            "policy", expected=f"one that timm knows, as {example}", found=f"{policy!r}", advice="fix it"
        ) from error
