"""Convert released checkpoints of NASNet-A: TensorFlow's variables, and files of the PyTorch ports (Cadene, timm).

The PyTorch file of Mobile numbers its cells with gaps (0-3, 6-9, 12-15). Our names are numbered without gaps, like
TensorFlow's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from visionzoo.backbones.nasnet.design import VARIANTS, Design
from visionzoo.converters import CONVERTERS, require_classifier, stated_variant
from visionzoo.errors import CheckpointError

_AVERAGED = "/ExponentialMovingAverage"
_FILE_NAME = re.compile(r"nasnet[-_]?a?[-_]?(large|mobile)(?![a-z])", re.IGNORECASE)

# Variables of a TensorFlow checkpoint that are not weights: counters and optimizers' slots.
_NOT_WEIGHTS = re.compile(r"(^|/)(global_step|beta\d_power|RMSProp(_\d)?|Momentum|Adam(_\d)?)$")

# Parts of a detector's checkpoint that contain cells, and parts that contain its heads.
_DETECTOR_CELLS = re.compile(r"^(First|Second)StageFeatureExtractor/")
_DETECTOR_HEADS = re.compile(r"^(Conv|FirstStageBoxPredictor|SecondStageBoxPredictor)/")

_CELL = r"(?P<cell>cell_stem_\d|cell_\d+|reduction_cell_\d+)"
_NODE = r"comb_iter_(?P<node>\d)"

# Names of TensorFlow's code and of the PyTorch ports -> our names. Parts of norms and layouts are converted below.
_TENSORFLOW = (
    (r"(conv0|l1_stem_3x3)/weights", "conv0.conv.weight"),
    (r"(conv0_bn|l1_stem_bn)/(?P<of>\w+)", "conv0.bn.{of}"),
    (rf"{_CELL}/1x1/weights", "{cell}.cur.conv.weight"),
    (rf"{_CELL}/beginning_bn/(?P<of>\w+)", "{cell}.cur.bn.{of}"),
    (rf"{_CELL}/prev_1x1/weights", "{cell}.prev.conv.weight"),
    (rf"{_CELL}/(prev_bn|final_path_bn)/(?P<of>\w+)", "{cell}.prev.bn.{of}"),
    (rf"{_CELL}/path(?P<path>[12])_conv/weights", "{cell}.prev.path_{path}.weight"),
    (
        rf"{_CELL}/{_NODE}/(?P<side>left|right)/separable_\dx\d_(?P<turn>[12])/(?P<kind>depth|point)wise_weights",
        "{cell}.node_{node}_{side}.{kind}wise_{turn}.weight",
    ),
    (
        rf"{_CELL}/{_NODE}/(?P<side>left|right)/bn_sep_\dx\d_(?P<turn>[12])/(?P<of>\w+)",
        "{cell}.node_{node}_{side}.bn_{turn}.{of}",
    ),
    (rf"{_CELL}/{_NODE}/(?P<side>left|right)/1x1/weights", "{cell}.node_{node}_{side}.conv.weight"),
    (rf"{_CELL}/{_NODE}/(?P<side>left|right)/bn_1/(?P<of>\w+)", "{cell}.node_{node}_{side}.bn.{of}"),
    (rf"{_CELL}/cell_output/reduction_1/path_conv/weights", "{cell}.output_prev.conv.weight"),
    (rf"{_CELL}/cell_output/reduction_1/path_bn/(?P<of>\w+)", "{cell}.output_prev.bn.{of}"),
    (r"final_layer/FC/weights", "classifier.weight"),
    (r"final_layer/FC/biases", "classifier.bias"),
    (r"aux_\d+/aux_logits/proj/weights", "aux.proj.weight"),
    (r"aux_\d+/aux_logits/aux_bn(?P<turn>[01])/(?P<of>\w+)", "aux.bn_{turn}.{of}"),
    (r"aux_\d+/aux_logits/Conv/weights", "aux.conv.weight"),
    (r"aux_\d+/aux_logits/FC/weights", "aux.fc.weight"),
    (r"aux_\d+/aux_logits/FC/biases", "aux.fc.bias"),
)
_PYTORCH = (
    (r"conv0\.(?P<of>(conv|bn)\.\w+)", "conv0.{of}"),
    (rf"{_CELL}\.conv_1x1\.(?P<of>(conv|bn)\.\w+)", "{cell}.cur.{of}"),
    (rf"{_CELL}\.conv_prev_1x1\.(?P<of>(conv|bn)\.\w+)", "{cell}.prev.{of}"),
    (rf"{_CELL}\.path_(?P<path>[12])\.conv\.weight", "{cell}.prev.path_{path}.weight"),
    (rf"{_CELL}\.final_path_bn\.(?P<of>\w+)", "{cell}.prev.bn.{of}"),
    (
        rf"{_CELL}\.{_NODE}_(?P<side>left|right)\.separable_(?P<turn>[12])\.(?P<kind>depth|point)wise_conv2d\.weight",
        "{cell}.node_{node}_{side}.{kind}wise_{turn}.weight",
    ),
    (
        rf"{_CELL}\.{_NODE}_(?P<side>left|right)\.bn_sep_(?P<turn>[12])\.(?P<of>\w+)",
        "{cell}.node_{node}_{side}.bn_{turn}.{of}",
    ),
    (
        rf"{_CELL}\.{_NODE}_(?P<side>left|right)\.conv_1x1\.(?P<of>(conv|bn)\.\w+)",
        "{cell}.node_{node}_{side}.{of}",
    ),
    (rf"{_CELL}\.cell_output_reduction_1\.(?P<of>(conv|bn)\.\w+)", "{cell}.output_prev.{of}"),
    (r"last_linear\.(?P<of>weight|bias)", "classifier.{of}"),
    (r"aux_head\.bn(?P<turn>[01])\.(?P<of>\w+)", "aux.bn_{turn}.{of}"),
    (r"aux_head\.(?P<of>(proj|conv|fc)\.\w+)", "aux.{of}"),
)
_NORM_PARTS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


@CONVERTERS.register("nasnet", use="backbone")
def convert(
    checkpoint: Mapping[str, Any], *, variant: str | None = None, file_name: str | None = None
) -> dict[str, Tensor]:
    """Convert the weights of a released NASNet-A to those of :class:`NASNet`, without both classifiers.

    Args:
        checkpoint: tensors or arrays by name: a PyTorch state dict of the ports of Cadene or timm, optionally inside
            ``{"state_dict": ...}``, or TensorFlow's variables. Moving averages replace the variables that have them.
        variant: ``large``, ``mobile`` or ``cifar``; ``custom`` for other numbers of cells and filters, which are not
            checked; None to accept any of the known variants.
        file_name: name of the checkpoint's file. It must not state another variant.

    Returns:
        Weights by name.

    Raises:
        CheckpointError: a name that is not in a NASNet, or weights of another variant.
    """
    weights = _parts_of(checkpoint)["network"]
    _check_variant(variant, file_name, weights)
    return weights


@CONVERTERS.register("nasnet", use="classifier")
def convert_classifier(checkpoint: Mapping[str, Any], *, drop_background: bool = False) -> dict[str, Tensor]:
    """Return the weights of the classifier that reads the mean of the last map.

    Args:
        checkpoint: as for :func:`convert`.
        drop_background: drop row 0, the background class of ImageNet models with 1001 classes.

    Returns:
        ``weight`` (classes, 24 F) and ``bias`` (classes,).

    Raises:
        CheckpointError: the checkpoint has no classifier, or ``drop_background`` is set and it does not have 1001
            classes.
    """
    weights = _parts_of(checkpoint)["classifier"]
    require_classifier(weights, "last_linear or final_layer/FC")
    if drop_background and len(weights["bias"]) != 1001:
        raise CheckpointError(
            "checkpoint",
            expected="1001 classes, the first of which is the background",
            found=f"{len(weights['bias'])}",
            advice="leave drop_background out",
        )
    return {name: value[int(drop_background) :] for name, value in weights.items()}


@CONVERTERS.register("nasnet", use="auxiliary")
def convert_aux(checkpoint: Mapping[str, Any], *, drop_background: bool = False) -> dict[str, Tensor]:
    """Return the weights of :class:`NASNetAuxBranch`.

    Args:
        checkpoint, drop_background: as for :func:`convert_classifier`.

    Raises:
        CheckpointError: the checkpoint has no auxiliary classifier.
    """
    weights = _parts_of(checkpoint)["aux"]
    if "fc.bias" not in weights:
        raise CheckpointError(
            "checkpoint",
            expected="an auxiliary classifier (aux_head or aux_N/aux_logits)",
            found=f"{sorted(weights) or 'none'}",
            advice="the PyTorch ports' files do not contain one",
        )
    if drop_background:
        weights |= {name: weights[name][1:] for name in ("fc.weight", "fc.bias")}
    return weights


@CONVERTERS.register("nasnet", use="detector")
def convert_detector(
    checkpoint: Mapping[str, Any], *, variant: str | None = None, file_name: str | None = None
) -> dict[str, Tensor]:
    """Convert the weights of both parts of a detector with ``proposal_features``, prefixed with their names in mmdet.

    Args:
        checkpoint: as for :func:`convert`, or the variables of the authors' detector. Its heads are dropped.
        variant, file_name: as for :func:`convert`.

    Returns:
        ``backbone.*`` of :class:`NASNet` and ``roi_head.shared_head.*`` of :class:`NASNetRoITail`.

    Raises:
        CheckpointError: as for :func:`convert`.
    """
    bare = {
        _DETECTOR_CELLS.sub("", name): value for name, value in checkpoint.items() if not _DETECTOR_HEADS.match(name)
    }
    weights = convert(bare, variant=variant, file_name=file_name)
    first = 2 * _shape_of(weights).num_cells // 3
    tail = {"reduction_cell_1", *(f"cell_{i}" for i in range(first, first + len(weights)))}
    prefix = {True: "roi_head.shared_head.", False: "backbone."}
    return {prefix[name.partition(".")[0] in tail] + name: value for name, value in weights.items()}


def named_variant(file_name: str) -> str | None:
    """Return the variant that a file name states, or None.

    Example:
        >>> named_variant("weights/nasnetamobile-7e03cead.pth")
        'mobile'
    """
    match = _FILE_NAME.search(PurePath(file_name).name)
    return None if match is None else match[1].lower()


# --------------------------------------------------------------------------- names


def _parts_of(checkpoint: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    """Return the weights of ``network``, ``classifier`` and ``aux`` by our names."""
    values = _values_of(checkpoint)
    is_tensorflow = any("/" in name for name in values)
    table, to_tensor = (_TENSORFLOW, _from_tensorflow) if is_tensorflow else (_PYTORCH, _as_tensor)
    numbers = _consecutive(values)
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "classifier": {}, "aux": {}}
    for name, value in values.items():
        ours = _renamed(name, table, numbers)
        first, _, rest = ours.partition(".")
        part, own = (first, rest) if first in parts else ("network", ours)
        if own in parts[part]:
            raise CheckpointError(
                "checkpoint", expected=f"{own} once", found=f"it again as {name}", advice="remove one of the two"
            )
        parts[part][own] = to_tensor(name, value)
    return parts


def _values_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return tensors and arrays by name. Moving averages replace the variables that they belong to."""
    inner = checkpoint["state_dict"] if isinstance(checkpoint.get("state_dict"), Mapping) else checkpoint
    values = {
        name.removeprefix("module."): value
        for name, value in inner.items()
        if isinstance(value, (Tensor, np.ndarray)) and not _NOT_WEIGHTS.search(name)
    }
    averaged = {name for name in values if name.endswith(_AVERAGED)}
    replaced = {name.removesuffix(_AVERAGED) for name in averaged}
    return {name.removesuffix(_AVERAGED): value for name, value in values.items() if name not in replaced}


def _renamed(name: str, table: tuple[tuple[str, str], ...], numbers: Mapping[str, str]) -> str:
    for pattern, ours in table:
        match = re.fullmatch(pattern, name)
        if match:
            parts = match.groupdict()
            if "cell" in parts:
                parts["cell"] = numbers.get(parts["cell"], parts["cell"])
            if "of" in parts:
                parts["of"] = _NORM_PARTS.get(parts["of"], parts["of"])
            return ours.format(**parts)
    raise CheckpointError(
        "checkpoint",
        expected=(
            "a NASNet-A (conv0, cell_stem_*, cell_*, reduction_cell_* and classifiers, by the names of TensorFlow's "
            "code or of the PyTorch ports)"
        ),
        found=f"{name}",
        advice="give one of the released files",
    )


def _consecutive(names: Mapping[str, Any]) -> dict[str, str]:
    """Map the names of normal cells to names that are numbered without gaps."""
    numbers = {int(match[1]) for name in names if (match := re.match(r"cell_(\d+)[./]", name))}
    return {f"cell_{number}": f"cell_{i}" for i, number in enumerate(sorted(numbers))}


# --------------------------------------------------------------------------- layouts


def _as_tensor(name: str, value: Any) -> Tensor:
    return torch.as_tensor(value)


def _from_tensorflow(name: str, value: Any) -> Tensor:
    """Convert convolutions from HWIO, depthwise convolutions from HWC1 and linear layers from IO."""
    tensor = torch.as_tensor(value)
    if name.endswith("/depthwise_weights"):
        tensor = tensor.permute(2, 3, 0, 1)
    elif tensor.ndim == 4:
        tensor = tensor.permute(3, 2, 0, 1)
    elif tensor.ndim == 2:
        tensor = tensor.T
    return tensor.contiguous()


# --------------------------------------------------------------------------- variants


def _check_variant(variant: str | None, file_name: str | None, weights: Mapping[str, Tensor]) -> None:
    if variant == "custom":
        return
    by_file = named_variant(file_name) if file_name else None
    stated, shape = stated_variant(variant, by_file, file_name, "NASNet-A "), _shape_of(weights)
    fitting = [name for name, options in VARIANTS.items() if shape == _shape(Design(**options))]
    if stated is not None and stated not in fitting:
        raise CheckpointError(
            f"checkpoint: expected NASNet-A {stated}, found weights of {shape}; "
            + (f"they are of {fitting[0]}" if fitting else "build the network with these and use variant='custom'")
        )
    if not fitting:
        raise CheckpointError(
            "checkpoint",
            expected=f"a NASNet-A of {', '.join(VARIANTS)}",
            found=f"weights of {shape}",
            advice="build the network with these and use variant='custom'",
        )


class _Shape(NamedTuple):
    """Settings of a network that its weights determine."""

    num_cells: int
    filters: int
    stem_filters: int
    stem: str

    def __str__(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._asdict().items())


def _shape(design: Design) -> _Shape:
    return _Shape(design.num_cells, design.filters, design.stem_filters, design.stem)


def _shape_of(weights: Mapping[str, Tensor]) -> _Shape:
    if "conv0.conv.weight" not in weights or "cell_0.cur.conv.weight" not in weights:
        raise CheckpointError(
            "checkpoint",
            expected="a NASNet-A with its first convolution and cell_0",
            found=f"{sorted(weights)[:3] or 'none'}",
            advice="give one of the released files",
        )
    cells = {name.partition(".")[0] for name in weights}
    stem = "imagenet" if "cell_stem_0" in cells else "cifar"
    count = sum(re.fullmatch(r"cell_\d+", name) is not None for name in cells)
    return _Shape(count, len(weights["cell_0.cur.conv.weight"]), len(weights["conv0.conv.weight"]), stem)
