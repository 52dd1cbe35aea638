"""`--backend onnxruntime` exports a model once, and gives its results without torch from then on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_export_infer import images_in

from visionzoo import Inferencer
from visionzoo.cards.seeding import fill_weights
from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.errors import ConfigError, UnknownName
from visionzoo.export import caching
from visionzoo.inference.onnx_backend import key_of
from visionzoo.zoo import get_model

NAME = "efficientnet_lite0_imagenet"


@pytest.fixture
def weights(tmp_path) -> Path:
    model = get_model(NAME, tiny=True, num_classes=5)
    fill_weights(model, 0)
    path = tmp_path / "w.pth"
    torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": {"classes": tuple("abcde")}}}, path)
    return path


def test_the_second_run_does_not_import_torch(weights, tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "cache"))
    words = ["infer", NAME, str(images_in(tmp_path)), "--tiny", "--weights", str(weights), "-q"]
    onnx = [*words, "--backend", "onnxruntime"]
    assert main([*words, "-o", str(tmp_path / "torch")]) == 0
    assert main([*onnx, "-o", str(tmp_path / "first")]) == 0
    (file,) = (tmp_path / "cache" / "exported").rglob("*.onnx")
    written = file.stat().st_mtime_ns

    code = (
        f"import sys; from visionzoo.cli import main; code = main({[*onnx, '-o', str(tmp_path / 'second')]!r}); "
        "sys.exit(code if 'torch' not in sys.modules else 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert file.stat().st_mtime_ns == written
    expected = lines_of(tmp_path / "torch")
    for out in ("first", "second"):
        for found, other in zip(lines_of(tmp_path / out), expected, strict=True):
            assert found["result"]["names"] == other["result"]["names"]
            assert np.allclose(found["result"]["scores"], other["result"]["scores"], atol=1e-5)


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def test_the_key_changes_with_config_and_weights(tmp_path):
    file, run = tmp_path / "w.pth", tmp_path / "run"
    run.mkdir()
    file.write_bytes(b"1")
    loaded = load_config(NAME, tiny=True)
    keys = [
        key_of(loaded, "none"),
        key_of(load_config(NAME), "none"),
        key_of(loaded, str(file)),
        key_of(loaded, str(run)),
    ]
    file.write_bytes(b"2")
    (run / "best_epoch_3.pth").write_bytes(b"")
    keys += [key_of(loaded, str(file)), key_of(loaded, str(run))]
    assert len(set(keys)) == len(keys)
    assert key_of(load_config(NAME, tiny=True), str(file)) == keys[-2]


def test_other_files_and_backends_are_refused():
    with pytest.raises(ConfigError, match="leave the backend out"):
        Inferencer("model.pt2", backend="onnxruntime")
    with pytest.raises(UnknownName, match="onnxruntime"):
        Inferencer(NAME, "none", tiny=True, backend="onnxrunntime")


def test_a_model_of_one_padded_size_is_refused(monkeypatch, tmp_path):
    made = SimpleNamespace(
        shape=SimpleNamespace(is_fixed=True, size=(64, 96), reason="its windows"), form=SimpleNamespace(divisor=32)
    )
    monkeypatch.setattr(caching, "torch_backend", lambda *args, **options: None)
    monkeypatch.setattr(caching, "ready", lambda backend: made)
    monkeypatch.setattr(caching, "require_packages", lambda kind: None)
    with pytest.raises(ConfigError, match="found one size, 96x64: its windows; use the backend torch"):
        caching.write_for_all_images(SimpleNamespace(name="a"), "none", tmp_path / "a.onnx", trust_pickle=False)


def test_a_model_without_an_exported_form_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path))
    np.save(tmp_path / "a.npy", np.eye(16, dtype=np.float32))
    pair = ["--fixed", str(tmp_path / "a.npy"), "--moving", str(tmp_path / "a.npy")]
    words = ["infer", "direct_affine", *pair, "--tiny", "--backend", "onnxruntime", "--weights", "none", "-q"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: head (DirectRegistrationHead)")
