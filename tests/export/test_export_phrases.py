"""Exported models of images with phrases equal the models, and run without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from test_export_infer import compare, images_in

from visionzoo.cards.seeding import fill_weights
from visionzoo.cli import main
from visionzoo.errors import CheckpointError
from visionzoo.graphs.form import NotExportable
from visionzoo.graphs.phrases import phrase_form
from visionzoo.inference.exported_phrases import tokenizer_of
from visionzoo.structures.task_sample import TaskSample
from visionzoo.text_encoders.gru import GRUTextEncoder
from visionzoo.zoo import get_model

NAME = "lavt_refcoco"


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    model = get_model(NAME, tiny=True).eval()
    fill_weights(model, 0)
    return model


@pytest.mark.parametrize("depth", [1, 2])
def test_states_without_packed_sequences_are_equal(depth):
    encoder = GRUTextEncoder("tiny", depth=depth, padding="max").eval()
    ids, mask = encoder.tokenize(["the left box", "", "a small disc on the right side"])
    with torch.no_grad():
        expected, found = encoder.encode(ids, mask), encoder.padded_states(ids, mask)
    assert float(expected.abs().max()) > 0.01
    assert torch.allclose(found, expected, atol=1e-6)


def test_the_form_equals_the_model(model):
    form = phrase_form(model).eval()
    inputs = form.seeded((64, 64))
    tokens = [int(each) for each in inputs["tokens"][0] * inputs["token_mask"][0] if each]
    about = dict(phrase="", phrase_ids=tokens, phrase_length=len(tokens))
    about |= dict(phrase_vocabulary=model.text_encoder.tokenizer.fingerprint)
    with torch.no_grad():
        (found,) = form(*(torch.from_numpy(value) for value in inputs.values()))
        data = {"inputs": [torch.from_numpy(inputs["images"][0])], "data_samples": [TaskSample(metainfo=about)]}
        (expected,) = model.test_step(data)
    assert len(tokens) == int(inputs["token_mask"].sum())
    assert torch.allclose(found[0, 0], expected.pred_map, atol=1e-5)


def test_the_tokenizer_of_a_file_is_that_of_the_model(model):
    settings = phrase_form(model).settings["tokenizer"]
    assert settings["words"] is None
    assert tokenizer_of(settings)("the leftmost zebra") == model.text_encoder.tokenizer("the leftmost zebra")
    with pytest.raises(CheckpointError, match="the vocabulary abc"):
        tokenizer_of({**settings, "fingerprint": "abc"})


def test_proposals_of_another_model_are_a_reason():
    with pytest.raises(NotExportable, match="proposals are results of another model"):
        phrase_form(get_model("wico_lavt_refcoco", tiny=True))


def test_tasks_of_exported_models_do_not_import_torch():
    names = ("co_saliency", "instances", "panoptic", "referring", "semantic")
    code = (
        f"import sys; import {', '.join(f'visionzoo.tasks.{name}' for name in names)}; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_masks_equal_those_of_the_model_without_torch(model, tmp_path):
    pytest.importorskip("onnxruntime")
    images, file, weights = images_in(tmp_path), tmp_path / "model.onnx", tmp_path / "weights.pth"
    torch.save({"state_dict": model.state_dict()}, weights)
    named = [NAME, "--tiny", "--weights", str(weights)]
    assert main(["export", *named, "-o", str(file), "-q"]) == 0
    inputs = [str(images), "--text", "left red box", "--text", "the zebra", "--save", "map", "-q"]
    assert main(["infer", named[0], *inputs, *named[1:], "-o", str(tmp_path / "model")]) == 0
    code = (
        f"import sys; from visionzoo.cli import main; "
        f"code = main({['infer', str(file), *inputs, '-o', str(tmp_path / 'file')]!r}); "
        "sys.exit(code if 'torch' not in sys.modules else 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    compare(tmp_path / "file", tmp_path / "model", 1e-4)
