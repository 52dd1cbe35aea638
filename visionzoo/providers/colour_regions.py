"""Proposals from the colours of an image, without a model."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from visionzoo.allowed import Count, Positive, Share
from visionzoo.providers.images import images_of
from visionzoo.registry import MODELS
from visionzoo.structures.batch import Batch
from visionzoo.structures.mask_boxes import box_of_mask


@MODELS.register_module()
class ColourRegions:
    """Connected regions of even colour, as proposals for :class:`~visionzoo.heads.wico.WiCoHead`.

    They need no weights, and suit drawings and drawn data sets. Objects in photos are rarely of one colour; use
    ``ZooSegmenter`` there. Two adjacent pixels belong to one region if no channel differs by more than ``tolerance``.
    Pixels beside a region that belong to no region, such as those of a soft edge, are added to it.

    Args:
        tolerance: largest difference, of 255.
        least_area, most_area: smallest and largest share of the image that a region covers.
        most: largest number of regions of an image; the largest ones are kept.

    Raises:
        ConfigError: a number out of its range.
        DataError: at a call: the batch has no images.

    Example:
        >>> from visionzoo.structures.task_sample import TaskSample
        >>> image = torch.zeros(1, 3, 32, 48)
        >>> image[:, :, 10:20, 5:15] = 200
        >>> ColourRegions()(Batch(image, [TaskSample()]))[0].boxes.tolist()
        [[5.0, 10.0, 15.0, 20.0]]
    """

    PART_OF = "WiCoHead"
    num_labels = feature_channels = 0

    def __init__(
        self, *, tolerance: Positive = 8.0, least_area: Share = 0.005, most_area: Share = 0.4, most: Count = 20
    ):
        self.tolerance, self.least_area, self.most_area, self.most = tolerance, least_area, most_area, most

    def __call__(self, batch: Batch) -> list[InstanceData]:
        """Return the regions of each sample, the largest first.

        Args:
            batch: ``inputs`` are one image of each sample, or one image of all samples.

        Returns:
            B ``InstanceData`` with ``boxes`` (K, 4), xyxy, and ``masks`` (K, H, W) bool, in pixels of the image in
            ``inputs`` without padding, and ``labels`` (K,), -1.
        """
        images = images_of(batch)
        found = [self._regions(pixels) for pixels in images.pixels]
        return [found[at] for at in images.of_sample]

    def _regions(self, pixels: Tensor) -> InstanceData:
        components = _components(pixels.permute(1, 2, 0).cpu().numpy(), self.tolerance)
        areas = np.bincount(components.ravel()) / components.size
        kept = np.flatnonzero((areas >= self.least_area) & (areas <= self.most_area))
        kept = kept[np.argsort(-areas[kept], kind="stable")][: self.most]
        free = areas[components] < self.least_area
        masks = np.zeros((len(kept), *components.shape), bool)
        for mask, number in zip(masks, kept):
            own = components == number
            grown = cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            mask[:] = own | (grown & free)
        return InstanceData(
            boxes=torch.tensor([box_of_mask(mask) for mask in masks], dtype=torch.float32).reshape(-1, 4),
            masks=torch.from_numpy(masks),
            labels=torch.full((len(kept),), -1),
        )


def _components(image: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the number of the connected region of each pixel, (H, W), from 0."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    height, width = image.shape[:2]
    numbers = np.arange(height * width).reshape(height, width)
    pairs = []
    for first, second in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        equal = np.abs(image[first] - image[second]).max(2) <= tolerance
        pairs.append(np.stack([numbers[first][equal], numbers[second][equal]]))
    rows, columns = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(numbers.size, numbers.size))
    _, found = connected_components(graph, directed=False)
    return found.reshape(height, width)
