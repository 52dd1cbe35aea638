"""A training ends when its metric has not improved for a number of epochs; a resumed run counts on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from visionzoo.config import load_config
from visionzoo.engine.class_names import Classes
from visionzoo.engine.fine_tuning import early_stopping_of
from visionzoo.engine.numbering import Numbered
from visionzoo.engine.run_options import RunOptions
from visionzoo.errors import ConfigError

NO_VALIDATION = {"val_dataloader": None, "val_evaluator": None, "val_cfg": None}


def scripted(values: list[float], *, rule: str = "greater", most: int = 9, **stopping: Any) -> dict[str, Any]:
    """Return options for a metric with these values, one for each validation."""
    return {
        "val_evaluator": dict(type="ScriptedMetric", values=values),
        "default_hooks.checkpoint.save_best": "script/score",
        "default_hooks.checkpoint.rule": rule,
        "early_stopping": dict(monitor="script/score", rule=rule, min_delta=1e-6, **stopping),
        "train_cfg.max_epochs": most,
    }


@pytest.mark.parametrize(
    ("values", "rule", "epochs", "last"),
    [
        ([0.1, 0.5, 0.4, 0.5, 0.9], "greater", 2, 4),  # an equal value does not improve it
        ([0.1, 0.5, 0.4, 0.6, 0.5, 0.4], "greater", 2, 6),
        ([5.0, 4.0, 4.5, 4.2, 1.0], "less", 2, 4),
        ([0.3, 0.2], "greater", 1, 2),
        ([None], "greater", 3, 3),  # never a number
        ([0.3, None, 0.2, 0.1], "greater", 3, 4),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], "greater", 1, 9),
    ],
)
def test_it_ends_at_the_expected_epoch(train_toy: Callable, values: list, rule: str, epochs: int, last: int) -> None:
    assert train_toy("run", scripted(values, rule=rule, epochs=epochs))["epoch"] == last


def test_start_and_end_are_one_line_each(train_toy: Callable, capsys: pytest.CaptureFixture) -> None:
    done = train_toy("run", scripted([0.1, 0.5, 0.4], epochs=2), quiet=False)
    shown = capsys.readouterr().err.splitlines()
    start = "early stopping: the training ends when script/score has not improved for 2 epochs"
    end = "stopped early after epoch 4: script/score has not improved on 0.5000 of epoch 2 for 2 epochs"
    assert (shown.count(start), shown.count(end)) == (1, 1)
    assert Path(done["best"]).name == "best_script_score_epoch_2.safetensors"


def test_epochs_count_where_validations_are_rarer(train_toy: Callable) -> None:
    options = scripted([0.5, 0.4, 0.3], epochs=3) | {"train_cfg.val_interval": 2}
    assert train_toy("run", options)["epoch"] == 6  # validated after 2, 4 and 6; the best is 2


def test_epochs_count_in_a_loop_over_iterations(train_toy: Callable) -> None:
    loop = {"train_cfg": dict(type="IterBasedTrainLoop", max_iters=20, val_interval=2), "param_scheduler": None}
    options = {**scripted([0.5, 0.4, 0.3], epochs=1), **loop}
    options.pop("train_cfg.max_epochs")
    assert train_toy("run", options)["iter"] == 6  # 4 iterations per epoch, the best after 2


def test_a_resumed_run_counts_on(
    train_toy: Callable, train_apart: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    stop = {"model.die_at": 11, "model.signal_name": "SIGINT", "model.marker": str(tmp_path / "stopped")}
    assert train_apart("run", scripted([0.5, 0.4], epochs=3) | stop) == 130  # in the third epoch
    done = train_toy("unused", scripted([0.3], epochs=3), resume=tmp_path / "run", quiet=False)
    assert done["epoch"] == 4
    assert "has not improved on 0.5000 of epoch 1 for 3 epochs" in capsys.readouterr().err


def test_the_end_is_saved_also_if_no_checkpoint_is_due(train_toy: Callable, tmp_path: Path) -> None:
    options = scripted([0.5, 0.4], epochs=2) | {"default_hooks.checkpoint.interval": 2}
    done = train_toy("run", options)
    assert [Path(done[key]).name for key in ("checkpoint", "best")] == [
        "epoch_3.pth",
        "best_script_score_epoch_1.safetensors",
    ]
    written = Path(done["checkpoint"]).stat().st_mtime_ns
    again = train_toy("unused", options, resume=tmp_path / "run")
    assert (again["epoch"], Path(done["checkpoint"]).stat().st_mtime_ns) == (3, written)


@pytest.mark.parametrize(("stopping", "last"), [(2, 3), (4, 5), (None, 6)])
def test_a_stopped_run_goes_on_only_with_more_patience(
    train_toy: Callable, tmp_path: Path, stopping: int | None, last: int
) -> None:
    assert train_toy("run", scripted([0.5, 0.4], epochs=2, most=6))["epoch"] == 3
    options = scripted([0.3], epochs=stopping, most=6)
    if stopping is None:
        options["early_stopping"] = False
    assert train_toy("unused", options, resume=tmp_path / "run")["epoch"] == last


def test_the_settings_are_saved_for_a_resumed_run(train_toy: Callable, tmp_path: Path) -> None:
    first = train_toy("run", {"train_cfg.max_epochs": 1})
    options = scripted([0.5, 0.4], epochs=None, most=12) | {"train_dataloader.dataset.count": 10}
    del options["early_stopping"]
    done = train_toy("tuned", options, weights=first["best"])
    assert done["epoch"] == 11  # a fine-tuning on other data stops after 10 epochs
    saved = load_config(tmp_path / "tuned").cfg.early_stopping
    assert (saved.monitor, saved.epochs) == ("script/score", 10)


TUNED = dict(weights="x")


@pytest.mark.parametrize(
    ("config", "options", "others", "expected"),
    [
        ({}, TUNED, True, 12),
        ({}, TUNED | {"replace_head": True}, False, 12),
        ({"train_dataloader.dataset.count": 9}, TUNED, False, 12),
        ({"train_dataloader.batch_size": 2}, TUNED, False, None),  # the same data
        ({}, {}, True, None),  # from scratch
        ({}, {"weights": "x", "resume": True}, True, None),
        ({"early_stopping": False}, TUNED, True, None),
        ({"early_stopping": dict(monitor="toy/acc", patience=3)}, TUNED, True, None),
        ({"train_cfg.max_epochs": 10}, TUNED, True, None),  # not longer than the patience
        ({"train_cfg.max_epochs": 40}, TUNED, True, 10),
        (NO_VALIDATION, TUNED, True, None),
    ],
)
def test_a_fine_tuning_stops_early(
    toy_config: Path, config: dict, options: dict, others: bool, expected: int | None
) -> None:
    loaded = load_config(toy_config, options={"train_cfg.max_epochs": 60, **config}, allow_new=True)
    data = Numbered({}, ("a",), others=Classes("weights", ("b",), ("b",)) if others else None)
    found = early_stopping_of(loaded, RunOptions(**options), data)
    assert (None if found is None else found["epochs"]) == expected


def test_an_automatic_end_needs_no_metric_of_the_task(train_toy: Callable) -> None:
    options = {"early_stopping": dict(monitor="auto", epochs=1, required=False), "train_cfg.max_epochs": 2}
    assert train_toy("run", options)["epoch"] == 2


def test_without_validation_it_is_refused(train_toy: Callable) -> None:
    with pytest.raises(ConfigError, match="early_stopping: expected a config with val_dataloader"):
        train_toy("run", NO_VALIDATION | {"early_stopping": dict(monitor="auto", epochs=2)})
