"""Neighborhood attention against NATTEN, and NAT, DiNAT and DiNAT_s against the authors' code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from weights import reference_state

from visionzoo.backbones.dinat import DiNAT, convert, convert_classifier
from visionzoo.ops.neighborhood_attention import attention_weights, na1d, na2d, na3d

SYSTEM = "dinat"
Arrays = dict[str, np.ndarray]

_BY_AXES = {1: na1d, 2: na2d, 3: na3d}
_OPERATORS = tuple(f"{family}{axes}d" for family in ("na", "gna") for axes in _BY_AXES)
_STAGES = 4


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runner of its family."""
    name = case["name"]
    if name.startswith(_OPERATORS):
        return _run_operator(case, arrays, heads_first=name.startswith("na"))
    if name.startswith("dinat_backbone_"):
        return _run_backbone(case, arrays)
    if name.startswith(("nat_", "dinat_")):
        return _run_classifier(case, arrays)
    raise LookupError(f"dinat: expected an operator, nat_, dinat_s_, dinat_backbone_ or dinat_, found {name!r}")


# --------------------------------------------------------------------------- operator


def _run_operator(case: dict[str, Any], arrays: Mapping[str, np.ndarray], *, heads_first: bool) -> Arrays:
    given = {name.removeprefix("input:"): torch.from_numpy(array) for name, array in arrays.items()}
    trains = "grad_out" in given
    leaves = {name: x.requires_grad_(trains) for name, x in given.items() if name != "grad_out"}
    q, k, v = ((leaves[name].movedim(1, -2) if heads_first else leaves[name]) for name in "qkv")
    built = case["constructor"]
    options = {name: tuple(built[name]) for name in ("stride", "dilation", "is_causal") if name in built}
    options["rpb"] = leaves.get("rpb")
    out = _BY_AXES[q.ndim - 3](q, k, v, tuple(built["kernel_size"]), **options)
    shown = out.movedim(-2, 1) if heads_first else out
    outputs = {"out": shown.detach()}
    if heads_first:
        weights = attention_weights(q, k, tuple(built["kernel_size"]), **options)
        outputs["attn_weights"] = weights.movedim(-2, 1).detach()
    if trains:
        gradients = torch.autograd.grad(shown, list(leaves.values()), given["grad_out"])
        outputs |= {f"grad_{name}": gradient for name, gradient in zip(leaves, gradients)}
    return {name: value.numpy() for name, value in outputs.items()}


# --------------------------------------------------------------------------- networks


@torch.no_grad()
def _run_backbone(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    out_indices = tuple(case["constructor"].get("out_indices", range(_STAGES)))
    net = _loaded(case, reference_state(case), out_indices)
    outs = net(torch.from_numpy(arrays["input:image"]))
    return _thinned({f"out{index}": out for index, out in enumerate(outs)}, case)


@torch.no_grad()
def _run_classifier(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    state = reference_state(case)
    net = _loaded(case, state, (_STAGES - 1,))
    outputs: dict[str, Tensor] = {}
    net.patch_embed.register_forward_hook(_keeping(outputs, "embed"))
    for stage, level in enumerate(net.levels, start=1):
        level.blocks[-1].register_forward_hook(_keeping(outputs, f"stage{stage}"))
    (last,) = net(torch.from_numpy(arrays["input:image"]))
    head = convert_classifier(state)
    outputs["logits"] = torch.nn.functional.linear(last.mean((2, 3)), head["weight"], head["bias"])
    return _thinned(outputs, case)


def _loaded(case: Mapping[str, Any], state: Mapping[str, Tensor], out_indices: tuple[int, ...]) -> DiNAT:
    given = {name: value for name, value in case["constructor"].items() if name != "num_classes"}
    given["dilations"] = given.get("dilations") or 1
    given["out_indices"] = out_indices
    tokenizer = "conv" if "patch_embed.proj.0.weight" in state else "patch"
    net = DiNAT("nat_mini", **{"tokenizer": tokenizer, "drop_path_rate": 0.0, **given})
    net.load_state_dict(convert(state, variant="custom"))
    return net.eval()


def _keeping(outputs: dict[str, Tensor], name: str) -> Any:
    def keep(module: Any, inputs: Any, output: Tensor) -> None:
        outputs[name] = output.permute(0, 3, 1, 2)

    return keep


def _thinned(maps: Mapping[str, Tensor], case: Mapping[str, Any]) -> Arrays:
    """Return evenly spaced channels of each map, in the number that the case keeps."""
    kept = {entry["name"]: entry["shape"][1] for entry in case["outputs"]}
    outputs = {}
    for name in kept:
        step = max(1, maps[name].shape[1] // kept[name])
        outputs[name] = maps[name][:, ::step].numpy()
    return outputs
