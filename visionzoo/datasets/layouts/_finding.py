"""Search for layouts: one module each, found by its file."""

from __future__ import annotations

from importlib import import_module

from visionzoo.datasets.layouts._base import Layout
from visionzoo.plugins import Package, merged


def layouts() -> dict[str, Layout]:
    """Return the layouts of visionzoo and its plugins by name, which is the name of the module.

    Raises:
        PluginError: two packages have a layout of the same name.

    Example:
        >>> layouts()["voc"].label
        'Pascal VOC'
    """
    return {name: import_module(module).LAYOUT for name, module in merged(_modules_of, "layout").items()}


def _modules_of(package: Package) -> dict[str, str]:
    return {stem: f"{package.name}.datasets.layouts.{stem}" for stem in package.files("datasets/layouts", ".py")}
