"""Converters: functions that convert the tensors of a released file to tensors of the zoo.

A converter is in the folder of the part that it converts for, ``heads/scnn/convert.py``. A decorator registers it::

    @CONVERTERS.register("scnn", use="model")
    def convert_model(checkpoint, *, input_size: Sequence[int] | None = None) -> dict[str, Tensor]: ...

Its keyword-only arguments are its options, on the command line ``--set input_size=288,800``. The argument ``file_name``
is not an option: it receives the name of the released file.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from visionzoo.errors import CheckpointError, ConfigError, ZooError, nearest_or_known, require_known
from visionzoo.registry import MODELS

if TYPE_CHECKING:
    from torch import Tensor, nn

# Results of converters, from the whole model to a part. A classifier is a backbone and the linear layer after it.
USES = ("classifier", "model", "detector", "backbone")
_REGISTERED = (*USES, "auxiliary", "input", "variants", "states")
# Exceptions of converters for tensors whose names belong to the system and whose shapes do not.
_UNFIT = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ZeroDivisionError)
_GIVEN = ("file_name",)

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class Converter:
    """All functions that convert the files of one system.

    Attributes:
        name: the system, ``scnn``.
        functions: by use, functions from the tensors of a file to those of the zoo. ``backbone``, ``detector`` and
            ``model`` return all tensors. ``classifier`` and ``auxiliary`` return the ``weight`` and ``bias`` of the
            layers after a backbone. ``input`` describes the images that the weights expect,
            ``{"mean": ..., "std": ..., "size": ...}``. ``variants`` returns the variant of a part whose tensors do not
            determine it, by the name of its class, ``{"DiNAT": "nat_mini"}``. ``states`` returns the tensors of a file
            that has several states, such as a text encoder beside the model.

    Example:
        >>> CONVERTERS.get("scnn").uses
        ['model', 'backbone']
    """

    name: str
    functions: dict[str, Callable[..., dict[str, Any]]] = field(default_factory=dict)

    @property
    def uses(self) -> list[str]:
        """The supported uses, the most complete first."""
        return [use for use in USES if use in self.functions]

    def parameters(self, use: str) -> dict[str, inspect.Parameter]:
        """Return the options of one use, with evaluated annotations.

        Raises:
            ConfigError: the converter does not support this use.
        """
        if use not in self.uses:
            known = ", ".join(sorted(self.uses))
            expected = f"one of {known} for this converter"
            raise ConfigError(f"--as {use}", expected=expected, found=use, advice="choose one")
        parts = ("backbone", "classifier", "auxiliary") if use == "classifier" else (use,)
        options: dict[str, inspect.Parameter] = {}
        for part in parts:
            if part in self.functions:
                options |= _options_of(self.functions[part])
        return options

    def convert(self, use: str, tensors: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the tensors of the zoo by name.

        Args:
            use: one of ``uses``.
            tensors: the tensors of the released file.
            options: values of the options that ``parameters`` returns, by name, and ``file_name``.

        Raises:
            CheckpointError: the tensors are not those of this system.
        """
        if use != "classifier":
            return self._call(use, tensors, options)
        ours = _prefixed("backbone.", self._call("backbone", tensors, options))
        ours |= _prefixed("head.fc.", self._call("classifier", tensors, options))
        return ours | _prefixed("auxiliary_head.0.classifier.", self._auxiliary(tensors, options))

    def states_of(self, checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the tensors of a file with several states by name, and every other file unchanged."""
        return self._call("states", checkpoint, {}) if "states" in self.functions else checkpoint

    def made_for(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts about the images that the weights expect. The dict is empty if they are unknown."""
        return self.functions["input"](tensors) if "input" in self.functions else {}

    def variants_of(self, tensors: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
        """Return the variants of parts that the tensors do not determine, by the name of the class."""
        return self._call("variants", tensors, options) if "variants" in self.functions else {}

    def _auxiliary(self, tensors: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Tensor]:
        if "auxiliary" not in self.functions:
            return {}
        try:
            return self._call("auxiliary", tensors, options)
        except CheckpointError:  # most released files hold none
            return {}

    def _call(self, part: str, tensors: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        function = self.functions[part]
        known = inspect.signature(function).parameters
        try:
            return function(tensors, **{name: value for name, value in options.items() if name in known})
        except ZooError:
            raise
        except _UNFIT as error:
            raise CheckpointError(
                "checkpoint",
                expected=f"tensors of {self.name}",
                found="some whose names or shapes do not belong together",
                advice="give a whole released file of this system",
            ) from error


class ConverterRegistry:
    """Converters of the zoo and of plugins, by name."""

    def __init__(self) -> None:
        self._converters: dict[str, Converter] = {}

    def register(self, *names: str, use: str = "model") -> Callable[[Function], Function]:
        """Return a decorator that registers a function as a converter.

        Args:
            names: systems whose files the function converts.
            use: the result, one of ``USES``, ``auxiliary``, ``input``, ``variants`` or ``states``.

        Raises:
            KeyError: another function has this name and use, or the use is unknown.
        """
        if use not in _REGISTERED:
            raise KeyError(f"converters: expected a use of {', '.join(_REGISTERED)}, found {use!r}")

        def add(function: Function) -> Function:
            for name in names:
                converter = self._converters.setdefault(name, Converter(name))
                if use in converter.functions:
                    raise KeyError(f"{name} ({use}) is already registered in {converter.functions[use].__module__}")
                converter.functions[use] = function
            return function

        return add

    def names(self) -> list[str]:
        """Return the names of all converters, sorted."""
        MODELS.import_parts()  # converters are registered with the parts
        return sorted(self._converters)

    def get(self, name: str) -> Converter:
        """Return the converter with this name.

        Raises:
            UnknownName: no converter has this name.
        """
        require_known(name, self.names(), "converter")
        return self._converters[name]


CONVERTERS = ConverterRegistry()


# --------------------------------------------------------------------------- what converters share


def tensors_of(checkpoint: Mapping[str, Any], wrappers: Sequence[str] = ("state_dict",)) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, without the prefix ``module.`` of parallel models.

    Args:
        checkpoint: content of the file: the tensors by name, or a mapping with such a mapping under a key.
        wrappers: keys of that inner mapping; the first key that exists is used.

    Raises:
        CheckpointError: two names differ only by the prefix.
    """
    from torch import Tensor

    inside = next((checkpoint[key] for key in wrappers if isinstance(checkpoint.get(key), Mapping)), checkpoint)
    tensors = {name: value for name, value in inside.items() if isinstance(value, Tensor)}
    stripped = {name.removeprefix("module."): value for name, value in tensors.items()}
    if len(stripped) < len(tensors):
        twice = next(name for name in tensors if f"module.{name}" in tensors)
        raise CheckpointError("checkpoint", expected=f"{twice} once", found=f"module.{twice} too", advice="remove one")
    return stripped


def require_names(
    names: Iterable[str], *, needed: Sequence[str], expected: str, advice: str, known: re.Pattern[str] | None = None
) -> None:
    """Raise an error unless the names of a file belong to the converted system.

    Args:
        names: names of the tensors in the file.
        needed: names that every file of the system has.
        expected: the system and some of its names, for the error.
        advice: advice of the error, such as the file to give instead.
        known: pattern for the beginning of every name; None accepts any name.

    Raises:
        CheckpointError: states the first name that is unknown, or else the first needed name that is missing.
    """
    there = list(names)
    strangers = [name for name in there if known is not None and not known.match(name)]
    lacking = [f"no {name}" for name in needed if name not in there]
    if strangers or lacking:
        raise CheckpointError("checkpoint", expected=expected, found=[*strangers, *lacking][0], advice=advice)


def require_same_tensors(
    weights: Mapping[str, Tensor], part: Callable[[], nn.Module], name: str, optional: str = r"$^"
) -> None:
    """Raise an error unless the weights have the names and shapes of a part. Counters of batch norm may be missing.

    Args:
        weights: converted weights by name.
        part: function that builds the part; no memory is allocated for its weights.
        name: name of the part, for the error.
        optional: pattern of names that may be missing.

    Raises:
        CheckpointError: states the first name that is unknown, missing or of another shape.
    """
    import torch

    with torch.device("meta"):
        own = {key: tuple(value.shape) for key, value in part().state_dict().items()}
    may_be_missing = re.compile(rf"{optional}|.*\.num_batches_tracked$")
    unknown = [key for key in weights if key not in own]
    missing = [f"no {key}" for key in own if key not in weights and not may_be_missing.match(key)]
    shapes = [
        f"{key} of shape {tuple(value.shape)} instead of {own[key]}"
        for key, value in weights.items()
        if key in own and tuple(value.shape) != own[key]
    ]
    if unknown or missing or shapes:
        raise CheckpointError(
            "checkpoint",
            expected=f"the tensors of {name}",
            found=[*unknown, *missing, *shapes][0],
            advice="give a whole released file of this network",
        )


def classifier_of(state: Mapping[str, Tensor], layer: str) -> dict[str, Tensor]:
    """Return ``weight`` and ``bias`` of the classifier named ``layer``; see :func:`require_classifier`."""
    prefix = f"{layer}."
    weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    require_classifier(weights, f"{layer}.weight, {layer}.bias")
    return weights


def require_classifier(found: Mapping[str, Tensor], names: str) -> None:
    """Raise an error unless a classifier consists of ``weight`` and ``bias``.

    Args:
        found: tensors of the classifier by name.
        names: names of the tensors in the file, for the error.

    Raises:
        CheckpointError: a tensor is missing, or there are other tensors.
    """
    if set(found) != {"weight", "bias"}:
        raise CheckpointError(
            "checkpoint",
            expected=f"a classifier ({names})",
            found=f"{sorted(found) or 'none'}",
            advice="give a checkpoint that was trained for classification",
        )


def stated_variant(variant: str | None, by_file: str | None, file_name: str | None, system: str = "") -> str | None:
    """Return the variant that the caller or the file's name states, or None if neither states one.

    Args:
        variant: stated by the caller.
        by_file: stated by the file's name.
        file_name: name of the checkpoint's file, for the error.
        system: prefix of the variant in the error, such as ``BossNet-``.

    Raises:
        CheckpointError: the two differ.
    """
    if variant and by_file and variant != by_file:
        raise CheckpointError(
            "checkpoint",
            expected=f"{system}{variant}",
            found=f"a file called {file_name}, of {by_file}",
            advice="give the variant of the file",
        )
    return variant or by_file


# --------------------------------------------------------------------------- options


def parse_options(said: Iterable[str], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Return the values of ``name=value`` texts. The annotation of the parameter determines the type of a value.

    Args:
        said: ``["input_size=288,800", "keep_norm=false"]``; the items of a sequence are separated by commas.
        parameters: keyword arguments by name, with evaluated annotations.

    Raises:
        ConfigError: a text has no ``=``, a name is not a parameter, or a value has another type.

    Example:
        >>> def convert(tensors, *, input_size: Sequence[int], keep_norm: bool = True): ...
        >>> parameters = inspect.signature(convert, eval_str=True).parameters
        >>> parse_options(["input_size=288,800", "keep_norm=false"], parameters)
        {'input_size': (288, 800), 'keep_norm': False}
    """
    values: dict[str, Any] = {}
    for text in said:
        name, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"--set {text}", expected="NAME=VALUE", found="no `=`", advice=f"write {text}=VALUE")
        if name not in parameters:
            raise ConfigError(
                f"--set {name}",
                expected="an option of this converter",
                found="none",
                advice=_advice(name, parameters),
            )
        values[name] = _value(text, value, parameters[name].annotation)
    return values


def _advice(name: str, parameters: Mapping[str, Any]) -> str:
    if not parameters:
        return "remove it, because this converter has no options"
    return nearest_or_known(name, parameters)


def _options_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    signature = inspect.signature(function, eval_str=True)
    kinds = (inspect.Parameter.KEYWORD_ONLY,)
    named = {name: each for name, each in signature.parameters.items() if each.kind in kinds}
    return {name: each for name, each in named.items() if name not in _GIVEN}


def _value(text: str, value: str, annotation: Any) -> Any:
    kinds = [kind for kind in _alternatives(annotation) if kind is not type(None)]
    if len(kinds) < len(_alternatives(annotation)) and value.lower() == "none":
        return None
    for kind in kinds:
        try:
            return _read(value, kind)
        except (ValueError, KeyError):
            continue
    names = " or ".join(_named(kind) for kind in kinds)
    raise ConfigError(f"--set {text}", expected=names, found=repr(value), advice="fix the value")


def _alternatives(annotation: Any) -> list[Any]:
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return list(typing.get_args(annotation)) if is_union else [annotation]


def _read(value: str, kind: Any) -> Any:
    origin = typing.get_origin(kind) or kind
    if origin is bool:
        return {"true": True, "false": False}[value.lower()]
    if origin in (int, float):
        return origin(value)
    if origin in (list, tuple, Sequence):
        item = next((each for each in typing.get_args(kind) if each is not Ellipsis), str)
        return tuple(_read(part.strip(), item) for part in value.split(","))
    return value


def _named(kind: Any) -> str:
    origin = typing.get_origin(kind) or kind
    if origin in (list, tuple, Sequence):
        item = next((each for each in typing.get_args(kind) if each is not Ellipsis), str)
        return f"{_named(item)}, separated by commas"
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(origin, "a string")


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}
