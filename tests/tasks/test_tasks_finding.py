"""A task is one file: it is found by its name, a config must name one, and it selects the best checkpoint."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import visionzoo
from visionzoo.config import check_config, load_config
from visionzoo.engine.best_metric import best_metric_of
from visionzoo.engine.hooks import ZooCheckpointHook
from visionzoo.errors import UnknownName
from visionzoo.registry import task_modules, task_names
from visionzoo.tasks import Task, task_of

FOLDER = Path(visionzoo.__file__).parent / "tasks"
SHARED = {path.stem for path in FOLDER.glob("_*.py")}


def test_every_file_except_the_shared_ones_is_a_task():
    assert set(task_names()) == {path.stem for path in FOLDER.glob("*.py")} - SHARED


@pytest.mark.parametrize("name", task_names())
def test_every_task_defines_what_it_must(name):
    task = task_of(name)
    assert isinstance(task, Task)
    assert type(task).__module__ == task_modules()[name]
    for method in ("read", "draw", "shaken", "scores"):
        assert getattr(type(task), method) is not getattr(Task, method)
    assert set(task.save_best.values()) <= {"greater", "less"}
    assert task.save_best
    assert task.row is not None or task.coco is not None


def test_an_unknown_task_suggests_the_nearest():
    with pytest.raises(UnknownName, match="no task is called 'lane'; did you mean 'lanes'"):
        task_of("lane")


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (None, "a config needs a task"),
        ("lane", "no task is called 'lane'; did you mean lanes?"),
        (3, "no task is called"),
        ({"a": 1}, "no task is called"),
        (["lanes", None], "no task is called None"),
    ],
)
def test_a_config_names_a_task(task, words):
    cfg = load_config("scnn_culane", tiny=True).cfg
    if task is None:
        cfg.pop("task")
    else:
        cfg.task = task
    assert any(words in problem for problem in check_config(cfg))


def test_several_tasks_of_a_model_that_is_no_dict():
    cfg = load_config("scnn_culane", tiny=True).cfg.to_dict()
    problems = check_config({**cfg, "task": ["lanes"], "model": "SCNN"})
    assert any("no head in model.heads is called lanes" in problem for problem in problems)


def test_a_config_may_name_several_tasks():
    cfg = load_config("scnn_culane", tiny=True).cfg
    cfg.task = ("lanes", "counting")
    cfg.model.heads = dict(lanes=cfg.model.pop("head"), counting=dict(type="DensityHead"))
    assert check_config(cfg) == []


@pytest.mark.parametrize(
    ("task", "metrics", "chosen", "rule"),
    [
        ("counting", {"count/RMSE": 3.0, "count/MAE": 2.0}, "count/MAE", "less"),
        ("instances", {"coco/bbox_mAP": 0.1, "coco/segm_mAP": 0.2}, "coco/segm_mAP", "greater"),
        ("lanes", {"tusimple/FP": 0.1, "tusimple/accuracy": 0.9}, "tusimple/accuracy", "greater"),
        ("detection", {"mine/accuracy": 0.5}, "mine/accuracy", "greater"),
    ],
)
def test_the_best_checkpoint_is_that_of_the_tasks_metric(task, metrics, chosen, rule):
    saved, notes = [], []
    hook = ZooCheckpointHook()
    hook._save_if_best = lambda runner, name, metrics: saved.append(name)
    hub = SimpleNamespace(update_info=lambda *entry: None)
    runner = SimpleNamespace(best_metric=best_metric_of(task), message_hub=hub, note=notes.append)
    hook._save_best_checkpoint(runner, metrics)
    assert saved == [chosen]
    assert bool(notes) == (chosen not in task_of(task).save_best)
    assert hook.rules == [rule]
