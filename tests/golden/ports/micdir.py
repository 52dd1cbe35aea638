"""Registration against the authors' code: fields and losses of MICDIR, metrics of VoxelMorph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from weights import golden_input

from visionzoo.losses.field_regularity import AntiFolding, Gradient
from visionzoo.losses.similarity import global_correlation
from visionzoo.metrics.registration import count_folds, dice_of_labels, log_spread
from visionzoo.ops.intensities import scale_intensities
from visionzoo.ops.mutual_information import mutual_information
from visionzoo.ops.warp import integrate, jacobian_determinant, resize_field, warp

SYSTEM = "micdir"
Arrays = dict[str, np.ndarray]

# The reference squares mutual information from the first voxels of each axis.
_CORNER = (slice(None), slice(None), *[slice(8)] * 3)


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runner of its family."""
    families = {"layers_losses": _run_layers_losses, "reg_metrics": _run_metrics}
    for start, family in families.items():
        if case["name"].startswith(start):
            return family(case, arrays)
    raise LookupError(f"micdir: expected one of {', '.join(families)}, found {case['name']!r}")


# --------------------------------------------------------------------------- fields and losses


def _run_layers_losses(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    outputs: dict[str, Tensor] = {}
    for axes in ("3d", "2d"):
        shape = case["constructor"][f"shape{axes}"]
        source = _drawn(f"src{axes}", (1, 2, *shape), case)
        field = 1.5 * _drawn(f"flow{axes}", (1, len(shape), *shape), case)
        outputs |= {f"{name}_{axes}": values for name, values in _fields(source, field).items()}
    field = 1.5 * _drawn("flow3d", (1, 3, *case["constructor"]["shape3d"]), case)
    first = torch.from_numpy(arrays["input:a"])
    second = 0.5 * first + 0.5 * torch.from_numpy(arrays["input:b"])
    outputs |= {"grad_l2": Gradient("l2")(field), "grad_l1": Gradient("l1")(field), "antifold": AntiFolding()(field)}
    outputs |= {
        "ncc_mean": global_correlation(first, second).mean(),
        "ncc_sum": global_correlation(first, second).sum(),
    }
    information = mutual_information(first[_CORNER], second[_CORNER], bins=32, form="compat")
    outputs |= {"mi_32bins": information.shared, "nmi_32bins": information.normalised}
    return {name: value.numpy() for name, value in outputs.items()}


def _drawn(name: str, shape: tuple[int, ...], case: Mapping[str, Any]) -> Tensor:
    return torch.from_numpy(golden_input(name, shape, "normal", case["seed"]))


def _fields(source: Tensor, field: Tensor) -> dict[str, Tensor]:
    pool = F.avg_pool3d if field.ndim == 5 else F.avg_pool2d
    velocity, half = pool(field, 5, stride=1, padding=2), resize_field(field, 0.5)
    return {
        "warp": warp(source, field),
        "warp_nearest": warp(source, field, mode="nearest"),
        "vecint7": integrate(velocity, 7),
        "vecint3": integrate(velocity, 3),
        "half": half,
        "double": resize_field(half, 2),
    }


# --------------------------------------------------------------------------- metrics


def _run_metrics(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    first, second = (arrays[f"input:{name}"] for name in ("seg_a", "seg_b"))
    every = np.union1d(first, second)
    outputs = {
        "dice_all": dice_of_labels(first, second, every[every != 0]),
        "dice_labels": dice_of_labels(first, second, [1, 2, 5, 7, 9]),
        "dice_with_zero": dice_of_labels(first, second, every),
    }
    for name in [name.removeprefix("input:disp_") for name in arrays if name.startswith("input:disp_")]:
        field = torch.from_numpy(np.moveaxis(arrays[f"input:disp_{name}"], -1, 0))[None]
        determinants = jacobian_determinant(field)[0].numpy()
        outputs |= {
            f"jac_{name}": determinants,
            f"folded_count_{name}": np.array(count_folds(determinants)),
            f"folded_percent_{name}": np.array(100 * count_folds(determinants) / determinants.size),
            f"log_std_{name}": np.array(log_spread(determinants)),
        }
    image = golden_input("img", case["constructor"]["shape3d"], "normal", case["seed"]) * 40 + 100
    return outputs | {"imgnorm": scale_intensities(image)}
