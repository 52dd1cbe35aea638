"""Registration networks after 60 steps on pairs of brains at a quarter of the resolution, then instance optimisation.

::

    python benchmarks/registration_networks.py test_scan.npz --models voxelmorph icnet --steps 60

The scan is VoxelMorph's ``data/test_scan.npz``. The pairs are those of ``benchmarks/registration.py``: the scan and the
scan under known deformations, one of them with an affine part, which the direct affine method removes first. Each
network is trained on all of them, and predicts the same pairs: this measures optimisation, not generalisation.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from registration_volumes import SCORED, Pair, read_scan, synthetic_pair

from visionzoo.losses.similarity import global_correlation
from visionzoo.metrics.registration import dice_of_labels
from visionzoo.models.wiring import build_model
from visionzoo.ops.registration.affine import register_affine
from visionzoo.ops.registration.deformable import register_deformable
from visionzoo.ops.registration.transform import Transform
from visionzoo.ops.warp import jacobian_determinant, warp
from visionzoo.structures.task_sample import TaskSample

MODELS = {
    "micdir": ("MICDIR", {"both_directions": True}, {}),
    "micdir_compat": ("MICDIR", {"both_directions": True}, {"compat": True}),
    "unetmss": ("MICDIR", {"variant": "unetmss", "both_directions": True}, {"variant": "unetmss"}),
    "voxelmorph": ("VoxelMorph", {}, {"similarity": {"type": "LocalNCC"}, "smooth_weight": 0.5}),
    "icnet": ("ICNet", {"both_directions": True}, {}),
}


def main() -> None:
    """Print one row for each model and pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--instance-steps", type=int, default=30)
    parser.add_argument("--rate", type=float, default=1e-3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pairs = [prepared(pair) for pair in quarter_pairs(args.scan)]
    print("model, pair: Dice before, after; with instance optimisation; correlation; folded %; CPU seconds")
    for name in args.models:
        start = time.process_time()
        model = trained(name, pairs, args.steps, args.rate)
        seconds = time.process_time() - start
        print(f"{name}: {args.steps} steps in {seconds:.0f} s")
        for pair in pairs:
            show(name, pair, model, args.instance_steps)
    for pair in pairs:
        start = time.process_time()
        field = register_deformable(pair["fixed"], pair["moving"]).field()
        print(f"direct, {pair['name']}: {measured(pair, field)}; {time.process_time() - start:.1f} s")


def quarter_pairs(file: Path) -> list[Pair]:
    """Return three pairs of 40x48x56 voxels."""
    scan = read_scan(file, 4)
    names = ("deformation 1", "affine and deformation", "deformation 2")
    return [synthetic_pair(scan, 20 + at, affine=at == 1, name=name) for at, name in enumerate(names)]


def prepared(pair: Pair) -> dict[str, Any]:
    """Return the images and label maps of a pair as tensors (1, 1, *S), after the direct affine registration."""
    fixed, moving = (torch.from_numpy(np.array(image, np.float32))[None, None] for image in (pair.fixed, pair.moving))
    fixed_labels, labels = (
        torch.from_numpy(np.array(each, np.float32))[None, None] for each in (pair.fixed_labels, pair.moving_labels)
    )
    if "affine" in pair.name:
        map_ = Transform(tuple(fixed.shape[2:]), register_affine(fixed, moving))
        moving, labels = map_.warp(moving), map_.warp(labels, mode="nearest")
    return {"name": pair.name, "fixed": fixed, "moving": moving, "fixed_labels": fixed_labels, "labels": labels}


def trained(name: str, pairs: list[dict[str, Any]], steps: int, rate: float) -> torch.nn.Module:
    """Return a model after steps of Adam on the pairs in turn."""
    system, encoder, head = MODELS[name]
    torch.manual_seed(0)
    backbone = {"type": f"{system}Encoder", **encoder}
    model = build_model({"type": "TaskModel", "backbone": backbone, "head": {"type": f"{system}Head", **head}})
    optimizer = torch.optim.Adam(model.parameters(), rate)
    model.train()
    for step in range(steps):
        images, samples = batch_of(pairs[step % len(pairs)])
        loss = sum(model(images, samples, mode="loss").values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def batch_of(pair: dict[str, Any]) -> tuple[torch.Tensor, list[TaskSample]]:
    """Return the inputs of a model, padded to multiples of 16."""
    images = torch.cat([pair["fixed"], pair["moving"]], 1)
    size = tuple(images.shape[2:])
    missing = [-side % 16 for side in reversed(size)]
    padded = torch.nn.functional.pad(images, [width for amount in missing for width in (0, amount)])
    return padded, [TaskSample(metainfo={"img_shape": size})]


def show(name: str, pair: dict[str, Any], model: Any, instance_steps: int) -> None:
    """Print the measures of one pair without and with instance optimisation."""
    texts = []
    for steps in (0, instance_steps):
        model.head.instance_steps, start = steps, time.process_time()
        (sample,) = model(*batch_of(pair), mode="predict")
        seconds = time.process_time() - start
        texts.append(f"{measured(pair, sample.pred_field[None])}; {seconds:.1f} s")
    print(f"{name}, {pair['name']}: {' | instance: '.join(texts)}", flush=True)


def measured(pair: dict[str, Any], field: torch.Tensor) -> str:
    """Return Dice before and after, correlation and folds of a field (1, 3, *S)."""
    after = warp(pair["labels"], field, mode="nearest")
    fixed = pair["fixed_labels"][0, 0].numpy().astype(int)
    dice = [
        float(np.nanmean(dice_of_labels(fixed, each[0, 0].numpy().astype(int), list(SCORED))))
        for each in (pair["labels"], after)
    ]
    ncc = float(global_correlation(pair["fixed"], warp(pair["moving"], field)))
    folded = 100 * float((jacobian_determinant(field) <= 0).float().mean())
    return f"Dice {dice[0]:.3f}, {dice[1]:.3f}; NCC {ncc:.4f}; folded {folded:.3f} %"


if __name__ == "__main__":
    main()
