"""Frozen parts of a model, which are not trained."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from typing import Any

from mmengine.hooks import Hook
from torch import nn

from visionzoo.engine.depths import layer_depths, stage_depths
from visionzoo.errors import ConfigError, nearest_name
from visionzoo.registry import HOOKS

# Names that every backbone has, whatever its modules are called.
_ALIAS = re.compile(r"backbone\.(?:(?P<stem>stem)|stages\.(?P<stage>\d+))(?:\.\*)?")


def freeze(model: nn.Module, patterns: str | Sequence[str]) -> list[str]:
    """Set ``requires_grad`` to False for every parameter whose name matches a pattern.

    Args:
        model: changed in place.
        patterns: names of parameters or of parts, with ``*``: ``backbone``, ``backbone.layer1.*``, ``*.bias``.
            ``backbone.stem`` and ``backbone.stages.0`` work for every backbone: a stage reaches from its first layer to
            the next stage, see :mod:`visionzoo.engine.depths`.

    Returns:
        Sorted names of the frozen parameters.

    Raises:
        ConfigError: a pattern matches nothing, or every parameter is frozen.

    Example:
        >>> freeze(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), ["0", "*.bias"])
        ['0.bias', '0.weight', '1.bias']
    """
    frozen: set[str] = set()
    for pattern in as_patterns(patterns):
        matched = matching(model, pattern)
        if not matched:
            raise ConfigError(
                "freeze",
                expected="a pattern that matches a parameter or a part",
                found=f"{pattern!r}",
                advice=f"{_nearest(model, pattern)}",
            )
        frozen |= matched
    _require_trained(model, frozen)
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    return sorted(frozen)


def as_patterns(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return the patterns of the setting ``freeze``, which may be one pattern.

    Example:
        >>> as_patterns("backbone"), as_patterns(["backbone", "neck"])
        (('backbone',), ('backbone', 'neck'))
    """
    return (given,) if isinstance(given, str) else tuple(given)


def _require_trained(model: nn.Module, frozen: Collection[str]) -> None:
    if not any(parameter.requires_grad and name not in frozen for name, parameter in model.named_parameters()):
        raise ConfigError(
            "freeze",
            expected="some parameters to train",
            found="every parameter frozen",
            advice="name fewer parts",
        )


def train_only(model: nn.Module, names: Collection[str]) -> None:
    """Set ``requires_grad`` to False for every parameter except ``names``, which are those of a linear probe.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> train_only(model, ["1.weight", "1.bias"])
        >>> trained_share(model)
        '4 of 13 parameters train'
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name in names)


def trained_share(model: nn.Module) -> str:
    """Return how many parameters of a model are trained, in words; see :func:`train_only`."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    trained, total = sum(size for size, is_trained in sizes if is_trained), sum(size for size, _ in sizes)
    return f"{trained:,} of {total:,} parameters train"


def matching(model: nn.Module, pattern: str) -> set[str]:
    """Return the names of the parameters that match a pattern of :func:`freeze`."""
    names = [name for name, _ in model.named_parameters()]
    matched = {name for name in names if _matches(name, pattern)}
    found = None if matched else _ALIAS.fullmatch(pattern)
    backbone = getattr(model, "backbone", None)
    if found is None or not isinstance(backbone, nn.Module):
        return matched
    depths, wanted = layer_depths(backbone), range(1)
    if found["stage"]:
        stages = stage_depths(backbone)
        wanted = stages[int(found["stage"])] if int(found["stage"]) < len(stages) else range(0)
    return {f"backbone.{name}" for name, depth in depths.items() if depth in wanted}


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _nearest(model: nn.Module, pattern: str) -> str:
    found, backbone = _ALIAS.fullmatch(pattern), getattr(model, "backbone", None)
    if found is not None and found["stage"] and isinstance(backbone, nn.Module):
        count = len(stage_depths(backbone))
        return f"the backbone has backbone.stages.0 to backbone.stages.{count - 1}" if count else "it has no stages"
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

    def __init__(self, patterns: str | Sequence[str]):
        self.patterns = as_patterns(patterns)
        self._norms: list[nn.Module] = []

    def before_train(self, runner: Any) -> None:
        frozen = {name for pattern in self.patterns for name in matching(runner.bare_model, pattern)}
        self._norms = [
            module
            for name, module in runner.bare_model.named_modules()
            if isinstance(module, nn.modules.batchnorm._NormBase)
            and (f"{name}.weight" in frozen or any(_matches(f"{name}.weight", each) for each in self.patterns))
        ]

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        for norm in self._norms:
            norm.training = False


@HOOKS.register_module()
class FrozenPartsHook(Hook):
    """Keep every part without trained parameters in evaluation mode during training: a linear probe.

    Norms use their running statistics, and dropout is off. The parts that hold a trained parameter stay in training
    mode, and so does the preprocessor of the data.
    """

    def __init__(self) -> None:
        self._parts: list[nn.Module] = []

    def before_train(self, runner: Any) -> None:
        model = runner.bare_model
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self._parts = [
            module
            for name, module in model.named_modules()
            if name
            and name.partition(".")[0] != "data_preprocessor"
            and not any(each.startswith(f"{name}.") for each in trained)
        ]

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        for part in self._parts:
            part.training = False
