"""Mixed precision on any device. mmengine's wrapper starts on CUDA alone and asks a global which device that is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from visionzoo.errors import ConfigError
from visionzoo.registry import OPTIM_WRAPPERS

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@OPTIM_WRAPPERS.register_module()
class MixedPrecision(OptimWrapper):
    """Autocast in forward, and a gradient scaler where float16 needs one.

    Args:
        device: type of the device, ``cpu``, ``cuda`` or ``mps``.
        dtype: ``float16`` or ``bfloat16``; None means float16 on CUDA and MPS, bfloat16 on a CPU.
        loss_scale: ``dynamic``, a fixed number, or arguments of ``torch.amp.GradScaler``.
        **kwargs: optimizer, accumulative_counts, clip_grad; see :class:`mmengine.optim.OptimWrapper`.
    """

    def __init__(
        self, device: str = "cpu", dtype: str | None = None, loss_scale: str | float | dict = "dynamic", **kwargs: Any
    ):
        super().__init__(**kwargs)
        name = dtype or ("bfloat16" if device == "cpu" else "float16")
        if name not in _DTYPES:
            raise ConfigError(f"optim_wrapper.dtype: expected float16 or bfloat16, found {dtype!r}; use one of them")
        self.device, self.cast_dtype = device, _DTYPES[name]
        self.fixed_scale = float(loss_scale) if isinstance(loss_scale, (int, float)) else None
        self.loss_scaler = _build_scaler(device, loss_scale, enabled=name == "float16")

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        if self.clip_grad_kwargs:
            self.loss_scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update(self.fixed_scale)

    def state_dict(self) -> dict:
        return {**super().state_dict(), "loss_scaler": self.loss_scaler.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        state = dict(state_dict)
        scaler = state.pop("loss_scaler", None)
        if scaler:  # empty when it was saved without a scaler
            self.loss_scaler.load_state_dict(scaler)
        super().load_state_dict(state)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast(self.device, dtype=self.cast_dtype):
            yield


def _build_scaler(device: str, loss_scale: Any, *, enabled: bool) -> torch.amp.GradScaler:
    if isinstance(loss_scale, (int, float)):
        return torch.amp.GradScaler(device, init_scale=float(loss_scale), enabled=enabled)
    arguments = loss_scale if isinstance(loss_scale, dict) else {}
    return torch.amp.GradScaler(device, enabled=enabled, **arguments)
