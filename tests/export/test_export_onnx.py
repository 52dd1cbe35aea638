"""Exported files: parity, metadata, and the same results as the model, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from visionzoo import Inferencer
from visionzoo.cards.seeding import fill_weights
from visionzoo.cli import main
from visionzoo.errors import CheckpointError, ConfigError, RunFailed
from visionzoo.export.parity import Difference, differences
from visionzoo.export.quantising import _remove_round_trips
from visionzoo.export.writing import Exported

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

NAME = "efficientnet_lite0_imagenet"


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    random = np.random.RandomState(0)
    for index, shape in enumerate([(51, 74), (90, 63)]):
        Image.fromarray(random.randint(0, 256, (*shape, 3), np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    from visionzoo.zoo import get_model

    model = get_model(NAME, tiny=True, num_classes=5)
    fill_weights(model, 0)
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    meta = {"dataset_meta": {"classes": tuple("abcde")}}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, path)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory, weights) -> Path:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    assert main(["export", NAME, "--tiny", "--weights", str(weights), "-o", str(path), "-q"]) == 0
    return path


def test_metadata_states_all_that_a_run_needs(exported, weights):
    import onnxruntime

    session = onnxruntime.InferenceSession(exported)
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["visionzoo"])
    assert metadata["task"] == "classification"
    assert metadata["classes"] == list("abcde")
    assert metadata["preprocessing"]["mean"] == [127.0] * 3
    assert metadata["preprocessing"]["steps"][0]["op"] == "resize_crop"
    assert len(metadata["weights"]["sha256"]) == 64
    (images,) = session.get_inputs()
    assert images.type == "tensor(uint8)"
    assert isinstance(images.shape[0], str)


def test_results_equal_those_of_torch_without_importing_it(exported, weights, images, tmp_path):
    code = (
        "import sys; from visionzoo.cli import main; "
        f"code = main(['infer', {str(exported)!r}, {str(images)!r}, '-o', {str(tmp_path / 'onnx')!r}, '-q']); "
        "sys.exit(code if 'torch' not in sys.modules else 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    plain = ["infer", NAME, str(images), "--tiny", "--weights", str(weights), "-o", str(tmp_path / "torch"), "-q"]
    assert main(plain) == 0

    files = [sorted(str(path.relative_to(tmp_path / kind)) for path in (tmp_path / kind).rglob("*") if path.is_file())
             for kind in ("onnx", "torch")]  # fmt: skip
    assert files[0] == files[1]
    for first, second in zip(*(lines_of(tmp_path / kind) for kind in ("onnx", "torch")), strict=True):
        assert first["result"]["labels"] == second["result"]["labels"]
        assert first["result"]["names"] == second["result"]["names"]
        assert np.allclose(first["result"]["scores"], second["result"]["scores"], atol=1e-4)


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def test_batches_do_not_change_results(exported, images):
    inferencer = Inferencer(exported)
    single = [prediction.result.scores for prediction in inferencer(images)]
    double = [prediction.result.scores for prediction in inferencer(images, batch_size=2)]
    assert np.allclose(single, double, atol=1e-6)


def test_options_of_the_config_are_refused(exported, tmp_path):
    with pytest.raises(ConfigError, match="options"):
        Inferencer(exported, options=["model.head.dropout=0.1"])
    with pytest.raises(ConfigError, match="weights"):
        Inferencer(exported, "none")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(exported.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        Inferencer(broken)
    with pytest.raises(CheckpointError, match="does not exist"):
        Inferencer(tmp_path / "absent.onnx")


def test_an_existing_file_is_kept(exported, capsys):
    before = exported.read_bytes()
    assert main(["export", NAME, "--tiny", "--weights", "none", "-o", str(exported), "-q"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert exported.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        [],
        [NAME, "--half", "--int8"],
        [NAME, "--half", "--format", "torch-export"],
        [NAME, "--calibrate", "images"],
        [NAME, "--tiny", "--weights", "none", "--size", "33", "33", "-o", "model.txt"],
        ["voxelmorph_2d", "--tiny", "--weights", "none"],
        ["model.onnx"],
        ["no_model"],
        [NAME, "no_model"],
        [NAME, "--tolerance", "-1"],
        [NAME, "--int8", "--calibration-images", "0"],
        [NAME, "--tiny", "--weights", "none", "--size", "0", "0"],
        [NAME, "--tiny", "--weights", "none", "--size", "33", "33"],
        [NAME, "--tiny", "--weights", "none", "-o", "setup.cfg/model.onnx"],
        [NAME, "--tiny", "--weights", "none", "--int8", "--calibrate", "no_folder"],
        ["--all", "--half"],
    ],
    ids=str,
)
def test_wrong_use_is_one_line(words, capsys):
    assert main(["export", *words, "-q"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")


def test_an_empty_folder_of_calibration_images_is_an_error_before_the_recording(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("visionzoo.export.exporting.recorded", None)
    words = ["export", NAME, "--tiny", "--weights", "none", "--int8", "--calibrate", str(tmp_path), "-q"]
    assert main([*words, "-o", str(tmp_path / "model.onnx")]) == 2
    assert "expected images, found none" in capsys.readouterr().err


def test_a_missing_package_is_an_error_before_the_model_is_built(capsys, monkeypatch):
    monkeypatch.setattr("visionzoo.export.exporting.find_spec", lambda name: None)
    assert main(["export", NAME, "--tiny", "-q"]) == 2
    assert 'needs onnx: pip install "visionzoo[export]"' in capsys.readouterr().err


def test_a_mask_differs_by_the_fraction_of_its_pixels():
    masks = np.zeros((2, 1, 4, 8), np.uint8)
    changed = masks.copy()
    changed[1, 0, 2, 3] = 1
    assert differences({"mask": masks}, {"mask": changed}) == [Difference("mask", 1 / 64, 1 / 64, 64)]


def test_a_difference_above_the_tolerance_fails():
    rows = differences({"a": np.array([1.0, 2.0])}, {"a": np.array([1.0, 2.5])})
    assert rows == [Difference("a", 0.5, 0.25, 2)]
    done = Exported(Path("a.onnx"), None, rows)
    done.require_parity(0.3)
    with pytest.raises(RunFailed, match="a by 0"):
        done.require_parity(0.1)


def test_values_that_are_not_finite_are_a_difference():
    (row,) = differences({"a": np.array([1.0, 2.0])}, {"a": np.array([1.0, np.nan])})
    assert not row.within(1e9)


def test_conversions_to_16_bits_and_back_are_removed():
    onnx = pytest.importorskip("onnx")
    make, half, full = onnx.helper, onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    nodes = [
        make.make_node("Add", ["x", "x"], ["a"], "first"),
        make.make_node("Cast", ["a"], ["a_half"], "a_cast_to_fp16_node", to=half),
        make.make_node("Cast", ["a_half"], ["a_full"], "a_cast_to_fp32_node", to=full),
        make.make_node("Mul", ["a_full", "x"], ["b"], "second"),
        make.make_node("Cast", ["b"], ["b_half"], "b_cast_to_fp16_node", to=half),
        make.make_node("Cast", ["b_half"], ["y"], "graph_output_cast0", to=full),
        make.make_node("Relu", ["a_half"], ["c_half"], "in_half"),
        make.make_node("Cast", ["c_half"], ["z"], "graph_output_cast1", to=full),
    ]
    values = [make.make_tensor_value_info(name, full, [1]) for name in "xyz"]
    graph = make.make_graph(nodes, "g", values[:1], values[1:])
    _remove_round_trips(graph)
    left = {node.name: (node.op_type, list(node.input)) for node in graph.node}
    assert left == {
        "first": ("Add", ["x", "x"]),
        "a_cast_to_fp16_node": ("Cast", ["a"]),
        "second": ("Mul", ["a", "x"]),
        "graph_output_cast0": ("Identity", ["b"]),
        "in_half": ("Relu", ["a_half"]),
        "graph_output_cast1": ("Cast", ["c_half"]),
    }
    onnx.checker.check_model(make.make_model(graph))
