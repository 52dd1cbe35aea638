"""Targets of lane detection, and changes of geometry that depend on the order of the lanes.

mmcv and mmseg provide resizing and rotation. Their transforms change ``gt_seg_map`` with the image, but not points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms.base import BaseTransform

from visionzoo.allowed import Byte, Few, Share, Sides
from visionzoo.datasets.lanes.slots import THICKNESS, draw_slots, existence, lane_slots
from visionzoo.datasets.mask_files import read_ids
from visionzoo.errors import DataError
from visionzoo.registry import TRANSFORMS
from visionzoo.structures.image_size import require_size


@TRANSFORMS.register_module()
class LoadLaneMask(BaseTransform):
    """Set ``gt_seg_map``, (H, W) uint8 of 0 to K, where 1 is the far left lane, and ``gt_exist``, (K,) float32.

    The mask is read from ``gt_path``. Without ``gt_path``, it is drawn from the points ``gt_lanes``, and
    :func:`lane_slots` assigns the numbers of the lanes. ``gt_exist`` marks the lanes of the mask; with ``gt_path``, an
    existing ``gt_exist`` is kept. The transform must come before the changes of geometry.

    Args:
        lanes: K, the number of lanes.
        thickness: width of drawn lanes in pixels of the current image; 15 for TuSimple at a width of 1280.
        keep_points: keep ``gt_lanes`` and ``gt_x`` in the sample. By default they are removed, because mmcv's changes
            of geometry do not move them.

    Raises:
        DataError: the mask is missing or broken, differs from its image in size, or has a number above K;
            ``gt_exist`` does not have K numbers; or the sample has neither a mask nor points.

    Example:
        >>> lane = np.array([[8.0, 0.0], [6.0, 6.0], [4.0, 12.0], [2.0, 18.0]])
        >>> sample = LoadLaneMask(thickness=2)({"img": np.zeros((20, 30, 3), np.uint8), "gt_lanes": [lane]})
        >>> sample["gt_seg_map"].shape, int(sample["gt_exist"].sum())
        ((20, 30), 1)
    """

    PROVIDES = ("gt_seg_map", "gt_exist")

    def __init__(self, lanes: Few = 4, thickness: Few = THICKNESS, keep_points: bool = False):
        self.lanes, self.thickness, self.keep_points = lanes, thickness, keep_points

    def transform(self, results: dict) -> dict:
        if "gt_path" in results:
            mask = self._read(results["gt_path"], results)
            seen = np.isin(np.arange(1, self.lanes + 1), np.unique(mask)).astype(np.float32)
            results.setdefault("gt_exist", seen)
            self._require_count(results)
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

    def _require_count(self, results: dict) -> None:
        found = len(results["gt_exist"])
        if found != self.lanes:
            expected = f"a 0 or 1 for each of {self.lanes} lanes"
            raise DataError(results["img_path"], expected=expected, found=f"{found}", advice="set lanes")

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
    """Crop or pad image and mask to one size, as SCNN's authors do after random resizing.

    Larger sides are cropped at a random position. Smaller sides are padded: above, so that the road stays at the
    bottom, and left and right in random proportion. Points of ``gt_lanes`` are shifted too.

    Args:
        size: (H, W) in pixels.
        pad_val: colour of the image's padding, RGB; the default becomes zero after normalisation. The mask is padded
            with 0.

    Raises:
        ConfigError: a side is below 1.

    Example:
        >>> CropOrPad(size=(8, 10))({"img": np.zeros((4, 20, 3), np.uint8)})["img"].shape
        (8, 10, 3)
    """

    CROPS = True

    def __init__(self, size: Sides, pad_val: Sequence[Byte] = (92, 93, 93)):
        self.size, self.pad_val = (int(size[0]), int(size[1])), tuple(pad_val)

    def transform(self, results: dict) -> dict:
        height, width = results["img"].shape[:2]
        # Position of the image's corner; negative if that side is cropped.
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
    """Return a canvas of ``size`` with the corner of ``array`` at (top, left)."""
    canvas = np.empty((*size, *array.shape[2:]), array.dtype)
    canvas[...] = fill
    source = array[max(0, -top) :, max(0, -left) :][: size[0] - max(0, top), : size[1] - max(0, left)]
    canvas[max(0, top) :, max(0, left) :][: source.shape[0], : source.shape[1]] = source
    return canvas


@TRANSFORMS.register_module()
class FlipLanes(BaseTransform):
    """Mirror image, mask and lanes horizontally at random; the far left lane becomes the far right lane.

    ``gt_seg_map`` swaps 1 with K, 2 with K - 1 and so on. ``gt_exist`` and ``gt_lanes`` are reversed, and points are
    mirrored. SCNN's recipe does not use this transform.

    Args:
        prob: probability of a flip, in [0, 1].
        lanes: K, the number of lanes.

    Raises:
        ConfigError: ``prob`` outside [0, 1].
        DataError: the sample has ``gt_x``, which this transform does not support.

    Convention:
        Pixel centres have integer coordinates: a point at column x moves to ``W - 1 - x``.

    Example:
        >>> sample = {"img": np.zeros((4, 6, 3), np.uint8), "gt_exist": np.array([1, 0, 0, 0], np.float32)}
        >>> FlipLanes(prob=1.0)(sample)["gt_exist"].tolist()
        [0.0, 0.0, 0.0, 1.0]
    """

    def __init__(self, prob: Share = 0.5, lanes: Few = 4):
        self.prob, self.lanes = prob, lanes

    def transform(self, results: dict) -> dict:
        if not np.random.rand() < self.prob:
            return results
        if "gt_x" in results:
            raise DataError(
                "FlipLanes",
                expected=f"no gt_x in {results.get('img_path')}",
                found="one",
                advice="put LoadLaneMask before FlipLanes, without keep_points",
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
    """Return (n, 2) points with x moved to width - 1 - x."""
    return np.stack([width - 1 - lane[:, 0], lane[:, 1]], axis=1)
