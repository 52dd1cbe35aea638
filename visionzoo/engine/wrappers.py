"""A model in several processes, on any device.

``ddp`` copies the model and averages gradients. ``fsdp`` shards parameters, gradients and
optimizer state (torch's ``fully_shard``); the model's class stays what it is.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import MMDistributedDataParallel
from torch import nn

from visionzoo.errors import ConfigError
from visionzoo.registry import MODEL_WRAPPERS

STRATEGIES = ("ddp", "fsdp")


@MODEL_WRAPPERS.register_module()
class DeviceDDP(MMDistributedDataParallel):
    """:class:`mmengine.model.MMDistributedDataParallel` for CUDA, where it is tied to its GPU, and for CPUs.

    Buffers are the first process's before every forward: then a checkpoint, which holds its
    buffers, is what all processes go on from.
    """

    def __init__(self, module: nn.Module, device: torch.device, **kwargs: Any):
        kwargs.setdefault("find_unused_parameters", False)
        super().__init__(
            module=module,
            device_ids=[device.index] if device.type == "cuda" else None,
            broadcast_buffers=True,
            **kwargs,
        )


def shard(model: nn.Module, device: torch.device) -> nn.Module:
    """Shard a model over all processes: backbone, neck and heads each in a unit of their own, the rest together.

    Raises:
        ConfigError: there is one process only.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from visionzoo.engine.distributed import world_size

    if world_size() < 2:
        raise ConfigError("--strategy fsdp: expected two processes or more, found one; start with torchrun, or use ddp")
    mesh = init_device_mesh(device.type, (world_size(),))
    fully_shard(model, mesh=mesh)
    return model
