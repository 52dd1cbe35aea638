"""Short options: the paths they set, the configs that refuse them, and the ranges of their values."""

from __future__ import annotations

import pytest

from visionzoo.config import check_config, config_names, load_config
from visionzoo.config.short_options import Settings, require_no_conflict, short_settings, with_whole_pipelines
from visionzoo.errors import ConfigError

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
TRAINED = [name for name in config_names() if not name.startswith("direct_")]  # the others have nothing to train


def settings_of(name, tiny=False, **chosen):
    return short_settings(load_config(name, tiny=tiny).cfg.to_dict(), chosen)


@pytest.mark.parametrize("tiny", [False, True])
@pytest.mark.parametrize("name", TRAINED)
def test_the_common_options_work_for_every_config(name, tiny):
    chosen = dict(epochs=7, batch_size=3, lr=0.25, workers=0, freeze=["backbone"], patience=4)
    settings = settings_of(name, tiny, **chosen)
    cfg = load_config(name, tiny=tiny, options=settings.options).cfg
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.get("max_iters")) == (7, None)
    assert cfg.train_dataloader.batch_size == 3
    assert cfg.optim_wrapper.optimizer.lr == 0.25
    assert not (cfg.get("auto_scale_lr") or {}).get("enable")
    for loader in LOADERS:
        assert (cfg[loader].num_workers, cfg[loader].get("persistent_workers", False)) == (0, False)
    assert cfg["freeze"] == ["backbone"]
    assert (cfg.early_stopping.patience, bool(cfg.early_stopping.monitor)) == (4, True)
    assert [note.split()[0] for note in settings.notes] == [f"--{name.replace('_', '-')}" for name in chosen]
    ends = [one.get("end", 0) or 0 for one in cfg.get("param_scheduler") or [] if one.get("by_epoch", True)]
    assert all(end <= 7 or end >= 10**9 for end in ends)


@pytest.mark.parametrize("name", TRAINED)
def test_the_options_of_fine_tuning_work_for_every_config(name):
    chosen = dict(linear_probe=True, layer_decay=0.75, head_lr_multiplier=2.0, early_stop=5)
    settings = settings_of(name, **chosen)
    before, loaded = load_config(name).cfg, load_config(name, options=settings.options)
    wrapper, given = loaded.cfg.optim_wrapper, before.optim_wrapper.get("paramwise_cfg") or {}
    assert wrapper.constructor == "LayerDecay"
    assert wrapper.paramwise_cfg == {**given, "layer_decay": 0.75, "head_lr_mult": 2.0, "decay_all": True}
    assert (loaded.cfg.linear_probe, loaded.cfg.early_stopping.epochs) == (True, 5)
    assert check_config(loaded) == []
    assert settings.notes[0] == "--linear-probe: linear_probe=True"


def test_no_early_stop():
    assert settings_of("rcnet_retinanet", early_stop=0).options == {"early_stopping": False}


def test_the_later_of_two_patiences_counts():
    cfg = load_config("rcnet_retinanet", options=settings_of("rcnet_retinanet", early_stop=4).options).cfg.to_dict()
    assert short_settings(cfg, {"early_stop": 7}).options == {"early_stopping.epochs": 7}
    options = short_settings(cfg, {"patience": 3}).options
    assert options == {"early_stopping.patience": 3, "early_stopping.epochs": None}


def test_a_stated_number_of_classes_is_replaced():
    options = settings_of("nasnet_cifar10", num_classes=4).options
    assert options == {"num_classes": 4, "model.head.num_classes": 4}


def test_the_learning_rate_and_the_batch_size():
    follows = settings_of("rcnet_retinanet", batch_size=8)
    assert follows.notes == ["--batch-size 8: train_dataloader.batch_size=8; the learning rate follows"]
    stays = settings_of("rcnet_retinanet", tiny=True, batch_size=8)
    assert stays.notes == ["--batch-size 8: train_dataloader.batch_size=8; the learning rate stays 0.002"]
    assert settings_of("rcnet_retinanet", tiny=True, lr=0.1).options == {"optim_wrapper.optimizer.lr": 0.1}


def test_the_batch_size_of_a_test():
    cfg = load_config("rcnet_retinanet").cfg.to_dict()
    assert short_settings(cfg, {"batch_size": 2}, training=False).options == {"test_dataloader.batch_size": 2}


def test_patience_of_a_config_that_stops_already():
    cfg = load_config("rcnet_retinanet", options={"early_stopping": {"monitor": "coco/bbox_mAP"}}).cfg.to_dict()
    assert short_settings(cfg, {"patience": 3}).options == {"early_stopping.patience": 3}
    best = settings_of("hmode_nwpu", patience=3).options["early_stopping"]
    assert (best["monitor"], best["rule"]) == ("count/MAE", "less")


def test_classes_of_all_three_data_sets():
    options = settings_of("fpn_retinanet", classes="person, my dog").options
    assert options == {f"{loader}.dataset.classes": ["person", "my dog"] for loader in LOADERS}


@pytest.mark.parametrize(
    ("name", "chosen", "says"),
    [
        ("fpn_retinanet", dict(epochs=0), "--epochs: expected a whole number of at least 1, found 0"),
        ("fpn_retinanet", dict(batch_size=-1), "--batch-size: expected a whole number of at least 1, found -1"),
        ("fpn_retinanet", dict(lr=-0.1), "--lr: expected a number of at least 0, found -0.1"),
        ("fpn_retinanet", dict(lr=float("nan")), "--lr: expected a number of at least 0, found nan"),
        ("fpn_retinanet", dict(workers=-1), "--workers: expected a whole number from 0 to 1,024"),
        ("fpn_retinanet", dict(patience=0), "--patience: expected a whole number of at least 1, found 0"),
        ("fpn_retinanet", dict(classes="cat,,dog"), "--classes: expected different names with commas"),
        ("fpn_retinanet", dict(classes="cat,cat"), "--classes: expected different names with commas"),
        ("scnn_culane", dict(classes="cat"), "--classes: expected data sets with the argument classes, found CULane"),
        ("gconet_plus_dinat", dict(classes="cat"), "--classes: expected data sets with the argument classes"),
        ("hmode_nwpu", dict(classes="cat"), "--classes: expected data sets with the argument classes"),
    ],
)
def test_refused_values(name, chosen, says):
    with pytest.raises(ConfigError) as caught:
        settings_of(name, **chosen)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("flag", "chosen"), [("--epochs", dict(epochs=1)), ("--lr", dict(lr=1.0)), ("--batch-size", dict(batch_size=1))]
)
def test_a_config_without_the_setting_refuses_the_option(flag, chosen):
    with pytest.raises(ConfigError, match=f"{flag}: expected a config with .*, found none; leave {flag} out"):
        short_settings({}, chosen)


def test_two_values_for_one_path():
    settings = Settings({"train_cfg.max_epochs": 3})
    require_no_conflict(settings, ["train_cfg.max_epochs=3"])
    with pytest.raises(ConfigError, match="expected one value, found 4 and 3 of a short option"):
        require_no_conflict(settings, ["train_cfg.max_epochs=4"])


def test_steps_of_a_new_data_set_are_set_by_the_whole_pipeline():
    steps = [{"type": "LoadImage"}, {"type": "Resize", "scale": (8, 8)}]
    cfg = {"train_dataloader": {"dataset": {"type": "A", "pipeline": steps}}}
    at = "train_dataloader.dataset"
    options = {f"{at}.type": "B", f"{at}.pipeline.1.scale": (4, 4), "other.pipeline.0.scale": 1}
    whole = with_whole_pipelines(options, cfg)
    assert whole[f"{at}.pipeline"] == [{"type": "LoadImage"}, {"type": "Resize", "scale": (4, 4)}]
    assert set(whole) == {f"{at}.type", f"{at}.pipeline", "other.pipeline.0.scale"}


def test_a_head_with_the_rate_0_is_refused():
    cfg = load_config("rcnet_retinanet").cfg
    with pytest.raises(ConfigError, match="--head-lr-multiplier: expected a number above 0, found 0"):
        short_settings(cfg, {"head_lr_multiplier": 0.0})
