"""mmcv's compiled ops without a compiler: ``mmcv._ext`` served from torch and torchvision.

``import visionzoo`` calls :func:`install`, which appends a finder to the end of
``sys.meta_path``. When mmcv asks for its extension module and no compiled one exists,
the finder answers with the functions of this folder; they take the same arguments as
the compiled ones and fill the tensors they are given. A compiled mmcv is found earlier
and wins. One that exists but does not load raises :class:`visionzoo.errors.BrokenOps`;
it is never replaced silently.

Nothing here imports torch or mmcv until mmcv itself asks for its extension. ``table.py``
says which functions are served, and which of them the configs of mmdet and mmseg reach.
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
    """Make ``mmcv._ext`` importable without a compiler; calling it again changes nothing.

    :class:`TorchOpsFinder` goes to the end, so that everything else is asked first.
    :class:`CompiledGuard` goes right before the finder of installed files: it never
    answers with anything of ours, it only explains why a compiled module did not load.

    A spawned process starts without either. It has both once it imports visionzoo: through
    the script it repeats, or by unpickling an object of ours before one that needs mmcv.
    """
    if not any(isinstance(finder, CompiledGuard) for finder in sys.meta_path):
        sys.meta_path.insert(_place_of_path_finder(), CompiledGuard())
    if not any(isinstance(finder, TorchOpsFinder) for finder in sys.meta_path):
        sys.meta_path.append(TorchOpsFinder())


def _place_of_path_finder() -> int:
    return sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0


def describe() -> list[tuple[str, State]]:
    """Where each function of ``mmcv._ext`` comes from, sorted by name.

    ``compiled`` is mmcv's own, ``torch`` is served by this folder, ``missing`` raises
    when called, ``broken`` belongs to a compiled module that does not load. Imports
    mmcv (and with it torch) only when a compiled module exists.
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
    """None when no compiled module exists."""
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
