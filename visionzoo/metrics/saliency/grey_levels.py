"""Predictions and masks as 8-bit grey levels, and joint histograms of their levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from visionzoo.datasets.mask_files import require_levels
from visionzoo.errors import DataError
from visionzoo.metrics.saliency.protocols import Protocol
from visionzoo.structures.arrays import as_array

_LEVELS = 256


def grey_prediction(values: Any, where: str = "prediction") -> np.ndarray:
    """Convert a prediction to (H, W) uint8, the levels that a PNG file of it contains.

    Args:
        values: (H, W) or (1, H, W), an array or a tensor: uint8 as read from a file, bool, or floats in [0, 1]. Floats
            are multiplied by 255 and truncated, as torchvision writes them.
        where: first words of the error message.

    Raises:
        DataError: the shape or type is another, there are no pixels, or floats are outside [0, 1].

    Example:
        >>> grey_prediction(np.array([[0.0, 0.5, 1.0]]))
        array([[  0, 127, 255]], dtype=uint8)
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
    if not (array.min() >= 0 and array.max() <= 1):  # also true for nan
        raise DataError(
            where,
            expected="floats in [0, 1]",
            found=f"{array.min():g} to {array.max():g}",
            advice="apply the sigmoid first",
        )
    single = array.astype(np.float32) if array.dtype == np.float16 else array
    return (single * 255).astype(np.uint8)


def grey_mask(values: Any, where: str = "mask") -> np.ndarray:
    """Convert a mask to (H, W) uint8, 255 for foreground. Grey levels are kept; the protocol interprets them.

    Args:
        values: (H, W) or (1, H, W), an array or a tensor: uint8 with levels up to 255, or bool.
        where: first words of the error message.

    Raises:
        DataError: the shape or type is another, there are no pixels, or the levels are not those of a mask; see
            :func:`visionzoo.datasets.mask_files.require_levels`.

    Example:
        >>> grey_mask(np.array([[False, True]]))
        array([[  0, 255]], dtype=uint8)
    """
    array = _plane(values, where)
    if array.dtype == bool:
        return array * np.uint8(255)
    if array.dtype != np.uint8:
        raise DataError(
            where, expected="uint8 with 0 to 255, or bool", found=f"{array.dtype}", advice="convert it first"
        )
    return require_levels(array, where)


def _plane(values: Any, where: str) -> np.ndarray:
    array = as_array(values)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or not array.size:
        raise DataError(where, expected="(H, W) or (1, H, W) with pixels", found=f"{array.shape}")
    return array


def same_size(prediction: np.ndarray, mask: np.ndarray, protocol: Protocol, where: str = "pair") -> np.ndarray:
    """Return the prediction in the size of its mask; both are (H, W) uint8.

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
            advice=f"resize it, because protocol {protocol.name!r} does not",
        )
    from PIL import Image

    return np.asarray(Image.fromarray(prediction).resize(mask.shape[::-1], Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Counts:
    """Joint histogram of the levels of a pair. All measures except the weighted F-measure are computed from it.

    Attributes:
        table: (Q, L, 256) int64, number of pixels by block, level of the mask and level of the prediction. Q is 4
            (upper left, upper right, lower left, lower right of the mask's centroid) or 1.
        mask_levels: (L,) int, the levels of the mask, 0 to 255, in descending order.
        prediction: (H, W) uint8, the prediction that was counted.
        protocol: the protocol by which the levels are interpreted.
    """

    table: np.ndarray
    mask_levels: np.ndarray
    prediction: np.ndarray
    protocol: Protocol

    @classmethod
    def of(cls, prediction: np.ndarray, mask: np.ndarray, protocol: Protocol, blocks: bool = True) -> Counts:
        """Count the levels of a prediction and a mask, (H, W) uint8. Only the S-measure needs ``blocks``."""
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
        """(L, 256) int64: the table summed over blocks."""
        return self.table.sum(axis=0)

    @cached_property
    def totals(self) -> np.ndarray:
        """(L,) int64: number of pixels of each level of the mask."""
        return self.whole.sum(axis=1)

    @cached_property
    def extremes(self) -> tuple[int, int]:
        """The prediction's lowest and highest level."""
        present = np.flatnonzero(self.whole.any(axis=0))
        return int(present[0]), int(present[-1])

    @cached_property
    def pixels(self) -> int:
        """Number of pixels, N."""
        return int(self.totals.sum())

    @cached_property
    def brightness(self) -> int:
        """Sum of the mask's levels: 0 without foreground, 255 N without background."""
        return int(self.totals @ self.mask_levels)

    @cached_property
    def stretched(self) -> tuple[np.ndarray, int]:
        """The stretched prediction at each level, multiplied by the span, (256,) int; and the span."""
        offset, span = self.protocol.stretch(*self.extremes)
        return np.arange(_LEVELS) - offset, span

    @cached_property
    def reaching(self) -> np.ndarray:
        """(L, 257) int64: number of pixels whose prediction has at least this level."""
        return np.pad(self.whole[:, ::-1].cumsum(axis=1)[:, ::-1], ((0, 0), (0, 1)))

    def above(self) -> np.ndarray:
        """Return the number of pixels that are foreground at each threshold of the curves, (L, T) int64."""
        return self.reaching[:, self.protocol.steps(*self.extremes)]

    def above_adaptive(self) -> np.ndarray:
        """Return the number of pixels >= min(1, twice the mean) of the stretched prediction, (L, 1) int64."""
        shifted, span = self.stretched
        twice = 2 * int(self.whole.sum(axis=0) @ shifted)
        first = int(np.searchsorted(shifted * self.pixels, min(twice, span * self.pixels)))
        if shifted[first] * self.pixels == twice and not self._rounds_upto(first):
            first += 1
        return self.reaching[:, first][:, None]

    def _rounds_upto(self, level: int) -> bool:
        """Return True if a level that is exactly twice the mean still reaches it after rounding, as in the tool."""
        low, high = self.extremes
        grey = np.arange(_LEVELS) / 255
        if low != high:
            grey = (grey - grey[low]) / (grey[high] - grey[low])
        return bool(grey[level] >= min(2 * grey[self.prediction].mean(), 1))


def _coded(mask: np.ndarray, is_background: np.ndarray, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels of the mask in descending order, (L,), and for each pixel the index of its level, (H, W)."""
    if not protocol.soft_masks or bool(((mask == 0) | (mask == 255)).all()):
        return np.array([255, 0]), is_background
    levels = np.flatnonzero(np.bincount(mask.ravel(), minlength=_LEVELS))[::-1]
    code = np.zeros(_LEVELS, dtype=np.uint8)
    code[levels] = np.arange(len(levels))
    return levels, code[mask]


def _count(keys: np.ndarray, size: int) -> np.ndarray:
    """Count the occurrences of each key, (size,) int64."""
    # In parts, because numpy first copies the keys to 64 bits, and a small copy fits into the cache.
    part = max(2**14, size)
    table = np.zeros(size, dtype=np.int64)
    for start in range(0, len(keys), part):
        table += np.bincount(keys[start : start + part], minlength=size)
    return table


def _centre(foreground: np.ndarray, protocol: Protocol) -> tuple[int, int]:
    """Return the first row and column after the upper left block.

    They follow from the centroid of the foreground; without foreground they are the middle of the image.
    """
    height, width = foreground.shape
    ones = foreground.astype(np.float32)  # counts per row and column are exact, and matrix products are fast
    rows = (ones @ np.ones(width, np.float32)).astype(np.int64)
    columns = (np.ones(height, np.float32) @ ones).astype(np.int64)
    total = protocol.precision(rows.sum())
    if not total:
        return round(height / 2), round(width / 2)
    means = (protocol.precision(counts @ np.arange(len(counts))) / total for counts in (rows, columns))
    row, column = (int(np.rint(mean)) + protocol.centre_included for mean in means)
    return row, column
