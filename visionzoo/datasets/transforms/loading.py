"""The transform that loads the image of a sample as RGB."""

from __future__ import annotations

import numpy as np
from mmcv.transforms.base import BaseTransform

from visionzoo.datasets.image_reading import decode_image, read_image, rgb_of_pillow
from visionzoo.errors import DataError
from visionzoo.registry import TRANSFORMS

__all__ = ["LoadImage", "decode_image", "read_image", "rgb_of_pillow"]


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Set ``img``, ``img_shape`` and ``ori_shape`` of a sample; a replacement of ``LoadImageFromFile``.

    The sample has either ``img_path`` or ``img``, an RGB array (see :func:`read_image`). ``img`` becomes (H, W, 3)
    uint8 RGB. Both shapes are (H, W) in pixels.

    Args:
        exif: rotate the image by its EXIF orientation. Off by default, because COCO's boxes and masks refer to the
            stored pixels.

    Raises:
        DataError: the file is missing, empty, truncated or not an image, or its size differs from the annotation.

    Example:
        >>> sample = LoadImage()({"img": np.zeros((4, 6), np.uint8)})
        >>> sample["img"].shape, sample["ori_shape"]
        ((4, 6, 3), (4, 6))
    """

    PROVIDES = ("img",)
    CHANNEL_ORDER = "rgb"

    def __init__(self, exif: bool = False):
        self.exif = exif

    def transform(self, results: dict) -> dict:
        in_memory = results.get("img") is not None
        image = read_image(results["img"] if in_memory else results["img_path"], exif=self.exif)
        if in_memory:
            results.setdefault("img_path", None)
        else:
            _require_annotated_size(image, results)
        results["img"] = image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        return f"LoadImage(exif={self.exif})"


def _require_annotated_size(image: np.ndarray, results: dict) -> None:
    """Raise DataError if the image differs from its annotated size, because its boxes would be wrong."""
    height, width = image.shape[:2]
    annotated = results.get("height", height), results.get("width", width)
    if (height, width) != annotated:
        raise DataError(
            results["img_path"],
            expected=f"{annotated[1]}x{annotated[0]} pixels as in its annotation",
            found=f"{width}x{height}",
            advice="correct the annotation or the file",
        )
