"""The options of a command fit the config that is used: that of the run, not the released one of the same name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from visionzoo.config import config_text, load_config
from visionzoo.errors import ConfigError
from visionzoo.weights.runs import load_with_weights

NAME = "scnn_tusimple"  # its schedule counts iterations
BY_EPOCHS = {"train_cfg.type": "EpochBasedTrainLoop", "train_cfg.max_epochs": 4, "train_cfg.val_interval": 1}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run by epochs."""
    cfg = load_config(NAME, tiny=True, options={**BY_EPOCHS, "experiment_name": NAME}).cfg
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.py").write_text(config_text(cfg))
    (folder / "run.json").write_text(json.dumps({"tiny": True}))
    return folder


def test_epochs_of_a_run_whose_released_config_counts_iterations(run):
    loaded = load_with_weights(NAME, run, again="", tiny=True, options={"train_cfg.max_epochs": 6})
    assert loaded.run == run
    assert loaded.cfg.train_cfg.max_epochs == 6
    assert any("is used instead of" in note for note in loaded.notes)


def test_options_that_fit_only_the_released_config_are_an_error(run):
    with pytest.raises(ConfigError, match=r"train_cfg.max_iters"):
        load_with_weights(NAME, run, again="", tiny=True, options={"train_cfg.max_iters": 6})


def test_without_a_run_the_options_fit_the_named_config(run, tmp_path):
    options = {"train_cfg.max_epochs": 6}
    with pytest.raises(ConfigError, match=r"train_cfg.max_epochs"):
        load_with_weights(NAME, None, again="", tiny=True, options=options)
    with pytest.raises(ConfigError, match=r"train_cfg.max_epochs"):  # another config is used with the weights
        load_with_weights("scnn_culane", run, again="", tiny=True, options=options)
