"""Randomness that does not depend on when, where or how often a run was interrupted.

A sample's augmentation follows from (seed, epoch, index) alone: not from the worker that draws
it, nor from what was drawn before. The epoch is sent with the index, from the batch sampler
through the worker to the data set, so persistent and spawned workers need no message. Index
streams have random states of their own as well, so that they take nothing from the model's.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Sized
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

# Batches of indices that are drawn at once: switching random states costs 0.1 ms, which this divides.
_CHUNK = 32


class SampleKey(NamedTuple):
    """What the sampler asks the data set for.

    ``turn`` counts how often ``sample`` came before in this epoch: infinite streams and
    samplers with replacement repeat an image, and must not repeat its augmentation.
    """

    sample: Hashable
    epoch: int
    turn: int


@dataclass
class RandomStates:
    """States of Python's, NumPy's and torch's generators, and of the device's where it has its own."""

    python: tuple
    numpy: tuple
    cpu: Tensor
    device: Tensor | None = None

    @classmethod
    def now(cls, device: torch.device | None = None) -> RandomStates:
        state = _device_generator(device).get_rng_state(device) if _has_generator(device) else None
        return cls(random.getstate(), tuple(np.random.get_state(legacy=True)), torch.get_rng_state(), state)

    def restore(self, device: torch.device | None = None) -> None:
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        if self.device is not None and _has_generator(device):
            _device_generator(device).set_rng_state(self.device, device)

    def packed(self) -> dict[str, Any]:
        """Only tensors and numbers, which ``torch.load(weights_only=True)`` reads."""
        kind, keys, position, has_gauss, cached = self.numpy  # the legacy generator's five numbers
        version, numbers, gauss = self.python
        return {
            "python": {"version": version, "numbers": torch.tensor(numbers, dtype=torch.int64), "gauss": gauss},
            "numpy": {
                "kind": str(kind),
                "keys": torch.from_numpy(keys.astype(np.int64)),
                "position": int(position),
                "has_gauss": int(has_gauss),
                "cached": float(cached),
            },
            "cpu": self.cpu,
            "device": self.device,
        }

    @classmethod
    def unpacked(cls, packed: dict[str, Any]) -> RandomStates:
        python, numpy = packed["python"], packed["numpy"]
        return cls(
            (python["version"], tuple(python["numbers"].tolist()), python["gauss"]),
            (
                numpy["kind"],
                numpy["keys"].numpy().astype(np.uint32),
                numpy["position"],
                numpy["has_gauss"],
                numpy["cached"],
            ),
            packed["cpu"].cpu(),
            None if packed["device"] is None else packed["device"].cpu(),
        )


def _has_generator(device: torch.device | None) -> bool:
    return device is not None and device.type in ("cuda", "mps")


def _device_generator(device: torch.device | None) -> Any:
    return torch.cuda if device is not None and device.type == "cuda" else _Mps


class _Mps:
    """MPS has one device and takes no argument for it."""

    @staticmethod
    def get_rng_state(device: torch.device | None) -> Tensor:
        return torch.mps.get_rng_state()

    @staticmethod
    def set_rng_state(state: Tensor, device: torch.device | None) -> None:
        torch.mps.set_rng_state(state)


@contextmanager
def random_apart(*, device: torch.device | None = None) -> Iterator[None]:
    """Put every random state back afterwards, whatever happens inside."""
    before = RandomStates.now(device)
    try:
        yield
    finally:
        before.restore(device)


def seed_everything(*numbers: int) -> None:
    """Seed Python, NumPy and torch on the CPU from a few whole numbers, well mixed."""
    state = np.random.SeedSequence([number & 0xFFFFFFFF for number in numbers]).generate_state(4, np.uint32)
    random.seed(int(state[0]))
    np.random.seed(state[1])
    torch.default_generator.manual_seed((int(state[2]) << 32) | int(state[3]))


class SeededDataset:
    """A data set whose random transforms are seeded for each sample.

    It stands for ``dataset``: attributes are read from it and set on it.
    """

    _OWN = ("_dataset", "_seed")

    def __init__(self, dataset: Any, seed: int):
        self.__dict__.update(_dataset=dataset, _seed=seed)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, key: Any) -> Any:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: list[Any]) -> list[Any]:
        """A batch at once: keeping the random states of the process costs 0.1 ms, which a batch shares.

        A worker has nothing to keep: whatever it draws, it draws here.
        """
        with nullcontext() if get_worker_info() else random_apart():
            return [self._seeded(key) if isinstance(key, SampleKey) else self._dataset[key] for key in keys]

    def _seeded(self, key: SampleKey) -> Any:
        seed_everything(self._seed, key.epoch, key.turn, _number(key.sample))
        return self._dataset[key.sample]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in self._OWN:  # while unpickled, or asked for a protocol
            raise AttributeError(name)
        return getattr(self.__dict__["_dataset"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._OWN:
            self.__dict__[name] = value
        else:
            setattr(self._dataset, name, value)

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def unseeded(self) -> Any:
        """The data set inside."""
        return self._dataset


def _number(index: Hashable) -> int:
    return index if isinstance(index, int) else zlib.crc32(repr(index).encode())


class SeededBatches:
    """Batches of :class:`SampleKey`, around any batch sampler.

    The sampler inside sees its own data set and its own indices, so samplers that look at the
    data (by aspect ratio, by class) work as they are. ``start_at`` fast-forwards without
    loading anything.
    """

    def __init__(self, batches: Any, seed: int):
        self.batches = batches
        self.seed = seed
        self.epoch = 0
        self._skip = 0

    @property
    def sampler(self) -> Any:
        return getattr(self.batches, "sampler", self.batches)

    @property
    def batch_size(self) -> int | None:
        return getattr(self.batches, "batch_size", None)

    def __len__(self) -> int:
        return len(self.batches)

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Have the next iteration be that of ``epoch``, from its ``batch`` on."""
        self.epoch, self._skip = epoch, batch
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, skip, turns = self.epoch, self._skip, Counter[Hashable]()
        self._skip = 0
        for number, batch in enumerate(self._drawn(epoch)):
            keys = [self._key(index, epoch, turns) for index in batch]
            if number >= skip:
                yield keys

    def _drawn(self, epoch: int) -> Iterator[list[Hashable]]:
        """The inner batches, drawn in chunks with random states of their own."""
        waiting: deque[list[Hashable]] = deque()
        stream: Iterator | None = None
        states: RandomStates | None = None
        while True:
            with random_apart():
                if stream is None or states is None:
                    seed_everything(self.seed, epoch, 0x5A)
                    stream = iter(self.batches)
                else:
                    states.restore()
                for batch in stream:
                    waiting.append(list(batch))
                    if len(waiting) == _CHUNK:
                        break
                states = RandomStates.now()
            if not waiting:
                return
            while waiting:
                yield waiting.popleft()

    @staticmethod
    def _key(index: Hashable, epoch: int, turns: Counter[Hashable]) -> SampleKey:
        if isinstance(index, SampleKey):  # the sampler counts turns itself, over all processes
            return index._replace(epoch=epoch)
        turn = turns[index]
        turns[index] += 1
        return SampleKey(index, epoch, turn)


def first_indices(dataset: Sized, most: int) -> range:
    """Indices of the first ``most`` samples, or of all when there are fewer."""
    return range(min(most, len(dataset)))
