"""Messages in several directions, one after the other (SCNN: Pan et al., AAAI 2018, arXiv 1712.06080)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from visionzoo.errors import ConfigError
from visionzoo.ops.message_passing import pass_messages

# name -> axis of the slices, and whether the last one sends first
DIRECTIONS: dict[str, tuple[int, bool]] = {
    "down": (2, False),
    "up": (2, True),
    "right": (3, False),
    "left": (3, True),
}


class MessagePassing(nn.ModuleDict):
    """A map whose rows and columns have told each other what they see: what a lane is where a car hides it.

    Each direction has a kernel of its own and starts from what the one before has made. The kernels begin so small that
    the map is almost unchanged at first; PyTorch's usual start lets values grow from slice to slice without bound.

    Args:
        channels: C of the map.
        kernel: places of the slice before that a message is made of, odd; the authors tried 1 to 11.
        directions: of ``down``, ``up``, ``right`` and ``left``, in order.
        bias: messages have one; the authors' have none, pytorch-auto-drive's do.
        update_first: see :func:`pass_messages`.

    Raises:
        ConfigError: directions that do not exist or come twice, a kernel that is not odd.
    """

    def __init__(
        self,
        channels: int,
        kernel: int = 9,
        directions: Sequence[str] = tuple(DIRECTIONS),
        *,
        bias: bool = False,
        update_first: bool = True,
    ):
        _check(channels, kernel, directions)
        super().__init__({name: DirectedPass(channels, kernel, name, bias, update_first) for name in directions})

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), unchanged in shape."""
        for directed in self.values():
            x = directed(x)
        return x


class DirectedPass(nn.Module):
    """Messages of one direction; ``weight`` is (C, C, K)."""

    def __init__(self, channels: int, kernel: int, direction: str, bias: bool, update_first: bool):
        super().__init__()
        self.direction, self.update_first = direction, update_first
        self.dim, self.reverse = DIRECTIONS[direction]
        self.weight = nn.Parameter(torch.empty(channels, channels, kernel))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal with the authors' deviation: sqrt(5 * C) below He's."""
        channels, _, kernel = self.weight.shape
        nn.init.normal_(self.weight, std=math.sqrt(2 / (kernel * channels * channels * 5)))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), unchanged in shape."""
        return pass_messages(
            x, self.weight, self.bias, dim=self.dim, reverse=self.reverse, update_first=self.update_first
        )

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        channels, _, kernel = self.weight.shape
        return f"{self.direction}, channels={channels}, kernel={kernel}, bias={self.bias is not None}"


def _check(channels: int, kernel: int, directions: Sequence[str]) -> None:
    if isinstance(directions, str) or not directions or len(set(directions) & set(DIRECTIONS)) != len(directions):
        raise ConfigError(
            "MessagePassing.directions",
            expected=f"some of {', '.join(DIRECTIONS)}, each once",
            found=f"{directions!r}",
            advice=f"use {tuple(DIRECTIONS)}",
        )
    if kernel < 1 or kernel % 2 == 0:
        raise ConfigError("MessagePassing.kernel", expected="an odd number", found=f"{kernel}", advice="use 9")
    if channels < 1:
        raise ConfigError("MessagePassing.channels", expected="1 or more", found=f"{channels}", advice="use 128")
