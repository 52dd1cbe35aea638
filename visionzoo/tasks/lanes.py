"""Lane detection: a curve for each lane of a road."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from visionzoo.ops.lane_points import Rows
from visionzoo.reports.images import (
    Colour,
    class_colour,
    enlarged,
    label_font,
    letter_height,
    line_width,
    write_labels,
)
from visionzoo.structures.graph_results import Frame, GraphSample
from visionzoo.structures.image_size import size_of_file
from visionzoo.structures.lane_files import tusimple_record
from visionzoo.structures.lanes import Lanes, lanes_of
from visionzoo.structures.seeded import seeded_array
from visionzoo.tasks._base import ResultFile, ResultLines, Task
from visionzoo.tasks.inputs.images import ImageInput

if TYPE_CHECKING:
    from torch import Tensor

_TUSIMPLE_HEIGHT, _TUSIMPLE_ROWS = 720, range(160, 720, 10)
_LANE_SHIFT = 0.006  # standard deviation in image widths; about the largest shift at which the metrics match a lane
_OF_LANES = ("img_path", "gt_lanes", "gt_x", "h_samples", "scenario")
_SUBPIXELS = 4  # fractional bits: curves are drawn with a precision of 1/16 pixel


def _lines_file(result: Lanes) -> bytes:
    return result.to_culane().encode()


def _tusimple_line(result: Lanes, path: str, size: tuple[int, ...], seconds: float) -> dict[str, Any]:
    """Return one JSON record: the lanes at TuSimple's rows if the image is 720 high, else at the rows of the points."""
    own = sorted({float(y) for lane in result.points for y in lane[:, 1]})
    rows = list(_TUSIMPLE_ROWS) if size[1] == _TUSIMPLE_HEIGHT else own
    return tusimple_record(path, result.to_tusimple(rows), rows, seconds)


class LaneDetection(Task):
    """Task of detecting the lanes of a road. The result is :class:`Lanes`, in pixels of the original image."""

    inputs = ImageInput()
    row = staticmethod(Lanes.to_row)
    selections = ("threshold", "limit")
    counted = ("lane", "lanes")
    files = (ResultFile("lines", "lines", ".lines.txt", _lines_file),)
    lines = ResultLines("tusimple.json", _tusimple_line)
    save_best = {"culane/F1": "greater", "tusimple/accuracy": "greater", "tusimple/F1": "greater"}

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Lanes:
        return lanes_of(sample)

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        scores, threshold = outputs["existence"].astype(float).tolist(), frame.settings["exist_threshold"]
        rows = Rows(**{**frame.settings["rows"], "size": tuple(frame.settings["rows"]["size"])})
        maps = frame.without_padding(outputs["maps"])
        lanes = rows.lanes(maps, [score > threshold for score in scores], frame.original)
        slots = [slot for slot, lane in enumerate(lanes) if lane is not None]
        return GraphSample(
            pred_lanes=[lanes[slot] for slot in slots],
            pred_lane_slots=slots,
            pred_lane_scores=[scores[slot] for slot in slots],
        )

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_lanes(image, result, scale)

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Shift the true lanes horizontally and drop some of them; if there are no true lanes, return a wrong one."""
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
        import torch

        return torch.cat([sample.pred_exist for sample in samples])

    def options(self, model: Mapping[str, Any]) -> list[str]:
        """Return the options that set the existence and the point threshold to 0."""
        rows = {**(model["head"].get("rows") or {}), "threshold": 0.0}
        return ["model.head.exist_threshold=0.0", f"model.head.rows={rows}"]


def draw_lanes(image: np.ndarray, found: Lanes, scale: int = 1) -> np.ndarray:
    """Draw a polyline for each lane, a dot at each point, and the slot and score near the lowest point.

    Args:
        image: (H, W, 3) uint8 RGB, of the size to which the points refer. The array is not changed.
        found: the lanes to draw. Lanes of the same slot have the same colour in every image.
        scale: factor by which the image is enlarged, >= 1; see
            :func:`visionzoo.reports.images.scale_to_read`.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.

    Convention:
        Points are (x, y) with pixel centres at integers. A point p is drawn at ``(p + 0.5) * scale - 0.5``.

    Example:
        >>> lanes = Lanes((np.array([[10.0, 30.0], [20.0, 5.0]]),), slots=(0,), scores=(0.9,))
        >>> draw_lanes(np.zeros((32, 48, 3), np.uint8), lanes, scale=2).shape
        (64, 96, 3)
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
    """Draw a polyline through the points, (n, 2), and a dot at each point. A black outline adds contrast."""
    inside = np.clip(curve, -canvas.shape[1] - canvas.shape[0], 2 * (canvas.shape[1] + canvas.shape[0]))
    points = np.round(inside * 2**_SUBPIXELS).astype(np.int32)
    for tint, wider in (((0, 0, 0), 2), (colour, 0)):
        cv2.polylines(canvas, [points[:, None]], False, tint, width + wider, cv2.LINE_AA, _SUBPIXELS)
    for point in points:
        for tint, radius in (((0, 0, 0), width + 1.0), (colour, float(width))):
            cv2.circle(canvas, point.tolist(), round(radius * 2**_SUBPIXELS), tint, -1, cv2.LINE_AA, _SUBPIXELS)


def _lower_end(curve: np.ndarray, radius: int) -> np.ndarray:
    """Return the box, xyxy, around the lowest point of a curve."""
    x, y = curve[np.argmax(curve[:, 1])]
    return np.array([x - radius, y - radius, x + radius, y + radius])
