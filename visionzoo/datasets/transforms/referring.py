"""Phrases and masks of referred objects.

No transform here flips images, because a flip exchanges left and right, and the phrases name them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms.base import BaseTransform

from visionzoo.datasets.mask_files import SALIENT_FROM, read_mask
from visionzoo.datasets.referring.segments import mask_of
from visionzoo.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ChoosePhrase(BaseTransform):
    """Set ``phrase``, a random one of ``phrases``; a sample that has a ``phrase`` already keeps it.

    A ref of RefCOCO has several phrases. Training reads each ref once per epoch, with another phrase each time. The
    random numbers are those of NumPy, whose seed the run sets.

    Example:
        >>> ChoosePhrase()({"phrases": ["left box"]})["phrase"]
        'left box'
    """

    PROVIDES = ("phrase",)

    def transform(self, results: dict) -> dict:
        phrases = results.pop("phrases", None)
        if "phrase" not in results and phrases:
            results["phrase"] = phrases[np.random.randint(len(phrases))]
        return results

    def __repr__(self) -> str:
        return "ChoosePhrase()"


@TRANSFORMS.register_module()
class LoadReferredMask(BaseTransform):
    """Set ``gt_seg_map``, (H, W) uint8 with 255 for the referred pixels, from ``segments`` or ``mask_path``.

    In training, place it before the changes of geometry, which later transforms apply to the mask too. For evaluation,
    place it after them, so that the mask has the pixels of the original image. A phrase that means nothing has an empty
    mask.

    Args:
        legacy_overlap: leave out the pixels that two polygons of one object cover, as LAVT does in training and tests.

    Raises:
        DataError: the mask is missing or broken, or differs from its image in size.

    Example:
        >>> sample = {"segments": [[[0, 0, 2, 0, 2, 2, 0, 2]]], "ori_shape": (2, 3), "img_path": "a.jpg"}
        >>> LoadReferredMask()(sample)["gt_seg_map"].tolist()
        [[255, 255, 0], [255, 255, 0]]
    """

    PROVIDES = ("gt_seg_map",)

    def __init__(self, legacy_overlap: bool = False):
        self.legacy_overlap = legacy_overlap

    def transform(self, results: dict) -> dict:
        size, segments = results["ori_shape"][:2], results.pop("segments", [])
        if "mask_path" in results:
            results["gt_seg_map"] = self.read(results["mask_path"], size, results["img_path"])
        else:
            mask = mask_of(segments, size, legacy_overlap=self.legacy_overlap)
            results["gt_seg_map"] = np.where(mask, 255, 0).astype(np.uint8)
        results.setdefault("seg_fields", []).append("gt_seg_map")
        return results

    def read(self, path: str, size: Sequence[int], like: object) -> np.ndarray:
        """Read a mask from an image file as (H, W) uint8, 0 and 255.

        Args:
            path: the file.
            size: (H, W) of the image.
            like: name of the image, for the error.

        Raises:
            DataError: see :func:`visionzoo.datasets.mask_files.read_mask`.
        """
        return np.where(read_mask(path, size, like) > SALIENT_FROM, 255, 0).astype(np.uint8)

    def __repr__(self) -> str:
        return f"LoadReferredMask(legacy_overlap={self.legacy_overlap})"
