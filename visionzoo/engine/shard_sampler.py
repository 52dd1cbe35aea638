"""Order of a data set in shards: almost sequential reading, and samples that are well mixed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from itertools import accumulate

import torch
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from visionzoo.allowed import Index, Steps
from visionzoo.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ShardSampler(Sampler):
    """Sampler that reads shards one after another and shuffles with a buffer, as WebDataset does.

    The shards are put in a new order in each epoch. Of all samples in this order, each process takes an equal and
    consecutive part, so that it opens few shards; the first samples follow the last ones if the parts do not fit. A
    buffer mixes the samples of a part: it is filled, and each next sample replaces one drawn at random. The workers of
    a process take its batches in turn. The order depends only on seed, epoch and number of processes.

    Args:
        dataset: the data set; one without ``shard_sizes`` is one shard.
        seed: seed of the order, the same in every process.
        buffer: samples in the buffer, >= 1. More samples than those of two shards mix well.
        shuffle: False for the order of the data set.

    Example:
        >>> list(ShardSampler(range(5), shuffle=False)), sorted(ShardSampler(range(5), seed=1, buffer=2))
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    """

    def __init__(self, dataset: Sized, seed: Index = 0, buffer: Steps = 1000, shuffle: bool = True):
        self.seed, self.buffer, self.shuffle = seed, buffer, shuffle
        self.sizes: tuple[int, ...] = getattr(dataset, "shard_sizes", None) or (len(dataset),)
        self.rank, self.world_size = get_dist_info()
        self.epoch = 0
        self.length = math.ceil(sum(self.sizes) / self.world_size)

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order the next iteration draws."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle:
            yield from self._part(list(range(len(self.sizes))))
            return
        of_all = torch.Generator().manual_seed(self.seed + self.epoch)
        shards = torch.randperm(len(self.sizes), generator=of_all).tolist()
        own = torch.Generator().manual_seed(int(torch.randint(2**62, (self.rank + 1,), generator=of_all)[-1]))
        yield from _shuffled(self._part(shards), self.buffer, own)

    def _part(self, shards: list[int]) -> Iterator[int]:
        """Yield the samples of this process, of shards in this order."""
        starts = [0, *accumulate(self.sizes)]
        ends = list(accumulate(self.sizes[shard] for shard in shards))
        first, count = self.rank * self.length, sum(self.sizes)
        place = 0
        for number in range(first, first + self.length):
            at = number % count
            if number == first or at == 0:
                place = next(index for index, end in enumerate(ends) if at < end)
            while at >= ends[place]:
                place += 1
            shard = shards[place]
            yield starts[shard] + at - (ends[place] - self.sizes[shard])


def _shuffled(samples: Iterator[int], size: int, generator: torch.Generator) -> Iterator[int]:
    buffer: list[int] = []
    for sample in samples:
        if len(buffer) < size:
            buffer.append(sample)
            continue
        place = int(torch.randint(size, (1,), generator=generator))
        yield buffer[place]
        buffer[place] = sample
    for place in torch.randperm(len(buffer), generator=generator).tolist():
        yield buffer[place]
