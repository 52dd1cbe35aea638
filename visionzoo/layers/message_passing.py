"""Message passing in several consecutive directions (SCNN: Pan et al., AAAI 2018, arXiv 1712.06080)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from visionzoo.errors import ConfigError
from visionzoo.ops.message_passing import pass_messages

# name -> axis of the slices, and True if the last slice sends first
DIRECTIONS: dict[str, tuple[int, bool]] = {
    "down": (2, False),
    "up": (2, True),
    "right": (3, False),
    "left": (3, True),
}


class MessagePassing(nn.ModuleDict):
    """Pass messages between the rows and between the columns of a map, for example along lanes hidden by cars.

    Slices are rows or columns. Each slice adds a message from the slice before it. Each direction has a separate kernel
    and reads the result of the previous direction. Initial kernels are so small that the map is almost unchanged:
    with PyTorch's default initialisation, values grow from slice to slice without bound.

    Args:
        channels: channels C of the map, >= 1.
        kernel: number of positions of the previous slice that a message depends on, odd; the authors tried 1 to 11.
        directions: some of ``down``, ``up``, ``right`` and ``left``, in order of execution.
        bias: add a bias to messages; the authors use none, pytorch-auto-drive does.
        update_first: see :func:`pass_messages`.

    Raises:
        ConfigError: unknown or repeated directions, an even kernel, or no channels.

    Example:
        >>> layer = MessagePassing(channels=4, kernel=3, directions=("down", "right"))
        >>> layer(torch.zeros(1, 4, 5, 6)).shape
        torch.Size([1, 4, 5, 6])
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
        """Map (B, C, H, W) to the same shape."""
        for directed in self.values():
            x = directed(x)
        return x


class DirectedPass(nn.Module):
    """Message passing in one direction; ``weight`` is (C, C, K)."""

    FIXED_GRAPH_SIZE = "its messages pass from row to row and from column to column, one step of the graph for each"

    def __init__(self, channels: int, kernel: int, direction: str, bias: bool, update_first: bool):
        super().__init__()
        self.direction, self.update_first = direction, update_first
        self.dim, self.reverse = DIRECTIONS[direction]
        self.weight = nn.Parameter(torch.empty(channels, channels, kernel))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw normal weights with the authors' deviation, He's divided by sqrt(5 * C); set the bias to 0."""
        channels, _, kernel = self.weight.shape
        nn.init.normal_(self.weight, std=math.sqrt(2 / (kernel * channels * channels * 5)))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return pass_messages(
            x, self.weight, self.bias, dim=self.dim, reverse=self.reverse, update_first=self.update_first
        )

    def extra_repr(self) -> str:
        """Return the settings for ``print``."""
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
