"""Orders in which samples are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from visionzoo.engine.seeding import SampleKey
from visionzoo.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class RepeatedAugmentation(Sampler):
    """Each sample several times in a row, dealt out to the processes in turn, each time augmented differently.

    Hoffer et al., Augment Your Batch, CVPR 2020; as in DeiT (Touvron et al., ICML 2021), one epoch is only as long as
    without repetition: a third of the samples, three times each.

    Args:
        dataset: what is drawn from.
        seed: of the order; every process needs the same.
        repeats: how often each drawn sample comes.
        round_to: an epoch has a multiple of this many samples over all processes (the whole data set where it is
            smaller, or with 0).
        shuffle: draw in a new order in each epoch.
    """

    def __init__(self, dataset: Sized, seed: int = 0, repeats: int = 3, round_to: int = 256, shuffle: bool = True):
        self.dataset, self.seed, self.repeats, self.shuffle = dataset, seed, repeats, shuffle
        self.rank, self.world_size = get_dist_info()
        self.epoch = 0
        count = len(dataset)
        whole = count // round_to * round_to if round_to else 0
        self.length = math.floor((whole or count) / self.world_size)

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of ``epoch`` from now on."""
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
    """Blocks of samples that belong together, in a new order in each epoch; their samples stay in theirs.

    A data set that puts one pair of each source after another (``CoSaliencyPairs``) is shuffled so that every
    accumulated step still sees one of each. Processes take whole blocks in turn; all take as many.

    Args:
        dataset: what is drawn from.
        seed: of the order; every process needs the same.
        block: samples in a row that belong together; ``dataset.block`` by default.
        shuffle: draw in a new order in each epoch.
    """

    def __init__(self, dataset: Sized, seed: int = 0, block: int | None = None, shuffle: bool = True):
        self.seed, self.shuffle = seed, shuffle
        self.block: int = getattr(dataset, "block", 1) if block is None else block
        self.rank, self.world_size = get_dist_info()
        self.epoch = 0
        self.samples = len(dataset)
        self.blocks = math.ceil(self.samples / self.block)

    def __len__(self) -> int:
        return sum(1 for _ in self)  # the last block may be shorter

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of ``epoch`` from now on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(self.blocks, generator=generator).tolist() if self.shuffle else list(range(self.blocks))
        for number in range(math.ceil(self.blocks / self.world_size)):
            start = order[(number * self.world_size + self.rank) % self.blocks] * self.block
            yield from range(start, min(start + self.block, self.samples))
