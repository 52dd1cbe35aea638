"""Decode heads of mmseg, which find the class of every pixel."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

with contextlib.redirect_stdout(io.StringIO()):  # libraries print on import; stdout is only for results
    from mmseg.models.utils import resize

from visionzoo.models.library_heads.adapting import LibraryHead, summed
from visionzoo.models.library_heads.samples import segmentation_samples
from visionzoo.structures.batch import Batch


class PixelHead(LibraryHead):
    """Adapter of a decode head of mmseg, such as ``FCNHead`` and ``UPerHead``.

    Samples receive ``pred_sem_seg``, the class index of each pixel (1, H, W), and ``seg_logits`` (K, H, W), in pixels
    of the original image. With one logit for two classes, ``seg_logits`` are probabilities, as in mmseg.
    """

    PART = "decode_head"

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return the losses of the inner head, and the accuracy of pixels."""
        samples = segmentation_samples(batch, with_truth=True)
        return summed(self.inner.loss(tuple(feats), samples, getattr(self.inner, "train_cfg", None)))

    def predict(self, feats: Sequence[Tensor], batch: Batch) -> list[Any]:
        """Return the samples of the batch with ``pred_sem_seg`` and ``seg_logits``."""
        metas = [sample.metainfo for sample in segmentation_samples(batch)]
        logits = self.inner.predict(tuple(feats), metas, getattr(self.inner, "test_cfg", None))
        for sample, own, meta in zip(batch.samples, logits, metas, strict=True):
            self._write(sample, own, meta)
        return list(batch.samples)

    def _write(self, sample: BaseDataElement, logits: Tensor, meta: dict[str, Any]) -> None:
        """Set the map of one image from the logits (K, H, W) of the padded image."""
        height, width = meta["img_shape"]
        align = getattr(self.inner, "align_corners", False)
        whole = resize(
            logits[None, :, :height, :width],
            size=meta["ori_shape"],
            mode="bilinear",
            align_corners=align,
            warning=False,
        )[0]
        if len(whole) > 1:
            found = whole.argmax(0, keepdim=True)
        else:
            whole = whole.sigmoid()
            found = (whole > self.inner.threshold).to(whole)
        sample.set_data({"seg_logits": PixelData(data=whole), "pred_sem_seg": PixelData(data=found)})
