"""Comparison of recorded runs: directions, differences, seeds, conditions that differ, and wrong use."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from visionzoo.cli.compare import main
from visionzoo.engine.comparison import compare
from visionzoo.engine.comparison_figure import draw_comparison
from visionzoo.engine.comparison_text import as_markdown, as_text
from visionzoo.engine.recorded_runs import RecordedRun, read_run

COUNTING = {"count/MAE": 3.0, "count/RMSE": 5.0, "count/images": 7.0}


def record(
    folder: Path,
    metrics: Mapping[str, Any],
    *,
    task: str = "counting",
    seed: int | None = 0,
    lr: float = 0.1,
    root: str = "data/a",
    history: int = 3,
    **facts: Any,
) -> Path:
    """Write the files of a training, or with ``seed=None`` of a test without a config."""
    folder.mkdir(parents=True)
    per_class = facts.pop("per_class", {})
    document = {"name": "toy", "samples": 7, **facts, "metrics": dict(metrics), "per_class": per_class}
    (folder / "metrics.json").write_text(json.dumps(document))
    if seed is not None:
        data = f"dict(batch_size=1, dataset=dict(type='Toy', data_root='{root}'))"
        (folder / "config.py").write_text(
            f"task = '{task}'\nval_dataloader = {data}\nrandomness = dict(seed={seed})\n"
            f"optim_wrapper = dict(optimizer=dict(type='SGD', lr={lr}))\ntrain_cfg = dict(max_epochs=3)\n"
        )
        (folder / "run.json").write_text(json.dumps({"name": "toy", "seed": seed}))
        lines = [{**{name: value + step for name, value in metrics.items() if value is not None}, "step": step}
                 for step in range(history)]  # fmt: skip
        (folder / "logs").mkdir()
        text = "".join(f"{json.dumps(line)}\n" for line in [{"loss": 1.0, "step": 1}, *lines])
        (folder / "logs/scalars.json").write_text(text + '{"loss": 0.')
    return folder


def compared(*folders: Path) -> Any:
    return compare([read_run(folder) for folder in folders])


def test_the_best_value_follows_the_direction_of_each_metric(tmp_path: Path) -> None:
    better = {"count/MAE": 2.0, "count/RMSE": 6.0, "count/images": 7.0}
    found = compared(record(tmp_path / "a", COUNTING), record(tmp_path / "b", better, lr=0.2))
    assert {name: found.direction(name) for name in COUNTING} == {
        "count/MAE": "less", "count/RMSE": "less", "count/images": None,
    }  # fmt: skip
    assert [found.best(name) for name in COUNTING] == [["B"], ["A"], []]
    rows = {row["metric"]: row for row in json.loads(json.dumps(found.to_json()))["metrics"]}
    assert rows["count/MAE"]["differences"] == [0.0, -1.0]
    lines = as_text(found).splitlines()
    assert next(line for line in lines if line.startswith("count/MAE")).split() == [
        "count/MAE", "lower", "3.0000", "2.0000", "*", "(-1.0000)",
    ]  # fmt: skip
    assert "~ optim_wrapper.optimizer.lr: 0.1 -> 0.2" in lines
    assert found.notes == []


@pytest.mark.parametrize(
    ("task", "metric", "direction"),
    [
        ("saliency", "sal/MAE", "less"),
        ("saliency", "sal/Emeasure_max", "greater"),
        ("saliency", "sal/Smeasure_undefined", None),
        ("lanes", "culane/FP/cross", "less"),
        ("lanes", "culane/F1/night", "greater"),
        ("registration", "reg/hd95", "less"),
        ("registration", "reg/dice_before", None),
        ("panoptic", "pq/PQ_things", "greater"),
        ("panoptic", "pq/classes_things", None),
        ("referring", "ref/phrases", None),
        ("detection", "coco/bbox_mAP_s", "greater"),
        ("semantic", "sem/mACC", "greater"),
        ("classification", "geo/disparity1", "less"),
    ],
)
def test_every_task_states_the_directions_of_its_metrics(task: str, metric: str, direction: str | None) -> None:
    run = RecordedRun(Path(task), "toy", False, {metric: 1.0}, config={"task": task})
    other = RecordedRun(Path("b"), "toy", True, {metric: 2.0}, config={"task": task})
    assert compare([run, other]).direction(metric) == direction


def test_runs_that_differ_only_in_their_seed_are_mean_and_spread(tmp_path: Path) -> None:
    runs = [record(tmp_path / f"s{seed}", {**COUNTING, "count/MAE": 1.0 + seed}, seed=seed) for seed in range(3)]
    other = record(tmp_path / "other", COUNTING, lr=0.2)
    found = compared(runs[0], other, *runs[1:])
    assert [len(entry.runs) for entry in found.entries] == [3, 1]
    value = found.entries[0].value("count/MAE")
    assert (value.mean, value.spread) == (2.0, 1.0)
    text = as_text(found)
    assert "A: toy, 3 trainings, seeds 0, 1, 2, 7 samples" in text
    assert "2.0000 +- 1.0000 *" in text
    alone = as_text(compared(*runs))
    assert "(" not in alone.partition("\n\n")[2].partition("mean +-")[0]
    assert len([line for line in alone.splitlines() if line.startswith(str(tmp_path))]) == 3


def test_other_data_protocols_and_kinds_are_stated(tmp_path: Path) -> None:
    one = record(tmp_path / "a", COUNTING, protocols={"CountMetric": "whole image"})
    two = record(tmp_path / "b", COUNTING, root="data/b", samples=9)
    notes = compared(one, two).notes
    assert [note.partition(":")[0] for note in notes] == [
        "A and B are measured on different data", "A and B have different numbers of samples",
        "A and B have different protocols",
    ]  # fmt: skip
    assert "'data/a' -> 'data/b'" in notes[0]
    test = record(tmp_path / "t", COUNTING, seed=None, config=str(tmp_path / "gone.py"))
    notes = compared(one, test).notes
    assert any("gone.py is gone; neither its config nor its data are compared" in note for note in notes)
    assert any("not measured alike: the best validation of a training, and a test" in note for note in notes)


def test_data_of_a_test_are_those_that_it_recorded(tmp_path: Path) -> None:
    training = record(tmp_path / "a", COUNTING)
    config = str(training / "config.py")
    tests = [
        record(tmp_path / name, COUNTING, seed=None, config=config, data={"dataset.data_root": name}) for name in "xy"
    ]
    assert "measured on different data: ~ dataset.data_root: 'x' -> 'y'" in compared(*tests).notes[0]


def test_classes_are_compared_and_those_with_the_largest_differences_come_first(tmp_path: Path) -> None:
    def rows(shift: float) -> dict[str, list]:
        return {
            "bbox": [{"class": f"c{at:02}", "objects": 3, "AP": 0.5 + shift * at, "AP_50": 0.9} for at in range(14)]
        }

    one = record(tmp_path / "a", {"coco/bbox_mAP": 0.5}, task="detection", per_class=rows(0.0))
    two = record(tmp_path / "b", {"coco/bbox_mAP": 0.6}, task="detection", lr=0.2, per_class=rows(0.01))
    found = compared(one, two)
    text = as_text(found)
    assert "AP by class of bbox (the 10 largest differences of 14 classes)" in text
    assert text.index("c13") < text.index("c04")
    assert "c03" not in text
    assert "| c03 | 0.5000 | 0.5300 (+0.0300) |" in as_markdown(found)
    assert found.to_json()["per_class"]["bbox"]["classes"][13]["differences"] == [0.0, pytest.approx(0.13)]


def test_absent_numbers_are_no_numbers(tmp_path: Path) -> None:
    one = record(tmp_path / "a", {"coco/bbox_mAP": 0.5, "coco/bbox_mAP_s": -1.0, "coco/own": 0.1}, task="detection")
    two = record(tmp_path / "b", {"coco/bbox_mAP": 0.5, "coco/bbox_mAP_s": None}, task="detection", lr=0.2)
    found = compared(one, two)
    assert found.best("coco/bbox_mAP") == []  # equal
    lines = {line.split()[0]: line.split()[2:] for line in as_text(found).splitlines() if line.startswith("coco/")}
    assert lines == {
        "coco/bbox_mAP": ["0.5000", "0.5000", "(+0.0000)"],
        "coco/bbox_mAP_s": ["-", "-"],
        "coco/own": ["0.1000", "-"],
    }


def test_the_figure_has_curves_or_bars(tmp_path: Path) -> None:
    one, two = record(tmp_path / "a", COUNTING), record(tmp_path / "b", COUNTING, lr=0.2)
    test = record(tmp_path / "t", {**COUNTING, "count/MAE": 1.5}, seed=None)
    curves, bars = draw_comparison(compared(one, two)), draw_comparison(compared(one, test))
    assert curves.shape[1] == bars.shape[1] == 1000
    assert curves.shape != bars.shape
    blue, red = np.array([0, 114, 178]), np.array([213, 94, 0])
    assert (curves == red).all(axis=2).any()  # both are equal, and the second one is on top
    assert ((bars == blue).all(axis=2).sum()) > 1000
    assert ((bars == red).all(axis=2).sum()) > 1000
    single = record(tmp_path / "one", COUNTING, history=1, lr=0.3)
    assert draw_comparison(compared(one, single)).shape == bars.shape  # one validation is not a curve


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda tmp: [tmp / "a"], "expected two runs or more, found one; name another run"),
        (lambda tmp: [tmp / "a", tmp / "a/metrics.json"], "expected different runs, found the same run twice"),
        (lambda tmp: [tmp / "a", tmp / "none"], "or its metrics.json, found no such path; check the path"),
        (lambda tmp: [tmp / "a", tmp / "bare"], "found a training without metrics.json; `visionzoo test "),
        (lambda tmp: [tmp / "a", tmp / "infer"], "found the folder of an inference"),
        (lambda tmp: [tmp / "a", tmp], "found a folder without metrics.json"),
        (lambda tmp: [tmp / "a", tmp / "broken.json"], "broken.json: expected a JSON file, but "),
        (lambda tmp: [tmp / "a", tmp / "empty.json"], "expected at least one metric, found none"),
        (lambda tmp: [tmp / "a", tmp / "list.json"], "expected an object with metrics, found another value"),
        (lambda tmp: [tmp / "a", tmp / "lanes"], "compare: expected runs with a common metric, found count/MAE, "),
    ],
)  # fmt: skip
def test_wrong_use_is_one_sentence(
    make: Callable, words: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "a", COUNTING)
    record(tmp_path / "lanes", {"culane/F1": 0.5}, task="lanes")
    record(tmp_path / "bare", {})
    (tmp_path / "bare/metrics.json").unlink()
    (tmp_path / "infer").mkdir()
    (tmp_path / "infer/predictions.jsonl").write_text("")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.json").write_text('{"metrics": {}}')
    (tmp_path / "list.json").write_text("[1]")
    assert main([str(path) for path in make(tmp_path)]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "work_dirs").exists()


def test_the_command_writes_a_document_and_a_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "a", COUNTING)
    record(tmp_path / "b", COUNTING, lr=0.2)
    assert main(["a", "b/metrics.json", "--json"]) == 0
    printed = capsys.readouterr()
    assert [entry["label"] for entry in json.loads(printed.out)["entries"]] == ["A", "B"]
    assert printed.err == "written to work_dirs/compare/compare.md and compare.png\n"
    assert "| count/MAE | lower | 3.0000 | 3.0000 (+0.0000) |" in Path("work_dirs/compare/compare.md").read_text()
    with Image.open("work_dirs/compare/compare.png") as image:
        assert image.width == 1000
    assert main(["a", "b", "-q", "-o", "other"]) == 0
    assert "the configs of A and B" not in capsys.readouterr().out


@pytest.mark.parametrize("target", ["file", "file/compare", "/proc/compare"])
def test_a_folder_that_cannot_be_written_is_one_sentence(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [str(record(tmp_path / name, COUNTING, lr=rate)) for name, rate in (("a", 0.1), ("b", 0.2))]
    (tmp_path / "file").write_text("kept")
    assert main([*runs, "-q", "-o", target]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {target}: expected a folder ")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_training_and_its_test_are_recorded_with_their_data(train_toy: Callable, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        train_toy(name, {"train_cfg.max_epochs": 2}, seed=seed)
    found = compared(tmp_path / "a", tmp_path / "b")
    (entry,) = found.entries
    assert [run.seed for run in entry.runs] == [0, 1]
    assert entry.first.facts["data"] == {"dataset.type": "ToyData"}
    assert all(len(points) == 2 for points in entry.first.history.values())
    assert found.notes == []
