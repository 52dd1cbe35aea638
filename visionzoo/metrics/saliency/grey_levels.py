"""Predictions and masks as 8-bit grey levels, and how many pixels of a pair have which levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from visionzoo.errors import DataError
from visionzoo.metrics.saliency.protocols import Protocol
from visionzoo.structures.arrays import as_array

_LEVELS = 256


def grey_prediction(values: Any, where: str = "prediction") -> np.ndarray:
    """(H, W) uint8: what a PNG file of the prediction would hold.

    Args:
        values: (H, W) or (1, H, W), an array or a tensor: uint8 as read from a file, bool, or floats in [0, 1], which
            are multiplied by 255 and lose their fraction, as torchvision writes them.
        where: begins the error's text.

    Raises:
        DataError: another shape or type, no pixels, or floats outside [0, 1].
    """
    array = _plane(values, where)
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array * np.uint8(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(
            where, expected="uint8, bool or floats in [0, 1]", found=f"{array.dtype}", advice="convert it first"
        )
    if not (array.min() >= 0 and array.max() <= 1):  # also when nan
        raise DataError(
            where,
            expected="floats in [0, 1]",
            found=f"{array.min():g} to {array.max():g}",
            advice="apply the sigmoid first",
        )
    single = array.astype(np.float32) if array.dtype == np.float16 else array
    return (single * 255).astype(np.uint8)


def grey_mask(values: Any, where: str = "mask") -> np.ndarray:
    """(H, W) uint8, 255 for foreground; levels between stay, for the protocols to judge.

    Args:
        values: (H, W) or (1, H, W), an array or a tensor: uint8 with levels up to 255, or bool.
        where: begins the error's text.

    Raises:
        DataError: another shape or type, no pixels, or uint8 that holds 0 and 1 instead of 0 and 255.
    """
    array = _plane(values, where)
    if array.dtype == bool:
        return array * np.uint8(255)
    if array.dtype != np.uint8:
        raise DataError(
            where, expected="uint8 with 0 to 255, or bool", found=f"{array.dtype}", advice="convert it first"
        )
    if array.max() == 1:
        raise DataError(where, expected="255 for foreground", found="0 and 1", advice="multiply by 255 or pass bool")
    return array


def _plane(values: Any, where: str) -> np.ndarray:
    array = as_array(values)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or not array.size:
        raise DataError(where, expected="(H, W) or (1, H, W) with pixels", found=f"{array.shape}")
    return array


def same_size(prediction: np.ndarray, mask: np.ndarray, protocol: Protocol, where: str = "pair") -> np.ndarray:
    """The prediction in its mask's size; both (H, W) uint8.

    Raises:
        DataError: the sizes differ and the protocol does not resize.
    """
    if prediction.shape == mask.shape:
        return prediction
    if not protocol.resizes:
        raise DataError(
            where,
            expected=f"a prediction of its mask's size {mask.shape}",
            found=f"{prediction.shape}",
            advice=f"resize it, as protocol {protocol.name!r} does not",
        )
    from PIL import Image

    return np.asarray(Image.fromarray(prediction).resize(mask.shape[::-1], Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Counts:
    """How many pixels of a pair have which levels; all but the weighted F-measure follows from it.

    Attributes:
        table: (Q, L, 256) int64, pixels by block, level of the mask and level of the prediction. Q is 4 (upper left,
            upper right, lower left, lower right of the mask's centroid) or 1.
        mask_levels: (L,) int, 0 to 255, those that count, brightest first.
        prediction: (H, W) uint8 that was counted.
        protocol: how to read them.
    """

    table: np.ndarray
    mask_levels: np.ndarray
    prediction: np.ndarray
    protocol: Protocol

    @classmethod
    def of(cls, prediction: np.ndarray, mask: np.ndarray, protocol: Protocol, blocks: bool = True) -> Counts:
        """Count (H, W) uint8 of equal size; ``blocks`` are needed by the S-measure alone."""
        is_background = mask < protocol.foreground
        levels, code = _coded(mask, is_background, protocol)
        size = (4 if blocks else 1) * len(levels) * _LEVELS
        key: np.ndarray = code.astype(np.uint16 if size <= 2**16 else np.uint32)
        key *= _LEVELS
        key += prediction
        if blocks:
            row, column = _centre(~is_background, protocol)
            key[row:] += key.dtype.type(size // 2)
            key[:, column:] += key.dtype.type(size // 4)
        table = _count(key.ravel(), size)
        return cls(table.reshape(-1, len(levels), _LEVELS), levels, prediction, protocol)

    @cached_property
    def whole(self) -> np.ndarray:
        """(L, 256) int64, without blocks."""
        return self.table.sum(axis=0)

    @cached_property
    def totals(self) -> np.ndarray:
        """(L,) int64: pixels of each level of the mask."""
        return self.whole.sum(axis=1)

    @cached_property
    def extremes(self) -> tuple[int, int]:
        """The prediction's lowest and highest level."""
        present = np.flatnonzero(self.whole.any(axis=0))
        return int(present[0]), int(present[-1])

    @cached_property
    def pixels(self) -> int:
        """N."""
        return int(self.totals.sum())

    @cached_property
    def brightness(self) -> int:
        """Sum of the mask's levels: 0 without any foreground, 255 N without any background."""
        return int(self.totals @ self.mask_levels)

    @cached_property
    def stretched(self) -> tuple[np.ndarray, int]:
        """(256,) int and their span: the stretched prediction at each level, times the span."""
        offset, span = self.protocol.stretch(*self.extremes)
        return np.arange(_LEVELS) - offset, span

    @cached_property
    def reaching(self) -> np.ndarray:
        """(L, 257) int64: pixels whose prediction has this level or a higher one."""
        return np.pad(self.whole[:, ::-1].cumsum(axis=1)[:, ::-1], ((0, 0), (0, 1)))

    def above(self) -> np.ndarray:
        """(L, T) int64: pixels that each threshold of the curves calls foreground."""
        return self.reaching[:, self.protocol.steps(*self.extremes)]

    def above_adaptive(self) -> np.ndarray:
        """(L, 1) int64: pixels at or above twice the mean of the stretched prediction, at most 1."""
        shifted, span = self.stretched
        twice = 2 * int(self.whole.sum(axis=0) @ shifted)
        first = int(np.searchsorted(shifted * self.pixels, min(twice, span * self.pixels)))
        if shifted[first] * self.pixels == twice and not self._rounds_upto(first):
            first += 1
        return self.reaching[:, first][:, None]

    def _rounds_upto(self, level: int) -> bool:
        """Whether a level that is exactly twice the mean is also so once both were rounded, as the tool does it."""
        low, high = self.extremes
        grey = np.arange(_LEVELS) / 255
        if low != high:
            grey = (grey - grey[low]) / (grey[high] - grey[low])
        return bool(grey[level] >= min(2 * grey[self.prediction].mean(), 1))


def _coded(mask: np.ndarray, is_background: np.ndarray, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """Levels of the mask that count, brightest first, and (H, W) which of them each pixel has."""
    if not protocol.soft_masks or bool(((mask == 0) | (mask == 255)).all()):
        return np.array([255, 0]), is_background
    levels = np.flatnonzero(np.bincount(mask.ravel(), minlength=_LEVELS))[::-1]
    code = np.zeros(_LEVELS, dtype=np.uint8)
    code[levels] = np.arange(len(levels))
    return levels, code[mask]


def _count(keys: np.ndarray, size: int) -> np.ndarray:
    """(size,) int64: how often each key occurs."""
    # In parts: numpy first copies the keys to 64 bits, and a small copy stays in the cache.
    part = max(2**14, size)
    table = np.zeros(size, dtype=np.int64)
    for start in range(0, len(keys), part):
        table += np.bincount(keys[start : start + part], minlength=size)
    return table


def _centre(foreground: np.ndarray, protocol: Protocol) -> tuple[int, int]:
    """First row and first column after the upper left block: the foreground's centroid, the middle without any."""
    height, width = foreground.shape
    ones = foreground.astype(np.float32)  # counts per row and column are exact, and matrix products fast
    rows = (ones @ np.ones(width, np.float32)).astype(np.int64)
    columns = (np.ones(height, np.float32) @ ones).astype(np.int64)
    total = protocol.precision(rows.sum())
    if not total:
        return round(height / 2), round(width / 2)
    means = (protocol.precision(counts @ np.arange(len(counts))) / total for counts in (rows, columns))
    row, column = (int(np.rint(mean)) + protocol.centre_included for mean in means)
    return row, column
