"""Comparison of an exported model with PyTorch on seeded images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Difference:
    """Differences of one output.

    Attributes:
        name: name of the output.
        absolute: largest absolute difference.
        relative: ``absolute`` divided by the largest magnitude of PyTorch's output.
        values: number of values that were compared.
    """

    name: str
    absolute: float
    relative: float
    values: int

    def within(self, tolerance: float) -> bool:
        """Return True if the absolute or the relative difference is at most the tolerance."""
        return self.absolute <= tolerance or self.relative <= tolerance


def eager_outputs(form: Any, inputs: Arrays) -> Arrays:
    """Return the outputs of a form by PyTorch."""
    with torch.no_grad():
        outputs = form(*(torch.from_numpy(value) for value in inputs.values()))
    return {name: value.numpy() for name, value in zip(form.names, outputs, strict=True)}


def differences(
    expected: Arrays, found: Arrays, pair: Callable[[Arrays, Arrays], tuple[Arrays, Arrays]] | None = None
) -> list[Difference]:
    """Compare outputs.

    The difference of a mask, uint8, is the fraction of its pixels that differ, because rounding changes the pixels at
    the threshold.

    Args:
        expected: outputs of PyTorch by name.
        found: outputs of the exported file.
        pair: function that puts both in one order, for outputs whose order depends on rounding.

    Example:
        >>> differences({"a": np.array([1.0, 2.0])}, {"a": np.array([1.0, 2.5])})
        [Difference(name='a', absolute=0.5, relative=0.25, values=2)]
    """
    if pair is not None:
        expected, found = pair(expected, found)
    return [_difference(name, value, found[name]) for name, value in expected.items()]


def _difference(name: str, expected: np.ndarray, found: np.ndarray) -> Difference:
    if expected.shape != found.shape:
        return Difference(name, np.inf, np.inf, expected.size)
    if not expected.size:
        return Difference(name, 0.0, 0.0, 0)
    if expected.dtype == np.uint8:
        share = float((expected != found).mean())
        return Difference(name, share, share, expected.size)
    a, b = expected.astype(np.float64), found.astype(np.float64)
    largest = float(np.abs(a - b).max())
    if not np.isfinite(b).all():
        largest = np.inf
    return Difference(name, largest, largest / max(float(np.abs(a).max()), 1e-12), int(a.size))


def merged(rows: Sequence[Sequence[Difference]]) -> list[Difference]:
    """Return the largest differences of each output over several batches."""
    return [
        Difference(
            group[0].name,
            max(each.absolute for each in group),
            max(each.relative for each in group),
            sum(each.values for each in group),
        )
        for group in zip(*rows, strict=True)
    ]
