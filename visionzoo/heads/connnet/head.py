"""Heads of salient objects: one cube of connectivity, or one binary map, from the same decoder.

ConnNet (Kampffmeyer et al., IEEE TIP 28(5), arXiv 1804.07836). What could not be read there and is our choice: widths,
the order of the parts, initial values, learning schedule; see model_cards/connnet_r50.md.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.errors import ConfigError, DataError, require_known
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
from visionzoo.layers.sample_sizes import image_size, input_size, original_size, require_single_images
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch
from visionzoo.structures.task_sample import TaskSample

# Grey truth above this is salient.
_SALIENT_FROM = 127
# Share of positives that the predictor starts with: a tenth, sigmoid(-2.2).
_START_BIAS = -2.2


class MapHead(BaseModule):
    """What both heads share: the decoder, a 1x1 predictor, logits at the image's size, truth and predictions.

    Reads ``gt_map``, (H, W) uint8 in the pixels of the network's input, salient above 127; with K classes (K, H, W). Or
    ``gt_ids``, (H, W) whole numbers, which wins: 0 is background, k instance k, and two instances are not connected.
    Padding counts as background. Writes, in the original image's pixels, ``pred_map`` (H, W) float32 in [0, 1] and
    ``pred_mask`` (H, W) bool; with K classes (K, H, W).

    Args:
        in_channels, in_strides: of every level, shallow first; filled in from the part before.
        num_classes: K; 1 for saliency.
        outputs: channels of the logits for each class.
        variant: ``default``, or ``tiny`` with a width of 16.
        width: channels of the map that is predicted from; the variant's by default.
        non_local, aspp: see :class:`ContextDecoder`.
        init_cfg: mmengine's.

    Raises:
        ConfigError, UnknownName: settings that do not exist or contradict one another.
    """

    VARIANTS: dict[str, dict[str, Any]] = {"default": {"width": 128}, "tiny": {"width": 16}}

    # Of a model that neither config, data set nor checkpoint tells: salient or not.
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
        if num_classes < 1:
            raise ConfigError(
                name, expected="num_classes from 1 on", found=f"{num_classes}", advice="1 is salient or not"
            )
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
        """Logits, (B, outputs * K, H, W), at the size of the padded images.

        Without samples that size is the finest level's times its stride.
        """
        logits = self.predictor(self.decoder(feats))
        size = input_size(batch.samples, logits.shape[2:], self.stride)
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Scalars that are summed.

        Raises:
            DataError: a sample without ``gt_map`` and ``gt_ids``, or with one of another size than its image.
        """
        logits, samples = self(feats, batch), batch.samples
        require_single_images(len(logits), samples)
        masks = torch.stack([_mask_of(sample, self.num_classes, logits.shape[2:]) for sample in samples])
        return self.losses_of(logits, masks.to(logits.device))

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Sequence[TaskSample]:
        """The samples with ``pred_map`` and ``pred_mask``."""
        logits, samples = self(feats, batch).float(), batch.samples
        require_single_images(len(logits), samples)
        for image, sample in zip(logits, samples, strict=True):
            height, width = image_size(sample, image.shape[1:])
            self.write_predictions(image[None, :, :height, :width], sample)
        return samples

    @abstractmethod
    def losses_of(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Losses of logits against masks, (B, K, H, W) int32: 0, and the number of the instance or 1."""

    @abstractmethod
    def write_predictions(self, logits: Tensor, sample: TaskSample) -> None:
        """Put what the logits of one image, (1, outputs * K, H, W), say into its sample."""

    def write_maps(self, maps: Tensor, masks: Tensor, sample: TaskSample) -> None:
        """Resize (1, K, H, W) maps and bool masks to the original image."""
        size = original_size(sample, maps.shape[2:])
        soft, hard = (_resized(each.float(), size)[0] for each in (maps, masks))
        sample.pred_map = (soft[0] if self.num_classes == 1 else soft).clamp(0, 1)
        sample.pred_mask = (hard[0] if self.num_classes == 1 else hard) >= 0.5


@MODELS.register_module()
class ConnectivityHead(MapHead):
    """ConnNet: eight probabilities for every pixel, that it and that neighbour belong to one salient object.

    ``pred_map`` is the largest vote of every pixel under ``pair``; ``pred_mask`` are the pixels with a pair that both
    ends confirm. See :class:`MapHead` for what it reads and the other arguments.

    Args:
        neighbours: 8, or 4 (ours).
        pair: how both ends of a pair are asked for ``pred_map``: ``product``, ``mean``, ``and`` or ``none``.
        instances: also write ``pred_ids``, (H, W) int64: 0, and 1 to n for the components of confirmed pairs (ours).
        measure_pairs: also write how good the cube is, scalars that ``PairMetric`` averages: ``pred_pair_agreement``
            (share of pairs whose ends differ by less than 0.5) and, where there is truth, ``pred_pair_accuracy`` (share
            of the cube's values on the right side of 0.5).
        min_area: components of fewer pixels are left out of ``pred_mask`` and ``pred_ids`` (ours); 0 keeps all.
        loss: a loss of cubes; by default ``dict(type="ConnectivityLoss")``.
    """

    def __init__(
        self,
        in_channels: Sequence[int] | int,
        in_strides: Sequence[int],
        num_classes: int = MapHead.USUAL_CLASSES,
        variant: str = "default",
        *,
        width: int | None = None,
        neighbours: int = 8,
        pair: str = "product",
        non_local: Sequence[str] = ("c4",),
        aspp: bool = False,
        instances: bool = False,
        min_area: int = 0,
        measure_pairs: bool = False,
        loss: Mapping | None = None,
        init_cfg: Any = None,
    ):
        outputs = len(offsets_of(neighbours))
        super().__init__(
            in_channels, in_strides, num_classes, outputs, variant, width, non_local, aspp, init_cfg=init_cfg
        )
        require_known(pair, REDUCTIONS, "reduction of pairs")
        if not isinstance(loss, Mapping | None):
            raise ConfigError(
                "ConnectivityHead", expected="loss to be a dict", found=f"{loss!r}", advice="write model.head.loss.mode"
            )
        if min_area < 0:
            raise ConfigError(
                "ConnectivityHead", expected="min_area from 0 on", found=f"{min_area}", advice="0 keeps everything"
            )
        self.neighbours, self.pair, self.instances, self.min_area = neighbours, pair, instances, min_area
        self.measure_pairs = measure_pairs
        self.cube_loss = MODELS.build({"type": "ConnectivityLoss", "neighbours": neighbours, **(loss or {})})

    def losses_of(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """The terms of the cube's loss."""
        return self.cube_loss(logits, masks)

    def write_predictions(self, logits: Tensor, sample: TaskSample) -> None:
        """Map, mask and, where asked for, instances."""
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
    """The baseline: one probability for every pixel, everything else as in :class:`ConnectivityHead`.

    Args: see :class:`MapHead`.
    """

    def __init__(
        self,
        in_channels: Sequence[int] | int,
        in_strides: Sequence[int],
        num_classes: int = MapHead.USUAL_CLASSES,
        variant: str = "default",
        *,
        width: int | None = None,
        non_local: Sequence[str] = ("c4",),
        aspp: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(in_channels, in_strides, num_classes, 1, variant, width, non_local, aspp, init_cfg=init_cfg)

    def losses_of(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy, the mean over all pixels."""
        return {"loss_map": F.binary_cross_entropy_with_logits(logits.float(), (masks != 0).float())}

    def write_predictions(self, logits: Tensor, sample: TaskSample) -> None:
        """Map, and mask where it is at least 0.5."""
        prob = logits.sigmoid()
        self.write_maps(prob, prob >= 0.5, sample)


# --------------------------------------------------------------------------- samples


def _mask_of(sample: TaskSample, classes: int, size: Sequence[int]) -> Tensor:
    """(K, H, W) int32, padded like the image."""
    where = sample.metainfo.get("img_path")
    if "gt_map" not in sample and "gt_ids" not in sample:
        raise DataError(where, expected="gt_map to learn from", found="none", advice="load it with LoadMaskAnnotation")
    truth = sample.gt_ids.int() if "gt_ids" in sample else (sample.gt_map > _SALIENT_FROM).int()
    truth = truth[None] if truth.ndim == 2 else truth
    expected = (classes, *sample.metainfo.get("img_shape", size)[:2])
    if tuple(truth.shape) != tuple(expected):
        raise DataError(
            where,
            expected=f"gt_map of {expected} (classes, height, width)",
            found=f"{tuple(truth.shape)}",
            advice="change the mask together with its image",
        )
    return F.pad(truth, (0, size[1] - truth.shape[2], 0, size[0] - truth.shape[1]))


def _without_small(ids: Tensor, min_area: int) -> Tensor:
    """Components of at least ``min_area`` pixels, numbered anew in the same order."""
    areas = ids.flatten().bincount()
    kept = areas >= min_area
    kept[0] = False
    return (kept.cumsum(0) * kept)[ids]


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if x.shape[2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)
