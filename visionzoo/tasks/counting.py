"""Counting: the number of people in an image, and a density map of their positions."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from visionzoo.datasets.issues import Examined, Issue, issue_of, point_issues
from visionzoo.errors import ZooError, counted
from visionzoo.metrics.required import sample_name
from visionzoo.ops.density_maps import count_map, fixed_density
from visionzoo.reports.agreement import draw_agreement, draw_errors
from visionzoo.reports.figure import Draft, Figure
from visionzoo.reports.images import enlarged, label_font, letter_height, write_labels
from visionzoo.reports.plots import empty_figure
from visionzoo.structures.arrays import as_array
from visionzoo.structures.counts import CrowdCount, count_of
from visionzoo.structures.graph_results import Frame, GraphSample
from visionzoo.structures.image_size import size_of_file
from visionzoo.structures.seeded import seeded_array
from visionzoo.tasks._base import ResultFile, Task
from visionzoo.tasks._goals import Fed, Goal, refuse_target
from visionzoo.tasks._tally import Tally
from visionzoo.tasks._truth import part_of
from visionzoo.tasks.inputs.images import ImageInput

if TYPE_CHECKING:
    from torch import Tensor

_DARKEST_HEAT = 0.25  # part of the colour table that is skipped: it is black and invisible on a dark image
_HEAT_OPACITY = 0.85
# The hottest colour represents at least the density of this number of people, spread over the whole image.
_LEAST_HEAT = 20
_SPOTS = 96  # a point without a density is drawn with this part of the shorter side as standard deviation
_DENSITY_TOLERANCE = 0.01  # share of the points by which the sum of a density may differ
_STRIP = 256  # rows that are coloured at a time; this limits the memory for float values of large images


def _density_file(result: CrowdCount) -> bytes:
    file = io.BytesIO()
    np.save(file, result.density)
    return file.getvalue()


class Counting(Task):
    """Task of counting people. The result is :class:`CrowdCount`, a count with its density map."""

    inputs = ImageInput()
    mark = "heat"
    selections = ()
    row = staticmethod(CrowdCount.to_row)
    files = (ResultFile("density", "raw", ".npy", _density_file),)
    save_best = {"count/MAE": "less"}
    lower_is_better = ("MAE*", "RMSE*", "NAE*", "GAME*")
    unranked = ("images",)
    error_text = "the difference of the predicted and the true count, without its sign"

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> CrowdCount:
        return count_of(sample, (size[0], size[1]))

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        rows, columns = frame.last_cells(outputs["density"].shape)
        return GraphSample(pred_density=outputs["density"][:rows, :columns].copy(), pred_count=outputs["count"])

    def goal(self, fed: Fed, target: str | None, names: Sequence[str] | None) -> Goal:
        """Return the count: the sum of the density over the image without padding."""
        import torch

        from visionzoo.layers.density import pixels_inside

        refuse_target(fed.task, target, "the count")
        raw = fed.raw()
        density = (raw["maps"] if isinstance(raw, Mapping) else raw)[0, -1] / fed.head.log_para
        sizes = torch.tensor([fed.size], device=density.device)
        return Goal((density * pixels_inside(density.shape, fed.inputs.shape[2:], sizes)[0]).sum(), "count")

    def brief(self, result: CrowdCount) -> str:
        """Return the count."""
        return f"{result.count:.1f}"

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_count(image, result, scale)

    def truth(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> CrowdCount | None:
        """Return the true count and density; without ``gt_density``, each of ``gt_points`` is a spot of equal size."""
        density, points = part_of(sample, "gt_density"), part_of(sample, "gt_points")
        count = part_of(sample, "gt_count")
        if points is None and (density is None or count is None):
            return None
        plane = (size[0], size[1])
        number = float(as_array(count, single=True)) if points is None else float(len(points))
        if density is None:
            return CrowdCount(number, _spots(as_array(points, np.float64), plane), plane)
        cells = as_array(density, np.float32, single=True)
        return CrowdCount(number, cells[0] if cells.ndim == 3 else cells, plane)

    def examined(
        self, record: Mapping[str, Any], size: tuple[int, int] | None, names: Sequence[str] | None
    ) -> Examined:
        from visionzoo.datasets.counting.usable import touching_points

        place = f"{record['img_path']}"
        if "gt_points" not in record:
            return Examined(has_truth=None)
        points = np.asarray(record["gt_points"], np.float64).reshape(-1, 2)
        issues = [*point_issues(points, size, place), *touching_points(points, place)]
        if "density_path" in record:
            issues += _density_issues(record["density_path"], points, size)
        return Examined(issues, has_truth=len(points) > 0)

    def tally(self, result: CrowdCount, best: float | None) -> Tally:
        """Add the counts. The best value is the highest count."""
        return Tally({"count": result.count}, result.count)

    def summary(self, tally: Tally, inputs: int, threshold: str) -> str:
        """Return the sum and the highest of all counts."""
        return f"count: {tally.sums['count']:.1f} in {inputs} {self.inputs.nouns}, at most {tally.best:.1f} in one"

    def evidence(self, sample: Any, names: Sequence[str] | None) -> tuple[float, float] | None:
        """Return the predicted and the true count; None for a sample without truth."""
        from visionzoo.metrics.counting.adapter import counts_of_sample

        if sample.get("gt_points") is None and sample.get("gt_count") is None:
            return None
        return counts_of_sample(sample, sample_name(sample, 0))

    def figures(self, records: Sequence[tuple[float, float]], names: Sequence[str] | None) -> list[Figure | Draft]:
        """Return predicted over true counts, and errors over true counts."""
        counts = np.array(records, dtype=np.float64).reshape(-1, 2)
        known = counts[np.isfinite(counts).all(axis=1)]
        if not len(known):
            return [empty_figure("counts", "Predicted over true count", "No image was tested with its count.")]
        lost = len(counts) - len(known)
        rest = f" Not drawn: {counted(lost, 'image')} with a count that is not finite." if lost else ""
        return [
            Draft("Predicted over true count", partial(_agreement, known, rest)),
            Draft("Error over true count", partial(_errors, known, rest)),
        ]

    def error(self, sample: Any, names: Sequence[str] | None) -> float | None:
        """Return the difference of both counts without its sign."""
        counts = self.evidence(sample, names)
        return None if counts is None or not np.isfinite(counts).all() else abs(counts[0] - counts[1])

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Move the density of all people two pixels to the right, and multiply it by a random factor near 1."""
        from visionzoo.datasets.transforms.counting import LoadRoi

        shape = size_of_file(sample["img_path"])[::-1]
        factor = 1 + 0.2 * float(seeded_array(seed, f"count {index}", (1,))[0])
        density = factor * np.roll(count_map(sample["gt_points"], shape), 2, axis=1)
        shaken = {**sample, "ori_shape": shape, "pred_density": density, "pred_count": float(density.sum())}
        return LoadRoi()(shaken) if "roi_path" in sample else shaken

    def scores(self, samples: Sequence[Any]) -> Tensor:
        import torch

        return torch.stack([sample.pred_count for sample in samples])


def _density_issues(path: str, points: np.ndarray, size: tuple[int, int] | None) -> Iterator[Issue]:
    """Yield what is wrong with a density file beside its points."""
    from visionzoo.datasets.transforms.counting import read_density

    try:
        density = read_density(Path(path))
    except ZooError as error:
        yield issue_of(error, "density files that cannot be read")
        return
    total = float(density.sum(dtype=np.float64))
    if size is not None and density.shape != size[::-1]:
        found = f"{density.shape[1]}x{density.shape[0]} for an image of {size[0]}x{size[1]}"
        yield Issue("densities of another size than their image", f"{path}", found, "make them again")
    if abs(total - len(points)) > max(0.5, _DENSITY_TOLERANCE * len(points)):
        found = f"sum {total:.2f}, {len(points)} points"
        yield Issue("densities whose sum is not the number of points", f"{path}", found, "make them again")


def _spots(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a density, (H, W) float32, with a Gaussian spot for each point (N, 2) in or near the image."""
    sigma = max(1.5, min(size) / _SPOTS)
    return fixed_density(points, size[::-1], sigma=sigma, size=2 * round(2 * sigma) + 1)


def draw_count(image: np.ndarray, found: CrowdCount, scale: int = 1) -> np.ndarray:
    """Draw the density as a heat map over the paler image, and the count in large letters.

    Args:
        image: (H, W, 3) uint8 RGB, to which the density refers. The array is not changed.
        found: the count to draw. The densest place has the hottest colour, except in nearly empty images.
        scale: factor by which the image is enlarged, >= 1; see
            :func:`visionzoo.reports.images.scale_to_read`.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.

    Example:
        >>> count = count_of({"pred_count": 3.0, "pred_density": np.ones((4, 6)) / 8}, (48, 32))
        >>> draw_count(np.zeros((32, 48, 3), np.uint8), count).shape
        (32, 48, 3)
    """
    image = enlarged(image, scale)
    heat = _heat(found.density, image.shape[1], image.shape[0])
    canvas = np.empty_like(image)
    for top in range(0, len(image), _STRIP):
        rows = slice(top, top + _STRIP)
        canvas[rows] = _heated(image[rows], heat[rows])
    drawing = Image.fromarray(canvas)
    font = label_font(2 * letter_height(canvas))
    whole = np.array([0, 0, drawing.width - 1, drawing.height - 1])  # the first free corner of the image
    write_labels(ImageDraw.Draw(drawing), [(f"{found.count:.1f}", (255, 255, 255), whole)], font, drawing.size)
    return np.asarray(drawing).copy()


def _heat(density: np.ndarray, width: int, height: int) -> np.ndarray:
    """Interpolate people per cell, (h, w), to (height, width) float32 in [0, 1]; 1 is the densest place."""
    cells = np.clip(density, 0, None).astype(np.float32)
    highest = max(float(cells.max(initial=0)), _LEAST_HEAT / cells.size)
    return cv2.resize(cells / highest, (width, height), interpolation=cv2.INTER_LINEAR)


def _heated(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Mix the image, (H, W, 3) uint8, with grey in equal parts, and blend it with its heat, (H, W) in [0, 1]."""
    opacity = (_HEAT_OPACITY * np.sqrt(heat))[..., None]
    paler = 0.5 * (image + image.mean(axis=2, keepdims=True, dtype=np.float32))
    return (paler * (1 - opacity) + _heat_colours(heat) * opacity).astype(np.uint8)


def _heat_colours(heat: np.ndarray) -> np.ndarray:
    """Map values in [0, 1], (H, W), to colours, (H, W, 3) uint8 RGB."""
    shades = np.round(255 * (_DARKEST_HEAT + (1 - _DARKEST_HEAT) * heat)).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(shades, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def _agreement(counts: np.ndarray, lost: str) -> Figure:
    """Return the figure of predicted and true counts, (N, 2)."""
    from visionzoo.metrics.counting import count_errors

    predicted, true = counts.T
    errors, bias = count_errors(predicted, true), float((predicted - true).mean())
    side = "more" if bias > 0 else "less"
    caption = (
        f"{counted(len(counts), 'image')}; on the dashed line both counts are equal. MAE is {errors.mae:.2f}, RMSE "
        f"{errors.rmse:.2f}; the model counts {abs(bias):.2f} {side} than the truth on average.{lost}"
    )
    title = "Predicted over true count"
    return Figure("counts", title, draw_agreement(title, true, predicted), caption)


def _errors(counts: np.ndarray, lost: str) -> Figure:
    predicted, true = counts.T
    columns = "true count", "images", "mean true count", "MAE", "bias"
    title = "Error over true count"
    caption = f"Predicted less true count of each image; the table has the images in groups of about equal size.{lost}"
    return Figure("count_errors", title, draw_errors(title, true, predicted - true), caption, columns, _rows(counts))


def _rows(counts: np.ndarray) -> list[tuple[str, ...]]:
    """Return a row for each of at most five groups of images of similar true counts."""
    order = np.argsort(counts[:, 1], kind="stable")
    rows: list[tuple[str, ...]] = []
    for group in np.array_split(counts[order], min(5, len(counts))):
        predicted, true = group.T
        span = f"{true[0]:g} to {true[-1]:g}"
        bias = (predicted - true).mean()
        rows.append(
            (span, f"{len(group)}", f"{true.mean():.1f}", f"{np.abs(predicted - true).mean():.2f}", f"{bias:+.2f}")
        )
    return rows
