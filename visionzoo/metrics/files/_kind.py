"""A kind of files that `visionzoo eval` measures, and the look-up of kinds by name."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from visionzoo.errors import require_known
from visionzoo.plugins import merged, packages

_FOLDER = "metrics/files"


@dataclass(frozen=True)
class Measured:
    """Result of a measurement.

    Attributes:
        numbers: by name, such as ``pq/PQ``; the names are those of `visionzoo test`.
        tables: rows per class, by the name of their table.
        protocol: what the numbers depend on, in words.
        notes: sentences about the files that a reader of the numbers needs.
    """

    numbers: dict[str, float]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    protocol: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileKind:
    """How files of one kind are read and measured.

    Attributes:
        truth, prediction: the files of both sides, for the help of ``--gt`` and ``--pred``.
        measure: function of the paths of truth and prediction. Its keyword-only arguments are the options of the
            command: ``gt_masks`` is ``--gt-masks``. Their annotations are ``bool``, ``int``, ``float``, ``str``,
            ``Path``, ``Literal[...]`` or ``Sequence`` of one of these, optionally ``| None``.
        options: help of each option.
        examples: arguments of the command in two examples.
    """

    truth: str
    prediction: str
    measure: Callable[..., Measured]
    options: Mapping[str, str]
    examples: tuple[str, str]


def kind_names() -> list[str]:
    """Return the names of all kinds, sorted, without importing them.

    Raises:
        PluginError: two packages have a kind of the same name.

    Example:
        >>> "panoptic" in kind_names()
        True
    """
    return sorted(merged(_files, "kind of files"))


def kind_of(name: str) -> FileKind:
    """Return the kind called ``name``.

    Raises:
        UnknownName: no module of ``visionzoo/metrics/files``, and none of a plugin, has this name.

    Example:
        >>> sorted(kind_of("saliency").options)
        ['protocol']
    """
    modules = {each: f"{package.name}.metrics.files.{each}" for package in packages() for each in _files(package)}
    require_known(name, modules, "kind of files")
    return import_module(modules[name]).KIND


def about(name: str) -> str:
    """Return the first line of a kind's module, without importing it.

    Example:
        >>> about("panoptic")
        'Panoptic maps: PQ, SQ and RQ, and boundary PQ.'
    """
    path = merged(_files, "kind of files")[name]
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _files(package: Any) -> dict[str, Any]:
    return package.files(_FOLDER, ".py")
