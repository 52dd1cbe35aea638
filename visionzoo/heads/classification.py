"""The classification head: one class per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.allowed import Count, Part, Weight
from visionzoo.errors import DataError, require_known
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch
from visionzoo.structures.task_sample import TaskSample, mean_of_groups

LOSSES = ("cross_entropy", "binary_cross_entropy")


@MODELS.register_module()
class ClassificationHead(BaseModule):
    """Global average pooling, dropout and one linear layer on a feature map.

    Reads ``gt_label`` (class index from 0) or ``gt_score`` ((K,) soft labels). ``gt_score`` takes precedence, because
    batch mixing writes it. Writes ``pred_score`` ((K,) probabilities) and ``pred_label`` (scalar). If a sample has
    several images (crops or views of one object), their logits are averaged.

    Args:
        in_channels: number of channels C of the feature map; filled in from the preceding part.
        num_classes: number of classes K; filled in from the data set.
        variant: ``default`` or ``tiny``, which are the same for this head.
        in_index: index of the feature map to read.
        dropout: share of the averaged features that are set to 0 in training, in [0, 1).
        label_smoothing: share of each label that is spread over all classes, in [0, 1). Soft labels are not smoothed.
        loss: ``cross_entropy`` with softmax probabilities, or ``binary_cross_entropy`` with sigmoid probabilities:
            one binary decision per class, averaged over the classes as in timm.
        loss_weight: factor of the loss.
        background_class: label 0 is a background that no image shows, as in TensorFlow's ImageNet models with 1001
            classes. It is never predicted.
        classifier: config of a registered layer from feature map to logits, which replaces average, dropout and
            linear layer. It also receives ``in_channels`` and ``num_classes``.
        init_cfg: initialisation config of mmengine.

    Raises:
        ConfigError: a number out of its range.
        UnknownName: an unknown variant or loss.

    Example:
        >>> import torch
        >>> head = ClassificationHead(in_channels=8, num_classes=3)
        >>> head([torch.zeros(2, 8, 4, 4)]).shape
        torch.Size([2, 3])
    """

    VARIANTS: dict[str, dict[str, Any]] = {"default": {}, "tiny": {}}

    # Used if neither config, data set nor checkpoint defines the number: ImageNet's.
    USUAL_CLASSES = 1000

    def __init__(
        self,
        in_channels: Count,
        num_classes: Count = USUAL_CLASSES,
        variant: str = "default",
        *,
        in_index: int = -1,
        dropout: Part = 0.0,
        label_smoothing: Part = 0.0,
        loss: str = "cross_entropy",
        loss_weight: Weight = 1.0,
        background_class: bool = False,
        classifier: Mapping | None = None,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        require_known(variant, self.VARIANTS, "ClassificationHead variant")
        require_known(loss, LOSSES, "loss of ClassificationHead")
        self.num_classes, self.in_index = num_classes, in_index
        self.label_smoothing, self.loss_kind, self.loss_weight = label_smoothing, loss, loss_weight
        self.background_class = background_class
        if classifier is None:
            self.dropout = nn.Dropout(dropout)
            self.fc = nn.Linear(in_channels, num_classes)
        else:
            self.classifier = MODELS.build({**classifier, "in_channels": in_channels, "num_classes": num_classes})

    def init_weights(self) -> None:
        """Draw small normal weights for the linear layer, unless ``init_cfg`` is given."""
        super().init_weights()
        if self.init_cfg is None and hasattr(self, "fc"):
            nn.init.trunc_normal_(self.fc.weight, std=0.02)
            nn.init.zeros_(self.fc.bias)

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> Tensor:
        """Return logits (B, K); without samples, each image counts as one sample."""
        feat = feats[self.in_index]
        if hasattr(self, "classifier"):
            logits = self.classifier(feat)
        else:
            logits = self.fc(self.dropout(feat.mean(dim=tuple(range(2, feat.ndim)))))
        return logits if batch.samples is None else mean_of_groups(logits, batch.samples)

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return ``loss_cls``, a scalar.

        Raises:
            DataError: a label outside 0 to K - 1.
        """
        logits = self(feats, batch).float()
        target = self._targets(batch.samples, logits.device)
        if self.loss_kind == "cross_entropy":
            value = F.cross_entropy(logits, target)
        else:
            value = F.binary_cross_entropy_with_logits(logits, target)
        return {"loss_cls": self.loss_weight * value}

    GRAPH_OUTPUTS = ("probabilities",)

    def graph_outputs(self, feats: Sequence[Tensor], batch: Batch, sizes: Tensor) -> dict[str, Tensor]:
        """Return ``probabilities`` (B, K), for an exported graph."""
        return {"probabilities": self._scores(self(feats, batch).float())}

    def _scores(self, logits: Tensor) -> Tensor:
        if self.background_class:
            logits[:, 0] = -torch.inf
        return logits.softmax(1) if self.loss_kind == "cross_entropy" else logits.sigmoid()

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Sequence[TaskSample]:
        """Return the samples with ``pred_score`` (K,) and ``pred_label``."""
        scores = self._scores(self(feats, batch).float())
        for sample, score in zip(batch.samples, scores, strict=True):
            sample.pred_score, sample.pred_label = score, score.argmax()
        return batch.samples

    def _targets(self, samples: Sequence[TaskSample], device: torch.device) -> Tensor:
        """Return soft labels (B, K)."""
        return torch.stack([self._soft_label(sample, device) for sample in samples])

    def _soft_label(self, sample: TaskSample, device: torch.device) -> Tensor:
        if "gt_score" in sample:
            return sample.gt_score.to(device)
        label = int(sample.gt_label)
        if not 0 <= label < self.num_classes:
            raise DataError(
                sample.metainfo.get("img_path"),
                expected=f"a label from 0 to {self.num_classes - 1}",
                found=f"{label}",
                advice="correct the data set's classes or model.head.num_classes",
            )
        row = torch.full((self.num_classes,), self.label_smoothing / self.num_classes, device=device)
        row[label] += 1 - self.label_smoothing
        return row
