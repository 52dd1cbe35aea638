"""Checks of a config that need more than one value: a pipeline, the order of a schedule, the stages of a backbone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from visionzoo.config.resolving import find_part
from visionzoo.config.signatures import arguments_of
from visionzoo.config.tree import join

_LIBRARIES = ("visionzoo.", "mmengine.", "mmcv.", "mmdet.", "mmseg.")
_PACKING = "a packing step, such as PackTaskInputs or mmdet.PackDetInputs"


def relation_problems(
    node: Mapping[str, Any], part: Callable[..., Any], path: str, at: str
) -> Iterator[tuple[str, str]]:
    """Yield path and message of each problem of a part's config that a single value does not show.

    Args:
        node: the config of the part.
        part: its class or function.
        path: its dotted path.
        at: its position, the path without list indices.
    """
    if at.endswith("_dataloader.dataset") or "_dataloader.dataset.dataset" in at:
        yield from _pipeline_problems(node, part, path)
    if at.startswith("param_scheduler"):
        yield from _schedule_problems(node, path)
    if at == "optim_wrapper" and isinstance(node.get("clip_grad"), Mapping):
        yield from _clip_problems(node["clip_grad"], join(path, "clip_grad"))
    if isinstance(node.get("mean"), (list, tuple)) and isinstance(node.get("std"), (list, tuple)):
        yield from _spread_problems(node, path)
    if "frozen_stages" in node:
        yield from _freezing_problems(node, part, path)


def _pipeline_problems(node: Mapping[str, Any], part: Callable[..., Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield a problem of a data set whose samples no step packs. Data sets of users may need no pipeline."""
    is_ours = getattr(getattr(part, "__getitem__", None), "__module__", "").startswith(_LIBRARIES)
    if not is_ours or not arguments_of(part).know("pipeline"):
        return
    steps = node.get("pipeline")
    if not steps:
        yield path, f"the data set has no pipeline; add pipeline=[...] that ends with {_PACKING}"
    elif path.endswith("_dataloader.dataset") and isinstance(steps, (list, tuple)) and not _packs(steps[-1]):
        yield join(path, "pipeline"), f"the last step does not pack the sample; end the pipeline with {_PACKING}"


def _packs(step: Any) -> bool:
    """Return True if a step packs samples, inside another step too, or is not of a library that is known here."""
    name = step.get("type") if isinstance(step, Mapping) else None
    if not isinstance(name, str) or "Pack" in repr(step):
        return True
    part = find_part(name, ("TRANSFORMS",))
    return part is None or not getattr(part, "__module__", "").startswith(_LIBRARIES)


def _schedule_problems(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    begin, end = node.get("begin", 0), node.get("end")
    if isinstance(begin, int) and isinstance(end, int) and end > 0 and end <= begin:
        yield join(path, "end"), f"expected more than begin={begin}, found {end}"


def _clip_problems(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    kind = node.get("type", "norm")
    needed = {"norm": "max_norm", "value": "clip_value"}.get(kind)
    if needed is None:
        yield join(path, "type"), f"expected 'norm' or 'value', found {kind!r}"
    elif needed not in node:
        yield path, f'clip_grad needs the key "{needed}"; add it, or set clip_grad=None'


def _spread_problems(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    mean, std = len(node["mean"]), len(node["std"])
    if mean != std:
        yield join(path, "std"), f"expected {mean} numbers, one for each of mean, found {std}"


def _freezing_problems(node: Mapping[str, Any], part: Callable[..., Any], path: str) -> Iterator[tuple[str, str]]:
    given, most = node["frozen_stages"], stages_of(node, part)
    if isinstance(given, int) and most is not None and given > most:
        yield join(path, "frozen_stages"), f"expected a whole number from -1 to {most}, found {given}"


def stages_of(node: Mapping[str, Any], part: Callable[..., Any]) -> int | None:
    """Return the number of stages of a backbone from its config, else from the defaults of its class, else None.

    Example:
        >>> stages_of({"num_stages": 3}, dict)
        3
    """
    defaults = {**_defaults(part), **node}
    if isinstance(count := defaults.get("num_stages"), int):
        return count
    depths = defaults.get("depths")
    return len(depths) if isinstance(depths, (list, tuple)) else None


def _defaults(part: Callable[..., Any]) -> dict[str, Any]:
    """Return the defaults of the arguments of a class and its bases; those of the class win."""
    found: dict[str, Any] = {}
    for cls in reversed(part.__mro__ if inspect.isclass(part) else ()):
        parameters = inspect.signature(vars(cls)["__init__"]).parameters.values() if "__init__" in vars(cls) else ()
        found |= {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    return found
