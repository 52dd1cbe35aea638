"""Augmented views of images. A view depends only on the image, the epoch, the seed and its number.

Tensors: B batch, V views per side, H and W in pixels.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from torchvision.transforms import v2

from visionzoo.datasets.cifar import CIFAR10, CIFAR100
from visionzoo.datasets.transforms.loading import read_image
from visionzoo.engine.workers import CarriesErrors, ZooLoader, in_worker
from visionzoo.errors import ConfigError, DataError
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS, is_left_over
from visionzoo.system.text_files import read_text

View = Callable[[Image.Image], Tensor]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.201)


def seeded(*parts: Any) -> torch.Generator:
    """Return a generator whose random numbers depend only on ``parts``."""
    return torch.Generator().manual_seed(zlib.crc32(":".join(map(str, parts)).encode()))


class ListedImages(Sequence):
    """Images in a folder and its subfolders: all images, or those of a list file.

    Args:
        root: the folder.
        list_file: file with lines of ``<path below root> <label>`` or ``<path below root>``; labels are ignored. None
            for all images.

    Raises:
        DataError: the list or the folder cannot be read or is empty; when an item is read, its file is not a readable
            image.
    """

    def __init__(self, root: str | Path, list_file: str | Path | None = None):
        self.root = Path(root)
        self.names = _images_below(self.root) if list_file is None else _listed(Path(list_file))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        """Read an image, (H, W, 3) uint8 RGB."""
        return read_image(self.root / self.names[index])


def _listed(file: Path) -> list[str]:
    lines = read_text(file, "a list of images", "check the path").splitlines()
    names = [_without_label(line) for line in lines if line.strip()]
    if not names:
        raise DataError(file, expected="lines of '<path> <label>'", found="none", advice="write one per image")
    return names


def _images_below(root: Path) -> list[str]:
    paths = [path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in ANY_IMAGE_ENDINGS]
    names = sorted(path.as_posix() for path in paths if not any(map(is_left_over, path.parts)))
    if not names:
        raise DataError(
            root,
            expected=f"a folder with images ({', '.join(ANY_IMAGE_ENDINGS)}) at any depth",
            found="none",
            advice="check the path",
        )
    return names


def _without_label(line: str) -> str:
    path, _, label = line.strip().rpartition(" ")
    return path.strip() if path and label.lstrip("-").isdigit() else line.strip()


def cifar_images(root: str | Path, name: str, *, train: bool) -> np.ndarray:
    """Read all images of CIFAR's training or test set.

    Args:
        root: folder with ``cifar-10-batches-py`` or ``cifar-100-python``, or a ``tiny://`` address.
        name: ``cifar10`` or ``cifar100``.
        train: read the training set instead of the test set.

    Returns:
        (N, 32, 32, 3) uint8 RGB.

    Raises:
        DataError: the files are missing, or they are not the published files.
    """
    cls = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    return cls(str(root), split="train" if train else "test").images


def imagenet_sides(size: int = 224) -> tuple[View, View]:
    """Return the augmentations of sides A and B on ImageNet.

    Side A blurs 10 % of its views. Side B blurs all and solarises 20 % of its views.

    Args:
        size: size of the views in pixels.
    """
    return _imagenet_view(size, blur=0.1, solarize=0.0), _imagenet_view(size, blur=1.0, solarize=0.2)


def _imagenet_view(size: int, *, blur: float, solarize: float) -> View:
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, interpolation=v2.InterpolationMode.BICUBIC),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([GaussianBlur()], p=blur),
            v2.RandomSolarize(128, p=solarize),
            *_normalised(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )


def cifar_sides(size: int = 32) -> tuple[View, View]:
    """Return the augmentations of both sides on CIFAR, which are equal: shift and flip."""
    steps = [v2.RandomCrop(size, padding=4), v2.RandomHorizontalFlip(), *_normalised(CIFAR_MEAN, CIFAR_STD)]
    return v2.Compose(steps), v2.Compose(steps)


def _normalised(mean: Sequence[float], std: Sequence[float]) -> list[Any]:
    return [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]


class GaussianBlur:
    """Blur by a Gaussian with a random standard deviation from 0.1 to 2 pixels."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(float(torch.empty(1).uniform_(0.1, 2.0))))


class ViewPairs(Dataset):
    """Data set of augmented views: ``per_side`` views of side A and of side B for each image.

    Args:
        images: (H, W, 3) uint8 RGB each.
        sides: augmentations of sides A and B.
        per_side: V.
        key: values that determine a view, together with the index of the image and the number of the view.

    Example:
        >>> pairs = ViewPairs(np.zeros((4, 32, 32, 3), np.uint8), cifar_sides(), 2, key=(0,))
        >>> pairs[0].shape
        torch.Size([4, 3, 32, 32])
    """

    def __init__(self, images: Sequence[np.ndarray], sides: tuple[View, View], per_side: int, key: tuple[Any, ...]):
        self.images, self.sides, self.per_side, self.key = images, sides, per_side, key

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """Return the normalised views of an image, (2 * V, 3, H, W): side A before side B."""
        return in_worker(lambda: self._views(index))

    def _views(self, index: int) -> Tensor:
        image = Image.fromarray(self.images[index])
        views = []
        for number in range(2 * self.per_side):
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.set_state(seeded(*self.key, index, number).get_state())
                views.append(self.sides[number // self.per_side](image))
        return torch.stack(views)


def batches_of(
    pairs: ViewPairs, indices: Sequence[int], batch: int, *, drop_last: bool, workers: int = 0
) -> Iterator[Tensor]:
    """Iterate over batches (B, 2 * V, 3, H, W) of the images at ``indices``, in this order."""
    chunks = [list(indices[i : i + batch]) for i in range(0, len(indices), batch)]
    if drop_last and chunks and len(chunks[-1]) < batch:
        chunks.pop()
    collate = CarriesErrors(default_collate)
    return iter(ZooLoader(pairs, batch_sampler=chunks, num_workers=workers, collate_fn=collate))


def steps_of_epoch(count: int, batch: int, ranks: int) -> int:
    """Return the number of steps in which all processes read a full batch of ``count`` images.

    Raises:
        ConfigError: there are too few images for one step.
    """
    if count < batch * ranks:
        raise ConfigError(
            "batch_size",
            expected=f"at most {count // ranks} for {count} images and {ranks} processes",
            found=f"{batch}",
            advice="lower it",
        )
    return count // (batch * ranks)


def epoch_order(count: int, batch: int, ranks: int, rank: int, draw: torch.Generator) -> list[int]:
    """Return the indices of a process's images in one epoch: its part of a permutation, cut to full batches."""
    used = steps_of_epoch(count, batch, ranks) * batch * ranks
    return torch.randperm(count, generator=draw)[:used][rank::ranks].tolist()
