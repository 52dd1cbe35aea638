"""Base of all supernets: blocks that run one path at a time, and ops that are created on first use."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.algorithms.bossnas.paths import Path

Reducers = Mapping[int, Callable[[], nn.Module]]


class LazyChoices(nn.ModuleDict):
    """Modules by name, each created on first use.

    The weights of a module depend only on ``seed``, ``name`` and its key, not on the order of creation. After a state
    is loaded, exactly the modules of that state exist.

    Args:
        makers: constructor of each module.
        name: name of this set, unique in the network.
        seed: seed of all weights of the network.
    """

    def __init__(self, makers: Mapping[str, Callable[[], nn.Module]], *, name: str, seed: int):
        super().__init__()
        self.makers, self.name, self.seed = dict(makers), name, seed
        self.register_buffer("place", torch.empty(0), persistent=False)

    def ask(self, key: int | str) -> nn.Module:
        """Return the module ``key``, and create it if it does not exist."""
        if str(key) not in self:
            with weights_drawn_from(self.seed, f"{self.name}.{key}"):
                made = self.makers[str(key)]()
            self[str(key)] = made.to(self.place.device).train(self.training)  # type: ignore[arg-type]
        return self[str(key)]

    def keep(self, keys: Sequence[int | str]) -> None:
        """Delete all modules except ``keys``."""
        for key in set(self) - set(map(str, keys)):
            del self[key]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        keys = {name.removeprefix(prefix).partition(".")[0] for name in state_dict if name.startswith(prefix)}
        self.keep(sorted(keys & set(self.makers)))
        for key in sorted(keys & set(self.makers)):
            self.ask(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


class weights_drawn_from:  # noqa: N801 - reads as a statement
    """Context in which torch's random numbers on the CPU depend only on a seed and a name; the state is restored."""

    def __init__(self, seed: int, name: str):
        self.number = zlib.crc32(f"{seed}:{name}".encode())

    def __enter__(self) -> None:
        self.before = torch.random.get_rng_state()
        torch.random.default_generator.manual_seed(self.number)

    def __exit__(self, *_: object) -> None:
        torch.random.set_rng_state(self.before)


class Supernet(nn.Module, ABC):
    """Stem and blocks of layers. Each layer runs one of its ops.

    Attributes:
        num_blocks: number of searched blocks.
    """

    num_blocks: int
    stem: nn.Module
    blocks: nn.ModuleList

    def layers_of(self, block: int) -> list[Any]:
        """Return the layers of a block in the order of their execution."""
        return list(self.blocks[block])  # type: ignore[call-overload]

    @abstractmethod
    def candidates(self, block: int, best_paths: Sequence[Path]) -> list[Path]:
        """Return all paths of a block, given the best paths of the earlier blocks."""

    @abstractmethod
    def sample(self, block: int, best_paths: Sequence[Path], count: int, draw: torch.Generator) -> list[Path]:
        """Draw the paths of one training step."""

    @abstractmethod
    def check_path(self, block: int, path: Path) -> None:
        """Check that a path fits its block.

        Raises:
            ConfigError: the path has another length, or ops that the block does not have.
        """

    def run_block(self, x: Tensor, block: int, path: Path, best_paths: Sequence[Path]) -> Tensor:
        """Run a block along ``path``. Block 0 reads images, other blocks read the map of the block before them."""
        self.check_path(block, path)
        if block == 0:
            x = self.stem(x)
        for layer, op in zip(self.layers_of(block), path):
            x = layer(x, op)
        return x

    @abstractmethod
    def projected(self, block: int) -> tuple[int, Reducers]:
        """Return the channels that the projector of a block reads, and constructors that convert other channels."""

    def prefix(self, x: Tensor, best_paths: Sequence[Path]) -> Tensor:
        """Run images through all finished blocks along their best paths."""
        for block, path in enumerate(best_paths):
            x = self.run_block(x, block, path, best_paths[:block])
        return x

    def prepare(self, block: int, paths: Sequence[Path], best_paths: Sequence[Path]) -> None:
        """Create the ops of these paths. Supernets whose ops all exist do nothing."""

    def keep_path(self, block: int, path: Path) -> None:
        """Delete the ops of a finished block that are not on its path. Supernets whose ops share weights do nothing."""


def conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Build a convolution without bias, padded by half its kernel, and a norm."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]
