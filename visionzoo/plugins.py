"""Plugins: other packages that add parts, configs, cards, tasks and drawn data sets to the zoo.

A plugin has one entry point in its ``pyproject.toml``::

    [project.entry-points."visionzoo.plugins"]
    toy = "toy_zoo"

It has the same folders as visionzoo: ``toy_zoo/heads/``, ``toy_zoo/tasks/<task>.py``, ``toy_zoo/configs/<name>.py``,
``toy_zoo/model_cards/<name>.md``. Finding plugins does not import them. The registries import them when a name is first
looked up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from visionzoo.errors import PluginError

File = TypeVar("File")  # a path, or a module's name

GROUP = "visionzoo.plugins"
ZOO = "visionzoo"

_HOME = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Package:
    """A package that holds parts: visionzoo itself, or a plugin.

    Attributes:
        name: dotted name, ``toy_zoo``.
        folder: the folder of its files.

    Example:
        >>> zoo().modules("registry")
        ['visionzoo.registry']
        >>> "detection" in zoo().files("tasks", ".py")
        True
    """

    name: str
    folder: Path

    def modules(self, place: str) -> list[str]:
        """Return the dotted names of all modules at a place, without importing them.

        Args:
            place: a folder with its subfolders, or one module: ``heads``, ``datasets.transforms``. It may be missing.
        """
        path = self.folder.joinpath(*place.split("."))
        name = f"{self.name}.{place}"
        if path.is_dir():
            return [name, *_modules_below(path, name)]
        return [name] if path.with_suffix(".py").is_file() else []

    def files(self, folder: str, suffix: str) -> dict[str, Path]:
        """Return the files of one folder by stem, without names that begin with ``_``.

        Args:
            folder: relative to the package, ``configs``.
            suffix: suffix of the files, ``.py``.
        """
        paths = (self.folder / folder).glob(f"*{suffix}")
        return {path.stem: path for path in sorted(paths) if not path.stem.startswith("_")}


def _modules_below(folder: Path, name: str) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        if path.suffix == ".py" and not path.stem.startswith("__"):
            yield f"{name}.{path.stem}"
        if (path / "__init__.py").is_file():
            yield f"{name}.{path.name}"
            yield from _modules_below(path, f"{name}.{path.name}")


def zoo() -> Package:
    """Return the package visionzoo."""
    return Package(ZOO, _HOME)


def plugins() -> tuple[Package, ...]:
    """Return the installed plugins, sorted by the name of their entry point, without importing them.

    Raises:
        PluginError: the package of an entry point does not exist.
    """
    return _plugins_on(tuple(sys.path))


def packages() -> tuple[Package, ...]:
    """Return visionzoo, then the plugins.

    Example:
        >>> packages()[0].name
        'visionzoo'
    """
    return (zoo(), *plugins())


@cache
def _plugins_on(path: tuple[str, ...]) -> tuple[Package, ...]:
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    located = (_located(point) for point in points)
    return tuple({package.name: package for package in located}.values())


def _located(point: EntryPoint) -> Package:
    """Return the package of an entry point. A top-level package is found without importing it."""
    try:
        spec = find_spec(point.module)
    except (ImportError, ValueError):
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        raise PluginError(
            f"plugin {point.name!r}",
            expected=f"the package {point.module!r}",
            found="none of this name",
            advice=f"install it again, or uninstall {_distribution(point)}",
        )
    return Package(point.module, Path(folders[0]).resolve())


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "the package that names it"


def import_plugins(places: Iterable[str] = ()) -> None:
    """Import every plugin and its modules at ``places``, which registers their parts.

    Raises:
        PluginError: a plugin cannot be imported. The message names the package and the cause.
    """
    places = tuple(places)
    for package in plugins():
        for module in [package.name, *(module for place in places for module in package.modules(place))]:
            import_of_plugin(package.name, module)


def import_of_plugin(package: str, module: str) -> object:
    """Import a module of a plugin and return it.

    Raises:
        PluginError: the module cannot be imported. The message names the package and the cause.
    """
    try:
        return import_module(module)
    except Exception as error:  # a plugin may raise anything
        cause = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise PluginError(
            f"plugin {package!r}",
            expected=f"{module} to import",
            found=f"{type(error).__name__} ({cause})",
            advice="fix it or uninstall it",
        ) from error


def merged(files: Callable[[Package], dict[str, File]], what: str) -> dict[str, File]:
    """Return the files of all packages by name.

    Args:
        files: returns the files of one package by name.
        what: the word for a file in messages, ``config``.

    Raises:
        PluginError: two packages have a file of the same name.
    """
    owners: dict[str, Package] = {}
    together: dict[str, File] = {}
    for package in packages():
        for name, path in files(package).items():
            if name in owners:
                raise PluginError(
                    f"plugin {package.name!r}",
                    expected=f"a {what} with a unique name",
                    found=f"{name!r}, which {owners[name].name} has as well ({path}, {together[name]})",
                    advice="rename one of them",
                )
            owners[name], together[name] = package, path
    return together


def shown_in_plugin(path: Path) -> str | None:
    """Return the path of a plugin's file as messages print it, ``toy_zoo/configs/x.py``; None for other files."""
    for package in plugins():
        if path.is_relative_to(package.folder):
            return f"{package.name}/{path.relative_to(package.folder).as_posix()}"
    return None
