"""Class maps: every form has one reading, and every other file is one error."""

import json

import pytest

from visionzoo.datasets.class_map import ClassMap, classes_of, find_labels, read_class_map
from visionzoo.datasets.findings import Findings
from visionzoo.errors import DataError


def read(tmp_path, text, name="map.json"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    found = read_class_map(path)
    return list(zip(found.keys, found.names))


@pytest.mark.parametrize(
    "record",
    [
        {"dog": "a hound", "cat": "a tom"},
        {"0": ["dog", "a hound"], "1": ["cat", "a tom"]},
        {"1": ["cat", "a tom"], "0": ["dog", "a hound"]},
        [["dog", "a hound"], ["cat", "a tom"]],
    ],
)
def test_folders_and_names(tmp_path, record):
    assert read(tmp_path, json.dumps(record)) == [("dog", "a hound"), ("cat", "a tom")]


@pytest.mark.parametrize(
    "record",
    [
        ["dog", "cat"],
        {"dog": 0, "cat": 1},
        {"cat": 1, "dog": 0},
        {"cat": "1", "dog": "0"},
        {"dog": None, "cat": None},
    ],
)
def test_only_names(tmp_path, record):
    assert read(tmp_path, json.dumps(record)) == [("dog", "dog"), ("cat", "cat")]


def test_numbers_as_folders(tmp_path):
    assert read(tmp_path, '{"1": "cat", "0": "dog"}') == [("0", "dog"), ("1", "cat")]
    assert read(tmp_path, '{"21": "cat", "3": "dog"}') == [("21", "cat"), ("3", "dog")]
    assert read(tmp_path, '{"a": "2008", "b": "2007"}') == [("a", "2008"), ("b", "2007")]


@pytest.mark.parametrize(
    "text", ["dog\ncat", "dog\r\ncat\r\n", "\ufeffdog\ncat", "  dog \n\n cat\n", "dog\tdog\ncat\t cat"]
)
def test_text(tmp_path, text):
    assert read(tmp_path, text, "map.txt") == [("dog", "dog"), ("cat", "cat")]


@pytest.mark.parametrize("name", ["map.json", "MAP.JSON"])
def test_a_byte_order_mark_is_no_part_of_json(tmp_path, name):
    assert read(tmp_path, b'\xef\xbb\xbf["dog", "cat"]', name) == [("dog", "dog"), ("cat", "cat")]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"dog": ', "found an error in line 1"),
        ("", "found an error in line 1"),
        ("NaN", "found something else"),
        ("7", "found something else"),
        ('"cat"', "found something else"),
        ("null", "found something else"),
        ("[1, 2]", "found something else"),
        ("[NaN]", "found something else"),
        ('[["cat"]]', "found something else"),
        ('[["cat", null]]', "found something else"),
        ('[[["cat", "a"]]]', "found something else"),
        ('["cat", {"dog": 1}]', "found something else"),
        ("[]", "at least one class"),
        ("{}", "at least one class"),
        ('["cat", "cat"]', "'cat' 2 times"),
        ('{"cat": "a", "cat": "b"}', "'cat' 2 times"),
        ('{"cat": {"name": "a"}, "dog": "b"}', "class 0: name: expected visible text"),
        ('{"cat": NaN, "dog": "b"}', "class 0: name: expected visible text .* found nan"),
        ('{"cat": true, "dog": false}', "2 errors"),
        ('{"cat": "", "dog": " "}', "2 errors"),
        ('{"cat": "a\\u0000b", "dog": "x"}', "class 0: name"),
        ('{"cat": "\\ud800", "dog": "x"}', "class 0: name"),
        ('["\\ufeffcat", "dog"]', "class 0: name"),
        ('{"0": ["a", "b"], "2": ["c", "d"]}', "labels 0 to 1, found others, such as 2"),
        ('{"1": ["a", "b"], "2": ["c", "d"]}', "labels 0 to 1, found others, such as 2"),
        ('{"0": ["a", "b"], "0": ["c", "d"]}', "labels 0 to 1, found others"),
        ('{"x": ["a", "b"], "0": ["c", "d"]}', "labels 0 to 1, found others;"),
        ('{"cat": 0, "dog": 2}', "labels 0 to 1, found others, such as 2"),
        ('{"cat": 0, "dog": 0}', "labels 0 to 1, found others"),
        ('{"cat": -1, "dog": 0}', "such as -1"),
        ('{"cat": 1000000000000000000000, "dog": 0}', "such as 1000000000000000000000"),
        ('{"cat": 0.5, "dog": 1.5}', "2 errors"),
        ("9" * 5000, "a number or a nesting that is too long"),
        ("[" * 100_000, "a number or a nesting that is too long"),
        (b"\xff\xfe[", "not valid UTF-8"),
        (json.dumps(["x" * 200_000, "dog"]), "at most 1000 characters"),
    ],
)
def test_errors(tmp_path, text, what):
    with pytest.raises(DataError, match=what) as caught:
        read(tmp_path, text)
    assert caught.value.sentence.isprintable()
    assert len(caught.value.sentence) < 600


@pytest.mark.parametrize(
    ("text", "what"), [("", "at least one class"), ("cat\ncat a", "'cat' 2 times"), ("a\x00b", "name")]
)
def test_errors_in_text(tmp_path, text, what):
    with pytest.raises(DataError, match=what):
        read(tmp_path, text, "map.txt")


def test_a_folder_as_class_map(tmp_path):
    with pytest.raises(DataError, match="Is a directory"):
        read_class_map(tmp_path)


# --- labels ---


@pytest.mark.parametrize(
    ("words", "classes", "notes"),
    [
        (["1", "0", "2"], ["0", "1", "2"], 0),
        (["10", *map(str, range(10))], [*map(str, range(11))], 0),
        (["00", "01"], ["0", "1"], 0),
        (["0.0", "1.0"], ["0", "1"], 0),
        (["1", "2", "3"], ["1", "2", "3"], 1),
        (["2", "0"], ["0", "2"], 1),
        (["4", "5003", "1000000000000"], ["4", "5003", "1000000000000"], 1),
        (["9" * 40, "1"], ["1", "9" * 40], 0),
        (["-1", "0", "1"], ["-1", "0", "1"], 0),
        (["dog", "cat", "7"], ["7", "cat", "dog"], 0),
        (["٣", "a"], ["a", "٣"], 0),
    ],
)
def test_classes_of_labels(words, classes, notes):
    findings = Findings("a.txt", expected="labels")
    assert classes_of(set(words), findings) == classes
    assert len(findings._notes) == notes


def test_the_mark_of_a_missing_value_is_no_class():
    findings = Findings("a.csv", expected="labels")
    classes_of({"cat", "nan"}, findings)
    with pytest.raises(DataError, match=r"a\.csv: label: nan: expected the name of a class, found the mark"):
        findings.close()


@pytest.mark.parametrize(
    ("keys", "words", "labels"),
    [
        (("cat", "dog"), ["cat", "1", "01", "1.0"], [0, 1, 1, 1]),
        (("cat", "dog"), ["2", "-1", "9" * 40, "Cat"], []),
        (("1", "2", "3"), ["1", "3", "03"], [0, 2, 2]),
        (("1", "2", "3"), ["0"], []),
        (("4", "5003", "x"), ["1"], []),
    ],
)
def test_labels_are_keys_names_or_indices(keys, words, labels):
    assert list(find_labels(words, ClassMap.of(keys)).values()) == labels
