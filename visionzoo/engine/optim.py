"""Mixed precision on any device, and learning rates and weight decay by layer.

mmengine's wrapper for mixed precision requires an accelerator and reads the device type from a global function.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import Tensor, nn

from visionzoo.config.keys import ADDABLE
from visionzoo.engine.depths import model_depths
from visionzoo.errors import ConfigError, nearest_name, one_of
from visionzoo.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

# Keys of paramwise_cfg that LayerDecay reads itself; the others are those of mmengine's constructor.
_OWN_KEYS = ("layer_decay", "head_lr_mult", "not_decayed", "decay_all")
_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@OPTIM_WRAPPERS.register_module()
class MixedPrecision(OptimWrapper):
    """Optimizer wrapper with autocast in the forward pass and, for float16, a gradient scaler.

    Args:
        device: device type, ``cpu``, ``cuda`` or ``mps``.
        dtype: ``float16`` or ``bfloat16``; None means float16 on CUDA and MPS, bfloat16 on a CPU.
        loss_scale: ``dynamic``, a fixed number, or arguments of ``torch.amp.GradScaler``.
        **kwargs: optimizer, accumulative_counts, clip_grad; see :class:`mmengine.optim.OptimWrapper`.

    Raises:
        ConfigError: another ``dtype``, or another text as ``loss_scale``.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> wrapper = MixedPrecision(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
        >>> with wrapper.optim_context(model):
        ...     print(model(torch.zeros(1, 2)).dtype)
        torch.bfloat16
    """

    def __init__(
        self, device: str = "cpu", dtype: str | None = None, loss_scale: str | float | dict = "dynamic", **kwargs: Any
    ):
        super().__init__(**kwargs)
        name = dtype or ("bfloat16" if device == "cpu" else "float16")
        if name not in _DTYPES:
            raise ConfigError(
                "optim_wrapper.dtype", expected="float16 or bfloat16", found=f"{dtype!r}", advice="use one of them"
            )
        if isinstance(loss_scale, str) and loss_scale != "dynamic":
            raise ConfigError(
                "optim_wrapper.loss_scale", expected="'dynamic', a number or a dict", found=f"{loss_scale!r}"
            )
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
        if scaler:  # empty if the scaler was disabled when it was saved
            self.loss_scaler.load_state_dict(scaler)
        super().load_state_dict(state)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        bare = getattr(model, "module", model)
        if hasattr(bare, "loss_scale"):  # a weighting of several tasks computes gradients in the forward pass
            bare.loss_scale = self.loss_scaler.get_scale()
        with super().optim_context(model), torch.autocast(self.device, dtype=self.cast_dtype):
            yield


def _build_scaler(device: str, loss_scale: Any, *, enabled: bool) -> torch.amp.GradScaler:
    if isinstance(loss_scale, (int, float)):
        return torch.amp.GradScaler(device, init_scale=float(loss_scale), enabled=enabled)
    arguments = loss_scale if isinstance(loss_scale, dict) else {}
    return torch.amp.GradScaler(device, enabled=enabled, **arguments)


# --- learning rates and weight decay by layer ---

# Last parts of the names of tables and tokens that are not weights of a layer: no weight decay.
NOT_DECAYED = ("rpb", "relative_position_bias_table", "pos_embed", "absolute_pos_embed", "cls_token")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecay(DefaultOptimWrapperConstructor):
    """Weight decay only for weights, and learning rates that decrease from the head to the stem.

    In a config::

        optim_wrapper = dict(
            optimizer=dict(type="AdamW", lr=1e-3, weight_decay=0.05),
            constructor="LayerDecay",
            paramwise_cfg=dict(layer_decay=0.8),
        )

    A backbone has L layers (blocks, see :func:`visionzoo.engine.depths.layer_depths`). Its stem has depth 0, its layers
    have depths 1 to L, and everything outside the backbone (the head) has depth L + 1. The learning rate at depth l is
    ``lr * layer_decay ** (L + 1 - l)`` (Bao et al., BEiT, ICLR 2022, appendix). As in timm, biases, parameters with
    fewer than two dimensions (norms, layer scale) and parameters named in ``not_decayed`` have no weight decay.

    Args:
        optim_wrapper_cfg: the config's ``optim_wrapper`` without ``constructor`` and ``paramwise_cfg``.
        paramwise_cfg: ``layer_decay`` (default 1, one learning rate for all), ``head_lr_mult`` (factor of the learning
            rate outside the backbone, default 1), ``not_decayed`` (last parts of parameters' names), ``decay_all``
            (default False: weight decay for every parameter when True). The keys of mmengine's constructor
            (``custom_keys``, ``norm_decay_mult`` and others) have the same meaning as there; their factors multiply
            those of the layers.

    Raises:
        ConfigError: another key, or a ``layer_decay`` outside (0, 1].

    Example:
        >>> stage = nn.Linear(2, 2, bias=False)
        >>> model = nn.ModuleDict(dict(backbone=nn.Sequential(stage), head=nn.Linear(2, 1)))
        >>> constructor = LayerDecay(dict(optimizer=dict(type="SGD", lr=1.0)), dict(layer_decay=0.5))
        >>> groups = []
        >>> constructor.add_params(groups, model)
        >>> [group["lr"] for group in groups]
        [1.0, 1.0, 0.5]
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        super().__init__(dict(optim_wrapper_cfg), {"layer_decay": 1.0, **(paramwise_cfg or {})})

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        known = ADDABLE["optim_wrapper.paramwise_cfg"]
        for key in self.paramwise_cfg:
            if key not in known:
                near = nearest_name(key, known)
                answer = f"did you mean {near}?" if near else one_of(known)
                raise ConfigError(f"optim_wrapper.paramwise_cfg: LayerDecay has no key {key!r}; {answer}")
        decay = self.paramwise_cfg["layer_decay"]
        if not 0 < decay <= 1:
            raise ConfigError(
                "optim_wrapper.paramwise_cfg.layer_decay",
                expected="a number in (0, 1]",
                found=f"{decay}",
                advice="0.65 to 0.9 are usual",
            )

    def add_params(self, params: list[dict], module: nn.Module, **kwargs: Any) -> None:
        """Append one group for each depth and pair of learning rate and weight decay; the deepest one first."""
        depths, by_name = model_depths(module), self._settings_by_name(module)
        head = max(depths.values(), default=0)
        factors = {depth: self.paramwise_cfg["layer_decay"] ** (head - depth) for depth in range(head)}
        factors[head] = self.paramwise_cfg.get("head_lr_mult", 1.0)
        groups: dict[tuple[Any, ...], dict[str, Any]] = {}
        for name, parameter in module.named_parameters():
            settings, depth = dict(by_name.get(name, {})), depths[name]
            if self.base_lr is not None:
                settings["lr"] = settings.get("lr", self.base_lr) * factors[depth]
            has_decay = self._has_decay(name, parameter)
            if not has_decay:
                settings["weight_decay"] = 0.0
            key = (-depth, not has_decay, *sorted(settings.items()))
            groups.setdefault(key, {"params": [], **settings})["params"].append(parameter)
        params += [groups[key] for key in sorted(groups)]

    def _settings_by_name(self, module: nn.Module) -> dict[str, dict[str, Any]]:
        """Return learning rate and weight decay by parameter as mmengine's constructor sets them."""
        keys = {key: value for key, value in self.paramwise_cfg.items() if key not in _OWN_KEYS}
        if not keys:
            return {}
        wrapper_cfg = {**self.optim_wrapper_cfg, "optimizer": self.optimizer_cfg}
        usual: list[dict[str, Any]] = []
        DefaultOptimWrapperConstructor(wrapper_cfg, keys).add_params(usual, module)
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        settings: dict[str, dict[str, Any]] = {}
        for group in usual:
            found: dict[str, Any] = {key: group[key] for key in ("lr", "weight_decay") if key in group}
            settings |= {names[id(parameter)]: found for parameter in group["params"]}
        return settings

    def _has_decay(self, name: str, parameter: nn.Parameter) -> bool:
        if self.paramwise_cfg.get("decay_all"):
            return True
        last = name.rpartition(".")[2]
        return parameter.ndim > 1 and last != "bias" and last not in self.paramwise_cfg.get("not_decayed", NOT_DECAYED)
