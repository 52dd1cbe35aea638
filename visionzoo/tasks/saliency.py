"""Saliency: a map of the pixels that stand out."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from visionzoo.datasets.issues import Examined, Issue, issue_of
from visionzoo.datasets.mask_files import SALIENT_FROM, read_grey, read_mask
from visionzoo.errors import ConfigError, DataError, counted
from visionzoo.metrics.means import exact_mean
from visionzoo.metrics.required import sample_name
from visionzoo.reports.figure import Draft, Figure
from visionzoo.reports.images import class_colour, draw_outline, enlarged
from visionzoo.reports.plots import UNIT, Plot, Series, draw_histogram, draw_plot, empty_figure, round_edges
from visionzoo.reports.precision_recall import draw_thresholds
from visionzoo.structures.arrays import as_array
from visionzoo.structures.graph_results import Frame, GraphSample, resized
from visionzoo.structures.saliency_maps import SaliencyMap, saliency_map_of
from visionzoo.structures.seeded import seeded_array
from visionzoo.tasks._base import ResultFile, Task
from visionzoo.tasks._goals import Fed, Goal, log_odds, mean_inside, refuse_target
from visionzoo.tasks._tally import Tally
from visionzoo.tasks._truth import true_mask
from visionzoo.tasks.inputs.images import ImageInput

if TYPE_CHECKING:
    from torch import Tensor

_MAP_OPACITY = 0.6
_GRADED = 0.05  # share of grey pixels from which a mask is named


def _map_file(result: SaliencyMap) -> bytes:
    file = io.BytesIO()
    Image.fromarray(result.to_grey()).save(file, format="PNG")
    return file.getvalue()


class MapEvidence(NamedTuple):
    """One tested image.

    Attributes:
        mae: mean absolute error of its map.
        precision, recall: (T,) float32, over the thresholds of the protocol.
    """

    mae: float
    precision: np.ndarray
    recall: np.ndarray


class Saliency(Task):
    """Task of finding the salient objects of one image. The result is :class:`SaliencyMap`.

    Attributes:
        protocol: protocol of the figures of a report, see :mod:`visionzoo.metrics.saliency`.
    """

    protocol: ClassVar[str] = "pysod"

    inputs = ImageInput()
    mark = "region"
    row = staticmethod(SaliencyMap.to_json)
    files = (ResultFile("map", "raw", ".png", _map_file),)
    save_best = {"sal/Fmeasure_max": "greater", "sal/Smeasure": "greater", "sal/MAE": "less"}
    lower_is_better = ("MAE*",)
    unranked = ("images", "*_undefined")
    error_text = "the mean absolute error of the map, from 0 to 1"

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> SaliencyMap:
        return saliency_map_of(sample.pred_map, sample.get("pred_mask"))

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        soft, hard = (resized(frame.without_padding(outputs[name]), frame.original) for name in ("map", "mask"))
        return GraphSample(pred_map=soft.clip(0, 1), pred_mask=hard >= 0.5)

    def goal(self, fed: Fed, target: str | None, names: Sequence[str] | None) -> Goal:
        """Return the mean log-odds of the map over the salient region, summed over the images of a group."""
        refuse_target(fed.task, target, "the salient region")
        maps, masks, kind = _values_of(fed)
        values, regions = zip(*map(mean_inside, maps, masks), strict=True)
        which = f"the salient regions of {len(maps)} images" if len(maps) > 1 else f"the salient region, {regions[0]}"
        return Goal(sum(values[1:], values[0]), f"mean {kind} of {which}", region=masks)

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_saliency(image, result, scale)

    def truth(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> SaliencyMap | None:
        """Return the true map and mask of one image; see ``members`` for a group."""
        found = true_mask(sample, size, SALIENT_FROM)
        return None if found is None else SaliencyMap(*found)

    def examined(
        self, record: Mapping[str, Any], size: tuple[int, int] | None, names: Sequence[str] | None
    ) -> Examined:
        return examined_mask(record.get("gt_path"), record["img_path"], size)

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

    def evidence(self, sample: Any, names: Sequence[str] | None) -> list[MapEvidence] | None:
        """Return precision, recall and MAE of each image of the sample; None for a sample without truth."""
        if sample.get("gt_map") is None:
            return None
        pairs = _pairs(sample.get("pred_map"), sample.get("gt_map"))
        return [_evidence_of(*pair, self.protocol, sample_name(sample, 0)) for pair in pairs]

    def figures(self, records: Sequence[list[MapEvidence]], names: Sequence[str] | None) -> list[Figure | Draft]:
        """Return precision over recall, F over the threshold, and the MAE of the images."""
        images = [image for record in records for image in record]
        return _figures(images, self.protocol)

    def error(self, sample: Any, names: Sequence[str] | None) -> float | None:
        """Return the mean absolute error of the map; of a group the mean over its images."""
        images = self.evidence(sample, names)
        return exact_mean(each.mae for each in images) if images else None

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        return shaken_map(sample, index, seed)

    def scores(self, samples: Sequence[Any]) -> Tensor:
        import torch

        return torch.stack([sample.pred_map.mean() for sample in samples])


def _values_of(fed: Fed) -> tuple[Tensor, Tensor, str]:
    """Return log-odds or margins, and masks, of the images without padding, (N, H, W), and which of both they are."""
    head = fed.head
    if hasattr(head, "margins"):
        margins = fed.inside(fed.run("margins"))[:, 0]
        return margins, margins >= 0, "margin"
    raw = fed.inside(fed.raw())
    maps, masks = head.maps_of(raw.sigmoid()) if hasattr(head, "maps_of") else (raw, raw >= 0.5)
    if not maps.is_floating_point():
        found = "a map of 0 and 1, which has no gradient"
        advice = "use --cfg-options model.head.pair=product"
        raise ConfigError(f"{fed.task}", expected="a map of probabilities", found=found, advice=advice)
    return log_odds(maps.amax(1)), masks.any(1), "log-odds"


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
    draw_outline(canvas, enlarged(found.mask, scale), class_colour(0))
    return canvas


def examined_mask(path: str | None, image: str, size: tuple[int, int] | None) -> Examined:
    """Return the issues of a mask in a file.

    Args:
        path: the mask; None for an image without one.
        image: its image.
        size: (width, height) of the image; None if it is not known.
    """
    if path is None:
        return Examined(has_truth=None)
    try:
        grey = read_grey(path) if size is None else read_mask(path, size[::-1], image)
    except DataError as error:
        return Examined([issue_of(error, "masks that cannot be used", f"{path}")])
    salient = grey > SALIENT_FROM
    if not salient.any():
        high = int(grey.max(initial=0))
        advice = f"check how it was exported; levels above {SALIENT_FROM} are the object"
        found = f"the largest level is {high}"
        issue = Issue("masks without a pixel of the object", f"{path}", found, advice, is_note=not high)
        return Examined([issue], has_truth=False)
    if salient.all():
        advice = "invert the mask if the object is black in it"
        return Examined([Issue("masks that are the object everywhere", f"{path}", "no background", advice)])
    graded = float(((grey > 0) & (grey < 255)).mean())
    notes = [Issue("masks with grey levels", f"{path}", f"{graded:.1%} of the pixels", is_note=True)]
    return Examined(notes if graded > _GRADED else [])


def shaken_map(image: Mapping[str, Any], index: int, seed: int) -> dict[str, Any]:
    """Return the true mask as a noisy map, moved two pixels to the right; every fourth map is inverted."""
    truth = read_grey(image["gt_path"])
    moved = 0.2 + 0.6 * np.roll(truth, 2, axis=1) / 255
    noisy = (1 - moved if index % 4 == 3 else moved) + 0.1 * seeded_array(seed, f"map {index}", truth.shape)
    return {"img_path": image["img_path"], "gt_map": truth, "pred_map": np.clip(noisy, 0, 1).astype(np.float32)}


def _pairs(maps: Any, truths: Any) -> list[tuple[Any, Any]]:
    """Return predicted and true map of each image of a sample, which is one image or a group."""
    return list(zip(maps, truths, strict=True)) if isinstance(maps, list) else [(maps, truths)]


def _evidence_of(prediction: Any, truth: Any, protocol: str, name: str) -> MapEvidence:
    from visionzoo.metrics.saliency import score_pair

    values = as_array(prediction)
    if values.dtype.kind == "f" and np.isnan(values).any():
        return MapEvidence(float("nan"), np.zeros(0, np.float32), np.zeros(0, np.float32))
    scores = score_pair(values, truth, protocol, ("MAE", "PR"), where=name)
    precision, recall = (scores.curves[each].astype(np.float32) for each in ("precision", "recall"))
    return MapEvidence(scores.numbers["MAE"], precision, recall)


def _figures(images: Sequence[MapEvidence], protocol: str) -> list[Figure | Draft]:
    from visionzoo.metrics.saliency.measures import f_measure

    known = [each for each in images if each.mae == each.mae]
    if not known:
        sentence = "No image was tested with its mask." if not images else "All maps have nan."
        return [empty_figure("precision_recall", "Precision over recall", sentence)]
    precision, recall = (np.stack([each[column] for each in known]).astype(np.float64) for column in (1, 2))
    lost = len(images) - len(known)
    rest = f" Not drawn: {counted(lost, 'image')} with nan in the map." if lost else ""
    means = precision.mean(axis=0), recall.mean(axis=0)
    f_means, errors = f_measure(precision, recall).mean(axis=0), np.array([each.mae for each in known])
    return [
        Draft("Precision over recall", partial(_precision_recall, *means, len(known), protocol, rest)),
        Draft("F over the threshold", partial(_f_curve, f_means, precision, recall, protocol, rest)),
        Draft("MAE of the images", partial(_mae, errors, protocol, rest)),
    ]


def _precision_recall(precision: np.ndarray, recall: np.ndarray, images: int, protocol: str, rest: str) -> Figure:
    from visionzoo.metrics.saliency.measures import f_measure

    title = "Precision over recall"
    plot = Plot(title, "recall", "precision", [Series("mean", recall, precision)], UNIT, UNIT)
    best = float(f_measure(precision, recall).max())
    caption = (
        f"Mean precision and recall of {counted(images, 'image')} over {len(precision)} thresholds, "
        f"protocol {protocol}. The highest F of this curve is {best:.3f}.{rest}"
    )
    return Figure("precision_recall", title, draw_plot(plot), caption)


def _f_curve(curve: np.ndarray, precision: np.ndarray, recall: np.ndarray, protocol: str, rest: str) -> Figure:
    from visionzoo.metrics.saliency.protocols import find_protocol

    thresholds = np.linspace(0, 1, len(curve))
    levels = find_protocol(protocol).steps(0, 255)  # descending or ascending
    ascending = slice(None, None, 1 if levels[0] < levels[-1] else -1)
    curve, shares = curve[ascending], [each.mean(axis=0)[ascending] for each in (precision, recall)]
    best = int(curve.argmax())
    title, ring = "F over the threshold", (thresholds[best], curve[best])
    shown = [("precision", shares[0]), ("recall", shares[1]), ("F", curve)]
    text = f"best F {ring[1]:.3f} at {ring[0]:.2f}"
    image = draw_thresholds(title, "threshold of the map", thresholds, shown, (*ring, text))
    caption = (
        f"Mean F (beta squared 0.3), precision and recall over the threshold, protocol {protocol}. "
        f"The highest mean F is {ring[1]:.3f}, at {ring[0]:.2f}; the mean over the thresholds is "
        f"{curve.mean():.3f}.{rest}"
    )
    return Figure("f_measure", title, image, caption)


def _mae(values: np.ndarray, protocol: str, rest: str) -> Figure:
    title = "MAE of the images"
    image = draw_histogram(title, "mean absolute error", values, round_edges(values))
    caption = (
        f"Mean absolute error of {counted(len(values), 'image')}, protocol {protocol}. The mean is "
        f"{exact_mean(values):.4f}, the median {float(np.median(values)):.4f}, the highest {values.max():.4f}.{rest}"
    )
    return Figure("mae", title, image, caption)
