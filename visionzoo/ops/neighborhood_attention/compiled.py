"""The compiled library natten, if it is installed."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from visionzoo.errors import ConfigError
from visionzoo.ops.neighborhood_attention.rules import AxisRule


def by_natten(
    axes: int, q: Tensor, k: Tensor, v: Tensor, rules: Sequence[AxisRule], rpb: Tensor | None, scale: float
) -> Tensor:
    """Call the compiled library if it is installed. Its releases accept different arguments."""
    if find_spec("natten") is None:
        raise ConfigError(
            "implementation='natten'", expected="natten to be installed", found="none", advice="use 'auto'"
        )
    try:
        function = getattr(importlib.import_module("natten.functional"), f"na{axes}d")
    except (ImportError, AttributeError):
        function = getattr(importlib.import_module("natten"), f"na{axes}d")
    arguments: dict[str, tuple[Any, bool]] = {
        "kernel_size": (tuple(rule.kernel for rule in rules), True),
        "stride": (tuple(rule.stride for rule in rules), any(rule.stride > 1 for rule in rules)),
        "dilation": (tuple(rule.dilation for rule in rules), any(rule.dilation > 1 for rule in rules)),
        "is_causal": (tuple(rule.causal for rule in rules), any(rule.causal for rule in rules)),
        "rpb": (rpb, rpb is not None),
        "scale": (scale, True),
    }
    known = inspect.signature(function).parameters
    missing = [name for name, (_, is_needed) in arguments.items() if is_needed and name not in known]
    if missing:
        raise ConfigError(
            "implementation='natten'",
            expected=f"a natten whose na{axes}d takes {', '.join(missing)}",
            found="one without",
            advice="use 'auto'",
        )
    return function(q, k, v, **{name: value for name, (value, _) in arguments.items() if name in known})
