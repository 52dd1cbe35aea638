"""Convert released checkpoints of NAT, DiNAT and DiNAT_s with the names of the authors or of Hugging Face.

The norm after the last stage of a classifier, ``norm`` or ``layernorm``, becomes ``norm3``. The authors initialise the
norms of detectors instead; ``keep_norm=False`` drops it.

NAT and DiNAT have the same names and shapes, and so has DiNAT for each use. They differ only in dilations, which the
weights do not contain. The caller or the file name must therefore state the variant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from visionzoo.backbones.dinat.variants import CONV, PATCH, VARIANTS, Design
from visionzoo.converters import (
    CONVERTERS,
    classifier_of,
    require_names,
    require_same_tensors,
    stated_variant,
    tensors_of,
)
from visionzoo.errors import CheckpointError, require_known
from visionzoo.registry import MODELS

_BACKBONE = re.compile(r"(patch_embed|levels)\.|norm[0-3]\.")
WRAPPERS = ("state_dict", "model")
# Parts of detectors and segmentation models beside their ``backbone``.
OTHER_PARTS = re.compile(r"(neck|rpn_head|roi_head|decode_head|auxiliary_head|sem_seg_head|criterion)\.")
_FILE_NAME = re.compile(r"(?<![a-z])(dinat[-_]s|dinat|nat)[-_](mini|tiny|small|base|large)(?![a-z])", re.IGNORECASE)

# Replacements from Hugging Face's names to the authors', applied in this order.
_FROM_HUGGING_FACE = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^(dinat|nat)\.", ""),
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^embeddings\.norm\.", "patch_embed.norm."),
        (r"^encoder\.levels\.(\d+)\.layers\.", r"levels.\1.blocks."),
        (r"^encoder\.levels\.", "levels."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
        (r"\.attention\.self\.", ".attn."),
        (r"\.attention\.output\.dense\.", ".attn.proj."),
        (r"\.intermediate\.dense\.", ".mlp.fc1."),
        (r"(\.blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
        (r"^layernorm\.", "norm."),
        (r"^classifier\.", "head."),
    )
)
_HUGGING_FACE_NORM = re.compile(r"^hidden_states_norms\.stage([1-4])\.")


@CONVERTERS.register("dinat", use="backbone")
def convert(
    checkpoint: Mapping[str, Any],
    *,
    variant: str | None = None,
    file_name: str | None = None,
    kernel_size: int | None = None,
    keep_norm: bool = True,
) -> dict[str, Tensor]:
    """Convert the weights of a released model to those of :class:`DiNAT`, without the classifier.

    Args:
        checkpoint: content of a file of the authors or of Hugging Face, of a classifier, a backbone, a detector or a
            segmentation model.
        variant: one of ``DiNAT.VARIANTS``; ``custom`` for any other depths and widths, which are not checked.
        file_name: name of the checkpoint's file; a name like ``dinat_mini_in1k_224.pth`` also states the variant.
        kernel_size: resize the position biases to this kernel, as the authors do from 7 to 11.
        keep_norm: use the classifier's norm for the last map.

    Returns:
        Weights by name.

    Raises:
        CheckpointError: the weights are not those of a DiNAT, they are of another variant than stated, or no variant
            is stated and more than one fits.
        UnknownName: an unknown variant.
    """
    weights = _backbone_of(checkpoint, keep_norm=keep_norm)
    checked = _checked_variant(variant, file_name, weights)
    if checked is not None:
        norms = r"norm[0-3]\."
        require_same_tensors(weights, lambda: MODELS.get("DiNAT")(checked), checked, norms)  # type: ignore[misc]
    return weights if kernel_size is None else resize_bias(weights, kernel_size)


@CONVERTERS.register("dinat", use="variants")
def variants_of(
    checkpoint: Mapping[str, Any], *, variant: str | None = None, file_name: str | None = None
) -> dict[str, str]:
    """Return ``{"DiNAT": "nat_mini"}``, or {} for ``variant="custom"``. Arguments as for :func:`convert`."""
    checked = _checked_variant(variant, file_name, _backbone_of(checkpoint))
    return {} if checked is None else {"DiNAT": checked}


def _backbone_of(checkpoint: Mapping[str, Any], *, keep_norm: bool = True) -> dict[str, Tensor]:
    state = _authors_names(checkpoint)
    left_out = ("head.",) if keep_norm else ("head.", "norm.")
    weights = {_our_name(name): value for name, value in state.items() if not name.startswith(left_out)}
    require_names(
        weights,
        known=_BACKBONE,
        needed=["patch_embed.norm.weight"],
        expected="a DiNAT (patch_embed.*, levels.* or layers.*, norm.*, head.*)",
        advice="give a file of the authors or of Hugging Face",
    )
    return weights


@CONVERTERS.register("dinat", use="classifier")
def convert_classifier(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of the classifier that reads the mean of the normalised last map.

    Args:
        checkpoint: as for :func:`convert`.

    Returns:
        ``weight`` (classes, 8C) and ``bias`` (classes,).

    Raises:
        CheckpointError: the checkpoint has no classifier.
    """
    return classifier_of(_authors_names(checkpoint), "head")


def resize_bias(weights: Mapping[str, Tensor], kernel_size: int) -> dict[str, Tensor]:
    """Resize all tables of position biases to ``kernel_size`` by bicubic interpolation.

    Args:
        weights: weights by name. Names that end with ``rpb`` are tables, (heads, 2k - 1, 2k - 1).
        kernel_size: the new k.

    Returns:
        The resized tables and the other weights, unchanged.

    Example:
        >>> resize_bias({"attn.rpb": torch.zeros(2, 13, 13)}, 11)["attn.rpb"].shape
        torch.Size([2, 21, 21])
    """
    side = 2 * kernel_size - 1
    return {name: _resized(value, side) if name.endswith("rpb") else value for name, value in weights.items()}


def named_variant(file_name: str) -> str | None:
    """Return the variant that a file name states, or None.

    Example:
        >>> named_variant("weights/dinat_large_in22k_in1k_384_11x11.pth"), named_variant("nat_mini.pth")
        ('dinat_large_k11', 'nat_mini')
    """
    name = PurePath(file_name).name
    match = _FILE_NAME.search(name)
    if match is None:
        return None
    variant = f"{match[1].lower().replace('-', '_')}_{match[2].lower()}"
    # The authors' Mask2Formers have kernel 11, which the names of their files do not state.
    return f"{variant}_k11" if "11x11" in name or name.startswith("mask2former_") else variant


# --------------------------------------------------------------------------- names


def _authors_names(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    state = tensors_of(checkpoint, WRAPPERS)
    if any(name.startswith("backbone.") for name in state):
        state = {name: value for name, value in state.items() if not OTHER_PARTS.match(name)}
    state = {name.removeprefix("backbone."): value for name, value in state.items()}
    is_hugging_face = any("embeddings.patch_embeddings" in name for name in state)
    return _from_hugging_face(state) if is_hugging_face else state


def _our_name(name: str) -> str:
    name = re.sub(r"^layers\.", "levels.", name)
    return re.sub(r"^norm\.", "norm3.", name)


def _from_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        name = _HUGGING_FACE_NORM.sub(lambda match: f"norm{int(match[1]) - 1}.", name)
        for pattern, replacement in _FROM_HUGGING_FACE:
            name = pattern.sub(replacement, name)
        if match := re.search(r"\.attn\.(query|key|value)\.(weight|bias)$", name):
            parts.setdefault(f"{name[: match.start()]}.attn.qkv.{match[2]}", {})[match[1]] = value
        elif name.endswith(".layer_scale_parameters"):
            stem = name.removesuffix("layer_scale_parameters")
            weights |= {f"{stem}gamma1": value[0], f"{stem}gamma2": value[1]}
        else:
            weights[name] = value
    for name, three in parts.items():
        missing = {"query", "key", "value"} - set(three)
        if missing:
            raise CheckpointError("checkpoint", expected=f"query, key and value for {name}", found=f"no {min(missing)}")
        weights[name] = torch.cat([three["query"], three["key"], three["value"]])
    return weights


def _resized(table: Tensor, side: int) -> Tensor:
    if table.shape[-1] == side:
        return table
    return F.interpolate(table.float()[None], size=(side, side), mode="bicubic")[0].to(table.dtype)


# --------------------------------------------------------------------------- variants


def _checked_variant(variant: str | None, file_name: str | None, weights: Mapping[str, Tensor]) -> str | None:
    """Return the variant of the weights, or None for ``custom``."""
    if variant == "custom":
        return None
    if variant is not None:
        require_known(variant, VARIANTS, "DiNAT variant")
    by_file = named_variant(file_name) if file_name else None
    stated, shape = stated_variant(variant, by_file, file_name), _shape_of(weights)
    fitting = [name for name in VARIANTS if _shape_of_design(Design(**VARIANTS[name])) == shape]
    if stated is not None and stated not in fitting:
        fits = f"those of {' or '.join(fitting)}" if fitting else "those of no variant (variant='custom' accepts any)"
        raise CheckpointError(
            "checkpoint", expected=f"weights of {stated}", found=f"{fits}", advice=f"{_differences(stated, shape)}"
        )
    if stated is None and len(fitting) != 1:
        reason = f"{' or '.join(fitting)} have" if fitting else "no known variant has"
        raise CheckpointError(
            "checkpoint",
            expected=f"the variant, because {reason} weights of these names and shapes",
            found="none",
            advice=f"give variant={fitting[0] if fitting else 'custom'!r} or another one",
        )
    return stated or fitting[0]


def _shape_of(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read from names and shapes all settings of a design that they determine."""
    first = "levels.0.blocks.0"
    try:
        heads, table, _ = weights[f"{first}.attn.rpb"].shape
        hidden, embed_dim = weights[f"{first}.mlp.fc1.weight"].shape
    except KeyError as error:
        raise CheckpointError(
            "checkpoint", expected=f"{error.args[0]} of a DiNAT", found="none", advice="give a complete checkpoint"
        ) from error
    blocks = {tuple(map(int, match.groups())) for name in weights if (match := re.match(_BLOCK, name))}
    stages = max(stage for stage, _ in blocks) + 1
    return {
        "depths": tuple(sum(stage == each for each, _ in blocks) for stage in range(stages)),
        "embed_dim": embed_dim,
        "heads": heads,
        "hidden": hidden,
        "kernel_size": (table + 1) // 2,
        "layer scale": f"{first}.gamma1" in weights,
        "tokenizer": CONV if "patch_embed.proj.0.weight" in weights else PATCH,
    }


_BLOCK = r"levels\.(\d+)\.blocks\.(\d+)\."


def _shape_of_design(design: Design) -> dict[str, Any]:
    return {
        "depths": design.depths,
        "embed_dim": design.embed_dim,
        "heads": design.heads[0],
        "hidden": int(design.embed_dim * design.mlp_ratio),
        "kernel_size": design.kernel_size,
        "layer scale": design.layer_scale is not None,
        "tokenizer": design.tokenizer,
    }


def _differences(variant: str, shape: Mapping[str, Any]) -> str:
    expected = _shape_of_design(Design(**VARIANTS[variant]))
    return "; ".join(
        f"{key}: {expected[key]} expected, {shape[key]} found" for key in expected if expected[key] != shape[key]
    )
