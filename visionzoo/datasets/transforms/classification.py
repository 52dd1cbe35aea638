"""Augmentations for classification, from torchvision and timm, applied to the RGB image of a sample.

timm and torchvision's ``v2``, which import torch's compiler, are imported only when a transform needs them, because the
imports take seconds. All random numbers come from the global generators of Python, NumPy and torch, which the engine
seeds for each sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from mmcv.transforms.base import BaseTransform
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from visionzoo.allowed import Bounds, Count, CountOrZero, Few, Fraction, Numbers, Share, Sides, Spreads, Weight
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

Size = Count | Sides


class ImageTransform(BaseTransform):
    """Apply a function of Pillow images to ``img``, (H, W, 3) uint8 RGB, and set ``img_shape``.

    Args:
        change: function from an image to an image.
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
    """Crop a part of random area and aspect ratio and resize it.

    Szegedy et al., Going Deeper with Convolutions, CVPR 2015.

    Args:
        size: side or (H, W) of the result in pixels.
        scale: smallest and largest area of the part, as a fraction of the image's area.
        ratio: smallest and largest width / height of the part.
        interpolation: nearest, bilinear, bicubic or lanczos.

    Raises:
        ConfigError: unknown ``interpolation``.

    Example:
        >>> sample = RandomResizedCrop(size=(8, 6))({"img": np.zeros((20, 30, 3), np.uint8)})
        >>> sample["img"].shape, sample["img_shape"]
        ((8, 6, 3), (8, 6))
    """

    CROPS = True

    def __init__(
        self,
        size: Size,
        scale: Bounds = (0.08, 1.0),
        ratio: Bounds = (3 / 4, 4 / 3),
        interpolation: str = "bicubic",
    ):
        from torchvision.transforms import v2

        super().__init__(v2.RandomResizedCrop(_pair(size), tuple(scale), tuple(ratio), _interpolation(interpolation)))


@TRANSFORMS.register_module()
class ResizeCrop(ImageTransform):
    """Resize the shorter side to ``size / crop_pct`` pixels, rounded down, then crop the centre; for evaluation.

    Args:
        size: side of the result in pixels.
        crop_pct: fraction of the shorter side that remains, in (0, 1]; 1 crops only the longer side.
        edge: length of the shorter side in pixels; it replaces ``crop_pct``.
        interpolation: nearest, bilinear, bicubic or lanczos.

    Raises:
        ConfigError: ``crop_pct`` outside (0, 1], ``edge`` below ``size``, or unknown ``interpolation``.

    Example:
        >>> ResizeCrop(size=8)({"img": np.zeros((20, 30, 3), np.uint8)})["img"].shape
        (8, 8, 3)
    """

    CROPS = True

    def __init__(
        self, size: Count, crop_pct: Fraction = 0.875, edge: Count | None = None, interpolation: str = "bicubic"
    ):
        if edge is not None and edge < size:
            raise ConfigError(
                "ResizeCrop.edge", expected=f"at least size={size}", found=f"{edge}", advice="make it larger"
            )
        short = math.floor(size / crop_pct) if edge is None else edge
        resize = transforms.Resize(short, _interpolation(interpolation))
        super().__init__(transforms.Compose([resize, transforms.CenterCrop(size)]))
        self._step = {"op": "resize_crop", "size": size, "edge": short, "interpolation": interpolation}

    def graph_step(self) -> dict[str, Any]:
        """Return the settings that an exported model repeats, see :mod:`visionzoo.inference.exported_steps`."""
        return dict(self._step)


@TRANSFORMS.register_module()
class PaddedRandomCrop(ImageTransform):
    """Pad all sides with black and crop a random window, as usual for CIFAR.

    Args:
        size: side or (H, W) of the window in pixels.
        padding: pixels on each side.

    Example:
        >>> PaddedRandomCrop(size=32, padding=4)({"img": np.zeros((32, 32, 3), np.uint8)})["img"].shape
        (32, 32, 3)
    """

    CROPS = True

    def __init__(self, size: Size, padding: CountOrZero = 4):
        from torchvision.transforms import v2

        super().__init__(v2.RandomCrop(_pair(size), padding=padding, pad_if_needed=True))


@TRANSFORMS.register_module()
class HorizontalFlip(ImageTransform):
    """Mirror the image horizontally with probability ``prob``.

    Example:
        >>> image = np.array([[[1, 1, 1], [2, 2, 2]]], dtype=np.uint8)
        >>> HorizontalFlip(prob=1.0)({"img": image})["img"][0, :, 0].tolist()
        [2, 1]
    """

    def __init__(self, prob: Share = 0.5):
        from torchvision.transforms import v2

        super().__init__(v2.RandomHorizontalFlip(prob))


@TRANSFORMS.register_module()
class ColorJitter(ImageTransform):
    """Change brightness, contrast and saturation by random factors, and the hue by a random shift.

    Args:
        brightness, contrast, saturation: x draws a factor from [max(0, 1 - x), 1 + x].
        hue: x in [0, 0.5] draws a shift from [-x, x]; 1 is a full turn.

    Example:
        >>> ColorJitter()({"img": np.zeros((4, 5, 3), np.uint8)})["img"].shape
        (4, 5, 3)
    """

    def __init__(self, brightness: Weight = 0.4, contrast: Weight = 0.4, saturation: Weight = 0.4, hue: float = 0.0):
        from torchvision.transforms import v2

        super().__init__(v2.ColorJitter(brightness, contrast, saturation, hue))


@TRANSFORMS.register_module()
class RandAugment(ImageTransform):
    """Apply some of fifteen changes at random (Cubuk et al., arXiv 1909.13719), as implemented in timm.

    Args:
        policy: timm's name of the policy. ``rand-m9-mstd0.5-inc1`` has magnitude 9 with standard deviation 0.5, and
            changes whose strength increases with the magnitude.
        size: side of the image in pixels; the largest translation is 0.45 of it.
        mean: fill colour of uncovered pixels, RGB in [0, 255].
        interpolation: nearest, bilinear or bicubic.

    Raises:
        ConfigError: unknown ``policy`` or ``interpolation``.

    Example:
        >>> RandAugment(size=8)({"img": np.zeros((8, 8, 3), np.uint8)})["img"].shape
        (8, 8, 3)
    """

    def __init__(
        self,
        policy: str = "rand-m9-mstd0.5-inc1",
        size: Count = 224,
        mean: Numbers = IMAGENET_MEAN,
        interpolation: str = "bicubic",
    ):
        from timm.data.auto_augment import rand_augment_transform

        make = partial(rand_augment_transform, policy, _timm_options(size, mean, interpolation))
        super().__init__(_of_timm(make, policy, "rand-m9-mstd0.5-inc1"))


@TRANSFORMS.register_module()
class AutoAugment(ImageTransform):
    """Apply one of 25 learnt pairs of changes (Cubuk et al., arXiv 1805.09501), as implemented in timm.

    Args:
        policy: ``v0``, ``v0r``, ``original``, ``originalr`` or ``3a``, optionally with options such as ``-mstd0.5``.
        size, mean, interpolation: see :class:`RandAugment`.

    Raises:
        ConfigError: unknown ``policy`` or ``interpolation``.

    Example:
        >>> AutoAugment(size=8)({"img": np.zeros((8, 8, 3), np.uint8)})["img"].shape
        (8, 8, 3)
    """

    def __init__(
        self,
        policy: str = "original",
        size: Count = 224,
        mean: Numbers = IMAGENET_MEAN,
        interpolation: str = "bicubic",
    ):
        from timm.data.auto_augment import auto_augment_transform

        make = partial(auto_augment_transform, policy, _timm_options(size, mean, interpolation))
        super().__init__(_of_timm(make, policy, "original"))


@TRANSFORMS.register_module()
class RandomErasing(BaseTransform):
    """Cover a random rectangle (Zhong et al., AAAI 2020), with timm's sampler.

    timm erases after normalisation. Images are still uint8 here, so normal noise is scaled to the mean and standard
    deviation of the data, rounded, and clipped to [0, 255].

    Args:
        prob: probability of erasing.
        mode: ``pixel`` (noise for each pixel), ``rand`` (one colour) or ``const`` (the mean).
        min_area, max_area: smallest and largest covered area, as a fraction of the image.
        count: largest number of rectangles; the area is divided among them.
        mean, std: mean and standard deviation of the data, RGB in [0, 255].

    Raises:
        ConfigError: unknown ``mode``.

    Example:
        >>> erased = RandomErasing(prob=1.0, mode="const")({"img": np.zeros((16, 16, 3), np.uint8)})["img"]
        >>> np.unique(erased[..., 0]).tolist()
        [0, 124]
    """

    def __init__(
        self,
        prob: Share = 0.25,
        mode: str = "pixel",
        min_area: Fraction = 0.02,
        max_area: Fraction = 1 / 3,
        count: Few = 1,
        mean: Numbers = IMAGENET_MEAN,
        std: Spreads = IMAGENET_STD,
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
        noise = self.erase(torch.full((3, height, width), torch.nan))  # unerased pixels remain nan
        erased = ~noise[0].isnan().numpy()
        colours = (noise * self.std + self.mean).round().clamp(0, 255).permute(1, 2, 0).numpy()
        results["img"] = results["img"].copy()
        results["img"][erased] = colours[erased].astype(np.uint8)
        return results

    def __repr__(self) -> str:
        return f"RandomErasing({self.erase})"


@TRANSFORMS.register_module()
class Cutout(BaseTransform):
    """Cover a square around a random pixel, clipped at the border (DeVries and Taylor, arXiv 1708.04552).

    Args:
        size: side of the square in pixels.
        prob: probability of covering.
        fill: colour of the square, RGB in [0, 255].

    Example:
        >>> int(Cutout(size=40, fill=(9, 9, 9))({"img": np.zeros((10, 10, 3), np.uint8)})["img"].min())
        9
    """

    def __init__(self, size: Count = 16, prob: Share = 1.0, fill: Sequence[float] = (0, 0, 0)):
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
            "policy", expected=f"a policy of timm, such as {example}", found=f"{policy!r}", advice="fix it"
        ) from error
