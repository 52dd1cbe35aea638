"""Several heads on one trunk: selection of the samples of each head, and merging of the predictions."""

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
from visionzoo.models.library_heads import build_head
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample, group_sizes


def build_heads(heads: Any) -> ModuleDict:
    """Build heads by name.

    Args:
        heads: config of each head by name. A name must be a Python identifier, because it is the prefix of the names of
            losses and weights.

    Raises:
        ConfigError: ``heads`` is not a dict of dicts or is empty, or a name is not an identifier or is an attribute of
            ``ModuleDict``, such as ``train``.
    """
    if not isinstance(heads, Mapping) or not heads or not all(isinstance(cfg, Mapping) for cfg in heads.values()):
        raise ConfigError(
            "TaskModel.heads",
            expected="a dict of heads by name, each a dict with a type",
            found=f"{heads!r}",
            advice="give heads=dict(lanes=dict(type=...), counting=dict(type=...))",
        )
    for name in heads:
        if not str(name).isidentifier():
            raise ConfigError(
                "TaskModel.heads",
                expected="names that are Python identifiers",
                found=f"{name!r}",
                advice="name each head after its task",
            )
        if hasattr(ModuleDict, str(name)):
            raise ConfigError(
                "TaskModel.heads",
                expected="names that are not attributes of ModuleDict",
                found=f"{name!r}",
                advice="rename the head",
            )
    return ModuleDict({name: build_head(cfg) for name, cfg in heads.items()})


def samples_by_head(names: Sequence[str], samples: Sequence[TaskSample] | None) -> dict[str, list[int] | None]:
    """Return the indices of the samples of each head, by name; None if the head receives all samples.

    A sample with a ``task`` in its metainfo is passed only to the head of that name, and one with ``heads`` only to the
    heads of these names. Every other sample is passed to all heads. The result has no entry for a head without samples.

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
    own = [_heads_of(sample, names) for sample in samples]
    chosen = {name: [i for i, heads in enumerate(own) if name in heads] for name in names}
    return {name: None if len(indices) == len(own) else indices for name, indices in chosen.items() if indices}


def _heads_of(sample: TaskSample, names: Sequence[str]) -> Sequence[str]:
    task = _task_of(sample, names)
    return sample.metainfo.get("heads", names) if task is None else (task,)


def _task_of(sample: TaskSample, names: Sequence[str]) -> str | None:
    task = sample.metainfo.get("task")
    if task is not None and task not in names:
        raise DataError(
            sample.metainfo.get("img_path") or "batch",
            expected=f"a task among the heads {', '.join(names)}",
            found=f"{task!r}",
            advice="add a head of this name, or remove the data set of this task",
        )
    return task


def selected(feats: Any, batch: Batch, indices: Sequence[int]) -> tuple[Any, Batch]:
    """Return the feature maps and the batch of some samples, in their order.

    Args:
        feats: sequence of feature maps (N, C, H, W).
        batch: batch of B samples whose group sizes sum to N.
        indices: indices of the chosen samples, 0 to B - 1.

    Returns:
        Feature maps (n, C, H, W), where n is the sum of the chosen group sizes, and the batch without ``encode``.
    """
    rows = _rows(group_sizes(batch.samples), indices)
    text = batch.text
    if text is not None:
        text = replace(text, states=text.states[list(indices)], mask=text.mask[list(indices)])
    inputs = None if batch.inputs is None else batch.inputs[rows.to(batch.inputs.device)]
    samples = [batch.samples[index] for index in indices]
    part = Batch(inputs, samples, text=text, unnormalised=batch.unnormalised)
    return tuple(feat[rows.to(feat.device)] for feat in feats), part


def _rows(sizes: Sequence[int], indices: Sequence[int]) -> Tensor:
    """Return the positions on the batch axis of the images of the chosen samples."""
    starts = [0, *accumulate(sizes)]
    return torch.cat([torch.arange(starts[index], starts[index] + sizes[index]) for index in indices])


@dataclass(frozen=True)
class Share:
    """One head with the samples that it receives.

    Attributes:
        head: the head.
        feats: feature maps of the images of these samples.
        batch: batch of these samples.
        indices: indices of these samples in the whole batch.
    """

    head: nn.Module
    feats: Any
    batch: Batch
    indices: Sequence[int]

    def run(self, method: str) -> Any:
        """Return the result of a method of the head: ``forward``, ``loss`` or ``predict``."""
        return run_head(self.head, method, self.feats, self.batch)

    def predictions(self) -> dict[int, TaskSample]:
        """Return the predictions by index of the sample: copies, because several heads may write into one sample."""
        copies = [sample.new() for sample in self.batch.samples]
        samples = run_head(self.head, "predict", self.feats, replace(self.batch, samples=copies))
        return dict(zip(self.indices, samples, strict=True))


def shares_of(heads: ModuleDict, feats: Any, batch: Batch, with_encode: Callable[[Batch], Batch]) -> dict[str, Share]:
    """Return the share of each head that has samples.

    Args:
        heads: heads by name.
        feats: sequence of the feature maps (N, C, H, W) of the whole batch.
        batch: the whole batch.
        with_encode: function that returns a copy of a batch with its ``encode`` set.

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
        samples: samples of the batch.
        predictions: predictions by head and by index of the sample.

    Returns:
        If the sample has a ``task``: the prediction of the head of that name. Otherwise: a copy of the sample with one
        field per head. Each field is a sample with the predictions of that head.
    """
    results = []
    for index, sample in enumerate(samples):
        by_head = {name: by_index[index] for name, by_index in predictions.items() if index in by_index}
        if sample.metainfo.get("task") is not None:
            results.append(by_head[sample.metainfo["task"]])
            continue
        result = sample.new()
        result.set_data(by_head)
        results.append(result)
    return results
