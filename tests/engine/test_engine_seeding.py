"""The randomness of a sample depends on its key, not on the time when it is drawn."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler, WeightedRandomSampler

from visionzoo.engine.seeding import (
    RandomStates,
    SampleKey,
    SeededBatches,
    SeededDataset,
    random_apart,
    seed_everything,
)


class Draws:
    """Every item holds one number of each of the three generators."""

    pipeline = "a"

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[int, float, float, float]:
        return index, random.random(), float(np.random.rand()), torch.rand(1).item()


def test_a_sample_depends_only_on_seed_epoch_turn_and_index() -> None:
    data = SeededDataset(Draws(), seed=3)
    first = data[SampleKey(2, 1, 0)]
    random.random(), np.random.rand(), torch.rand(7)
    assert data[SampleKey(2, 1, 0)] == first
    assert pickle.loads(pickle.dumps(data))[SampleKey(2, 1, 0)] == first
    others = [SeededDataset(Draws(), seed=4)[SampleKey(2, 1, 0)]]
    others += [data[key] for key in (SampleKey(2, 2, 0), SampleKey(2, 1, 1), SampleKey(3, 1, 0))]
    for other in others:
        assert all(a != b for a, b in zip(first[1:], other[1:]))


def test_drawing_samples_does_not_affect_the_process() -> None:
    seed_everything(1)
    expected = random.random(), np.random.rand(), torch.rand(1).item()
    seed_everything(1)
    SeededDataset(Draws(), seed=3).__getitems__([SampleKey(i, 0, 0) for i in range(4)])
    list(SeededBatches(BatchSampler(RandomSampler(Draws()), 2, False), seed=3))
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_attributes_reach_the_data_set_inside() -> None:
    inner = Draws()
    data = SeededDataset(inner, seed=0)
    data.pipeline = "b"
    assert inner.pipeline == data.pipeline == "b"
    assert data.unseeded is inner
    with pytest.raises(AttributeError):
        _ = data.absent


SAMPLERS = {
    "sequence": lambda: SequentialSampler(Draws()),
    "shuffled by the global generator": lambda: RandomSampler(Draws()),
    "with replacement": lambda: WeightedRandomSampler([1.0, 2.0, 1.0, 5.0, 1.0], 150),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_skipping_returns_the_rest_of_the_same_epoch(name: str) -> None:
    def batches(epoch: int, start: int = 0) -> list[list[SampleKey]]:
        torch.rand(3)  # earlier draws do not matter
        made = SeededBatches(BatchSampler(SAMPLERS[name](), 2, drop_last=False), seed=5)
        made.start_at(epoch, start)
        return list(made)

    whole = batches(4)
    assert batches(4) == whole
    for start in (0, 1, len(whole) - 1, len(whole)):
        assert batches(4, start) == whole[start:]
    keys = [key for batch in whole for key in batch]
    assert len(set(keys)) == len(keys)  # a repeated index has a different turn
    assert {key.epoch for key in keys} == {4}


def test_random_states_survive_being_packed() -> None:
    seed_everything(9)
    random.gauss(0, 1), np.random.randn()  # both generators store a second number
    states = RandomStates.now()

    def draw() -> tuple[float, ...]:
        return random.gauss(0, 1), random.random(), np.random.randn(), np.random.rand(), torch.rand(1).item()

    expected = draw()
    RandomStates.unpacked(states.packed()).restore()
    assert draw() == expected


def test_random_apart_restores_after_an_error() -> None:
    before = torch.get_rng_state()

    def fail() -> None:
        with random_apart():
            torch.rand(1)
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert torch.equal(torch.get_rng_state(), before)
