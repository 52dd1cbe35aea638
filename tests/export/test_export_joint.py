"""An exported file of a model with several heads has the outputs of all of them, and gives the model's results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from joint_models import CLASSES, HEADS, LIBRARY_HEADS, joint_config, library_config, save_joint_weights, write_config
from PIL import Image
from test_export_infer import compare, images_in, weights_of

from visionzoo import Inferencer
from visionzoo.cli import main
from visionzoo.errors import UnknownName

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("joint")
    config = joint_config(folder)
    return config, save_joint_weights(config, folder / "weights.pth")


@pytest.fixture(scope="module")
def exported(joint: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "scene.onnx"
    assert main(["export", str(joint[0]), "--weights", str(joint[1]), "-o", str(path), "-q"]) == 0
    return path


def scene(height: int, width: int) -> np.ndarray:
    return np.random.RandomState(height).randint(0, 256, (height, width, 3), np.uint8)


def test_the_file_has_the_outputs_of_all_heads(exported: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(exported)
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["visionzoo"])
    assert metadata["task"] == list(HEADS)
    assert metadata["classes"] == {**dict.fromkeys(HEADS), "classification": list(CLASSES)}
    names = [each.name for each in session.get_outputs()]
    assert list(dict.fromkeys(name.partition(".")[0] for name in names)) == list(HEADS)
    assert set(metadata["settings"]) >= set(HEADS)


def test_results_of_all_tasks_are_those_of_the_model(joint: tuple[Path, Path], exported: Path) -> None:
    model, file = Inferencer(*joint, device="cpu", exact=True), Inferencer(exported)
    assert file.tasks == model.tasks
    for size in ((51, 74), (120, 90)):
        ours, theirs = (each.one(scene(*size)).results for each in (file, model))
        assert ours["counting"].count == pytest.approx(theirs["counting"].count, rel=1e-4)
        np.testing.assert_allclose(ours["saliency"].map, theirs["saliency"].map, atol=1e-4)
        np.testing.assert_allclose(ours["classification"].scores, theirs["classification"].scores, atol=1e-4)
        assert ours["classification"].names == CLASSES
        assert len(ours["lanes"].points) == len(theirs["lanes"].points)
        for one, other in zip(ours["lanes"].points, theirs["lanes"].points, strict=True):
            np.testing.assert_allclose(one, other, atol=1.0)


def test_the_command_writes_the_files_of_each_task(exported: Path, tmp_path: Path) -> None:
    Image.fromarray(scene(51, 74)).save(tmp_path / "a.png")
    assert main(["infer", str(exported), str(tmp_path / "a.png"), "-o", str(tmp_path / "out")]) == 0
    assert all((tmp_path / "out" / task / "predictions.csv").is_file() for task in HEADS)
    one = [str(exported), str(tmp_path / "a.png"), "--task", "counting", "-o", str(tmp_path / "one")]
    assert main(["infer", *one]) == 0
    name = "predictions.jsonl"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "out" / "counting" / name).read_bytes()
    with pytest.raises(UnknownName):
        Inferencer(exported, tasks="detection")


def test_a_head_without_a_graph_is_the_stated_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = {"type": "mmdet.FCOSHead", "stacked_convs": 1, "feat_channels": 32, "in_channels": 64}
    neck = {"type": "mmdet.FPN", "out_channels": 64, "num_outs": 5}
    heads = {"counting": HEADS["counting"], "detection": boxes}
    config = write_config(tmp_path, list(heads), {"heads": heads, "neck": neck})
    assert main(["export", str(config), "--weights", "none", "-o", str(tmp_path / "a.onnx"), "-q"]) == 2
    assert "heads.detection: bbox_head (FCOSHead): the exporter has the form of RetinaHead" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tasks", "suffix"),
    [
        pytest.param(["counting", "detection", "semantic"], ".onnx", id="boxes and classes of pixels"),
        pytest.param(list(LIBRARY_HEADS), ".onnx", marks=pytest.mark.slow, id="all as onnx"),
        pytest.param(list(LIBRARY_HEADS), ".pt2", marks=pytest.mark.slow, id="all as a program"),
    ],
)
def test_files_of_heads_of_libraries_equal_those_of_the_model(
    tasks: list[str], suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, images, file = library_config(tmp_path, tasks), images_in(tmp_path), tmp_path / f"scene{suffix}"
    model = [str(config), "--weights", str(weights_of(str(config), images, tmp_path, tiny=False))]
    kind = "onnx" if suffix == ".onnx" else "torch-export"
    assert main(["export", *model, "--format", kind, "-o", str(file)]) == 0
    parity = capsys.readouterr().err
    assert all(f"{task}." in parity for task in tasks)
    assert "no result" not in parity
    for words, out in ([str(file)], "file"), (model, "model"):
        assert main(["infer", words[0], str(images), *words[1:], "-o", str(tmp_path / out), "-q"]) == 0
    for task in tasks:
        compare(tmp_path / "file" / task, tmp_path / "model" / task, 1e-4)
