"""The networks of MICDIR, VoxelMorph and ICNet against the authors' code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from weights import reference_state

from visionzoo.heads.icnet import convert_model as convert_icnet
from visionzoo.heads.micdir import convert_model as convert_micdir
from visionzoo.heads.voxelmorph import convert_model as convert_voxelmorph
from visionzoo.layers.registration import both_ways, roles_of
from visionzoo.layers.spatial import resize_linear
from visionzoo.layers.velocity import warped
from visionzoo.losses.similarity import LocalNCC
from visionzoo.models.task_model import TaskModel
from visionzoo.models.wiring import build_model
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample

Arrays = dict[str, np.ndarray]


def tolerance(case: Mapping[str, Any], name: str, reference: np.ndarray) -> float | None:
    """Return the tolerance of the networks: relative to the largest value, or to 1."""
    if not any(case["name"].startswith(start) for start in FAMILIES):
        return None
    largest = float(np.abs(reference).max(initial=0.0))
    if name.startswith("grad:"):
        return 1e-3 * largest
    if name in ("antifold", "total"):
        return max(float(case["tolerance"]), 1e-3 * largest)
    return float(case["tolerance"]) * max(1.0, largest)


# --------------------------------------------------------------------------- MICDIR


def _run_mscgunet(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    shapes, options = {name: shape for name, shape, *_ in case["state"]}, case["constructor"]
    features = [shapes[f"feature_extractor_training.en{level}.0.weight"][0] for level in range(1, 7)]
    backbone = dict(type="MICDIREncoder", both_directions=True, features=features)
    head = dict(
        type="MICDIRHead",
        compat=True,
        width=shapes["upsampler1_training.op.0.weight"][0],
        graph_features=[shapes[f"graph_layers{layer}_training.fc.0.weight"][0] for layer in (2, 1)],
        velocity_features=[shapes[f"conv_decoder{layer}_training.op.0.weight"][0] for layer in (1, 2)],
        nodes_per_axis=options["SCG_block"]["node_size"][0],
        int_steps=options["int_steps"],
        int_downsize=options["int_downsize"],
    )
    model, names = _model(case, backbone, head, convert_micdir)
    batch = _batch(arrays["input:X"], arrays["input:Y"])
    feats = model.extract_feat(batch.inputs, batch.samples)
    outputs = _mscgunet_outputs(model, feats, batch)
    losses = model.head.loss(feats, batch)
    terms = {name: losses[f"loss_{name}"] / model.head.weights[name] for name in _TERMS.values()}
    outputs |= {name: _SIGNS.get(name, 1) * terms[ours] for name, ours in _TERMS.items()}
    outputs["total_loss"] = sum(losses.values())
    return _arrays(outputs | _gradients(case, model, names, outputs["total_loss"]))


# Names of the losses in the cases, and ours.
_TERMS = {
    "cc": "similarity",
    "cc_half": "half_similarity",
    "smooth": "smooth",
    "smooth_half": "half_smooth",
    "scg": "graph",
}
_SIGNS = {"cc": -1, "cc_half": -1}


def _mscgunet_outputs(model: TaskModel, feats: tuple[Tensor, ...], batch: Batch) -> dict[str, Tensor]:
    head, roles = model.head, roles_of(feats, batch)
    pooled = head.latent_graph.pooled(feats[-1])
    graph, nodes = head.latent_graph.graph(pooled), head.latent_graph._as_nodes(pooled)
    first = head.latent_graph.layers[0](nodes, graph.edges)
    latent = resize_linear(head.latent_graph.latent(pooled, graph, 2), feats[-1].shape[2:])
    *_, up4, _ = head.decoder(latent, feats[1:-1])
    velocities = head.velocities(feats, 2)
    full, half = (head.displacement(each) for each in velocities[:2])
    of_half = warped(resize_linear(roles.moving, half.shape[2:]), half)
    whole = {
        "A": graph.edges,
        "pooled": pooled,
        "z_hat": head.latent_graph.residual(graph, 2),
        "gcn1": first,
        "gcn2": head.latent_graph.layers[1](first, graph.edges),
        "latent": latent,
        "enc6": feats[6],
        "dvf_half": velocities.half,
        "flow_half": half,
        "warped_half": of_half,
        "flow": full,
        "warped": warped(roles.moving, full),
        "enc3": feats[3][:, ::4],
        "up4": up4[:, ::8, ::2, ::2, ::2],
        "dvf": velocities.full[..., ::2, ::2, ::2],
    }
    named = {f"xy:{name}": value[0::2] for name, value in whole.items()}
    named |= {f"yx:{name}": whole[name][1::2, ..., ::2, ::2, ::2] for name in ("flow", "warped")}
    named["yx:warped_half"] = of_half[1::2]
    losses = (head.latent_graph(feats[-1][start::2])[1] for start in (0, 1))
    return named | dict(zip(("xy:scg_loss", "yx:scg_loss"), losses))


# --------------------------------------------------------------------------- VoxelMorph


def _run_voxelmorph(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    options = case["constructor"]
    convs = options.get("nb_unet_conv_per_level", 1)
    parts = {name: _convolutions(case, name) for name in ("encoder", "decoder", "remaining")}
    shared = dict(dims=len(options["inshape"]), convs_per_level=convs)
    backbone = dict(type="VoxelMorphEncoder", features=parts["encoder"], **shared)
    head = dict(type="VoxelMorphHead", features=[*parts["decoder"], *parts["remaining"]], **shared)
    head |= {ours: options[name] for name, ours in _ARGUMENTS.items() if name in options}
    model, names = _model(case, backbone, head, convert_voxelmorph)
    batch = _batch(arrays["input:target"], arrays["input:source"])
    feats = model.extract_feat(batch.inputs, batch.samples)
    velocity, fields, pairs = model.head(feats), model.head.fields(feats, batch), batch.pairs()
    moved, moved_back = warped(pairs.moving, fields.forward), warped(pairs.fixed, fields.inverse)
    mse = (moved - pairs.fixed).square().mean()
    smooth = model.head.loss(feats, batch)["loss_smooth"]
    outputs = {"moved": moved, "moved_back": moved_back, "preint_flow": velocity}
    outputs["flow"] = fields.forward if shared["dims"] == 2 else fields.forward[..., ::2, ::2, ::2]
    outputs |= {"ncc": LocalNCC()(pairs.fixed, moved), "mse": mse, "grad_l2_mult": smooth / 0.01}
    outputs["total_mse"] = mse + smooth
    return _arrays(outputs | _gradients(case, model, names, outputs["total_mse"]))


# Arguments of VxmDense, and ours.
_ARGUMENTS = {
    "int_steps": "int_steps",
    "int_downsize": "int_downsize",
    "bidir": "bidir",
    "unet_half_res": "half_res",
}


def _convolutions(case: Mapping[str, Any], part: str) -> list[int]:
    """Return the channels of the convolutions of a part of VxmDense, in order."""
    start, end = f"unet_model.{part}.", ".weight"
    return [shape[0] for name, shape, *_ in case["state"] if name.startswith(start) and name.endswith(end)]


# --------------------------------------------------------------------------- ICNet


def _run_icnet(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    head = dict(type="ICNetHead", range_flow=case["constructor"]["range_flow"])
    model, _ = _model(case, dict(type="ICNetEncoder", both_directions=True), head, convert_icnet)
    batch = _batch(arrays["input:Y"], arrays["input:X"])  # the field of XY warps X
    feats = model.extract_feat(batch.inputs, batch.samples)
    forward, inverse = both_ways(model.head(feats))
    losses, weights = model.head.loss(feats, batch), model.head.weights
    scale = model.head.range_flow
    outputs = {
        "flow_xy": (forward / scale).flip(1),
        "flow_yx": (inverse / scale).flip(1)[..., ::2, ::2, ::2],
        "warped_xy": warped(batch.pairs().moving, forward),
        "inverse_xy": (warped(-inverse, forward) / scale).flip(1)[..., ::2, ::2, ::2],
        "similarity": losses["loss_similarity"],
        "total": sum(losses.values()),
    }
    return _arrays(outputs | {name: losses[f"loss_{name}"] / weight for name, weight in weights.items()})


# --------------------------------------------------------------------------- what the networks share


def _model(
    case: Mapping[str, Any], backbone: dict, head: dict, convert: Callable[..., dict[str, Tensor]]
) -> tuple[TaskModel, dict[str, str]]:
    """Return the model with the weights of the case, and our name of each of its tensors."""
    model = build_model(dict(type="TaskModel", backbone=backbone, head=head))
    theirs = reference_state(case)
    ours = convert(theirs)
    model.load_state_dict(ours)
    if sum(value.numel() for value in model.parameters()) != case["parameters"]:
        raise AssertionError(f"parameters: expected {case['parameters']}")
    return model.train(case["mode"] == "train"), dict(zip(theirs, ours, strict=True))


def _batch(fixed: np.ndarray, moving: np.ndarray) -> Batch:
    images = torch.from_numpy(np.concatenate([fixed, moving], 1))
    return Batch(images, [TaskSample() for _ in images])


def _gradients(case: Mapping[str, Any], model: nn.Module, names: Mapping[str, str], total: Tensor) -> dict[str, Tensor]:
    wanted = [each["name"] for each in case["outputs"] if each["name"].startswith("grad:")]
    parameters = dict(model.named_parameters())
    chosen = [parameters[names[name.removeprefix("grad:")]] for name in wanted]
    return dict(zip(wanted, torch.autograd.grad(total, chosen), strict=True)) if wanted else {}


def _arrays(outputs: Mapping[str, Tensor]) -> Arrays:
    return {name: value.detach().numpy() for name, value in outputs.items()}


FAMILIES = {"mscgunet_": _run_mscgunet, "voxelmorph_": _run_voxelmorph, "icnet": _run_icnet}
