"""Schedules follow the length of a run: every kind of scheduler, both units, and no change without a new length."""

from __future__ import annotations

import pytest

from visionzoo.config import config_names, load_config
from visionzoo.config.run_length import shorten_warm_ups

EPOCHS = "train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=4, val_begin=6)\n"
ITERATIONS = "train_cfg = dict(type='IterBasedTrainLoop', max_iters=1200, val_interval=400)\n"
CHECKPOINT = "default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=2))\n"
WARM_UP = dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500)


def loaded_with(write, text, schedulers, **options):
    path = write("run.py", f"{text}param_scheduler = {schedulers!r}\n")
    return load_config(path, options={f"train_cfg.{key}": value for key, value in options.items()})


@pytest.mark.parametrize(
    ("scheduler", "epochs", "scaled"),
    [
        (dict(type="MultiStepLR", end=12, milestones=[8, 11]), 30, dict(end=30, milestones=[20, 28])),
        (dict(type="MultiStepLR", end=12, milestones=[8, 11]), 1, dict(end=1, milestones=[1, 1])),
        (dict(type="StepLR", step_size=4), 30, dict(step_size=10)),
        (dict(type="CosineAnnealingLR", begin=0, end=12, T_max=12), 5, dict(end=5, T_max=5)),
        (dict(type="CosineAnnealingLR", end=10**9, T_max=12), 5, dict(end=10**9, T_max=5)),
        (dict(type="PolyLR", begin=6, end=12), 24, dict(begin=12, end=24)),
        (dict(type="LinearLR", start_factor=1.0, end_factor=0.0, end=12), 3, dict(end=3)),
        (dict(type="OneCycleLR", eta_max=0.1, total_steps=12), 3, dict(total_steps=3)),
        (dict(type="CosineRestartLR", periods=[4, 8]), 24, dict(periods=[8, 16])),
        (dict(type="WarmupCosineLR", end=12, warmup=3), 24, dict(end=24, warmup=6)),
        (dict(type="WarmupCosineLR", end=12, warmup=1), 3, dict(end=3, warmup=1)),
        (dict(type="WarmupCosineLR", end=12, warmup=1), 1, dict(end=1, warmup=0)),
        (dict(type="StaircaseLR", gamma=0.97, every=2.4), 5, dict(every=1.0)),
        (dict(type="ExponentialLR", gamma=0.9), 5, {}),
    ],
)
def test_each_scheduler_follows(write, scheduler, epochs, scaled):
    loaded = loaded_with(write, EPOCHS, [WARM_UP, scheduler], max_epochs=epochs)
    assert loaded.cfg.to_dict()["param_scheduler"] == [WARM_UP, {**scheduler, **scaled}]
    assert [note for note in loaded.notes if note.startswith("schedule: 12 -> ")]


def test_the_note_names_what_changed(write):
    steps = dict(type="MultiStepLR", begin=0, end=12, milestones=[8, 11])
    loaded = loaded_with(write, EPOCHS, [steps], max_epochs=30)
    assert loaded.notes == ["schedule: 12 -> 30 epochs, milestones 8, 11 -> 20, 28"]
    assert loaded.origins.of("param_scheduler.0.milestones") == "--cfg-options"


@pytest.mark.parametrize("options", [{}, {"max_epochs": 12}, {"val_interval": 1}])
def test_nothing_changes_at_the_same_length(write, options):
    loaded = loaded_with(write, EPOCHS, [WARM_UP, dict(type="MultiStepLR", milestones=[8])], **options)
    assert loaded.cfg.param_scheduler[1].milestones == [8]
    assert loaded.notes == []


def test_a_schedule_in_the_options_is_not_scaled(write):
    path = write("run.py", f"{EPOCHS}param_scheduler = [dict(type='MultiStepLR', milestones=[8])]\n")
    loaded = load_config(path, options=["train_cfg.max_epochs=24", "param_scheduler.0.milestones=[5]"])
    assert loaded.cfg.param_scheduler[0].milestones == [5]


def test_intervals_become_shorter_but_not_longer(write):
    short = loaded_with(write, EPOCHS + CHECKPOINT, [], max_epochs=3).cfg
    assert (short.train_cfg.val_interval, short.train_cfg.val_begin) == (1, 2)
    assert short.default_hooks.checkpoint.interval == 1
    long = loaded_with(write, EPOCHS + CHECKPOINT, [], max_epochs=120).cfg
    assert (long.train_cfg.val_interval, long.train_cfg.val_begin) == (4, 60)
    own = loaded_with(write, EPOCHS, [], max_epochs=3, val_interval=2).cfg
    assert own.train_cfg.val_interval == 2


def test_schedulers_of_several_optimizers(write):
    nested = {"first": [dict(type="StepLR", step_size=3)], "second": dict(type="MultiStepLR", milestones=[6])}
    scaled = loaded_with(write, EPOCHS, nested, max_epochs=24).cfg.param_scheduler
    assert scaled.first[0].step_size == 6
    assert scaled.second[0].milestones == [12]


def test_a_warm_up_of_epochs_without_a_step_is_left_out(write):
    pair = [
        dict(type="LinearLR", start_factor=0.1, begin=0, end=2),
        dict(type="CosineAnnealingLR", begin=2, end=12, T_max=10),
    ]
    scaled = loaded_with(write, EPOCHS, pair, max_epochs=2).cfg.to_dict()["param_scheduler"]
    assert scaled == [dict(type="CosineAnnealingLR", begin=0, end=2, T_max=2)]


def test_iterations_keep_their_warm_up_up_to_a_tenth(write):
    pair = [{**WARM_UP, "end": 200}, dict(type="PolyLR", by_epoch=False, begin=200, end=1200)]
    shorter = loaded_with(write, ITERATIONS, pair, max_iters=600).cfg.param_scheduler
    assert [(one.begin, one.end) for one in shorter] == [(0, 60), (60, 600)]
    longer = loaded_with(write, ITERATIONS, pair, max_iters=12_000).cfg.param_scheduler
    assert [(one.begin, one.end) for one in longer] == [(0, 200), (200, 12_000)]


def test_a_loop_of_iterations_becomes_one_of_epochs(write):
    pair = [{**WARM_UP, "end": 200}, dict(type="PolyLR", by_epoch=False, begin=200, end=1200)]
    hooks = "default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=400))\n"
    cfg = loaded_with(write, ITERATIONS + hooks, pair, type="EpochBasedTrainLoop", max_epochs=6).cfg.to_dict()
    main = dict(type="PolyLR", by_epoch=True, begin=0, end=6, convert_to_iter_based=True)
    assert cfg["param_scheduler"] == [pair[0], main]
    assert cfg["default_hooks"]["checkpoint"] == dict(type="CheckpointHook", by_epoch=True, interval=2)


def test_a_warm_up_of_one_iteration_is_left_out():
    assert shorten_warm_ups([WARM_UP], 1) == []


TRAINED = [name for name in config_names() if not name.startswith("direct_")]  # the others have nothing to train


@pytest.mark.parametrize("name", TRAINED)
def test_every_config_ends_at_its_new_length(name):
    """The ratio of each length to the run stays, so no released config trains at rate 0 or never lowers its rate."""
    recipe = load_config(name).cfg
    count = recipe.train_cfg.get("max_epochs")
    key = "max_epochs" if count else "max_iters"
    length = recipe.train_cfg[key]
    longer = load_config(name, options={f"train_cfg.{key}": 3 * length}).cfg
    for old, new in zip(recipe.get("param_scheduler") or [], longer.get("param_scheduler") or [], strict=True):
        assert new.get("milestones") == (None if "milestones" not in old else [3 * each for each in old.milestones])
        assert new.get("every", 0) == pytest.approx(3 * old.get("every", 0))
        if old.get("end") not in (None, 10, 15, 20, 150, 200, 500, 1500):  # warm-ups
            assert new.end == 3 * old.end


# --- a config file that changes the length of its base ---


def test_a_file_that_changes_only_the_length_changes_the_schedule(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("_base_ = ['fpn_retinanet']\ntrain_cfg = dict(max_epochs=24)\n")
    loaded = load_config(own)
    assert (
        loaded.cfg.param_scheduler
        == load_config("fpn_retinanet", options={"train_cfg.max_epochs": 24}).cfg["param_scheduler"]
    )
    assert loaded.schedule_notes == [f"{own}: schedule: 12 -> 24 epochs, milestones 8, 11 -> 16, 22"]
    assert loaded.origins.of("param_scheduler") == f"{own}: train_cfg"
    (tmp_path / "next.py").write_text("_base_ = ['own.py']\ntask = 'detection'\n")
    again = load_config(tmp_path / "next.py", options=["train_cfg.max_epochs=12"])
    assert again.cfg.param_scheduler[1]["milestones"] == [8, 11]
    assert again.schedule_notes == load_config(own, tiny=True).schedule_notes == []


@pytest.mark.parametrize(
    "text",
    [
        "param_scheduler = [dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1)]",
        "param_scheduler = None",
        "param_scheduler = [*_base_.param_scheduler]",
    ],
)
def test_a_file_that_sets_length_and_schedule_stays_as_it_is(tmp_path, text):
    (tmp_path / "own.py").write_text(f"_base_ = ['fpn_retinanet']\ntrain_cfg = dict(max_epochs=24)\n{text}\n")
    loaded = load_config(tmp_path / "own.py")
    assert "24" not in repr(loaded.cfg.param_scheduler)
    assert loaded.schedule_notes == []


@pytest.mark.parametrize("name", config_names())
def test_released_schedules_are_those_of_their_files(name):
    assert load_config(name).schedule_notes == []
