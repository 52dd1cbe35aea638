"""Order of the samples of a joint data set: batches of one task in turn, or batches that mix all tasks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from visionzoo.allowed import Index, Positive, Steps, fits
from visionzoo.engine.seeding import SampleKey
from visionzoo.errors import ConfigError, nearest_or_known, require_known
from visionzoo.registry import DATA_SAMPLERS

MODES = ("in_turn", "mixed", "in_order")


@DATA_SAMPLERS.register_module()
class JointSampler(Sampler):
    """Sampler of a :class:`~visionzoo.datasets.joint.JointDataset`.

    - ``in_turn``: each batch has samples of one task; the tasks alternate.
    - ``mixed``: each batch has samples of several tasks, of all tasks if it is large enough.
    - ``in_order``: each sample once, one task after the other, for validation and tests. The last batch of a task may
      be smaller, so that no batch has two tasks.

    With the modes for training, a task with weight 2 gets twice as many batches, or samples, as one with weight 1, at
    regular distances. Each task draws its samples in a random order without repetition, and begins a new random order
    after the last one. All batches have the full size. In several processes, batches of one step have the same tasks in
    every process and different samples; a sample occurs twice in an epoch only after all others of its task. The order
    depends only on the seed and the epoch, so a run resumes exactly.

    Args:
        dataset: the joint data set.
        seed: seed of the order, the same in every process.
        mode: ``in_turn``, ``mixed`` or ``in_order``.
        weights: sampling weight of each task, above 0; 1 for a task without a weight.
        length: samples of an epoch over all processes and tasks; None for the number of samples of all data sets.

    Raises:
        ConfigError: another mode, a weight for an unknown task, a weight of 0, or a data set of one task.

    Example:
        >>> from visionzoo.datasets.joint import JointDataset
        >>> joint = JointDataset(dict(lanes=[{}] * 4, counting=[{}] * 2))
        >>> sampler = JointSampler(joint, mode="in_turn", weights=dict(lanes=2))
        >>> [[joint.place_of(key.sample)[0] for key in batch] for batch in sampler.batches(2)]
        [['lanes', 'lanes'], ['counting', 'counting'], ['lanes', 'lanes']]
        >>> [[key.sample for key in batch] for batch in JointSampler(joint, mode="in_order").batches(3)]
        [[0, 1, 2], [3], [4, 5]]
    """

    def __init__(
        self,
        dataset: Any,
        seed: Index = 0,
        mode: str = "in_turn",
        weights: Mapping[str, Any] | None = None,
        length: Steps | None = None,
    ):
        require_known(mode, MODES, "mode of JointSampler")
        sizes = getattr(dataset, "sizes", None)
        if not isinstance(sizes, Mapping) or not hasattr(dataset, "indices_of"):
            raise ConfigError(
                "JointSampler",
                expected="a JointDataset",
                found=type(dataset).__name__,
                advice="use DefaultSampler, or dataset=dict(type='JointDataset', datasets=dict(...))",
            )
        self.dataset, self.seed, self.mode = dataset, seed, mode
        self.sizes: dict[str, int] = dict(sizes)
        self.weights = _weights(weights, list(self.sizes))
        self.rank, self.world_size = get_dist_info()
        self.length = sum(self.sizes.values()) if length is None else length
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.batches(1))

    def __iter__(self) -> Iterator[SampleKey]:
        for batch in self.batches(1):
            yield from batch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order the next iteration draws."""
        self.epoch = epoch

    def batches(self, batch_size: int, drop_last: bool = False) -> JointBatches:
        """Return the batches of this process.

        Args:
            batch_size: samples of a batch.
            drop_last: leave out what does not fill a batch; in the modes for training all batches are full, and this
                only rounds their number down.
        """
        return JointBatches(self, batch_size, drop_last)

    def tasks_in_turn(self) -> Iterator[str]:
        """Yield an infinite sequence of tasks, each with its weight, at regular distances.

        Each step adds the weights to the credits of the tasks; the task with the largest credit is next, and pays the
        sum of the weights.
        """
        credits = dict.fromkeys(self.sizes, 0.0)
        total = sum(self.weights.values())
        while True:
            for task, weight in self.weights.items():
                credits[task] += weight
            chosen = max(credits, key=lambda task: credits[task])
            credits[chosen] -= total
            yield chosen

    def key(self, task: str, number: int) -> SampleKey:
        """Return the sample that this process draws as its ``number``-th sample of a task in this epoch."""
        turn, place = divmod(number * self.world_size + self.rank, self.sizes[task])
        return SampleKey(self.dataset.indices_of(task)[self._order(task, turn)[place]], self.epoch, turn)

    def _order(self, task: str, turn: int) -> Sequence[int]:
        """Return the random order of the samples of a task in its ``turn``-th pass of this epoch."""
        now = (self.epoch, turn)
        known = self.__dict__.setdefault("_orders", {})
        if known.get(task, (None,))[0] != now:
            numbers = [self.seed & 0xFFFFFFFF, self.epoch, turn, list(self.sizes).index(task)]
            seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
            order = torch.randperm(self.sizes[task], generator=torch.Generator().manual_seed(seed))
            known[task] = (now, order.tolist())
        return known[task][1]


class JointBatches:
    """Batches of a :class:`JointSampler`, as a batch sampler of a loader.

    Attributes:
        sampler: the sampler.
        batch_size: samples of a batch.
    """

    def __init__(self, sampler: JointSampler, batch_size: int, drop_last: bool):
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    @property
    def round(self) -> int:
        """Number of batches after which every task has occurred."""
        if self.sampler.mode == "in_order":
            return len(self)
        missing = set(self.sampler.sizes)
        for number, tasks in enumerate(self._tasks(), start=1):
            missing -= set(tasks)
            if not missing:
                return number
        return len(self)

    def __len__(self) -> int:
        sampler, rounded = self.sampler, math.floor if self.drop_last else math.ceil
        if sampler.mode == "in_order":
            return sum(rounded(_share(size, sampler) / self.batch_size) for size in sampler.sizes.values())
        return rounded(sampler.length / (self.batch_size * sampler.world_size))

    def __iter__(self) -> Iterator[list[SampleKey]]:
        if self.sampler.mode == "in_order":
            yield from self._in_order()
            return
        drawn: Counter[str] = Counter()
        for tasks in self._tasks():
            batch = []
            for task in tasks:
                batch.append(self.sampler.key(task, drawn[task]))
                drawn[task] += 1
            yield batch

    def lacking(self) -> list[str]:
        """Return the tasks that some batch lacks, in the order of the data sets."""
        lacking: set[str] = set()
        for tasks in self._tasks():
            lacking |= set(self.sampler.sizes) - set(tasks)
        return [task for task in self.sampler.sizes if task in lacking]

    def _tasks(self) -> Iterator[list[str]]:
        """Yield the tasks of the samples of each batch."""
        stream = self.sampler.tasks_in_turn()
        for _ in range(len(self)):
            if self.sampler.mode == "in_turn":
                yield [next(stream)] * self.batch_size
            else:
                yield [next(stream) for _ in range(self.batch_size)]

    def _in_order(self) -> Iterator[list[SampleKey]]:
        """Yield each sample once. The first samples of a task are repeated so that all processes have equally many."""
        sampler = self.sampler
        for task, size in sampler.sizes.items():
            own = [(k * sampler.world_size + sampler.rank) % size for k in range(_share(size, sampler))]
            keys = [SampleKey(sampler.dataset.indices_of(task)[index], sampler.epoch, 0) for index in own]
            for start in range(0, len(keys), self.batch_size):
                batch = keys[start : start + self.batch_size]
                if len(batch) == self.batch_size or not self.drop_last:
                    yield batch


def _share(size: int, sampler: JointSampler) -> int:
    return math.ceil(size / sampler.world_size)


def _weights(given: Mapping[str, float] | None, tasks: Sequence[str]) -> dict[str, float]:
    for task, weight in (given or {}).items():
        if task not in tasks:
            raise ConfigError(
                "JointSampler.weights",
                expected="names of the tasks of the data set",
                found=f"{task!r}",
                advice=nearest_or_known(str(task), tasks),
            )
        if not fits(weight, Positive):
            raise ConfigError(
                f"JointSampler.weights.{task}",
                expected="a number above 0",
                found=f"{weight!r}",
                advice="remove the data set of a task that is not trained",
            )
    return {task: float((given or {}).get(task, 1.0)) for task in tasks}
