"""Synthetic twins of real data sets, drawn on demand into a cache folder.

A twin has the layout and format of its data set on disk, so the same loader reads both. Its address determines its
content: equal addresses return equal data::

    tiny://coco?train=16&val=8&seed=0

The folder in the cache is named after the options, the version of the twin, and the text of the modules that draw.
Drawings of an earlier text are not read.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from visionzoo.errors import ConfigError, nearest_or_known
from visionzoo.plugins import Package, merged
from visionzoo.system.cache import cache_root, make_folder

SCHEME = "tiny"

# A twin is a module with VERSION, DEFAULTS, LOWEST and draw(folder, **options), and has the name of the module; or it
# is one of several such objects in a module's dict TWINS. The text of a module decides, so that only modules with TWINS
# are imported.
_IS_TWIN = re.compile(r"^def draw\(", re.MULTILINE)
_HAS_TWINS = re.compile(r"^TWINS\b", re.MULTILINE)


def twin_modules() -> dict[str, str]:
    """Return the module of each twin by name, for visionzoo and its plugins.

    Raises:
        PluginError: two packages have a twin of the same name.

    Example:
        >>> twin_modules()["duts"]
        'visionzoo.datasets.tiny.saliency'
    """
    return merged(_twins_of, "tiny data set")


def _twins_of(package: Package) -> dict[str, str]:
    homes: dict[str, str] = {}
    for stem, path in package.files("datasets/tiny", ".py").items():
        text, module = path.read_text(encoding="utf-8"), f"{package.name}.datasets.tiny.{stem}"
        if _IS_TWIN.search(text):
            homes[stem] = module
        if _HAS_TWINS.search(text):
            homes |= dict.fromkeys(import_module(module).TWINS, module)
    return homes


def _twin(name: str, module: str) -> Any:
    home = import_module(module)
    return getattr(home, "TWINS", {}).get(name, home)


def resolve_data_root(data_root: str | os.PathLike[str]) -> Path:
    """Return the folder of ``data_root``; draw the twin of a ``tiny://`` address if it is not in the cache.

    Args:
        data_root: a folder, returned unchanged except that ``~`` is expanded, or ``tiny://NAME?option=number&...``.

    Raises:
        ConfigError: unknown scheme, twin or option, or a value that is not a number or is too small.
        OutputError: the cache folder cannot be written.

    Example:
        >>> folder = resolve_data_root("tiny://coco?train=1&val=1&size=64")
        >>> sorted(path.name for path in folder.iterdir())
        ['annotations', 'train2017', 'val2017']
    """
    address = os.fspath(data_root)
    scheme, separator, rest = address.partition("://")
    if not separator:
        return Path(address).expanduser()
    if scheme != SCHEME:
        raise ConfigError(f"data_root {address!r}: unknown scheme {scheme!r}; write a folder, or {SCHEME}://coco")
    name, _, query = rest.partition("?")
    homes = twin_modules()
    if name not in homes:
        raise ConfigError(
            f"data_root {address!r}: no tiny data set is called {name!r}; {nearest_or_known(name, homes)}"
        )
    twin = _twin(name, homes[name])
    options = _options(address, query, twin.DEFAULTS, twin.LOWEST)
    drawn_by = f"v{twin.VERSION}-{_text_digest(_module_folder(homes[name]))}"
    folder = cache_root() / "tiny" / _folder_name(name, drawn_by, options)
    if not folder.is_dir():
        make_folder(folder, lambda drawing: twin.draw(drawing, **options))
    return folder


def _options(address: str, query: str, defaults: dict[str, int], lowest: dict[str, int]) -> dict[str, int]:
    options = dict(defaults)
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        if key not in defaults:
            raise ConfigError(f"data_root {address!r}: no option is called {key!r}; {nearest_or_known(key, defaults)}")
        if not value.isdecimal() or int(value) < lowest[key]:
            raise ConfigError(
                f"data_root {address!r}",
                expected=f"{key} to be a whole number >= {lowest[key]}",
                found=f"{value!r}",
            )
        options[key] = int(value)
    return options


def _module_folder(module: str) -> Path:
    return Path(str(import_module(module).__file__)).parent


@functools.cache
def _text_digest(folder: Path) -> str:
    """Return eight hexadecimal digits for the text of all modules of a folder: a twin draws with its neighbours."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:8]


def _folder_name(name: str, drawn_by: str, options: dict[str, int]) -> str:
    return "-".join([name, drawn_by, *(f"{key}{value}" for key, value in options.items())])
