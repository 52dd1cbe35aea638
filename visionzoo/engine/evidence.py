"""What a test report needs of every tested sample, collected while the model is tested, over all processes.

Memory does not grow with the samples, except for the records of :meth:`Task.evidence`, which are small. The images of
the samples with the largest errors are drawn and compressed at once, so that no sample is kept.
"""

from __future__ import annotations

import heapq
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from visionzoo.engine.seeding import SampleKey
from visionzoo.reports.run_report import Example, Shown
from visionzoo.structures.task_sample import is_of_task, sample_of_task
from visionzoo.system import distributed
from visionzoo.tasks import SampleToDraw, Task, drawn_sample, task_of

MOST = 20  # samples with the largest errors

# What failed: the part of the report, and the error as text; each is counted.
Failures = Counter[tuple[str, str]]


@dataclass
class Collected:
    """Evidence of one task.

    Attributes:
        records: results of :meth:`Task.evidence` by the index of the sample in the data set.
        worst: heap of (error, -index, example), the least error first.
        failures: what could not be collected.
        seen: indices of the samples.
        errors: number of errors that :meth:`Task.error` returned.
    """

    records: dict[int, Any] = field(default_factory=dict)
    worst: list[tuple[float, int, Example]] = field(default_factory=list)
    failures: Failures = field(default_factory=Counter)
    seen: set[int] = field(default_factory=set)
    errors: int = 0

    def enters(self, error: float, index: int) -> bool:
        """Return True if a sample is one of those with the largest errors; of equal ones the first samples are."""
        return len(self.worst) < MOST or (error, -index) > self.worst[0][:2]

    def add(self, error: float, index: int, example: Example) -> None:
        """Add a sample that enters; the one with the least error leaves."""
        entry = (error, -index, example)
        heapq.heappush(self.worst, entry) if len(self.worst) < MOST else heapq.heapreplace(self.worst, entry)

    @property
    def examples(self) -> list[Example]:
        """The samples with the largest errors, the largest first."""
        return [example for *_, example in sorted(self.worst, key=lambda entry: entry[:2], reverse=True)]

    @property
    def in_order(self) -> list[Any]:
        """The records in the order of the samples, without None."""
        return [self.records[index] for index in sorted(self.records) if self.records[index] is not None]


def merged(parts: Sequence[Collected]) -> Collected:
    """Return the evidence of all processes. Samplers repeat samples so that all processes test equally many.

    Example:
        >>> one, two = Collected(), Collected()
        >>> one.add(0.5, 0, Example(0.5, 0, "a.png", "0"))
        >>> two.add(0.7, 1, Example(0.7, 1, "b.png", "1"))
        >>> two.add(0.5, 0, Example(0.5, 0, "a.png", "0"))
        >>> [example.name for example in merged([one, two]).examples]
        ['b.png', 'a.png']
    """
    found = Collected()
    for each in parts:
        found.records |= each.records
        found.seen |= each.seen
        found.failures += each.failures
        found.errors += each.errors
    by_index = {entry[1]: entry for each in parts for entry in each.worst}
    found.worst = heapq.nlargest(MOST, by_index.values(), key=lambda entry: entry[:2])
    return found


class EvidenceHook(Hook):
    """Collect the evidence of every sample of a test.

    Args:
        names: class names by label of each task of the model, or None for a task without classes.
    """

    priority = "LOW"

    def __init__(self, names: Mapping[str, Sequence[str] | None]):
        self.tasks = {name: task_of(name) for name in names}
        self.names = dict(names)
        self.collected = {name: Collected() for name in names}
        self._order: Iterator[Any] = iter(())

    def before_test_epoch(self, runner: Any) -> None:
        self._order = chain.from_iterable(iter(runner.test_dataloader.batch_sampler))

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        for place, sample in enumerate(outputs or ()):
            index = _index_of(next(self._order))
            for name, task in self.tasks.items():
                is_new = index not in self.collected[name].seen  # samplers repeat samples to fill the last batch
                if is_new and is_of_task(sample, name):
                    given = _Given(index, sample, runner.test_dataloader.dataset, data_batch, place)
                    self._collect(self.collected[name], task, name, given)

    def _collect(self, into: Collected, task: Task, name: str, given: _Given) -> None:
        into.seen.add(given.index)
        own: Any = sample_of_task(given.sample, name)
        values = _values_of(given.sample) | _values_of(own)
        with _counted(into.failures, "evidence"):
            record = task.evidence(values, self.names[name])
            if record is not None:
                into.records[given.index] = record
        with _counted(into.failures, "errors"):
            error = task.error(values, self.names[name])
            if error is None or not math.isfinite(error):
                return
            into.errors += 1
            if into.enters(float(error), given.index):
                into.add(float(error), given.index, self._example(into, name, own, float(error), given))

    def _example(self, into: Collected, name: str, own: Any, error: float, given: _Given) -> Example:
        tested = SampleToDraw(own, {}, None)
        with _counted(into.failures, "images"):
            tested = SampleToDraw(own, given.record(), given.fed())
            return _example_of(error, given.index, tested, drawn_sample(self.tasks[name], tested, self.names[name]))
        return _example_of(error, given.index, tested, [])

    def gathered(self) -> dict[str, Collected]:
        """Return the evidence of all processes by task, in the first process. Every process must call this."""
        everyone = distributed.gather(self.collected)
        return {name: merged([each[name] for each in everyone]) for name in self.tasks} if everyone else {}


def _values_of(sample: Any) -> dict[str, Any]:
    """Return a sample as a dict, as metrics receive it."""
    return dict(sample) if isinstance(sample, Mapping) else sample.to_dict()


def _index_of(key: Any) -> int:
    return int(key.sample if isinstance(key, SampleKey) else key)  # type: ignore[arg-type, call-overload]


@dataclass(frozen=True)
class _Given:
    """A tested sample, and where its input is found.

    Attributes:
        index: index of the sample in the data set.
        sample: data sample with ground truth and predictions.
        dataset: the data set of the loader.
        batch: the batch that the model received.
        place: place of the sample in the batch.
    """

    index: int
    sample: Any
    dataset: Any
    batch: Any
    place: int

    def record(self) -> Mapping[str, Any]:
        """Return the values of the sample before the pipeline; empty for a data set that does not give them."""
        dataset, index = self.dataset, self.index
        while isinstance(inner := getattr(dataset, "dataset", None), Dataset):
            indices = getattr(dataset, "indices", None)
            if indices is None:
                break
            dataset, index = inner, indices[index]
        get = getattr(dataset, "get_data_info", None)
        return {} if get is None else get(index)

    def fed(self) -> np.ndarray | None:
        """Return the input of the model in the size of the original image, (H, W, 3) uint8 RGB; None if it has none."""
        inputs = self.batch.get("inputs") if isinstance(self.batch, Mapping) else None
        image = None if inputs is None or self.place >= len(inputs) else inputs[self.place]
        if not isinstance(image, Tensor) or image.dtype != torch.uint8 or image.ndim != 3 or len(image) not in (1, 3):
            return None
        pixels = image.permute(1, 2, 0).cpu().numpy()
        height, width = self.sample.get("ori_shape", pixels.shape)[:2]
        pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)
        return np.asarray(Image.fromarray(pixels).resize((width, height)))


def _example_of(error: float, index: int, tested: SampleToDraw, images: Sequence[Shown]) -> Example:
    about = {**tested.record, **_values_of(getattr(tested.sample, "metainfo", tested.sample))}
    path = about.get("group") or about.get("img_path") or f"sample {index}"
    name = path if isinstance(path, str) else os.fspath(next(iter(path), f"sample {index}"))
    number = next((about[key] for key in ("img_id", "ref_id", "sample_idx") if about.get(key) is not None), index)
    return Example(error, index, Path(name).name, str(number), images)


@contextmanager
def _counted(failures: Failures, part: str) -> Iterator[None]:
    """Count an error of a part of the report, which the report and the terminal state; the test continues."""
    try:
        yield
    except Exception as error:
        failures[part, f"{type(error).__name__}: {error}"] += 1
