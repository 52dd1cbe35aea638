"""``--tensorboard``: events with losses, learning rates and metrics, beside the JSON lines that a run always has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config

from visionzoo.engine import log_files
from visionzoo.engine.run_options import RunOptions, apply_options
from visionzoo.errors import MissingExtra


def scalars(run: Path) -> dict[str, list[int]]:
    """Return the steps of each scalar of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


# TensorBoard itself warns about its protocol buffers.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_losses_rates_and_metrics_are_written_and_a_resumed_run_appends(train_toy: Callable, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_toy("run", {"train_cfg.max_epochs": 2}, tensorboard=True)
    first = scalars(run)
    assert {"loss", "lr"} <= set(first)
    metrics = [tag for tag in first if tag.startswith("toy/")]
    assert metrics
    assert first[metrics[0]] == [1, 2]
    assert first["loss"] == first["lr"] == list(range(1, 9))
    assert (run / "logs/scalars.json").is_file()
    train_toy("run", resume=run, tensorboard=True)
    later = scalars(run)
    assert later[metrics[0]] == [1, 2, 3]
    assert later["loss"] == list(range(1, 13))
    assert len(list((run / "tensorboard").iterdir())) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_new_run_removes_old_events_and_writes_none_without_the_option(train_toy: Callable, tmp_path: Path) -> None:
    train_toy("run", {"train_cfg.max_epochs": 1}, tensorboard=True)
    assert list((tmp_path / "run/tensorboard").iterdir())
    train_toy("run", {"train_cfg.max_epochs": 1}, overwrite=True)
    assert not list((tmp_path / "run").glob("tensorboard/*"))


def test_backends_of_the_config_are_kept_and_none_is_doubled() -> None:
    own = [dict(type="JsonLines"), dict(type="TensorboardVisBackend", save_dir="elsewhere")]
    cfg = Config(dict(vis_backends=own))
    apply_options(cfg, RunOptions(tensorboard=True), "toy")
    assert [dict(backend) for backend in cfg.vis_backends] == own
    assert log_files.complete_backends(own, Path("run"))[1]["save_dir"] == "elsewhere"


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'needs tensorboard: pip install "visionzoo\[tensorboard\]"$'):
        apply_options(Config(dict()), RunOptions(tensorboard=True), "toy")
