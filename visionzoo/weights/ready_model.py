"""Build the model of a config for use: with weights, on a device, in eval mode."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from mmengine.registry import DefaultScope
from torch import nn

from visionzoo.config import LoadedConfig, require_valid
from visionzoo.models.class_counts import ClassCounts, Counts, counts_by_task
from visionzoo.models.wiring import build_model
from visionzoo.registry import SCOPE
from visionzoo.structures.task_meta import TASKS
from visionzoo.system.devices import choose_device
from visionzoo.weights.loaders import close_pickle_fallback
from visionzoo.weights.loading import load_weights, weights_of, without_pretrained
from visionzoo.weights.normalisation import warn_of_other_normalisation
from visionzoo.weights.stated_variants import require_stated_variants
from visionzoo.weights.weight_file import WeightFile, read_weight_file


def ready_model(
    loaded: LoadedConfig,
    weights: str | os.PathLike | WeightFile | None = None,
    *,
    sha256: str | None = None,
    device: str = "cpu",
    num_classes: int | None = None,
    ignore: Iterable[str] = (),
    trust_pickle: bool = False,
) -> nn.Module:
    """Build the model of a config in eval mode.

    Args:
        loaded: a config from :func:`visionzoo.config.load_config`.
        weights: a file, work dir or address, or a file that was read. None uses the initial values of training from
            scratch. Then nothing is fetched, not even the weights that the config names for its backbone.
        sha256: expected sha256 of the file of weights, or None to skip the check.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        num_classes: number of classes for heads that do not state it, >= 1. By default the number in the checkpoint,
            else 80 as in COCO.
        ignore: names of tensors that are not loaded; see :func:`visionzoo.weights.loading.load_weights`.
        trust_pickle: let the file of weights run code while it loads.

    Returns:
        The model. Its ``dataset_meta`` has the ``classes`` and ``category_ids`` of the checkpoint, and the number of
        ``things``, which are the first classes; or None. For several tasks, ``tasks`` has the same by task.

    Raises:
        CheckpointError: the weights cannot be read or do not fit.
        ConfigError: the config of the model has a problem, it cannot be built, or the device does not exist.

    Example:
        >>> from visionzoo.config import load_config
        >>> model = ready_model(load_config("hmode_nwpu", tiny=True))
        >>> model.training, model.dataset_meta["classes"]
        (False, None)
    """
    require_valid(loaded, only=("model", "custom_imports"))
    close_pickle_fallback(trust_pickle=trust_pickle)
    target = choose_device(device)
    if weights is None or isinstance(weights, WeightFile):
        file = weights
    else:
        file = read_weight_file(weights, sha256=sha256, trust_pickle=trust_pickle)
    with redirect_stdout(io.StringIO()):  # libraries print missing optional packages on import
        counts = num_classes or _counts_of(file) or loaded.cfg.get("num_classes")
        model = build_model(loaded.cfg.model, replaced=loaded.replaced, num_classes=counts)
    if file is None:
        initialise(model)
    else:
        require_stated_variants(model, file.meta, file.path)
        load_weights(model, weights_of(file.contents, str(file.path)), ignore=ignore, where=str(file.path))
        warn_of_other_normalisation(model, file.path)
    model.dataset_meta = _about_data(file)  # type: ignore[assignment]
    return model.to(target).eval()


def _about_data(file: WeightFile | None) -> dict[str, Any]:
    """Return what a file of weights states about its data; that of several tasks by task."""
    stated = _counts_of(file)
    things = stated.things if isinstance(stated, ClassCounts) else None
    about: dict[str, Any] = {
        "classes": None if file is None else file.classes,
        "category_ids": None if file is None else file.category_ids,
        "things": things,
    }
    if file is not None and isinstance(stated, Mapping):
        about[TASKS] = {task: _about_data(file.of_task(task)) for task in stated}
    return about


def _counts_of(file: WeightFile | None) -> Counts:
    """Return the class counts that a file of weights states, also whether its classes are things or stuff."""
    if file is not None and (by_task := counts_by_task(file.meta.get("dataset_meta"))):
        return by_task
    if file is None or not file.classes:
        return None
    stated = ClassCounts.of(file.meta.get("dataset_meta"))
    return stated if stated is not None and stated.total == len(file.classes) else ClassCounts(len(file.classes))


def initialise(model: nn.Module) -> None:
    """Initialise a model as for training from scratch. Fetch nothing and print nothing."""
    without_pretrained(model)
    init_weights = getattr(model, "init_weights", None)
    if callable(init_weights):
        with DefaultScope.overwrite_default_scope(SCOPE), _quiet_mmengine():
            init_weights()


@contextmanager
def _quiet_mmengine() -> Iterator[None]:
    """Disable logging, because mmengine logs a line for every parameter that it initialises."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
