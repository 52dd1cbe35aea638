"""The two heads of mmdet's two-stage detectors as one head: proposals, and boxes and masks of their regions."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from torch import Tensor

with contextlib.redirect_stdout(io.StringIO()):  # mmdet prints on import; stdout is only for results
    from mmdet.models.utils.misc import samplelist_boxtype2tensor
    from mmdet.structures import DetDataSample

from visionzoo.config.parts import PROPOSAL_HEAD, ROI_HEAD, Part
from visionzoo.models.library_heads.adapting import summed, with_predictions
from visionzoo.models.library_heads.samples import detection_samples
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch


@MODELS.register_module()
class TwoStageHead(BaseModule):
    """A proposal head and a RoI head of mmdet, as in Faster R-CNN and Mask R-CNN.

    Samples receive ``pred_instances``: ``bboxes`` (N, 4) xyxy in pixels of the original image, ``scores``, ``labels``,
    and ``masks`` (N, H, W) if the RoI head has a mask head.

    Args:
        rpn_head: config of the proposal head, such as ``mmdet.RPNHead``.
        roi_head: config of the RoI head, such as ``mmdet.StandardRoIHead``.
        train_cfg: settings of training as in mmdet: ``rpn``, ``rpn_proposal`` and ``rcnn``; None for a head that only
            predicts.
        test_cfg: settings of predictions as in mmdet: ``rpn`` and ``rcnn``.
        init_cfg: initialisation config of mmengine.
    """

    PARTS = {"rpn_head": Part(PROPOSAL_HEAD, classes=None), "roi_head": Part(ROI_HEAD)}

    def __init__(
        self,
        rpn_head: Mapping[str, Any],
        roi_head: Mapping[str, Any],
        test_cfg: Mapping[str, Any],
        train_cfg: Mapping[str, Any] | None = None,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        training, testing = ConfigDict(train_cfg or {}), ConfigDict(test_cfg)
        self.proposals = training.get("rpn_proposal") or testing.rpn
        proposal = dict(copy.deepcopy(rpn_head), train_cfg=training.get("rpn"), test_cfg=testing.rpn, num_classes=1)
        regions = dict(copy.deepcopy(roi_head), train_cfg=training.get("rcnn"), test_cfg=testing.rcnn)
        self.rpn_head: Any = MODELS.build(ConfigDict(proposal))
        self.roi_head: Any = MODELS.build(ConfigDict(regions))

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> Any:
        """Return the raw outputs of the proposal head."""
        return self.rpn_head(tuple(feats))

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return the losses of both heads; the names of those of the proposal head contain ``rpn``."""
        truth = ("bboxes", "labels", "masks") if self.roi_head.with_mask else ("bboxes", "labels")
        maps, samples = tuple(feats), detection_samples(batch, truth=truth)
        losses, proposals = self.rpn_head.loss_and_predict(maps, _of_one_class(samples), proposal_cfg=self.proposals)
        named = {name if "rpn" in name else f"rpn_{name}": value for name, value in losses.items()}
        return summed({**named, **self.roi_head.loss(maps, proposals, samples)})

    def predict(self, feats: Sequence[Tensor], batch: Batch) -> list[Any]:
        """Return the samples of the batch with ``pred_instances``."""
        maps, samples = tuple(feats), detection_samples(batch)
        proposals = self.rpn_head.predict(maps, samples, rescale=False)
        for sample, found in zip(samples, self.roi_head.predict(maps, proposals, samples, rescale=True), strict=True):
            sample.pred_instances = found
        samplelist_boxtype2tensor(samples)
        return with_predictions(batch.samples, samples)


def _of_one_class(samples: Sequence[DetDataSample]) -> list[DetDataSample]:
    """Return copies whose objects all have the label 0."""
    copies = copy.deepcopy(list(samples))
    for sample in copies:
        sample.gt_instances.labels = sample.gt_instances.labels.new_zeros(len(sample.gt_instances.labels))
    return copies
