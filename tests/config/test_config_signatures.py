"""Arguments that a class accepts, through ``**kwargs`` and its bases."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from visionzoo.config.signatures import arguments_of
from visionzoo.registry import MODELS


class Base:
    def __init__(self, a, b=1):
        pass


class HandsOn(Base):
    def __init__(self, c, **kwargs):
        super().__init__(**kwargs)


class Fills(Base):
    def __init__(self, c=0, **kwargs):
        super().__init__(a=c, **kwargs)


class FillsByPosition(Base):
    def __init__(self, c=0, **kwargs):
        super().__init__(c, **kwargs)


class Takes(Base):
    def __init__(self, **kwargs):
        self.x = kwargs.pop("x", None)
        super().__init__(**kwargs)


class Keeps(Base):
    def __init__(self, **kwargs):
        self.options = kwargs
        super().__init__(1)


class Inherits(HandsOn):
    pass


class SkipsOne(HandsOn):
    def __init__(self, d, **kwargs):
        super(HandsOn, self).__init__(**kwargs)


class Module(nn.Module):
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)


@pytest.mark.parametrize(
    ("cls", "names", "required", "is_open"),
    [
        (Base, ("a", "b"), ("a",), False),
        (HandsOn, ("c", "a", "b"), ("c", "a"), False),
        (Fills, ("c", "b"), (), False),
        (FillsByPosition, ("c", "b"), (), False),
        (Takes, ("x", "a", "b"), ("a",), False),
        (Keeps, (), (), True),
        (Inherits, ("c", "a", "b"), ("c", "a"), False),
        (SkipsOne, ("d", "a", "b"), ("d", "a"), False),
        (Module, ("width",), ("width",), False),
        (nn.ReLU, ("inplace",), (), False),
        (object, (), (), False),
        (partial(Base, 3), ("b",), (), False),
        (partial(Base, a=3), ("a", "b"), (), False),
    ],
)
def test_arguments(cls, names, required, is_open):
    arguments = arguments_of(cls)
    assert (arguments.names, arguments.required, arguments.open) == (names, required, is_open)


def test_modules_stay_closed_after_compiling():
    """torch.compile replaces nn.Module's constructor for the rest of the process."""
    torch.compile(nn.Linear(1, 1), backend="eager")(torch.zeros(1, 1))
    assert not arguments_of(Module).open
    assert not arguments_of(nn.ReLU).open


def test_function():
    def part(x, *, y=2):
        return x

    assert arguments_of(part).names == ("x", "y")
    assert arguments_of(part).required == ("x",)


class KeepsAll(Keeps):
    def __init__(self, d: str, **kwargs):
        self.d = d
        super().__init__(**kwargs)


class Untold(Base):
    def __init__(self, c: int, **kwargs):
        kwargs["a"] = c
        super().__init__(**kwargs)


class OnUntold(Untold):
    def __init__(self, **kwargs):
        super().__init__(c=1, **kwargs)


@pytest.mark.parametrize(
    ("cls", "known", "unknown"),
    [(Untold, {"a", "b", "c"}, {"d"}), (OnUntold, {"a", "b"}, {"c"}), (KeepsAll, {"d", "a", "b"}, {"c"})],
)
def test_arguments_of_bases_are_known_where_forwarding_is_unclear(cls, known, unknown):
    """As a result in_channels is also filled in for mmseg's LightHamHead, which reads its kwargs."""
    arguments = arguments_of(cls)
    assert all(arguments.know(name) for name in known)
    assert not any(arguments.know(name) for name in unknown)
    assert arguments.accept("anything")


def test_annotations_are_text():
    assert arguments_of(Untold).annotation("c") == "int"
    assert arguments_of(Untold).annotation("a") == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mmdet.RetinaHead", {"num_classes", "stacked_convs", "anchor_generator", "loss_bbox", "init_cfg"}),
        ("mmseg.LightHamHead", {"in_channels", "in_index", "num_classes"}),
    ],
)
def test_keyword_arguments_are_followed_to_the_bases_of_other_libraries(name, expected):
    arguments = arguments_of(MODELS.get(name))
    assert all(arguments.know(each) for each in expected)
