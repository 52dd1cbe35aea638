"""Heads of mmdet with mask queries: MaskFormer and Mask2Former."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import ConfigDict
from torch import Tensor, nn

with contextlib.redirect_stdout(io.StringIO()):  # mmdet prints on import; stdout is only for results
    from mmdet.models.dense_heads import MaskFormerHead

from visionzoo.models.library_heads.adapting import LibraryHead, summed, with_predictions
from visionzoo.models.library_heads.samples import detection_samples
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch

_FUSION = "panoptic_fusion_head"


class QueryHead(LibraryHead):
    """Adapter of a ``MaskFormerHead`` of mmdet, together with the fusion of its queries.

    Samples receive what the fusion returns: ``pred_panoptic`` and its scores, ``pred_semantic``, ``pred_instances`` and
    mmdet's ``pred_panoptic_seg``, in pixels of the original image.

    Args:
        head: the head.
        fusion: the fusion, ``PanopticFusion`` or mmdet's ``MaskFormerFusionHead``.
    """

    PART = "panoptic_head"
    INNER = MaskFormerHead

    def __init__(self, head: nn.Module, fusion: nn.Module):
        super().__init__(head)
        self.panoptic_fusion_head: Any = fusion

    @classmethod
    def of_config(cls, cfg: ConfigDict) -> QueryHead:
        """Build head and fusion; the fusion gets the numbers of classes and ``test_cfg`` of the head."""
        fusion: Mapping[str, Any] = cfg.pop(_FUSION, None) or {"type": "PanopticFusion"}
        head = MODELS.build(cfg)
        counts = {name: getattr(head, name) for name in ("num_things_classes", "num_stuff_classes")}
        settings = {**fusion, **counts, "test_cfg": cfg.get("test_cfg") or ConfigDict()}
        return cls(head, MODELS.build(ConfigDict(settings)))

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> Any:
        """Return logits of the classes and of the masks of all decoder layers."""
        return self.inner(tuple(feats), detection_samples(batch))

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return the losses of all decoder layers."""
        truth = ("labels", "masks", "sem_seg") if self.inner.num_stuff_classes else ("labels", "masks")
        return summed(self.inner.loss(tuple(feats), detection_samples(batch, truth=truth)))

    def queries(self, feats: Sequence[Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """Return logits of the classes and of "no object", (B, Q, K + 1), and of the masks, (B, Q, H, W)."""
        return self.inner.predict(tuple(feats), detection_samples(batch))

    def predict(self, feats: Sequence[Tensor], batch: Batch) -> list[Any]:
        """Return the samples of the batch with the results of the fusion."""
        samples = detection_samples(batch)
        fused = self.panoptic_fusion_head.predict(*self.queries(feats, batch), samples, rescale=True)
        for sample, found in zip(samples, fused, strict=True):
            if "pan_results" in found:
                sample.pred_panoptic_seg = found["pan_results"]
            if "ins_results" in found:
                sample.pred_instances = found["ins_results"]
        return with_predictions(batch.samples, samples)
