"""The two published ways to compute saliency measures, and where they differ.

``pysod`` is the package py_sod_metrics, which follows the MATLAB code of the measures' authors; ``gconet`` is the tool
that GICD, GCoNet and GCoNet+ report (``eval-co-sod``; ZhengPeng7/GCoNet_plus, ``evaluation/evaluator.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from visionzoo.errors import ConfigError, require_known

# What can be computed; each gives one or more numbers. PR: average precision, area under the ROC curve, maximum F.
MEASURES = ("Smeasure", "MAE", "Emeasure", "Fmeasure", "Fmeasure_weighted", "PR")


@lru_cache(maxsize=256)
def _pysod_steps(low: int, high: int) -> np.ndarray:
    """256 thresholds, 255 down to 0, for the stretched prediction times 255, its fractions cut off."""
    grey = np.arange(256) / 255
    if high != low:
        grey = (grey - grey[low]) / (grey[high] - grey[low])
    levels = (grey.clip(0, 1) * 255).astype(np.uint8)
    return np.searchsorted(levels, np.arange(255, -1, -1))


@lru_cache(maxsize=256)
def _gconet_steps(low: int, high: int) -> np.ndarray:
    """255 thresholds from 0 to 1, upwards. Both sides are float32, as many a level equals a threshold to rounding."""
    thresholds = torch.linspace(0, 1 - 1e-10, 255).numpy()
    grey = np.arange(256, dtype=np.float32) / np.float32(255)
    stretched = (grey - grey[low]) / (grey[high] - grey[low] + np.float32(1e-20))
    return np.searchsorted(stretched, thresholds)


@dataclass(frozen=True)
class Protocol:
    """How one of the tools computes. Grey levels are 0 to 255.

    Attributes:
        name: ``pysod`` or ``gconet``.
        measures: those it has, of ``MEASURES``.
        default: those computed when none are named.
        steps: from a prediction's lowest and highest level to (T,) int, 0 to 256: for each threshold of the curves
            the lowest level that reaches it.
        foreground: the lowest level of a mask that is foreground, wherever the mask is binary.
        soft_masks: MAE, E, F, precision, recall and ROC take the mask's grey levels as they are.
        resizes: a prediction of another size is resized to its mask instead of refused.
        constant_is_black: a prediction of one level counts as all 0 once stretched, instead of keeping its level.
        stretched_mae: MAE is of the stretched prediction, not of the one on file.
        adaptive: E and F also at twice the prediction's mean.
        special_masks: E has its own formulas for masks without foreground, or without background.
        guard: added to denominators.
        precision: in which the centroid is rounded.
        fewest: pixels of foreground, and of background, that the tool needs to give an S-measure that is a number.
        centre_included: 1 when the centroid's row and column belong to the upper left block, else 0.
    """

    name: str
    measures: tuple[str, ...]
    default: tuple[str, ...]
    steps: Callable[[int, int], np.ndarray]
    foreground: int
    soft_masks: bool
    resizes: bool
    constant_is_black: bool
    stretched_mae: bool
    adaptive: bool
    special_masks: bool
    guard: float
    precision: type[np.floating]
    fewest: int
    centre_included: int

    def stretch(self, low: int, high: int) -> tuple[int, int]:
        """(offset, span): the stretched prediction is (level - offset) / span, in [0, 1]."""
        if low != high:
            return low, high - low
        return (low, 1) if self.constant_is_black else (0, 255)

    def chosen(self, measures: tuple[str, ...] | None) -> tuple[str, ...]:
        """Those to compute: the default for None.

        Raises:
            UnknownName: a name that is not in ``MEASURES``.
            ConfigError: none, or one that this protocol lacks.
        """
        names = self.default if measures is None else tuple(measures)
        if not names:
            raise ConfigError("saliency measures", expected=f"at least one of {', '.join(self.measures)}", found="none")
        for name in names:
            require_known(name, MEASURES, "saliency measure")
            if name not in self.measures:
                raise ConfigError(
                    "saliency measures",
                    expected=f"those of protocol {self.name!r} ({', '.join(self.measures)})",
                    found=f"{name!r}",
                    advice="leave it out or take the other protocol",
                )
        return names


PROTOCOLS = {
    "pysod": Protocol(
        name="pysod",
        measures=MEASURES,
        default=("Smeasure", "MAE", "Emeasure", "Fmeasure"),
        steps=_pysod_steps,
        foreground=129,
        soft_masks=False,
        resizes=False,
        constant_is_black=False,
        stretched_mae=True,
        adaptive=True,
        special_masks=True,
        guard=float(np.spacing(1)),
        precision=np.float64,
        fewest=1,
        centre_included=1,
    ),
    "gconet": Protocol(
        name="gconet",
        measures=("Smeasure", "MAE", "Emeasure", "Fmeasure", "PR"),
        default=("Smeasure", "MAE", "Emeasure", "Fmeasure", "PR"),
        steps=_gconet_steps,
        foreground=128,
        soft_masks=True,
        resizes=True,
        constant_is_black=True,
        stretched_mae=False,
        adaptive=False,
        special_masks=False,
        guard=1e-20,
        precision=np.float32,
        fewest=2,
        centre_included=0,
    ),
}


def find_protocol(name: str) -> Protocol:
    """The protocol called ``pysod`` or ``gconet``.

    Raises:
        UnknownName: there is none called so.
    """
    require_known(name, PROTOCOLS, "saliency protocol")
    return PROTOCOLS[name]
