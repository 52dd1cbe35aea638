"""Heads for salient objects: a connectivity cube or a binary map, from the same decoder.

ConnNet (Kampffmeyer et al., IEEE TIP 28(5), arXiv 1804.07836). Widths, order of the parts, initial values and learning
schedule are our choice, because the accessible part of the paper does not state them; see model_cards/connnet_r50.md.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.allowed import Count, Index
from visionzoo.errors import require_known
from visionzoo.heads.connnet.connectivity import (
    REDUCTIONS,
    THRESHOLD,
    connectivity_components,
    connectivity_to_map,
    mask_to_connectivity,
    offsets_of,
    pair_agreement,
)
from visionzoo.heads.connnet.decoder import ContextDecoder, kaiming
from visionzoo.heads.connnet.non_local import NonLocalBlock
from visionzoo.layers.sample_sizes import (
    image_size,
    input_size,
    inside_sizes,
    original_size,
    require_single_images,
    require_truth,
)
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch
from visionzoo.structures.task_sample import TaskSample

# Grey values above this are salient in the truth.
_SALIENT_FROM = 127
# Initial bias of the predictor: sigmoid(-2.2) predicts that a tenth of the values are positive.
_START_BIAS = -2.2


class MapHead(BaseModule):
    """Base of both heads: decoder, 1x1 predictor, logits at the image's size, reading of truth, writing of predictions.

    Reads ``gt_map``, (H, W) or with K classes (K, H, W), of the size of the image without padding: numbers from 0 to
    255, salient above 127. If a sample has ``gt_ids``, whole numbers of the same shape, it is used instead: 0 is
    background, k is instance k, and two instances are not connected. Padding is background.

    Writes, in pixels of the original image, ``pred_map`` (H, W) float32 in [0, 1] and ``pred_mask`` (H, W) bool, or
    (K, H, W) with K classes.

    Args:
        in_channels, in_strides: channels and strides of every level, shallow first; filled in from the preceding part.
        num_classes: number of classes K, >= 1; 1 for saliency.
        outputs: channels of the logits for each class.
        variant: ``default`` with a width of 128, or ``tiny`` with 16.
        width: channels of the decoder's result; by default that of the variant.
        non_local, aspp: see :class:`ContextDecoder`.
        init_cfg: initialisation config of mmengine.

    Raises:
        UnknownName: an unknown variant.
        ConfigError: a number out of its range, an unknown level in ``non_local``, or unequal numbers of channels and
            strides.
    """

    VARIANTS: dict[str, dict[str, Any]] = {"default": {"width": 128}, "tiny": {"width": 16}}

    # Used if neither config, data set nor checkpoint defines the number: salient or not.
    USUAL_CLASSES = 1

    def __init__(
        self,
        in_channels: Sequence[int] | int,
        in_strides: Sequence[int],
        num_classes: int = USUAL_CLASSES,
        outputs: int = 1,
        variant: str = "default",
        width: int | None = None,
        non_local: Sequence[str] = ("c4",),
        aspp: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        name = type(self).__name__
        require_known(variant, self.VARIANTS, f"{name} variant")
        channels = [in_channels] if isinstance(in_channels, int) else list(in_channels)
        width = self.VARIANTS[variant]["width"] if width is None else width
        self.num_classes, self.stride = num_classes, min(in_strides)
        self.decoder = ContextDecoder(channels, list(in_strides), width, non_local, aspp)
        self.predictor = nn.Conv2d(width, num_classes * outputs, 1)
        self._draw_weights()

    def _draw_weights(self) -> None:
        kaiming(self.decoder)
        for block in self.decoder.modules():
            if isinstance(block, NonLocalBlock):
                block.init_weights()
        nn.init.normal_(self.predictor.weight, std=0.01)
        nn.init.constant_(self.predictor.bias, _START_BIAS)  # type: ignore[arg-type]

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> Tensor:
        """Return logits, (B, outputs * K, H, W), at the size of the padded images.

        Without samples, it is the size of the finest level times the stride of that level.
        """
        logits = self.predictor(self.decoder(feats))
        size = input_size(batch.samples, logits.shape[2:], self.stride)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return scalar losses; the total loss is their sum.

        Raises:
            DataError: a sample has neither ``gt_map`` nor ``gt_ids``, or their shape does not match the image and the
                number of classes.
        """
        logits, samples = self(feats, batch), batch.samples
        require_single_images(len(logits), samples)
        masks = torch.stack([_mask_of(sample, self.num_classes, logits.shape[2:]) for sample in samples])
        return self.losses_of(logits, masks.to(logits.device))

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Sequence[TaskSample]:
        """Return the samples with ``pred_map`` and ``pred_mask``."""
        logits, samples = self(feats, batch).float(), batch.samples
        require_single_images(len(logits), samples)
        for image, sample in zip(logits, samples, strict=True):
            height, width = image_size(sample, image.shape[1:])
            self.write_predictions(image[None, :, :height, :width], sample)
        return samples

    @abstractmethod
    def losses_of(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Return the losses; ``masks`` are (B, K, H, W) int32: 0 for background, else the instance number or 1."""

    @abstractmethod
    def write_predictions(self, logits: Tensor, sample: TaskSample) -> None:
        """Write the predictions of the logits of one image, (1, outputs * K, H, W), into its sample."""

    GRAPH_OUTPUTS = ("map", "mask")

    def graph_outputs(self, feats: Sequence[Tensor], batch: Batch, sizes: Tensor) -> dict[str, Tensor]:
        """Return ``map`` (B, K, H, W) in [0, 1] and ``mask`` (B, K, H, W) uint8, for an exported graph.

        Both have the size of the padded images. Padding is 0.
        """
        logits = self.predictor(self.decoder(feats))
        size = (batch.inputs.shape[2], batch.inputs.shape[3])
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        maps, masks = self.maps_of(logits.float().sigmoid() * inside_sizes(size, sizes))
        return {"map": maps.float(), "mask": masks.to(torch.uint8)}

    @abstractmethod
    def maps_of(self, prob: Tensor) -> tuple[Tensor, Tensor]:
        """Return map and mask, (B, K, H, W), of probabilities (B, outputs * K, H, W) that are 0 in padding."""

    def write_maps(self, maps: Tensor, masks: Tensor, sample: TaskSample) -> None:
        """Resize (1, K, H, W) maps and bool masks to the original image and write them into the sample."""
        size = original_size(sample, maps.shape[2:])
        soft, hard = (_resized(each.float(), size)[0] for each in (maps, masks))
        sample.pred_map = (soft[0] if self.num_classes == 1 else soft).clamp(0, 1)
        sample.pred_mask = (hard[0] if self.num_classes == 1 else hard) >= 0.5


@MODELS.register_module()
class ConnectivityHead(MapHead):
    """ConnNet: for every pixel, eight probabilities that it belongs to the same salient object as a neighbour.

    ``pred_map`` is the largest vote of every pixel, combined by ``pair``. ``pred_mask`` contains the pixels of
    mutually confirmed pairs. See :class:`MapHead` for the fields that it reads and for the other arguments.

    Args:
        neighbours: 8, or 4 (our addition).
        pair: combination of the two values of a pair for ``pred_map``: ``product``, ``mean``, ``and`` or ``none``; see
            :func:`pair_votes`.
        instances: also write ``pred_ids``, (H, W) int64: 0, and 1 to n for the components of confirmed
            pairs (our addition).
        measure_pairs: also write two scalars about the cube, which ``PairMetric`` averages: ``pred_pair_agreement``
            (share of pairs whose values differ by less than 0.5) and, if the sample has ``gt_map`` and there is one
            class, ``pred_pair_accuracy`` (share of values on the right side of 0.5).
        min_area: components with fewer pixels of the network's input are removed from ``pred_mask`` and ``pred_ids``
            (our addition); 0 keeps all.
        loss: config of the loss of cubes; by default ``dict(type="ConnectivityLoss")``.

    Raises:
        UnknownName: an unknown variant, ``pair``, or setting of the loss.
        ConfigError: see :class:`MapHead`; also a ``loss`` that is not a dict.

    Example:
        >>> import torch
        >>> head = ConnectivityHead([8, 16], [8, 16], variant="tiny")
        >>> head([torch.zeros(2, 8, 4, 4), torch.zeros(2, 16, 2, 2)]).shape
        torch.Size([2, 8, 32, 32])
    """

    def __init__(
        self,
        in_channels: Sequence[Count] | Count,
        in_strides: Sequence[Count],
        num_classes: Count = MapHead.USUAL_CLASSES,
        variant: str = "default",
        *,
        width: Count | None = None,
        neighbours: int = 8,
        pair: str = "product",
        non_local: Sequence[str] = ("c4",),
        aspp: bool = False,
        instances: bool = False,
        min_area: Index = 0,
        measure_pairs: bool = False,
        loss: Mapping | None = None,
        init_cfg: Any = None,
    ):
        outputs = len(offsets_of(neighbours))
        super().__init__(
            in_channels, in_strides, num_classes, outputs, variant, width, non_local, aspp, init_cfg=init_cfg
        )
        require_known(pair, REDUCTIONS, "reduction of pairs")
        self.neighbours, self.pair, self.instances, self.min_area = neighbours, pair, instances, min_area
        self.measure_pairs = measure_pairs
        self.cube_loss = MODELS.build({"type": "ConnectivityLoss", "neighbours": neighbours, **(loss or {})})

    def losses_of(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Return the terms of the cube's loss."""
        return self.cube_loss(logits, masks)

    @property
    def not_exportable(self) -> str:
        """Reason why the head has no exported form; empty if it has one."""
        if self.instances or self.min_area:
            return "connected components (instances, min_area) need a loop over pixels"
        return "" if self.pair in ("product", "and") else f"pair={self.pair!r} of an image depends on its padding"

    def maps_of(self, prob: Tensor) -> tuple[Tensor, Tensor]:
        """Return the votes as map and the confirmed pixels as mask."""
        confirmed = connectivity_to_map(prob, "and", self.neighbours)
        soft = confirmed if self.pair == "and" else connectivity_to_map(prob, self.pair, self.neighbours)
        return soft, confirmed

    def write_predictions(self, logits: Tensor, sample: TaskSample) -> None:
        """Write map, mask and, if enabled, instances."""
        prob = logits.sigmoid()
        confirmed = connectivity_to_map(prob, "and", self.neighbours)
        if self.instances or self.min_area:
            ids = connectivity_components(prob, neighbours=self.neighbours).to(prob.device)
            ids = torch.stack([_without_small(each, self.min_area) for each in ids[0]])[None]
            confirmed = ids > 0
            if self.instances:
                size = original_size(sample, ids.shape[2:])
                resized = F.interpolate(ids.double(), size=size, mode="nearest").long()[0]
                sample.pred_ids = resized[0] if self.num_classes == 1 else resized
        if self.measure_pairs:
            self._measure_pairs(prob, sample)
        soft = confirmed if self.pair == "and" else connectivity_to_map(prob, self.pair, self.neighbours)
        self.write_maps(soft, confirmed, sample)

    def _measure_pairs(self, prob: Tensor, sample: TaskSample) -> None:
        sample.pred_pair_agreement = pair_agreement(prob, self.neighbours)[0]
        if "gt_map" in sample and self.num_classes == 1:
            truth = sample.gt_map[None, None].to(prob.device).float()
            mask = F.interpolate(truth, size=prob.shape[2:], mode="nearest")[0] > _SALIENT_FROM
            target = mask_to_connectivity(mask, self.neighbours).bool()
            sample.pred_pair_accuracy = ((prob >= THRESHOLD) == target).float().mean()


@MODELS.register_module()
class BinaryMapHead(MapHead):
    """The baseline: one probability for every pixel; the decoder equals that of :class:`ConnectivityHead`.

    Args: see :class:`MapHead`.

    Example:
        >>> import torch
        >>> head = BinaryMapHead([8, 16], [8, 16], variant="tiny")
        >>> head([torch.zeros(2, 8, 4, 4), torch.zeros(2, 16, 2, 2)]).shape
        torch.Size([2, 1, 32, 32])
    """

    def __init__(
        self,
        in_channels: Sequence[Count] | Count,
        in_strides: Sequence[Count],
        num_classes: Count = MapHead.USUAL_CLASSES,
        variant: str = "default",
        *,
        width: Count | None = None,
        non_local: Sequence[str] = ("c4",),
        aspp: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(in_channels, in_strides, num_classes, 1, variant, width, non_local, aspp, init_cfg=init_cfg)

    def losses_of(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Return binary cross-entropy, the mean over all pixels."""
        return {"loss_map": F.binary_cross_entropy_with_logits(logits.float(), (masks != 0).float())}

    def maps_of(self, prob: Tensor) -> tuple[Tensor, Tensor]:
        """Return the probabilities as map, and the pixels >= 0.5 as mask."""
        return prob, prob >= 0.5

    def write_predictions(self, logits: Tensor, sample: TaskSample) -> None:
        """Write the map, and the mask of pixels >= 0.5."""
        prob = logits.sigmoid()
        self.write_maps(prob, prob >= 0.5, sample)


# --------------------------------------------------------------------------- samples


def _mask_of(sample: TaskSample, classes: int, size: Sequence[int]) -> Tensor:
    """Return the truth as (K, H, W) int32, padded like the image."""
    expected = (classes, *image_size(sample, size))
    load, axes = "load it with LoadMaskAnnotation", "(classes, height, width)"
    truth = require_truth(sample, "gt_map", _labels_of(sample), expected, load=load, axes=axes)
    return F.pad(truth, (0, size[1] - truth.shape[2], 0, size[0] - truth.shape[1]))


def _labels_of(sample: TaskSample) -> Tensor | None:
    """Return the truth as (K, H, W) int32; None if the sample has none."""
    if "gt_ids" not in sample and "gt_map" not in sample:
        return None
    labels = sample.gt_ids.int() if "gt_ids" in sample else (sample.gt_map > _SALIENT_FROM).int()
    return labels[None] if labels.ndim == 2 else labels


def _without_small(ids: Tensor, min_area: int) -> Tensor:
    """Remove components with fewer than ``min_area`` pixels and renumber the others in the same order."""
    areas = ids.flatten().bincount()
    kept = areas >= min_area
    kept[0] = False
    return (kept.cumsum(0) * kept)[ids]


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)
