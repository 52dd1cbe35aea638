"""What a trunk with ImageNet weights is worth on few real images and one core, with the spread of three seeds.

    visionzoo convert voc2coco FOLDER -o data/raccoon --val-every 5
    OMP_NUM_THREADS=1 python benchmarks/lite.py raccoon data/raccoon
    OMP_NUM_THREADS=1 python benchmarks/lite.py frozen data/raccoon        # 7 and 2 stages instead of 5
    OMP_NUM_THREADS=1 python benchmarks/lite.py cells data/bccd            # see datasets/bccd/README.md
    OMP_NUM_THREADS=1 python benchmarks/lite.py counts data/bccd
    OMP_NUM_THREADS=1 python benchmarks/lite.py membrane data/membrane     # see datasets/membrane/README.md

Each part trains a model several ways with one schedule and prints the numbers of the test split: one row for each way
and seed, then the mean and the standard deviation of each way with several seeds. One run follows the other. Seconds
are those of the training process on the CPU, validation included.

The results are in the cards of rcnet_lite, cells_rcnet_lite, cells_density_lite and membrane_connnet_lite.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SCRATCH = ["model.backbone.init_cfg=None", "model.backbone.frozen_stages=-1", "model.backbone.norm_eval=False"]
AP = {"AP50": ("coco/bbox_mAP_50", 100.0), "AP": ("coco/bbox_mAP", 100.0)}
COUNT = {"MAE": ("count/MAE", 1.0), "RMSE": ("count/RMSE", 1.0)}
SALIENCY = {"max F": ("sal/Fmeasure_max", 1.0), "S": ("sal/Smeasure", 1.0), "MAE": ("sal/MAE", 1.0)}


class Way(NamedTuple):
    """One way to train: its name, the changes to the config, and the seeds."""

    name: str
    changes: list[str] = []
    seeds: tuple[int, ...] = (0, 1, 2)


class Part(NamedTuple):
    """One comparison: a model, its metrics (key and factor by name), the ways to compare, and options of the training.

    With ``own_data``, the data set is not the one of the config, and the classes come from it.
    """

    model: str
    metrics: dict[str, tuple[str, float]]
    ways: list[Way]
    options: list[str] = []
    own_data: bool = False


def frozen(stages: int) -> Way:
    return Way(f"{max(stages, 0)} frozen", [f"model.backbone.frozen_stages={stages}"])


PARTS = {
    "raccoon": Part("rcnet_lite", AP, [Way("pretrained"), Way("from scratch", SCRATCH)], ["--epochs", "4"], True),
    "frozen": Part("rcnet_lite", AP, [frozen(stages) for stages in (7, 2)], ["--epochs", "4"], True),
    "cells": Part("cells_rcnet_lite", AP, [Way("pretrained"), Way("from scratch", SCRATCH, (0,))]),
    "counts": Part("cells_density_lite", COUNT, [Way("pretrained"), Way("from scratch", SCRATCH, (0,))]),
    "membrane": Part("membrane_connnet_lite", SALIENCY, [Way("pretrained"), Way("from scratch", SCRATCH)]),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("data", type=Path, help="folder of the data set")
    parser.add_argument("-o", "--out", type=Path, default=Path("work_dirs/lite"), help="default: %(default)s")
    parser.add_argument("--only", help="only this way, such as pretrained (default: all)")
    args = parser.parse_args()
    part = PARTS[args.part]
    print_row("trunk", "seed", [*part.metrics, "seconds"])
    for way in (way for way in part.ways if args.only in (None, way.name)):
        rows = [measure(part, way, seed, args.data.resolve(), args.out) for seed in way.seeds]
        if len(rows) > 1:
            columns = list(zip(*rows))
            print_row(way.name, "mean", [mean(column) for column in columns])
            print_row("", "spread", [stdev(column) for column in columns])
    return 0


def measure(part: Part, way: Way, seed: int, data: Path, out: Path) -> list[float]:
    """Train with one seed, test, and print and return the metrics and the seconds of the training."""
    folder = out / f"{part.model}_{way.name.replace(' ', '_')}_{seed}"
    options = [*part.options, "--seed", str(seed)]
    options += ["--data", str(data)] if part.own_data else []
    roots = [f"{split}_dataloader.dataset.data_root={data}" for split in ("train", "val", "test")]
    changes = [*([] if part.own_data else roots), *way.changes]
    seconds = run("train", part.model, folder, [*options, *(["--cfg-options", *changes] if changes else [])])
    run("test", str(folder), folder / "test", [])
    measured = json.loads((folder / "test" / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    row = [factor * measured[key] for key, factor in part.metrics.values()] + [seconds]
    print_row(way.name, str(seed), row)
    return row


def print_row(way: str, seed: str, cells: list[str] | list[float]) -> None:
    texts = [cell if isinstance(cell, str) else f"{cell:.{1 if cell >= 10 else 3}f}" for cell in cells]
    print(f"{way:<13} {seed:<7}" + "".join(f"{text:>9}" for text in texts), flush=True)


def run(tool: str, name: str, folder: Path, options: list[str]) -> float:
    """Run a tool and return its seconds on the CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, str(ROOT / "tools" / f"{tool}.py"), name, "-o", str(folder), "--overwrite", "-q"]
    subprocess.run([*line, *options], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
