"""BossNet and the BossNAS search against the authors' code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from weights import reference_state

from visionzoo.backbones.bossnet import BossNet, convert, convert_classifier

SYSTEM = "bossnet"
Arrays = dict[str, np.ndarray]

# What the authors' constructor takes when an encoding is given instead of a variant's name.
AUTHORS_DEFAULTS = {"act": "relu", "avg_down": False, "attn_layer": None}


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Every output that ``case`` names, by the family that its name begins with."""
    for family, runner in _FAMILIES.items():
        if case["name"].startswith(family):
            return runner(case, arrays)
    raise LookupError(f"bossnet: expected one of {', '.join(_FAMILIES)}, found {case['name']!r}")


# --------------------------------------------------------------------------- the networks


def _run_network(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Maps of every stage and the logits; in training the loss, gradients and a running mean as well."""
    state = reference_state(case)
    net, variant = _build(case["constructor"])
    net.load_state_dict(convert(state, variant=variant))
    weights = convert_classifier(state)
    classifier = nn.Linear(weights["weight"].shape[1], len(weights["bias"]))
    classifier.load_state_dict(weights)
    image = torch.from_numpy(arrays["input:image"])
    if case["mode"] == "train":
        return _train_step(net.train(), classifier, image, case)
    with torch.no_grad():
        return _thinned(_forward(net.eval(), classifier, image), case)


def _build(constructor: Mapping[str, Any]) -> tuple[BossNet, str]:
    options = {name: value for name, value in constructor.items() if name != "num_classes"}
    if "encoding" in options:
        options = {**AUTHORS_DEFAULTS, **options}
    if "attn_layer" in options:
        options["se"] = options.pop("attn_layer") == "se"
    variant = options.get("variant", "custom")
    return BossNet(**options), variant


def _forward(net: BossNet, classifier: nn.Module, image: Tensor) -> dict[str, Tensor]:
    stem = net.stem(image)
    found = {"maxpool": stem}
    for stage in range(1, 5):
        stem = getattr(net, f"layer{stage}")(stem)
        found[f"layer{stage}"] = stem
    return found | {"logits": classifier(stem.mean((2, 3)))}


def _train_step(net: BossNet, classifier: nn.Module, image: Tensor, case: Mapping[str, Any]) -> Arrays:
    found = _forward(net, classifier, image)
    loss = F.cross_entropy(found["logits"], torch.tensor(case["labels"]))
    loss.backward()
    parameters = dict(net.named_parameters()) | {f"fc.{name}": value for name, value in classifier.named_parameters()}
    arrays = _thinned(found, case)
    arrays["loss"] = loss.detach()[None].numpy()
    arrays["grad_norms"] = torch.stack([parameters[name].grad.norm() for name in case["grad_keys"]]).numpy()
    buffers = dict(net.named_buffers())
    for entry in case["outputs"]:
        if entry["name"].endswith("_running_mean_after"):
            block = entry["name"].removesuffix("_running_mean_after").replace("_", ".")
            arrays[entry["name"]] = buffers[f"{block}.shortcut.2.running_mean"].numpy()
    return arrays


def _thinned(maps: Mapping[str, Tensor], case: Mapping[str, Any]) -> Arrays:
    """Every so many channels of each map, as many as the case keeps."""
    kept = {entry["name"]: entry["shape"][1] for entry in case["outputs"] if len(entry["shape"]) > 1}
    found = {}
    for name, x in maps.items():
        step = max(1, x.shape[1] // kept.get(name, x.shape[1]))
        found[name] = x.detach()[:, ::step].numpy()
    return found


_FAMILIES = {"bossnet_": _run_network}
