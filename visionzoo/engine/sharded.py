"""Complete state of a model and its optimizer, also if both are sharded over several processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.engine.checkpoints import on_cpu
from visionzoo.option_names import option
from visionzoo.system.distributed import world_size


def is_sharded(model: nn.Module) -> bool:
    """Return True if ``fully_shard`` was applied to the model."""
    if world_size() == 1:
        return False
    from torch.distributed.fsdp import FSDPModule

    return isinstance(model, FSDPModule)


def model_state(model: nn.Module) -> dict[str, Any]:
    """Return all weights on the CPU.

    Every process must call this. If the model is sharded, only the first process receives the weights.
    """
    if not is_sharded(model):
        return on_cpu(model.state_dict())
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    return _settled(get_model_state_dict(model, options=_options()))


def optimizer_state(model: nn.Module, wrapper: Any) -> dict[str, Any]:
    """Return the state of the optimizer wrapper on the CPU, with the rules of :func:`model_state`."""
    if not is_sharded(model):
        return on_cpu(wrapper.state_dict())
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    state = get_optimizer_state_dict(model, wrapper.optimizer, options=_options())
    extra = {key: value for key, value in wrapper.state_dict().items() if key not in ("state", "param_groups")}
    return {"sharded": _settled(state), **on_cpu(extra)}


def _settled(value: Any) -> Any:
    """Copy tensors that an asynchronous gathering may still fill into ordinary tensors."""
    if isinstance(value, Tensor):
        settled = torch.empty(value.shape, dtype=value.dtype)
        settled.copy_(value.detach())  # not the result of copy_, which may be asynchronous again
        return settled
    if isinstance(value, Mapping):
        return {key: _settled(item) for key, item in value.items()}
    return [_settled(item) for item in value] if isinstance(value, list) else value


def load_model_state(model: nn.Module, state: dict[str, Any]) -> None:
    """Load the result of :func:`model_state` strictly."""
    if not is_sharded(model):
        model.load_state_dict(state, strict=True)
        return
    from torch.distributed.checkpoint.state_dict import set_model_state_dict

    set_model_state_dict(model, dict(state), options=_options())


def load_optimizer_state(model: nn.Module, wrapper: Any, state: dict[str, Any]) -> None:
    """Load the result of :func:`optimizer_state`.

    Raises:
        ValueError: the model is sharded and the state was saved without shards.
    """
    if not is_sharded(model):
        wrapper.load_state_dict(dict(state))
        return
    from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

    if "sharded" not in state:
        raise ValueError(f"it was saved without {option('strategy', 'fsdp')}")
    set_optimizer_state_dict(model, wrapper.optimizer, state["sharded"], options=_options())


def _options() -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=True)
