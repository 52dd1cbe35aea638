"""Finding of suites by the names of their files."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

from visionzoo.errors import PluginError, require_known
from visionzoo.plugins import Package, merged, packages
from visionzoo.suites._base import Suite


def suite_names() -> list[str]:
    """Return the names of all suites, sorted, without importing them.

    Example:
        >>> "geo-shift" in suite_names()
        True
    """
    return sorted(_shown(stem) for stem in merged(_files, "suite"))


def suite_of(name: str) -> type[Suite]:
    """Return the class of a suite.

    Args:
        name: name of its file, with hyphens or underscores.

    Raises:
        UnknownName: no suite has this name.
        PluginError: its file does not hold exactly one suite.

    Example:
        >>> suite_of("geo-shift").__name__
        'GeoShift'
    """
    shown = _shown(name) if isinstance(name, str) else name
    require_known(shown, suite_names(), "suite")
    stem = shown.replace("-", "_")
    package = next(each for each in packages() if stem in _files(each))
    module = import_module(f"{package.name}.suites.{stem}")
    own = [
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, Suite) and each.__module__ == module.__name__
    ]
    if len(own) != 1:
        raise PluginError(
            module.__name__, expected="one class of Suite", found=f"{len(own)}", advice="keep one suite in a file"
        )
    return own[0]


def readme_of(name: str) -> Path:
    """Return the path of the README of a suite, ``suites/<name>.md`` beside its file."""
    stem = name.replace("-", "_")
    return next(_files(each)[stem] for each in packages() if stem in _files(each)).with_suffix(".md")


def _files(package: Package) -> dict[str, Path]:
    return package.files("suites", ".py")


def _shown(stem: str) -> str:
    return stem.replace("_", "-")
