"""Convert released checkpoints of LAVT: the whole model with its text encoder, or only the trunk.

The authors' files have the trunk and the decoder in ``model`` and the text encoder in ``bert_model``. Files of
``lavt_one`` have all in ``model``, the text encoder below ``text_encoder``. An official Swin file contains only the
trunk without language, a norm after it and a classifier, which are dropped.

Positions in windows, ``relative_position_index``, and positions of words, ``position_ids``, are computed and therefore
dropped. The order of patch merging is that of the released weights, so no channels are permuted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from visionzoo.converters import CONVERTERS, require_names, tensors_of
from visionzoo.errors import CheckpointError

_COMPUTED = ("relative_position_index", "attn_mask", "embeddings.position_ids")
# The pooler of BERT, which LAVT removes; files of BERT itself have it.
_NOT_USED = re.compile(r"^text_encoder\.pooler\.")
_KNOWN = re.compile(r"backbone\.(patch_embed|layers)\.|backbone\.norm[0-3]\.|classifier\.|text_encoder\.")
# Names of an official Swin file, which has no ``backbone.``.
_SWIN, _KNOWN_SWIN = {"patch_embed.proj.weight", "norm.weight"}, re.compile(r"(patch_embed|layers|norm|head)\.")
_NEEDED = ("backbone.patch_embed.proj.weight", "backbone.norm0.weight", "classifier.conv1_1.weight")
_EXPECTED = "LAVT (backbone.layers.*.fusion.*, classifier.conv1_4.*)"
_ADVICE = "give one of the authors' files, such as refcoco.pth"

# Of ImageNet, RGB values in 0 to 255.
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

# The authors' names and ours.
_NAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\bvis_project\.0\.", "visual."),
        (r"\bimage_lang_att\.f_(query|key|value)\.0\.", r"attention.\1."),
        (r"\bimage_lang_att\.W\.0\.", "attention.out."),
        (r"\bproject_mm\.0\.", "joint."),
        (r"\.res_gate\.", ".gate."),
        (r"^classifier\.conv1_1\.", "head.to_logits."),
    )
)
_FUSION = re.compile(r"\b(visual|attention\.\w+|joint)\.weight$")
_DECODER = re.compile(r"^classifier\.(conv|bn)([12])_([432])\.")


@CONVERTERS.register("lavt", use="states")
def states_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return all tensors of a file by name, those of a separate text encoder below ``text_encoder.``.

    Example:
        >>> import torch
        >>> file = {"model": {"backbone.a": torch.zeros(1)}, "bert_model": {"b": torch.zeros(1)}, "epoch": 3}
        >>> sorted(states_of(file))
        ['backbone.a', 'text_encoder.b']
    """
    tensors = tensors_of(checkpoint, ["model", "state_dict"])
    separate = checkpoint.get("bert_model")
    if isinstance(separate, Mapping):
        tensors |= {f"text_encoder.{name}": value for name, value in tensors_of(separate, []).items()}
    return tensors


@CONVERTERS.register("lavt")
def convert_model(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert a released LAVT to a ``TaskModel`` with ``LAVTSwin`` and ``LAVTHead``.

    Args:
        checkpoint: contents of the authors' file.

    Returns:
        Tensors by name: ``backbone.*`` and ``head.*``; also ``text_encoder.*`` with the names of BERT if the file has a
        text encoder.

    Raises:
        CheckpointError: the names are not those of LAVT.
    """
    tensors = {name: value for name, value in states_of(checkpoint).items() if not name.endswith(_COMPUTED)}
    require_names(tensors, needed=_NEEDED, known=_KNOWN, expected=_EXPECTED, advice=_ADVICE)
    return renamed({name: value for name, value in tensors.items() if not _NOT_USED.match(name)})


@CONVERTERS.register("lavt", use="backbone")
def convert(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert only the trunk, for ``LAVTSwin``.

    Args:
        checkpoint: contents of a file of LAVT, or of Swin, whose trunk has no layers for language.

    Raises:
        CheckpointError: see :func:`convert_model`.
    """
    own = tensors_of(checkpoint, ["model", "state_dict"])
    if set(own) >= _SWIN:
        require_names(own, needed=[], known=_KNOWN_SWIN, expected="Swin (patch_embed.*, layers.*)", advice=_ADVICE)
        return {
            name: value
            for name, value in own.items()
            if not name.endswith(_COMPUTED) and not name.startswith(("norm.", "head."))
        }
    start = "backbone."
    return {
        name.removeprefix(start): value for name, value in convert_model(checkpoint).items() if name.startswith(start)
    }


@CONVERTERS.register("lavt", use="input")
def input_of(checkpoint: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the input that LAVT was trained with.

    It has ``mean`` and ``std`` of RGB values in 0 to 255, and ``size``, (H, W) in pixels. Images are resized to
    this size without keeping their aspect ratio.
    """
    return {"mean": list(_MEAN), "std": list(_STD), "size": [480, 480]}


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under our names. Convolutions of PWAM with one point become linear layers.

    Example:
        >>> import torch
        >>> fusion = renamed({"vis_project.0.weight": torch.zeros(8, 8, 1)})
        >>> {name: tuple(value.shape) for name, value in fusion.items()}
        {'visual.weight': (8, 8)}
    """
    ours = {_our_name(name): value for name, value in tensors.items()}
    return {name: value.squeeze(-1) if _FUSION.search(name) else value for name, value in ours.items()}


def _our_name(name: str) -> str:
    if name.startswith("text_encoder."):
        return name
    if match := _DECODER.match(name):
        layer = 3 * (int(match[2]) - 1) + (match[1] == "bn")
        return f"head.decoder.{4 - int(match[3])}.{layer}.{name[match.end() :]}"
    for pattern, replacement in _NAMES:
        name = pattern.sub(replacement, name)
    if name.startswith("classifier."):
        raise CheckpointError("checkpoint", expected=_EXPECTED, found=name, advice=_ADVICE)
    return name
