"""Dense heads of mmdet: boxes of RetinaNet, GFL, ATSS, FCOS and others, and masks of SOLO."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

with contextlib.redirect_stdout(io.StringIO()):  # mmdet prints on import; stdout is only for results
    from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
    from mmdet.models.dense_heads.base_mask_head import BaseMaskHead
    from mmdet.models.utils.misc import samplelist_boxtype2tensor

from visionzoo.models.library_heads.adapting import LibraryHead, summed, with_predictions
from visionzoo.models.library_heads.samples import detection_samples
from visionzoo.structures.batch import Batch


class DenseHead(LibraryHead):
    """Adapter of a head of mmdet that finds boxes: a ``BaseDenseHead``.

    Samples receive ``pred_instances`` with ``bboxes`` (N, 4) xyxy in pixels of the original image, ``scores`` and
    ``labels``.
    """

    PART = "bbox_head"
    INNER = BaseDenseHead
    FINDS_OBJECTS = True
    TRUTH: ClassVar[tuple[str, ...]] = ("bboxes", "labels")

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return the losses of the inner head; those of its levels are summed."""
        return summed(self.inner.loss(tuple(feats), detection_samples(batch, truth=self.TRUTH)))

    def predict(self, feats: Sequence[Tensor], batch: Batch) -> list[Any]:
        """Return the samples of the batch with ``pred_instances``."""
        samples = detection_samples(batch)
        for sample, found in zip(samples, self.inner.predict(tuple(feats), samples, rescale=True), strict=True):
            sample.pred_instances = found
        samplelist_boxtype2tensor(samples)
        return with_predictions(batch.samples, samples)


class DenseMaskHead(DenseHead):
    """Adapter of a head of mmdet that finds masks without boxes: a ``BaseMaskHead``, such as ``SOLOHead``.

    Samples receive ``pred_instances`` with ``masks`` (N, H, W) in pixels of the original image, ``scores`` and
    ``labels``.
    """

    PART = "mask_head"
    INNER = BaseMaskHead
    TRUTH = ("bboxes", "labels", "masks")
