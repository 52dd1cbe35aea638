"""HMoDE against the authors' code; density maps and counting metrics against the commonly used scripts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from weights import golden_input, reference_state

from visionzoo.heads.hmode import convert_model
from visionzoo.metrics.counting.game import game
from visionzoo.metrics.counting.nwpu import nwpu_errors
from visionzoo.models.task_model import TaskModel
from visionzoo.models.wiring import build_model
from visionzoo.ops.density_maps import adaptive_density, blurred_dots, dot_map, fixed_density, gaussian_kernel
from visionzoo.structures.task_sample import TaskSample

SYSTEM = "crowd_counting"
Arrays = dict[str, np.ndarray]

# Above this number of channels, features keep every eighth channel.
_MANY_CHANNELS, _EVERY = 64, 8
_STORED_STRIDE = 4


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runner of its family."""
    families = {"hmode_": _run_hmode, "density_maps": _run_density_maps, "count_metrics": _run_count_metrics}
    for start, family in families.items():
        if case["name"].startswith(start):
            return family(case, arrays)
    raise LookupError(f"crowd_counting: expected one of {', '.join(families)}, found {case['name']!r}")


def tolerance(case: Mapping[str, Any], name: str, reference: np.ndarray) -> float | None:
    """HMoDE's tolerance is relative to the largest value, or to 1."""
    if not case["name"].startswith("hmode_"):
        return None
    return float(case["tolerance"]) * max(1.0, float(np.abs(reference).max(initial=0.0)))


# --------------------------------------------------------------------------- HMoDE


def _run_hmode(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    model = build_model(
        dict(
            type="TaskModel",
            backbone=dict(type="VGG", variant="16_bn", out_indices=(2, 3, 4)),
            head=dict(type="HMoDEHead"),
        )
    )
    theirs = reference_state(case)
    model.load_state_dict(convert_model(theirs))
    model.train(case["mode"] == "train")
    if "parameters" in case and sum(value.numel() for value in model.parameters()) != case["parameters"]:
        raise AssertionError(f"parameters: expected {case['parameters']}")
    images, target = torch.from_numpy(arrays["input:img"]), _target(arrays["input:gt"]) / model.head.log_para
    feats = model.extract_feat(images)
    outputs = _forward(model, feats)
    samples = [TaskSample(metainfo=dict(batch_input_shape=target.shape[1:])) for _ in target]
    terms = _objective(model.head, outputs["outputs"], target, samples)
    gradients = _gradients(case, model, terms, dict(zip(theirs, convert_model(theirs), strict=True)))
    stored = _stored_outputs(outputs, images.shape[2:]) | terms | gradients
    return {name: value.detach().numpy() for name, value in stored.items()}


def _target(uniform: np.ndarray) -> Tensor:
    """Do the step that the cases describe in words: a sparse density, already multiplied by 100."""
    values = np.where(uniform > 0.97, (uniform - 0.97) * 40, 0).astype("float32")
    return torch.from_numpy(values)


def _forward(model: TaskModel, feats: tuple[Tensor, ...]) -> dict[str, Any]:
    head, decoded, experts = model.head, [], []
    hooks = [head.decoder.register_forward_hook(lambda module, given, out: decoded.extend(out))]
    hooks += [each.register_forward_hook(lambda module, given, out: experts.append(out)) for each in head.experts]
    outputs = head(feats)
    for hook in hooks:
        hook.remove()
    return {"outputs": outputs, "feats": feats, "decoded": decoded, "experts": experts}


def _stored_outputs(tensors: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Tensor]:
    outputs = tensors["outputs"]
    full = torch.nn.functional.interpolate(outputs["maps"], size=tuple(size), mode="nearest")
    stored = {
        f"density{at}": each for at, each in enumerate(full[:, :, ::_STORED_STRIDE, ::_STORED_STRIDE].split(1, 1))
    }
    stored |= {"amp": outputs["attention"], "count": full.sum((2, 3)).T / 100}
    stored |= {"feat:gating1": outputs["pair_gates"].flatten(1, 2), "feat:gating2": outputs["mixture_gates"]}
    stored |= {f"feat:features{at}": _thinned(each) for at, each in enumerate(tensors["feats"], start=3)}
    stored |= {f"feat:de_pred{at}": _thinned(each) for at, each in enumerate(tensors["decoded"], start=1)}
    return stored | {f"feat:head{at}": each for at, each in enumerate(tensors["experts"], start=1)}


def _thinned(feat: Tensor) -> Tensor:
    return feat[:, ::_EVERY] if feat.shape[1] > _MANY_CHANNELS else feat


def _objective(head: Any, outputs: Mapping[str, Tensor], target: Tensor, samples: list) -> dict[str, Tensor]:
    errors = head.squared_errors(outputs["maps"], target, samples)
    attention = head.attention_error(outputs["attention"], target, samples)
    importance = head.importance_error(outputs["pair_gates"])
    regions, ranks = head.local_errors(outputs["maps"], target, samples)
    weights = errors.new_tensor(head.map_weights)
    density, relative = (weights * errors).sum(), (weights * (regions + ranks)).sum()
    return {
        "mse_sums": errors,
        "attention_loss_sum": attention,
        "imp_loss": importance,
        "rel_loss": regions + ranks,
        "relative_count_term": ranks,
        "density_loss": density,
        "total_release": (density + attention + importance) / len(target),
        "total_with_relative": (density + relative + attention + importance) / len(target),
    }


def _gradients(
    case: Mapping[str, Any], model: TaskModel, terms: Mapping[str, Tensor], ours: Mapping[str, str]
) -> dict[str, Tensor]:
    """Return gradients of the parameters in output names ``grad_<total>:<their name>``, or sums of absolute values."""
    parameters, named = dict(model.named_parameters()), {}
    totals = {"release": terms["total_release"], "with_relative": terms["total_with_relative"]}
    for which, total in totals.items():
        pattern = re.compile(rf"grad_{which}(_abssum)?:(.+)")
        expected = [match for each in case["outputs"] if (match := pattern.fullmatch(each["name"]))]
        if not expected:
            continue
        gradients = torch.autograd.grad(total, [parameters[ours[match[2]]] for match in expected], retain_graph=True)
        for match, gradient in zip(expected, gradients, strict=True):
            named[match[0]] = gradient.abs().sum() if match[1] else gradient
    return named


# --------------------------------------------------------------------------- density maps


def _run_density_maps(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    options, points = case["constructor"], arrays["input:points"]
    shape = tuple(options["shape"])
    fixed = dict(sigma=options["fixed"]["sigma"], size=options["fixed"]["f_sz"])
    # scipy's tree counts a dot as its own neighbour
    adaptive = dict(neighbours=options["adaptive"]["k"] - 1, factor=options["adaptive"]["factor"])
    maps = {
        "fixed_k{size}_s{sigma:g}".format(**fixed): fixed_density(points, shape, **fixed),
        "adaptive": adaptive_density(points, shape, **adaptive),
        f"part_b_sigma{options['part_b']['sigma']:g}": blurred_dots(
            points, shape, sigma=options["part_b"]["sigma"], mode=options["part_b"]["scipy mode"]
        ),
        "adaptive_single_point": adaptive_density(np.array([options["single_point"]], float), shape, **adaptive),
    }
    return {
        **maps,
        "sums": np.array([each.sum() for each in maps.values()]),
        "fixed_sum_per_point": np.array([fixed_density(point[None], shape, **fixed).sum() for point in points]),
        "dot_map_nonzero": np.array(np.count_nonzero(dot_map(points, shape))),
        **_kernels(case),
    }


def _kernels(case: Mapping[str, Any]) -> Arrays:
    """``gauss_9x15_s4``: 9 rows, 15 columns, sigma 4."""
    kernels = {}
    for entry in case["outputs"]:
        if match := re.fullmatch(r"gauss_(\d+)x(\d+)_s([\d.]+)", entry["name"]):
            kernels[entry["name"]] = gaussian_kernel(int(match[1]), int(match[2]), float(match[3]))
    return kernels


# --------------------------------------------------------------------------- metrics


def _run_count_metrics(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    errors = nwpu_errors(*(arrays[f"input:{name}"] for name in ("pred_count", "gt_count", "level", "illum")))
    games = {f"game:{at}": _games(*pair) for at, pair in enumerate(_pairs(case))}
    return {
        **games,
        "game_mean": np.mean(list(games.values()), axis=0),
        "overall_mae_mse_nae": np.array(errors.overall.row()),
        "level_mae_mse_nae": np.array([each.row() for each in errors.level]),
        "illum_mae_mse_nae": np.array([each.row() for each in errors.luminance]),
        "mmae_level_illum": np.array(errors.mean_mae),
    }


def _games(pred: np.ndarray, gt: np.ndarray) -> np.ndarray:
    return np.array([game(pred, gt, level) for level in range(4)])


def _pairs(case: Mapping[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Build the maps that the cases describe in words, as ``pred0..2`` and ``gt0..2``."""
    drawn: dict[str, list[np.ndarray]] = {}
    for entry in case["inputs"]:
        if match := re.fullmatch(r"(pred|gt)(\d+)\.\.(\d+)", entry["name"]):
            numbers = range(int(match[2]), int(match[3]) + 1)
            drawn[match[1]] = [
                golden_input(f"{match[1]}{number}", entry["shape"], "uniform", case["seed"]) for number in numbers
            ]
    preds = [values.astype(np.float64) * 0.02 for values in drawn["pred"]]
    return list(zip(preds, [(values > 0.99).astype(np.float64) for values in drawn["gt"]], strict=True))
