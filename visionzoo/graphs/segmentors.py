"""Form of mmseg's ``EncoderDecoder``: a class of every pixel.

Tensors: B images, K classes, H and W size of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.graphs.form import ImageForm, NotExportable, require_exportable


def segmentor_form(model: nn.Module) -> ImageForm:
    """Return the form of a segmentor. Its output ``logits``, (B, K, H, W), has the size of the batch.

    Raises:
        NotExportable: another class of models, or one that is tested in overlapping windows.
    """
    require_exportable(model)
    segmentor: Any = model
    if type(model).__name__ != "EncoderDecoder":
        raise NotExportable(f"model ({type(model).__name__}): the exporter has the form of EncoderDecoder only")
    mode = segmentor.test_cfg.get("mode", "whole")
    if mode != "whole":
        raise NotExportable("test_cfg.mode", expected="whole", found=f"{mode}", advice="use whole")
    if segmentor.align_corners:
        raise NotExportable("decode_head.align_corners", expected="False", found="True", advice="use False")

    def compute(images: Tensor, sizes: Tensor) -> Mapping[str, Tensor]:
        logits = segmentor.decode_head(segmentor.extract_feat(images))
        return {"logits": F.interpolate(logits, size=images.shape[2:], mode="bilinear", align_corners=False)}

    return ImageForm(model, compute, ("logits",), settings={"threshold": segmentor.decode_head.threshold})
