"""A head is added to a trained trunk: the trunk and the old head stay bit for bit, and the new head learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from added_heads import OneTask

from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.models.wiring import build_model
from visionzoo.weights.loading import load_weights, read_weights

CONFIG = """
custom_imports = dict(imports=["added_heads"], allow_failed_imports=False)
model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", mean=[120.0] * 3, std=[60.0] * 3, pad_size_divisor=32),
    backbone=dict(type="mmdet.ResNet", depth=18, base_channels=4, norm_eval=False),
    neck=dict(type="mmdet.FPN", out_channels=8, num_outs=4, norm_cfg=dict(type="BN")),
    {heads},
)
train_dataloader = dict(
    batch_size=2, num_workers=0, drop_last=True, sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="OneTask", {data}),
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=2)
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=0.01, weight_decay=0.1))
task = {task}
"""
CLASSES = 'dict(type="ClassificationHead", num_classes=3)'
BOXES = """dict(
    type="mmdet.RetinaHead", num_classes=2, stacked_convs=1, feat_channels=8, conv_cfg=None, norm_cfg=dict(type="BN"),
    anchor_generator=dict(type="mmdet.AnchorGenerator", octave_base_scale=4, scales_per_octave=1, ratios=[1.0]),
    train_cfg=dict(
        assigner=dict(type="mmdet.MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
        sampler=dict(type="mmdet.PseudoSampler"), allowed_border=-1, pos_weight=-1, debug=False,
    ),
    test_cfg=dict(nms_pre=100, score_thr=0.0, nms=dict(type="nms", iou_threshold=0.5), max_per_img=5),
)"""
BOTH = f"heads=dict(classification={CLASSES}, detection={BOXES})"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def config(name: str, heads: str, data: str, task: Any) -> str:
    Path(f"{name}.py").write_text(CONFIG.format(heads=heads, data=data, task=repr(task)))
    return f"{name}.py"


def train(*words: str) -> None:
    assert main(["train", *words, "--no-progress"]) == 0


@pytest.fixture
def first() -> str:
    """Train a model of one task, and return the folder of its run."""
    path = config("first", f"head={CLASSES}", 'task="classification", named=False', "classification")
    train(path, "-o", "first")
    return "first"


def predictions(model: Any) -> list[torch.Tensor]:
    data = OneTask("classification", named=False)
    model.eval()
    with torch.no_grad():
        found = model.test_step(model_batch([data[index] for index in range(3)]))
    return [getattr(each, "classification", each).pred_score for each in found]


def model_batch(items: list[dict]) -> dict[str, list]:
    return {key: [item[key] for item in items] for key in items[0]}


def model_of(run: str) -> Any:
    model = build_model(load_config(run).cfg.model)
    load_weights(model, run)
    return model


def test_an_added_head_learns_and_everything_else_stays_bit_for_bit(first: str, capsys: Any) -> None:
    both = config("both", BOTH, 'task="detection"', ("classification", "detection"))
    capsys.readouterr()
    frozen = ["--freeze", "backbone", "neck", "heads.classification"]
    train(both, "--weights", first, *frozen, "-o", "both", "--epochs", "3")
    said = capsys.readouterr().err
    assert "detection: first has no such head; its " in said
    assert "tensors start with new values" in said
    assert "frozen: " in said
    before, after = read_weights(first), read_weights("both")
    old = {name.replace("head.", "heads.classification."): value for name, value in before.items()}
    assert {name for name in old if not torch.equal(old[name], after[name])} == set()
    assert any(name.endswith("running_mean") for name in old)  # also norms stay
    new = {name for name in after if name not in old}
    assert {name.split(".")[1] for name in new} == {"detection"}
    for one, other in zip(predictions(model_of(first)), predictions(model_of("both")), strict=True):
        assert torch.equal(one, other)
    fresh = build_model(load_config("both").cfg.model)
    fresh.init_weights()
    learned = [
        name for name, value in fresh.state_dict().items() if name in new and not torch.equal(value, after[name])
    ]
    assert any("retina_cls" in name for name in learned)


def test_a_frozen_head_needs_no_data_set_and_a_learning_head_does(first: str, capsys: Any) -> None:
    both = config("both", BOTH, 'task="detection"', ("classification", "detection"))
    joint = """
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type="JointSampler", mode="in_turn"),
    dataset=dict(type="JointDataset", datasets=dict(detection=dict(type="OneTask", task="detection", named=False))),
)
"""
    Path(both).write_text(Path(both).read_text() + joint)
    assert main(["train", both, "--weights", first, "-o", "both"]) == 2
    said = capsys.readouterr().err
    assert "model.heads.classification: train_dataloader.dataset.datasets has no data set for it" in said
    train(both, "--weights", first, "--freeze", "backbone", "neck", "heads.classification", "-o", "both")
    before, after = read_weights(first), read_weights("both")
    old = {name.replace("head.", "heads.classification."): value for name, value in before.items()}
    assert all(torch.equal(value, after[name]) for name, value in old.items())


def test_without_freezing_the_trunk_and_the_norms_learn(first: str) -> None:
    both = config("both", BOTH, 'task="detection"', ("classification", "detection"))
    train(both, "--weights", first, "-o", "both")
    before, after = read_weights(first), read_weights("both")
    assert not torch.equal(before["backbone.bn1.running_mean"], after["backbone.bn1.running_mean"])
    assert not torch.equal(before["backbone.conv1.weight"], after["backbone.conv1.weight"])
    kept = [name for name in before if name.startswith("head.")]
    assert all(torch.equal(before[name], after[name.replace("head.", "heads.classification.")]) for name in kept)


def test_the_weighting_of_the_losses_starts_with_new_values(first: str, capsys: Any) -> None:
    def run(source: str, name: str, weighting: str) -> dict[str, torch.Tensor]:
        heads = f"{BOTH}, loss_weighting=dict({weighting})"
        path = config(name, heads, 'task="detection"', ("classification", "detection"))
        train(path, "--weights", source, "-o", name, "--epochs", "1")
        assert "loss_weighting: starts with new values" in capsys.readouterr().err
        return read_weights(name)

    run(first, "learned", 'type="UncertaintyWeighting", initial=1.0')
    same = run("learned", "same", 'type="UncertaintyWeighting", initial=2.0')
    assert same["loss_weighting.log_variances.classification"] == 2  # no sample of this task changes it
    fixed = run("same", "fixed", 'type="FixedWeights"')
    assert not [name for name in fixed if name.startswith("loss_weighting.")]


def test_another_trunk_is_refused_before_training(first: str, capsys: Any) -> None:
    path = config("other", BOTH, 'task="detection"', ("classification", "detection"))
    text = Path(path).read_text().replace("base_channels=4", "base_channels=8")
    Path(path).write_text(text)
    assert main(["train", path, "--weights", first, "-o", "other"]) == 2
    said = capsys.readouterr().err
    assert "expected the model of first, to which the weights belong, found another one" in said
    assert "model.backbone.base_channels" in said
    assert not Path("other").exists()


def test_heads_of_the_run_that_the_config_lacks_are_left_out_with_a_note(first: str, capsys: Any) -> None:
    path = config("boxes", f"head={BOXES}", 'task="detection", named=False', "detection")
    train(path, "--weights", first, "--freeze", "backbone", "neck", "-o", "boxes")
    said = capsys.readouterr().err
    assert "detection: first has no such head; its " in said
    assert "classification: the config has no such head; its 2 tensors are left out" in said
    before, after = read_weights(first), read_weights("boxes")
    trunk = [name for name in before if not name.startswith("head.")]
    assert all(torch.equal(before[name], after[name]) for name in trunk)
    assert {name.split(".")[1] for name in after if name.startswith("head.")} == {"bbox_head"}


def test_another_head_of_the_same_task_is_refused(first: str, capsys: Any) -> None:
    path = config("wide", f"head={CLASSES}".replace("=3", "=4"), 'task="classification", named=False', "classification")
    assert main(["train", path, "--weights", first, "-o", "wide"]) == 2
    assert "different: model.heads.classification.num_classes" in capsys.readouterr().err
