"""Images to augmented views, the same ones whenever the same image, epoch and seed come together.

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
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from visionzoo.datasets.cifar import CIFAR10, CIFAR100
from visionzoo.datasets.transforms.loading import read_image
from visionzoo.errors import ConfigError, DataError
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS
from visionzoo.system.text_files import read_text

View = Callable[[Image.Image], Tensor]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.201)


def seeded(*parts: Any) -> torch.Generator:
    """Random numbers that follow from these parts alone, whatever was drawn before."""
    return torch.Generator().manual_seed(zlib.crc32(":".join(map(str, parts)).encode()))


class ListedImages(Sequence):
    """Images below a folder: all of them, or those that a list file names.

    Args:
        root: the folder.
        list_file: lines of ``<path below root> <label>`` or ``<path below root>``, labels are not read; None for every
            image there is.

    Raises:
        DataError: the list or folder cannot be read or is empty; reading an image, that it cannot be.
    """

    def __init__(self, root: str | Path, list_file: str | Path | None = None):
        self.root = Path(root)
        self.names = _images_below(self.root) if list_file is None else _listed(Path(list_file))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        """(H, W, 3) uint8 RGB."""
        return read_image(self.root / self.names[index])


def _listed(file: Path) -> list[str]:
    lines = read_text(file, "a list of images", "check the path").splitlines()
    names = [_without_label(line) for line in lines if line.strip()]
    if not names:
        raise DataError(file, expected="lines of '<path> <label>'", found="none", advice="write one per image")
    return names


def _images_below(root: Path) -> list[str]:
    found = sorted(
        path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix.lower() in ANY_IMAGE_ENDINGS
    )
    if not found:
        raise DataError(
            root,
            expected=f"a folder with images ({', '.join(ANY_IMAGE_ENDINGS)}) at any depth",
            found="none",
            advice="check the path",
        )
    return found


def _without_label(line: str) -> str:
    path, _, label = line.strip().rpartition(" ")
    return path.strip() if path and label.lstrip("-").isdigit() else line.strip()


def cifar_images(root: str | Path, name: str, *, train: bool) -> np.ndarray:
    """All images of CIFAR's training or test half, (N, 32, 32, 3) uint8 RGB.

    Args:
        root: folder with ``cifar-10-batches-py`` or ``cifar-100-python``, or a ``tiny://`` address.
        name: ``cifar10`` or ``cifar100``.

    Raises:
        DataError: the files are not there, or not those that were published.
    """
    cls = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    return cls(str(root), split="train" if train else "test").images


def imagenet_sides(size: int = 224) -> tuple[View, View]:
    """The two augmentations of a search on ImageNet: A blurs seldom, B always and solarises now and then."""
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
    """The augmentation of a search on CIFAR, the same for both sides: shift and flip."""
    steps = [v2.RandomCrop(size, padding=4), v2.RandomHorizontalFlip(), *_normalised(CIFAR_MEAN, CIFAR_STD)]
    return v2.Compose(steps), v2.Compose(steps)


def _normalised(mean: Sequence[float], std: Sequence[float]) -> list[Any]:
    return [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]


class GaussianBlur:
    """Blur by a Gaussian whose deviation is between 0.1 and 2 pixels."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(float(torch.empty(1).uniform_(0.1, 2.0))))


class ViewPairs(Dataset):
    """``per_side`` views of side A and as many of side B of every image.

    Args:
        images: (H, W, 3) uint8 RGB each.
        sides: the two augmentations.
        per_side: V.
        key: what, beside the index and the number of the view, decides a view.
    """

    def __init__(self, images: Sequence[np.ndarray], sides: tuple[View, View], per_side: int, key: tuple[Any, ...]):
        self.images, self.sides, self.per_side, self.key = images, sides, per_side, key

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """(2 * V, 3, H, W), normalised."""
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
    """(B, 2 * V, 3, H, W) over these images, in this order."""
    chunks = [list(indices[i : i + batch]) for i in range(0, len(indices), batch)]
    if drop_last and chunks and len(chunks[-1]) < batch:
        chunks.pop()
    return iter(DataLoader(pairs, batch_sampler=chunks, num_workers=workers))


def steps_of_epoch(count: int, batch: int, ranks: int) -> int:
    """Whole batches of all processes in ``count`` images.

    Raises:
        ConfigError: there is none.
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
    """This process's images of one epoch: its share of a permutation, cut to whole batches of all processes."""
    used = steps_of_epoch(count, batch, ranks) * batch * ranks
    return torch.randperm(count, generator=draw)[:used][rank::ranks].tolist()
