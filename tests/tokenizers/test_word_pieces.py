"""WordPiece: equal to BERT's tokenizer on text of all kinds, the cut, and vocabularies that cannot be used."""

import json
from pathlib import Path

import pytest

from visionzoo.errors import ConfigError, DataError
from visionzoo.tokenizers.splitting import split_words
from visionzoo.tokenizers.word_pieces import BERT_VOCABULARY, WordPieceTokenizer, fingerprint_of, read_vocabulary

HERE = Path(__file__).parent
# 200 texts with their ids, as BertTokenizer of transformers 4.57.6 and 5.24.0 returns them.
CASES = json.loads((HERE / "bert_uncased_ids.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer(max_tokens=512)


def write(path, words):
    path.write_text("\n".join(words), encoding="utf-8")
    return path


def test_ids_are_those_of_bert(tokenizer):
    assert len(CASES) == 200
    assert [(text, ids) for text, ids in CASES if tokenizer(text).ids != ids] == []


def test_ids_are_those_of_installed_transformers(tokenizer):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertTokenizer(str(BERT_VOCABULARY))
    assert [text for text, _ in CASES if theirs(text)["input_ids"] != tokenizer(text).ids] == []


def test_the_cut_removes_the_end_and_states_the_length():
    tokenizer = WordPieceTokenizer(max_tokens=5)
    whole, cut = tokenizer("the left box"), tokenizer("the very left box")
    assert (len(whole.ids), whole.length, whole.ids[-1]) == (5, 5, 102)
    assert (len(cut.ids), cut.length) == (5, 6)
    assert 102 not in cut.ids
    assert tokenizer("").ids == [101, 102]


def test_ids_come_from_the_vocabulary(tmp_path):
    words = ["[PAD]", "box", "[SEP]", "[UNK]", "[CLS]", "##es"]
    tokenizer = WordPieceTokenizer(write(tmp_path / "vocab.txt", words))
    assert tokenizer("Boxes, BOX").ids == [4, 1, 5, 3, 1, 2]
    assert tokenizer.pad_id == 0
    assert len(tokenizer) == 6


def test_words_are_split_at_punctuation_and_chinese_characters():
    assert split_words("Ca\u0301fe-\u5de6\u8fb9 $5\u200b!") == ["cafe", "-", "\u5de6", "\u8fb9", "$", "5", "!"]
    assert split_words("\x00\t \u3000") == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "box", "box"], "expected every word once, found 'box' twice"),
        (["[PAD]", "[CLS]", "box"], r"found no \[UNK\], \[SEP\]"),
        (["box", "[UNK]", "[CLS]", "[SEP]", "[PAD]"], r"expected \[PAD\] on line 1, .* found it on line 5"),
        ([], r"found no \[PAD\]"),
    ],
)
def test_unusable_vocabularies_are_refused(tmp_path, words, message):
    with pytest.raises(DataError, match=message):
        WordPieceTokenizer(write(tmp_path / "vocab.txt", words))


def test_a_missing_vocabulary_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"vocab\.txt: expected a vocabulary, but No such file .*; give a vocab\.txt"):
        WordPieceTokenizer(tmp_path / "vocab.txt")


@pytest.mark.parametrize("phrase", [None, 3, ["the box"]])
def test_only_strings_are_phrases(tokenizer, phrase):
    with pytest.raises(DataError, match="phrase: expected a string"):
        tokenizer(phrase)


def test_at_least_two_tokens():
    with pytest.raises(ConfigError, match="at least 2"):
        WordPieceTokenizer(max_tokens=1)


def test_a_changed_file_is_read_again(tmp_path):
    import os

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    path = write(tmp_path / "vocab.txt", words)
    before = fingerprint_of(read_vocabulary(path))
    write(path, [*words, "box"])
    os.utime(path, (1, 1))
    assert fingerprint_of(read_vocabulary(path)) != before
