"""Fields of the samples of referring segmentation: the mask of the truth, the map and the mask of the prediction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from visionzoo.layers.sample_sizes import image_size, original_size, require_truth
from visionzoo.structures.task_sample import TaskSample


def true_masks(samples: Sequence[TaskSample], size: Sequence[int]) -> Tensor:
    """Return the masks of the described objects, (B, H, W) bool, padded like the images.

    Args:
        samples: each with ``gt_map``, (H, W) of its image without padding: nonzero pixels are the object. A phrase that
            fits nothing has a map of zeros.
        size: (H, W) of the padded images.

    Raises:
        DataError: a sample has no ``gt_map``, or one of another size than its image.

    Example:
        >>> sample = TaskSample(metainfo=dict(img_shape=(2, 3)))
        >>> sample.gt_map = torch.ones(2, 3)
        >>> true_masks([sample], (4, 4)).sum().item()
        6
    """
    return torch.stack([_true_mask(sample, size) for sample in samples])


def _true_mask(sample: TaskSample, size: Sequence[int]) -> Tensor:
    expected, truth = image_size(sample, size), sample.get("gt_map")
    mask = require_truth(sample, "gt_map", truth, expected, load="load the mask of the phrase") != 0
    return F.pad(mask, (0, size[1] - mask.shape[1], 0, size[0] - mask.shape[0]))


def at_original_size(maps: Tensor, sample: TaskSample) -> Tensor:
    """Cut the padding of the maps of one image, (K, H, W), and resize them to the original image, in float32."""
    height, width = image_size(sample, maps.shape[1:])
    kept = maps[:, :height, :width].float()
    size = original_size(sample, kept.shape[1:])
    if tuple(kept.shape[1:]) == size:
        return kept
    if not len(kept):  # torch resizes no empty tensor
        return kept.new_zeros(0, *size)
    return F.interpolate(kept[None], size=size, mode="bilinear", align_corners=False)[0].clamp(0, 1)


def write_map(sample: TaskSample, found: Tensor, threshold: float) -> None:
    """Write the predictions of a phrase into its sample.

    Args:
        sample: it receives, in pixels of the original image, ``pred_map`` (H, W) float32 and ``pred_mask`` (H, W) bool,
            the pixels of at least ``threshold``; ``pred_input_mask`` (h, w) bool, the mask in pixels of the network's
            input without padding; and ``pred_score``, a scalar: the mean of ``pred_map`` over ``pred_mask``, or its
            maximum if the mask is empty.
        found: (H, W), probabilities at the size of the padded images.
        threshold: least probability of a pixel of the mask, 0 to 1.

    Example:
        >>> sample = TaskSample()
        >>> write_map(sample, torch.tensor([[0.1, 0.6, 1.0]]), threshold=0.5)
        >>> sample.pred_mask.tolist(), round(sample.pred_score.item(), 3)
        ([[False, True, True]], 0.8)
    """
    height, width = image_size(sample, found.shape)
    sample.pred_input_mask = found[:height, :width] >= threshold
    (values,) = at_original_size(found[None], sample)
    mask = values >= threshold
    sample.pred_map, sample.pred_mask = values, mask
    sample.pred_score = values[mask].mean() if mask.any() else values.max()
