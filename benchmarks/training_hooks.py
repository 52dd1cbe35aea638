"""Overhead of the training loop: cost of our runner and its hooks per iteration, compared with mmengine's.

    python benchmarks/training_hooks.py --rounds 5

The model has one layer of five parameters, so the loop takes nearly all of an iteration. Times are CPU time of one
thread, medians of the rounds. The candidates run in turns. Samples are created in a worker, as in every config, whose
time is not counted. Accept: ours costs at most 0.3 ms more than mmengine's Runner with its default hooks.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from timing import Row, record
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import visionzoo  # noqa: F401  (serves mmcv._ext)
from visionzoo.config import load_config
from visionzoo.engine.training import train
from visionzoo.registry import DATASETS, HOOKS, MODELS

WARM_UP = 50


@DATASETS.register_module()
class Numbers(Dataset):
    """``count`` samples of four numbers."""

    metainfo = {"classes": ("number",)}

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"inputs": torch.full((4,), float(index % 7))}


@MODELS.register_module()
class OneWeight(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, inputs: Any, mode: str = "tensor", **kwargs: Any) -> Any:
        out = self.layer(torch.stack(list(inputs)) if isinstance(inputs, (list, tuple)) else inputs)
        return {"loss": out.square().mean()} if mode == "loss" else out


@HOOKS.register_module()
class Stopwatch(Hook):
    """Measures the CPU seconds of the iterations after the first fifty."""

    seconds = 0.0

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if batch_idx == WARM_UP:
            self.start = time.process_time()

    def after_train_epoch(self, runner: Any) -> None:
        Stopwatch.seconds = time.process_time() - self.start


LOADER = dict(batch_size=1, num_workers=1, sampler=dict(type="DefaultSampler", shuffle=True))
OPTIMIZER = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1e-6, momentum=0.9))
SCHEDULE = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20)]
DEFAULT_HOOKS = dict(
    runtime_info=dict(type="RuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=1),
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median counts (default: 5)")
    parser.add_argument("--iterations", type=int, default=1000, help="iterations of a round (default: 1000)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    times = {name: median(rounds) for name, rounds in measure(args.rounds, args.iterations).items()}
    bare, stock = times["bare loop"], times["mmengine, default hooks"]
    print(f"{'candidate':<26} {'ms/iter':>8} {'above bare':>11} {'above stock':>12}")
    for name, seconds in times.items():
        print(f"{name:<26} {1e3 * seconds:8.3f} {1e3 * (seconds - bare):11.3f} {1e3 * (seconds - stock):12.3f}")
    added = 1e3 * (times["visionzoo"] - stock)
    print(
        f"ours adds {added:.3f} ms to mmengine's Runner: " + ("accepted" if added <= 0.3 else "NOT accepted (0.3 ms)")
    )
    what, theirs = "an iteration of the loop, model of 5 parameters", "mmengine's Runner, default hooks"
    record(Row(what, theirs, times["visionzoo"], stock, "same loop"))
    return 0 if added <= 0.3 else 1


def measure(rounds: int, iterations: int) -> dict[str, list[float]]:
    """Return the seconds per iteration of every candidate, one value per round."""
    candidates: dict[str, Callable[[int, Path], float]] = {
        "bare loop": run_bare,
        "mmengine, no hooks": lambda count, folder: run_mmengine(count, folder, dict.fromkeys(DEFAULT_HOOKS)),
        "mmengine, default hooks": lambda count, folder: run_mmengine(count, folder, DEFAULT_HOOKS),
        "visionzoo": run_ours,
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            with tempfile.TemporaryDirectory() as folder:
                times[name].append(run(iterations + WARM_UP, Path(folder)) / iterations)
    return times


def run_bare(count: int, folder: Path) -> float:
    data, model = Numbers(count), OneWeight()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)
    for index, sample in enumerate(DataLoader(data, batch_size=1, num_workers=1, shuffle=True)):
        if index == WARM_UP:
            start = time.process_time()
        loss = model(sample["inputs"], mode="loss")["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.process_time() - start


def run_mmengine(count: int, folder: Path, hooks: dict[str, Any]) -> float:
    loader = LOADER | dict(dataset=dict(type="Numbers", count=count, _scope_="visionzoo"))
    runner = Runner(
        model=OneWeight(),
        work_dir=str(folder),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=OPTIMIZER,
        param_scheduler=SCHEDULE,
        default_hooks=hooks,
        custom_hooks=[dict(type="Stopwatch", _scope_="visionzoo")],
        experiment_name=f"stock{time.monotonic_ns()}",
        log_level="ERROR",
    )
    runner.train()
    return Stopwatch.seconds


def run_ours(count: int, folder: Path) -> float:
    path = folder / "numbers.py"
    loader = LOADER | dict(dataset=dict(type="Numbers", count=count))
    values = dict(
        default_scope="visionzoo",
        task="classification",
        model=dict(type="OneWeight"),
        train_dataloader=loader,
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=1),
        optim_wrapper=OPTIMIZER,
        param_scheduler=SCHEDULE,
        default_hooks=DEFAULT_HOOKS,
        custom_hooks=[dict(type="Stopwatch")],
    )
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
    train(load_config(path), work_dir=folder / "run", quiet=True)
    return Stopwatch.seconds


if __name__ == "__main__":
    raise SystemExit(main())
