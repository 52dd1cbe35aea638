"""Convert released checkpoints of BossNet: keep the names, drop the classifier, and require the variant.

T0 and T1 have the same names and shapes and differ only in one stride. Their weights do not identify the variant, and
the weights of one variant give wrong features in the other. The caller or the file name must therefore state it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from typing import Any

from torch import Tensor

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

_BACKBONE = re.compile(r"(conv1|bn1|layer[1-4])\.")
_SQUEEZE_EXCITE = re.compile(r"(^|\.)layer[1-4]\.\d+\.se\.fc1\.weight$")
_FILE_NAME = re.compile(r"bossnet[-_](t0|t1)(?:[-_](nose))?(?![a-z0-9])", re.IGNORECASE)

WITH_SE, WITHOUT_SE = ("T0", "T1"), ("T0_nose",)


@CONVERTERS.register("bossnet", use="backbone")
def convert(
    checkpoint: Mapping[str, Any], *, variant: str | None = None, file_name: str | None = None, use_ema: bool = False
) -> dict[str, Tensor]:
    """Convert the weights of a released BossNet to those of :class:`BossNet`, without the classifier.

    Args:
        checkpoint: content of the authors' file (``{"model": ...}``), or only its state dict.
        variant: ``T0``, ``T0_nose`` or ``T1``; ``custom`` for any other encoding, which is not checked.
        file_name: name of the checkpoint's file; a name like ``BossNet-T1-81_9.pth`` also states the variant.
        use_ema: read the averaged weights (``model_ema``) of a training checkpoint.

    Returns:
        Weights by name.

    Raises:
        CheckpointError: the weights are not those of a BossNet, they are of another variant than stated, or no variant
            is stated and more than one fits.
    """
    state = _state_of(checkpoint, use_ema)
    weights = {name: value for name, value in state.items() if not name.startswith("fc.")}
    require_names(
        weights,
        known=_BACKBONE,
        needed=["conv1.weight"],
        expected="a BossNet (conv1.*, bn1.*, layer1.* to layer4.*, fc.*)",
        advice="give one of the authors' files",
    )
    checked = _checked_variant(variant, file_name, has_se=has_squeeze_excite(weights))
    if checked is not None:
        width = len(weights["conv1.weight"])
        network = partial(MODELS.build, dict(type="BossNet", variant=checked, width=width, head_dim=width))
        require_same_tensors(weights, network, f"BossNet-{checked}")
    return weights


@CONVERTERS.register("bossnet", use="variants")
def variants_of(
    checkpoint: Mapping[str, Any], *, variant: str | None = None, file_name: str | None = None
) -> dict[str, str]:
    """Return ``{"BossNet": "T1"}``, or {} for ``variant="custom"``. Arguments as for :func:`convert`."""
    checked = _checked_variant(variant, file_name, has_se=has_squeeze_excite(tensors_of(checkpoint, ["model"])))
    return {} if checked is None else {"BossNet": checked}


@CONVERTERS.register("bossnet", use="classifier")
def convert_classifier(checkpoint: Mapping[str, Any], *, use_ema: bool = False) -> dict[str, Tensor]:
    """Return the weights of the classifier that reads the mean of the last map.

    Args:
        checkpoint, use_ema: as for :func:`convert`.

    Returns:
        ``weight`` (classes, 2048) and ``bias`` (classes,).

    Raises:
        CheckpointError: the checkpoint has no classifier.
    """
    return classifier_of(_state_of(checkpoint, use_ema), "fc")


def named_variant(file_name: str) -> str | None:
    """Return the variant that a file name like ``BossNet-T0-nose-80_5.pth`` states, or None.

    Example:
        >>> named_variant("weights/BossNet-T0-nose-80_5.pth")
        'T0_nose'
    """
    match = _FILE_NAME.search(PurePath(file_name).name)
    return None if match is None else "_".join(filter(None, (match[1].upper(), (match[2] or "").lower())))


def has_squeeze_excite(names: Mapping[str, Any]) -> bool:
    """Return True if the weights are those of a network with squeeze and excitation."""
    return any(_SQUEEZE_EXCITE.search(name) for name in names)


def _checked_variant(variant: str | None, file_name: str | None, *, has_se: bool) -> str | None:
    """Return the variant of the weights, or None for ``custom``."""
    if variant == "custom":
        return None
    if variant is not None:
        require_known(variant, (*WITH_SE, *WITHOUT_SE, "custom"), "BossNet variant")
    by_file = named_variant(file_name) if file_name else None
    stated, fitting = stated_variant(variant, by_file, file_name, "BossNet-"), WITH_SE if has_se else WITHOUT_SE
    if stated is None and len(fitting) > 1:
        raise CheckpointError(
            "checkpoint",
            expected=(
                f"the variant, because the weights of {' and '.join(fitting)} have the same names and shapes and "
                "the networks differ only in a stride"
            ),
            found="none",
            advice=f"give variant={fitting[0]!r} or variant={fitting[1]!r}",
        )
    if stated is not None and stated not in fitting:
        raise CheckpointError(
            "checkpoint",
            expected=f"BossNet-{stated}, {_DESCRIPTIONS[stated not in WITH_SE]}",
            found=f"weights {_DESCRIPTIONS[not has_se]}",
            advice=f"use variant {' or '.join(fitting)}",
        )
    return stated or fitting[0]


_DESCRIPTIONS = {False: "with squeeze and excitation and SiLU", True: "without squeeze and excitation, with ReLU"}


def _state_of(checkpoint: Mapping[str, Any], use_ema: bool) -> dict[str, Tensor]:
    key = "model_ema" if use_ema else "model"
    if use_ema and key not in checkpoint:
        raise CheckpointError(
            "checkpoint",
            expected="averaged weights (model_ema)",
            found=f"{sorted(map(str, checkpoint))[:5]}",
            advice="leave use_ema out",
        )
    return tensors_of(checkpoint, [key])
