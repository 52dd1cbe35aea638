"""Wrappers that distribute a model over several processes on any device.

``ddp`` copies the model and averages gradients. ``fsdp`` shards parameters, gradients and optimizer state (torch's
``fully_shard``) without a wrapper around the model.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from mmengine.model import MMDistributedDataParallel
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from visionzoo.errors import ConfigError
from visionzoo.registry import MODEL_WRAPPERS

STRATEGIES = ("ddp", "fsdp")

# Argument of DistributedDataParallel that shares buffers before every forward pass; torch renamed it.
_PARAMETERS = inspect.signature(DistributedDataParallel.__init__).parameters
_SHARE_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _PARAMETERS else "broadcast_buffers"


@MODEL_WRAPPERS.register_module()
class DeviceDDP(MMDistributedDataParallel):
    """:class:`mmengine.model.MMDistributedDataParallel` for CUDA, with one GPU per process, and for CPUs.

    Before every forward pass all processes receive the buffers of the first process. A checkpoint holds these buffers,
    so all processes resume from them.

    Args:
        module: the model, on ``device``.
        device: device of this process.
        **kwargs: see :class:`mmengine.model.MMDistributedDataParallel`; ``find_unused_parameters`` is False by default.
    """

    def __init__(self, module: nn.Module, device: torch.device, **kwargs: Any):
        kwargs.setdefault("find_unused_parameters", False)
        super().__init__(
            module=module,
            device_ids=[device.index] if device.type == "cuda" else None,
            **{_SHARE_BUFFERS: True},
            **kwargs,
        )


def mark_as_used(parameters: Iterable[Tensor]) -> None:
    """Add 0 to the gradients of parameters, as a batch that uses them does.

    ``DistributedDataParallel`` with ``find_unused_parameters`` averages only gradients of parameters that a backward
    pass has used since the last synchronisation. Gradients that a resumed run restores come from no backward pass.

    Example:
        >>> parameter = nn.Parameter(torch.zeros(2))
        >>> parameter.grad = torch.ones(2)
        >>> mark_as_used([parameter])
        >>> parameter.grad
        tensor([1., 1.])
    """
    total = sum((parameter * 0).sum() for parameter in parameters)
    total.backward()  # type: ignore[union-attr]


def shard(model: nn.Module, device: torch.device) -> nn.Module:
    """Shard a model over all processes.

    torch cannot shard parameters without a dimension (mmcv's ``Scale``). Every process keeps them whole, and their
    gradients are averaged after each backward pass.

    Raises:
        ConfigError: the weighting of the losses reads gradients of the trunk.
    """
    weighting = getattr(model, "loss_weighting", None)
    if getattr(weighting, "USES_GRADIENTS", False):
        raise ConfigError(
            "model.loss_weighting",
            expected="a weighting without gradients of the trunk for sharded parameters",
            found=type(weighting).__name__,
            advice="use FixedWeights or UncertaintyWeighting, or env_cfg.dist_cfg.strategy='ddp'",
        )
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    scalars = {parameter for parameter in model.parameters() if parameter.dim() == 0}
    for scalar in scalars:
        if scalar.requires_grad:
            scalar.register_post_accumulate_grad_hook(_average)
    fully_shard(model, mesh=init_device_mesh(device.type, (dist.get_world_size(),)), ignored_params=scalars)
    return model


def _average(parameter: Tensor) -> None:
    """Average the accumulated gradient of ``parameter`` over all processes.

    The part that was averaged before is equal in all processes, so averaging it again does not change it.
    """
    if parameter.grad is not None:
        dist.all_reduce(parameter.grad)
        parameter.grad /= dist.get_world_size()


def adapt_to_shards(optim_wrapper: Any) -> None:
    """Prepare an optimizer wrapper to step and clip sharded and whole parameters together."""
    for group in optim_wrapper.optimizer.param_groups:
        group["foreach"] = False  # one fused call cannot combine both kinds
    if optim_wrapper.clip_grad_kwargs and optim_wrapper.grad_name == "grad_norm":
        optim_wrapper.clip_func = clip_norm


def clip_norm(parameters: Iterable[Tensor], max_norm: float, norm_type: float = 2.0) -> Tensor:
    """:func:`torch.nn.utils.clip_grad_norm_` for sharded and whole parameters together.

    Returns:
        The norm of all gradients before clipping, a tensor without dimensions.

    Example:
        >>> parameter = nn.Parameter(torch.zeros(2))
        >>> parameter.grad = torch.tensor([3.0, 4.0])
        >>> clip_norm([parameter], max_norm=1.0).item()
        5.0
    """
    from torch.distributed.tensor import DTensor

    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = [torch.linalg.vector_norm(gradient, norm_type) for gradient in gradients]
    whole = torch.stack([norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms])
    total = torch.linalg.vector_norm(whole, norm_type)
    factor = torch.clamp(max_norm / (total + 1e-6), max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.item())
    return total
