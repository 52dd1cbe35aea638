"""Layers that timm has too compute the same: the values, the random numbers and the names of the parameters."""

import pytest
import torch
from timm import layers as theirs
from torchvision.ops import StochasticDepth

from visionzoo.datasets.classification import imagenet_names
from visionzoo.layers.mlp import Mlp
from visionzoo.layers.same_conv import same_conv


@pytest.mark.parametrize("size", [(7, 10), (8, 9), (1, 2)], ids=str)
@pytest.mark.parametrize(("kernel", "stride", "depthwise"), [(3, 1, True), (3, 2, False), (5, 2, True), (1, 1, False)])
def test_same_conv(size, kernel, stride, depthwise):
    after = 4 if depthwise else 6
    ours = same_conv(4, after, kernel, stride=stride, depthwise=depthwise)
    other = theirs.create_conv2d(4, after, kernel, stride=stride, padding="same", depthwise=depthwise)
    other.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, *size)
    assert torch.equal(ours(x), other(x))


def test_mlp():
    torch.manual_seed(0)
    ours = Mlp(6, 24)
    torch.manual_seed(0)
    other = theirs.Mlp(6, 24)
    x = torch.randn(2, 3, 5, 6)
    assert list(ours.state_dict()) == list(other.state_dict())
    assert torch.equal(ours(x), other(x))


def test_drop_path_of_all():
    x = torch.randn(2, 3, 5)
    assert torch.equal(StochasticDepth(1.0, "row")(x), torch.zeros(2, 3, 5))


@pytest.mark.parametrize("training", [True, False])
def test_drop_path(training):
    x = torch.randn(16, 3, 5)
    torch.manual_seed(1)
    ours = StochasticDepth(0.3, "row").train(training)(x)
    torch.manual_seed(1)
    assert torch.equal(ours, theirs.DropPath(0.3).train(training)(x))
    assert (ours.flatten(1).abs().sum(1) == 0).any() == training


def test_names_of_imagenet():
    from timm.data import ImageNetInfo

    assert imagenet_names() == tuple(text.split(",")[0] for text in ImageNetInfo("imagenet-1k").label_descriptions())
