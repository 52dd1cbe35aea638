"""Import hooks of :func:`visionzoo.ops.mmcv_ext.install`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from visionzoo.errors import BrokenOps, MissingOp
from visionzoo.ops.mmcv_ext.table import SERVED

EXTENSION = "mmcv._ext"
PIP_LINE = "pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation onedl-mmcv"


class TorchOpsFinder(MetaPathFinder):
    """Finder that provides ``mmcv._ext`` if no earlier finder does."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != EXTENSION:
            return None
        stale = stale_binaries(path or ())
        if stale:
            raise BrokenOps(
                EXTENSION,
                expected="a module compiled for this Python",
                found=f"{stale[0]}",
                advice=f"rebuild it: {PIP_LINE}",
            )
        return spec_from_loader(fullname, TorchOpsLoader(), origin="visionzoo.ops.mmcv_ext")


class TorchOpsLoader(Loader):
    """Loader that adds the served functions to the module. Other functions raise when they are called."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        for name, home in SERVED.items():
            setattr(module, name, getattr(import_module(f"visionzoo.ops.mmcv_ext.{home}"), name))
        module.__dict__["__getattr__"] = missing_op


class CompiledGuard(MetaPathFinder):
    """Finder that finds a compiled ``mmcv._ext`` exactly as Python does, and reports why it does not load."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != EXTENSION:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = GuardedLoader(spec.loader)
        return spec


class GuardedLoader(Loader):
    """Wrapper of a loader that converts an import error to :class:`BrokenOps`."""

    def __init__(self, loader: Loader):
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        try:
            return self.loader.create_module(spec)
        except ImportError as error:
            _explain(error, spec.origin)

    def exec_module(self, module: ModuleType) -> None:
        try:
            self.loader.exec_module(module)
        except ImportError as error:
            _explain(error, module.__file__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


def _explain(error: ImportError, file: str | None) -> NoReturn:
    reason = " ".join(str(error).split())
    raise BrokenOps(
        EXTENSION,
        expected="a compiled module that loads",
        found=f"{file} which does not ({reason})",
        advice=f"rebuild it for the installed torch with: {PIP_LINE}",
    ) from error


def missing_op(name: str) -> Callable[..., NoReturn]:
    """Return a function that raises when it is called: the served module's ``__getattr__``, so that mmcv imports."""
    if name.startswith("__"):
        raise AttributeError(f"module {EXTENSION!r} has no attribute {name!r}")

    def call(*args: object, **kwargs: object) -> NoReturn:
        raise MissingOp(
            "mmcv.ops",
            expected=f"a compiled {name}",
            found="no compiled mmcv and nothing in torch that replaces it",
            advice=f"compile mmcv with: {PIP_LINE}",
        )

    call.__name__ = name
    return call


def stale_binaries(folders: Sequence[str]) -> list[Path]:
    """Return compiled ``_ext`` files of other Python versions or platforms, which this Python cannot load."""
    return sorted(
        file for folder in folders for file in Path(folder).glob("_ext.*") if file.suffix in {".so", ".pyd", ".dylib"}
    )
