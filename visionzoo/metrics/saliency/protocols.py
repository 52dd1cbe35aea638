"""The two published protocols for saliency measures, and their differences.

``pysod`` is the package py_sod_metrics, which follows the MATLAB code of the measures' authors. ``gconet`` is the tool
used by GICD, GCoNet and GCoNet+ (``eval-co-sod``; ZhengPeng7/GCoNet_plus, ``evaluation/evaluator.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from visionzoo.errors import ConfigError, require_known

# Each measure adds one or more numbers. PR adds average precision, area under the ROC curve and maximum F.
MEASURES = ("Smeasure", "MAE", "Emeasure", "Fmeasure", "Fmeasure_weighted", "PR")


@lru_cache(maxsize=256)
def _pysod_steps(low: int, high: int) -> np.ndarray:
    """Return the steps of 256 thresholds from 255 down to 0, for the stretched prediction times 255, truncated."""
    grey = np.arange(256) / 255
    if high != low:
        grey = (grey - grey[low]) / (grey[high] - grey[low])
    levels = (grey.clip(0, 1) * 255).astype(np.uint8)
    return np.searchsorted(levels, np.arange(255, -1, -1))


@lru_cache(maxsize=256)
def _gconet_steps(low: int, high: int) -> np.ndarray:
    """Return the steps of 255 ascending thresholds from 0 to 1, in float32 as in the tool.

    The data type matters, because many levels equal a threshold up to rounding.
    """
    thresholds = torch.linspace(0, 1 - 1e-10, 255).numpy()
    grey = np.arange(256, dtype=np.float32) / np.float32(255)
    stretched = (grey - grey[low]) / (grey[high] - grey[low] + np.float32(1e-20))
    return np.searchsorted(stretched, thresholds)


@dataclass(frozen=True)
class Protocol:
    """The rules by which one of the tools computes. Grey levels are 0 to 255.

    Attributes:
        name: ``pysod`` or ``gconet``.
        measures: the measures that it has, a subset of ``MEASURES``.
        default: the measures that are computed by default.
        steps: function from the lowest and highest level of a prediction to (T,) int, 0 to 256: for each threshold of
            the curves the lowest level that reaches it.
        foreground: the lowest foreground level of a mask, where the mask is binarised.
        soft_masks: True if MAE, E, F, precision, recall and ROC use the grey levels of the mask.
        resizes: True if a prediction of another size is resized to its mask; if False, it is an error.
        constant_is_black: True if stretching a prediction of only one level sets it to 0; if False, it keeps its level.
        stretched_mae: True if MAE uses the stretched prediction; if False, it uses the original one.
        adaptive: True if E and F are also computed at twice the mean of the prediction.
        special_masks: True if E has separate formulas for masks without foreground or without background.
        guard: small number that is added to denominators.
        precision: floating-point type in which the centroid is rounded.
        fewest: minimum number of foreground and of background pixels for which the tool's S-measure is not NaN.
        centre_included: 1 if the centroid's row and column belong to the upper left block, else 0.
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
        """Return (offset, span). The stretched prediction is (level - offset) / span, in [0, 1]."""
        if low != high:
            return low, high - low
        return (low, 1) if self.constant_is_black else (0, 255)

    def chosen(self, measures: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the measures to compute, by default those of the protocol.

        Raises:
            UnknownName: a name is not in ``MEASURES``.
            ConfigError: there is no measure, or this protocol lacks one.
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
                    advice="remove it or use the other protocol",
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
    """Return the protocol called ``pysod`` or ``gconet``.

    Raises:
        UnknownName: there is no such protocol.
    """
    require_known(name, PROTOCOLS, "saliency protocol")
    return PROTOCOLS[name]
