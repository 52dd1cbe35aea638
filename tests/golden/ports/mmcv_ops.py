"""mmcv's ops served without a compiler, against outputs of compiled mmcv."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

import visionzoo  # noqa: F401  (serves mmcv._ext)

SYSTEM = "mmcv_ops"
Arrays = dict[str, np.ndarray]


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, from the stored inputs of ``arrays``."""
    from mmcv import ops

    package, _, name = case["call"].rpartition(".")
    if package != "mmcv.ops" or name not in CALLS:
        raise LookupError(f"mmcv_ops: expected a call of {sorted(CALLS)}, found {case['call']!r}")
    inputs = {
        key.removeprefix("input:"): torch.from_numpy(np.array(array))
        for key, array in arrays.items()
        if key.startswith("input:")
    }
    return CALLS[name](getattr(ops, name), inputs, dict(case["args"]))


def _kept_boxes(op: Callable, inputs: dict[str, Tensor], args: dict[str, Any]) -> Arrays:
    dets, keep = op(inputs["boxes"], inputs["scores"], **args)
    return {"dets": dets.numpy(), "keep": keep.numpy()}


def _kept_boxes_by_class(op: Callable, inputs: dict[str, Tensor], args: dict[str, Any]) -> Arrays:
    dets, keep = op(inputs["boxes"], inputs["scores"], inputs["idxs"], **args)
    return {"dets": dets.numpy(), "keep": keep.numpy()}


def _groups(op: Callable, inputs: dict[str, Tensor], args: dict[str, Any]) -> Arrays:
    return {f"group{index:02d}": group.numpy() for index, group in enumerate(op(inputs["dets"], **args))}


def _differentiable(*order: str) -> Callable[[Callable, dict[str, Tensor], dict[str, Any]], Arrays]:
    """Call the op with tensors in this order, then its settings; differentiate by all floats except ``rois``."""

    def call(op: Callable, inputs: dict[str, Tensor], args: dict[str, Any]) -> Arrays:
        cotangent = inputs.pop("cotangent", None)
        leaves = {name: tensor.requires_grad_() for name, tensor in inputs.items() if _is_leaf(name, tensor)}
        out = op(*(inputs.get(name) for name in order), *_settings(op, order, args))
        outputs = {"out": out.detach().numpy()}
        if cotangent is not None and out.requires_grad:
            gradients = torch.autograd.grad((out * cotangent).sum(), list(leaves.values()))
            outputs |= {f"grad:{name}": grad.numpy() for name, grad in zip(leaves, gradients, strict=True)}
        return outputs

    return call


def _is_leaf(name: str, tensor: Tensor) -> bool:
    return tensor.is_floating_point() and name != "rois"


SETTINGS: dict[str, dict[str, Any]] = {
    "RoIAlignFunction": {
        "output_size": 7,
        "spatial_scale": 1.0,
        "sampling_ratio": 0,
        "pool_mode": "avg",
        "aligned": True,
    },
    "RoIPoolFunction": {"output_size": 7, "spatial_scale": 1.0},
    "DeformConv2dFunction": {
        "stride": 1,
        "padding": 0,
        "dilation": 1,
        "groups": 1,
        "deform_groups": 1,
        "bias": False,
        "im2col_step": 32,
    },
    "ModulatedDeformConv2dFunction": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "deform_groups": 1},
    "SigmoidFocalLossFunction": {"gamma": 2.0, "alpha": 0.25, "weight": None, "reduction": "mean"},
    "SoftmaxFocalLossFunction": {"gamma": 2.0, "alpha": 0.25, "weight": None, "reduction": "mean"},
    "MultiScaleDeformableAttnFunction": {"im2col_step": 64},
    "MaskedConv2dFunction": {"padding": 0, "stride": 1},
    "PSAMaskFunction": {"psa_type": 0, "mask_size": 3},
}


def _settings(op: Callable, order: tuple[str, ...], args: dict[str, Any]) -> list[Any]:
    """Return the settings by position, as ``Function.apply`` needs them; missing ones are mmcv's defaults."""
    defaults = SETTINGS[op.__self__.__name__]  # type: ignore[attr-defined]
    unknown = set(args) - set(defaults)
    if unknown:
        raise LookupError(f"mmcv_ops: {op.__self__.__name__} takes {sorted(defaults)}, found {sorted(unknown)}")  # type: ignore[attr-defined]
    return [_hashable(args.get(name, default)) for name, default in defaults.items()]


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


CALLS: dict[str, Callable[[Callable, dict[str, Tensor], dict[str, Any]], Arrays]] = {
    "nms": _kept_boxes,
    "soft_nms": _kept_boxes,
    "batched_nms": _kept_boxes_by_class,
    "nms_match": _groups,
    "roi_align": _differentiable("input", "rois"),
    "roi_pool": _differentiable("input", "rois"),
    "deform_conv2d": _differentiable("input", "offset", "weight"),
    "modulated_deform_conv2d": _differentiable("input", "offset", "mask", "weight", "bias"),
    "sigmoid_focal_loss": _differentiable("input", "target"),
    "softmax_focal_loss": _differentiable("input", "target"),
    "masked_conv2d": _differentiable("features", "mask", "weight", "bias"),
}
