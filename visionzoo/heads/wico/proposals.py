"""Object proposals of a batch, padded to one number for each sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from visionzoo.errors import DataError
from visionzoo.heads.wico.samples import at_original_size
from visionzoo.layers.sample_sizes import image_size
from visionzoo.structures.task_sample import TaskSample

_FIELDS = ("boxes", "masks", "labels")
_MASK = 0.5  # least value of a pixel of an object


@dataclass(frozen=True)
class Proposals:
    """Proposals of B images. Entries that are not ``valid`` are padding; their values are zeros.

    K is at least 1, so that all parts run, and receive gradients, also in a batch without any proposal.

    Attributes:
        boxes: (B, K, 4) float, xyxy in pixels of the network's input.
        masks: (B, K, H, W) float in [0, 1], padded like the images.
        labels: (B, K) int64, class indices; negative for an unknown class.
        valid: (B, K) bool.
        sizes: (B, 2) float, height and width of the images without padding.
        features: (B, K, F) float, features of the provider; None if it gives none.
    """

    boxes: Tensor
    masks: Tensor
    labels: Tensor
    valid: Tensor
    sizes: Tensor
    features: Tensor | None = None

    @property
    def present(self) -> Tensor:
        """Samples with at least one proposal, (B,) bool."""
        return self.valid.any(1)

    def scores_of_padding(self) -> Tensor:
        """Return what to add to scores of proposals, (B, K): 0, and -1e4 for padding, which stays finite."""
        return ~self.valid * -1e4

    def locations(self) -> Tensor:
        """Return edges and area of each box as shares of the image, (B, K, 5): x1, y1, x2, y2, area."""
        sides = self.sizes.flip(1).repeat(1, 2)[:, None]
        edges = self.boxes / sides
        area = (edges[..., 2:] - edges[..., :2]).clamp(min=0).prod(-1, keepdim=True)
        return torch.cat([edges, area], -1)

    def objects_of(self, index: int, sample: TaskSample) -> InstanceData:
        """Return the proposals of a sample in pixels of its original image.

        Args:
            index: index of the sample.
            sample: the sample, for the sizes of its image.

        Returns:
            ``bboxes`` (K, 4), ``masks`` (K, H, W) bool and ``labels`` (K,).
        """
        valid = self.valid[index]
        masks = at_original_size(self.masks[index][valid], sample) >= _MASK
        scale = masks.new_tensor(masks.shape[1:], dtype=torch.float32) / self.sizes[index]
        boxes = self.boxes[index][valid] * scale.flip(0).repeat(2)
        return InstanceData(bboxes=boxes, masks=masks, labels=self.labels[index][valid])


def no_objects() -> InstanceData:
    """Return the proposals of an image without objects.

    Example:
        >>> len(no_objects().boxes)
        0
    """
    return InstanceData(
        boxes=torch.zeros(0, 4), masks=torch.zeros(0, 1, 1, dtype=torch.bool), labels=torch.zeros(0, dtype=torch.long)
    )


def proposals_of(
    samples: Sequence[TaskSample],
    size: Sequence[int],
    device: torch.device | str = "cpu",
    given: Sequence[InstanceData | None] | None = None,
) -> Proposals:
    """Read the proposals of a batch.

    Args:
        samples: each with ``proposals``, an ``InstanceData`` of K >= 0 objects: ``boxes`` (K, 4), xyxy in pixels of the
            network's input; ``masks`` (K, h, w) bool or in [0, 1], of the image without padding in any resolution;
            ``labels`` (K,) int64, class indices of the provider, negative for an unknown class; and, if the provider
            has them, ``features`` (K, F) float.
        size: (H, W) of the padded images.
        device: device of the result.
        given: proposals instead of those of the samples.

    Raises:
        DataError: a sample has no ``proposals``, or some without boxes, masks or labels.

    Example:
        >>> objects = InstanceData(boxes=torch.zeros(2, 4), masks=torch.ones(2, 3, 3), labels=torch.tensor([0, -1]))
        >>> samples = [TaskSample(proposals=objects), TaskSample(proposals=objects[:0])]
        >>> proposals_of(samples, (6, 6)).valid.tolist()
        [[True, True], [False, False]]
    """
    found = [sample.get("proposals") for sample in samples] if given is None else given
    listed = [_checked(each, sample) for each, sample in zip(found, samples, strict=True)]
    count = max([1, *(len(each.boxes) for each in listed)])
    sizes = [image_size(sample, size) for sample in samples]
    masks = [_padded(_at_size(each.masks, inner), count, size) for each, inner in zip(listed, sizes, strict=True)]
    rows = torch.arange(count)
    return Proposals(
        boxes=torch.stack([_padded(each.boxes.float(), count).to(device) for each in listed]),
        masks=torch.stack([each.to(device) for each in masks]),
        labels=torch.stack([_padded(each.labels.long(), count).to(device) for each in listed]),
        valid=torch.stack([rows < len(each.boxes) for each in listed]).to(device),
        sizes=torch.tensor(sizes, dtype=torch.float32, device=device),
        features=_features(listed, count, device),
    )


def whole_images(count: int, size: Sequence[int], device: torch.device | str = "cpu") -> Proposals:
    """Return one proposal of unknown class for each of B images, the whole image, for calls without samples.

    Example:
        >>> whole_images(2, (4, 6)).boxes.tolist()
        [[[0.0, 0.0, 6.0, 4.0]], [[0.0, 0.0, 6.0, 4.0]]]
    """
    height, width = size
    return Proposals(
        boxes=torch.tensor([[[0.0, 0.0, width, height]]], device=device).repeat(count, 1, 1),
        masks=torch.ones(count, 1, height, width, device=device),
        labels=torch.full((count, 1), -1, device=device),
        valid=torch.ones(count, 1, dtype=torch.bool, device=device),
        sizes=torch.tensor([[float(height), float(width)]], device=device).repeat(count, 1),
    )


def _checked(found: Any, sample: TaskSample) -> InstanceData:
    where = sample.metainfo.get("img_path") or "sample"
    if not isinstance(found, InstanceData):
        raise DataError(
            where,
            expected="proposals, an InstanceData",
            found="none" if found is None else type(found).__name__,
            advice="add a provider of proposals to the pipeline; an image without objects has 0 of them",
        )
    absent = [name for name in _FIELDS if name not in found]
    if absent:
        raise DataError(
            where,
            expected=f"proposals with {', '.join(_FIELDS)}",
            found=f"none with {', '.join(absent)}",
            advice="use a provider that gives masks",
        )
    return found


def _features(listed: Sequence[InstanceData], count: int, device: torch.device | str) -> Tensor | None:
    widths = {each.features.shape[1] for each in listed if "features" in each}
    if len(widths) != 1 or not all("features" in each or not len(each.boxes) for each in listed):
        return None
    empty = torch.zeros(0, widths.pop(), device=listed[0].boxes.device)
    features = [each.features.float() if "features" in each else empty for each in listed]
    return torch.stack([_padded(each, count).to(device) for each in features])


def _at_size(masks: Tensor, size: Sequence[int]) -> Tensor:
    masks = masks.float()
    if not len(masks):  # torch resizes no empty tensor
        return masks.new_zeros(0, *size)
    if tuple(masks.shape[1:]) == tuple(size):
        return masks
    return F.interpolate(masks[None], size=tuple(size), mode="bilinear", align_corners=False)[0]


def _padded(values: Tensor, count: int, size: Sequence[int] | None = None) -> Tensor:
    """Pad the first axis to ``count`` entries, and the last two axes to ``size``, with zeros."""
    if size is not None:
        values = F.pad(values, (0, size[1] - values.shape[2], 0, size[0] - values.shape[1]))
    return torch.cat([values, values.new_zeros(count - len(values), *values.shape[1:])])
