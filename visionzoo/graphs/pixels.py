"""Graph of mmseg's decode heads: a class of every pixel.

Tensors: B images, K classes, H and W size of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.graphs.form import HeadGraph, NotExportable
from visionzoo.structures.batch import Batch


def pixel_graph(segmentor: Any) -> HeadGraph:
    """Return the graph of a decode head. Its output ``logits``, (B, K, H, W), has the size of the batch.

    Args:
        segmentor: holds the head as ``decode_head``.

    Raises:
        NotExportable: several heads in a row, corners that are aligned, or a test in overlapping windows.
    """
    head = segmentor.decode_head
    if isinstance(head, nn.ModuleList):
        raise NotExportable("decode_head", expected="one head", found=f"{len(head)} in a row", advice="use one")
    mode = (getattr(segmentor, "test_cfg", None) or {}).get("mode", "whole")
    if mode != "whole":
        raise NotExportable("test_cfg.mode", expected="whole", found=f"{mode}", advice="use whole")
    if head.align_corners:
        raise NotExportable("decode_head.align_corners", expected="False", found="True", advice="use False")

    def compute(feats: Sequence[Tensor], batch: Batch, sizes: Tensor) -> Mapping[str, Tensor]:
        logits = head(tuple(feats))
        return {"logits": F.interpolate(logits, size=batch.inputs.shape[2:], mode="bilinear", align_corners=False)}

    return HeadGraph(("logits",), compute, settings={"threshold": head.threshold})
