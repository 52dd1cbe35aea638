"""Messages in several directions: order, start, sizes, and wrong settings."""

from __future__ import annotations

import math

import pytest
import torch

from visionzoo.errors import ConfigError
from visionzoo.layers.message_passing import MessagePassing
from visionzoo.ops.message_passing import pass_messages


def test_directions_follow_one_another():
    torch.manual_seed(0)
    messages = MessagePassing(4, 3, ("left", "down"), bias=True, update_first=False)
    for value in messages.parameters():
        torch.nn.init.normal_(value, std=0.3)
    x = torch.randn(2, 4, 5, 7)
    left, down = messages["left"], messages["down"]
    half = pass_messages(x, left.weight, left.bias, dim=3, reverse=True, update_first=False)
    torch.testing.assert_close(messages(x), pass_messages(half, down.weight, down.bias, dim=2, update_first=False))


def test_begins_with_the_authors_deviation():
    torch.manual_seed(0)
    messages = MessagePassing(128)
    assert list(messages) == ["down", "up", "right", "left"]
    assert sum(value.numel() for value in messages.parameters()) == 589_824
    for directed in messages.values():
        assert directed.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 128 * 128 * 5)), rel=0.01)
        assert directed.bias is None
    x = torch.randn(1, 128, 12, 20).relu()
    assert (messages(x) - x).abs().mean() < 0.2 * x.mean()


@pytest.mark.parametrize("directions", [(), ("down", "down"), ("down", "north"), "down"])
def test_directions_that_do_not_exist(directions):
    with pytest.raises(ConfigError, match="directions: expected some of down, up, right, left, each once"):
        MessagePassing(4, directions=directions)


@pytest.mark.parametrize("kernel", [0, 2, -1])
def test_kernels_without_a_middle(kernel):
    with pytest.raises(ConfigError, match=f"kernel: expected an odd number, found {kernel}"):
        MessagePassing(4, kernel)


def test_channels_from_one_on():
    with pytest.raises(ConfigError, match="channels: expected 1 or more, found 0"):
        MessagePassing(0)
