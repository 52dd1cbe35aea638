"""Reading of masks with one grey value or one id per pixel."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms.base import BaseTransform
from mmengine.logging import print_log

from visionzoo.datasets.mask_files import SALIENT_FROM, check_masks, read_ids, read_mask
from visionzoo.errors import DataError, require_known
from visionzoo.registry import TRANSFORMS
from visionzoo.structures.image_size import require_size

KINDS = ("grey", "binary", "ids", "foreground")

# Largest fraction of grey pixels that a smoothed outline explains.
_GREY_SHARE = 0.01


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
        DataError: the mask is missing or broken, differs from its image in size, or has no grey levels (see
            :mod:`visionzoo.datasets.mask_files`).

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
        arguments = results["gt_path"], results["ori_shape"][:2], results["img_path"]
        values = read_id_map(*arguments) if self.kind == "ids" else self.read(*arguments)
        if self.kind == "binary":
            values = np.where(values > SALIENT_FROM, 255, 0).astype(np.uint8)
        results["gt_seg_map"] = values
        results.setdefault("seg_fields", []).append("gt_seg_map")
        return results

    def read(self, path: str, size: Sequence[int], like: object) -> np.ndarray:
        """Read a mask as (H, W) uint8, 0 to 255; the objects of id maps are 255.

        Args:
            path: the file.
            size: (H, W) of the image.
            like: name of the image, for the error.

        Raises:
            DataError: see :class:`LoadMaskAnnotation`.
        """
        if self.kind in ("ids", "foreground"):
            return np.where(read_id_map(path, size, like) > 0, 255, 0).astype(np.uint8)
        grey = read_mask(path, size, like)
        if not self._has_warned:
            self._warn_of_grey(grey, path)
        return grey

    def _warn_of_grey(self, grey: np.ndarray, path: str) -> None:
        """Warn once about soft masks. JPEG artefacts in masks are harmless and cause no warning."""
        share = float(((grey != 0) & (grey != 255)).mean())
        if share > _GREY_SHARE:
            self._has_warned = True
            print_log(
                f"{path}: {share:.1%} of the mask is neither 0 nor 255; pixels above {SALIENT_FROM} count as salient "
                "in targets; other masks may have such pixels too, but this warning is not repeated",
                "current",
                logging.WARNING,
            )

    def __repr__(self) -> str:
        return f"LoadMaskAnnotation(kind={self.kind!r})"


def read_id_map(path: str, size: Sequence[int], like: object) -> np.ndarray:
    """Read the id map of an image as (H, W), uint8 or uint16.

    Args:
        path: the file.
        size: (H, W) of the image.
        like: name of the image, for the error.

    Raises:
        DataError: the file is not an id map, has another size, or has numbers above 65535.
    """
    ids = read_ids(path)
    require_size(ids.shape, size, path, what="a mask", like=like, advice="export it in the image's size")
    high = ids.max()
    if high > 65535:
        raise DataError(path, expected="numbers up to 65535", found=f"{high}", advice="number the objects from 1")
    return ids.astype(np.uint8 if high < 256 else np.uint16)


def check_masks_of(dataset: Any, where: object, files: Sequence[tuple[str, str]]) -> None:
    """Check masks of a data set before training, as its pipeline reads them; see :func:`check_masks`.

    Args:
        dataset: a data set with a pipeline. Without a step that reads masks, nothing is checked.
        where: folder of the masks, for messages.
        files: path of the image and path of the mask of each sample.

    Raises:
        DataError: masks cannot be read, or no mask has a salient pixel.
    """
    steps = dataset.pipeline.transforms
    read = next((step.read for step in steps if hasattr(step, "read")), None)
    if read is not None:
        exif = any(getattr(step, "exif", False) for step in steps)
        check_masks(where, files, read, exif=exif)
