"""Samplers: orders in which samples are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from visionzoo.allowed import Index, Steps
from visionzoo.engine.seeding import SampleKey
from visionzoo.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class RepeatedAugmentation(Sampler):
    """Sampler that draws each sample several times in a row, with a different augmentation each time.

    The repetitions are distributed to the processes in turn (Hoffer et al., Augment Your Batch, CVPR 2020). As in DeiT
    (Touvron et al., ICML 2021), an epoch is as long as without repetition: with three repetitions it draws a third of
    the samples.

    Args:
        dataset: the data set to draw from.
        seed: seed of the order, the same in every process.
        repeats: repetitions of each drawn sample, >= 1.
        round_to: the length of an epoch over all processes is rounded down to a multiple of this. With 0, or if the
            data set is smaller, the length is that of the data set.
        shuffle: draw in a new order in each epoch.

    Example:
        >>> [key.sample for key in RepeatedAugmentation(range(6), repeats=3, round_to=0, shuffle=False)]
        [0, 0, 0, 1, 1, 1]
    """

    def __init__(
        self, dataset: Sized, seed: Index = 0, repeats: Steps = 3, round_to: Index = 256, shuffle: bool = True
    ):
        self.dataset, self.seed, self.repeats, self.shuffle = dataset, seed, repeats, shuffle
        self.rank, self.world_size = get_dist_info()
        self.epoch = 0
        count = len(dataset)
        whole = count // round_to * round_to if round_to else 0
        self.length = math.floor((whole or count) / self.world_size)

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order the next iteration draws."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[SampleKey]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        count = len(self.dataset)
        order = torch.randperm(count, generator=generator).tolist() if self.shuffle else list(range(count))
        for number in range(self.length):
            place = (number * self.world_size + self.rank) % (count * self.repeats)
            yield SampleKey(order[place // self.repeats], self.epoch, place % self.repeats)


@DATA_SAMPLERS.register_module()
class BlockSampler(Sampler):
    """Sampler that shuffles blocks of consecutive samples and keeps the order within each block.

    The data set ``CoSaliencyPairs`` has blocks with one pair of each source. With this sampler, every accumulated step
    still contains one pair of each. Processes draw whole blocks in turn, and all draw the same number of blocks.

    Args:
        dataset: the data set to draw from.
        seed: seed of the order, the same in every process.
        block: samples per block; by default ``dataset.block``, or 1.
        shuffle: draw the blocks in a new order in each epoch.

    Example:
        >>> list(BlockSampler(range(5), block=2, shuffle=False))
        [0, 1, 2, 3, 4]
    """

    def __init__(self, dataset: Sized, seed: Index = 0, block: Steps | None = None, shuffle: bool = True):
        self.seed, self.shuffle = seed, shuffle
        self.block: int = getattr(dataset, "block", 1) if block is None else block
        self.rank, self.world_size = get_dist_info()
        self.epoch = 0
        self.samples = len(dataset)
        self.blocks = math.ceil(self.samples / self.block)

    def __len__(self) -> int:
        return sum(1 for _ in self)  # the last block may be shorter

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order the next iteration draws."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(self.blocks, generator=generator).tolist() if self.shuffle else list(range(self.blocks))
        for number in range(math.ceil(self.blocks / self.world_size)):
            start = order[(number * self.world_size + self.rank) % self.blocks] * self.block
            yield from range(start, min(start + self.block, self.samples))
