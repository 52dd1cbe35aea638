"""NASNet-A against the authors' TensorFlow graph and the PyTorch ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from weights import reference_state

from visionzoo.backbones.nasnet import (
    NASNet,
    NASNetAuxBranch,
    convert,
    convert_aux,
    convert_classifier,
    l2_penalty,
)

SYSTEM = "nasnet"
Arrays = dict[str, np.ndarray]

# Names of the references' arguments -> ours. Cadene's ports name the channels of the last map, 24 filters.
ARGUMENTS = {
    "num_cells": "num_cells",
    "num_conv_filters": "filters",
    "stem_filters": "stem_filters",
    "skip_reduction_layer_input": "skip_reduction_layer_input",
    "drop_path_keep_prob": "drop_path_keep_prob",
}
OTHER_ARGUMENTS = {"kind", "num_classes", "penultimate_filters", "stem_multiplier", "total_training_steps"}
STEM_MULTIPLIERS = {"large": 3.0, "mobile": 1.0, "cifar": 3.0}
LAST_CHANNELS = 24


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runner of its family."""
    if case["name"].startswith("drop_path_schedule_"):
        return _run_schedule(case)
    for family, variant in FAMILIES.items():
        if case["name"].startswith(family):
            return _run_network(case, arrays, variant)
    raise LookupError(f"nasnet: expected one of {', '.join(FAMILIES)}, drop_path_schedule_, found {case['name']!r}")


FAMILIES = {"mobile_tf_": "mobile", "mobile_": "mobile", "large_narrow_": "large", "large_": "large", "cifar_": "cifar"}


# --------------------------------------------------------------------------- networks


def _run_network(case: dict[str, Any], arrays: Mapping[str, np.ndarray], variant: str) -> Arrays:
    state, net = _reference_weights(case), _build(case["constructor"], variant)
    net.load_state_dict(convert(state, variant="custom"))
    classifier = _classifier(convert_classifier(state))
    image = torch.from_numpy(arrays["input:image"])
    if case["mode"] == "train":
        return _train_step(net.train(), classifier, _aux(state), image, case)
    with torch.no_grad():
        return _thinned(_taps(net.eval(), classifier, image, case), case)


def _reference_weights(case: dict[str, Any]) -> dict[str, Tensor]:
    """Return weights by the names that the case uses: TensorFlow's, with its layouts, or the PyTorch ports'."""
    state = reference_state(case)
    if any(len(entry) < 4 for entry in case["state"]):
        return state
    return {variable: _as_tensorflow(variable, state[name]) for name, _, _, variable in case["state"]}


def _as_tensorflow(variable: str, value: Tensor) -> Tensor:
    if variable.endswith("depthwise_weights"):
        return value.permute(2, 3, 0, 1)
    return value.permute(2, 3, 1, 0) if value.ndim == 4 else value.T if value.ndim == 2 else value


def _build(constructor: Mapping[str, Any], variant: str) -> NASNet:
    unknown = set(constructor) - set(ARGUMENTS) - OTHER_ARGUMENTS
    if unknown:
        raise LookupError(f"nasnet: expected constructor arguments that the port supports, found {sorted(unknown)}")
    options = {ours: constructor[theirs] for theirs, ours in ARGUMENTS.items() if theirs in constructor}
    if "penultimate_filters" in constructor:
        options["filters"] = constructor["penultimate_filters"] // LAST_CHANNELS
    if {"stem_multiplier", "num_conv_filters"} & set(constructor):
        multiplier = constructor.get("stem_multiplier", STEM_MULTIPLIERS[variant])
        # TensorFlow multiplies 32 for ImageNet, the cells' filters for CIFAR.
        base = options.get("filters", NASNet(variant).design.filters) if variant == "cifar" else 32
        options["stem_filters"] = int(base * multiplier)
    return NASNet(variant, **options)


def _classifier(weights: Mapping[str, Tensor]) -> nn.Linear:
    layer = nn.Linear(weights["weight"].shape[1], len(weights["bias"]))
    layer.load_state_dict(weights)
    return layer


def _taps(net: NASNet, classifier: nn.Module, image: Tensor, case: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return raw outputs of all cells by the reference's names, and the logits."""
    with _recorded_maps(net) as maps:
        logits = classifier(net(image)[-1].mean((2, 3)))
    return _by_their_names(maps, case) | {"logits": logits, "Logits": logits}


@contextmanager
def _recorded_maps(net: NASNet) -> Iterator[dict[str, Tensor]]:
    """Yield a dict that a forward pass inside fills with raw outputs of all cells, by our names."""
    maps: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, inputs, output: maps.update({name: output.clone()})

    parts = [("conv0", net.conv0), *((planned.name, getattr(net, planned.name)) for planned in net.plan)]
    hooks = [part.register_forward_hook(keep(name)) for name, part in parts]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def _by_their_names(maps: Mapping[str, Tensor], case: Mapping[str, Any]) -> dict[str, Tensor]:
    last = max(int(name.removeprefix("cell_")) for name in maps if name.removeprefix("cell_").isdecimal())
    stem = "cell_stem_1" if "cell_stem_1" in maps else "conv0"
    by_tensorflow = {name.title(): x for name, x in maps.items()} | {"Stem": maps[stem]}
    return (
        {_ported(name, last + 1, case): x for name, x in maps.items()}
        | by_tensorflow
        | {"features": maps[f"cell_{last}"]}
    )


def _ported(name: str, num_cells: int, case: Mapping[str, Any]) -> str:
    """Return the name in the PyTorch port of Mobile, which skips two numbers after every third of the cells."""
    number = name.removeprefix("cell_")
    if not case["name"].startswith("mobile_") or not number.isdecimal():
        return name
    return f"cell_{int(number) + 2 * (int(number) // (num_cells // 3))}"


def _thinned(maps: Mapping[str, Tensor], case: Mapping[str, Any], *, known: bool = False) -> Arrays:
    """Return evenly spaced channels of each map, in the number that the case keeps; ``known`` skips missing maps."""
    kept = {
        entry["name"]: entry["shape"][1]
        for entry in case["outputs"]
        if len(entry["shape"]) > 1 and (not known or entry["name"] in maps)
    }
    return {
        name: maps[name].detach()[:, :: max(1, maps[name].shape[1] // count)].numpy() for name, count in kept.items()
    }


# --------------------------------------------------------------------------- training


def _aux(state: Mapping[str, Tensor]) -> NASNetAuxBranch:
    weights = convert_aux(state)
    wide, narrow, size, _ = weights["conv.weight"].shape
    channels, classes = weights["proj.weight"].shape[1], len(weights["fc.bias"])
    branch = NASNetAuxBranch(channels, classes, size, channels=(narrow, wide), norm_eps=1e-5, norm_momentum=0.1)
    branch.load_state_dict(weights)
    return branch


WEIGHT_DECAY, AUX_WEIGHT = 5e-4, 0.4


def _train_step(
    net: NASNet, classifier: nn.Module, aux: NASNetAuxBranch, image: Tensor, case: Mapping[str, Any]
) -> Arrays:
    """Return losses of the first step, at which nothing is dropped."""
    net.set_training_progress(0, 937_500)
    labels = torch.tensor(case["labels"])
    with _recorded_maps(net) as maps:
        *_, tapped, last = net(image)
    logits, aux_logits = classifier(last.mean((2, 3))), aux(tapped)
    main, second = F.cross_entropy(logits, labels), F.cross_entropy(aux_logits, labels)
    losses = {
        "AuxLogits": aux_logits,
        "loss_main": main[None],
        "loss_aux": second[None],
        "loss_total": (main + AUX_WEIGHT * second)[None],
        "loss_l2": l2_penalty(nn.ModuleList([net, classifier, aux]), WEIGHT_DECAY)[None],
    }
    cells = _thinned(_by_their_names(maps, case) | {"logits": logits, "Logits": logits}, case, known=True)
    return cells | {name: value.detach().numpy() for name, value in losses.items()}


# --------------------------------------------------------------------------- drop path


def _run_schedule(case: dict[str, Any]) -> Arrays:
    """Return the probability of keeping each listed branch at each listed step."""
    made, cells = case["constructor"], [branch.partition("/")[0] for branch in case["branches"]]
    with torch.device("meta"):
        net = _build(made, made["kind"])
    net.drop_path_steps = made["total_training_steps"]
    rows = []
    for step in case["steps"]:
        net.set_training_progress(step, max(case["steps"]))
        rows.append([getattr(net, cell).drop_path.current_keep_prob for cell in cells])
    return {"keep_prob": np.array(rows, "float32")}
