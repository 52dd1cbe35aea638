"""Pickles of plain values: what is read, and one error for everything else."""

import collections
import os
import pickle

import pytest

from visionzoo.datasets.plain_pickles import restricted_pickle_load
from visionzoo.errors import DataError

# [{'sent': 'caf\xe9'}] as Python 2 writes it, with the str in Latin-1 and in UTF-8.
_LATIN1 = b"(lp0\n(dp1\nS'sent'\np2\nS'caf\\xe9'\np3\nsa."
_UTF8 = b"(lp0\n(dp1\nS'sent'\np2\nS'caf\\xc3\\xa9'\np3\nsa."


def written(tmp_path, data):
    path = tmp_path / "refs(unc).p"
    path.write_bytes(data if isinstance(data, bytes) else pickle.dumps(data, protocol=2))
    return path


@pytest.mark.parametrize("data", [_LATIN1, _UTF8])
def test_strings_of_python_2_are_read_as_text(tmp_path, data):
    assert restricted_pickle_load(written(tmp_path, data)) == [{"sent": "café"}]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_of_every_protocol(tmp_path, protocol):
    value = [{"ref_id": 2**40, "box": [1.5, None, True], "raw": "é", "data": b"\xff"}, (1, "two")]
    assert restricted_pickle_load(written(tmp_path, pickle.dumps(value, protocol))) == value


@pytest.mark.parametrize("name", [b"__builtin__\nunicode", b"builtins\nstr", b"__builtin__\nlong"])
def test_names_of_plain_types_are_read(tmp_path, name):
    assert restricted_pickle_load(written(tmp_path, b"c" + name + b"\n(S'7'\ntR.")) in ("7", 7)


class RunsCode:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (RunsCode(os.system, "touch pwned"), r"(posix|nt)\.system"),
        (RunsCode(eval, "open('pwned', 'w')"), r"__builtin__\.eval"),
        (RunsCode(getattr, str, "format"), r"__builtin__\.getattr"),
        (collections.OrderedDict(a=1), r"collections\.OrderedDict"),
    ],
)
def test_a_pickle_that_could_run_code_is_one_sentence(tmp_path, monkeypatch, value, named):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, [value])
    with pytest.raises(DataError, match=f"names {named}; it could run code: delete it and download") as caught:
        restricted_pickle_load(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "data", [b"", b"(lp0\n(dp1\nS'se", b"\x80\x02]q\x00(", b"hello", b"cbuiltins\nint\n(S'x'\ntR."]
)
def test_broken_bytes_are_one_sentence(tmp_path, data):
    with pytest.raises(DataError, match="expected a whole pickle of RefCOCO, found damaged bytes") as caught:
        restricted_pickle_load(written(tmp_path, data), of="RefCOCO")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="expected a readable file, but No such file"):
        restricted_pickle_load(tmp_path / "refs(unc).p")
