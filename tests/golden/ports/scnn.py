"""SCNN against its PyTorch port, lanes against the port's sampler, numbers against CULane's and TuSimple's programs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from weights import reference_state

from visionzoo.datasets.lanes.culane_files import lanes_from_text
from visionzoo.heads.scnn import convert_model
from visionzoo.metrics.lanes import LaneCounts, count_matches, spline_points, tusimple_scores
from visionzoo.models.wiring import build_model
from visionzoo.ops.lane_points import blurred, lanes_of_maps
from visionzoo.structures.task_sample import TaskSample

SYSTEM = "scnn"
Arrays = dict[str, np.ndarray]

DIRECTIONS = {"up_down": "down", "down_up": "up", "left_right": "right", "right_left": "left"}
KINDS = {"prob2lines_CULane": "culane", "prob2lines_tusimple": "tusimple"}
# Stored channels of every output.
THINNED = {"feat:backbone": np.s_[:, ::2], "grad:message_passing.": np.s_[::8, ::8]}
SPLINE_PIXELS = 1e-2
BLUR = 1e-5
SPLINE, SIMILARITY = "spline_first_anno:", "similarity:"


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runner of its family."""
    families = {
        "vgg16_": _run_model,
        "prob2lines": _run_lanes,
        "culane_metric": _run_culane,
        "tusimple_metric": _run_tusimple,
    }
    for start, run_family in families.items():
        if case["name"].startswith(start):
            return run_family(case, arrays)
    raise LookupError(f"scnn: expected one of {', '.join(families)}, found {case['name']!r}")


def tolerance(case: Mapping[str, Any], name: str, reference: np.ndarray) -> float | None:
    """Relative for the model; pixels for splines; a lane that contains a point twice has no comparable similarity."""
    if case["name"].startswith("vgg16_"):
        return float(case["tolerance"]) * max(1.0, float(np.abs(reference).max(initial=0.0)))
    if name.startswith("blurred_"):
        return BLUR
    if name.startswith(SPLINE):
        return SPLINE_PIXELS
    if name.startswith(SIMILARITY) and _has_point_twice(case, name.removeprefix(SIMILARITY).removesuffix("_nan")):
        return np.inf
    return None


def _names(case: Mapping[str, Any]) -> list[str]:
    return [entry if isinstance(entry, str) else entry["name"] for entry in case["outputs"]]


# --------------------------------------------------------------------------- model


def _run_model(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    model = _build(case)
    outputs = _watched(model)
    image = torch.from_numpy(arrays["input:img"])
    labels = torch.from_numpy(np.clip(np.floor(arrays["input:seg_gt"] * 5), 0, 4).astype(np.int64))
    exists = torch.from_numpy((arrays["input:exist_gt"] > 0.5).astype(np.float32))
    with torch.no_grad():
        logits, exist = model(image)
    outputs = dict(outputs) | {"seg_pred": logits, "exist_pred": exist.sigmoid()}
    losses = model(image, _samples(labels, exists), mode="loss")
    total = losses["loss_map"] + losses["loss_exist"]
    total.backward()
    unweighted = losses["loss_exist"] / model.head.exist_weight
    outputs |= {"loss_seg": losses["loss_map"], "loss_exist": unweighted, "loss": total} | _gradients(model, case)
    return {name: _thinned(name, value.detach().numpy()) for name, value in outputs.items()}


def _build(case: Mapping[str, Any]) -> nn.Module:
    width, height = case["constructor"].get("input_size", (800, 288))
    head = dict(type="SCNNHead", input_size=(height, width), kernel=case["constructor"].get("ms_ks", 9))
    trunk = dict(type="VGG", variant="16_bn", large_field=True, out_indices=(4,))
    model = build_model(dict(type="TaskModel", backbone=trunk, head=head))
    state = convert_model({"net": reference_state(case)}, input_size=(height, width))
    model.load_state_dict(state)
    parameters = sum(value.numel() for value in model.parameters())
    if parameters != case.get("parameters", parameters):
        raise AssertionError(f"parameters: expected {case['parameters']}, found {parameters}")
    return model.train(case["mode"] == "train")


def _watched(model: nn.Module) -> dict[str, Tensor]:
    """Yield the outputs of the model's parts at the next call, by the port's names."""
    outputs: dict[str, Tensor] = {}
    head = model.head
    parts = {"feat:layer1": head.reducer, "feat:layer2": head.classifier}
    parts |= {f"feat:mp_{name}": head.messages[ours] for name, ours in DIRECTIONS.items()}
    for name, part in (parts | {"feat:backbone": model.backbone}).items():
        part.register_forward_hook(partial(_keep, outputs, name))
    return outputs


def _keep(outputs: dict[str, Tensor], name: str, module: nn.Module, given: Any, out: Any) -> None:
    out = out if isinstance(out, Tensor) else out[-1]
    outputs.setdefault(name, out.clone())


def _samples(labels: Tensor, exists: Tensor) -> list[TaskSample]:
    samples = []
    for label, exist in zip(labels, exists, strict=True):
        sample = TaskSample(metainfo=dict(img_shape=tuple(label.shape), batch_input_shape=tuple(label.shape)))
        sample.gt_map, sample.gt_exist = label, exist
        samples.append(sample)
    return samples


def _gradients(model: nn.Module, case: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return gradients by the port's names; kernels have the port's shapes."""
    names = {entry[0]: torch.empty(entry[1], device="meta") for entry in case["state"]}
    ours = dict(zip([name for name in names if name != "ce_loss.weight"], convert_model(names), strict=True))
    parameters, outputs = dict(model.named_parameters()), {}
    for output in _names(case):
        if not output.startswith("grad:"):
            continue
        theirs = output.removeprefix("grad:").removesuffix(".abssum")
        gradient = parameters[ours[theirs]].grad.reshape(names[theirs].shape)
        outputs[output] = gradient.abs().sum() if output.endswith(".abssum") else gradient
    return outputs


def _thinned(name: str, array: np.ndarray) -> np.ndarray:
    part = next((part for start, part in THINNED.items() if name.startswith(start)), ...)
    return array if name.endswith(".abssum") else array[part]


# --------------------------------------------------------------------------- lanes


def _run_lanes(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    prob, outputs = arrays["input:seg_prob"], {}
    for name in _names(case):
        if match := re.fullmatch(r"blurred_lane(\d+)", name):
            outputs[name] = blurred(prob[int(match[1])])
            continue
        key = name.removeprefix("n_points:")
        variant, _, exists = key.partition("|exist=")
        lanes = _sampled(prob, exists, case["constructor"][variant])
        if [lane.tolist() for lane in lanes] != case["lanes"][key]:
            raise AssertionError(f"{key}: expected {case['lanes'][key]}, found {lanes}")
        outputs[name] = np.array([len(lane) for lane in lanes], np.int64)
    return outputs


def _sampled(prob: np.ndarray, exists: str, options: Mapping[str, Any]) -> list[np.ndarray]:
    names = {"resize_shape": "size", "y_px_gap": "gap", "pts": "points", "smooth": "smooth", "thresh": "threshold"}
    given = {names[name]: value for name, value in options.items() if name != "function"}
    lanes = lanes_of_maps(prob, [int(digit) for digit in exists], kind=KINDS[options["function"]], **given)
    return [lane for lane in lanes if lane is not None]


# --------------------------------------------------------------------------- metrics


def _run_culane(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    built = case["constructor"]
    options = {"size": (built["im_width"], built["im_height"]), "width": built["lane_width"]}
    outputs, counts, expected = {}, [], {entry["image"]: entry for entry in case.get("per_image", [])}
    for entry in case["files"]:
        name = entry["image"]
        annotated, detected = (lanes_from_text(entry[key] or "", name) for key in ("anno", "det"))
        matches = count_matches(annotated, detected, threshold=built["iou_threshold"], **options)
        counts.append(matches.counts)
        if name in expected and list(matches.match) != expected[name]["anno_match"]:
            raise AssertionError(f"{name}: expected {expected[name]['anno_match']}, found {matches.match}")
        has_nan = bool(np.isnan(matches.similarity).any())
        outputs[f"{SIMILARITY}{name}{'_nan' * has_nan}"] = matches.similarity
        if annotated and len(annotated[0]) >= 2:
            outputs[SPLINE + name] = spline_points(annotated[0])
    total = sum(counts, LaneCounts())
    outputs["per_image_tp_fp_fn"] = np.array([_triple(each) for each in counts])
    outputs["total_tp_fp_fn"] = np.array(_triple(total))
    return outputs | {"precision_recall_f1": np.array([total.precision, total.recall, total.f1])}


def _triple(counts: LaneCounts) -> list[int]:
    return [counts.tp, counts.fp, counts.fn]


def _has_point_twice(case: Mapping[str, Any], image: str) -> bool:
    """True if the official spline divides by zero somewhere in the image."""
    entry = next(entry for entry in case["files"] if entry["image"] == image)
    lanes = [lane for key in ("anno", "det") for lane in lanes_from_text(entry[key] or "", image)]
    return any((np.diff(lane.astype(np.float32), axis=0) == 0).all(axis=1).any() for lane in lanes if len(lane) > 2)


def _run_tusimple(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    scores = [
        tusimple_scores(image["pred"], image["gt"], image.get("h_samples", case["h_samples"]), image["run_time"])
        for image in case["images"]
    ]
    return {"per_image_acc_fp_fn": np.array(scores), "accuracy_fp_fn": np.mean(scores, axis=0)}
