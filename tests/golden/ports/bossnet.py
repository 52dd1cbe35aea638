"""BossNet and the BossNAS search against the authors' code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from weights import reference_state

from visionzoo.algorithms.bossnas import (
    LARS,
    HyTraSupernet,
    Predictor,
    architecture_score,
    convert_supernet,
    ensemble,
    hytra_paths,
    path_loss,
    rating_correlations,
)
from visionzoo.backbones.bossnet import BossNet, convert, convert_classifier

SYSTEM = "bossnet"
Arrays = dict[str, np.ndarray]

# Arguments of the authors' constructor when an encoding is given instead of a variant's name.
AUTHORS_DEFAULTS = {"act": "relu", "avg_down": False, "attn_layer": None}

# The reference ran on two threads, which sets the order of sums. At random weights these networks amplify rounding:
# relative to the largest value, float64 differs from the reference's supernet by 1.4e-4, which is more than the
# tolerance of 1e-4. The authors' code differs as much in other settings: by 1.5e-4 on one thread, by 3.7e-4 with oneDNN
# limited to AVX2, by 1.3e-4 with ATen limited to its default kernels. On two threads, with the AVX512 kernels of oneDNN
# and ATen, it equals the reference to the bit. The port equals the authors' code to the bit on one and on two threads,
# with and without oneDNN. Measured on hytra_supernet_a, 30 November 2026, torch 2.15, AMD EPYC with AVX512.
REFERENCE_THREADS = 2

# Environment variables that limit a process to fewer kernels than the CPU has.
KERNEL_LIMITS = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA")


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runner of its family."""
    for family, runner in _FAMILIES.items():
        if case["name"].startswith(family):
            with _threads(REFERENCE_THREADS):
                return runner(case, arrays)
    raise LookupError(f"bossnet: expected one of {', '.join(_FAMILIES)}, found {case['name']!r}")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --------------------------------------------------------------------------- networks


def _run_network(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute the maps of every stage and the logits; in training also the loss, gradients and a running mean."""
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
    outputs = {"maxpool": stem}
    for stage in range(1, 5):
        stem = getattr(net, f"layer{stage}")(stem)
        outputs[f"layer{stage}"] = stem
    return outputs | {"logits": classifier(stem.mean((2, 3)))}


def _train_step(net: BossNet, classifier: nn.Module, image: Tensor, case: Mapping[str, Any]) -> Arrays:
    outputs = _forward(net, classifier, image)
    loss = F.cross_entropy(outputs["logits"], torch.tensor(case["labels"]))
    loss.backward()
    parameters = dict(net.named_parameters()) | {f"fc.{name}": value for name, value in classifier.named_parameters()}
    arrays = _thinned(outputs, case)
    arrays["loss"] = loss.detach()[None].numpy()
    arrays["grad_norms"] = torch.stack([parameters[name].grad.norm() for name in case["grad_keys"]]).numpy()
    buffers = dict(net.named_buffers())
    for entry in case["outputs"]:
        if entry["name"].endswith("_running_mean_after"):
            block = entry["name"].removesuffix("_running_mean_after").replace("_", ".")
            arrays[entry["name"]] = buffers[f"{block}.shortcut.2.running_mean"].numpy()
    return arrays


def _thinned(maps: Mapping[str, Tensor], case: Mapping[str, Any]) -> Arrays:
    """Return evenly spaced channels of each map, in the number that the case keeps."""
    kept = {entry["name"]: entry["shape"][1] for entry in case["outputs"] if len(entry["shape"]) > 1}
    outputs = {}
    for name, x in maps.items():
        step = max(1, x.shape[1] // kept.get(name, x.shape[1]))
        outputs[name] = x.detach()[:, ::step].numpy()
    return outputs


# --------------------------------------------------------------------------- search


def _run_supernet(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute the output of every block along its path, in a child process with the best kernels of the CPU.

    The kernels of a process cannot change after its first operation, so the variables that limit them need a new one.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "case.json").write_text(json.dumps(case), encoding="utf-8")
        np.savez(folder / "inputs.npz", **arrays)
        kept = {key: value for key, value in os.environ.items() if key not in KERNEL_LIMITS}
        environment = kept | {"PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, __file__, name], env=environment, check=True)
        with np.load(folder / "outputs.npz") as outputs:
            return {block: outputs[block] for block in outputs.files}


def _supernet_child(folder: Path) -> None:
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    with np.load(folder / "inputs.npz") as inputs, _threads(REFERENCE_THREADS):
        np.savez(folder / "outputs.npz", **_run_blocks(case, inputs))


def _run_blocks(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute the output of every block along its path.

    All 854 million weights are checked by name and shape; values are drawn only for weights on the paths.

    A CPU with AVX512 runs the convolutions with oneDNN, like the reference. On a CPU without it, oneDNN chooses another
    order of sums; there they run as matrix products, which differ by at most 7.4e-5 of the largest value.
    """
    paths = [tuple(path) for path in case["constructor"]["paths"]]
    used = _loaded_supernet(case, paths).eval()
    outputs, x = {}, torch.from_numpy(arrays["input:image"])
    has_avx512 = torch.backends.cpu.get_cpu_capability() == "AVX512"
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=has_avx512):
        for block, path in enumerate(paths):
            x = used.run_block(x, block, path, paths[:block])
            outputs[f"block{block}"] = x
    return _thinned(outputs, case)


def _loaded_supernet(case: dict[str, Any], paths: list[tuple[int, ...]]) -> HyTraSupernet:
    with torch.device("meta"):
        whole = HyTraSupernet().build_all()
        whole.load_state_dict(convert_supernet({name: torch.empty(shape) for name, shape, _ in case["state"]}))
    used = HyTraSupernet()
    for block, path in enumerate(paths):
        used.prepare(block, [path], paths[:block])
    names, needed = convert_supernet({name: name for name, *_ in case["state"]}), set(used.state_dict())
    theirs = {authors for ours, authors in names.items() if ours in needed}
    state = reference_state(case | {"state": [entry for entry in case["state"] if entry[0] in theirs]})
    used.load_state_dict(convert_supernet(state), assign=True)
    return used


def _run_paths(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    return {
        f"{name}_{depth}": np.array(hytra_paths(depth, restricted=name == "restricted"))
        for name in ("restricted", "all")
        for depth in (1, 2, 3, 4)
    }


def _run_losses(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    made = case["constructor"]
    predictor = Predictor(made["dim"], made["predictor_hidden"]).train()
    predictor.load_state_dict({name.removeprefix("predictor."): x for name, x in reference_state(case).items()})
    given = {name.removeprefix("input:"): torch.from_numpy(x) for name, x in arrays.items()}
    view1, view2 = ensemble(list(given["target_v1"])), ensemble(list(given["target_v2"]))
    with torch.no_grad():
        losses = [path_loss(predictor, a, b, view1, view2) for a, b in zip(given["online_v1"], given["online_v2"])]
    return {
        "path_loss": torch.stack(losses).numpy(),
        "ensemble_v1": view1.numpy(),
        "ensemble_v2": view2.numpy(),
    }


def _run_lars(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    options = dict(case["constructor"])
    rename = {"lars_exclude": "exclude"}
    own = {name: {rename.get(key, key): x for key, x in options.pop(name, {}).items()} for name in ("w", "b", "bias")}
    weights = {name: nn.Parameter(torch.from_numpy(arrays[f"input:{name}"].copy())) for name in ("w", "b")}
    groups = [{"params": [weights["w"]], **own["w"]}, {"params": [weights["b"]], **own["b"], **own["bias"]}]
    optimizer = LARS(groups, **options)
    steps: dict[str, list[np.ndarray]] = {"w": [], "b": []}
    for step in range(sum(name.startswith("input:gw") for name in arrays)):
        for name, weight in weights.items():
            weight.grad = torch.from_numpy(arrays[f"input:g{name}{step}"])
        optimizer.step()
        for name, weight in weights.items():
            steps[name].append(weight.detach().numpy().copy())
    return {name: np.stack(values) for name, values in steps.items()}


def _run_ranking(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute scores and correlations from the stored losses and architectures, which are outputs of the case."""
    folder = Path(case.get("folder", Path(__file__).parents[1] / SYSTEM))
    with np.load(folder / f"{case['name']}.npz") as stored:
        given = {name: stored[name] for name in stored.files}
    losses = [given[f"stage{stage}_loss"] for stage in range(sum(name.endswith("_loss") for name in given))]
    rankings = [{"".join(map(str, path)): float(x[path]) for path in np.ndindex(x.shape)} for x in losses]
    ends = np.cumsum([x.ndim for x in losses])
    scores = [
        architecture_score([row[end - x.ndim : end] for end, x in zip(ends, losses)], rankings)
        for row in given["architectures"].tolist()
    ]
    return given | {
        "score": np.array(scores),
        "correlations": np.array(rating_correlations(scores, given["accuracy"].tolist())),
    }


_FAMILIES = {
    "bossnet_": _run_network,
    "hytra_supernet_": _run_supernet,
    "hytra_paths": _run_paths,
    "ensemble_bootstrap_loss": _run_losses,
    "lars_steps": _run_lars,
    "ranking_mbconv": _run_ranking,
}


if __name__ == "__main__":
    _supernet_child(Path(sys.argv[1]))
