"""Packages of other people that add parts, configs, cards, tasks and drawn data sets to the zoo.

A package says that it is a plugin with one entry point in its ``pyproject.toml``::

    [project.entry-points."visionzoo.plugins"]
    toy = "toy_zoo"

Its folders mirror ours: ``toy_zoo/heads/``, ``toy_zoo/tasks/<task>.py``, ``toy_zoo/configs/<name>.py``,
``toy_zoo/model_cards/<name>.md``. Finding plugins imports none of them; the registries import them when a name is
first asked for.
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
        folder: where its files lie.
    """

    name: str
    folder: Path

    def modules(self, place: str) -> list[str]:
        """Dotted names of all modules at ``place``, ``heads`` or ``datasets.transforms``; imports nothing.

        A place is a folder, walked with its subfolders, or one module; one that does not exist has no modules.
        """
        path = self.folder.joinpath(*place.split("."))
        name = f"{self.name}.{place}"
        if path.is_dir():
            return [name, *_modules_below(path, name)]
        return [name] if path.with_suffix(".py").is_file() else []

    def files(self, folder: str, suffix: str) -> dict[str, Path]:
        """Files of one folder by stem, ``configs`` and ``.py``; names that begin with ``_`` are left out."""
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
    """visionzoo itself."""
    return Package(ZOO, _HOME)


def plugins() -> tuple[Package, ...]:
    """The installed plugins, sorted by name of their entry point; imports none of them.

    Raises:
        PluginError: an entry point names a package that is not there.
    """
    return _plugins_on(tuple(sys.path))


def packages() -> tuple[Package, ...]:
    """visionzoo, then the plugins."""
    return (zoo(), *plugins())


@cache
def _plugins_on(path: tuple[str, ...]) -> tuple[Package, ...]:
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    located = (_located(point) for point in points)
    return tuple({package.name: package for package in located}.values())


def _located(point: EntryPoint) -> Package:
    """The package of an entry point; a top-level package is found without being imported."""
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
    return point.dist.name if point.dist is not None else "what names it"


def import_plugins(places: Iterable[str] = ()) -> None:
    """Import every plugin, and its modules at ``places``, so that its parts are registered.

    Raises:
        PluginError: one cannot be imported; the message names the package and the cause.
    """
    places = tuple(places)
    for package in plugins():
        for module in [package.name, *(module for place in places for module in package.modules(place))]:
            import_of_plugin(package.name, module)


def import_of_plugin(package: str, module: str) -> object:
    """A plugin's module.

    Raises:
        PluginError: it cannot be imported; the message names the package and the cause.
    """
    try:
        return import_module(module)
    except Exception as error:  # the code of other people may fail in any way
        cause = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise PluginError(
            f"plugin {package!r}",
            expected=f"{module} to import",
            found=f"{type(error).__name__} ({cause})",
            advice="fix it or uninstall it",
        ) from error


def merged(files: Callable[[Package], dict[str, File]], what: str) -> dict[str, File]:
    """Files of all packages by name.

    Args:
        files: files of one package by name.
        what: what a file is, ``config``; for messages.

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
                    expected=f"a {what} with a name of its own",
                    found=f"{name!r}, which {owners[name].name} has as well ({path}, {together[name]})",
                    advice="rename one of them",
                )
            owners[name], together[name] = package, path
    return together


def shown_in_plugin(path: Path) -> str | None:
    """How messages call a plugin's file, ``toy_zoo/configs/x.py``; None for a file of nobody's plugin."""
    for package in plugins():
        if path.is_relative_to(package.folder):
            return f"{package.name}/{path.relative_to(package.folder).as_posix()}"
    return None
