"""Training from scratch on real images on a CPU: our backbones and ResNet-18 classify blood cells with one schedule.

    visionzoo convert voc2coco FOLDER -o data/bccd --val-every 5
    OMP_NUM_THREADS=1 python benchmarks/blood_cells.py data/bccd

The BCCD data set has 364 images of blood smears in Pascal VOC's format; every 5th is for validation. Each box is
cropped and classified as platelet, red or white cell, at 64 x 64 pixels. No model is pretrained. Four of five cells are
red, so the share of the largest class and the mean over the classes are printed beside the accuracy. Two models train
at a time, each in its own process and on its own core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
SIZE = 64
CONFIG = "bossnet_t0_imagenet"  # any classifier: recipe, data and backbone are replaced
BACKBONES: dict[str, dict[str, object]] = {
    "DiNAT tiny": dict(type="DiNAT", variant="tiny", out_indices=(3,)),
    "BossNet tiny": dict(type="BossNet", variant="tiny", out_indices=(3,)),
    "NASNet tiny": dict(type="NASNet", variant="tiny", out_indices=(4,)),
    "timm ResNet-18": dict(type="timm.resnet18", out_indices=(4,)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder in COCO's format, from visionzoo convert voc2coco")
    parser.add_argument("--epochs", type=int, default=8, help="length of the schedule (default: 8)")
    parser.add_argument("-o", "--out", type=Path, default=Path("work_dirs/blood_cells"), help="default: %(default)s")
    args = parser.parse_args()
    folders = {name: args.out / name.lower().replace(" ", "_") for name in BACKBONES}
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(train, name, folders[name], args.data.resolve(), args.epochs) for name in BACKBONES]
    if any(run.result() for run in runs):
        return 1
    print(f"largest class: {100 * largest_class(args.data):.1f} % of the validation crops")
    print(f"{'backbone':<15} {'top-1':>6} {'mean of classes':>16} {'params':>9} {'s/iter':>7}")
    for name, folder in folders.items():
        measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["metrics"]
        top1, mean = 100 * measured["cls/top1"], 100 * measured["cls/mean_class"]
        params, seconds = parameters(folder), seconds_per_iteration(folder)
        print(f"{name:<15} {top1:6.1f} {mean:16.1f} {params / 1e6:7.2f} M {seconds:7.3f}")
    return 0


def train(name: str, folder: Path, data: Path, epochs: int) -> int:
    options = [f"{path}={value!r}" for path, value in recipe(data, epochs).items()]
    line = [sys.executable, str(ROOT / "tools" / "train.py"), CONFIG, "--tiny", "-o", str(folder), "--overwrite"]
    backbone = f"model.backbone={BACKBONES[name]!r}"
    return subprocess.call([*line, "-q", "--allow-new", "--seed", "0", "--cfg-options", backbone, *options])


def recipe(data: Path, epochs: int) -> dict[str, object]:
    """Return the config options, which are the same for every backbone."""
    first = [dict(type="RandomResizedCrop", size=SIZE, scale=(0.5, 1.0)), dict(type="HorizontalFlip", prob=0.5)]
    last = [dict(type="PackTaskInputs")]
    val = crops(data, "val", [dict(type="ResizeCrop", size=SIZE, crop_pct=1.0), *last])
    return {
        "train_dataloader.dataset": crops(data, "train", [*first, *last]),
        "train_dataloader.batch_size": 64,
        "val_dataloader.dataset": val,
        "test_dataloader.dataset": val,
        "optim_wrapper.optimizer.lr": 0.001,
        "train_cfg.max_epochs": epochs,
        "train_cfg.val_interval": epochs,
        "param_scheduler": [dict(type="WarmupCosineLR", end=epochs, warmup=1, convert_to_iter_based=True)],
        "default_hooks.logger.interval": 10,
        "default_hooks.checkpoint.interval": epochs,
    }


def crops(data: Path, split: str, pipeline: list[dict]) -> dict[str, object]:
    return dict(
        type="CocoCrops",
        data_root=str(data),
        ann_file=f"annotations/instances_{split}2017.json",
        img_folder=f"{split}2017",
        keep_crops=True,
        pipeline=pipeline,
    )


def largest_class(data: Path) -> float:
    """Return the accuracy of a model that always predicts the largest class."""
    text = (data / "annotations" / "instances_val2017.json").read_text(encoding="utf-8")
    counts = Counter(annotation["category_id"] for annotation in json.loads(text)["annotations"])
    return max(counts.values()) / counts.total()


def parameters(folder: Path) -> int:
    """Return the number of parameters of the trained model."""
    from visionzoo.config import load_config
    from visionzoo.models.wiring import build_model

    return sum(part.numel() for part in build_model(load_config(folder / "config.py").cfg.model).parameters())


def seconds_per_iteration(folder: Path) -> float:
    """Return the median of the logged times, which include the time for data."""
    rows = (folder / "logs" / "scalars.json").read_text(encoding="utf-8").splitlines()
    return median(row["time"] for row in map(json.loads, rows) if "time" in row and "loss" in row)


if __name__ == "__main__":
    raise SystemExit(main())
