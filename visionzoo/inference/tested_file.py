"""Test of an exported file: it predicts instead of the model of PyTorch, with the data and the metrics of a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData

from visionzoo.errors import ConfigError
from visionzoo.inference.backends import Backend
from visionzoo.inference.exported import exported_backend
from visionzoo.structures.graph_results import GraphSample


def predict_by_file(model: Any, weights: Path, classes: Mapping[str, Sequence[str] | None]) -> None:
    """Let an exported file predict the samples that a model is tested on.

    Args:
        model: the model that the test loop calls; its ``test_step`` is replaced.
        weights: the file.
        classes: class names of the data by task; None for a task without classes.

    Raises:
        ConfigError: the file does not have one of the tasks, or has other classes.
        CheckpointError: the file cannot be read.
    """
    backend = exported_backend(weights, None, device="cpu")
    for task, names in classes.items():
        _require_same(backend, task, names, weights)
    model.test_step = partial(_tested, backend)


def _require_same(backend: Backend, task: str, names: Sequence[str] | None, weights: Path) -> None:
    if task not in backend.classes:
        raise ConfigError(
            f"{weights}",
            expected=f"the task {task} of the data",
            found=", ".join(backend.tasks),
            advice="test a file of a model of this task",
        )
    own = backend.classes[task].names
    if names and own and tuple(names) != own:
        raise ConfigError(
            f"{weights}",
            expected=f"the {len(names)} classes of the data of {task} in their order",
            found=f"{len(own)} classes, {', '.join(own[:3])}, ...",
            advice="test the model itself, which matches classes by name",
        )


def _tested(backend: Backend, data: Mapping[str, Any]) -> list[Any]:
    """Return the samples of a batch with the predictions of a file, one image at a time as in inference."""
    return [tested_sample(backend, *each) for each in zip(data["inputs"], data["data_samples"], strict=True)]


def tested_sample(backend: Backend, inputs: torch.Tensor, sample: Any) -> Any:
    """Return a sample of a test pipeline, such as an image (3, H, W), with the predictions of a file."""
    if backend.tasks == ("registration",):  # its runner reads and writes the sample
        return backend.run({"inputs": [inputs], "data_samples": [sample]})[0]["registration"]
    about = sample if "phrase" in sample.metainfo else sample.metainfo["ori_shape"]
    (found,) = backend.run({"inputs": [inputs.numpy()], "data_samples": [about]})
    named = sample.metainfo.get("task")
    if len(backend.tasks) == 1 or named in found:
        return _with(sample, found[named if named in found else backend.task])
    for task, own in found.items():
        setattr(sample, task, _with(sample.new(), own))
    return sample


def _with(sample: Any, found: Mapping[str, Any]) -> Any:
    """Return the sample with predictions."""
    for name, value in found.items():
        if name != "metainfo":
            setattr(sample, name, as_torch(value))
    return sample


def as_torch(value: Any) -> Any:
    """Return a value of a sample as metrics read it: arrays as tensors, and nested samples as ``InstanceData``."""
    if isinstance(value, GraphSample):
        return InstanceData(**{name: as_torch(each) for name, each in value.items()})
    if isinstance(value, list):
        return [as_torch(each) for each in value]
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray | np.generic) else value
