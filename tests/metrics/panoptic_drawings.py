"""Random panoptic maps, and panoptic quality by loops over segments, as in its definition."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from visionzoo.structures.panoptic import PanopticMap


def random_maps(
    rng: np.random.Generator, size: tuple[int, int], classes: int = 3, crowds: float = 0.2
) -> tuple[PanopticMap, PanopticMap]:
    """Return a truth of boxes on unlabelled ground, and a prediction that is the truth with moved and renamed boxes."""
    truth, prediction = np.zeros(size, np.uint32), np.zeros(size, np.uint32)
    true_segments, found_segments = {}, {}
    for number in range(1, 1 + int(rng.integers(1, 7))):
        top, left = (int(rng.integers(0, side)) for side in size)
        height, width = (int(rng.integers(1, max(2, side // 2))) for side in size)
        label = int(rng.integers(classes))
        truth[top : top + height, left : left + width] = 1000 * number
        true_segments[1000 * number] = (label, bool(rng.random() < crowds))
        dy, dx = rng.integers(-1, 2, 2)
        prediction[max(0, top + dy) : top + dy + height, max(0, left + dx) : left + dx + width] = number
        found_segments[number] = (label if rng.random() < 0.8 else (label + 1) % classes, False)
    return tuple(
        PanopticMap.of_ids(ids, {number: facts for number, facts in segments.items() if (ids == number).any()})
        for ids, segments in ((truth, true_segments), (prediction, found_segments))
    )


def loop_quality(truth: PanopticMap, prediction: PanopticMap, width: int = 0) -> dict[int, list]:
    """Return for each category its IoUs, and the numbers of wrong predictions and of missed objects.

    Args:
        truth, prediction: maps of one image.
        width: width of boundaries; 0 to compare only masks.
    """
    result: dict[int, list] = {}
    void, matched = truth.ids == 0, set()
    crowds = {each.category_id: each for each in truth.segments if each.iscrowd}
    for true in truth.segments:
        for found in prediction.segments:
            if true.category_id != found.category_id or true.iscrowd:
                continue
            pair = truth.ids == true.id, prediction.ids == found.id
            if not (pair[0] & pair[1]).any():
                continue
            iou = _iou(*pair, void)
            if width:
                iou = min(iou, _iou(*(each & ~_eroded(each, width) for each in pair), void))
            if iou > 0.5:
                matched |= {("true", true.id), ("found", found.id)}
                result.setdefault(true.category_id, [[], 0, 0])[0].append(iou)
    for true in truth.segments:
        if ("true", true.id) not in matched and not true.iscrowd:
            result.setdefault(true.category_id, [[], 0, 0])[2] += 1
    for found in prediction.segments:
        mask = prediction.ids == found.id
        allowed = (mask & void).sum()
        if found.category_id in crowds:
            allowed += (mask & (truth.ids == crowds[found.category_id].id)).sum()
        if ("found", found.id) not in matched and allowed / mask.sum() <= 0.5:
            result.setdefault(found.category_id, [[], 0, 0])[1] += 1
    return result


def _iou(true: np.ndarray, found: np.ndarray, void: np.ndarray) -> float:
    common = (true & found).sum()
    return common / (true.sum() + found.sum() - common - (found & void).sum())


def _eroded(mask: np.ndarray, width: int) -> np.ndarray:
    return ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=0)
