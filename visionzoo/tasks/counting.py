"""Counting: the number of people in an image, and a density map of their positions."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from visionzoo.ops.density_maps import count_map
from visionzoo.reports.images import enlarged, label_font, letter_height, write_labels
from visionzoo.structures.counts import CrowdCount, count_of
from visionzoo.structures.graph_results import Frame, GraphSample
from visionzoo.structures.image_size import size_of_file
from visionzoo.structures.seeded import seeded_array
from visionzoo.tasks._base import ResultFile, Task
from visionzoo.tasks._tally import Tally
from visionzoo.tasks.inputs.images import ImageInput

if TYPE_CHECKING:
    from torch import Tensor

_DARKEST_HEAT = 0.25  # part of the colour table that is skipped: it is black and invisible on a dark image
_HEAT_OPACITY = 0.85
# The hottest colour represents at least the density of this number of people, spread over the whole image.
_LEAST_HEAT = 20
_STRIP = 256  # rows that are coloured at a time; this limits the memory for float values of large images


def _density_file(result: CrowdCount) -> bytes:
    file = io.BytesIO()
    np.save(file, result.density)
    return file.getvalue()


class Counting(Task):
    """Task of counting people. The result is :class:`CrowdCount`, a count with its density map."""

    inputs = ImageInput()
    selections = ()
    row = staticmethod(CrowdCount.to_row)
    files = (ResultFile("density", "raw", ".npy", _density_file),)
    save_best = {"count/MAE": "less"}

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> CrowdCount:
        return count_of(sample, (size[0], size[1]))

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        rows, columns = frame.last_cells(outputs["density"].shape)
        return GraphSample(pred_density=outputs["density"][:rows, :columns].copy(), pred_count=outputs["count"])

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_count(image, result, scale)

    def tally(self, result: CrowdCount, best: float | None) -> Tally:
        """Add the counts. The best value is the highest count."""
        return Tally({"count": result.count}, result.count)

    def summary(self, tally: Tally, inputs: int, threshold: str) -> str:
        """Return the sum and the highest of all counts."""
        return f"count: {tally.sums['count']:.1f} in {inputs} {self.inputs.nouns}, at most {tally.best:.1f} in one"

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Move the density of all people two pixels to the right, and multiply it by a random factor near 1."""
        from visionzoo.datasets.transforms.counting import LoadRoi  # imports torch

        shape = size_of_file(sample["img_path"])[::-1]
        factor = 1 + 0.2 * float(seeded_array(seed, f"count {index}", (1,))[0])
        density = factor * np.roll(count_map(sample["gt_points"], shape), 2, axis=1)
        shaken = {**sample, "ori_shape": shape, "pred_density": density, "pred_count": float(density.sum())}
        return LoadRoi()(shaken) if "roi_path" in sample else shaken

    def scores(self, samples: Sequence[Any]) -> Tensor:
        import torch

        return torch.stack([sample.pred_count for sample in samples])


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
    corner = np.zeros(4)
    write_labels(ImageDraw.Draw(drawing), [(f"{found.count:.1f}", (255, 255, 255), corner)], font, drawing.size)
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
