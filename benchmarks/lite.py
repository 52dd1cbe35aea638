"""What a trunk with ImageNet weights is worth on few real images and one core, and the spread of three seeds.

    visionzoo convert voc2coco FOLDER -o data/raccoon --val-every 5
    OMP_NUM_THREADS=1 python benchmarks/lite.py raccoon data/raccoon
    OMP_NUM_THREADS=1 python benchmarks/lite.py cells data/bccd            # see datasets/bccd/README.md

`raccoon` trains rcnet_lite twice with one schedule of 4 epochs of 20 iterations: with EfficientNet-Lite0 from the extra
`pretrained`, and from scratch with nothing frozen. `cells` trains cells_rcnet_lite with the seeds 0, 1 and 2 and tests
each on the test split. One run follows the other. Seconds are those of the process on the CPU, validation included.

Measured on 2026-11-29 with the commands that `raccoon` runs, one thread on two shared cores of an Intel Xeon:

    trunk          AP50     AP  seconds
    pretrained     91.3   42.6      145
    from scratch   59.6   19.3      244

Of `cells`, with the commands that it runs: AP50 85.2, 85.4 and 86.3, mean 85.6, spread 0.6; AP 52.6, 52.6 and 54.2,
mean 53.1, spread 0.9; 672, 656 and 645 seconds, with other work on the second core.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (0, 1, 2)
SCRATCH = ["model.backbone.init_cfg=None", "model.backbone.frozen_stages=-1", "model.backbone.norm_eval=False"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("raccoon", "cells"))
    parser.add_argument("data", type=Path, help="folder in COCO's format, from visionzoo convert voc2coco")
    parser.add_argument("-o", "--out", type=Path, default=Path("work_dirs/lite"), help="default: %(default)s")
    args = parser.parse_args()
    return {"raccoon": compare_trunks, "cells": compare_seeds}[args.what](args.data.resolve(), args.out)


def compare_trunks(data: Path, out: Path) -> int:
    """Print AP50, AP and seconds with the weights of ImageNet and from scratch."""
    print(f"{'trunk':<12} {'AP50':>6} {'AP':>6} {'seconds':>8}")
    for name, options in {"pretrained": [], "from scratch": SCRATCH}.items():
        folder = out / name.replace(" ", "_")
        shared = ["--data", str(data), "--epochs", "4", "--seed", "0"]
        seconds = run("train", "rcnet_lite", folder, [*shared, "--cfg-options", "train_cfg.val_interval=1", *options])
        print(f"{name:<12} {percent(folder, 'mAP_50'):6.1f} {percent(folder, 'mAP'):6.1f} {seconds:8.0f}", flush=True)
    return 0


def compare_seeds(data: Path, out: Path) -> int:
    """Print AP50 and AP of each seed on the test split, their mean and their standard deviation."""
    rows: list[tuple[float, float]] = []
    print(f"{'seed':<8} {'AP50':>6} {'AP':>6} {'seconds':>8}")
    for seed in SEEDS:
        folder = out / f"cells_{seed}"
        loaders = [f"{part}_dataloader.dataset.data_root={data}" for part in ("train", "val", "test")]
        seconds = run("train", "cells_rcnet_lite", folder, ["--seed", str(seed), "--cfg-options", *loaders])
        run("test", str(folder), folder / "test", [])
        rows.append((percent(folder / "test", "mAP_50"), percent(folder / "test", "mAP")))
        print(f"{seed:<8} {rows[-1][0]:6.1f} {rows[-1][1]:6.1f} {seconds:8.0f}", flush=True)
    columns = list(zip(*rows))
    print(f"{'mean':<8} {mean(columns[0]):6.1f} {mean(columns[1]):6.1f}")
    print(f"{'spread':<8} {stdev(columns[0]):6.1f} {stdev(columns[1]):6.1f}")
    return 0


def run(tool: str, name: str, folder: Path, options: list[str]) -> float:
    """Run a tool and return its seconds on the CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, str(ROOT / "tools" / f"{tool}.py"), name, "-o", str(folder), "--overwrite", "-q"]
    subprocess.run([*line, *options], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def percent(folder: Path, name: str) -> float:
    measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    return 100 * measured[f"coco/bbox_{name}"]


if __name__ == "__main__":
    raise SystemExit(main())
