"""GCoNet+ against the authors' code: every stage for a group, and one training step for a pair."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from weights import reference_state

from visionzoo.heads.gconet_plus import convert_model
from visionzoo.models.task_model import TaskModel
from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import TaskSample

SYSTEM = "gconet_plus"
Arrays = dict[str, np.ndarray]

BACKBONES = {
    "vgg16": dict(type="VGG", variant="16"),
    "vgg16bn": dict(type="VGG", variant="16_bn"),
    "resnet50": dict(type="UnpooledResNet", variant="50"),
}
LOSSES = ["sal", "cls", "contrast", "cls_mask"]
OPERATIONS = ["x", "+", "c"]
FACTORS = {"bce": 4, "iou": 4, "triplet": 4}  # the authors multiply these bases because one output is supervised


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runner of its family."""
    if not case["name"].startswith(("eval_", "train_")):
        raise LookupError(f"gconet_plus: expected eval_ or train_, found {case['name']!r}")
    model = _build(case)
    images = torch.from_numpy(arrays["input:images"])
    if case["mode"] == "train":
        return _train(model, images, arrays, case)
    with torch.no_grad():
        outputs = _run_group(model, images)
    return {name: outputs[name].numpy() for name in outputs}


def tolerance(case: Mapping[str, Any], name: str, reference: np.ndarray) -> float | None:
    """Losses and gradient norms have separate relative tolerances."""
    largest = float(np.abs(reference).max(initial=0.0))
    for start, key in (("loss_", "tolerance_losses_relative"), ("grad_norm:", "tolerance_grad_norm_relative")):
        if name.startswith(start) and key in case:
            return float(case[key]) * largest
    return None


# --------------------------------------------------------------------------- model


def _build(case: Mapping[str, Any]) -> TaskModel:
    constructor = case["constructor"]
    encoder, options = _options(constructor.get("bb", "vgg16bn"), constructor.get("config_overrides") or {})
    model = build_model(
        dict(
            type="TaskModel",
            backbone=BACKBONES[encoder],
            head=dict(type="GCoNetPlusHead", unused_layers=True, **options),
        )
    )
    model.load_state_dict(convert_model(reference_state(case), keep_unused=True))
    return model.train(case["mode"] == "train")


def _options(encoder: str, overrides: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the head's options from the lines of the authors' config that a case replaces."""
    losses, options, weights = list(LOSSES), {"gam": True, "cem": True}, {}
    for line in overrides.values():
        is_known = False
        for pattern, read in _READERS.items():
            for match in re.finditer(pattern, line):
                read(match, losses, options, weights)
                is_known = True
        if match := re.search(r"\['vgg16', 'vgg16bn', 'resnet50'\]\[(\d)\]|\bbb = '(\w+)'", line):
            encoder, is_known = match[2] or list(BACKBONES)[int(match[1])], True
        if not is_known:
            raise LookupError(f"gconet_plus: expected a line of the config that the port supports, found {line!r}")
    if not options["gam"] and "contrast" in losses:
        losses.remove("contrast")
    weights.setdefault("triplet", 12.0)
    gst = "cls" in losses and weights["triplet"] > 0
    options |= dict(
        acm="cls" in losses, gcm="contrast" in losses, racm="cls_mask" in losses, gst=gst, loss_weights=weights
    )
    return encoder, {"norm": encoder != "vgg16", **options}


def _read_losses(match: re.Match, losses: list, options: dict, weights: dict) -> None:
    ends = [int(number) if number.strip() else None for number in match[1].split(":")]
    losses[:] = LOSSES[slice(*ends)]


def _read_switch(name: str, match: re.Match, losses: list, options: dict, weights: dict) -> None:
    options[name] = match[1] == "True"


def _read_operation(match: re.Match, losses: list, options: dict, weights: dict) -> None:
    options["racm_operation"] = match[2] or OPERATIONS[int(match[1])]


def _read_refine(match: re.Match, losses: list, options: dict, weights: dict) -> None:
    options["refine"] = int(match[2]) if match[2] else [0, 1, 4][int(match[1])]


def _read_triplet(match: re.Match, losses: list, options: dict, weights: dict) -> None:
    end = int(match[1]) if match[1] else 2
    options["gst_on"] = ("features", "masked")[:end]


def _read_weight(match: re.Match, losses: list, options: dict, weights: dict) -> None:
    weights[match[1]] = FACTORS[match[1]] * float(np.prod([float(factor) for factor in match[2].split("*")]))


_READERS = {
    r"\blosses\[([-\d: ]*:[-\d: ]*)\]": _read_losses,
    r"\bGAM = (True|False)": partial(_read_switch, "gam"),
    r"\bdb_output_decoder = (True|False)": partial(_read_switch, "cem"),
    r"\buse_bn = (True|False)": partial(_read_switch, "norm"),
    r"\['x', '\+', 'c'\]\[(\d)\]|\bcls_mask_operation = '(.)'": _read_operation,
    r"\[0, 1, 4\]\[(\d)\]|\brefine = (\d)": _read_refine,
    r"\['_x5', 'mask'\]\[:(\d?)\]": _read_triplet,
    r"'(bce|iou|triplet)': *(\d[\d.]*(?: *\* *\d[\d.]*)*)": _read_weight,
}


# --------------------------------------------------------------------------- group


class _Watch:
    """Outputs of the parts of a model, by the authors' names."""

    def __init__(self, model: TaskModel):
        self.found: dict[str, list[Tensor]] = {}
        head = model.head
        self._keep(model.backbone, "feats")
        self._keep(head.decoder.top, "top_layer")
        head.decoder.top.register_forward_pre_hook(self._keep_input)
        for index, block in enumerate(head.decoder.blocks):
            self._keep(block, f"enlayer{len(head.decoder.blocks) - index}")
        self._keep(head.decoder, "decoded")
        if head.cem:
            self._keep(head.binarizer.prob, "db_binarize")
            self._keep(head.binarizer.threshold, "db_thresh")

    def _keep(self, part: nn.Module, name: str) -> None:
        part.register_forward_hook(lambda module, given, out: self.found.setdefault(name, []).append(out))

    def _keep_input(self, module: nn.Module, given: tuple[Tensor]) -> None:
        self.found.setdefault("weighted_x5", []).append(given[0])

    def outputs(self, head: nn.Module) -> dict[str, Tensor]:
        """Return the tensors of the first pass through the encoder."""
        outputs = {name: torch.cat(parts) for name, parts in self.found.items() if name != "feats"}
        outputs |= {name: outputs[name].sigmoid() for name in ("db_binarize", "db_thresh") if name in outputs}
        if head.racm:
            outputs["conv_out_mask"] = head.to_mask(outputs["decoded"])
        return outputs | {f"x{level}": feat for level, feat in enumerate(self.found["feats"][0], start=1)}


def _run_group(model: TaskModel, images: Tensor) -> dict[str, Tensor]:
    watch = _Watch(model)
    pred = model(images, [TaskSample(metainfo=dict(group_size=len(images)))])
    return watch.outputs(model.head) | {"pred": pred}


# --------------------------------------------------------------------------- training step


def _train(model: TaskModel, images: Tensor, arrays: Mapping[str, np.ndarray], case: Mapping[str, Any]) -> Arrays:
    model.backbone.requires_grad_(False)
    watch, raw, head = _Watch(model), {}, model.head
    outputs = head._outputs
    head._outputs = lambda *given: raw.setdefault("outputs", outputs(*given))
    classes: list[Tensor] = []
    if hasattr(head, "classifier"):
        head.classifier.register_forward_hook(lambda module, given, out: classes.append(out))
    losses = model(images, _pair(arrays, len(images)), mode="loss")
    total = sum(losses.values())
    total.backward()
    tensors = watch.outputs(head) | _named(raw["outputs"], classes, head) | _named_losses(losses, head.loss_weights)
    tensors |= {"loss_total": total}
    _require_no_gradient(head, case)
    tensors |= _gradient_norms(model, case)
    return {name: value.detach().numpy() for name, value in tensors.items()}


def _pair(arrays: Mapping[str, np.ndarray], count: int) -> list[TaskSample]:
    samples = []
    for half in (slice(0, count // 2), slice(count // 2, count)):
        masks = torch.from_numpy(arrays["input:gts"][half, 0])
        sample = TaskSample(metainfo=dict(group_size=len(masks)))
        sample.gt_map = (masks * 255) if masks.dtype == torch.uint8 else masks.float() * 255
        sample.gt_label = torch.tensor(int(arrays["input:cls_gts"][half][0]))
        samples.append(sample)
    return samples


def _named(outputs: Mapping[str, Tensor], classes: list[Tensor], head: nn.Module) -> dict[str, Tensor]:
    named = {"pred": outputs["maps"], "gap_x5": outputs["features"]}
    if "contrast" in outputs:
        named["pred_contrast"] = torch.cat(outputs["contrast"].split(1, 1))
    names = [name for name, is_on in (("pred_cls", head.acm), ("pred_cls_mask", head.racm)) if is_on]
    return named | dict(zip(names, classes, strict=True))


def _named_losses(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
    named = {f"{name}_weighted": value for name, value in losses.items()}
    for name in ("bce", "iou"):
        if f"loss_{name}" in losses:
            named[f"loss_{name}_unweighted"] = losses[f"loss_{name}"] / weights[name]
    named["loss_sal_total"] = sum(losses[f"loss_{name}"] for name in FACTORS if f"loss_{name}" in losses)
    return named


def _theirs(model: nn.Module, case: Mapping[str, Any]) -> dict[str, str]:
    """Return the authors' name of our parameter."""
    names = convert_model({name: torch.empty(shape) for name, shape, *_ in case["state"]}, keep_unused=True)
    return dict(zip(names, [name for name, *_ in case["state"]], strict=True))


def _require_no_gradient(head: nn.Module, case: Mapping[str, Any]) -> None:
    theirs = _theirs(head, case)
    without = {theirs[f"head.{name}"] for name, value in head.named_parameters() if value.grad is None}
    expected = set(case.get("no_grad_parameters", without))
    if without != expected:
        raise AssertionError(f"without gradient: expected {sorted(expected)}, found {sorted(without)}")


def _gradient_norms(model: nn.Module, case: Mapping[str, Any]) -> dict[str, Tensor]:
    ours = {name: key for key, name in _theirs(model, case).items()}
    parameters = dict(model.named_parameters())
    expected = [entry["name"] for entry in case["outputs"] if entry["name"].startswith("grad_norm:")]
    return {name: parameters[ours[name.removeprefix("grad_norm:")]].grad.norm() for name in expected}
