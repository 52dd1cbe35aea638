"""Phrases are split into tokens in the pipeline, and the tokens reach the data sample."""

import pickle

import numpy as np
import pytest

from visionzoo.datasets.transforms.packing import PackTaskInputs
from visionzoo.datasets.transforms.phrases import TokenizePhrase
from visionzoo.errors import DataError


def test_tokens_reach_the_metainfo():
    transform = pickle.loads(pickle.dumps(TokenizePhrase(max_tokens=6)))  # as it is sent to a worker
    results = {"img": np.zeros((4, 6, 3), np.uint8), "phrase": "the left-most box", "img_path": "a.png"}
    sample = PackTaskInputs()(transform(results))["data_samples"]
    assert sample.phrase == "the left-most box"
    assert sample.phrase_ids == [101, 1996, 2187, 1011, 2087, 3482]
    assert sample.phrase_length == 7
    assert sample.phrase_vocabulary == transform.tokenizer.fingerprint


def test_the_sample_of_the_data_set_is_not_changed():
    results = {"phrase": "box"}
    TokenizePhrase()(results)
    assert results == {"phrase": "box"}


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"img_path": "a.png"}, r"a\.png: phrase: expected a string, found None; give one phrase for each sample"),
        ({"phrase": ["left", "right"]}, r"sample: phrase: expected a string, found \['left', 'right'\]"),
    ],
)
def test_samples_without_one_phrase_are_refused(results, message):
    with pytest.raises(DataError, match=message):
        TokenizePhrase()(results)
