"""Connectivity in the mask branch of Mask R-CNN: salient instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor

from visionzoo.allowed import Count, CountOrZero
from visionzoo.errors import require_known
from visionzoo.heads.connnet.connectivity import REDUCTIONS, connectivity_to_map, offsets_of
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS

# Keeps the logits of 0 and 1 finite for mmdet's pasting of masks.
_MARGIN = 1e-6


@MODELS.register_module()
class ConnectivityMaskHead(BaseModule):
    """mmdet's ``FCNMaskHead`` (four 3x3 convs, upsampling to 28 x 28) with one output per neighbour and class.

    The truth is the cube of the mask, cropped to its box and binarised at 0.5. Neighbours outside the box count as
    background. The head works in any detector with masks in mmdet. The accessible part of the paper does not describe
    its changes of Mask R-CNN, so all settings except the cube are those of Mask R-CNN.

    Args:
        in_channels: channels of the RoI features; filled in from the neck.
        num_classes: number of classes K, >= 1; filled in from the data set, 1 for ``salient``.
        variant: ``default``, or ``tiny`` with two convs of 32 channels.
        num_convs, conv_out_channels: number and channels of the convs before upsampling; by default those of the
            variant.
        neighbours: 8, or 4 (our addition).
        pair: combination of the two values of a pair: ``and`` (a hard mask), ``product``, ``mean`` or ``none``; see
            :func:`pair_votes`. The result is pasted into its box and compared with ``test_cfg.rcnn.mask_thr_binary``.
        loss: config of the loss of cubes; by default ``dict(type="ConnectivityLoss")``.
        init_cfg: initialisation config of mmengine.

    Raises:
        ConfigError, UnknownName: settings that do not exist.

    Example:
        >>> import torch
        >>> head = ConnectivityMaskHead(in_channels=8, num_classes=2, variant="tiny")
        >>> head(torch.zeros(3, 8, 14, 14)).shape
        torch.Size([3, 16, 28, 28])
    """

    VARIANTS: dict[str, dict[str, int]] = {
        "default": {"num_convs": 4, "conv_out_channels": 256},
        "tiny": {"num_convs": 2, "conv_out_channels": 32},
    }

    # It reads the crops of a RoI extractor, not a pyramid.
    PART_OF = "a two-stage detector's roi_head"

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count = 80,
        variant: str = "default",
        *,
        num_convs: CountOrZero | None = None,
        conv_out_channels: Count | None = None,
        neighbours: int = 8,
        pair: str = "and",
        loss: Mapping | None = None,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        chosen = {"num_convs": num_convs, "conv_out_channels": conv_out_channels}
        sizes = variant_options(self.VARIANTS, variant, chosen, "ConnectivityMaskHead")
        require_known(pair, REDUCTIONS, "reduction of pairs")
        self.num_classes, self.neighbours, self.pair = num_classes, neighbours, pair
        outputs = num_classes * len(offsets_of(neighbours))
        self.fcn = MODELS.build(
            {"type": "mmdet.FCNMaskHead", "in_channels": in_channels, "num_classes": outputs, **sizes}
        )
        self.cube_loss = MODELS.build({"type": "ConnectivityLoss", "neighbours": neighbours, **(loss or {})})

    def forward(self, rois: Tensor) -> Tensor:
        """Map RoI features (n, C, 14, 14) to logits (n, N * K, 28, 28)."""
        return self.fcn(rois)

    def loss_and_target(
        self,
        mask_preds: Tensor,
        sampling_results: Sequence[Any],
        batch_gt_instances: Any,
        rcnn_train_cfg: Any,
    ) -> dict[str, Any]:
        """Return ``loss_mask``, a dict of scalars, and ``mask_targets``, (n, 28, 28) of 0 and 1; mmdet's interface."""
        targets = self.fcn.get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        labels = torch.cat([result.pos_gt_labels for result in sampling_results])
        losses = self.losses_of(mask_preds, targets, labels)
        return {"loss_mask": losses, "mask_targets": targets}

    def losses_of(self, logits: Tensor, targets: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compute the losses of the cube of each box's true class.

        Args:
            logits: (n, N * K, h, w).
            targets: (n, h, w), 1 for pixels of the box's object.
            labels: (n,), classes from 0.
        """
        if not len(logits):
            return {"loss_mask": logits.sum()}
        cubes = logits.unflatten(1, (self.num_classes, self.neighbours))
        cubes = cubes[torch.arange(len(labels), device=labels.device), labels]
        terms = self.cube_loss(cubes, targets[:, None] >= 0.5)
        return {name.replace("loss_", "loss_mask_", 1): value for name, value in terms.items()}

    def predict_by_feat(
        self,
        mask_preds: Sequence[Tensor],
        results_list: Sequence[Any],
        batch_img_metas: Sequence[Mapping],
        rcnn_test_cfg: Any,
        rescale: bool = False,
        activate_map: bool = False,
    ) -> Sequence[Any]:
        """Return the results with ``masks``, (n, H, W) bool of the whole image; mmdet's interface.

        Args:
            mask_preds: one (n, N * K, h, w) for each image: logits, or probabilities with ``activate_map``.
            results_list: boxes and labels of each image.
            batch_img_metas, rcnn_test_cfg, rescale: see mmdet's ``FCNMaskHead``.
        """
        maps = [self.maps_of(each if activate_map else each.float().sigmoid()) for each in mask_preds]
        logits = [each.logit(_MARGIN) for each in maps]
        return self.fcn.predict_by_feat(logits, results_list, batch_img_metas, rcnn_test_cfg, rescale)

    def graph_masks(self, logits: Tensor) -> Tensor:
        """Return maps (n, K, h, w) in (0, 1) of logits, for an exported graph."""
        return self.maps_of(logits.float().sigmoid()).clamp(_MARGIN, 1 - _MARGIN)

    def maps_of(self, prob: Tensor) -> Tensor:
        """Map probabilities (n, N * K, h, w) to maps (n, K, h, w) in [0, 1]."""
        return connectivity_to_map(prob, self.pair, self.neighbours).float()
