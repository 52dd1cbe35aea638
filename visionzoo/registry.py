"""The only place where a name in a config becomes a class.

Every registry is a child of mmengine's of the same name, with scope ``visionzoo``:

* our own parts are written without a scope: ``type="RCNet"``;
* parts of other libraries carry theirs: ``type="mmdet.RetinaHead"``, ``type="mmcv.Resize"``;
* ``type="timm.resnet18"`` is any timm model with ``features_only``.

Libraries write their own defaults without a scope (mmdet's ``MaxIoUAssigner`` asks for
``BboxOverlaps2D``). Such a name, when neither we nor mmengine have it, is looked for in
the library whose registry was asked to build it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from functools import partial, wraps
from importlib import import_module
from typing import Any

from mmengine import registry as mm
from mmengine.registry import Registry

from visionzoo.errors import UnknownName

SCOPE = "visionzoo"

# The registry of another library that is building something right now.
_asking: ContextVar[Registry | None] = ContextVar("visionzoo_asking", default=None)


class ZooRegistry(Registry):
    """A child of one of mmengine's registries, in scope ``visionzoo``."""

    def __init__(self, name: str, parent: Registry, locations: tuple[str, ...] = ()):
        super().__init__(name, parent=parent, scope=SCOPE, locations=list(locations))

    def import_from_location(self) -> None:
        with redirect_stdout(io.StringIO()):  # see _without_printing
            super().import_from_location()

    def get(self, key: str) -> type | None:
        """The class called ``key``, or None.

        Args:
            key: ``RCNet`` (ours, or mmengine's), ``mmdet.RetinaHead`` (another library's), ``timm.resnet18``.
        """
        adopt_library(key.partition(".")[0])
        try:
            found = super().get(key)
        except RuntimeError:  # mmengine's word for a dotted name that cannot be imported
            found = None
        asking = _asking.get()
        if found is None and asking is not None and "." not in key:
            found = asking.get(key)
        return found

    def build(self, cfg: dict, *args: Any, **kwargs: Any) -> Any:
        """Build ``cfg``; an unknown name is answered with the nearest known one."""
        name = cfg.get("type") if isinstance(cfg, dict) else None
        with _asked_by(None):
            if isinstance(name, str) and self.get(name) is None:
                raise UnknownName(name, kind=self.name, known=self.known_names(name.partition(".")[0]))
            return super().build(cfg, *args, **kwargs)

    def known_names(self, scope: str = "") -> list[str]:
        """Names as a config writes them: ours and mmengine's, or those of another library's ``scope``."""
        if scope == "timm":
            return _timm_names()
        sibling = self.root.children.get(scope)
        if sibling is not None and scope != SCOPE:
            sibling.import_from_location()
            return sorted(f"{scope}.{name}" for name in sibling.module_dict)
        self.import_from_location()
        names = set(self.module_dict)
        parent = self.parent
        while parent is not None:
            names |= set(parent.module_dict)
            parent = parent.parent
        return sorted(names)

    def own_names(self) -> list[str]:
        """Names of our own parts alone."""
        self.import_from_location()
        return sorted(self.module_dict)


class TimmRegistry(Registry):
    """Scope ``timm``: every timm model that can return feature maps, through one adapter."""

    def get(self, key: str) -> Callable[..., Any] | None:
        import timm

        adapter = import_module(f"{SCOPE}.backbones.timm_features")  # by location, as the other registries import
        name = key.removeprefix("timm.")
        return partial(adapter.TimmFeatures, name) if timm.is_model(name) else None


def _timm_names() -> list[str]:
    import timm

    return [f"timm.{name}" for name in timm.list_models()]


def adopt_library(scope: str) -> None:
    """Import another library's registries and have them say who asks while they build."""
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
    """mmdet's data sets print on import, and stdout belongs to the results of a command."""

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


_PARTS = ("backbones", "necks", "heads", "models", "layers", "losses", "text_encoders")


def _existing(*folders: str) -> tuple[str, ...]:
    """Modules of ours among ``folders`` that exist; systems arrive one by one."""
    from importlib.util import find_spec

    return tuple(name for folder in folders if find_spec(name := f"{SCOPE}.{folder}") is not None)


def _child(parent: Registry, *folders: str, base: tuple[str, ...] = ()) -> ZooRegistry:
    """A child of ``parent`` that imports ``folders`` of ours, and before them the ``base`` that fills the parent."""
    return ZooRegistry(parent.name, parent, (*base, *_existing(*folders)))


MODELS = _child(mm.MODELS, *_PARTS, base=("mmengine.model", "mmcv.cnn"))
DATASETS = _child(
    mm.DATASETS,
    "datasets.coco",
    "datasets.classification",
    "datasets.cifar",
    "datasets.crops",
    "datasets.co_saliency",
    "datasets.counting",
    "datasets.lanes",
    "datasets.saliency",
    base=("mmengine.dataset",),
)
TRANSFORMS = _child(mm.TRANSFORMS, "datasets.transforms", base=("mmcv.transforms",))
METRICS = _child(mm.METRICS, "metrics", base=("mmengine.evaluator",))
HOOKS = _child(mm.HOOKS, "engine.hooks", "engine.progress", "engine.freezing", base=("mmengine.hooks",))
LOOPS = _child(mm.LOOPS, "engine.loops", base=("mmengine.runner",))
DATA_SAMPLERS = _child(mm.DATA_SAMPLERS, "engine.samplers", base=("mmengine.dataset",))
RUNNERS = _child(mm.RUNNERS, "engine.runner", base=("mmengine.runner",))
RUNNER_CONSTRUCTORS = _child(mm.RUNNER_CONSTRUCTORS)
STRATEGIES = _child(mm.STRATEGIES)
MODEL_WRAPPERS = _child(mm.MODEL_WRAPPERS, "engine.wrappers", base=("mmengine.model",))
WEIGHT_INITIALIZERS = _child(mm.WEIGHT_INITIALIZERS, "weights.loading", base=("mmengine.model",))
OPTIMIZERS = _child(mm.OPTIMIZERS, base=("mmengine.optim",))
OPTIM_WRAPPERS = _child(mm.OPTIM_WRAPPERS, "engine.optim", base=("mmengine.optim",))
OPTIM_WRAPPER_CONSTRUCTORS = _child(mm.OPTIM_WRAPPER_CONSTRUCTORS, "engine.optim", base=("mmengine.optim",))
PARAM_SCHEDULERS = _child(mm.PARAM_SCHEDULERS, "engine.schedules", base=("mmengine.optim",))
EVALUATOR = _child(mm.EVALUATOR, base=("mmengine.evaluator",))
TASK_UTILS = _child(mm.TASK_UTILS)
VISUALIZERS = _child(mm.VISUALIZERS, base=("mmengine.visualization",))
VISBACKENDS = _child(mm.VISBACKENDS, "engine.log_files", base=("mmengine.visualization",))
LOG_PROCESSORS = _child(mm.LOG_PROCESSORS, base=("mmengine.runner",))
INFERENCERS = _child(mm.INFERENCERS)
FUNCTIONS = _child(mm.FUNCTIONS, "datasets.co_saliency", "datasets.transforms", base=("mmengine.dataset",))

# A sibling of ours, so that mmdet and mmseg find timm's models in their configs as well.
TIMM = TimmRegistry("model", parent=mm.MODELS, scope="timm")


def own_parts(folder: str) -> dict[str, type]:
    """Our registered classes of one kind: those in ``visionzoo.<folder>`` (``backbones``, ``necks``, ``heads``).

    A class that only works inside another one says so with the attribute ``PART_OF`` and is left out.
    """
    MODELS.import_from_location()
    prefix = f"{SCOPE}.{folder}."
    own = {name: cls for name, cls in MODELS.module_dict.items() if cls.__module__.startswith(prefix)}
    return {name: cls for name, cls in own.items() if not hasattr(cls, "PART_OF")}
