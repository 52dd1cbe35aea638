"""Metrics of several tasks, each of which receives the samples of its task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.registry import DefaultScope

from visionzoo.errors import ConfigError
from visionzoo.registry import EVALUATOR, METRICS, SCOPE
from visionzoo.structures.by_task import require_by_task
from visionzoo.structures.task_sample import TASKS, is_of_task, sample_of_task
from visionzoo.system import distributed


@EVALUATOR.register_module()
class JointEvaluator(Evaluator):
    """Evaluator of a :class:`~visionzoo.datasets.joint.JointDataset`.

    A metric receives the samples whose metainfo names its task, and those that name none. The name of the task replaces
    the default prefix of the metric: ``lanes/F1`` instead of ``culane/F1``. A prefix that the config states follows the
    name of the task: ``lanes/easy/F1``.

    In several processes, the samples of each task must be distributed equally, as ``JointSampler`` does with
    ``mode="in_order"``.

    Args:
        metrics: a metric, its config, or a list of them, by the name of the task.

    Raises:
        ConfigError: ``metrics`` is not a dict by task, two metrics of a task have one name, or the samples of a task
            are distributed unequally.

    Example:
        >>> evaluator = JointEvaluator(dict(lanes=dict(type="CULaneMetric"), counting=dict(type="CountMetric")))
        >>> [metric.prefix for metric in evaluator.metrics]
        ['lanes', 'counting']
    """

    def __init__(self, metrics: Mapping[str, Any]):
        require_by_task(metrics, "JointEvaluator.metrics", "metrics")
        with DefaultScope.overwrite_default_scope(SCOPE):
            self.by_task = {task: [_built(each, task) for each in _listed(given)] for task, given in metrics.items()}
        for task, own in self.by_task.items():
            prefixes = [metric.prefix for metric in own]
            if len(set(prefixes)) < len(prefixes):
                raise ConfigError(
                    f"JointEvaluator.metrics.{task}",
                    expected="metrics with different names",
                    found=f"{len(prefixes)} without a separate prefix",
                    advice="set prefix of each of them",
                )
        super().__init__([metric for own in self.by_task.values() for metric in own])
        self._seen: Counter[str] = Counter()

    @property
    def dataset_meta(self) -> dict | None:
        """Metainfo of the joint data set."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict | None) -> None:
        self._dataset_meta = meta
        known = (meta or {}).get(TASKS)
        for task, metrics in self.by_task.items():
            for metric in metrics:
                metric.dataset_meta = meta if known is None else known.get(task)

    def process(self, data_samples: Sequence[Any], data_batch: Any = None) -> None:
        """Pass each sample to the metrics of its task.

        Args:
            data_samples: samples with ground truth and predictions.
            data_batch: the batch that the model received.
        """
        for task, metrics in self.by_task.items():
            places = [place for place, sample in enumerate(data_samples) if is_of_task(sample, task)]
            if not places:
                continue
            self._seen[task] += len(places)
            samples = [_plain(data_samples[place], task) for place in places]
            for metric in metrics:
                metric.process(_part(data_batch, places, len(data_samples)), samples)

    def evaluate(self, size: int) -> dict[str, Any]:
        """Return the numbers of all metrics.

        Args:
            size: number of samples of the data set, used if its metainfo does not state those of each task.
        """
        sizes = (self.dataset_meta or {}).get("sizes") or {}
        seen, self._seen = self._seen, Counter()
        self._require_equal_shares(seen)
        numbers: dict[str, Any] = {}
        for task, metrics in self.by_task.items():
            for metric in metrics:
                numbers |= metric.evaluate(sizes.get(task, min(size, seen[task] * distributed.world_size())))
        return numbers

    def _require_equal_shares(self, seen: Counter[str]) -> None:
        """Raise an error in all processes if they received different numbers of samples of a task."""
        everyone = distributed.gather({task: seen[task] for task in self.by_task})

        def check() -> None:
            for task in self.by_task:
                counts = [each[task] for each in everyone]
                if len(set(counts)) > 1 or counts[0] == 0:
                    raise ConfigError(
                        "sampler",
                        expected=f"equally many samples of {task} in every process, at least one",
                        found=", ".join(map(str, counts)),
                        advice='use sampler=dict(type="JointSampler", mode="in_order")',
                    )

        distributed.from_first(check)


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, Sequence) else [given]


def _built(given: Any, task: str) -> BaseMetric:
    metric = METRICS.build(dict(given)) if isinstance(given, Mapping) else given
    own = metric.prefix if metric.prefix != metric.default_prefix else None
    metric.prefix = f"{task}/{own}" if own else task
    return metric


def _plain(sample: Any, task: str) -> Any:
    """Return a sample as a dict; of a model that predicts all tasks for each image, with the predictions of a task."""
    if isinstance(sample, Mapping):
        return sample
    own = sample_of_task(sample, task)
    return sample.to_dict() if own is sample else {**sample.to_dict(), **own.to_dict()}


def _part(batch: Any, places: Sequence[int], count: int) -> Any:
    """Return the part of a batch that belongs to some of its samples."""
    if not isinstance(batch, Mapping):
        return batch
    return {
        key: [value[place] for place in places] if isinstance(value, (list, tuple)) and len(value) == count else value
        for key, value in batch.items()
    }
