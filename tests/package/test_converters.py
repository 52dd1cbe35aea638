"""Converters are registered beside the parts, and their keyword arguments are their options."""

from collections.abc import Sequence

import pytest
import torch

from visionzoo.converters import CONVERTERS, Converter, ConverterRegistry, parse_options
from visionzoo.errors import CheckpointError, ConfigError, UnknownName


def test_every_system_with_released_files_has_one():
    expected = ["biconnets", "bossnet", "connnet", "dinat", "gconet_plus", "hmode", "nasnet", "rcnet", "scnn", "vgg"]
    assert set(expected) <= set(CONVERTERS.names())  # plugins may add more
    assert CONVERTERS.get("nasnet").uses == ["classifier", "detector", "backbone"]
    assert CONVERTERS.get("biconnets").uses == ["model", "backbone"]
    assert CONVERTERS.get("connnet").uses == ["backbone"]


def test_options_are_the_keyword_arguments_of_what_is_made():
    dinat, nasnet = CONVERTERS.get("dinat"), CONVERTERS.get("nasnet")
    assert set(dinat.parameters("backbone")) == {"variant", "kernel_size", "keep_norm"}
    assert set(nasnet.parameters("classifier")) == {"variant", "drop_background"}
    assert set(nasnet.parameters("detector")) == {"variant"}
    assert not CONVERTERS.get("rcnet").parameters("detector")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownName, match="no converter is called 'scn'; did you mean 'scnn'"):
        CONVERTERS.get("scn")
    with pytest.raises(ConfigError, match="--as model: expected one of backbone, detector"):
        CONVERTERS.get("rcnet").parameters("model")


def convert(
    tensors,
    *,
    file_name: str | None = None,
    size: Sequence[int] | None = None,
    whole: bool = True,
    rate: float = 0.5,
    side: int | None = None,
    name: str = "",
):
    return {"given": torch.ones(1), **tensors}


@pytest.fixture
def parameters():
    return Converter("toy", {"model": convert}).parameters("model")


def test_values_are_read_by_their_annotations(parameters):
    options = ["size=288,800", "whole=False", "rate=1", "side=7", "name=a=b"]
    values = parse_options(options, parameters)
    assert values == {"size": (288, 800), "whole": False, "rate": 1.0, "side": 7, "name": "a=b"}
    assert isinstance(values["rate"], float)
    assert parse_options(["side=none", "name=none"], parameters) == {"side": None, "name": "none"}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("side", "--set side: expected NAME=VALUE, found no `=`"),
        ("sid=3", "--set sid: .* did you mean 'side'"),
        ("file_name=x", "--set file_name: expected an option of this converter, found none"),
        ("qqqq=3", "known: name, rate, side, size, whole"),
        ("side=3.5", "--set side=3.5: expected a whole number, found '3.5'"),
        ("size=3,x", "expected a whole number, separated by commas, found '3,x'"),
        ("whole=1", "expected true or false, found '1'"),
        ("rate=fast", "expected a number, found 'fast'"),
    ],
)
def test_wrong_options(parameters, option, message):
    with pytest.raises(ConfigError, match=message):
        parse_options([option], parameters)


def test_a_name_and_use_belong_to_one_function():
    registry = ConverterRegistry()
    assert registry.register("toy")(convert) is convert
    with pytest.raises(KeyError, match=r"toy \(model\) is already registered in"):
        registry.register("toy")(convert)
    with pytest.raises(KeyError, match="expected a use of"):
        registry.register("toy", use="mdoel")


def test_a_classifier_joins_its_parts():
    def auxiliary(tensors):
        raise CheckpointError("checkpoint: expected an auxiliary classifier, found none")

    functions = {
        "backbone": lambda tensors, *, variant=None: {"conv": tensors["conv"], "options": variant},
        "classifier": lambda tensors: {"weight": tensors["fc"]},
        "auxiliary": auxiliary,
    }
    made = Converter("toy", functions).convert("classifier", {"conv": 1, "fc": 2}, {"variant": "x", "file_name": "f"})
    assert made == {"backbone.conv": 1, "backbone.options": "x", "head.fc.weight": 2}
