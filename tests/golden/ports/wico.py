"""LAVT and its fusion against the authors' code."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from weights import reference_state

from visionzoo.backbones.lavt import LAVTSwin, convert_model
from visionzoo.backbones.lavt.convert import renamed
from visionzoo.heads.wico import LAVTHead
from visionzoo.layers.language import PWAM
from visionzoo.structures.batch import Batch, TextStates
from visionzoo.structures.task_sample import TaskSample

SYSTEM = "wico"
Arrays = dict[str, np.ndarray]


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runner of its family."""
    families = {"lavt_": _run_lavt, "pwam_": _run_pwam}
    for start, run_family in families.items():
        if case["name"].startswith(start):
            return run_family(case, arrays)
    raise LookupError(f"wico: expected one of {', '.join(families)}, found {case['name']!r}")


def tolerance(case: Mapping[str, Any], name: str, reference: np.ndarray) -> float | None:
    """Relative for losses and norms of gradients, if the case states it."""
    kinds = {"loss_": "tolerance_losses_relative", "grad_norm:": "tolerance_grad_norm_relative"}
    key = next((key for start, key in kinds.items() if name.startswith(start)), None)
    return float(case[key]) * float(np.abs(reference)) if key in case else None


# --------------------------------------------------------------------------- LAVT


def _run_lavt(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    model, images = _built(case), torch.from_numpy(arrays["input:images"])
    sample = TaskSample(metainfo={"batch_input_shape": tuple(images.shape[2:])})
    batch = Batch(images, [sample] * len(images), text=_text_of(arrays))
    trains = case["mode"] == "train"
    with torch.set_grad_enabled(trains):
        feats = model["backbone"](images, batch)
        logits = model["head"](feats, batch)
    outputs = {f"stage{stage}": feat for stage, feat in enumerate(feats, start=1)} | {"logits": logits}
    if "input:target" in arrays:
        loss = model["head"].mask_loss(logits, torch.from_numpy(arrays["input:target"]) != 0)
        outputs["loss_ce"] = loss
        if trains:
            loss.backward()
            outputs |= _gradients(model, case)
    return {name: value.detach().numpy() for name, value in outputs.items()}


def _built(case: Mapping[str, Any]) -> nn.ModuleDict:
    """Build trunk and decoder without stochastic depth, and load the weights of the reference strictly."""
    built, state = dict(case["constructor"]), reference_state(case)
    size, is_12, mha, drop = (built.pop(name, None) for name in ("swin_type", "window12", "mha", "fusion_drop"))
    if built:
        raise LookupError(f"wico: expected swin_type, window12, mha and fusion_drop, found also {', '.join(built)}")
    backbone = LAVTSwin(
        f"swin_{size}",
        **_sizes_of(state, is_12=bool(is_12)),
        fusion_heads=tuple(map(int, mha.split("-"))) if mha else (1, 1, 1, 1),
        fusion_drop=drop or 0.0,
        drop_path_rate=0.0,
    )
    model = nn.ModuleDict({"backbone": backbone, "head": LAVTHead(backbone.out_channels, backbone.out_strides)})
    model.load_state_dict(convert_model({"model": state}))
    for part, ours in {"backbone": "backbone", "classifier": "head"}.items():
        count = sum(value.numel() for value in model[ours].parameters())
        if count != case.get("parameters", {}).get(part, count):
            raise AssertionError(f"{part}: expected {case['parameters'][part]} parameters, found {count}")
    return model.train(case["mode"] == "train")


def _sizes_of(state: Mapping[str, Tensor], *, is_12: bool) -> dict[str, Any]:
    """Return the sizes of the trunk in the weights, which may differ from those of its type."""
    blocks = re.compile(r"backbone\.layers\.(\d)\.blocks\.(\d+)\.attn\.relative_position_bias_table")
    tables = {match.groups(): value for name, value in state.items() if (match := blocks.fullmatch(name))}
    rows, _ = tables["0", "0"].shape
    window = (math.isqrt(rows) + 1) // 2
    if is_12 and window != 12:
        raise AssertionError(f"window: expected 12, found {window}")
    return {
        "embed_dim": len(state["backbone.patch_embed.proj.weight"]),
        "depths": tuple(sum(stage == f"{index}" for stage, _ in tables) for index in range(4)),
        "num_heads": tuple(tables[f"{index}", "0"].shape[1] for index in range(4)),
        "window_size": window,
        "text_channels": state["backbone.layers.0.fusion.image_lang_att.f_key.0.weight"].shape[1],
    }


def _gradients(model: nn.Module, case: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the norms of gradients by the authors' names, -1 for a parameter without gradient."""
    outputs, parameters = {}, dict(model.named_parameters())
    for entry in case["outputs"]:
        name = entry["name"]
        if name.startswith("grad_norm:"):
            (ours,) = renamed({name.removeprefix("grad_norm:"): torch.zeros(1, 1, 1)})
            gradient = parameters[ours].grad
            outputs[name] = torch.tensor(-1.0) if gradient is None else gradient.norm()
    without = {name for name, value in parameters.items() if value.grad is None}
    listed = case.get("zero_or_no_grad_parameters")
    if listed is not None and not without <= set(renamed({name: torch.zeros(1) for name in listed})):
        raise AssertionError(f"expected no gradient of {listed}, found {sorted(without)}")
    return outputs


# --------------------------------------------------------------------------- PWAM


def _run_pwam(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    built = case["constructor"]
    if len({built[name] for name in ("dim", "v_in_channels", "value_channels")}) > 1:
        raise LookupError(f"wico: expected equal dim, v_in_channels and value_channels, found {built}")
    fusion = PWAM(
        built["dim"],
        built["l_in_channels"],
        key_channels=built["key_channels"],
        heads=built["num_heads"],
        dropout=built["dropout"],
    )
    fusion.load_state_dict(renamed(reference_state(case)))
    fusion.train(case["mode"] == "train")
    x, text = torch.from_numpy(arrays["input:x"]), _text_of(arrays)
    with torch.no_grad():
        outputs = {"image_lang_att": fusion.attention(x, text), "pwam": fusion(x, text)}
    return {name: value.numpy() for name, value in outputs.items()}


def _text_of(arrays: Mapping[str, np.ndarray]) -> TextStates:
    """Return the words of the reference, (B, C, L), with their mask, (B, L, 1), as ours."""
    states, mask = torch.from_numpy(arrays["input:l"]), torch.from_numpy(arrays["input:l_mask"])
    return TextStates(states.transpose(1, 2), mask[..., 0] != 0)
