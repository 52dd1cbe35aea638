"""Contract of every registered text encoder: what it declares, padding, order of the batch, half precision, tokens."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from contract_subjects import own
from mmengine.registry import DefaultScope

from visionzoo.datasets.transforms.phrases import TokenizePhrase
from visionzoo.errors import DataError, MissingExtra
from visionzoo.registry import MODELS, SCOPE
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample

PHRASES = ["the red box left of the very large café", "", "左边的 box 😀", "box"]


@pytest.fixture(params=own("text_encoders"))
def name(request):
    return request.param


@cache
def built(name, **options):
    torch.manual_seed(0)
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            return MODELS.build({"type": name, "variant": "tiny", **options}).eval()
    except MissingExtra as error:
        pytest.skip(f"{error}")


def sample_of(phrase, transform=None):
    info = {"phrase": phrase}
    return TaskSample(metainfo=info if transform is None else transform(info))


def test_there_are_text_encoders():
    assert {"BertTextEncoder", "GRUTextEncoder", "HFTextEncoder", "TinyTextEncoder"} <= set(own("text_encoders"))


def test_states_are_as_declared(name):
    text = built(name)(PHRASES)
    assert "tiny" in type(built(name)).VARIANTS
    assert text.states.shape == (*text.mask.shape, *built(name).out_channels)
    assert built(name).out_strides == (1,)
    assert text.mask.dtype == torch.bool
    assert text.mask.sum(1).tolist()[1::2] == [2, 3]
    assert text.states.isfinite().all()
    assert built(name, out_channels=12)(PHRASES).states.shape[-1] == 12


def test_states_depend_on_words_and_their_order(name):
    first, second, third = built(name)(["red box left", "left box red", "red dog left"]).states
    assert not torch.allclose(first, second, atol=1e-3)
    assert not torch.allclose(first, third, atol=1e-3)


def test_padding_changes_no_state(name):
    together, always = built(name)(PHRASES), built(name, padding="max")(PHRASES)
    assert always.mask.shape[1] == 20
    for row, phrase in enumerate(PHRASES):
        single = built(name)([phrase])
        for text in (together, always):
            assert int(text.mask[row].sum()) == single.states.shape[1]
            torch.testing.assert_close(text.states[row][text.mask[row]], single.states[0], rtol=1e-4, atol=1e-5)


def test_the_order_of_the_batch_is_kept(name):
    text, reverse = built(name)(PHRASES), built(name)(PHRASES[::-1])
    assert torch.equal(text.mask, reverse.mask.flip(0))
    torch.testing.assert_close(text.states[text.mask], reverse.states.flip(0)[text.mask], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision_is_close(name, dtype):
    whole = built(name)(PHRASES)
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        half = built(name)(PHRASES)
    limit = 0.05 * float(whole.states.detach().abs().max())
    torch.testing.assert_close(half.states.float()[whole.mask], whole.states[whole.mask], rtol=0, atol=limit)


def test_every_parameter_learns(name):
    encoder = copy.deepcopy(built(name)).train()
    encoder(PHRASES).states.square().mean().backward()
    assert [key for key, value in encoder.named_parameters() if value.grad is None] == []


def test_weights_make_the_round_trip(name):
    other = copy.deepcopy(built(name))
    with torch.no_grad():
        for value in other.parameters():
            value.add_(1)
    other.load_state_dict(built(name).state_dict())
    assert torch.equal(other(PHRASES).states, built(name)(PHRASES).states)


def test_tokens_of_the_loader_give_the_same_states(name):
    encoder = built(name)
    samples = [sample_of(phrase, TokenizePhrase()) for phrase in PHRASES]
    inner = encoder.tokenizer
    try:
        encoder.tokenizer = _OnlyFacts(inner)
        text = encoder(PHRASES, Batch(samples=samples))
    finally:
        encoder.tokenizer = inner
    assert torch.equal(text.states, encoder(PHRASES).states)


class _OnlyFacts:
    """The facts of a tokenizer that must not be called."""

    def __init__(self, inner):
        self.max_tokens, self.pad_id, self.fingerprint = inner.max_tokens, inner.pad_id, inner.fingerprint


def test_tokens_of_another_vocabulary_are_refused(name, tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nbox\n", encoding="utf-8")
    samples = [sample_of("box", TokenizePhrase(str(path)))]
    with pytest.raises(DataError, match=r"expected ids of the vocabulary of .*; give TokenizePhrase and the text enc"):
        built(name)(["box"], Batch(samples=samples))


def test_long_phrases_are_cut(name):
    text = built(name)(["left " * 200, "box"])
    assert text.mask.sum(1).tolist() == [20, 3]


@pytest.mark.parametrize("phrases", [[], "the box", [None]])
def test_only_lists_of_strings_are_encoded(name, phrases):
    with pytest.raises(DataError, match=r"expected a (list of strings|string)"):
        built(name)(phrases)
