"""RCNet against the authors' RCFPN: the whole neck (evaluation, one training step), and only the channel shift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from weights import golden_input, reference_state

from visionzoo.necks.rcnet import RCNet, convert, shift_levels

SYSTEM = "rcnet"
Arrays = dict[str, np.ndarray]


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, of the families ``neck_`` (by mode) and ``csn_shift``."""
    name, mode = case["name"], case["mode"]
    if name.startswith("csn_shift"):
        pyramid = torch.from_numpy(arrays["input:pyramid"])
        return {"shifted": torch.stack(shift_levels(pyramid.unbind(1))).numpy()}
    if not name.startswith("neck_") or mode not in ("eval", "train"):
        raise LookupError(f"rcnet: expected neck_* or csn_shift*, eval or train, found {name!r}, {mode!r}")
    neck = RCNet(**case["constructor"])
    neck.load_state_dict(convert(reference_state(case)))
    feats = [torch.from_numpy(arrays[f"input:{entry['name']}"]) for entry in case["inputs"]]
    return _train_step(neck.train(), feats, case) if mode == "train" else _evaluate(neck.eval(), feats)


def tolerance(case: Mapping[str, Any], name: str, reference: np.ndarray) -> np.ndarray | None:
    """Compare norms of gradients relative to their size, where it is above 1.

    The norms reach 155, and the float32 reference itself differs by 5e-3 from the same step in float64. The absolute
    1e-3 of all other outputs would test rounding.
    """
    return case["tolerance"] * np.maximum(1, np.abs(reference)) if name == "grad_norm" else None


@torch.no_grad()
def _evaluate(neck: RCNet, feats: list[Tensor]) -> Arrays:
    """Compute the output and the intermediate results."""
    levels = neck.levels(feats)
    fused = neck.RevFP(levels)
    mixed = neck.CSN.msm(neck.CSN.on_grid(fused))
    spatial, scale = neck.CSN.contexts(mixed)
    stages = {"c": levels, "revfp_p": fused, "p": neck(feats)}
    outputs = {f"{stage}{i}": x for stage, maps in stages.items() for i, x in enumerate(maps, start=3)}
    outputs |= {
        "csn_msm": torch.stack(mixed, 1),
        "csn_spatial_context": spatial[None],
        "csn_scale_context": scale[None],
    }
    return {name: value.numpy() for name, value in outputs.items()}


def _train_step(neck: RCNet, feats: list[Tensor], case: Mapping[str, Any]) -> Arrays:
    """Do one forward and backward pass towards drawn targets: loss, gradients, running statistics."""
    outs = neck(feats)
    targets = (golden_input(f"target{i}", x.shape, "normal", case["seed"]) for i, x in enumerate(outs))
    loss = torch.stack([F.mse_loss(x, torch.from_numpy(target)) for x, target in zip(outs, targets)]).sum()
    loss.backward()
    gradients = {name: value.grad for name, value in neck.named_parameters() if value.grad is not None}
    outputs = {f"p{i}": x.detach() for i, x in enumerate(outs, start=3)}
    outputs |= {f"grad:{name}": gradient for name, gradient in gradients.items()}
    outputs |= {f"buffer_after:{name}": value for name, value in neck.named_buffers()}
    outputs["loss"] = loss.detach()[None]
    outputs["grad_norm"] = torch.stack([gradients[name].norm() for name in case.get("grad_norm_order", gradients)])
    return {name: value.numpy() for name, value in outputs.items()}
