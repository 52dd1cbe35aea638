"""``losses.png`` and ``metrics.png`` of every run: complete, interrupted, resumed, failed, without validation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mmengine.logging import HistoryBuffer
from PIL import Image

from visionzoo.engine import training
from visionzoo.engine.curves import _loss_panels, _metric_panels, _rate_panel
from visionzoo.engine.hooks import BEST
from visionzoo.errors import OutputError, RunFailed


def image(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def history(**values: list[float]) -> dict[str, HistoryBuffer]:
    return {name.replace("__", "/"): HistoryBuffer(each, [1] * len(each)) for name, each in values.items()}


def runner_with(validations: list[dict], best: dict | None = None, *, val_loop: Any = True) -> Any:
    facts = {"validations": validations, BEST: best}
    hub = SimpleNamespace(get_info=lambda key, default=None: facts.get(key, default))
    return SimpleNamespace(message_hub=hub, val_loop=val_loop)


def test_a_complete_run_has_both_and_says_so(
    train_toy: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    train_toy("run", quiet=False)
    assert f"curves           {tmp_path}/run/losses.png, metrics.png" in capsys.readouterr().err
    for name in ("losses.png", "metrics.png"):
        pixels = image(tmp_path / "run" / name)
        assert pixels.shape[1:] == (1000, 3)
        assert pixels.min() < 100  # not blank
    assert not np.array_equal(image(tmp_path / "run" / "losses.png"), image(tmp_path / "run" / "metrics.png"))


def test_an_interrupted_run_has_them_and_a_resumed_one_equals_an_uninterrupted_one(
    train_toy: Callable, train_apart: Callable, tmp_path: Path
) -> None:
    stop = {"model.die_at": 6, "model.signal_name": "SIGINT", "model.marker": str(tmp_path / "stopped")}
    assert train_apart("run", stop) == 130
    early = image(tmp_path / "run" / "losses.png")
    train_toy("unused", resume=tmp_path / "run")
    train_toy("whole")
    for name in ("losses.png", "metrics.png"):
        assert np.array_equal(image(tmp_path / "run" / name)[60:], image(tmp_path / "whole" / name)[60:]), name
    assert not np.array_equal(early, image(tmp_path / "run" / "losses.png"))


def test_a_failed_run_has_them_and_its_own_error(
    train_toy: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"train_dataloader.dataset.broken": (3,), "train_dataloader.sampler.shuffle": False}
    broken |= {"train_dataloader.dataset.count": 8, "train_dataloader.batch_size": 1}
    with pytest.raises(RunFailed, match="found loss_cls = nan"):
        train_toy("run", broken)
    assert (tmp_path / "run" / "losses.png").is_file()

    def no_space(*_: Any) -> None:
        raise OutputError("run", expected="space", found="none", advice="free some")

    monkeypatch.setattr(training, "write_curves", no_space)
    with pytest.raises(RunFailed, match="found loss_cls = nan"):
        train_toy("again", broken)


def test_overwriting_a_run_removes_them(train_toy: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_toy("run", {"train_cfg.max_epochs": 1})
    monkeypatch.setattr(training, "write_curves", lambda *_: None)
    train_toy("run", {"train_cfg.max_epochs": 1}, overwrite=True)
    assert not list((tmp_path / "run").glob("*.png"))


def test_the_sum_comes_first_and_stages_share_a_panel() -> None:
    panels = _loss_panels(
        history(
            train__loss_cls=[1.0, 2.0],
            train__loss=[3.0, 4.0],
            **{"train__d0.loss_cls": [5.0, 6.0], "train__s0.loss_bbox": [7.0, 8.0], "train__lr": [0.1, 0.1]},
            val__loss=[9.0],
        ),
        2,
    )
    assert [(panel.title, [line.name for line in panel.lines]) for panel in panels] == [
        ("loss", ["loss"]),
        ("loss_cls", ["loss_cls", "d0.loss_cls"]),
        ("s0.loss_bbox", ["s0.loss_bbox"]),
    ]
    assert list(panels[0].lines[0].x) == [1, 2]


def test_the_loss_of_one_head_names_it() -> None:
    losses = {"train__loss": [9.0], "train__lanes.loss_map": [2.0], "train__boxes.loss_cls": [3.0]}
    panels = _loss_panels(history(**losses, **{"train__classes.loss_cls": [4.0]}), 1)
    assert [panel.title for panel in panels] == ["loss", "lanes.loss_map", "loss_cls"]
    assert {line.name for line in panels[2].lines} == {"boxes.loss_cls", "classes.loss_cls"}


def test_one_loss_is_one_panel() -> None:
    panels = _loss_panels(history(train__loss=[3.0, 4.0], train__loss_cls=[3.0, 4.0]), 2)
    assert [panel.title for panel in panels] == ["loss_cls"]


def test_rates_of_an_older_checkpoint_begin_later() -> None:
    panel = _rate_panel({"curve/lr": HistoryBuffer([0.2, 0.1], [1, 1])}, 5)
    assert list(panel.lines[0].x) == [4, 5]


def test_metrics_by_class_share_a_panel_and_the_best_is_marked() -> None:
    done = [
        {"epoch": 1.0, "iter": 4, "metrics": {"cls/n": -1.0, "cls/top1": 0.25, "cls/top1/cat": 0.1, "cls/top1/dog": 1}},
        {"epoch": 2.0, "iter": 8, "metrics": {"cls/n": -1.0, "cls/top1": 0.5, "cls/top1/cat": 0.2, "cls/top1/dog": 1}},
    ]
    best = {"selected_by": "cls/top1", "step": "epoch 2", "metrics": {"cls/top1": 0.5}}
    first, absent, by_class = _metric_panels(runner_with(done, best))
    assert (first.title, first.mark) == ("cls/top1", (2.0, 0.5, "best 0.5000, epoch 2"))
    assert (absent.title, absent.lines, absent.empty) == ("cls/n", [], "never a number")
    assert (by_class.title, [line.name for line in by_class.lines]) == ("cls/top1 by class", ["cat", "dog"])
    assert list(by_class.lines[0].y) == [0.1, 0.2]


@pytest.mark.parametrize(
    ("val_loop", "says"), [(None, "the config has no val_dataloader"), (True, "none was due before the end")]
)
def test_without_a_validation_the_image_says_so(val_loop: Any, says: str) -> None:
    (panel,) = _metric_panels(runner_with([], val_loop=val_loop))
    assert panel.empty == f"no validation: {says}"
