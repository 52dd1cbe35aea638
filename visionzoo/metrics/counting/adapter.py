"""Counting errors as a metric of mmengine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from visionzoo.errors import ConfigError, DataError, require_known
from visionzoo.metrics.counting.errors import count_errors
from visionzoo.metrics.counting.game import game
from visionzoo.metrics.counting.nwpu import LEVELS, LUMINANCES, errors_by_category, mean_mae
from visionzoo.metrics.required import required, sample_name
from visionzoo.ops.density_maps import count_map
from visionzoo.registry import METRICS
from visionzoo.structures.arrays import as_array
from visionzoo.structures.counts import count_of

CATEGORIES: dict[str, tuple[str, ...] | None] = {
    "level": LEVELS,
    "luminance": LUMINANCES,
    "scene": None,  # whatever occurs
    "weather": None,
}
_METRIC = "CountMetric"


@METRICS.register_module()
class CountMetric(BaseMetric):
    """Errors of ``pred_count`` against the annotated points: ``count/MAE``, ``count/RMSE``, ``count/NAE``.

    RMSE is what papers on crowds call MSE. NAE leaves out images without people and is -1 where none has any.
    ``count/images`` says how many images there are.

    The true count is the number of ``gt_points``, (N, 2) in the original image's pixels, those outside it included;
    without points it is ``gt_count``. With ``gt_roi``, (H, W) of 0 and 1 in the original image's pixels (TRANCOS),
    points and ``pred_density`` count inside it alone.

    Until the evaluation ends each sample is kept as its numbers, so that one which two processes got counts once.

    Args:
        game_levels: levels L of GAME(L), named ``count/GAME0`` and so on; they read ``gt_points`` and
            ``pred_density``.
        categories: of ``level``, ``luminance``, ``scene``, ``weather``: ``count/MAE/S0``, ``count/RMSE/L1``,
            ``count/NAE/S2``, ``count/MAE/street`` and, for the first two, ``count/MAE_level``, the mean over the
            categories. A level or luminance without images has -1, which enters that mean, as NWPU-Crowd's judge has
            it, with a warning.
        collect_device: where results of several processes meet, ``cpu`` or ``gpu``.
        prefix: stands for ``count`` in the names.

    Raises:
        ConfigError, UnknownName: a level below 0, or no such category.
    """

    default_prefix = "count"

    def __init__(
        self,
        game_levels: Sequence[int] = (),
        categories: Sequence[str] = (),
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.game_levels = tuple(game_levels)
        self.categories = (categories,) if isinstance(categories, str) else tuple(categories)
        if any(level < 0 for level in self.game_levels):
            raise ConfigError(
                "CountMetric", expected="game_levels from 0 on", found=f"{list(game_levels)}", advice="use (0, 1, 2, 3)"
            )
        for name in self.categories:
            require_known(name, CATEGORIES, "category of CountMetric")

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Take one batch of samples with truth and predictions, as dicts.

        Raises:
            DataError: a sample has no prediction, no truth, or lacks what GAME or a category reads.
        """
        self.results += [self._numbers(sample) for sample in data_samples]

    def _numbers(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Predicted and true count, GAME by level, categories."""
        name = sample_name(sample, len(self.results))
        required(sample, "pred_count", _METRIC, name)
        labels = {kind: required(sample, kind, _METRIC, name) for kind in self.categories}
        roi = sample.get("gt_roi")
        if not self.game_levels and roi is None:
            return {"pred": float(sample["pred_count"]), "true": _true_count(sample, name), "game": [], **labels}
        predicted, true = _maps(sample, None if roi is None else as_array(roi), name)
        errors = [game(predicted, true, level) for level in self.game_levels]
        return {"pred": float(predicted.sum()), "true": float(true.sum()), "game": errors, **labels}

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """The numbers of all images of all processes."""
        pred, true = (np.array([result[key] for result in results]) for key in ("pred", "true"))
        errors = count_errors(pred, true)
        numbers = {"MAE": errors.mae, "RMSE": errors.rmse, "NAE": errors.nae, "images": float(errors.images)}
        for column, level in enumerate(self.game_levels):
            numbers[f"GAME{level}"] = float(np.mean([result["game"][column] for result in results]))
        for kind in self.categories:
            numbers |= _by_category(pred, true, [result[kind] for result in results], kind)
        return numbers


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
    """(H, W) each: predicted and true people per pixel of the original image, inside the region alone."""
    required(sample, "pred_density", _METRIC, name)
    points = as_array(required(sample, "gt_points", _METRIC, name))
    height, width = sample["ori_shape"][:2]
    if roi is not None and roi.shape != (height, width):
        raise DataError(
            name,
            expected=f"gt_roi of {width}x{height} pixels like the original image",
            found=f"{roi.shape[1]}x{roi.shape[0]}",
            advice="load it without resizing to measure",
        )
    predicted = count_of(sample, (width, height)).full_density().astype(np.float64)
    true = count_map(points, (height, width))
    return (predicted, true) if roi is None else (predicted * (roi > 0), true * (roi > 0))


def _true_count(sample: Mapping[str, Any], name: str) -> float:
    if sample.get("gt_points") is not None:
        return float(len(sample["gt_points"]))
    return float(required(sample, "gt_count", _METRIC, name, "a split without annotations cannot be measured"))
