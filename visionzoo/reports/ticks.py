"""An axis of a plot: its range, its scale and its round numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Ratio of the largest to small values from which an axis of positive values is logarithmic. A share of the values may
# be smaller, such as the rates of a warm-up.
_LOG_FROM, _FEW = 30.0, 0.2


@dataclass(frozen=True)
class Axis:
    """Range and scale of an axis.

    Attributes:
        low, high: its ends, ``low < high``; both above 0 if it is logarithmic.
        is_log: True for a logarithmic axis.

    Example:
        >>> [text for _, text in Axis(0.0, 1.0).ticks(5)]
        ['0', '0.2', '0.4', '0.6', '0.8', '1.0']
    """

    low: float
    high: float
    is_log: bool = False

    @classmethod
    def of_span(cls, low: float, high: float) -> Axis:
        """Return a linear axis from ``low`` to ``high``."""
        return cls(low, high)

    @classmethod
    def around(cls, values: np.ndarray) -> Axis:
        """Return an axis for finite values: logarithmic if they are positive and differ by a factor of 30.

        Example:
            >>> Axis.around(np.geomspace(0.001, 10, 9)).is_log, Axis.around(np.array([0.0, 10.0])).is_log
            (True, False)
        """
        low, high = float(values.min()), float(values.max())
        if low > 0 and high / float(np.quantile(values, _FEW)) >= _LOG_FROM:
            room = (high / low) ** 0.04
            return cls(low / room, high * room, is_log=True)
        room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        return cls(max(low - room, 0.0) if low >= 0 else low - room, high + room)

    def shares(self, values: np.ndarray) -> np.ndarray:
        """Return the places of values as shares of the length of the axis; a logarithm of 0 or less is at its start."""
        if not self.is_log:
            return (values - self.low) / (self.high - self.low)
        safe = np.maximum(values, self.low / 10)
        return np.log(safe / self.low) / math.log(self.high / self.low)

    def ticks(self, most: int, *, whole: bool = False) -> list[tuple[float, str]]:
        """Return round values on the axis and their texts.

        Args:
            most: about their largest number, >= 2.
            whole: only whole numbers.
        """
        if self.is_log:
            return self._log_ticks(most)
        for part in (2 * most, most):  # a finer step is taken if its round values happen to be few
            step = round_step((self.high - self.low) / part)
            step = max(1.0, step) if whole else step
            numbers = range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
            if len(numbers) <= most + 1:
                break
        return [(number * step, _text(number * step, step)) for number in numbers]

    def _log_ticks(self, most: int) -> list[tuple[float, str]]:
        first, last = math.floor(math.log10(self.low)), math.floor(math.log10(self.high))
        for digits in ((1, 2, 5), (1, 3), (1,)):
            values = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
            inside = [value for value in values if self.low <= value <= self.high]
            if len(inside) <= most:
                break
        return [(value, f"{value:g}") for value in inside[:: max(1, math.ceil(len(inside) / most))]]


def round_step(step: float) -> float:
    """Return the next larger of 1, 2 and 5 times a power of 10.

    Example:
        >>> round_step(0.13), round_step(30.0)
        (0.2, 50.0)
    """
    power = 10.0 ** math.floor(math.log10(step))
    return next((digit * power for digit in (1.0, 2.0, 5.0) if digit * power >= step * (1 - 1e-9)), 10.0 * power)


def _text(value: float, step: float) -> str:
    """Return a number with the digits that its step needs.

    Example:
        >>> _text(0.30000000000000004, 0.1), _text(20000.0, 5000.0), _text(2e-5, 1e-5)
        ('0.3', '20,000', '2e-05')
    """
    if value == 0:
        return "0"
    if step >= 1:
        return f"{value:,.0f}" if abs(value) < 1e7 else f"{value:g}"
    if step < 1e-4 and (abs(value) < 1e-3 or step < 1e-6):
        return f"{value:.{max(0, math.floor(math.log10(abs(value))) - math.floor(math.log10(step)))}e}"
    return f"{value:.{-math.floor(math.log10(step))}f}"
