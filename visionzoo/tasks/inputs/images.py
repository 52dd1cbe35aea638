"""Images as inputs of a task, one at a time or in groups."""

from __future__ import annotations

import argparse
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visionzoo.datasets.decoding import opened_image
from visionzoo.datasets.image_reading import read_image, rgb_of_pillow
from visionzoo.errors import DataError, InputError, ZooError, require_known
from visionzoo.structures.arrays import as_array
from visionzoo.structures.image_size import frames_of, pixels_of
from visionzoo.structures.seeded import seeded_image
from visionzoo.tasks.inputs.base import Input, Source
from visionzoo.tasks.inputs.files import count_inputs, expand_inputs, left_out, sources_of
from visionzoo.tasks.inputs.options import add_image_options

# Names the random values of the images in the forward check. The reference numbers of the cards depend on it.
_STREAM = "picture"
# Kinds of files that may have several frames or pages.
_SEVERAL_FRAMES = (".gif", ".webp", ".apng", ".png", ".tif", ".tiff", ".avif", ".avifs")


class ImageInput(Input):
    """Images and frames of videos, each processed separately.

    Attributes:
        takes_videos: True if the frames of a video are inputs. If False, videos in folders are ignored, and a
            named video is an error.

    Example:
        >>> inputs = ImageInput()
        >>> source, = inputs.sources_of(np.zeros((4, 6, 3), np.uint8))
        >>> inputs.size(inputs.read(source))
        (6, 4)
    """

    noun = "an image"
    nouns = "images"
    usage = "IMAGES"
    takes_videos: ClassVar[bool] = True

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        add_image_options(parser)

    def sources(self, args: argparse.Namespace) -> Iterator[Source]:
        limit = None if args.max_pixels is None else pixels_of(args.max_pixels, "--max-pixels")
        expanded = expand_inputs(
            args.inputs, recursive=self._is_recursive(args.recursive), videos=self.takes_videos, max_pixels=limit
        )
        first = next(expanded, None)
        if first is None:
            raise InputError(
                " ".join(args.inputs), expected="at least one image", found="none", advice="check the inputs"
            )
        return chain([first], expanded)

    def count(self, args: argparse.Namespace) -> int | None:
        return count_inputs(args.inputs, recursive=self._is_recursive(args.recursive), videos=self.takes_videos)

    def left_out(self, args: argparse.Namespace) -> str:
        return left_out(args.inputs, recursive=self._is_recursive(args.recursive), videos=self.takes_videos)

    def sources_of(
        self, inputs: Any, *, recursive: bool = False, max_pixels: float | None = None, **options: Any
    ) -> Iterator[Source]:
        for name in options:
            require_known(name, ("recursive", "max_pixels"), "option of images")
        limit = None if max_pixels is None else pixels_of(max_pixels, "max_pixels")
        recursive = self._is_recursive(recursive)
        return sources_of(inputs, recursive=recursive, videos=self.takes_videos, max_pixels=limit)

    def _is_recursive(self, recursive: bool) -> bool:
        """Return True if subfolders are searched too."""
        return recursive

    def recorded(self, record: Mapping[str, Any]) -> list[Source]:
        """Return the images of ``img_path``, else of the array ``img``, (H, W, 3) uint8 RGB.

        Example:
            >>> [source.name for source in ImageInput().recorded({"img_path": ["a.png", "b.png"]})]
            ['a.png', 'b.png']
        """
        paths, image = record.get("img_path"), record.get("img")
        if paths is None:
            return [Source("array", image, Path("array.png"))] if isinstance(image, np.ndarray) else []
        listed = [paths] if isinstance(paths, str | os.PathLike) else paths
        return [Source(os.fspath(path), Path(path), Path(Path(path).name)) for path in listed]

    def read(self, source: Source) -> np.ndarray:
        return read_source(source.value, **source.options)

    def unread_parts(self, source: Source) -> str:
        """Return the number of frames or pages after the first, of files of kinds that may have several."""
        path = Path(source.value) if isinstance(source.value, str | os.PathLike) else None
        if path is None or path.suffix.lower() not in _SEVERAL_FRAMES or not path.is_file():
            return ""
        frames = frames_of(path)
        return f"the first of {frames} frames or pages is used" if frames > 1 else ""

    def size(self, value: np.ndarray) -> tuple[int, ...]:
        return value.shape[1], value.shape[0]

    def image(self, value: np.ndarray) -> np.ndarray:
        return value

    def start(self, sources: Sequence[Source], values: Sequence[Any], *, order: str, keep: bool) -> dict[str, Any]:
        (source,), (image,) = sources, values
        return {
            "img": in_channel_order(image, order, keep or _shares_memory(source)),
            "img_path": source.name,
            "img_id": 0,
            "img_shape": image.shape[:2],
            "ori_shape": image.shape[:2],
        }

    def batch_key(self, sample: Mapping[str, Any], divisor: int) -> Hashable:
        """Return the number of channels, and the padded height and width in units of ``divisor``.

        Only images with equal keys share a batch, so batching does not change results.
        """
        channels, height, width = sample["inputs"].shape
        return channels, -(-height // divisor), -(-width // divisor)

    def seeded(self, seed: int, size: Sequence[int]) -> dict[str, Any]:
        height, width = size
        return {"inputs": [seeded_image(seed, f"{_STREAM} {index}", height, width) for index in range(2)]}


class ImageGroup(ImageInput):
    """Groups of images: one for each folder, and one for all images in memory."""

    are_grouped = True
    takes_videos = False

    def _is_recursive(self, recursive: bool) -> bool:
        return True

    def group_of(self, source: Source) -> str:
        """Return the path of the image's folder; ``inputs`` for images in memory."""
        is_file = isinstance(source.value, str | os.PathLike | ZooError)
        return str(Path(source.name).parent) if is_file else "inputs"

    def start(self, sources: Sequence[Source], values: Sequence[Any], *, order: str, keep: bool) -> dict[str, Any]:
        return {
            "img": [in_channel_order(image, order, True) for image in values],
            "img_path": [source.name for source in sources],
            "img_shape": values[0].shape[:2],
            "ori_shape": [image.shape[:2] for image in values],
        }


def read_source(value: Any, *, max_pixels: float | None = None) -> np.ndarray:
    """Read an image from a path, the bytes of a file, an array, a tensor or a PIL image.

    Args:
        value: the image. Arrays are (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA. Tensors are (H, W), or
            (C, H, W) with 1, 3 or 4 channels. Floats are in [0, 1].
        max_pixels: largest number of pixels of a file or PIL image, see
            :func:`visionzoo.datasets.transforms.loading.decode_image`.

    Returns:
        (H, W, 3) uint8 RGB, with the EXIF orientation applied.

    Raises:
        ZooError: ``value`` is an error of an earlier step. It is raised again.
        InputError: ``value`` has another type.
        DataError: the image cannot be read, or has another shape.

    Example:
        >>> import torch
        >>> read_source(torch.ones(3, 4, 6)).shape
        (4, 6, 3)
    """
    if isinstance(value, ZooError):
        raise value
    if hasattr(value, "detach"):
        value = _array_of_tensor(value)
    elif hasattr(value, "getexif"):
        return rgb_of_pillow(opened_image(value, "PIL image", max_pixels=max_pixels), "PIL image")
    elif not isinstance(value, np.ndarray | bytes | str) and not hasattr(value, "__fspath__"):
        raise InputError(
            "image",
            expected="a path, bytes, array, tensor or PIL image",
            found=f"a value of type {type(value).__name__}",
            advice="pass one of them",
        )
    return read_image(value, exif=True, max_pixels=max_pixels)


def _array_of_tensor(tensor: Any) -> np.ndarray:
    array = as_array(tensor, single=tensor.dtype.is_floating_point)
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.size:
        return array.transpose(1, 2, 0)
    if array.ndim == 2:
        return array
    raise DataError(
        "image tensor",
        expected="shape (H, W), or (C, H, W) with 1, 3 or 4 channels",
        found=f"{array.shape}",
        advice=_tensor_advice(array.shape),
    )


def _tensor_advice(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[2] in (1, 3, 4):
        return "permute it to (C, H, W): tensor.permute(2, 0, 1)"
    return "pass a list of images, such as list(tensor)" if len(shape) == 4 else "choose three channels"


def _shares_memory(source: Source) -> bool:
    """Return True if the image may share memory with the caller's array or tensor, which must not change."""
    return source.frame is None and not isinstance(source.value, str | os.PathLike | bytes)


def in_channel_order(image: np.ndarray, order: str, keep: bool) -> np.ndarray:
    """Return the image in a channel order. Transforms may change the result in place.

    Args:
        image: (H, W, 3) RGB.
        order: order of the channels of the result, ``rgb`` or ``bgr``.
        keep: always return a copy, so that ``image`` does not change. For ``bgr`` the result is always a copy.

    Example:
        >>> in_channel_order(np.array([[[1, 2, 3]]], np.uint8), "bgr", keep=True).tolist()
        [[[3, 2, 1]]]
    """
    if order == "bgr":
        return np.ascontiguousarray(image[..., ::-1])
    return image.copy() if keep else image
