"""Scores of pairs, and of a data set as their mean. Only curves and numbers are summed, never maps."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log

from visionzoo.errors import ConfigError, DataError, first_of
from visionzoo.metrics.saliency import measures as of_pair
from visionzoo.metrics.saliency.grey_levels import Counts, grey_mask, grey_prediction, same_size
from visionzoo.metrics.saliency.protocols import find_protocol

UNDEFINED = "Smeasure_undefined"


@dataclass(frozen=True)
class PairScores:
    """Scores of one pair. They include only the chosen measures.

    Attributes:
        numbers: ``Smeasure``, ``MAE``, ``Emeasure_adaptive``, ``Fmeasure_adaptive`` and ``Fmeasure_weighted``.
            ``Smeasure_undefined`` is 1 if the S-measure of the protocol's tool is NaN, else 0.
        curves: ``Emeasure``, ``Fmeasure``, ``precision``, ``recall`` and ``false_positive_rate``, (T,) float64 each.
        is_empty: True if the mask has no foreground pixel.
    """

    numbers: dict[str, float]
    curves: dict[str, np.ndarray]
    is_empty: bool = False

    def summary(self) -> dict[str, float]:
        """Return the numbers of a data set that contains only this pair."""
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
        prediction: (H, W) or (1, H, W), array or tensor: uint8, bool, or floats in [0, 1]. Floats are first converted
            to 8 bits, as in a PNG file.
        mask: (H, W) or (1, H, W), array or tensor: uint8 with 255 for foreground, or bool.
        protocol: ``pysod`` or ``gconet``.
        measures: some of ``MEASURES``. Default: ``Smeasure``, ``MAE``, ``Emeasure`` and ``Fmeasure``; with ``gconet``
            also ``PR``.
        where: name of the pair in error messages.

    Returns:
        Numbers and curves of the pair.

    Raises:
        DataError: an array is invalid, or sizes differ under ``pysod``.
        UnknownName: there is no such protocol or measure.
        ConfigError: the protocol lacks one of the measures, or ``measures`` is empty.

    Example:
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
    return PairScores(numbers, curves, is_empty=bool(truth.max() < rules.foreground))


def report_empty_masks(where: object, empty: Sequence[str], images: int, *, warn: bool = True) -> None:
    """Report masks without a foreground pixel: an error if all masks are empty, else a warning.

    Args:
        where: name of the metric, or folder of the masks.
        empty: names of the images with an empty mask.
        images: number of all images.
        warn: False to print no warning.

    Raises:
        DataError: all masks are empty.
    """
    if empty and len(empty) == images:
        raise DataError(
            where,
            expected="masks with foreground pixels",
            found=f"none in {images} masks ({first_of(empty)})",
            advice="check how the masks were exported",
        )
    if empty and warn:
        print_log(
            f"{where}: {len(empty)} of {images} masks have no foreground pixel ({first_of(empty)}); the F-measure of "
            "these images is 0, and their S-measure and E-measure only state how dark the prediction is",
            "current",
            logging.WARNING,
        )


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


def in_fixed_order(pairs: Iterable[PairScores]) -> list[PairScores]:
    """Sort pairs by their scores, so that sums are equal to the last bit for images of other names or in another order.

    Example:
        >>> pairs = [PairScores({"MAE": 0.5}, {}), PairScores({"MAE": 0.2}, {})]
        >>> [pair.numbers["MAE"] for pair in in_fixed_order(pairs)]
        [0.2, 0.5]
    """
    return sorted(pairs, key=lambda pair: (*pair.numbers.values(), *(each.tobytes() for each in pair.curves.values())))


@dataclass
class SaliencyScores:
    """Sums of scores over pairs. Their memory does not grow with the number of pairs.

    The order of the pairs changes only the last bits; see :func:`in_fixed_order`.

    Attributes:
        images: number of pairs.
        numbers: sums of :attr:`PairScores.numbers`.
        curves: sums of :attr:`PairScores.curves`.

    Example:
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
        """Add one pair.

        Raises:
            ConfigError: the pair was scored with other measures or by another protocol.
        """
        self.merge(SaliencyScores(1, pair.numbers, pair.curves))

    def merge(self, other: SaliencyScores) -> None:
        """Add the sums of another part of the data set. ``other`` is not changed.

        Raises:
            ConfigError: as for :meth:`add`.
        """
        if not self.images:
            self.images, self.numbers, self.curves = other.images, dict(other.numbers), dict(other.curves)
        elif other.images:
            if _kind(self) != _kind(other):
                raise ConfigError(
                    "saliency scores",
                    expected="parts of one protocol and the same measures",
                    found=f"{_kind(self)} and {_kind(other)}",
                    advice="score all parts with the same protocol and measures",
                )
            self.images += other.images
            self.numbers = {name: value + other.numbers[name] for name, value in self.numbers.items()}
            self.curves = {name: values + other.curves[name] for name, values in self.curves.items()}

    def curve(self, name: str) -> np.ndarray:
        """Return the mean over images of one curve of :class:`PairScores`, (T,) float64."""
        return self.curves[name] / self._counted()

    def summary(self) -> dict[str, float]:
        """Return the mean of each number over images, and the maximum and mean of each mean curve.

        ``images`` and ``Smeasure_undefined`` (see :class:`PairScores`) are counts. All other numbers are in [0, 1],
        except the E-measure, which is at most N / (N - 1).

        Raises:
            DataError: no pair was added.
        """
        images = self._counted()
        means = {name: value / images for name, value in self.numbers.items() if name != UNDEFINED}
        undefined = {UNDEFINED: self.numbers[UNDEFINED]} if UNDEFINED in self.numbers else {}
        summary = summarise(means | undefined, {name: self.curve(name) for name in self.curves})
        return summary | {"images": float(images)}

    def _counted(self) -> int:
        if not self.images:
            raise DataError("saliency scores", expected="at least one pair", found="none", advice="check the data set")
        return self.images


def _kind(scores: SaliencyScores) -> str:
    curves = sorted(f"{name} of {len(values)} thresholds" for name, values in scores.curves.items())
    return ", ".join([*sorted(scores.numbers), *curves])


def summarise(numbers: Mapping[str, float], curves: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Add to the numbers those of the curves: maximum and mean of E and F; ``AP``, ``AUC`` and ``PR_Fmeasure_max``.

    ``PR_Fmeasure_max`` is the maximum F of the mean precision and recall, which MATLAB tools report as maximum F.
    """
    summary = dict(numbers)
    for name in ("Emeasure", "Fmeasure"):
        if name in curves:
            summary |= {f"{name}_max": float(curves[name].max()), f"{name}_mean": float(curves[name].mean())}
    if "precision" in curves:
        summary["PR_Fmeasure_max"] = float(of_pair.f_measure(curves["precision"], curves["recall"]).max())
        summary["AP"] = average_precision(curves["precision"], curves["recall"])
        summary["AUC"] = area_under_roc(curves["recall"], curves["false_positive_rate"])
    return summary


def average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Compute the area under the curve of precision over recall, (T,) each.

    Precision is first made to decrease with recall, as in PASCAL VOC since 2010.

    Example:
        >>> average_precision(np.array([1.0, 0.5]), np.array([0.5, 1.0]))
        0.75
    """
    order = np.argsort(recall, kind="stable")
    levels = np.concatenate([[0.0], recall[order], [1.0]])
    heights = np.concatenate([[0.0], precision[order], [0.0]])
    heights = np.maximum.accumulate(heights[::-1])[::-1]
    return float(np.diff(levels) @ heights[1:])


def area_under_roc(hit_rate: np.ndarray, false_positive_rate: np.ndarray) -> float:
    """Compute the area by trapezoids between the smallest and the largest false positive rate, (T,) each.

    Equal rates are in the order of ``torch.argsort`` on float32, which is not a stable sort. The published tool's
    number depends on this order, by up to 2e-3 for a small, saturated map.

    Example:
        >>> area_under_roc(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.5, 1.0]))
        0.75
    """
    order = torch.argsort(torch.from_numpy(false_positive_rate.astype(np.float32))).numpy()
    return float(np.trapezoid(hit_rate[order], false_positive_rate[order]))
