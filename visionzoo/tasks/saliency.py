"""Saliency: a map of the pixels that stand out."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from visionzoo.datasets.mask_files import read_grey
from visionzoo.reports.images import class_colour, edge_of, enlarged, line_width
from visionzoo.structures.graph_results import Frame, GraphSample, resized
from visionzoo.structures.saliency_maps import SaliencyMap, saliency_map_of
from visionzoo.structures.seeded import seeded_array
from visionzoo.tasks._base import ResultFile, Task
from visionzoo.tasks._tally import Tally
from visionzoo.tasks.inputs.images import ImageInput

if TYPE_CHECKING:
    from torch import Tensor

_MAP_OPACITY = 0.6


def _map_file(result: SaliencyMap) -> bytes:
    file = io.BytesIO()
    Image.fromarray(result.to_grey()).save(file, format="PNG")
    return file.getvalue()


class Saliency(Task):
    """Task of finding the salient objects of one image. The result is :class:`SaliencyMap`."""

    inputs = ImageInput()
    row = staticmethod(SaliencyMap.to_json)
    files = (ResultFile("map", "raw", ".png", _map_file),)
    save_best = {"sal/Fmeasure_max": "greater", "sal/Smeasure": "greater", "sal/MAE": "less"}

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> SaliencyMap:
        return saliency_map_of(sample.pred_map, sample.get("pred_mask"))

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        soft, hard = (resized(frame.without_padding(outputs[name]), frame.original) for name in ("map", "mask"))
        return GraphSample(pred_map=soft.clip(0, 1), pred_mask=hard >= 0.5)

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_saliency(image, result, scale)

    def tally(self, result: SaliencyMap, best: float | None) -> Tally:
        """Count an empty mask. The best value is the highest value of the maps with an empty mask."""
        return Tally() if result.mask.any() else Tally({"empty": 1}, float(result.map.max(initial=0)))

    def summary(self, tally: Tally, inputs: int, threshold: str) -> str:
        """Return how many images have a mask, and the highest value of the maps without one."""
        having, images = inputs - int(tally.sums.get("empty", 0)), f"{inputs} {self.inputs.nouns}"
        if having == inputs:
            return f"a mask in {having} of {images}"
        which = f"a mask in {having} of {images}; the other masks are" if having else f"the masks of {images} are all"
        return (
            f"{which} empty; the highest value of their maps is {tally.best:.3g} (a --threshold below it gives masks)"
        )

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        return shaken_map(sample, index, seed)

    def scores(self, samples: Sequence[Any]) -> Tensor:
        import torch

        return torch.stack([sample.pred_map.mean() for sample in samples])


def draw_saliency(image: np.ndarray, found: SaliencyMap, scale: int = 1) -> np.ndarray:
    """Colour the image where the map is high, and draw a line around the mask.

    Args:
        image: (H, W, 3) uint8 RGB, of the map's size. The array is not changed.
        found: the map and mask to draw.
        scale: factor by which the image is enlarged, >= 1; see
            :func:`visionzoo.reports.images.scale_to_read`.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.

    Example:
        >>> saliency = saliency_map_of(np.ones((1, 32, 48)), None)
        >>> draw_saliency(np.zeros((32, 48, 3), np.uint8), saliency, scale=2).shape
        (64, 96, 3)
    """
    colour = np.array(class_colour(0), dtype=float)
    opacity = _MAP_OPACITY * enlarged(found.map[..., None], scale)
    canvas = (enlarged(image, scale) * (1 - opacity) + colour * opacity).astype(np.uint8)
    mask = enlarged(found.mask, scale)
    for width in range(2 * line_width(canvas)):
        edge = edge_of(mask)
        canvas[edge] = colour.astype(np.uint8) if width % 2 == 0 else 0
        mask = mask & ~edge
    return canvas


def shaken_map(image: Mapping[str, Any], index: int, seed: int) -> dict[str, Any]:
    """Return the true mask as a noisy map, moved two pixels to the right; every fourth map is inverted."""
    truth = read_grey(image["gt_path"])
    moved = 0.2 + 0.6 * np.roll(truth, 2, axis=1) / 255
    noisy = (1 - moved if index % 4 == 3 else moved) + 0.1 * seeded_array(seed, f"map {index}", truth.shape)
    return {"img_path": image["img_path"], "gt_map": truth, "pred_map": np.clip(noisy, 0, 1).astype(np.float32)}
