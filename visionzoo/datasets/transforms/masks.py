"""Reading of masks with one grey value or one id per pixel."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path

import numpy as np
from mmcv.transforms.base import BaseTransform
from mmengine.logging import print_log
from PIL import Image, UnidentifiedImageError

from visionzoo.errors import DataError, require_known
from visionzoo.registry import TRANSFORMS
from visionzoo.structures.image_size import require_size

KINDS = ("grey", "binary", "ids", "foreground")

# Largest fraction of grey pixels that a smoothed outline explains.
_GREY_SHARE = 0.01
_SALIENT_FROM = 127


@TRANSFORMS.register_module()
class LoadMaskAnnotation(BaseTransform):
    """Set ``gt_seg_map``, (H, W) uint8, from ``gt_path``; later transforms change it with the image.

    In training, place it before the changes of geometry. For evaluation, place it after them, so that the ground truth
    has the pixels of the original image.

    Args:
        kind: kind of the result. For masks: ``grey``, 0 to 255 as stored, for saliency metrics; ``binary``, 0 and 255,
            salient above 127, for targets. For id maps: ``ids``, the numbers (uint16 above 255), for targets that
            distinguish instances; ``PackTaskInputs(rename={"gt_seg_map": "gt_ids"})`` packs them as ``gt_ids``;
            ``foreground``, 255 for all instances.

    Raises:
        UnknownName: unknown ``kind``.
        DataError: the mask is missing or broken, or differs from its image in size.

    Example:
        >>> LoadMaskAnnotation(kind="binary")
        LoadMaskAnnotation(kind='binary')
    """

    PROVIDES = ("gt_seg_map",)

    def __init__(self, kind: str = "grey"):
        require_known(kind, KINDS, "kind of LoadMaskAnnotation")
        self.kind = kind
        self._has_warned = False

    def transform(self, results: dict) -> dict:
        path = results["gt_path"]
        values = read_grey(path) if self.kind in ("grey", "binary") else read_ids(path)
        require_size(
            values.shape,
            results["ori_shape"][:2],
            path,
            what="a mask",
            like=results["img_path"],
            advice="export it in the image's size",
        )
        results["gt_seg_map"] = self._of_kind(values, path)
        results.setdefault("seg_fields", []).append("gt_seg_map")
        return results

    def _of_kind(self, values: np.ndarray, path: str) -> np.ndarray:
        if self.kind == "ids":
            return values.astype(np.uint8 if values.max() < 256 else np.uint16)
        if self.kind == "foreground":
            return np.where(values > 0, 255, 0).astype(np.uint8)
        self._warn_of_grey(values, path)
        return np.where(values > _SALIENT_FROM, 255, 0).astype(np.uint8) if self.kind == "binary" else values

    def _warn_of_grey(self, grey: np.ndarray, path: str) -> None:
        """Warn once about soft masks. JPEG artefacts in masks are harmless and cause no warning."""
        share = float(((grey != 0) & (grey != 255)).mean())
        if share > _GREY_SHARE and not self._has_warned:
            self._has_warned = True
            print_log(
                f"{path}: {share:.1%} of the mask is neither 0 nor 255; pixels above {_SALIENT_FROM} count as salient "
                "in targets; other masks may have such pixels too, but this warning is not repeated",
                "current",
                logging.WARNING,
            )

    def __repr__(self) -> str:
        return f"LoadMaskAnnotation(kind={self.kind!r})"


def read_grey(path: str | os.PathLike) -> np.ndarray:
    """Read a mask as (H, W) uint8, 0 to 255, from grey, black and white, palette, RGB or 16 bit; alpha is dropped.

    Raises:
        DataError: the file is missing, empty or not an image.
    """
    with _opened(path) as image:
        if image.mode.startswith("I"):
            return (np.asarray(image).astype(np.uint32) // 257).clip(0, 255).astype(np.uint8)
        return np.array(image.convert("RGB").convert("L") if image.mode not in ("L", "1") else image.convert("L"))


def read_ids(path: str | os.PathLike) -> np.ndarray:
    """Read an id map as (H, W) int32: the stored numbers, or the indices of a palette image, not its colours.

    Raises:
        DataError: the file is missing, empty or not an image, or has several channels.
    """
    with _opened(path) as image:
        if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
            raise DataError(
                path,
                expected="one number for every pixel (8 or 16 bit grey, or palette)",
                found=f"an image of mode {image.mode}",
                advice="export the id map without colours",
            )
        return np.array(image).astype(np.int32)


def _opened(path: str | os.PathLike) -> Image.Image:
    try:
        data = Path(path).read_bytes()
        if not data:
            raise DataError(path, expected="a mask", found="an empty file", advice="copy or download it again")
        image = Image.open(io.BytesIO(data))
        image.load()
    except UnidentifiedImageError as error:
        raise DataError(
            path, expected="a mask as an image (PNG)", found="other bytes", advice="copy it again"
        ) from error
    except (OSError, SyntaxError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(path, expected="a readable mask", but=f"{reason}", advice="check the file") from error
    return image
