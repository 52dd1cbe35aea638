"""One data set of several tasks, each of whose samples has the ground truth of one task."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sized
from itertools import accumulate
from typing import Any, cast

from torch.utils.data import Dataset

from visionzoo.errors import DataError
from visionzoo.registry import DATASETS
from visionzoo.structures.by_task import require_by_task
from visionzoo.structures.task_sample import TASKS


@DATASETS.register_module()
class JointDataset(Dataset):
    """Data sets of several tasks in a row, whose samples name their task.

    Each data set has its own pipeline. The metainfo of each sample receives ``task``, so that only the head and the
    metrics of this task read the sample. The metainfo of this data set is ``tasks``, that of each data set by task, and
    ``sizes``, the number of samples of each.

    Args:
        datasets: a data set, or its config, by the name of its task. The names are those of the heads.

    Raises:
        ConfigError: ``datasets`` is not a dict, or is empty.
        DataError: a data set has no samples; when a sample is read: it has no ``data_samples``.

    Example:
        >>> from visionzoo.structures.task_sample import TaskSample
        >>> def sample():
        ...     return {"inputs": None, "data_samples": TaskSample()}
        >>> joint = JointDataset(dict(lanes=[sample(), sample()], counting=[sample()]))
        >>> [joint[index]["data_samples"].task for index in range(len(joint))]
        ['lanes', 'lanes', 'counting']
        >>> joint.indices_of("counting")
        range(2, 3)
    """

    def __init__(self, datasets: Mapping[str, Any]):
        require_by_task(datasets, "JointDataset.datasets", "data sets")
        self.datasets = {task: _built(given) for task, given in datasets.items()}
        self.sizes = {task: len(cast(Sized, dataset)) for task, dataset in self.datasets.items()}
        for task, size in self.sizes.items():
            if size == 0:
                raise DataError(
                    f"JointDataset.datasets.{task}",
                    expected="at least one sample",
                    found="none",
                    advice="check its data_root and ann_file, or remove the task",
                )
        self._ends = list(accumulate(self.sizes.values()))

    @property
    def metainfo(self) -> dict[str, Any]:
        """Metainfo of each data set by task, and the number of its samples."""
        metas = {task: dict(getattr(dataset, "metainfo", None) or {}) for task, dataset in self.datasets.items()}
        return {TASKS: metas, "sizes": dict(self.sizes)}

    def __len__(self) -> int:
        return self._ends[-1]

    def indices_of(self, task: str) -> range:
        """Return the indices of the samples of a task."""
        place = list(self.datasets).index(task)
        return range(self._ends[place] - self.sizes[task], self._ends[place])

    def place_of(self, index: int) -> tuple[str, int]:
        """Return the task of a sample, and its index in the data set of this task.

        Example:
            >>> JointDataset(dict(lanes=[{}, {}], counting=[{}])).place_of(2)
            ('counting', 0)
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        task = list(self.datasets)[bisect_right(self._ends, index)]
        return task, index - self.indices_of(task).start

    def __getitem__(self, index: int) -> Any:
        task, own = self.place_of(int(index))
        item = self.datasets[task][own]
        sample = item.get("data_samples") if isinstance(item, Mapping) else None
        if sample is None:
            raise DataError(
                f"JointDataset.datasets.{task}",
                expected="samples with data_samples, which name their task",
                found=type(item).__name__ if not isinstance(item, Mapping) else f"only {', '.join(map(str, item))}",
                advice="end its pipeline with PackTaskInputs or another packing step",
            )
        sample.set_metainfo({"task": task})
        return item

    def get_data_info(self, index: int) -> Any:
        """Return the record of a sample before its pipeline, from the data set of its task."""
        task, own = self.place_of(int(index))
        return self.datasets[task].get_data_info(own)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))


def _built(given: Any) -> Any:
    return DATASETS.build(dict(given)) if isinstance(given, Mapping) else given
