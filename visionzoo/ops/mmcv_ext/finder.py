"""The two import hooks behind :func:`visionzoo.ops.mmcv_ext.install`."""

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
    """Answers for ``mmcv._ext`` when every finder before it found nothing."""

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
    """Fills the module with what is served; every other name raises when it is called."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        for name, home in SERVED.items():
            setattr(module, name, getattr(import_module(f"visionzoo.ops.mmcv_ext.{home}"), name))
        module.__dict__["__getattr__"] = missing_op


class CompiledGuard(MetaPathFinder):
    """Finds a compiled ``mmcv._ext`` exactly as Python does, and explains it when it does not load."""

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
    """The loader it is given; an import error becomes :class:`BrokenOps`."""

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
    """Module-level ``__getattr__`` of the served module: mmcv imports, only a call of ``name`` fails."""
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
    """Compiled ``_ext`` files of other Python versions or platforms; this one cannot load them."""
    return sorted(
        file for folder in folders for file in Path(folder).glob("_ext.*") if file.suffix in {".so", ".pyd", ".dylib"}
    )
