"""Communication between processes. With a single process, the functions change nothing."""

from __future__ import annotations

import torch
from torch import Tensor, distributed

from visionzoo.system.distributed import world_size


def average_over_processes(x: Tensor) -> Tensor:
    """Replace ``x`` by its mean over all processes, in place, and return it."""
    if world_size() > 1:
        distributed.all_reduce(x)
        x.div_(world_size())
    return x


def gathered(x: Tensor) -> Tensor:
    """Concatenate ``x`` of all processes along the first axis. Its shape must be equal in all processes."""
    if world_size() == 1:
        return x
    parts = [torch.empty_like(x) for _ in range(world_size())]
    distributed.all_gather(parts, x.contiguous())
    return torch.cat(parts)
