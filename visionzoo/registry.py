"""Registries: the only place where a name in a config becomes a class.

Every registry is a child of the registry of mmengine with the same name, with scope ``visionzoo``:

* parts of the zoo have no scope: ``type="RCNet"``;
* parts of other libraries have the scope of their library: ``type="mmdet.RetinaHead"``, ``type="mmcv.Resize"``;
* ``type="timm.resnet18"`` is any timm model with ``features_only``.

Libraries write their own default parts without a scope (``MaxIoUAssigner`` of mmdet builds a ``BboxOverlaps2D``). If
neither the zoo nor mmengine has such a name, it is looked up in the library whose registry is building.
"""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from contextvars import ContextVar
from functools import cache, partial, wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine import registry as mm
from mmengine.registry import Registry

from visionzoo.allowed import check_on_construction
from visionzoo.errors import ConfigError, UnknownName, ZooError
from visionzoo.plugins import Package, import_plugins, merged, packages, plugins, zoo

SCOPE = "visionzoo"

# The registry of another library that is currently building.
_asking: ContextVar[Registry | None] = ContextVar("visionzoo_asking", default=None)


class ZooRegistry(Registry):
    """A child of a registry of mmengine, in scope ``visionzoo``.

    Example:
        >>> MODELS.get("mmengine.BaseDataPreprocessor").__name__
        'BaseDataPreprocessor'
    """

    def __init__(
        self,
        name: str,
        parent: Registry,
        places: tuple[str, ...] = (),
        base: tuple[str, ...] = (),
        mmcv_places: tuple[str, ...] = (),
    ):
        """
        Args:
            name: the word for a member, ``model``.
            parent: the registry of mmengine with the same name.
            places: folders and modules of the zoo and of each plugin that register parts.
            base: modules of other libraries that register the parts of the parent.
            mmcv_places: folders of mmcv that register further parts of the parent, and take long to import.
        """
        super().__init__(name, parent=parent, scope=SCOPE, locations=list(base))
        self.places, self.mmcv_places = places, mmcv_places
        self._has_parts = self._has_plugins = False
        self.registrations = 0  # how often a part was registered

    def import_from_location(self) -> None:
        """Import the modules of the parent. mmengine calls this before it looks up a name."""
        with redirect_stdout(io.StringIO()):  # see _without_printing
            super().import_from_location()
            if self.parent is not None and self.parent._locations:  # see visionzoo.system.deferred_imports.REGISTERING
                self.parent.import_from_location()

    def import_parts(self) -> None:
        """Import the parent's modules, every module at ``places``, and the plugins.

        Raises:
            ImportError: a module of the zoo cannot be imported.
            PluginError: a plugin cannot be imported.
        """
        if self._has_parts:
            return
        self.import_from_location()
        self._import([module for place in self.places for module in zoo().modules(place)])
        self._import([f"mmcv.{place}" for place in self.mmcv_places])
        self._import_plugins()
        self._has_parts = True

    def _import_part(self, name: str) -> None:
        """Import the plugins, and only those modules of the zoo that define ``name``.

        Imports take seconds: a model of one library needs none of the others.
        """
        if not self._has_parts:
            self._import(self._modules_of(name))
            self._import_plugins()

    def _import_plugins(self) -> None:
        """Import the plugins, after the parts of the zoo with a name that a plugin also has: that is an error."""
        if self._has_plugins:
            return
        for package in plugins():
            for name in [name for place in self.places for name in _definitions(package, place)]:
                self._import(self._modules_of(name))
        with redirect_stdout(io.StringIO()):  # see _without_printing
            import_plugins(self.places)
        self._has_plugins = True

    def _modules_of(self, name: str) -> list[str]:
        packages = [(zoo(), place) for place in self.places] + [(_mmcv(), place) for place in self.mmcv_places]
        return [module for package, place in packages for module in _definitions(package, place).get(name, ())]

    def _import(self, modules: Iterable[str]) -> None:
        with redirect_stdout(io.StringIO()):
            for module in modules:
                import_module(module)

    def _register_module(self, module: Any, *args: Any, **kwargs: Any) -> None:
        super()._register_module(module, *args, **kwargs)
        self.registrations += 1
        if inspect.isclass(module):
            check_on_construction(module)

    def get(self, key: str) -> type | None:
        """Return the class with this name, or None.

        Args:
            key: ``RCNet`` (zoo or mmengine), ``mmdet.RetinaHead`` (another library) or ``timm.resnet18``.
        """
        adopt_library(key.partition(".")[0])
        self._import_part(key.removeprefix(f"{SCOPE}."))  # outside of `try`: a module that fails is always an error
        try:
            cls = super().get(key)
        except RuntimeError:  # mmengine raises it for a dotted name that cannot be imported
            cls = None
        asking = _asking.get()
        if cls is None and asking is not None and "." not in key:
            cls = asking.get(key)
        return cls

    def build(self, cfg: dict, *args: Any, **kwargs: Any) -> Any:
        """Build the part that ``cfg`` describes.

        Raises:
            UnknownName: no part has the name ``type``. The message states the nearest known name.
            ConfigError: the class of the part rejects its arguments.
        """
        name = cfg.get("type") if isinstance(cfg, dict) else None
        with _asked_by(None):
            if isinstance(name, str) and self.get(name) is None:
                raise UnknownName(name, kind=self.name, known=self.known_names(name.partition(".")[0]))
            with nullcontext() if self.name in _READ_FILES else rejections_explained(name or self.name):
                return super().build(cfg, *args, **kwargs)

    def known_names(self, scope: str = "") -> list[str]:
        """Return names as configs write them: those of the zoo and mmengine, or those of another library, ``scope``."""
        if scope == "timm":
            return _timm_names()
        sibling = self.root.children.get(scope)
        if sibling is not None and scope != SCOPE:
            sibling.import_from_location()
            return sorted(f"{scope}.{name}" for name in sibling.module_dict)
        self.import_parts()
        names = set(self.module_dict)
        parent = self.parent
        while parent is not None:
            names |= set(parent.module_dict)
            parent = parent.parent
        return sorted(names)

    def own_names(self) -> list[str]:
        """Return only the names of parts of the zoo and of plugins."""
        self.import_parts()
        return sorted(self.module_dict)


# Kinds of parts that read files when they are built; their errors are about files, not about arguments.
_READ_FILES = ("dataset", "runner")

# Exceptions by which a constructor rejects its arguments.
_REJECTS = (TypeError, ValueError, AssertionError, LookupError, AttributeError, ArithmeticError, RuntimeError)


@contextmanager
def rejections_explained(where: object) -> Iterator[None]:
    """Raise the exception of a constructor that rejects its arguments as one sentence.

    Args:
        where: name of the part, or its path in the config.

    Raises:
        ConfigError: the constructor raised an exception other than a :class:`ZooError`.

    Example:
        >>> try:
        ...     with rejections_explained("optim_wrapper"):
        ...         raise ValueError("Invalid learning rate: -1")
        ... except ConfigError as error:
        ...     print(error.where, "|", error.but)
        optim_wrapper | it cannot be built (ValueError: Invalid learning rate: -1)
    """
    try:
        yield
    except (ZooError, ImportError, NotImplementedError):
        raise
    except _REJECTS as error:
        reason = " ".join(f"{error}".split()) or "its arguments do not fit together"
        raise ConfigError(
            where,
            expected="arguments that it takes",
            but=f"it cannot be built ({type(error).__name__}: {reason})",
            advice="correct its arguments; the traceback (--traceback) shows the place",
        ) from error


_DEFINITION = re.compile(r"""^ *(?:class|def) (\w+)|register_module\((?:name=)?["'](\w+)""", re.MULTILINE)


@cache
def _mmcv() -> Package:
    return Package("mmcv", Path(import_module("mmcv").__path__[0]))


@cache
def _definitions(package: Package, place: str) -> dict[str, list[str]]:
    """Return the modules at a place by the names of their classes and functions, from their text."""
    found: dict[str, list[str]] = {}
    for module in package.modules(place):
        for names in _DEFINITION.findall(_source(package, module)):
            found.setdefault("".join(names), []).append(module)
    return found


def _source(package: Package, module: str) -> str:
    path = package.folder.joinpath(*module.removeprefix(package.name).split(".")[1:])
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8", "replace")


class TimmRegistry(Registry):
    """Scope ``timm``: every timm model that returns feature maps, wrapped by one adapter."""

    def get(self, key: str) -> Callable[..., Any] | None:
        """Return the constructor of a timm model, or None."""
        import timm

        adapter = import_module(f"{SCOPE}.backbones.timm_features")  # imported by name, as in the other registries
        name = key.removeprefix("timm.")
        return partial(adapter.TimmFeatures, name) if timm.is_model(name) else None


def _timm_names() -> list[str]:
    import timm

    return [f"timm.{name}" for name in timm.list_models()]


def adopt_library(scope: str) -> None:
    """Import the registries of another library and make them record which registry is building."""
    if scope not in ("mmdet", "mmseg"):
        return
    for registry in vars(import_module(f"{scope}.registry")).values():
        if isinstance(registry, Registry) and registry.scope == scope and not hasattr(registry, "_adopted"):
            registry.build_func = _saying_who_asks(registry.build_func, registry)
            registry.import_from_location = _without_printing(registry.import_from_location)
            registry._adopted = True


def _saying_who_asks(build: Callable[..., Any], asking: Registry) -> Callable[..., Any]:
    @wraps(build)
    def build_and_say(*args: Any, **kwargs: Any) -> Any:
        with _asked_by(asking):
            return build(*args, **kwargs)

    return build_and_say


def _without_printing(import_modules: Callable[[], None]) -> Callable[[], None]:
    """Return the import function without output. Data sets of mmdet print on import; stdout is for results only."""

    @wraps(import_modules)
    def import_silently() -> None:
        with redirect_stdout(io.StringIO()):
            import_modules()

    return import_silently


@contextmanager
def _asked_by(asking: Registry | None) -> Iterator[None]:
    token = _asking.set(asking)
    try:
        yield
    finally:
        _asking.reset(token)


PARTS = ("backbones", "necks", "heads", "models", "layers", "losses", "text_encoders", "providers")


def _child(parent: Registry, *places: str, base: tuple[str, ...] = ()) -> ZooRegistry:
    """Return a child of ``parent``. It imports the modules ``base`` of the parent, then the modules at ``places``."""
    return ZooRegistry(parent.name, parent, places, base)


MODELS = ZooRegistry("model", mm.MODELS, PARTS, base=("mmengine.model", "mmcv.cnn"), mmcv_places=("ops",))
DATASETS = _child(mm.DATASETS, "datasets", base=("mmengine.dataset",))
TRANSFORMS = _child(mm.TRANSFORMS, "datasets.transforms", base=("mmcv.transforms",))
METRICS = _child(mm.METRICS, "metrics", base=("mmengine.evaluator",))
HOOKS = _child(mm.HOOKS, "engine", base=("mmengine.hooks",))
LOOPS = _child(mm.LOOPS, "engine", base=("mmengine.runner",))
DATA_SAMPLERS = _child(mm.DATA_SAMPLERS, "engine", base=("mmengine.dataset",))
RUNNERS = _child(mm.RUNNERS, "engine", base=("mmengine.runner",))
RUNNER_CONSTRUCTORS = _child(mm.RUNNER_CONSTRUCTORS)
STRATEGIES = _child(mm.STRATEGIES)
MODEL_WRAPPERS = _child(mm.MODEL_WRAPPERS, "engine", base=("mmengine.model",))
WEIGHT_INITIALIZERS = _child(mm.WEIGHT_INITIALIZERS, "weights", base=("mmengine.model",))
OPTIMIZERS = _child(mm.OPTIMIZERS, base=("mmengine.optim",))
OPTIM_WRAPPERS = _child(mm.OPTIM_WRAPPERS, "engine", base=("mmengine.optim",))
OPTIM_WRAPPER_CONSTRUCTORS = _child(mm.OPTIM_WRAPPER_CONSTRUCTORS, "engine", base=("mmengine.optim",))
PARAM_SCHEDULERS = _child(mm.PARAM_SCHEDULERS, "engine", base=("mmengine.optim",))
EVALUATOR = _child(mm.EVALUATOR, "engine", base=("mmengine.evaluator",))
TASK_UTILS = _child(mm.TASK_UTILS)
VISUALIZERS = _child(mm.VISUALIZERS, base=("mmengine.visualization",))
VISBACKENDS = _child(mm.VISBACKENDS, "engine", base=("mmengine.visualization",))
LOG_PROCESSORS = _child(mm.LOG_PROCESSORS, base=("mmengine.runner",))
INFERENCERS = _child(mm.INFERENCERS)
FUNCTIONS = _child(mm.FUNCTIONS, "datasets", base=("mmengine.dataset",))

# A sibling of the zoo's registry, so that configs of mmdet and mmseg also find models of timm.
TIMM = TimmRegistry("model", parent=mm.MODELS, scope="timm")


def task_modules() -> dict[str, str]:
    """Return the module of every task by name, for the zoo and plugins, without importing it.

    A task is a file ``tasks/<task>.py`` whose name does not begin with ``_``.

    Raises:
        PluginError: two packages have a task of the same name.
    """
    merged(_task_files, "task")  # raises an error for a duplicate name
    return {name: f"{package.name}.tasks.{name}" for package in packages() for name in _task_files(package)}


def _task_files(package: Package) -> dict[str, Path]:
    return package.files("tasks", ".py")


def task_names() -> list[str]:
    """Return the names of all tasks, sorted, without importing them.

    Example:
        >>> "lanes" in task_names()
        True
    """
    return sorted(task_modules())


def own_parts(folder: str) -> dict[str, type]:
    """Return the registered classes of one kind, those of the zoo and of plugins, by name.

    A class that works only inside another one has the attribute ``PART_OF`` and is omitted.

    Args:
        folder: ``backbones``, ``necks`` or ``heads``: the folder of the part's module.

    Example:
        >>> "RCNet" in own_parts("necks")
        True
    """
    MODELS.import_parts()
    prefixes = tuple(f"{package.name}.{folder}." for package in packages())
    own = {name: cls for name, cls in MODELS.module_dict.items() if f"{cls.__module__}.".startswith(prefixes)}
    return {name: cls for name, cls in own.items() if not hasattr(cls, "PART_OF")}
