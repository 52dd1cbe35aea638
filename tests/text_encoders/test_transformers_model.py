"""Models of transformers as text encoders, where transformers is installed; the error where it is not."""

import json
import logging

import pytest
import torch

from visionzoo.errors import CheckpointError, ConfigError, MissingExtra
from visionzoo.text_encoders import transformers_model
from visionzoo.text_encoders.bert import BertTextEncoder
from visionzoo.text_encoders.transformers_model import HFTextEncoder

PHRASES = ["the left red box", "", "caf\u00e9 \u5de6"]


@pytest.fixture
def transformers():
    logging.disable(logging.INFO)  # mmengine's line for every parameter that is initialised
    yield pytest.importorskip("transformers")
    logging.disable(logging.NOTSET)


def saved(transformers, folder, model_class="BertModel", **changes):
    """Save a small model as transformers does, with the vocabulary of the zoo."""
    sizes = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24)
    config = getattr(transformers, model_class).config_class(**sizes | changes)
    torch.manual_seed(0)
    model = getattr(transformers, model_class)(config).eval()
    model.save_pretrained(folder)
    vocabulary = BertTextEncoder("tiny").tokenizer.vocab_file
    (folder / "vocab.txt").write_bytes(vocabulary.read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return model


def loaded(cls, folder, **options):
    encoder = cls(weights=str(folder), **options).eval()
    encoder.init_weights()
    return encoder


def test_without_transformers_the_extra_is_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(transformers_model, "import_module", absent)
    with pytest.raises(MissingExtra, match=r'HFTextEncoder: needs transformers: pip install "visionzoo\[text\]"'):
        HFTextEncoder("tiny")


def test_both_encoders_of_bert_are_equal(transformers, tmp_path):
    saved(transformers, tmp_path)
    ours, theirs = loaded(BertTextEncoder, tmp_path)(PHRASES), loaded(HFTextEncoder, tmp_path)(PHRASES)
    assert torch.equal(ours.mask, theirs.mask)
    torch.testing.assert_close(ours.states[ours.mask], theirs.states[ours.mask], rtol=0, atol=1e-5)


@pytest.mark.parametrize("model_class", ["DistilBertModel", "BertForMaskedLM"])
def test_other_models_load_strictly(transformers, tmp_path, model_class):
    changes = {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24} if "Distil" in model_class else {}
    theirs = saved(transformers, tmp_path, model_class, **changes)
    encoder = loaded(HFTextEncoder, tmp_path)
    state = getattr(theirs, theirs.base_model_prefix, theirs).state_dict()
    own = encoder.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in own.items())
    assert encoder(PHRASES).states.shape[-1] == 16


def test_too_many_tokens_are_refused(transformers, tmp_path):
    saved(transformers, tmp_path, max_position_embeddings=12)
    with pytest.raises(ConfigError, match="expected at most 12, found 20"):
        HFTextEncoder(weights=str(tmp_path))


def test_unreadable_folders_are_one_sentence(transformers, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no such model"}')
    with pytest.raises(CheckpointError, match="but cannot read it"):
        HFTextEncoder(weights=str(tmp_path))
    with pytest.raises(CheckpointError, match="found none on this machine"):
        HFTextEncoder(weights="/absent/folder")
