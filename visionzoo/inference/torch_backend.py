"""Run a model with PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch

from visionzoo.config import LoadedConfig
from visionzoo.config.runs import own_run
from visionzoo.errors import ConfigError
from visionzoo.inference.backends import Backend, Check
from visionzoo.inference.preparing import Preparation, test_pipeline_of
from visionzoo.inference.resuming import fingerprint
from visionzoo.models.fast_form import PLAIN, FastForm
from visionzoo.models.parameters import has_parameters
from visionzoo.structures.task_sample import sample_of_task
from visionzoo.system.devices import choose_device
from visionzoo.system.library_warnings import without_library_warnings
from visionzoo.tasks import Task, task_of
from visionzoo.weights.choosing import WORD, chosen_weights
from visionzoo.weights.ready_model import ready_model
from visionzoo.weights.runs import AGAIN, load_with_weights
from visionzoo.weights.weight_file import read_weight_file

UNTRAINED = "none"


def torch_backend(
    name_or_config: str | os.PathLike | LoadedConfig,
    weights: str | os.PathLike | None,
    *,
    check: Check,
    device: str,
    trust_pickle: bool,
    exact: bool = False,
    **changes: Any,
) -> Backend:
    """Load a config and its weights, and build the model.

    Args:
        name_or_config, weights, device, trust_pickle, exact: see :class:`visionzoo.inference.inferencer.Inferencer`.
        check: function that is called with the task and the class names, if they are known before the model is built.
        changes: ``tiny``, ``options`` and ``allow_new``.

    Raises:
        ZooError: see :class:`visionzoo.inference.inferencer.Inferencer`.
    """
    if isinstance(name_or_config, LoadedConfig):
        loaded = name_or_config
    else:
        loaded = load_with_weights(name_or_config, weights, again=AGAIN, **changes)
    cfg = loaded.cfg
    name = _one_task(cfg.task, loaded.source)
    task = task_of(name)
    prepare = Preparation(test_pipeline_of(cfg, loaded.source), task.inputs)
    source = _chosen_weights(loaded, weights)
    file = None if source is None else read_weight_file(source, trust_pickle=trust_pickle)
    names = (None if file is None else file.classes) or stated_names(cfg)
    if names:  # a wrong name of a class is an error before the model is built
        check(name, names)
    model = ready_model(loaded, file, device=device, trust_pickle=trust_pickle)
    first = next(model.parameters(), None)
    names = names or _default_names(model, task)
    fast = None if exact else FastForm(model)
    return Backend(
        name=loaded.name,
        task=name,
        config=cfg,
        prepare=prepare,
        run=partial(_run, model, name, fast),
        fingerprint=partial(fingerprint, model),
        model=model,
        device=choose_device(device) if first is None else first.device,
        divisor=int(getattr(model.data_preprocessor, "pad_size_divisor", 1)),
        weights=None if file is None else file.path,
        step="" if file is None else file.step,
        is_untrained=file is None and first is not None,
        names=names,
        category_ids=(file.category_ids if file else None) or task.category_ids(names),
        notes=loaded.notes,
        folder=own_run(loaded.run),
        form=(lambda: PLAIN) if fast is None else fast.about,
    )


def _run(model: Any, task: str, fast: FastForm | None, data: dict[str, list[Any]]) -> list[Any]:
    """Return the predicted samples of a batch.

    Raises:
        MemoryError: the device has too little memory.
    """
    first = next(model.parameters(), None)
    try:
        with torch.no_grad(), without_library_warnings(), nullcontext() if fast is None else fast.applied():
            tested = model.test_step(data)
        if first is not None and first.device.type == "cuda":
            torch.cuda.synchronize(first.device)
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    return [sample_of_task(sample, task) for sample in tested]


def _one_task(task: Any, source: str) -> str:
    """Return the task of a config, or raise :class:`ConfigError` if it has several."""
    if not isinstance(task, str):
        raise ConfigError(
            f"{source}: task",
            expected="one task for inference",
            found=", ".join(task),
            advice=f"choose one with the option task={task[0]} (--cfg-options)",
        )
    return task


def _chosen_weights(loaded: LoadedConfig, weights: str | os.PathLike | None) -> str | os.PathLike | None:
    """Return the weights to load, or None for an untrained model (``"none"``) and for a model without parameters."""
    if weights is not None:
        return None if str(weights) == UNTRAINED else chosen_weights(loaded, weights)
    if loaded.run is not None:
        return loaded.run
    return chosen_weights(loaded, WORD) if has_parameters(loaded.cfg.model, loaded.replaced) else None


def _default_names(model: torch.nn.Module, task: Task) -> tuple[str, ...] | None:
    """Return the class names of the task for the class counts of the model."""
    counts = (getattr(part, "num_classes", None) for part in model.modules())
    return task.class_names({count for count in counts if isinstance(count, int)})


def stated_names(cfg: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names of a config's test data; None if it states none."""
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    names = dataset.get("classes") or (dataset.get("metainfo") or {}).get("classes")
    return (names,) if isinstance(names, str) else tuple(names) if names else None
