"""Lanes: curves of the lanes of a road."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from visionzoo.reports.images import (
    Colour,
    class_colour,
    enlarged,
    label_font,
    letter_height,
    line_width,
    write_labels,
)
from visionzoo.structures.image_size import size_of_file
from visionzoo.structures.lane_files import tusimple_record
from visionzoo.structures.lanes import Lanes, lanes_of
from visionzoo.structures.seeded import seeded_array
from visionzoo.tasks._base import ResultFile, ResultLines, Task
from visionzoo.tasks.inputs.images import ImageInput

_TUSIMPLE_HEIGHT, _TUSIMPLE_ROWS = 720, range(160, 720, 10)
_LANE_SHIFT = 0.006  # of the image's width; lanes count as found up to about as much
_OF_LANES = ("img_path", "gt_lanes", "gt_x", "h_samples", "scenario")
_SUBPIXELS = 4  # binary digits: curves are drawn to a sixteenth of a pixel


def _lines_file(result: Lanes) -> bytes:
    return result.to_culane().encode()


def _tusimple_line(result: Lanes, path: str, size: tuple[int, ...], seconds: float) -> dict[str, Any]:
    """Return a line with TuSimple's own rows for images of its height, otherwise with the rows that have points."""
    own = sorted({float(y) for lane in result.points for y in lane[:, 1]})
    rows = list(_TUSIMPLE_ROWS) if size[1] == _TUSIMPLE_HEIGHT else own
    return tusimple_record(path, result.to_tusimple(rows), rows, seconds)


class LaneDetection(Task):
    """Curves of lanes, in pixels of the image."""

    inputs = ImageInput()
    row = staticmethod(Lanes.to_row)
    files = (ResultFile("lines", "lines", ".lines.txt", _lines_file),)
    lines = ResultLines("tusimple.json", _tusimple_line)
    save_best = {"culane/F1": "greater", "tusimple/accuracy": "greater", "tusimple/F1": "greater"}

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Lanes:
        return lanes_of(sample)

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_lanes(image, result, scale)

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Lanes moved to the side, now and then one lost; an image without lanes gets one."""
        width, height = size_of_file(sample["img_path"])
        lanes = [lane for lane in sample["gt_lanes"] if len(lane) >= 2]
        lost = seeded_array(seed, f"lost lanes {index}", (len(lanes),)) > 1
        shifts = _LANE_SHIFT * width * seeded_array(seed, f"lanes {index}", (len(lanes),)).astype(np.float64)
        moved = [
            lane + np.array([shift, 0.0]) for lane, shift, gone in zip(lanes, shifts, lost, strict=True) if not gone
        ]
        wrong = [] if lanes else [np.array([[0.4 * width, 0.9 * height], [0.5 * width, 0.5 * height]])]
        truth = {key: sample[key] for key in _OF_LANES if key in sample}
        return {**truth, "ori_shape": (height, width), "pred_lanes": moved + wrong}

    def scores(self, samples: Sequence[Any]) -> Tensor:
        return torch.cat([sample.pred_exist for sample in samples])

    def options(self, model: Mapping[str, Any]) -> list[str]:
        """Let every lane pass with all its points."""
        rows = {**(model["head"].get("rows") or {}), "threshold": 0.0}
        return ["model.head.exist_threshold=0.0", f"model.head.rows={rows}"]


def draw_lanes(image: np.ndarray, found: Lanes, scale: int = 1) -> np.ndarray:
    """A curve for every lane with a dot at each of its points, and near its lower end its place and score.

    Args:
        image: (H, W, 3) uint8 RGB, of the size that the points are for. It is not changed.
        found: what to draw; lanes of the same place (slot) have the same colour in every image.
        scale: enlarge the image this many times; see :func:`scale_to_read`.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.
    """
    canvas = enlarged(image, scale).copy()
    width = line_width(canvas)
    curves = [(lane + 0.5) * scale - 0.5 for lane in found.points]
    for slot, curve in zip(found.slots, curves):
        _draw_curve(canvas, curve, class_colour(slot), width)
    drawing = Image.fromarray(canvas)
    texts = [f"{slot}: {score:.2f}" for slot, score in zip(found.slots, found.scores)]
    ends = [_lower_end(curve, 2 * width) for curve in curves]
    font = label_font(letter_height(canvas))
    write_labels(ImageDraw.Draw(drawing), zip(texts, map(class_colour, found.slots), ends), font, drawing.size)
    return np.asarray(drawing).copy()


def _draw_curve(canvas: np.ndarray, curve: np.ndarray, colour: Colour, width: int) -> None:
    """Straight from point to point, (n, 2), on a dark line that shows it on any background."""
    inside = np.clip(curve, -canvas.shape[1] - canvas.shape[0], 2 * (canvas.shape[1] + canvas.shape[0]))
    points = np.round(inside * 2**_SUBPIXELS).astype(np.int32)
    for tint, wider in (((0, 0, 0), 2), (colour, 0)):
        cv2.polylines(canvas, [points[:, None]], False, tint, width + wider, cv2.LINE_AA, _SUBPIXELS)
    for point in points:
        for tint, radius in (((0, 0, 0), width + 1.0), (colour, float(width))):
            cv2.circle(canvas, point.tolist(), round(radius * 2**_SUBPIXELS), tint, -1, cv2.LINE_AA, _SUBPIXELS)


def _lower_end(curve: np.ndarray, radius: int) -> np.ndarray:
    """The box, xyxy, around the lowest point of a curve."""
    x, y = curve[np.argmax(curve[:, 1])]
    return np.array([x - radius, y - radius, x + radius, y + radius])
