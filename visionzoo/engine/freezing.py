"""Frozen parts of a model, which are not trained."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from mmengine.hooks import Hook
from torch import nn

from visionzoo.errors import ConfigError, nearest_name
from visionzoo.registry import HOOKS


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Set ``requires_grad`` to False for every parameter whose name matches a pattern.

    Args:
        model: changed in place.
        patterns: names of parameters or of parts, with ``*``: ``backbone``, ``backbone.layer1.*``, ``*.bias``.

    Returns:
        Sorted names of the frozen parameters.

    Raises:
        ConfigError: a pattern matches nothing, or every parameter is frozen.

    Example:
        >>> freeze(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), ["0", "*.bias"])
        ['0.bias', '0.weight', '1.bias']
    """
    names = dict(model.named_parameters())
    frozen: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if _matches(name, pattern)}
        if not matched:
            raise ConfigError(
                "freeze",
                expected="a pattern that matches a parameter or a part",
                found=f"{pattern!r}",
                advice=f"{_nearest(model, pattern)}",
            )
        frozen |= matched
    for name in frozen:
        names[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in names.values()):
        raise ConfigError(
            "freeze",
            expected="some parameters to train",
            found="every parameter frozen",
            advice="name fewer parts",
        )
    return sorted(frozen)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _nearest(model: nn.Module, pattern: str) -> str:
    known = [name for name, _ in model.named_modules() if name]
    nearest = nearest_name(pattern, known)
    tops = ", ".join(name for name, _ in model.named_children())
    return f"did you mean {nearest}?" if nearest else f"parts are {tops}"


@HOOKS.register_module()
class FrozenNormsHook(Hook):
    """Keep the running statistics of batch norms with a frozen weight constant during training.

    Args:
        patterns: the config's ``freeze``.
    """

    def __init__(self, patterns: Sequence[str]):
        self.patterns = tuple(patterns)
        self._norms: list[nn.Module] = []

    def before_train(self, runner: Any) -> None:
        self._norms = [
            module
            for name, module in runner.bare_model.named_modules()
            if isinstance(module, nn.modules.batchnorm._NormBase)
            and any(_matches(f"{name}.weight", pattern) for pattern in self.patterns)
        ]

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        for norm in self._norms:
            norm.training = False
