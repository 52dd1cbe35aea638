"""What several processes tell each other; alone, nothing happens."""

from __future__ import annotations

import torch
from torch import Tensor, distributed

from visionzoo.system.distributed import world_size


def average_over_processes(x: Tensor) -> Tensor:
    """Put the mean of all processes' ``x`` in its place."""
    if world_size() > 1:
        distributed.all_reduce(x)
        x.div_(world_size())
    return x


def gathered(x: Tensor) -> Tensor:
    """All processes' ``x``, equal in size, one after the other along the first axis."""
    if world_size() == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(world_size())]
    distributed.all_gather(parts, x.contiguous())
    return torch.cat(parts)
