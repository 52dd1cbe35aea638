"""Messages help: one sentence first, the nearest name, a bounded list."""

import pytest

from visionzoo.errors import (
    ConfigError,
    MissingExtra,
    RunFailed,
    UnknownName,
    first_of,
    nearest_name,
    one_of,
    require_known,
    some_of,
)


def test_nearest_name_ignores_case_and_gives_up_on_strangers():
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
    with pytest.raises(UnknownName, match=r"^no neck is called 'None'"):
        require_known(None, ["FPN"], "neck")


def test_lists_say_that_there_are_more():
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
