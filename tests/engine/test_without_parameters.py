"""Models without parameters: they are used without weights, and cannot be trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import visionzoo
from visionzoo.cli import main
from visionzoo.inference.inferencer import Inferencer
from visionzoo.models.parameters import has_parameters

TINY = ["--tiny", "--max-samples", "1"]


def test_which_models_have_parameters():
    direct = dict(type="TaskModel", backbone=dict(type="ImagePair"), head=dict(type="DirectRegistrationHead"))
    network = {**direct, "backbone": dict(type="VoxelMorphEncoder"), "head": dict(type="VoxelMorphHead")}
    assert not has_parameters(direct)
    assert has_parameters(network)


def test_a_test_needs_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["test", "direct_affine", *TINY, "--work-dir", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr()
    assert "testing direct_affine on cpu: 1 sample\n" in shown.out + shown.err
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert stored["weights"] is None
    assert stored["metrics"]["reg/ncc"] > stored["metrics"]["reg/ncc_before"]


def test_inference_needs_no_weights(recwarn: pytest.WarningsRecorder) -> None:
    image = np.add.outer(np.hanning(24), np.hanning(30))
    options = {"model.backbone.dims": 2, "model.head.dims": 2}
    inferencer = Inferencer("direct_affine", device="cpu", options=options)
    assert inferencer.weights is None
    assert not inferencer.is_untrained
    (prediction,) = inferencer((image, np.roll(image, 2, 0)))
    assert prediction.result.measures["ncc"] > prediction.result.measures["ncc_before"]
    assert not visionzoo.get_model("direct_affine").training


def test_the_command_says_nothing_of_weights(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    files = []
    for name, shift in (("a.npy", 0), ("b.npy", 2)):
        np.save(tmp_path / name, np.roll(np.add.outer(np.hanning(24), np.hanning(30)), shift, 0))
        files.append(str(tmp_path / name))
    dims = ["--cfg-options", "model.backbone.dims=2", "model.head.dims=2"]
    fixed, moving = files
    command = ["infer", "direct_affine", "--fixed", fixed, "--moving", moving, "-o", str(tmp_path / "out")]
    assert main([*command, *dims]) == 0
    assert "random values" not in "".join(capsys.readouterr())
    assert json.loads((tmp_path / "out" / "run.json").read_text())["weights"] == "none (the model has no parameters)"


@pytest.mark.parametrize("with_data", [False, True])
def test_training_is_refused(with_data: bool, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = tmp_path / "own.py"
    more = """
train_dataloader = dict(batch_size=1, sampler=dict(type="DefaultSampler", shuffle=True), dataset=dict(
    type="RegistrationPairs", data_root="tiny://oasis_2d?subjects=2&size=16", fixed="*.npz",
    pipeline=[dict(type="LoadVolumePair"), dict(type="PackTaskInputs")]))
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-3))
"""
    config.write_text('_base_ = ["direct_affine"]\n' + (more if with_data else ""))
    assert main(["train", str(config), "--tiny", "--work-dir", str(tmp_path / "run")]) == 2
    message = "own: expected a model with parameters to train, found one without parameters; use it as it is"
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
