"""Several heads on one trunk: which samples each head gets, and how their results are joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from mmengine.model import ModuleDict
from torch import Tensor, nn

from visionzoo.errors import ConfigError, DataError
from visionzoo.models.calling import run_head
from visionzoo.registry import MODELS
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample, group_sizes


def build_heads(heads: Any) -> ModuleDict:
    """Build heads by name.

    Args:
        heads: name of a head to its config. Every name is a Python identifier, because it begins names of losses and
            weights.

    Raises:
        ConfigError: ``heads`` is not a dict of dicts, it is empty, or a name is not an identifier.
    """
    if not isinstance(heads, Mapping) or not heads or not all(isinstance(cfg, Mapping) for cfg in heads.values()):
        raise ConfigError(
            "TaskModel.heads",
            expected="a dict of heads by name, each a dict with a type",
            found=f"{heads!r}",
            advice="give heads=dict(lanes=dict(type=...), counting=dict(type=...))",
        )
    for name in heads:
        if not str(name).isidentifier() or hasattr(ModuleDict, str(name)):
            raise ConfigError(
                "TaskModel.heads",
                expected="names of letters, digits and underscores",
                found=f"{name!r}",
                advice="name each head after its task",
            )
    return ModuleDict({name: MODELS.build(dict(cfg)) for name, cfg in heads.items()})


def samples_by_head(names: Sequence[str], samples: Sequence[TaskSample] | None) -> dict[str, list[int] | None]:
    """Return the indices of the samples that each head gets; None for all of them.

    A sample whose metainfo has a ``task`` goes to the head of this name only, every other sample to all heads. A head
    without samples is left out.

    Raises:
        DataError: no head has the name of a sample's task.

    Example:
        >>> samples = [TaskSample(metainfo={"task": "lanes"}), TaskSample(metainfo={"task": "counting"})]
        >>> samples_by_head(["lanes", "counting"], samples)
        {'lanes': [0], 'counting': [1]}
        >>> samples_by_head(["lanes", "counting"], None)
        {'lanes': None, 'counting': None}
    """
    if samples is None:
        return dict.fromkeys(names)
    tasks = [_task_of(sample, names) for sample in samples]
    chosen = {name: [i for i, task in enumerate(tasks) if task in (None, name)] for name in names}
    return {name: None if len(indices) == len(tasks) else indices for name, indices in chosen.items() if indices}


def _task_of(sample: TaskSample, names: Sequence[str]) -> str | None:
    task = sample.metainfo.get("task")
    if task is not None and task not in names:
        raise DataError(
            sample.metainfo.get("img_path") or "batch",
            expected=f"a task among the heads {', '.join(names)}",
            found=f"{task!r}",
            advice="add a head of this name, or leave the data set out",
        )
    return task


def selected(feats: Any, batch: Batch, indices: Sequence[int]) -> tuple[Any, Batch]:
    """Return the feature maps and the batch of some samples, in their order.

    Args:
        feats: feature maps (N, C, H, W), a sequence of them.
        batch: B samples whose group sizes sum to N.
        indices: of samples, 0 to B - 1.

    Returns:
        Feature maps (n, C, H, W), where n is the sum of the chosen group sizes, and the batch without ``encode``.
    """
    rows = _rows(group_sizes(batch.samples), indices)
    text = batch.text
    if text is not None:
        text = replace(text, states=text.states[list(indices)], mask=text.mask[list(indices)])
    inputs = None if batch.inputs is None else batch.inputs[rows.to(batch.inputs.device)]
    part = Batch(inputs, [batch.samples[index] for index in indices], text=text)
    return tuple(feat[rows.to(feat.device)] for feat in feats), part


def _rows(sizes: Sequence[int], indices: Sequence[int]) -> Tensor:
    """Positions on the batch axis of the images of the chosen samples."""
    starts = [0, *accumulate(sizes)]
    return torch.cat([torch.arange(starts[index], starts[index] + sizes[index]) for index in indices])


@dataclass(frozen=True)
class Share:
    """One head and its part of a batch.

    Attributes:
        head: any head.
        feats: feature maps of the head's images.
        batch: the head's samples.
        indices: of the head's samples in the whole batch.
    """

    head: nn.Module
    feats: Any
    batch: Batch
    indices: Sequence[int]

    def run(self, method: str) -> Any:
        """Return the result of a method of the head: ``forward``, ``loss`` or ``predict``."""
        return run_head(self.head, method, self.feats, self.batch)

    def predictions(self) -> dict[int, TaskSample]:
        """Return the predicted samples by index. They are copies, because a head writes into its samples."""
        copies = [sample.new() for sample in self.batch.samples]
        samples = run_head(self.head, "predict", self.feats, replace(self.batch, samples=copies))
        return dict(zip(self.indices, samples, strict=True))


def shares_of(heads: ModuleDict, feats: Any, batch: Batch, with_encode: Callable[[Batch], Batch]) -> dict[str, Share]:
    """Return the share of each head that has samples.

    Args:
        heads: by name.
        feats: feature maps (N, C, H, W) of the whole batch, a sequence of them.
        batch: the whole batch.
        with_encode: from a batch to the same batch with ``encode``.

    Raises:
        DataError: no head has the name of a sample's task.
    """
    shares = {}
    for name, indices in samples_by_head(list(heads), batch.samples).items():
        if indices is None:
            shares[name] = Share(heads[name], feats, batch, range(len(batch.samples or ())))
        else:
            part_feats, part = selected(feats, batch, indices)
            shares[name] = Share(heads[name], part_feats, with_encode(part), indices)
    return shares


def joined(samples: Sequence[TaskSample], predictions: Mapping[str, Mapping[int, TaskSample]]) -> list[TaskSample]:
    """Return one sample for each sample of a batch, with the predictions of all its heads.

    Args:
        samples: of the batch.
        predictions: by head and index of the sample.

    Returns:
        For a sample that names its task: the prediction of this head. For every other sample: a copy with one field
        per head, which holds a sample with the head's prediction.
    """
    results = []
    for index, sample in enumerate(samples):
        by_head = {name: found[index] for name, found in predictions.items() if index in found}
        if sample.metainfo.get("task") is not None:
            results.append(by_head[sample.metainfo["task"]])
            continue
        result = sample.new()
        result.set_data(by_head)
        results.append(result)
    return results
