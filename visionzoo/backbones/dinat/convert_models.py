"""Convert the authors' detectors and segmentation models with NAT, DiNAT or DiNAT_s as backbone.

- Mask R-CNN (mmdet 2) and UPerNet (mmseg 0.x): their names and classes have the same order in mmdet 3 and mmseg 1.
- Mask2Former (detectron2; facebookresearch/Mask2Former@9b0651c): the names become those of ``mmdet.Mask2Former``. Both
  codes number their levels from the smallest map, and the things of COCO come before its stuff in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from visionzoo.backbones.dinat.convert import OTHER_PARTS, WRAPPERS, convert
from visionzoo.converters import CONVERTERS, tensors_of
from visionzoo.errors import CheckpointError

_ADVICE = "give one of the authors' files of Mask R-CNN, UPerNet or Mask2Former"

# Names of detectron2 -> names of mmdet. ``self_attn`` of the pixel decoder has the same four parts in both.
_MASK2FORMER = tuple(
    (re.compile(rf"^sem_seg_head\.{pattern}"), f"panoptic_head.{replacement}")
    for pattern, replacement in (
        (r"pixel_decoder\.input_proj\.(\d)\.0\.", r"pixel_decoder.input_convs.\1.conv."),
        (r"pixel_decoder\.input_proj\.(\d)\.1\.", r"pixel_decoder.input_convs.\1.gn."),
        (r"pixel_decoder\.transformer\.level_embed$", "pixel_decoder.level_encoding.weight"),
        (
            r"pixel_decoder\.transformer\.encoder\.layers\.(\d+)\.self_attn\.",
            r"pixel_decoder.encoder.layers.\1.self_attn.",
        ),
        (r"pixel_decoder\.transformer\.encoder\.layers\.(\d+)\.norm1\.", r"pixel_decoder.encoder.layers.\1.norms.0."),
        (r"pixel_decoder\.transformer\.encoder\.layers\.(\d+)\.norm2\.", r"pixel_decoder.encoder.layers.\1.norms.1."),
        (
            r"pixel_decoder\.transformer\.encoder\.layers\.(\d+)\.linear1\.",
            r"pixel_decoder.encoder.layers.\1.ffn.layers.0.0.",
        ),
        (
            r"pixel_decoder\.transformer\.encoder\.layers\.(\d+)\.linear2\.",
            r"pixel_decoder.encoder.layers.\1.ffn.layers.1.",
        ),
        (r"pixel_decoder\.adapter_1\.norm\.", "pixel_decoder.lateral_convs.0.gn."),
        (r"pixel_decoder\.adapter_1\.", "pixel_decoder.lateral_convs.0.conv."),
        (r"pixel_decoder\.layer_1\.norm\.", "pixel_decoder.output_convs.0.gn."),
        (r"pixel_decoder\.layer_1\.", "pixel_decoder.output_convs.0.conv."),
        (r"pixel_decoder\.mask_features\.", "pixel_decoder.mask_feature."),
        (
            r"predictor\.transformer_cross_attention_layers\.(\d+)\.multihead_attn\.",
            r"transformer_decoder.layers.\1.cross_attn.attn.",
        ),
        (r"predictor\.transformer_cross_attention_layers\.(\d+)\.norm\.", r"transformer_decoder.layers.\1.norms.0."),
        (
            r"predictor\.transformer_self_attention_layers\.(\d+)\.self_attn\.",
            r"transformer_decoder.layers.\1.self_attn.attn.",
        ),
        (r"predictor\.transformer_self_attention_layers\.(\d+)\.norm\.", r"transformer_decoder.layers.\1.norms.1."),
        (r"predictor\.transformer_ffn_layers\.(\d+)\.linear1\.", r"transformer_decoder.layers.\1.ffn.layers.0.0."),
        (r"predictor\.transformer_ffn_layers\.(\d+)\.linear2\.", r"transformer_decoder.layers.\1.ffn.layers.1."),
        (r"predictor\.transformer_ffn_layers\.(\d+)\.norm\.", r"transformer_decoder.layers.\1.norms.2."),
        (r"predictor\.decoder_norm\.", "transformer_decoder.post_norm."),
        (r"predictor\.(?=(query_feat|query_embed|level_embed)\.)", ""),
        (r"predictor\.class_embed\.", "cls_embed."),
        (r"predictor\.mask_embed\.layers\.0\.", "mask_embed.0."),
        (r"predictor\.mask_embed\.layers\.1\.", "mask_embed.2."),
        (r"predictor\.mask_embed\.layers\.2\.", "mask_embed.4."),
    )
)
# The weight of each class in detectron2's loss, which the config of the model states here.
_LOSS = "criterion.empty_weight"


@CONVERTERS.register("dinat", use="model")
def convert_model(
    checkpoint: Mapping[str, Any], *, variant: str | None = None, file_name: str | None = None
) -> dict[str, Tensor]:
    """Convert a released Mask R-CNN, UPerNet or Mask2Former with NAT, DiNAT or DiNAT_s.

    Args:
        checkpoint: content of the authors' file.
        variant, file_name: of the backbone, see :func:`visionzoo.backbones.dinat.convert`.

    Returns:
        Tensors by name: ``backbone.*`` and the other parts of the model in mmdet or mmseg.

    Raises:
        CheckpointError: the file has no detector or segmentation model of these kinds, or another backbone.
    """
    state = {name: value for name, value in tensors_of(checkpoint, WRAPPERS).items() if name != _LOSS}
    strangers = [name for name in state if not name.startswith("backbone.") and not OTHER_PARTS.match(name)]
    others = [name for name in state if OTHER_PARTS.match(name)]
    if strangers or not others:
        raise CheckpointError(
            "checkpoint",
            expected="a detector or segmentation model (backbone.* and neck.*, decode_head.* or sem_seg_head.*)",
            found=strangers[0] if strangers else "only a backbone",
            advice=_ADVICE,
        )
    backbone = convert(state, variant=variant, file_name=file_name)
    ours = {f"backbone.{name}": value for name, value in backbone.items()}
    return ours | {_our_name(name): state[name] for name in others}


def _our_name(name: str) -> str:
    if not name.startswith("sem_seg_head."):
        return name
    for pattern, replacement in _MASK2FORMER:
        if pattern.match(name):
            return pattern.sub(replacement, name)
    raise CheckpointError("checkpoint", expected="names of Mask2Former in detectron2", found=name, advice=_ADVICE)
