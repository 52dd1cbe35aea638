"""State of a model and its optimizer, whole even when both lie in shards on several processes."""

from __future__ import annotations

from typing import Any

from torch import nn

from visionzoo.engine.checkpoints import on_cpu


def is_sharded(model: nn.Module) -> bool:
    """Whether ``fully_shard`` was applied."""
    from torch.distributed.tensor import DTensor

    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def model_state(model: nn.Module) -> dict[str, Any]:
    """All weights on the CPU. Every process has to ask; with shards only the first gets them."""
    if not is_sharded(model):
        return on_cpu(model.state_dict())
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    return get_model_state_dict(model, options=_options())


def optimizer_state(model: nn.Module, wrapper: Any) -> dict[str, Any]:
    """The optimizer wrapper's state on the CPU; the same rules."""
    if not is_sharded(model):
        return on_cpu(wrapper.state_dict())
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    state = get_optimizer_state_dict(model, wrapper.optimizer, options=_options())
    extra = {key: value for key, value in wrapper.state_dict().items() if key not in ("state", "param_groups")}
    return {"sharded": state, **on_cpu(extra)}


def load_model_state(model: nn.Module, state: dict[str, Any]) -> None:
    if not is_sharded(model):
        model.load_state_dict(state, strict=True)
        return
    from torch.distributed.checkpoint.state_dict import set_model_state_dict

    set_model_state_dict(model, dict(state), options=_options())


def load_optimizer_state(model: nn.Module, wrapper: Any, state: dict[str, Any]) -> None:
    if not is_sharded(model):
        wrapper.load_state_dict(dict(state))
        return
    from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

    if "sharded" not in state:
        raise ValueError("it was saved without --strategy fsdp")
    set_optimizer_state_dict(model, wrapper.optimizer, state["sharded"], options=_options())


def _options() -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=True)
