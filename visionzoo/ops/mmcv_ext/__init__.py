"""mmcv's compiled ops without a compiler: ``mmcv._ext`` implemented with torch and torchvision.

``import visionzoo`` calls :func:`install`, which appends a finder to ``sys.meta_path``. When
mmcv imports its extension module and no compiled one exists, the finder provides a module with
the functions of this folder. They take the same arguments as the compiled functions and write
to the same output tensors. A compiled mmcv is found earlier and takes precedence. A compiled
module that exists but does not load raises :class:`visionzoo.errors.BrokenOps`; it is never
replaced silently.

This package imports neither torch nor mmcv before mmcv imports its extension. ``table.py``
lists the served functions, and those that the configs of mmdet and mmseg reach.
"""

from __future__ import annotations

import sys
from importlib import import_module, util
from importlib.machinery import ModuleSpec, PathFinder
from typing import Literal

from visionzoo.errors import BrokenOps
from visionzoo.ops.mmcv_ext.finder import EXTENSION, CompiledGuard, TorchOpsFinder, stale_binaries
from visionzoo.ops.mmcv_ext.table import MISSING, SERVED

__all__ = ["describe", "install"]

State = Literal["compiled", "torch", "missing", "broken"]


def install() -> None:
    """Make ``mmcv._ext`` importable without a compiler. Further calls have no effect.

    :class:`TorchOpsFinder` is appended, so that all other finders run first.
    :class:`CompiledGuard` is inserted before the finder of installed files. It never provides
    a module of this package; it only explains why a compiled module did not load.

    A spawned process starts without both finders. It gets them when it imports visionzoo: from
    the main script, or when it unpickles an object of this package before one that needs mmcv.

    Example:
        >>> install()
        >>> from mmcv.ops import nms
    """
    if not any(isinstance(finder, CompiledGuard) for finder in sys.meta_path):
        sys.meta_path.insert(_place_of_path_finder(), CompiledGuard())
    if not any(isinstance(finder, TorchOpsFinder) for finder in sys.meta_path):
        sys.meta_path.append(TorchOpsFinder())


def _place_of_path_finder() -> int:
    return sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0


def describe() -> list[tuple[str, State]]:
    """Return the origin of each function of ``mmcv._ext``, sorted by name.

    ``compiled`` means mmcv's function, ``torch`` a function of this folder, ``missing`` a
    function that raises when it is called, ``broken`` a function of a compiled module that
    does not load. mmcv, and with it torch, is only imported if a compiled module exists.

    Returns:
        Pairs of name and origin.
    """
    names = sorted([*SERVED, *MISSING])
    state = _state_of_compiled()
    if state is None:
        return [(name, "torch" if name in SERVED else "missing") for name in names]
    if state == "broken":
        return [(name, "broken") for name in names]
    compiled = import_module(EXTENSION)
    return [(name, "compiled" if hasattr(compiled, name) else "missing") for name in names]


def _state_of_compiled() -> Literal["compiled", "broken"] | None:
    """Return the state of the compiled module, or None if it does not exist."""
    folders = _folders_of_mmcv()
    if PathFinder.find_spec(EXTENSION, folders) is None:
        return "broken" if stale_binaries(folders) else None
    try:
        import_module(EXTENSION)
    except BrokenOps:
        return "broken"
    return "compiled"


def _folders_of_mmcv() -> list[str]:
    spec: ModuleSpec | None = util.find_spec("mmcv")
    return list(spec.submodule_search_locations or []) if spec else []
