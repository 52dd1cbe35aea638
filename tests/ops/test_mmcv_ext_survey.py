"""Functions of mmcv's extension that configs of mmdet and mmseg reach: each is served or has an explanation.

Every model is built on the meta device. From the code of its modules (and of their
samplers, coders and assigners) calls are followed through mmcv, mmdet and mmseg down to
``ext_module.<function>``. This includes every call that a model could make on any device,
not only the calls of one forward on the CPU.
"""

from __future__ import annotations

import ast
import dis
import inspect
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from visionzoo.ops.mmcv_ext.table import MISSING, REACHED, SERVED

FOLLOWED = ("mmcv", "mmdet", "mmseg")
WEIGHTS = ("pretrained", "teacher_ckpt")  # read while building, from the network
FORGOTTEN = (*WEIGHTS, "init_cfg", "data_preprocessor", "num_classes")  # never affect which ops are used


def names_loaded_by_mmcv() -> set[str]:
    """Return every name that a module of mmcv.ops requests from its extension."""
    import mmcv

    names: set[str] = set()
    for file in (Path(mmcv.__file__).parent / "ops").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "load_ext":
                names |= set(ast.literal_eval(node.args[1]))
    return names


def shipped_configs(package: str) -> Iterator[tuple[str, Path]]:
    root = Path(str(import_module(package).__file__)).parent / ".mim" / "configs"
    for file in sorted(root.rglob("*.py")):
        if "_base_" not in file.parts:
            yield file.relative_to(root).as_posix(), file


def followed(value: object) -> bool:
    return str(getattr(value, "__module__", "")).partition(".")[0] in FOLLOWED


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@cache
def reach(thing: Callable | type) -> frozenset[str]:
    """Return extension functions that the code of a function, or of all methods of a class, can call."""
    kinds: set[str] = set()
    seen: set[object] = set()
    waiting: list[Any] = [thing]
    while waiting:
        here = inspect.unwrap(waiting.pop())
        here = getattr(here, "__self__", here) if inspect.isbuiltin(here) else here  # Function.apply -> Function
        if here in seen or not followed(here):
            continue
        seen.add(here)
        if isinstance(here, type):
            waiting += methods(here)
        elif isinstance(here, FunctionType):
            kinds |= called_of_extension(here)
            waiting += referred(here)
    return frozenset(kinds)


def methods(kind: type) -> list[FunctionType]:
    members = [member for base in kind.__mro__ if followed(base) for member in vars(base).values()]
    plain = [getattr(member, "__func__", getattr(member, "fget", member)) for member in members]
    return [inspect.unwrap(member) for member in plain if isinstance(member, FunctionType)]


def called_of_extension(function: FunctionType) -> set[str]:
    """Return ``f`` for every ``ext_module.f`` in the byte code."""
    called = set()
    for code in codes(function.__code__):
        steps = list(dis.get_instructions(code))
        called |= {after.argval for step, after in itertools.pairwise(steps) if step.argval == "ext_module"}
    return called


def referred(function: FunctionType) -> list[Any]:
    """Return functions and classes that a function names: globals, their attributes, and local imports."""
    names = {name for code in codes(function.__code__) for name in code.co_names}
    values = [function.__globals__[name] for name in names if name in function.__globals__]
    values += [sys.modules[name] for name in names if name in sys.modules and name.startswith(FOLLOWED)]
    modules = [value for value in values if isinstance(value, ModuleType) and value.__name__.startswith(FOLLOWED)]
    values += [getattr(module, name) for module in modules for name in names if hasattr(module, name)]
    return [value for value in values if callable(value) and hasattr(value, "__hash__")]


def parts(model: Any) -> Iterator[object]:
    """Yield the model's modules and the plain objects in them."""
    for module in model.modules():
        yield module
        for value in vars(module).values():
            for item in value if isinstance(value, (list, tuple)) else [value]:
                if followed(type(item)):
                    yield item


def nms_types(config: Any) -> set[str]:
    """Return the names under every ``nms`` key: ``batched_nms`` selects its function by name."""
    if isinstance(config, (list, tuple)):
        return {name for item in config for name in nms_types(item)}
    if not isinstance(config, dict):
        return set()
    nested = {name for value in config.values() for name in nms_types(value)}
    chosen = config.get("nms")
    return nested | {chosen.get("type", "nms")} if isinstance(chosen, dict) else nested


def types_named(config: Any) -> Iterator[Any]:
    if isinstance(config, (list, tuple)):
        for item in config:
            yield from types_named(item)
    elif isinstance(config, dict):
        yield config.get("type")
        for value in config.values():
            yield from types_named(value)


def without_forgotten(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: without_forgotten(value) for key, value in config.items() if key not in FORGOTTEN}
    return [without_forgotten(item) for item in config] if isinstance(config, (list, tuple)) else str(config)


def survey(package: str, pattern: str = "") -> tuple[Counter[str], dict[str, str]]:
    """Count the models that reach each function, and record why some could not be built.

    Configs whose models differ only in class counts and weights count once. For a model that cannot
    be built (a package that is not installed) the classes that its config names are followed instead.
    """
    registry = import_module(f"{package}.registry").MODELS
    import_module(f"{package}.utils").register_all_modules(init_default_scope=False)
    reached: Counter[str] = Counter()
    unbuilt: dict[str, str] = {}
    for name, model_config in different_models(package, pattern, unbuilt):
        try:
            kinds = {type(part) for part in parts(build_on_meta(package, registry, model_config))}
        except Exception as error:
            unbuilt[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            kinds = classes_named(registry, model_config)
        reached.update(reach_of_model(kinds, model_config))
    return reached, unbuilt


def different_models(package: str, pattern: str, unbuilt: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield name and model of every config that matches; configs that do not load go to ``unbuilt``."""
    from mmengine.config import Config

    done: set[str] = set()
    for name, file in shipped_configs(package):
        if not re.search(pattern, name):
            continue
        try:
            model_config = Config.fromfile(file).get("model")
        except (ImportError, OSError) as error:
            unbuilt[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            continue
        key = json.dumps(without_forgotten(model_config), sort_keys=True)
        if model_config is not None and key not in done:
            done.add(key)
            yield name, model_config


def build_on_meta(package: str, registry: Any, model_config: Any) -> Any:
    import torch
    from mmengine.registry import DefaultScope
    from torch.overrides import TorchFunctionMode

    class DepthsOnCPU(TorchFunctionMode):
        """Swin reads its drop path rates from a linspace; a meta tensor has no values."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **{**(kwargs or {}), **({"device": "cpu"} if func is torch.linspace else {})})

    without_weights = {**model_config, **{key: None for key in WEIGHTS if key in model_config}}
    with DefaultScope.overwrite_default_scope(package), torch.device("meta"), DepthsOnCPU():
        return registry.build(without_weights)


def classes_named(registry: Any, config: Any) -> set[type]:
    kinds = [registry.get(kind) if isinstance(kind, str) else kind for kind in types_named(config)]
    return {kind for kind in kinds if isinstance(kind, type)}


def reach_of_model(kinds: set[type], model_config: Any) -> set[str]:
    from mmcv import ops

    by_name = [getattr(ops, name) for name in nms_types(model_config)]
    return {name for thing in [*kinds, *by_name] for name in reach(thing)}


def test_table_names_all_that_mmcv_loads():
    assert set(SERVED) | set(MISSING) == names_loaded_by_mmcv()
    assert not set(SERVED) & set(MISSING)


def test_reached_functions_are_served_except_cuda_only_ones():
    left_out = {"line_nms_forward", "deform_roi_pool_forward", "deform_roi_pool_backward"}
    assert {name for name in REACHED if name not in SERVED and not name.startswith("sync_bn")} == left_out


@pytest.mark.parametrize(("package", "pattern"), [("mmdet", "^faster_rcnn/|^carafe/"), ("mmseg", "^psanet/")])
def test_survey_of_some_configs_finds_nothing_new(package: str, pattern: str):
    reached, unbuilt = survey(package, pattern)
    assert not unbuilt
    assert set(reached) <= set(REACHED)
    assert {"mmdet": "carafe_backward", "mmseg": "psamask_forward"}[package] in reached


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("column", [0, 1], ids=["mmdet", "mmseg"])
def test_survey_of_every_config(column: int, monkeypatch: pytest.MonkeyPatch):
    """Three minutes for mmdet. Models that need another package stay unbuilt and are followed by class."""

    def refuse(*args: object) -> None:
        raise OSError("the survey reads nothing from the network")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    reached, unbuilt = survey(("mmdet", "mmseg")[column])
    assert len(unbuilt) < 100, unbuilt
    assert set(reached) == {name for name, counts in REACHED.items() if counts[column]}
