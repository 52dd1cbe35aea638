"""Scores of pairs, and of a data set as their mean: curves and numbers are summed, never maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from visionzoo.errors import ConfigError, DataError
from visionzoo.metrics.saliency import measures as of_pair
from visionzoo.metrics.saliency.grey_levels import Counts, grey_mask, grey_prediction, same_size
from visionzoo.metrics.saliency.protocols import find_protocol

UNDEFINED = "Smeasure_undefined"


@dataclass(frozen=True)
class PairScores:
    """What one pair gives.

    Attributes:
        numbers: ``Smeasure``, ``MAE``, ``Emeasure_adaptive``, ``Fmeasure_adaptive``, ``Fmeasure_weighted``, as chosen;
            ``Smeasure_undefined`` is 1 where the protocol's tool has NaN instead of the S-measure, else 0.
        curves: ``Emeasure``, ``Fmeasure``, ``precision``, ``recall``, ``false_positive_rate``, as chosen: (T,) float64.
    """

    numbers: dict[str, float]
    curves: dict[str, np.ndarray]

    def summary(self) -> dict[str, float]:
        """The numbers of a data set of this pair alone."""
        return summarise(self.numbers, self.curves)


def score_pair(
    prediction: Any,
    mask: Any,
    protocol: str = "pysod",
    measures: Sequence[str] | None = None,
    *,
    where: str = "pair",
) -> PairScores:
    """Compare one prediction with its mask.

    Args:
        prediction: (H, W) or (1, H, W), array or tensor: uint8, bool, or floats in [0, 1], which are first brought to
            8 bits as a PNG file would hold them.
        mask: (H, W) or (1, H, W), array or tensor: uint8 with 255 for foreground, or bool.
        protocol: ``pysod`` or ``gconet``.
        measures: of ``MEASURES``. Default: all that the protocol has, but the slow ``Fmeasure_weighted``.
        where: the pair's name, for errors.

    Raises:
        DataError: unusable arrays, or sizes that differ under ``pysod``.
        UnknownName, ConfigError: no such protocol, or a measure that it lacks.

    >>> mask = np.arange(12).reshape(3, 4) > 5
    >>> score_pair(mask, mask).numbers["MAE"]
    0.0
    """
    rules = find_protocol(protocol)
    chosen = rules.chosen(None if measures is None else tuple(measures))
    truth = grey_mask(mask, f"{where}: mask")
    levels = same_size(grey_prediction(prediction, f"{where}: prediction"), truth, rules, where)
    counts = Counts.of(levels, truth, rules, blocks="Smeasure" in chosen)
    numbers, curves = _curves_and_adaptive(counts, chosen)
    if "Smeasure" in chosen:
        numbers["Smeasure"], known = of_pair.s_measure(counts)
        numbers[UNDEFINED] = float(not known)
    if "MAE" in chosen:
        numbers["MAE"] = of_pair.mae(counts)
    if "Fmeasure_weighted" in chosen:
        shifted, span = counts.stretched
        numbers["Fmeasure_weighted"] = of_pair.weighted_f_measure((shifted / span)[levels], truth >= rules.foreground)
    return PairScores(numbers, curves)


def _curves_and_adaptive(counts: Counts, chosen: Sequence[str]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    numbers: dict[str, float] = {}
    curves: dict[str, np.ndarray] = {}
    if not {"Emeasure", "Fmeasure", "PR"} & set(chosen):
        return numbers, curves
    above, adaptive = counts.above(), counts.above_adaptive() if counts.protocol.adaptive else None
    if "Emeasure" in chosen:
        curves["Emeasure"] = of_pair.e_measure(counts, above)
        if adaptive is not None:
            numbers["Emeasure_adaptive"] = float(of_pair.e_measure(counts, adaptive)[0])
    if {"Fmeasure", "PR"} & set(chosen):
        precision, recall = of_pair.precision_recall(counts, above)
    if "Fmeasure" in chosen:
        curves["Fmeasure"] = of_pair.f_measure(precision, recall)
        if adaptive is not None:
            numbers["Fmeasure_adaptive"] = float(of_pair.f_measure(*of_pair.precision_recall(counts, adaptive))[0])
    if "PR" in chosen:
        rate = of_pair.false_positive_rate(counts, above)
        curves |= {"precision": precision, "recall": recall, "false_positive_rate": rate}
    return numbers, curves


@dataclass
class SaliencyScores:
    """Sums over pairs, of one size whatever their number; the order of pairs does not matter.

    >>> mask = np.arange(12).reshape(3, 4) > 5
    >>> scores = SaliencyScores()
    >>> scores.add(score_pair(mask, mask))
    >>> scores.summary()["Fmeasure_max"]
    1.0
    """

    images: int = 0
    numbers: dict[str, float] = field(default_factory=dict)
    curves: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, pair: PairScores) -> None:
        """Count one pair in.

        Raises:
            ConfigError: it was scored with other measures, or by another protocol.
        """
        self.merge(SaliencyScores(1, pair.numbers, pair.curves))

    def merge(self, other: SaliencyScores) -> None:
        """Count in all of another part of the data set, which stays as it is.

        Raises:
            ConfigError: as :meth:`add`.
        """
        if not self.images:
            self.images, self.numbers, self.curves = other.images, dict(other.numbers), dict(other.curves)
        elif other.images:
            if _kind(self) != _kind(other):
                raise ConfigError(
                    "saliency scores",
                    expected="parts of one protocol and the same measures",
                    found=f"{_kind(self)} and {_kind(other)}",
                    advice="score all alike",
                )
            self.images += other.images
            self.numbers = {name: value + other.numbers[name] for name, value in self.numbers.items()}
            self.curves = {name: values + other.curves[name] for name, values in self.curves.items()}

    def curve(self, name: str) -> np.ndarray:
        """(T,) float64, the mean over images of one of :class:`PairScores`' curves."""
        return self.curves[name] / self._counted()

    def summary(self) -> dict[str, float]:
        """Flat numbers: means over images; maxima and means of curves are those of the mean curve.

        ``images`` and ``Smeasure_undefined`` (see :class:`PairScores`) are counts; all else is in [0, 1], the
        E-measure up to N / (N - 1).

        Raises:
            DataError: no pair was counted.
        """
        images = self._counted()
        means = {name: value / images for name, value in self.numbers.items() if name != UNDEFINED}
        undefined = {UNDEFINED: self.numbers[UNDEFINED]} if UNDEFINED in self.numbers else {}
        found = summarise(means | undefined, {name: self.curve(name) for name in self.curves})
        return found | {"images": float(images)}

    def _counted(self) -> int:
        if not self.images:
            raise DataError("saliency scores", expected="at least one pair", found="none", advice="check the data set")
        return self.images


def _kind(scores: SaliencyScores) -> str:
    curves = sorted(f"{name} of {len(values)} thresholds" for name, values in scores.curves.items())
    return ", ".join([*sorted(scores.numbers), *curves])


def summarise(numbers: Mapping[str, float], curves: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Numbers and what is read off curves: maximum and mean of E and F; ``AP``, ``AUC`` and ``PR_Fmeasure_max``.

    The last one is the largest F of the mean precision and recall, which MATLAB tools report as maximum F.
    """
    found = dict(numbers)
    for name in ("Emeasure", "Fmeasure"):
        if name in curves:
            found |= {f"{name}_max": float(curves[name].max()), f"{name}_mean": float(curves[name].mean())}
    if "precision" in curves:
        found["PR_Fmeasure_max"] = float(of_pair.f_measure(curves["precision"], curves["recall"]).max())
        found["AP"] = average_precision(curves["precision"], curves["recall"])
        found["AUC"] = area_under_roc(curves["recall"], curves["false_positive_rate"])
    return found


def average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Area under the curve (T,) whose precision is made to fall with recall, as in PASCAL VOC from 2010 on."""
    order = np.argsort(recall, kind="stable")
    levels = np.concatenate([[0.0], recall[order], [1.0]])
    heights = np.concatenate([[0.0], precision[order], [0.0]])
    heights = np.maximum.accumulate(heights[::-1])[::-1]
    return float(np.diff(levels) @ heights[1:])


def area_under_roc(hit_rate: np.ndarray, false_positive_rate: np.ndarray) -> float:
    """Area by trapezoids between the smallest and the largest rate that occur: (T,) and (T,) to one number.

    Equal rates stand as ``torch.argsort`` leaves them in float32. It is no stable sort, but the published tool's
    number depends on it, by up to 2e-3 for a small, saturated map.
    """
    order = torch.argsort(torch.from_numpy(false_positive_rate.astype(np.float32))).numpy()
    return float(np.trapezoid(hit_rate[order], false_positive_rate[order]))
