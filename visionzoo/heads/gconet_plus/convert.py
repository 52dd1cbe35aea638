"""Convert released checkpoints of GCoNet+: the whole model, encoder and head.

The authors' files are bare state dicts (``ultimate*.pth``), or ``checkpoint.pth`` of a training run with the state
dict inside. Four layers that the authors' model contains but never runs are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from visionzoo.converters import CONVERTERS, require_names, tensors_of
from visionzoo.errors import CheckpointError

_UNUSED = ("co_x5.conv_output.", "co_x5.conv_transform.", "co_x5.fc_transform.")
_TRAINING_ONLY = ("pred_layer.", "classifier.", "conv_out_mask.", "conv_cat_mask.")

# The authors' names to those of GCoNetPlusHead.
_HEAD = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^top_layer\.", "decoder.top."),
        (r"^co_x5\.all_attention\.query_transform\.", "consensus.query."),
        (r"^co_x5\.all_attention\.key_transform\.", "consensus.key."),
        (r"^co_x5\.all_attention\.conv6\.", "consensus.value."),
        (r"^co_x5\.(conv_output|conv_transform|fc_transform)\.", r"unused.\1."),
        (r"^pred_layer\.enlayer\.0\.", "contrast.0."),
        (r"^pred_layer\.predlayer\.0\.", "contrast.2."),
        (r"^conv_out_mask\.0\.", "to_mask."),
        (r"^conv_cat_mask\.", "join_mask."),
        (r"^db_output_decoder\.binarize\.", "binarizer.prob."),
        (r"^db_output_decoder\.thresh\.", "binarizer.threshold."),
        (r"^refiner\.0\.", "refiner."),
        (r"^classifier\.", "classifier."),
    )
)
_ENCODER = re.compile(r"^bb\.conv([1-5])\.(\d+)\.(.+)$")
_LEVEL = re.compile(r"^(enlayer|latlayer)([1-5])\.")


@CONVERTERS.register("gconet_plus")
def convert_model(
    checkpoint: Mapping[str, Any], *, inference_only: bool = False, keep_unused: bool = False
) -> dict[str, Tensor]:
    """Convert a released GCoNet+ to a ``TaskModel`` with ``GCoNetPlusHead``.

    The tensor names identify the encoder: VGG-16 with or without batch normalisation (for ``VGG``) or ResNet-50 (for
    ``UnpooledResNet``). Files without the training-only layers are accepted.

    Args:
        checkpoint: contents of the authors' file.
        inference_only: drop the layers that only training needs (contrast, classifier and RACM's mask), for a head
            with ``gcm``, ``acm`` and ``racm`` off.
        keep_unused: keep the layers that never run, for a head with ``unused_layers``.

    Returns:
        Tensors by name, ``backbone.*`` and ``head.*``.

    Raises:
        CheckpointError: the weights are of GCoNet, its predecessor, or of another model.
    """
    state = tensors_of(checkpoint)
    _require_gconet_plus(state)
    has_cem = any(name.startswith("db_output_decoder.") for name in state)
    is_resnet = state["bb.conv1.0.weight"].shape[-1] == 7
    # conv_out1 predicts the map only in models without CEM
    unused = (*_UNUSED, "conv_out1.") if has_cem else _UNUSED
    left_out = (*(() if keep_unused else unused), *(_TRAINING_ONLY if inference_only else ()))
    kept = {name: value for name, value in state.items() if not name.startswith(left_out)}
    return {
        f"backbone.{_encoder_name(name, is_resnet)}"
        if name.startswith("bb.")
        else f"head.{_head_name(name, has_cem)}": x
        for name, x in kept.items()
    }


def _require_gconet_plus(state: Mapping[str, Tensor]) -> None:
    if any(name.startswith(("ginet.", "co_classifier.", "toplayer.", "dslayer")) for name in state):
        raise CheckpointError(
            "checkpoint",
            expected="GCoNet+ (bb.*, top_layer.*, db_output_decoder.*)",
            found="GCoNet, its predecessor of another architecture",
            advice="give one of the files of GCoNet+, such as ultimate_duts_cocoseg.pth",
        )
    require_names(
        state,
        needed=["bb.conv1.0.weight", "top_layer.conv_in.weight"],
        expected="GCoNet+ (bb.*, top_layer.*, enlayer*.*)",
        advice="give one of the authors' files, such as ultimate_duts_cocoseg.pth",
    )


def _head_name(name: str, has_cem: bool) -> str:
    if match := _LEVEL.match(name):
        part = "blocks" if match[1] == "enlayer" else "laterals"
        return f"decoder.{part}.{5 - int(match[2])}.{name[match.end() :]}"
    if name.startswith("conv_out1.0."):
        return name.replace("conv_out1.0.", "unused.conv_out1." if has_cem else "to_logits.")
    for pattern, replacement in _HEAD:
        if pattern.match(name):
            return pattern.sub(replacement, name)
    raise CheckpointError(
        "checkpoint", expected="names of GCoNet+", found=f"{name}", advice="give one of the authors' files"
    )


def _encoder_name(name: str, is_resnet: bool) -> str:
    """Rename a tensor of the encoder.

    ``bb.conv3.17.weight`` is layer 17 of VGG; ``bb.conv3.0.conv1.weight`` is block 0 of ResNet's second stage.
    """
    match = _ENCODER.match(name)
    if match is None:
        raise CheckpointError(
            "checkpoint", expected="bb.conv1.* to bb.conv5.*", found=f"{name}", advice="give a file of GCoNet+"
        )
    stage, index, rest = int(match[1]), int(match[2]), match[3]
    if not is_resnet:
        return f"features.{index}.{rest}"
    return f"layer{stage - 1}.{index}.{rest}" if stage > 1 else f"{('conv1', 'bn1')[index]}.{rest}"
