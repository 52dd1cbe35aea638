"""From a source to a sample for the model: reading, and the config's own test transforms."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from mmengine.registry import DefaultScope

from visionzoo.datasets.transforms.loading import read_image
from visionzoo.errors import ConfigError, DataError, InputError, ZooError
from visionzoo.inference.inputs import Source
from visionzoo.registry import SCOPE, TRANSFORMS

_REFUSED = (cv2.error, ValueError, RuntimeError, ArithmeticError, LookupError)


@dataclass
class Prepared:
    """One image, ready for the model.

    Attributes:
        source: where it came from.
        sample: what the pipeline packed.
        size: (width, height) of the image as it was read.
        image: the image as it was read, (H, W, 3) RGB; None when nobody will look at it.
    """

    source: Source
    sample: dict[str, Any]
    size: tuple[int, int]
    image: np.ndarray | None = None


@dataclass
class PreparedGroup:
    """Images that the model looks at together: as they were read, (H, W, 3) RGB each, and their one ``sample``."""

    sources: list[Source]
    images: list[np.ndarray]
    sample: dict[str, Any]


class Preparation:
    """Reads an image, or a group of them, and applies the test pipeline of a config, without its loaders.

    Args:
        pipeline: transforms of the config's test data set. Those that load images or annotations are left out:
            images come from :func:`read_image`, turned as their EXIF orientation says, and there are no annotations.

    A pipeline that loads by OpenCV (any loader but our ``LoadImage`` and ``LoadGroup``) works in BGR; it is given BGR.

    Attributes:
        takes_groups: samples are groups of images, loaded by ``LoadGroup``: call :meth:`group`.
    """

    def __init__(self, pipeline: list[Mapping[str, Any]]):
        steps = [dict(step) for step in pipeline]
        loaders = [step for step in steps if _loads_image(step)]
        self.bgr = any(_bare_name(step) not in ("LoadImage", "LoadGroup") for step in loaders)
        self.takes_groups = takes_groups(loaders)
        with DefaultScope.overwrite_default_scope(SCOPE), redirect_stdout(io.StringIO()):  # libraries greet on import
            self.transforms = [
                TRANSFORMS.build(step) for step in steps if not (_loads_image(step) or _loads_annotations(step))
            ]

    def __call__(self, source: Source, keep_image: bool = True) -> Prepared:
        """One image; without ``keep_image`` there is no copy of it beside the sample.

        Raises:
            DataError, InputError: the image cannot be read or transformed.
        """
        image = read_source(source.value)
        size = image.shape[1], image.shape[0]
        results = {
            "img": self._to_change(image, keep_image or _belongs_to_others(source)),
            "img_path": source.name,
            "img_id": 0,
            "img_shape": image.shape[:2],
            "ori_shape": image.shape[:2],
        }
        kept = image if keep_image else None
        del image
        sample = self._transformed(results, source.name, f"{size[0]}x{size[1]}")
        return Prepared(source.without_pixels(), sample, size, kept)

    def _to_change(self, image: np.ndarray, keep: bool) -> np.ndarray:
        """Pixels that transforms may change: a copy, unless nobody else needs those that were read."""
        if self.bgr:
            return np.ascontiguousarray(image[..., ::-1])
        return image.copy() if keep else image

    def group(self, sources: list[Source], images: list[np.ndarray]) -> PreparedGroup:
        """Images that were read by :func:`read_source`; raises InputError when they cannot be transformed."""
        results = {
            "img": [image.copy() for image in images],
            "img_path": [source.name for source in sources],
            "img_shape": images[0].shape[:2],
            "ori_shape": [image.shape[:2] for image in images],
        }
        name = f"{sources[0].name} and {len(sources) - 1} more" if len(sources) > 1 else sources[0].name
        sizes = ", ".join(sorted({f"{image.shape[1]}x{image.shape[0]}" for image in images}))
        return PreparedGroup(sources, images, self._transformed(results, name, sizes))

    def _transformed(self, results: dict[str, Any] | None, name: str, sizes: str) -> dict[str, Any]:
        try:
            for transform in self.transforms:
                results = transform(results) if results is not None else None
        except _REFUSED as error:
            raise InputError(
                name,
                expected="an image that the test pipeline can use",
                found=f"{sizes} pixels",
                advice="crop it or make it larger",
            ) from error
        if results is None or "inputs" not in results:
            raise InputError(f"{name}: the test pipeline gives no sample; it must end with a Pack... transform")
        return results


def read_source(value: Any) -> np.ndarray:
    """A path, the bytes of a file, an array, a tensor or a PIL image as (H, W, 3) uint8 RGB.

    Arrays are (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA; tensors (C, H, W); floats lie in [0, 1]. An error
    in place of an image is raised.
    """
    if isinstance(value, ZooError):
        raise value
    if hasattr(value, "detach"):
        value = _array_of_tensor(value)
    elif hasattr(value, "getexif"):
        value = _array_of_pil(value)
    elif not isinstance(value, np.ndarray | bytes | str) and not hasattr(value, "__fspath__"):
        raise InputError(expected="a path, bytes, array, tensor or PIL image", found=f"{type(value).__name__}")
    return read_image(value, exif=True)


def _belongs_to_others(source: Source) -> bool:
    """Whether the pixels may be the caller's own array or tensor, which must stay as it is."""
    return source.frame is None and not isinstance(source.value, str | os.PathLike | bytes)


def _array_of_tensor(tensor: Any) -> np.ndarray:
    array = tensor.detach().cpu()
    if array.dtype.is_floating_point:
        array = array.float()
    array = array.numpy()
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return array.transpose(1, 2, 0)
    if array.ndim == 2:
        return array
    raise DataError(
        "image tensor", expected="shape (C, H, W) with 1, 3 or 4 channels", found=f"{array.shape}", advice="permute it"
    )


def _array_of_pil(image: Any) -> np.ndarray:
    from PIL import ImageOps

    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I"):
        return np.clip(np.array(turned), 0, 65535).astype(np.uint16)
    return np.array(turned.convert("RGB"))


def test_pipeline_of(cfg: Mapping[str, Any], source: str) -> list[Mapping[str, Any]]:
    """The transforms of the test (else validation) data set of a config.

    Raises:
        ConfigError: the config has none.
    """
    for loader in ("test_dataloader", "val_dataloader"):
        dataset = (cfg.get(loader) or {}).get("dataset")
        while isinstance(dataset, Mapping):
            if dataset.get("pipeline"):
                return list(dataset["pipeline"])
            dataset = dataset.get("dataset")
    raise ConfigError(
        source, expected="a pipeline in test_dataloader.dataset", found="none", advice="inference needs its transforms"
    )


def takes_groups(pipeline: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the samples of a pipeline are groups of images."""
    return any(_bare_name(step) == "LoadGroup" for step in pipeline)


def _bare_name(step: Mapping[str, Any]) -> str:
    kind = step.get("type", "")
    return (kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]


def _loads_image(step: Mapping[str, Any]) -> bool:
    return _bare_name(step).startswith("LoadImage") or _bare_name(step) == "LoadGroup"


def _loads_annotations(step: Mapping[str, Any]) -> bool:
    """Whatever else is loaded belongs to a data set: boxes, masks, densities, regions of interest."""
    return _bare_name(step).startswith("Load") and not _loads_image(step)
