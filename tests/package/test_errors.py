"""Messages help: one sentence first, the nearest name, a bounded list. Errors contain the data of their message."""

import pickle

import pytest

from visionzoo.errors import (
    BrokenOps,
    CardError,
    CheckpointError,
    ConfigError,
    DataError,
    InputError,
    MissingExtra,
    MissingOp,
    OutputError,
    RunFailed,
    UnknownName,
    ZooError,
    first_of,
    in_cwd,
    nearest_name,
    one_of,
    require_known,
    some_of,
)

PLAIN_KINDS = [
    *(ZooError, ConfigError, CardError, DataError, InputError, OutputError, CheckpointError),
    *(MissingOp, BrokenOps, RunFailed),
]
DATA = {"expected": "a file", "found": "a folder", "advice": "name a file in it"}


def one_of_every_kind() -> list[ZooError]:
    return [
        *(kind("a.txt", **DATA) for kind in PLAIN_KINDS),
        ConfigError("x.py", ["a: b", "c: d"], expected="a config", found="2 problems"),
        UnknownName("zebra", kind="neck", known=["FPN"]),
        MissingExtra("h5py", "counting", where="a.h5"),
        DataError("the model returns scores that are not finite"),
    ]


def test_nearest_name_ignores_case_and_unrelated_names():
    assert nearest_name("rcnet_retinnet", ["rcnet_retinanet", "fpn"]) == "rcnet_retinanet"
    assert nearest_name("FPn", ["fpn", "pan"]) == "fpn"
    assert nearest_name("zebra", ["fpn"]) is None


def test_unknown_name_lists_what_exists_when_nothing_is_near():
    assert str(UnknownName("zebra", kind="neck", known=["FPN"])) == "no neck is called 'zebra'; known: FPN"


def test_one_of_is_short():
    assert one_of([f"n{i:02}" for i in range(20)], most=3) == "known: n00, n01, n02 and 17 more"
    assert one_of([]) == "nothing is registered"


def test_require_known_passes_known_names_and_refuses_others_with_the_nearest():
    require_known("FPN", {"FPN": 1}, "neck")
    with pytest.raises(UnknownName, match=r"^no neck is called 'FPM'; did you mean 'FPN'\?$"):
        require_known("FPM", ["FPN"], "neck")
    for value, found in ((None, "None"), ({"a": 1}, "a dict"), ([], "a list"), (3, "the number 3"), (True, "True")):
        with pytest.raises(UnknownName, match=rf"^neck takes a name, found {found}; known: FPN$"):
            require_known(value, ["FPN"], "neck")


def test_shortened_lists_say_so():
    assert first_of(iter("abc")) == "a, b, c"
    assert first_of(iter("abcd")) == "a, b, c, ..."
    assert some_of(iter("ab"), most=2) == "a, b"
    assert some_of(iter("abcd"), most=3) == "a, b, c and 1 more"
    assert some_of([], most=3) == ""


def test_problems_come_below_the_first_line():
    lines = str(ConfigError("x.py: two problems.", ["a: b", "c: d"])).splitlines()
    assert lines == ["x.py: two problems.", "  - a: b", "  - c: d"]


def test_a_missing_extra_ends_with_the_pip_line():
    assert str(MissingExtra("transformers", "text")) == 'needs transformers: pip install "visionzoo[text]"'


def test_exit_codes():
    assert ConfigError("x").exit_code == 2
    assert RunFailed("x").exit_code == 1


@pytest.mark.parametrize("kind", PLAIN_KINDS)
def test_the_message_follows_from_the_data(kind):
    error = kind("a.txt", **DATA)
    assert str(error) == "a.txt: expected a file, found a folder; name a file in it"
    assert (error.where, error.expected, error.found) == ("a.txt", "a file", "a folder")
    assert (error.but, error.advice) == (None, "name a file in it")


@pytest.mark.parametrize(
    ("where", "data", "message"),
    [
        ("a.txt", {"expected": "a file", "but": "it is busy"}, "a.txt: expected a file, but it is busy"),
        ("a.txt", {"expected": "a file", "found": ""}, "a.txt: expected a file, found "),
        ("a.txt", {"expected": "a file", "advice": "name one"}, "a.txt: expected a file; name one"),
        ("", {"expected": "a file", "found": "none"}, "expected a file, found none"),
        ("a whole sentence; do this", {}, "a whole sentence; do this"),
    ],
)
def test_parts_of_a_message_may_be_absent(where, data, message):
    assert str(ZooError(where, **data)) == message


@pytest.mark.parametrize("data", [{"found": "x"}, {"advice": "x"}, {"expected": "x", "found": "y", "but": "z"}])
def test_data_that_make_no_sentence_are_a_mistake_of_the_code(data):
    with pytest.raises(TypeError, match="an error"):
        ZooError("a.txt", **data)


def test_an_error_without_expected_has_no_where():
    error = ZooError("the weights are broken")
    assert (error.where, error.expected) == ("", None)


def test_places_are_added_in_front():
    error = DataError("line 3", expected="a number", found="'x'", advice="correct it")
    moved = error.at("points.txt").at("data set A")
    assert type(moved) is DataError
    assert str(moved) == "data set A: points.txt: line 3: expected a number, found 'x'; correct it"
    assert moved.where == "data set A: points.txt: line 3"
    assert str(error) == "line 3: expected a number, found 'x'; correct it"


def test_a_sentence_gets_a_place_too():
    moved = DataError("the scores are not finite").at("a.jpg")
    assert (str(moved), moved.where) == ("a.jpg: the scores are not finite", "a.jpg")


def test_a_place_that_is_named_already_is_not_repeated():
    error = DataError("a.jpg: expected an image")
    assert error.at("a.jpg") is error


@pytest.mark.parametrize("error", one_of_every_kind(), ids=lambda error: type(error).__name__)
def test_every_kind_keeps_its_data_at_a_place(error):
    moved = error.at("p")
    assert type(moved) is type(error)
    assert str(moved) == f"p: {error}"
    assert {**vars(moved), "where": error.where} == vars(error)


@pytest.mark.parametrize("place", ["a.jpg", "VGG"])
def test_a_place_may_decide_the_kind(place):
    moved = DataError("VGG", expected="an image").at(place, InputError)
    assert type(moved) is InputError
    assert str(moved) == ("VGG: expected an image" if place == "VGG" else "a.jpg: VGG: expected an image")
    assert moved.expected == "an image"


def test_at_keeps_the_cause_and_the_place_in_the_code():
    with pytest.raises(DataError) as caught:
        raise DataError("a.txt", expected="a file") from OSError("busy")
    moved = caught.value.at("list.txt")
    assert isinstance(moved.__cause__, OSError)
    assert moved.__suppress_context__
    assert moved.__traceback__ is caught.value.__traceback__


@pytest.mark.parametrize("error", one_of_every_kind(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("moved", [False, True])
def test_errors_travel_between_processes(error, moved):
    sent = error.at("rank 1") if moved else error
    received = pickle.loads(pickle.dumps(sent))
    assert type(received) is type(sent)
    assert str(received) == str(sent)
    assert vars(received) == vars(sent)


def test_problems_stay_below_the_sentence_at_a_place():
    error = ConfigError("x.py", ["a: b", "c: d"], expected="a config", found="2 problems", advice="fix them").at("list")
    assert error.problems == ("a: b", "c: d")
    assert error.sentence == "list: x.py: expected a config, found 2 problems; fix them"
    assert str(error).splitlines()[1:] == ["  - a: b", "  - c: d"]


def test_optional_packages_can_be_requested_by_data():
    error = MissingExtra("h5py", "counting", where="a.h5")
    assert (error.package, error.extra, error.where) == ("h5py", "counting", "a.h5")
    assert error.at("x").msg == str(error.at("x"))


def test_the_current_folder_is_named_for_relative_paths_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert in_cwd("data") == f" (in {tmp_path})"
    assert in_cwd(tmp_path) == ""
