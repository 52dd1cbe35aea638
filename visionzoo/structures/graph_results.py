"""Results of an exported graph as arrays; this module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class GraphSample(dict):
    """Predictions for one image, by the names that a model's sample has; values are arrays.

    Example:
        >>> sample = GraphSample(pred_score=np.array([0.5]))
        >>> float(sample.pred_score[0]), sample.get("pred_label")
        (0.5, None)
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True)
class Frame:
    """Sizes of one image of a batch.

    Attributes:
        padded: (H, W) of the batch.
        inside: (H, W) of the image that the graph received, without padding.
        original: (H, W) of the image in its file.
        settings: settings of the exported model, which its head states.
    """

    padded: tuple[int, int]
    inside: tuple[int, int]
    original: tuple[int, int]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scale(self) -> np.ndarray:
        """Factors from x, y of the graph's image to those of the original, (2,) float32."""
        return np.array([self.original[1] / self.inside[1], self.original[0] / self.inside[0]], np.float32)

    def without_padding(self, values: np.ndarray) -> np.ndarray:
        """Cut the padding off a map (..., H, W) of the size of the batch."""
        return values[..., : self.inside[0], : self.inside[1]]

    def last_cells(self, grid: Sequence[int]) -> tuple[int, int]:
        """Return how many rows and columns of a grid over the batch the image covers.

        Example:
            >>> Frame((32, 64), (17, 64), (17, 64)).last_cells((4, 8))
            (3, 8)
        """
        rows, columns = (
            (own - 1) * cells // whole + 1 for own, cells, whole in zip(self.inside, grid, self.padded, strict=True)
        )
        return rows, columns


def resized(values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resize maps (K, h, w) bilinearly to ``size`` (H, W) float32, as torch does if corners are not aligned.

    Example:
        >>> resized(np.ones((2, 3, 4)), (6, 5)).shape
        (2, 6, 5)
    """
    import cv2

    maps: list[np.ndarray] = [np.ascontiguousarray(each, dtype=np.float32) for each in values]
    if values.shape[1:] != tuple(size):
        maps = [cv2.resize(each, (size[1], size[0]), interpolation=cv2.INTER_LINEAR) for each in maps]
    return np.stack(maps)


def resized_by_corners(values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resize maps (K, h, w) bilinearly to ``size`` (H, W) float32, as torch does with aligned corners.

    Example:
        >>> resized_by_corners(np.array([[[0.0, 1.0]]]), (1, 3)).tolist()
        [[[0.0, 0.5, 1.0]]]
    """
    rows, columns = (_corner_weights(*sides) for sides in zip(values.shape[1:], size, strict=True))
    return rows @ values.astype(np.float32) @ columns.T


def _corner_weights(cells: int, pixels: int) -> np.ndarray:
    """Return the weights of the cells for each pixel of an axis, (pixels, cells) float32."""
    places = np.linspace(0, cells - 1, pixels)
    return np.clip(1 - np.abs(places[:, None] - np.arange(cells)), 0, None).astype(np.float32)
