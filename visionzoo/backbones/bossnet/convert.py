"""Released checkpoints of BossNet to ours: names stay, the classifier goes, and the variant must be known.

T0 and T1 have the same names and shapes and differ in one stride. Nothing in their weights says which they are, and
the weights of one give wrong features in the other; so whoever converts names the variant, or the file does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from torch import Tensor

from visionzoo.converters import CONVERTERS, classifier_of, require_names, tensors_of, told_variant
from visionzoo.errors import CheckpointError

_BACKBONE = re.compile(r"(conv1|bn1|layer[1-4])\.")
_SQUEEZE_EXCITE = re.compile(r"(^|\.)layer[1-4]\.\d+\.se\.fc1\.weight$")
_FILE_NAME = re.compile(r"bossnet[-_](t0|t1)(?:[-_](nose))?(?![a-z0-9])", re.IGNORECASE)

WITH_SE, WITHOUT_SE = ("T0", "T1"), ("T0_nose",)


@CONVERTERS.register("bossnet", use="backbone")
def convert(
    checkpoint: Mapping[str, Any], *, variant: str | None = None, file_name: str | None = None, use_ema: bool = False
) -> dict[str, Tensor]:
    """Weights of a released BossNet to weights of :class:`BossNet`, the classifier left out.

    Args:
        checkpoint: as loaded from the authors' file (``{"model": ...}``), or its state dict alone.
        variant: ``T0``, ``T0_nose`` or ``T1``; ``custom`` for any other encoding, which is then not checked.
        file_name: where the checkpoint came from; ``BossNet-T1-81_9.pth`` says the variant as well.
        use_ema: the averaged weights (``model_ema``) of a training checkpoint.

    Raises:
        CheckpointError: these are not weights of a BossNet, of another variant than named, or of one that nobody
            named and that they do not tell.
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
    _check_variant(variant, file_name, has_se=has_squeeze_excite(weights))
    return weights


@CONVERTERS.register("bossnet", use="classifier")
def convert_classifier(checkpoint: Mapping[str, Any], *, use_ema: bool = False) -> dict[str, Tensor]:
    """``weight`` (classes, 2048) and ``bias`` (classes,) of the classifier behind the mean of the last map.

    Raises:
        CheckpointError: there is none.
    """
    return classifier_of(_state_of(checkpoint, use_ema), "fc")


def named_variant(file_name: str) -> str | None:
    """The variant that a file name like ``BossNet-T0-nose-80_5.pth`` says, or None.

    >>> named_variant("weights/BossNet-T0-nose-80_5.pth")
    'T0_nose'
    """
    found = _FILE_NAME.search(PurePath(file_name).name)
    return None if found is None else "_".join(filter(None, (found[1].upper(), (found[2] or "").lower())))


def has_squeeze_excite(names: Mapping[str, Any]) -> bool:
    """Whether these weights are of a network with squeeze and excitation."""
    return any(_SQUEEZE_EXCITE.search(name) for name in names)


def _check_variant(variant: str | None, file_name: str | None, *, has_se: bool) -> None:
    if variant == "custom":
        return
    by_file = named_variant(file_name) if file_name else None
    told, fitting = told_variant(variant, by_file, file_name, "BossNet-"), WITH_SE if has_se else WITHOUT_SE
    if told is None and len(fitting) > 1:
        raise CheckpointError(
            "checkpoint",
            expected=(
                f"to be told the variant, because {' and '.join(fitting)} have the same weights' names and shapes and "
                "only a stride tells them apart"
            ),
            found="none named",
            advice=f"give variant={fitting[0]!r} or variant={fitting[1]!r}",
        )
    if told is not None and told not in fitting:
        raise CheckpointError(
            "checkpoint",
            expected=f"BossNet-{told}, {_SAYS[told not in WITH_SE]}",
            found=f"weights {_SAYS[not has_se]}",
            advice=f"use variant {' or '.join(fitting)}",
        )


_SAYS = {False: "with squeeze and excitation and SiLU", True: "without squeeze and excitation, with ReLU"}


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
