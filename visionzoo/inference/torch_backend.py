"""Run a model with PyTorch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch

from visionzoo.config import LoadedConfig
from visionzoo.config.data_parts import joint_data_sets
from visionzoo.config.runs import own_run
from visionzoo.engine.pipelines import inference_notes
from visionzoo.inference.backends import Backend, Check, TaskClasses, unchecked
from visionzoo.inference.preparing import Preparation, test_pipeline_of
from visionzoo.inference.readers import chosen_tasks, shared_inputs
from visionzoo.inference.resuming import fingerprint
from visionzoo.models.fast_form import PLAIN, FastForm
from visionzoo.models.parameters import has_parameters
from visionzoo.structures.task_sample import sample_of_task
from visionzoo.system.devices import choose_device
from visionzoo.system.library_warnings import without_library_warnings
from visionzoo.tasks import task_of
from visionzoo.weights.choosing import WORD, chosen_weights
from visionzoo.weights.ready_model import ready_model
from visionzoo.weights.runs import AGAIN, load_with_weights
from visionzoo.weights.weight_file import WeightFile, read_weight_file

UNTRAINED = "none"


def torch_backend(
    name_or_config: str | os.PathLike | LoadedConfig,
    weights: str | os.PathLike | None,
    *,
    device: str,
    trust_pickle: bool,
    check: Check = unchecked,
    exact: bool = False,
    tasks: str | Iterable[str] | None = None,
    **changes: Any,
) -> Backend:
    """Load a config and its weights, and build the model.

    Args:
        name_or_config, weights, device, trust_pickle, exact, tasks: see
            :class:`visionzoo.inference.inferencer.Inferencer`.
        check: function that is called with the classes by task, if they are known before the model is built.
        changes: ``tiny``, ``options`` and ``allow_new``.

    Raises:
        ZooError: see :class:`visionzoo.inference.inferencer.Inferencer`.
    """
    if isinstance(name_or_config, LoadedConfig):
        loaded = name_or_config
    else:
        loaded = load_with_weights(name_or_config, weights, again=AGAIN, **changes)
    cfg = loaded.cfg
    chosen = chosen_tasks(cfg.task, tasks, loaded.source)
    prepare = Preparation(test_pipeline_of(cfg, loaded.source, chosen), shared_inputs(chosen, loaded.source))
    source = _chosen_weights(loaded, weights)
    file = None if source is None else read_weight_file(source, trust_pickle=trust_pickle)
    stated = {name: _stated_classes(name, file, cfg) for name in chosen}
    if all(each.names for each in stated.values()):  # a wrong name of a class is an error before the model is built
        check(stated)
    model = ready_model(loaded, file, device=device, trust_pickle=trust_pickle)
    first = next(model.parameters(), None)
    fast = None if exact else FastForm(model)
    return Backend(
        name=loaded.name,
        classes={name: _with_defaults(name, each, model) for name, each in stated.items()},
        config=cfg,
        prepare=prepare,
        run=partial(_run, model, chosen, fast),
        fingerprint=partial(fingerprint, model),
        model=model,
        device=choose_device(device) if first is None else first.device,
        divisor=int(getattr(model.data_preprocessor, "pad_size_divisor", 1)),
        weights=None if file is None else file.path,
        step="" if file is None else file.step,
        is_untrained=file is None and first is not None,
        notes=[*loaded.notes, *inference_notes(cfg, chosen)],
        folder=own_run(loaded.run),
        form=(lambda: PLAIN) if fast is None else fast.about,
    )


def _run(
    model: Any, tasks: Sequence[str], fast: FastForm | None, data: dict[str, list[Any]]
) -> list[Mapping[str, Any]]:
    """Return the predicted samples of each image of a batch, by task. Heads of other tasks do not run.

    Raises:
        MemoryError: the device has too little memory.
    """
    first = next(model.parameters(), None)
    if set(getattr(model, "heads", None) or ()) - set(tasks):
        for sample in data["data_samples"]:
            sample.set_metainfo({"heads": tuple(tasks)})
    try:
        with torch.no_grad(), without_library_warnings(), nullcontext() if fast is None else fast.applied():
            tested = model.test_step(data)
        if first is not None and first.device.type == "cuda":
            torch.cuda.synchronize(first.device)
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    return [{task: sample_of_task(sample, task) for task in tasks} for sample in tested]


def _chosen_weights(loaded: LoadedConfig, weights: str | os.PathLike | None) -> str | os.PathLike | None:
    """Return the weights to load, or None for an untrained model (``"none"``) and for a model without parameters."""
    if weights is not None:
        return None if str(weights) == UNTRAINED else chosen_weights(loaded, weights)
    if loaded.run is not None:
        return loaded.run
    return chosen_weights(loaded, WORD) if has_parameters(loaded.cfg.model, loaded.replaced) else None


def _stated_classes(task: str, file: WeightFile | None, cfg: Mapping[str, Any]) -> TaskClasses:
    """Return the classes of a task that the weights, else the config, state."""
    own = None if file is None else file.of_task(task)
    names = (None if own is None else own.classes) or stated_names(cfg, task)
    return TaskClasses(names, None if own is None else own.category_ids)


def _with_defaults(task: str, stated: TaskClasses, model: torch.nn.Module) -> TaskClasses:
    """Return the classes of a task, by default those of the task for the class counts of its part of the model."""
    part = dict(getattr(model, "heads", None) or {}).get(task, model)
    counts = (getattr(each, "num_classes", None) for each in part.modules())
    names = stated.names or task_of(task).class_names({count for count in counts if isinstance(count, int)})
    return TaskClasses(names, stated.category_ids or task_of(task).category_ids(names))


def stated_names(cfg: Mapping[str, Any], task: str | None = None) -> tuple[str, ...] | None:
    """Return the class names of a config's test data; None if it states none.

    Args:
        cfg: the config.
        task: task of the classes, for a data set with data sets by task.

    Example:
        >>> data = {"lanes": {"type": "CULane"}, "detection": {"classes": ["cat"]}}
        >>> stated_names({"test_dataloader": {"dataset": {"datasets": data}}}, "detection")
        ('cat',)
    """
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    by_task = joint_data_sets(dataset)
    dataset = (by_task.get(task or "") or {}) if by_task else dataset
    names = dataset.get("classes") or (dataset.get("metainfo") or {}).get("classes")
    return (names,) if isinstance(names, str) else tuple(names) if names else None
