"""Targets of lane detection, and the changes of geometry that know which lane is which.

Resizing and turning are mmcv's and mmseg's: they change ``gt_seg_map`` with the image, but not points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms.base import BaseTransform

from visionzoo.datasets.lanes.slots import THICKNESS, draw_slots, existence, lane_slots
from visionzoo.datasets.transforms.masks import read_ids
from visionzoo.errors import ConfigError, DataError
from visionzoo.registry import TRANSFORMS
from visionzoo.structures.image_size import require_size


@TRANSFORMS.register_module()
class LoadLaneMask(BaseTransform):
    """Fill ``gt_seg_map``, (H, W) uint8 with 0 to K, 1 for the far left lane: of ``gt_path``, else drawn of points.

    It comes before the changes of geometry. Drawn masks, and ``gt_exist`` with them, follow :func:`lane_slots`; of a
    mask that is read, ``gt_exist`` is left as the list has it, or says which lanes have a pixel.

    Args:
        lanes: K.
        thickness: of drawn lanes, pixels of the image as it is now; TuSimple's has 15 at a width of 1280.
        keep_points: leave ``gt_lanes`` and ``gt_x`` in the sample. By default they go, as mmcv's changes of geometry
            leave them where they were.

    Raises:
        DataError: the mask is missing or broken, of another size than its image, or has a number above K; there is
            neither a mask nor a list of points.
    """

    PROVIDES = ("gt_seg_map", "gt_exist")

    def __init__(self, lanes: int = 4, thickness: int = THICKNESS, keep_points: bool = False):
        self.lanes, self.thickness, self.keep_points = lanes, thickness, keep_points

    def transform(self, results: dict) -> dict:
        if "gt_path" in results:
            mask = self._read(results["gt_path"], results)
            seen = np.isin(np.arange(1, self.lanes + 1), np.unique(mask)).astype(np.float32)
            results.setdefault("gt_exist", seen)
        elif "gt_lanes" in results:
            slots = lane_slots(results["gt_lanes"], self.lanes)
            mask = draw_slots(slots, results["img"].shape[:2], self.thickness)
            results["gt_exist"] = existence(slots)
        else:
            raise DataError(
                results.get("img_path"),
                expected="a mask or points of lanes",
                found="neither",
                advice="name a list with masks as split (train_gt)",
            )
        results["gt_seg_map"] = mask
        results.setdefault("seg_fields", []).append("gt_seg_map")
        if not self.keep_points:
            for key in ("gt_lanes", "gt_x"):
                results.pop(key, None)
        return results

    def _read(self, path: str, results: dict) -> np.ndarray:
        mask = read_ids(path)
        require_size(
            mask.shape,
            results["img"].shape[:2],
            path,
            what="a mask",
            like=results["img_path"],
            advice="copy mask and image from one source",
        )
        if mask.max() > self.lanes or mask.min() < 0:
            raise DataError(
                path,
                expected=f"numbers from 0 to {self.lanes}, one for each lane",
                found=f"{mask.max()}",
                advice="set lanes, or use laneseg_label_w16",
            )
        return mask.astype(np.uint8)

    def __repr__(self) -> str:
        return f"LoadLaneMask(lanes={self.lanes}, thickness={self.thickness}, keep_points={self.keep_points})"


@TRANSFORMS.register_module()
class CropOrPad(BaseTransform):
    """Bring image and mask to one size: a random part of what is larger, a border around what is smaller.

    The border is above, and left and right by a random share, so that the road stays at the bottom. As SCNN's authors
    do after their random resizing. Points of ``gt_lanes`` move along.

    Args:
        size: (H, W).
        pad_val: of the image's border, RGB: what normalises to zero. The mask's border is 0.

    Raises:
        ConfigError: a side below 1.
    """

    def __init__(self, size: Sequence[int], pad_val: Sequence[int] = (92, 93, 93)):
        if len(size) != 2 or min(size) < 1:
            raise ConfigError("CropOrPad", expected="a size of two sides from 1 on", found=f"{tuple(size)}")
        self.size, self.pad_val = (int(size[0]), int(size[1])), tuple(pad_val)

    def transform(self, results: dict) -> dict:
        height, width = results["img"].shape[:2]
        # where the image's corner comes to lie; negative where it is cut
        spare = self.size[0] - height, self.size[1] - width
        top = spare[0] if spare[0] >= 0 else -int(np.random.randint(-spare[0] + 1))
        left = int(np.random.randint(spare[1] + 1)) if spare[1] >= 0 else -int(np.random.randint(-spare[1] + 1))
        results["img"] = _placed(results["img"], self.size, top, left, self.pad_val)
        for key in results.get("seg_fields", []):
            results[key] = _placed(results[key], self.size, top, left, 0)
        if "gt_lanes" in results:
            results["gt_lanes"] = [lane + np.array([left, top]) for lane in results["gt_lanes"]]
        results["img_shape"] = self.size
        return results

    def __repr__(self) -> str:
        return f"CropOrPad(size={self.size}, pad_val={self.pad_val})"


def _placed(array: np.ndarray, size: tuple[int, int], top: int, left: int, fill: int | Sequence[int]) -> np.ndarray:
    """``array`` with its corner at (top, left) of a canvas of ``size``."""
    canvas = np.empty((*size, *array.shape[2:]), array.dtype)
    canvas[...] = fill
    source = array[max(0, -top) :, max(0, -left) :][: size[0] - max(0, top), : size[1] - max(0, left)]
    canvas[max(0, top) :, max(0, left) :][: source.shape[0], : source.shape[1]] = source
    return canvas


@TRANSFORMS.register_module()
class FlipLanes(BaseTransform):
    """Mirror image, mask and lanes from left to right now and then; the far left lane becomes the far right one.

    ``gt_seg_map`` swaps 1 with K, 2 with K - 1 and so on, ``gt_exist`` and ``gt_lanes`` are reversed, points mirrored.
    Not part of SCNN's recipe.

    Args:
        prob: how often, in [0, 1].
        lanes: K.

    Raises:
        ConfigError: ``prob`` outside [0, 1]. DataError: ``gt_x`` is still there, which this leaves alone.
    """

    def __init__(self, prob: float = 0.5, lanes: int = 4):
        if not 0 <= prob <= 1:
            raise ConfigError("FlipLanes", expected="prob in [0, 1]", found=f"{prob}")
        self.prob, self.lanes = prob, lanes

    def transform(self, results: dict) -> dict:
        if not np.random.rand() < self.prob:
            return results
        if "gt_x" in results:
            raise DataError(
                "FlipLanes",
                expected=f"no gt_x in {results.get('img_path')}",
                found="it",
                advice="put LoadLaneMask before, without keep_points",
            )
        width = results["img"].shape[1]
        results["img"] = np.ascontiguousarray(results["img"][:, ::-1])
        if "gt_seg_map" in results:
            swapped = np.array([0, *range(self.lanes, 0, -1)], np.uint8)
            results["gt_seg_map"] = swapped[results["gt_seg_map"][:, ::-1]]
        if "gt_exist" in results:
            results["gt_exist"] = results["gt_exist"][::-1].copy()
        if "gt_lanes" in results:
            results["gt_lanes"] = [_mirrored(lane, width) for lane in reversed(results["gt_lanes"])]
        results["flip"], results["flip_direction"] = True, "horizontal"
        return results

    def __repr__(self) -> str:
        return f"FlipLanes(prob={self.prob}, lanes={self.lanes})"


def _mirrored(lane: np.ndarray, width: int) -> np.ndarray:
    """(n, 2) points with column x at width - 1 - x."""
    return np.stack([width - 1 - lane[:, 0], lane[:, 1]], axis=1)
