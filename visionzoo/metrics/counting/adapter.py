"""Counting errors as a metric of mmengine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mmengine.evaluator import BaseMetric

from visionzoo.allowed import GameLevel
from visionzoo.errors import require_known
from visionzoo.metrics.counting.errors import count_errors
from visionzoo.metrics.counting.game import game
from visionzoo.metrics.counting.nwpu import LEVELS, LUMINANCES, errors_by_category, mean_mae
from visionzoo.metrics.meaning import ERROR_SHARE, Meaning
from visionzoo.metrics.means import exact_mean
from visionzoo.metrics.required import required, sample_name
from visionzoo.ops.density_maps import count_map
from visionzoo.registry import METRICS
from visionzoo.structures.arrays import as_array
from visionzoo.structures.counts import count_of
from visionzoo.structures.image_size import require_size

CATEGORIES: dict[str, tuple[str, ...] | None] = {
    "level": LEVELS,
    "luminance": LUMINANCES,
    "scene": None,  # all names in the data
    "weather": None,
}
_METRIC = "CountMetric"


@METRICS.register_module()
class CountMetric(BaseMetric):
    """Errors of predicted counts: ``count/MAE``, ``count/RMSE``, ``count/NAE``.

    Papers on crowd counting call RMSE "MSE". NAE excludes images without people; it is -1 if no image has people.
    ``count/images`` is the number of images.

    The predicted count is ``pred_count``. The true count is the number of ``gt_points``, (N, 2) in the original image's
    pixels, including points outside the image, or ``gt_count`` if the sample has no ``gt_points``.

    With GAME or ``gt_roi``, each sample needs ``gt_points`` and ``pred_density``. The predicted count is then the sum
    of ``pred_density``, and points outside the image are moved to the nearest pixel. With ``gt_roi``, (H, W) of 0 and 1
    in the original image's pixels (TRANCOS), only points and density inside the region are summed.

    The counts of each sample are stored until the evaluation ends. Samplers assign a few samples to two processes, and
    these duplicates are removed before the errors are computed.

    Args:
        game_levels: levels L >= 0 of GAME(L), named ``count/GAME0`` and so on.
        categories: any of ``level``, ``luminance``, ``scene``, ``weather``. Each adds the errors for each value,
            such as ``count/MAE/S0``, ``count/RMSE/L1``, ``count/NAE/S2`` and ``count/MAE/street``. ``level`` and
            ``luminance`` also add the mean over their values, such as ``count/MAE_level``. The errors of a level or
            luminance without images are -1, and a warning is logged. The mean includes this -1, as in NWPU-Crowd's
            evaluation code.
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``count`` in the names.

    Raises:
        ConfigError: one of ``game_levels`` is below 0.
        UnknownName: a category is not one of the above.

    Example:
        >>> metric = CountMetric()
        >>> metric.process(None, [{"pred_count": 12.0, "gt_count": 10}])
        >>> metric.evaluate(size=1)
        {'count/MAE': 2.0, 'count/RMSE': 2.0, 'count/NAE': 0.2, 'count/images': 1.0}
    """

    default_prefix = "count"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {
        "images": Meaning(unit="images"),
        "NAE*": ERROR_SHARE,
        "*": Meaning("lower", "objects per image"),
    }

    def __init__(
        self,
        game_levels: Sequence[GameLevel] = (),
        categories: str | Sequence[str] = (),
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.game_levels = tuple(game_levels)
        self.categories = (categories,) if isinstance(categories, str) else tuple(categories)
        for name in self.categories:
            require_known(name, CATEGORIES, "category of CountMetric")

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch: one dict for each sample, with ground truth and predictions.

        Raises:
            DataError: a sample has no prediction, no ground truth, or no value that GAME, ``gt_roi`` or a category
                requires.
        """
        self.results += [self._numbers(sample) for sample in data_samples]

    def _numbers(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Return the predicted and the true count, GAME for each level, and the categories."""
        name = sample_name(sample, len(self.results))
        required(sample, "pred_count", _METRIC, name)
        labels = {kind: required(sample, kind, _METRIC, name) for kind in self.categories}
        roi = sample.get("gt_roi")
        if not self.game_levels and roi is None:
            return {**dict(zip(("pred", "true"), counts_of_sample(sample, name), strict=True)), "game": [], **labels}
        predicted, true = _maps(sample, None if roi is None else as_array(roi), name)
        errors = [game(predicted, true, level) for level in self.game_levels]
        return {"pred": float(predicted.sum()), "true": float(true.sum()), "game": errors, **labels}

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix; ``*`` stands for any text."""
        levels = [f"GAME{level}" for level in self.game_levels]
        means = [f"MAE_{kind}" for kind in self.categories if CATEGORIES[kind]]
        return [
            "MAE",
            "RMSE",
            "NAE",
            "images",
            *levels,
            *means,
            *(["MAE/*", "RMSE/*", "NAE/*"] if self.categories else []),
        ]

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Compute the numbers from the results of all processes."""
        pred, true = (np.array([result[key] for result in results]) for key in ("pred", "true"))
        errors = count_errors(pred, true)
        numbers = {"MAE": errors.mae, "RMSE": errors.rmse, "NAE": errors.nae, "images": float(errors.images)}
        for column, level in enumerate(self.game_levels):
            numbers[f"GAME{level}"] = exact_mean(result["game"][column] for result in results)
        for kind in self.categories:
            numbers |= _by_category(pred, true, [result[kind] for result in results], kind)
        return numbers


def counts_of_sample(sample: Mapping[str, Any], name: str) -> tuple[float, float]:
    """Return the predicted and the true count of a sample, inside its region if it has one.

    Args:
        sample: sample as :class:`CountMetric` reads it.
        name: name of the sample in errors.

    Raises:
        DataError: the sample has no prediction or no truth.

    Example:
        >>> counts_of_sample({"pred_count": 12.5, "gt_points": [[3, 4], [5, 6]]}, "a.jpg")
        (12.5, 2.0)
    """
    roi = sample.get("gt_roi")
    if roi is not None:
        predicted, true = _maps(sample, as_array(roi), name)
        return float(predicted.sum()), float(true.sum())
    return float(required(sample, "pred_count", _METRIC, name)), _true_count(sample, name)


def _by_category(pred: np.ndarray, true: np.ndarray, labels: list[Any], kind: str) -> dict[str, float]:
    known = CATEGORIES[kind]
    names = known or sorted({str(label) for label in labels})
    index = labels if known else [names.index(str(label)) for label in labels]
    errors = errors_by_category(pred, true, index, names, kind)
    numbers: dict[str, float] = {}
    for name, each in zip(names, errors, strict=True):
        numbers |= {f"MAE/{name}": each.mae, f"RMSE/{name}": each.rmse, f"NAE/{name}": each.nae}
    return {**numbers, f"MAE_{kind}": mean_mae(errors)} if known else numbers


def _maps(sample: Mapping[str, Any], roi: np.ndarray | None, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted and the true density, (H, W) each, in people per pixel of the original image."""
    required(sample, "pred_density", _METRIC, name)
    points = as_array(required(sample, "gt_points", _METRIC, name))
    height, width = required(sample, "ori_shape", _METRIC, name)[:2]
    if roi is not None:
        like, advice = "the original image", "load it without resizing"
        require_size(roi.shape, (height, width), name, what="gt_roi", like=like, advice=advice)
    predicted = count_of(sample, (width, height)).full_density().astype(np.float64)
    true = count_map(points, (height, width))
    return (predicted, true) if roi is None else (predicted * (roi > 0), true * (roi > 0))


def _true_count(sample: Mapping[str, Any], name: str) -> float:
    if sample.get("gt_points") is not None:
        return float(len(sample["gt_points"]))
    return float(required(sample, "gt_count", _METRIC, name, "use a split with annotations"))
