"""Randomness that is independent of interruptions of a run.

The augmentation of a sample depends only on (seed, epoch, index, turn), not on the worker or on earlier samples. The
batch sampler sends the epoch with the index through the worker to the data set, so persistent and spawned workers need
no message. Index streams have separate random states and do not change those of the model.
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

from visionzoo.engine.workers import WorkerError, in_worker

# Batches of indices per chunk. Switching random states costs 0.1 ms per chunk.
_CHUNK = 32


class SampleKey(NamedTuple):
    """Key of a sample that the sampler passes to the data set.

    ``turn`` is the number of earlier draws of ``sample`` in this epoch. Infinite streams and samplers with replacement
    repeat an image and must not repeat its augmentation.
    """

    sample: Hashable
    epoch: int
    turn: int


@dataclass
class RandomStates:
    """States of the generators of Python, NumPy, torch and, on CUDA and MPS, the device."""

    python: tuple
    numpy: tuple
    cpu: Tensor
    device: Tensor | None = None

    @classmethod
    def now(cls, device: torch.device | None = None) -> RandomStates:
        """Return the current states."""
        state = _device_generator(device).get_rng_state(device) if _has_generator(device) else None
        return cls(random.getstate(), tuple(np.random.get_state(legacy=True)), torch.get_rng_state(), state)

    def restore(self, device: torch.device | None = None) -> None:
        """Set the generators to these states."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        if self.device is not None and _has_generator(device):
            _device_generator(device).set_rng_state(self.device, device)

    def packed(self) -> dict[str, Any]:
        """Return the states as tensors, numbers and strings, which ``torch.load(weights_only=True)`` reads."""
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
        """Return the states from the result of :meth:`packed`."""
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
    """Random state of MPS, which has only one device and takes no device argument."""

    @staticmethod
    def get_rng_state(device: torch.device | None) -> Tensor:
        return torch.mps.get_rng_state()

    @staticmethod
    def set_rng_state(state: Tensor, device: torch.device | None) -> None:
        torch.mps.set_rng_state(state)


@contextmanager
def random_apart(*, device: torch.device | None = None) -> Iterator[None]:
    """Restore every random state at the end of the block, also after an error.

    Example:
        >>> seed_everything(0)
        >>> with random_apart():
        ...     inside = random.random()
        >>> random.random() == inside
        True
    """
    before = RandomStates.now(device)
    try:
        yield
    finally:
        before.restore(device)


def seed_everything(*numbers: int) -> None:
    """Seed the CPU generators of Python, NumPy and torch from integers, mixed with a seed sequence."""
    state = np.random.SeedSequence([number & 0xFFFFFFFF for number in numbers]).generate_state(4, np.uint32)
    random.seed(int(state[0]))
    np.random.seed(state[1])
    torch.default_generator.manual_seed((int(state[2]) << 32) | int(state[3]))


class SeededDataset:
    """Wrapper of a data set that seeds the random transforms of each sample.

    Attributes are read from and set on ``dataset``.

    Args:
        dataset: the wrapped data set.
        seed: an integer, mixed with epoch, turn and index of each sample.
    """

    _OWN = ("_dataset", "_seed")

    def __init__(self, dataset: Any, seed: int):
        self.__dict__.update(_dataset=dataset, _seed=seed)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, key: Any) -> Any:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: list[Any]) -> list[Any]:
        """Return the samples of a batch.

        In the main process the random states are saved and restored, once per batch because this costs 0.1 ms. A worker
        draws random numbers only here, so it need not restore them.
        """
        with nullcontext() if get_worker_info() else random_apart():
            loaded = in_worker(lambda: [self._loaded(key) for key in keys])
        return [loaded] if isinstance(loaded, WorkerError) else loaded

    def _loaded(self, key: Any) -> Any:
        return self._seeded(key) if isinstance(key, SampleKey) else self._dataset[key]

    def _seeded(self, key: SampleKey) -> Any:
        seed_everything(self._seed, key.epoch, key.turn, _number(key.sample))
        return self._dataset[key.sample]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in self._OWN:  # during unpickling, or for a protocol
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
        """The wrapped data set."""
        return self._dataset


def _number(index: Hashable) -> int:
    return index if isinstance(index, int) else zlib.crc32(repr(index).encode())


class SeededBatches:
    """Batches of :class:`SampleKey` from any batch sampler.

    The wrapped sampler reads its own data set and indices, so samplers that use the data (by aspect ratio, by class)
    work unchanged. ``start_at`` skips batches without loading samples.

    Args:
        batches: a batch sampler, or any iterable of lists of indices.
        seed: seed of the random states in which ``batches`` is iterated.

    Example:
        >>> batches = SeededBatches([[0, 1], [1, 2]], seed=0)
        >>> batches.start_at(epoch=3, batch=1)
        >>> [tuple(key) for key in next(iter(batches))]
        [(1, 3, 1), (2, 3, 0)]
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
        """Start the next iteration in ``epoch`` at its batch number ``batch`` (0 for the first)."""
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
        """Yield the wrapped batches, drawn in chunks with separate random states."""
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
        if isinstance(index, SampleKey):  # the sampler counts the turns over all processes
            return index._replace(epoch=epoch)
        turn = turns[index]
        turns[index] += 1
        return SampleKey(index, epoch, turn)


def first_indices(dataset: Sized, most: int) -> range:
    """Return the indices of the first ``most`` samples, or of all samples if there are fewer.

    Example:
        >>> first_indices([5, 6, 7], 2)
        range(0, 2)
    """
    return range(min(most, len(dataset)))
