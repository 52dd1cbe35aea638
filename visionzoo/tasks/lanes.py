"""Lane detection: a curve for each lane of a road."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from visionzoo.datasets.issues import Examined
from visionzoo.errors import counted
from visionzoo.metrics.means import exact_mean
from visionzoo.ops.lane_points import Rows
from visionzoo.reports.figure import Draft, Figure
from visionzoo.reports.images import (
    Colour,
    class_colour,
    enlarged,
    label_font,
    letter_height,
    line_width,
    write_labels,
)
from visionzoo.reports.plots import UNIT, Plot, Series, draw_histogram, draw_plot, empty_figure
from visionzoo.structures.arrays import as_array
from visionzoo.structures.graph_results import Frame, GraphSample
from visionzoo.structures.image_size import size_of_file
from visionzoo.structures.lane_files import tusimple_record
from visionzoo.structures.lanes import Lanes, lanes_of
from visionzoo.structures.seeded import seeded_array
from visionzoo.tasks._base import ResultFile, ResultLines, Task
from visionzoo.tasks._goals import Fed, Goal, label_of
from visionzoo.tasks._truth import part_of, true_map
from visionzoo.tasks.inputs.images import ImageInput

if TYPE_CHECKING:
    from torch import Tensor

    from visionzoo.metrics.lanes import LaneCounts, OneToOne, TuSimpleScores

_TUSIMPLE_HEIGHT, _TUSIMPLE_ROWS = 720, range(160, 720, 10)
_LANE_SHIFT = 0.006  # standard deviation in image widths; about the largest shift at which the metrics match a lane
_OF_LANES = ("img_path", "gt_lanes", "gt_x", "h_samples", "scenario")
_LINE_POINTS = 24  # points of a lane over the height of the image, for a lane that is drawn from a map
_SUBPIXELS = 4  # fractional bits: curves are drawn with a precision of 1/16 pixel


def _lines_file(result: Lanes) -> bytes:
    return result.to_culane().encode()


def _tusimple_line(result: Lanes, path: str, size: tuple[int, ...], seconds: float) -> dict[str, Any]:
    """Return one JSON record: the lanes at TuSimple's rows if the image is 720 high, else at the rows of the points."""
    own = sorted({float(y) for lane in result.points for y in lane[:, 1]})
    rows = list(_TUSIMPLE_ROWS) if size[1] == _TUSIMPLE_HEIGHT else own
    return tusimple_record(path, result.to_tusimple(rows), rows, seconds)


_TUSIMPLE_WIDTH = 1280
_IOUS = np.linspace(0.05, 0.95, 19)


class StripEvidence(NamedTuple):
    """Lanes of one image, compared as CULane does.

    Attributes:
        scenario: of the image, or None.
        ious: IoU of each matched pair of lanes, whatever it is.
        detected, annotated: numbers of lanes.
    """

    scenario: str | None
    ious: tuple[float, ...]
    detected: int
    annotated: int

    def counts(self, threshold: float) -> LaneCounts:
        """Return the counts at an IoU threshold."""
        from visionzoo.metrics.lanes import LaneCounts

        right = sum(iou > threshold for iou in self.ious)
        return LaneCounts(right, self.detected - right, self.annotated - right)


class PointEvidence(NamedTuple):
    """Lanes of one image, compared as TuSimple does.

    Attributes:
        scores: numbers of the benchmark.
        counts: lanes that match one to one.
    """

    scores: TuSimpleScores
    counts: OneToOne


class LaneDetection(Task):
    """Task of detecting the lanes of a road. The result is :class:`Lanes`, in pixels of the original image."""

    inputs = ImageInput()
    mark = "lines"
    row = staticmethod(Lanes.to_row)
    selections = ("threshold", "limit")
    counted = ("lane", "lanes")
    files = (ResultFile("lines", "lines", ".lines.txt", _lines_file),)
    lines = ResultLines("tusimple.json", _tusimple_line)
    save_best = {"culane/F1": "greater", "tusimple/accuracy": "greater", "tusimple/F1": "greater"}
    lower_is_better = ("FP", "FP/*", "FN")
    error_text = "1 less the F1 of the lanes of the image"

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

    def goal(self, fed: Fed, target: str | None, names: Sequence[str] | None) -> Goal:
        """Return the sum of a lane's logits where it is the best class; where it is nowhere, its logit of existence.

        The target is a slot from 0, as in the results; by default that of the surest lane.
        """
        logits, exist = (values[0] for values in fed.raw())
        slot = int(exist.detach().argmax()) if target is None else label_of(target, None, len(exist), "lane slot")
        logits = fed.inside(logits)
        is_lane = logits.argmax(0) == slot + 1  # class 0 is the background
        pixels = int(is_lane.sum())
        if not pixels:
            return Goal(exist[slot], f"logit of existence of lane slot {slot}, which is nowhere in the map", f"{slot}")
        said = f"logits of lane slot {slot}, summed over {counted(pixels, 'pixel')}"
        return Goal(logits[slot + 1][is_lane].sum(), said, f"{slot}", is_lane)

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_lanes(image, result, scale)

    def evidence(self, sample: Any, names: Sequence[str] | None) -> StripEvidence | PointEvidence | None:
        """Return how lanes match, by TuSimple's rules if the truth has rows, else by CULane's; None without truth.

        Tolerances are in proportion to the width of the image: 20 of 1280 pixels, and strips of 30 of 1640.
        """
        from visionzoo.metrics.lanes.culane import SIZE
        from visionzoo.metrics.lanes.tusimple import PIXELS

        size = (sample.get("ori_shape") or SIZE[::-1])[:2]
        if sample.get("gt_x") is not None and sample.get("h_samples") is not None:
            return _point_evidence(sample, PIXELS * size[1] / _TUSIMPLE_WIDTH)
        return None if sample.get("gt_lanes") is None else _strip_evidence(sample, (int(size[1]), int(size[0])))

    def figures(
        self, records: Sequence[StripEvidence | PointEvidence], names: Sequence[str] | None
    ) -> list[Figure | Draft]:
        """Return F1 over the IoU with a table of scenarios, or the accuracy of the images, as the truth allows."""
        strips = [each for each in records if isinstance(each, StripEvidence)]
        points = [each for each in records if isinstance(each, PointEvidence)]
        if not records:
            return [empty_figure("lanes", "Lanes", "No image was tested with its lanes.")]
        f1 = [Draft("F1 over the IoU of lanes", partial(_f1_figure, strips))] if strips else []
        accuracy = [Draft("Accuracy of the images", partial(_accuracy_figure, points))] if points else []
        return [*f1, *accuracy]

    def error(self, sample: Any, names: Sequence[str] | None) -> float | None:
        """Return 1 less the F1 of the image; 0 if it has no lane and none is found."""
        from visionzoo.metrics.lanes.culane import THRESHOLD

        found = self.evidence(sample, names)
        if found is None:
            return None
        counts = found.counts if isinstance(found, PointEvidence) else found.counts(THRESHOLD)
        return 1 - counts.f1 if counts.tp + counts.fp + counts.fn else 0.0

    def truth(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Lanes | None:
        """Return the true lanes: the middle lines of ``gt_map``, which follows the image, else the points."""
        mask, points = part_of(sample, "gt_map"), part_of(sample, "gt_lanes")
        if mask is None and points is None:
            return None
        if mask is not None:
            found = _middle_lines(true_map(mask, size))
            return Lanes(tuple(found.values()), (1.0,) * len(found), tuple(found), are_true=True)
        lanes = [as_array(lane, np.float64).reshape(-1, 2) for lane in points or ()]
        upward = [lane[np.argsort(-lane[:, 1], kind="stable")] for lane in lanes if len(lane)]
        return replace(lanes_of({"pred_lanes": upward}), are_true=True)

    def examined(
        self, record: Mapping[str, Any], size: tuple[int, int] | None, names: Sequence[str] | None
    ) -> Examined:
        from visionzoo.datasets.lanes.issues import examined_lanes

        return examined_lanes(record, size)

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


def _middle_lines(mask: np.ndarray) -> dict[int, np.ndarray]:
    """Return the middle line, (n, 2) from the bottom to the top, of each lane of a map by its slot."""
    lines = {}
    step = max(1, len(mask) // _LINE_POINTS)
    for number in np.unique(mask[mask > 0]).tolist():
        is_lane = mask == number
        rows = np.flatnonzero(is_lane.any(axis=1))
        kept = rows[::-1][::step] if len(rows) > 2 * step else rows[::-1]
        lines[int(number) - 1] = np.array([[np.flatnonzero(is_lane[row]).mean(), row] for row in kept], np.float64)
    return lines


def draw_lanes(image: np.ndarray, found: Lanes, scale: int = 1) -> np.ndarray:
    """Draw a polyline for each lane, a dot at each point, and the slot and score near the lowest point.

    Args:
        image: (H, W, 3) uint8 RGB, of the size to which the points refer. The array is not changed.
        found: the lanes to draw. Lanes of the same slot have the same colour in every image. The scores of a truth are
            not written.
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
    pairs = zip(found.slots, found.scores)
    texts = [f"{slot}" if found.are_true else f"{slot}: {score:.2f}" for slot, score in pairs]
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


def _strip_evidence(sample: Any, size: tuple[int, int]) -> StripEvidence:
    from visionzoo.metrics.lanes.culane import LANE_WIDTH, SIZE, lane_iou, match_lanes

    truth, found = [as_array(lane) for lane in sample.get("gt_lanes")], lanes_of(sample).points
    width = max(1, round(LANE_WIDTH * size[0] / SIZE[0]))
    similarity = lane_iou(truth, found, size=size, width=width)
    pairs = enumerate(match_lanes(similarity))
    ious = tuple(float(similarity[row, column]) for row, column in pairs if column >= 0)
    return StripEvidence(sample.get("scenario"), ious, len(found), len(truth))


def _point_evidence(sample: Any, pixels: float) -> PointEvidence:
    from visionzoo.metrics.lanes.tusimple import one_to_one, tusimple_scores

    rows = list(sample.get("h_samples"))
    lanes, truth = lanes_of(sample).to_tusimple(rows), as_array(sample.get("gt_x")).tolist()
    scores = tusimple_scores(lanes, truth, rows, pixels=pixels)
    return PointEvidence(scores, one_to_one(lanes, truth, rows, pixels=pixels))


def _f1_figure(records: Sequence[StripEvidence]) -> Figure:
    from visionzoo.metrics.lanes import LaneCounts
    from visionzoo.metrics.lanes.culane import LANE_WIDTH, SIZE, THRESHOLD
    from visionzoo.metrics.lanes.scenarios import scenario_sums

    sums = [sum((each.counts(float(iou)) for each in records), LaneCounts()) for iou in _IOUS]
    total = sum((each.counts(THRESHOLD) for each in records), LaneCounts())
    curves = {
        "F1": [each.f1 for each in sums],
        "precision": [each.precision if each.precision >= 0 else np.nan for each in sums],
        "recall": [each.recall if each.recall >= 0 else np.nan for each in sums],
    }
    series = [Series(name, _IOUS, values) for name, values in curves.items()]
    ring = (THRESHOLD, total.f1, f"F1 {total.f1:.3f} at IoU {THRESHOLD:g}")
    title = "F1 over the IoU of lanes"
    image = draw_plot(Plot(title, "IoU above which a lane is found", "share", series, UNIT, UNIT, ring))
    strict = sum((each.counts(0.75) for each in records), LaneCounts()).f1
    caption = (
        f"{counted(len(records), 'image')}, lanes as strips of {LANE_WIDTH} of {SIZE[0]} pixels as in CULane. F1 is "
        f"{total.f1:.3f} at IoU {THRESHOLD:g} and {strict:.3f} at 0.75."
    )
    scenarios = scenario_sums((each.scenario, each.counts(THRESHOLD)) for each in records)
    rows = [_scenario_row(name, counts) for name, counts in [*scenarios.items(), ("all", total)]]
    return Figure("f1", title, image, caption, ("scenario", "F1", "precision", "recall", "TP", "FP", "FN"), rows)


def _scenario_row(name: str, counts: LaneCounts) -> tuple[str, ...]:
    """Return a row of the table; ``-`` for what is not defined without annotated lanes."""
    known = counts.tp + counts.fn > 0
    shares = (counts.f1, counts.precision, counts.recall)
    texts = [f"{share:.4f}" if known and share >= 0 else "-" for share in shares]
    return name, *texts, f"{counts.tp}", f"{counts.fp}", f"{counts.fn}"


def _accuracy_figure(records: Sequence[PointEvidence]) -> Figure:
    from visionzoo.metrics.lanes import OneToOne

    means = [exact_mean(column) for column in zip(*(each.scores for each in records), strict=True)]
    accuracies = np.array([each.scores.accuracy for each in records])
    f1 = sum((each.counts for each in records), OneToOne()).f1
    title = "Accuracy of the images"
    image = draw_histogram(title, "share of points of the lanes that are found", accuracies, np.linspace(0, 1, 21))
    caption = (
        f"Accuracy of {counted(len(records), 'image')} as in TuSimple. The mean is {means[0]:.4f}, with "
        f"{means[1]:.4f} false positives and {means[2]:.4f} false negatives; F1 is {f1:.4f}."
    )
    return Figure("accuracy", title, image, caption)
