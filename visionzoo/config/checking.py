"""Check a whole config before anything is built, and list every problem.

Each line contains the file of the value, its path, the problem and the advice, such as the closest valid name::

    configs/x.py: model.neck.out_chanels: RCNet has no argument "out_chanels"; did you mean out_channels? (accepts: ...)
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from visionzoo.config.image_size import declared_size_problems
from visionzoo.config.joint_checks import joint_problems, paths_by_task
from visionzoo.config.keys import TOP_LEVEL, UNTYPED
from visionzoo.config.loading import LoadedConfig
from visionzoo.config.parts import Part, parts_of, typed_parts
from visionzoo.config.positions import (
    DEFAULT_TYPES,
    OPS_KEYS,
    extra_at,
    has_own_words,
    holds_parts_by_name,
    injected_at,
    is_part,
    is_sized_by_owner,
    position,
    registries_at,
)
from visionzoo.config.ranges import range_problem
from visionzoo.config.relations import relation_problems
from visionzoo.config.resolving import find_anywhere, find_op, find_part, kind_of, name_answer
from visionzoo.config.signatures import Arguments, arguments_of
from visionzoo.config.task_metrics import metric_problems
from visionzoo.config.tree import Origins, join
from visionzoo.config.values import value_problem
from visionzoo.errors import ConfigError, nearest_name

if TYPE_CHECKING:
    from mmengine.config import Config

# Keys that mmengine's Runner requires together.
_TOGETHER = (
    ("train_dataloader", "train_cfg", "optim_wrapper"),
    ("val_dataloader", "val_cfg", "val_evaluator"),
    ("test_dataloader", "test_cfg", "test_evaluator"),
)

# Parts whose nested dicts are not checked, because another library builds them.
_OPAQUE = ("Albu", "Detectron2Wrapper")

_MOST_NAMES = 12

# For parts that accept any key: a key that is at least this similar to an argument is treated as misspelt.
_MISSPELT = 0.85


def require_valid(loaded: LoadedConfig, only: Sequence[str] = ()) -> None:
    """Check a config and raise one error that lists every problem.

    Args:
        loaded: the config.
        only: top-level keys to check; empty for the whole config. A model without data needs no task.

    Raises:
        ConfigError: the config has at least one problem.
    """
    problems = check_config(loaded, only)
    if problems:
        one = len(problems) == 1
        raise ConfigError(
            loaded.source,
            expected="a config that can be built",
            found="1 problem" if one else f"{len(problems)} problems",
            advice=f"fix {'it' if one else 'them'} and run again",
            problems=problems,
        )


def check_config(config: LoadedConfig | Config | Mapping[str, Any], only: Sequence[str] = ()) -> list[str]:
    """Return every problem of a config that is visible before it is built, one line each.

    Values that depend on other parts, such as channels, are checked when the model is built. The check imports the
    modules in ``custom_imports`` and the libraries of the types in the config.

    Args:
        config: a loaded config, or only its values. For a loaded config, each line begins with the file of the value.
        only: top-level keys to check; empty for the whole config.

    Example:
        >>> for problem in check_config({"task": "lanes", "worc_dir": "out"}):
        ...     print(problem.partition(";")[0])
        config: worc_dir: a config has no key "worc_dir"
        config: model: a config needs a model
    """
    values = config.cfg if isinstance(config, LoadedConfig) else config
    tree = values.to_dict() if hasattr(values, "to_dict") else dict(values)
    tree = {key: value for key, value in tree.items() if not only or key in only}
    origins, source = (config.origins, config.source) if isinstance(config, LoadedConfig) else (Origins(), "config")
    problems = [
        *_import_problems(tree),
        *_top_level_problems(tree),
        *_task_problems(tree),
        *_part_shape_problems(tree),
        *_value_problems(tree),
        *metric_problems(tree),
        *joint_problems(tree),
        *declared_size_problems(tree),
    ]
    shown = [problem for problem in problems if not only or problem[0].partition(".")[0] in only]
    return list(dict.fromkeys(f"{origins.of(path) or source}: {path}: {text}" for path, text in shown))


# A problem: the path of the wrong value, and the message.
Problem = tuple[str, str]


def import_custom_modules(cfg: Mapping[str, Any]) -> None:
    """Import the modules in ``custom_imports`` of a config. The import registers their parts.

    Raises:
        ConfigError: a module cannot be imported and ``allow_failed_imports`` is not set.
    """
    for path, text in _import_problems(cfg):
        raise ConfigError(f"{path}: {text}")


def _import_problems(cfg: Mapping[str, Any]) -> Iterator[Problem]:
    custom = cfg.get("custom_imports") or {}
    if not isinstance(custom, Mapping):
        yield "custom_imports", f"expected dict(imports=[...]), found {custom!r}"
        return
    names = custom.get("imports") or []
    for name in [names] if isinstance(names, str) else names:
        try:
            import_module(name)
        except ImportError as error:
            if not custom.get("allow_failed_imports"):
                advice = "check the name, the module's own imports and PYTHONPATH"
                yield "custom_imports.imports", f"{name!r} cannot be imported ({error}); {advice}"


def _top_level_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    for key in tree:
        if key not in TOP_LEVEL:
            yield key, f'a config has no key "{key}"; {_top_level_answer(key, tree)}'
    if not tree.get("model"):
        yield "model", "a config needs a model; add model = dict(type=...)"
    for group in _TOGETHER:
        given = [key for key in group if tree.get(key) is not None]
        if given and len(given) < len(group):
            absent = [key for key in group if key not in given]
            needed, present = " and ".join(absent), " and ".join(given)
            yield given[0], f"needs {needed} as well; add the missing keys or remove {present}"

    for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if isinstance(tree.get(key), Mapping) and not tree[key].get("dataset"):
            yield key, "needs a data set; add dataset=dict(type=...)"
    for key in ("val_evaluator", "test_evaluator"):
        if isinstance(tree.get(key), (list, tuple)) and not tree[key]:
            yield key, "needs a metric; add dict(type=...)"


def _top_level_answer(key: str, tree: Mapping[str, Any]) -> str:
    """Return advice for an unknown key; a key that belongs into a part of the config is shown there."""
    holders = [name for name, part in tree.items() if name in TOP_LEVEL and isinstance(part, Mapping) and key in part]
    if not holders:
        return _answer(key, TOP_LEVEL)
    return f"write {' or '.join(f'{name} = dict({key}=...)' for name in holders)}"


def _task_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of ``task``: the name of a task, or a list of names for a model with ``heads``."""
    from visionzoo.registry import task_names

    given = tree.get("task")
    if given is None or given in ([], ()):
        yield "task", f'a config needs a task; add task = "{task_names()[0]}" or another of {", ".join(task_names())}'
        return
    several = isinstance(given, (list, tuple))
    for name in given if several else [given]:
        if name not in task_names():
            yield "task", f"no task is called {name!r}; {_task_answer(str(name), task_names())}"
        elif several and name not in _heads_by_name(tree):
            yield "task", f"no head in model.heads is called {name}; add the head, or name one task"


def _task_answer(name: str, known: Iterable[str]) -> str:
    nearest = nearest_name(name, known)
    return f"did you mean {nearest}?" if nearest else f"choose one of {', '.join(known)}"


def _heads_by_name(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    model = tree.get("model")
    heads = model.get("heads") if isinstance(model, Mapping) else None
    return heads if isinstance(heads, Mapping) else {}


def _part_shape_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each part of the model whose form the class of the model does not accept.

    Forms are a dict with a type, a list of them, and a dict of them by name. Of two alternative arguments, such as
    ``head`` and ``heads``, exactly one must be given.
    """
    model, parts = _model_and_parts(tree)
    for key, part in parts.items():
        value, path = model.get(key), f"model.{key}"
        if isinstance(value, (list, tuple)) and not part.listed:
            one = f"{model['type']} takes one {part.kind}"
            advice = f"write {key}=dict(NAME=dict(type=...))" if part.named else one
            yield path, f"expected {_form(part)}, found a list; {advice}"
        elif part.named and isinstance(value, Mapping) and "type" in value:
            yield path, f"expected {_form(part)}, found a single {part.kind}; give it as {part.instead_of}"
        if part.instead_of and (value is None) == (model.get(part.instead_of) is None):
            found = "neither" if value is None else "both"
            yield "model", f"expected either {part.instead_of} or {key}, found {found}; give one of the two"


def _form(part: Part) -> str:
    return f"a dict of {part.kind}s by name" if part.named else "a dict with a type"


def _model_and_parts(tree: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Part]]:
    """Return the config of the model and the parts of the class of the model; both empty if the class is unknown."""
    model: Any = tree.get("model")
    name = model.get("type") if isinstance(model, Mapping) else None
    cls = find_part(name, registries_at("model")) if isinstance(name, str) else None
    return ({}, {}) if cls is None else (model, parts_of(cls))


def _typed_positions(tree: Mapping[str, Any]) -> frozenset[str]:
    """Return the positions of the parts that the class of the model declares, and of data sets and metrics by task."""
    model, parts = _model_and_parts(tree)
    listed = [typed_parts(model.get(key), part, f"model.{key}") for key, part in parts.items()]
    declared = [position(path) for paths in listed for path, _ in paths]
    return frozenset([*declared, *(position(path) for path in paths_by_task(tree))])


def _value_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    typed = _typed_positions(tree)
    for key, value in tree.items():
        if key in TOP_LEVEL:
            yield from _tree_problems(value, key, typed)


def _tree_problems(node: Any, path: str, typed: frozenset[str]) -> Iterator[Problem]:
    """Yield the problems of a value and of everything inside it.

    Args:
        typed: positions where the class of the model requires a type.
    """
    at = position(path)
    if problem := range_problem(path, node):
        yield path, problem
        return
    if isinstance(node, (list, tuple)):
        for index, item in enumerate(node):
            yield from _tree_problems(item, join(path, index), typed)
        return
    needs_type = (at in typed or is_part(at)) and not holds_parts_by_name(at, node)
    if needs_type and not isinstance(node, (dict, list, tuple)) and node is not None:
        yield path, f"expected a dict with a type, found {node!r}"
    if not isinstance(node, dict):
        return
    yield from _dict_problems(node, path, at, needs_type)
    if str(node.get("type")).rpartition(".")[2] not in _OPAQUE:
        for key, value in node.items():
            yield from _tree_problems(value, join(path, key), typed)


def _dict_problems(node: dict[Any, Any], path: str, at: str, needs_type: bool) -> Iterator[Problem]:
    if "_scope_" in node:
        yield (
            join(path, "_scope_"),
            "`_scope_` is not supported; write the scope in front of each type, as in mmdet.RetinaHead",
        )
    name = node.get("type", DEFAULT_TYPES.get(at))
    if name is None:
        yield from _untyped_problems(node, path, at, needs_type)
    elif not isinstance(name, str):
        yield join(path, "type"), f"expected a type's name as a string, found {name!r}"
    elif not has_own_words(at):
        yield from _part_problems(node, name, path, at)


def _untyped_problems(node: dict[Any, Any], path: str, at: str, needs_type: bool) -> Iterator[Problem]:
    if needs_type:
        nearest = nearest_name("type", [str(key) for key in node])
        answer = f"did you mean type instead of {nearest}?" if nearest else "add type=..."
        yield path, f"expected a dict with a type, found one without a type; {answer}"
    known = UNTYPED.get(at, ())
    for key, value in node.items():
        if known and key not in known:
            yield join(path, key), f'{path} has no key "{key}"; {_answer(str(key), known)}'
        elif problem := value_problem(join(path, key), value, None):
            yield join(path, key), problem


def _part_problems(node: dict[Any, Any], name: str, path: str, at: str) -> Iterator[Problem]:
    part, problem = _resolve(name, at)
    if part is None:
        yield join(path, "type"), problem
        return
    yield from _argument_problems(node, name.rpartition(".")[2], part, path, at)
    yield from relation_problems(node, part, path, at)


def _resolve(name: str, at: str) -> tuple[Callable[..., Any] | None, str]:
    """Return ``(class, "")`` for the name of a type that fits the position, or ``(None, problem)``."""
    registries = registries_at(at)
    if at.rpartition(".")[2] in OPS_KEYS:
        op = find_op(name)
        if op is not None:
            return op, ""
    part = find_part(name, registries) if registries else find_anywhere(name)
    if part is not None:
        return part, ""
    elsewhere = find_anywhere(name) if registries else None
    if elsewhere is not None:
        kind = kind_of(registries)
        part_of_kind = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
        return None, f"expected the name of {part_of_kind}, but {name!r} is not {part_of_kind}"
    return None, f"no {kind_of(registries)} is called {name!r}; {name_answer(name, registries)}"


def _argument_problems(
    node: dict[Any, Any], name: str, part: Callable[..., Any], path: str, at: str
) -> Iterator[Problem]:
    extra, arguments = extra_at(at), arguments_of(part)
    suggested: set[str] = set()
    for key, value in node.items():
        if key in ("type", "_scope_"):
            continue
        if key in extra:
            if problem := value_problem(join(path, key), value, None):
                yield join(path, key), problem
        elif _is_wrong(str(key), node, arguments):
            nearest = nearest_name(str(key), arguments.names)
            suggested |= {nearest} if nearest else set()
            yield join(path, key), f'{name} has no argument "{key}"; {_answer(str(key), arguments.names)}'
        elif at == "model" and key in parts_of(part):
            continue  # reported with the form of the part
        elif problem := value_problem(join(path, key), value, part):
            yield join(path, key), problem
    if not is_sized_by_owner(at):
        given = {*node, *injected_at(at), *suggested}
        for missing in (name for name in arguments.required if name not in given):
            yield path, f'{name} needs the argument "{missing}"; add it ({_accepts(arguments.names)})'


def _is_wrong(key: str, node: dict[Any, Any], arguments: Arguments) -> bool:
    """Return True if ``key`` is not an argument, or, for a part that accepts any key, looks like a misspelt one."""
    if not arguments.open or key in arguments.names:
        return not arguments.accept(key)
    near = difflib.get_close_matches(key, arguments.names, n=1, cutoff=_MISSPELT)
    return bool(near) and near[0] not in node


def _answer(name: str, known: Iterable[str]) -> str:
    nearest = nearest_name(name, known)
    return f"did you mean {nearest}? ({_accepts(known)})" if nearest else f"remove it ({_accepts(known)})"


def _accepts(known: Iterable[str]) -> str:
    names = list(known)
    rest = ", ..." if len(names) > _MOST_NAMES else ""
    return f"accepts: {', '.join(names[:_MOST_NAMES]) or 'no argument'}{rest}"
