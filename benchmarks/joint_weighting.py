"""Joint training of several heads against one model per task, for each weighting of the losses, on drawn images.

    python benchmarks/joint_weighting.py road_scene -o joint.json
    python benchmarks/joint_weighting.py road_scene --only single pcgrad

Every model has the same parts and sees each sample of its task equally often, in the same order, with the same schedule
of learning rates. A batch of a joint model has 4 samples of each task. The table states the first measure of each task
after the last epoch, and its difference from the model of this single task, relative, positive if the joint model is
better.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from visionzoo.config import load_config
from visionzoo.engine.best_metric import best_metric_of
from visionzoo.engine.training import train

# A weight by hand for losses that are much larger than the others: squared errors are summed over the cells of a map.
BY_HAND = {"counting": 0.01}
LOADERS, EVALUATORS = ("train_dataloader", "val_dataloader", "test_dataloader"), ("val_evaluator", "test_evaluator")


def weightings(tasks: tuple[str, ...]) -> dict[str, dict[str, Any] | None]:
    """Return the configs of the weightings by name."""
    weights = {task: weight for task, weight in BY_HAND.items() if task in tasks}
    return {
        "sum": None,
        "by_hand": dict(type="FixedWeights", weights=weights),
        "uncertainty": dict(type="UncertaintyWeighting", regression=list(weights)),
        "gradnorm": dict(type="GradNorm", alpha=0.5),
        "pcgrad": dict(type="PCGrad", weights=weights),
    }


def loaded_config(name: str, epochs: int | None) -> Any:
    """Return the tiny variant of a config."""
    loaded = load_config(name, tiny=True)
    loaded.cfg.default_hooks.checkpoint.pop("save_best", None)
    if epochs is not None:
        loaded.cfg.train_cfg.max_epochs = epochs
        for schedule in loaded.cfg.param_scheduler:
            if schedule.get("T_max"):
                schedule.T_max = schedule.end = epochs
    loaded.cfg.train_cfg.val_interval = loaded.cfg.train_cfg.max_epochs
    return loaded


def measure(loaded: Any, seed: int) -> dict[str, Any]:
    """Train, and return the numbers after the last epoch and the time."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(loaded, work_dir=Path(folder) / "run", device="cpu", quiet=True, seed=seed)
    return {"metrics": outcome["metrics"], "iterations": outcome["iter"], "seconds": time.process_time() - start}


def single(name: str, task: str, epochs: int | None, seed: int) -> dict[str, Any]:
    """Train the model of one task."""
    loaded = loaded_config(name, epochs)
    cfg = loaded.cfg
    count = len(cfg.task)
    cfg.task = [task]
    cfg.model.heads = {task: cfg.model.heads[task]}
    cfg.model.pop("loss_weighting", None)
    for loader in LOADERS:
        cfg[loader].dataset.datasets = {task: cfg[loader].dataset.datasets[task]}
    for evaluator in EVALUATORS:
        cfg[evaluator].metrics = {task: cfg[evaluator].metrics[task]}
    cfg.train_dataloader.sampler.weights = {}
    cfg.train_dataloader.sampler.length //= count
    return measure(loaded, seed)


def joint(name: str, kind: str, epochs: int | None, seed: int) -> dict[str, Any]:
    """Train the model of all tasks."""
    loaded = loaded_config(name, epochs)
    cfg = loaded.cfg
    cfg.model.loss_weighting = weightings(tuple(cfg.task))[kind]
    cfg.train_dataloader.sampler.mode = "mixed"
    cfg.train_dataloader.batch_size *= len(cfg.task)
    return measure(loaded, seed)


def table(results: dict[str, dict[str, Any]], tasks: tuple[str, ...]) -> str:
    """Return the table in Markdown."""
    rules = best_metric_of((*tasks, ""))
    lines, head = [], ["model"]
    for task in tasks:
        known = next(each["metrics"] for key, each in results.items() if key == f"single {task}")
        prefixed = {f"{task}/{name.partition('/')[2]}": value for name, value in known.items()}
        name = next(metric for metric in rules if metric.startswith(f"{task}/") and metric in prefixed)
        head += [f"{name} ({'higher' if rules[name] == 'greater' else 'lower'} is better)", "change"]
        lines.append((name, prefixed[name]))
    rows = [["single", *(cell for _, value in lines for cell in (f"{value:.4f}", ""))]]
    for key, result in results.items():
        if key.startswith("single"):
            continue
        cells = []
        for name, before in lines:
            value = result["metrics"][name]
            change = (value - before) / abs(before) if before else float("nan")
            cells += [f"{value:.4f}", f"{100 * (change if rules[name] == 'greater' else -change):+.0f} %"]
        rows.append([key, *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--only", nargs="+", default=["single", "sum", "by_hand", "uncertainty", "gradnorm", "pcgrad"])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, default=Path("joint.json"))
    args = parser.parse_args()
    tasks = tuple(load_config(args.config, tiny=True).cfg.task)
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    for kind in args.only:
        for key, task in [(f"single {task}", task) for task in tasks] if kind == "single" else [(kind, "")]:
            run = (
                single(args.config, task, args.epochs, args.seed)
                if task
                else joint(args.config, kind, args.epochs, args.seed)
            )
            results[key] = run
            args.out.write_text(json.dumps(results, indent=1))
            print(f"{key}: {run['iterations']} iterations, {run['seconds']:.0f} s of a core", flush=True)
    if all(f"single {task}" in results for task in tasks):
        print(table(results, tasks))


if __name__ == "__main__":
    main()
