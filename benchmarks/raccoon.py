"""Training from scratch on real images on a CPU: RetinaNet with RCNet and with FPN, with one schedule.

    visionzoo convert voc2coco FOLDER -o data/raccoon --val-every 5
    OMP_NUM_THREADS=1 python benchmarks/raccoon.py data/raccoon

The raccoon data set has 200 images in Pascal VOC's format and one class; every 5th image is for validation. The models
have a ResNet-18 that is not pretrained, and necks of 128 channels with batch norm. Images fit into 320 x 240. Training
uses AdamW for 36 epochs of 20 iterations. Both models train at the same time, each in its own process and on its own
core. It takes about 50 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
NECKS = ("rcnet_retinanet", "fpn_retinanet")
SIZE = (320, 240)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder in COCO's format, from visionzoo convert voc2coco")
    parser.add_argument("--epochs", type=int, default=36, help="length of the schedule (default: 36)")
    parser.add_argument("-o", "--out", type=Path, default=Path("work_dirs/raccoon"), help="default: work_dirs/raccoon")
    args = parser.parse_args()
    options = [f"{name}={value!r}" for name, value in recipe(args.data.resolve(), args.epochs).items()]
    runs = {name: start(name, args.out / name, options) for name in NECKS}
    failed = [name for name, run in runs.items() if run.wait() != 0]
    if failed:
        return 1
    print(f"{'config':<18} {'AP50':>6} {'AP':>6} {'s/iter':>7}")
    for name in NECKS:
        measured = json.loads((args.out / name / "metrics.json").read_text(encoding="utf-8"))["metrics"]
        ap50, ap = measured["coco/bbox_mAP_50"], measured["coco/bbox_mAP"]
        print(f"{name:<18} {100 * ap50:6.1f} {100 * ap:6.1f} {seconds_per_iteration(args.out / name):7.2f}")
    return 0


def recipe(data: Path, epochs: int) -> dict[str, object]:
    """Return the changes to the configs, which are for ResNet-50 and COCO."""
    resize = {"train_dataloader": 2, "val_dataloader": 1, "test_dataloader": 1}  # its index in the pipeline
    options: dict[str, object] = {}
    for loader, position in resize.items():
        options |= {f"{loader}.dataset.data_root": str(data), f"{loader}.dataset.pipeline.{position}.scale": SIZE}
        options |= {f"{loader}.num_workers": 0, f"{loader}.persistent_workers": False}
    return options | {
        "model.backbone.depth": 18,
        "model.backbone.frozen_stages": -1,
        "model.backbone.norm_eval": False,
        "model.backbone.init_cfg": None,
        "model.neck.out_channels": 128,
        "model.neck.norm_cfg": {"type": "BN", "requires_grad": True},
        "model.bbox_head.feat_channels": 128,
        "model.bbox_head.stacked_convs": 2,
        "train_dataloader.batch_size": 8,
        "optim_wrapper.optimizer.type": "AdamW",
        "optim_wrapper.optimizer.lr": 0.001,
        "optim_wrapper.optimizer.weight_decay": 0.05,
        "optim_wrapper.clip_grad": {"max_norm": 10},
        "auto_scale_lr.enable": False,
        "train_cfg.max_epochs": epochs,
        "train_cfg.val_interval": 10,
        "default_hooks.logger.interval": 20,
        "default_hooks.checkpoint.interval": 10,
        "param_scheduler": [
            dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
            dict(
                type="CosineAnnealingLR",
                T_max=epochs,
                by_epoch=True,
                begin=0,
                end=epochs,
                eta_min=1e-6,
                convert_to_iter_based=True,
            ),
        ],
    }


def start(name: str, folder: Path, options: list[str]) -> subprocess.Popen:
    line = [sys.executable, str(ROOT / "tools" / "train.py"), name, "-o", str(folder), "--overwrite", "--allow-new"]
    return subprocess.Popen([*line, "--seed", "0", "--no-progress", "--cfg-options", *options])


def seconds_per_iteration(folder: Path) -> float:
    """Return the median of the logged times, which include the time for data."""
    rows = (folder / "logs" / "scalars.json").read_text(encoding="utf-8").splitlines()
    return median(row["time"] for row in map(json.loads, rows) if "time" in row and "loss" in row)


if __name__ == "__main__":
    raise SystemExit(main())
