"""What all supernets have in common: blocks that run one path at a time, of ops that exist once they are used."""

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
    """Modules by name, each made when it is first asked for.

    The weights of a module follow from ``name`` and its key alone, not from what was made before it. Loading a state
    makes exactly the modules that it holds.

    Args:
        makers: what makes each module.
        name: of this set, unique in the network.
        seed: of all weights of the network.
    """

    def __init__(self, makers: Mapping[str, Callable[[], nn.Module]], *, name: str, seed: int):
        super().__init__()
        self.makers, self.name, self.seed = dict(makers), name, seed
        self.register_buffer("place", torch.empty(0), persistent=False)

    def ask(self, key: int | str) -> nn.Module:
        """The module called ``key``."""
        if str(key) not in self:
            with weights_drawn_from(self.seed, f"{self.name}.{key}"):
                made = self.makers[str(key)]()
            self[str(key)] = made.to(self.place.device).train(self.training)  # type: ignore[arg-type]
        return self[str(key)]

    def keep(self, keys: Sequence[int | str]) -> None:
        """Forget all modules but these."""
        for key in set(self) - set(map(str, keys)):
            del self[key]

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        keys = {name.removeprefix(prefix).partition(".")[0] for name in state_dict if name.startswith(prefix)}
        self.keep(sorted(keys & set(self.makers)))
        for key in sorted(keys & set(self.makers)):
            self.ask(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


class weights_drawn_from:  # noqa: N801 - reads as a statement
    """Within it, torch's random numbers on the CPU follow from a seed and a name; outside they are as before."""

    def __init__(self, seed: int, name: str):
        self.number = zlib.crc32(f"{seed}:{name}".encode())

    def __enter__(self) -> None:
        self.before = torch.random.get_rng_state()
        torch.random.default_generator.manual_seed(self.number)

    def __exit__(self, *_: object) -> None:
        torch.random.set_rng_state(self.before)


class Supernet(nn.Module, ABC):
    """A stem and blocks of layers, of which each layer runs one of its ops.

    Attributes:
        num_blocks: blocks that are searched.
    """

    num_blocks: int
    blocks: nn.ModuleList

    def layers_of(self, block: int) -> list[Any]:
        """The layers of a block, in the order in which they run."""
        return list(self.blocks[block])  # type: ignore[call-overload]

    @abstractmethod
    def candidates(self, block: int, best_paths: Sequence[Path]) -> list[Path]:
        """Every path of a block, given the best ones of the blocks before it."""

    @abstractmethod
    def sample(self, block: int, best_paths: Sequence[Path], count: int, draw: torch.Generator) -> list[Path]:
        """Paths for one step of training."""

    @abstractmethod
    def run_block(self, x: Tensor, block: int, path: Path, best_paths: Sequence[Path]) -> Tensor:
        """What ``block`` makes of its input along ``path``: block 0 takes images, the others the map before them."""

    @abstractmethod
    def projected(self, block: int) -> tuple[int, Reducers]:
        """Channels that a projector behind ``block`` works on, and what brings maps of other channels to them."""

    def prefix(self, x: Tensor, best_paths: Sequence[Path]) -> Tensor:
        """Images through all finished blocks along their best paths."""
        for block, path in enumerate(best_paths):
            x = self.run_block(x, block, path, best_paths[:block])
        return x

    def prepare(self, block: int, paths: Sequence[Path], best_paths: Sequence[Path]) -> None:
        """Make the ops of these paths; nothing to do where all exist from the start."""

    def keep_path(self, block: int, path: Path) -> None:
        """Forget the ops of a finished block that are not on its path; nothing to do where ops share weights."""


def conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution without bias, padded by half its kernel, and norm."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out_channels)]
