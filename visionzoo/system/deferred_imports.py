"""Imports of other libraries that a first inference does not need, made when a name is first used.

mmengine, mmdet, timm and torchvision import matplotlib, scikit-learn, imgaug, FSDP and torch's compiler at module
level. Together these take longer than torch itself, and inference calls none of them. :data:`DEFERRED` lists such
statements by the module that contains them. In :func:`deferred_imports` a listed statement imports nothing. The name
that it binds is missing in the module, and its first use imports the real object:

* in a function of the module: a global name that is missing is looked up in the module's builtins, which are a copy of
  Python's with this one addition;
* from outside, ``module.name`` or ``from module import name``: the module's ``__getattr__``.

The real object is then in the module, so that ``isinstance``, ``except`` and pickling see no proxy. ``sys.modules``
contains only real modules. Nothing changes for a library that is already imported or not installed, or for
a module that was imported outside of the block.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, resolve_name
from types import ModuleType, SimpleNamespace
from typing import Any

_PLOTS = ("matplotlib.colors", "matplotlib.pyplot", "matplotlib.patches")

# The importing module, and what it imports: a module, or one name of a module.
DEFERRED: dict[str, tuple[str, ...]] = {
    "mmdet.datasets.transforms.generate_line": (
        "imgaug.augmenters",
        "imgaug.augmentables.lines",
        "imgaug.augmentables.segmaps",
        "scipy.interpolate",
    ),
    "mmdet.models.data_preprocessors.data_preprocessor": ("skimage",),
    "mmdet.models.dense_heads.clr_head.clr_head": _PLOTS,
    "mmdet.models.dense_heads.clr_head.lane": ("scipy.interpolate",),
    "mmdet.models.dense_heads.paa_head": ("sklearn.mixture",),
    "mmdet.models.task_modules.assigners.hungarian_assigner": ("scipy.optimize",),
    "mmdet.models.task_modules.assigners.topk_hungarian_assigner": ("scipy.optimize",),
    "mmdet.models.task_modules.tracking.aflink": ("scipy.optimize",),
    "mmdet.models.task_modules.tracking.kalman_filter": ("scipy.linalg",),
    "mmdet.models.task_modules.tracking.interpolation": (
        "sklearn.gaussian_process",
        "sklearn.gaussian_process.kernels",
    ),
    "mmdet.models.trackers.sort_tracker": ("scipy.optimize",),
    "mmdet.structures.mask.structures": ("shapely.geometry",),
    "mmdet.utils.mot_error_visualize": _PLOTS,
    "mmdet.visualization.local_visualizer": _PLOTS,
    "mmengine._strategy": ("mmengine._strategy.fsdp",),
    "mmengine.model": ("mmengine.model.wrappers.MMFullyShardedDataParallel",),
    "mmengine.model.wrappers": ("mmengine.model.wrappers.fully_sharded_distributed",),
    "mmdet.datasets.transforms.processors": ("skimage",),
    "mmdet.datasets.transforms.transforms": ("imagecorruptions.corrupt",),
    "timm.layers._fx": ("torchvision.models.feature_extraction",),
    "timm.models._hub": ("huggingface_hub", "huggingface_hub.utils"),
    "torch.distributed.optim": ("torch.distributed.optim.named_optimizer",),
    "torchvision": ("torchvision.datasets", "torchvision.models"),
    "torchvision.ops.roi_align": ("torch._dynamo.utils",),
}

# Deferred modules that register a class, and the registry of mmengine that then imports them before a look-up.
REGISTERING = {
    "mmengine._strategy.fsdp": "STRATEGIES",
    "mmengine.model.wrappers.fully_sharded_distributed": "MODEL_WRAPPERS",
}


@contextmanager
def deferred_imports() -> Iterator[None]:
    """Defer the imports of :data:`DEFERRED` in modules that the block imports. Blocks can be nested.

    Example:
        >>> with deferred_imports():
        ...     import torchvision
        >>> torchvision.models.resnet18.__name__
        'resnet18'
    """
    if any(isinstance(finder, DeferringFinder) for finder in sys.meta_path):
        yield
        return
    finder = DeferringFinder(DEFERRED)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


class DeferringFinder(MetaPathFinder):
    """Finder of the listed modules: as Python finds them, with a loader that defers their listed imports.

    Args:
        deferred: importing modules, and what they import, as in :data:`DEFERRED`.
    """

    def __init__(self, deferred: Mapping[str, tuple[str, ...]]):
        self.deferred = deferred

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.deferred:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        spec.loader = DeferringLoader(spec.loader, self.deferred[fullname])
        return spec


class DeferringLoader(Loader):
    """Loader of one module. The module keeps the loader of Python, which serves its source and data."""

    def __init__(self, loader: SourceFileLoader, targets: tuple[str, ...]):
        self.loader, self.targets = loader, targets

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        space = vars(module)
        names = _Names(space)
        space["__builtins__"] = names
        names["__import__"] = _importer(self.targets)
        try:
            self.loader.exec_module(module)
        finally:
            names["__import__"] = builtins.__import__
            space["__builtins__"] = vars(builtins)
        names.collect()
        if names.deferred:
            _serve(module, names)


class _Names(dict):
    """Builtins of one module's functions, in which its deferred names are looked up after its globals."""

    def __init__(self, space: dict[str, Any]):
        super().__init__(vars(builtins))
        self.space = space
        self.deferred: dict[str, _Deferred] = {}

    def collect(self) -> None:
        """Move the deferred names out of the module."""
        self.deferred = {name: value for name, value in self.space.items() if isinstance(value, _Deferred)}
        for name in self.deferred:
            del self.space[name]
            self.pop(name, None)

    def __missing__(self, name: str) -> Any:
        deferred = self.deferred[name]  # KeyError: Python raises the NameError
        try:
            value = deferred._load()
        except KeyError as error:  # of the library, which must not become a NameError
            raise ImportError(f"{deferred._module} cannot be imported: KeyError: {error}") from error
        self.space[name] = value
        return value


class _Deferred:
    """What a deferred statement binds while its module is executed. A use at module level loads the real object."""

    def __init__(self, module: str, name: str = ""):
        self._module, self._name = module, name

    def _load(self) -> Any:
        module = import_module(self._module)
        if not self._name or self._name in vars(module):
            return getattr(module, self._name) if self._name else module
        whole = f"{self._module}.{self._name}"
        is_module = hasattr(module, "__path__") and find_spec(whole) is not None
        return import_module(whole) if is_module else getattr(module, self._name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._load(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._load()(*args, **kwargs)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._load(),)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._load())

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, self._load())


class _Top(_Deferred):
    """What ``import a.b.c`` binds to ``a``, and of what ``import a.b.c as d`` takes the attributes ``b`` and ``c``."""

    def __init__(self, module: str, depth: int = 1):
        super().__init__(module)
        self._depth = depth

    def _load(self) -> Any:
        module = import_module(self._module)
        parts = self._module.split(".")
        return module if self._depth == len(parts) else sys.modules[".".join(parts[: self._depth])]

    def __getattr__(self, name: str) -> Any:
        parts = self._module.split(".")
        if parts[self._depth : self._depth + 1] == [name]:
            return _Top(self._module, self._depth + 1)
        return getattr(self._load(), name)


def _importer(targets: tuple[str, ...]) -> Callable[..., Any]:
    """Return the ``__import__`` of a module that defers ``targets``."""

    def deferring_import(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        module = resolve_name("." * level + name, (globals or {}).get("__package__") or "") if level else name
        waiting = [each for each in fromlist or () if _can_wait(module, each, targets)]
        if fromlist and waiting:
            now = [each for each in fromlist if each not in waiting]
            real = builtins.__import__(name, globals, locals, now, level) if now else None
            return SimpleNamespace(
                **{each: getattr(real, each) for each in now}, **{each: _deferred(module, each) for each in waiting}
            )
        if not fromlist and _can_wait(module, "", targets):
            return _Top(module)
        return builtins.__import__(name, globals, locals, fromlist, level)

    return deferring_import


def _can_wait(module: str, name: str, targets: tuple[str, ...]) -> bool:
    """Return True if a module, or a name of it, is listed, not imported yet, and of an installed library."""
    whole = f"{module}.{name}"
    if name == "*" or not (module in targets or whole in targets) or not _is_installed(module):
        return False
    if module in targets:
        return module not in sys.modules
    return bool(name) and whole in targets and whole not in sys.modules and name not in _names_of(module)


def _is_installed(module: str) -> bool:
    library = module.partition(".")[0]
    return library in sys.modules or find_spec(library) is not None


def _names_of(module: str) -> Mapping[str, Any]:
    return vars(sys.modules[module]) if module in sys.modules else {}


def _deferred(module: str, name: str = "") -> _Deferred:
    for each in (module, f"{module}.{name}"):
        if each in REGISTERING:
            registry = getattr(import_module("mmengine.registry"), REGISTERING[each])
            if each not in registry._locations:
                registry._locations = [*registry._locations, each]  # the empty list is shared by all registries
                registry._imported = False
    return _Deferred(module, name)


def _serve(module: ModuleType, names: _Names) -> None:
    """Give a module the ``__getattr__`` that loads its deferred names, and list them in ``dir()`` and ``import *``."""
    space = vars(module)
    own = space.get("__getattr__")

    def attribute(name: str) -> Any:
        if name in names.deferred:
            return names.__missing__(name)
        if own is not None:
            return own(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    space.setdefault("__all__", [name for name in (*space, *names.deferred) if not name.startswith("_")])
    space.setdefault("__dir__", lambda: sorted({*space, *names.deferred}))
    space["__getattr__"] = attribute
