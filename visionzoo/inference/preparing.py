"""Preparation of inputs: from a source to a sample for the model, by reading and the test transforms of the config."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from mmengine.registry import DefaultScope

from visionzoo.datasets.transforms.providing import channel_order_of, provided_by
from visionzoo.errors import ConfigError, InputError, ZooError
from visionzoo.registry import SCOPE, TRANSFORMS
from visionzoo.tasks.inputs.base import Input, Source
from visionzoo.tasks.inputs.images import ImageInput

_REFUSED = (cv2.error, ValueError, RuntimeError, ArithmeticError, LookupError)


@dataclass
class Prepared:
    """One input, ready for the model.

    Attributes:
        source: source of the input.
        sample: result of the pipeline; empty for one input of a group.
        size: size of the input as it was read, (width, height) for an image.
        image: the image on which results are drawn, (H, W, 3) RGB; None if it is not needed.
    """

    source: Source
    sample: dict[str, Any]
    size: tuple[int, ...]
    image: np.ndarray | None = None


class Preparation:
    """Reads inputs, and applies the test pipeline of a config without its loaders.

    Args:
        pipeline: transforms of the config's test data set. Transforms are skipped if they provide only keys that the
            inputs fill or ground truth (``gt_...``), see :mod:`visionzoo.datasets.transforms.providing`.
        inputs: kind of the inputs; images by default.

    Attributes:
        order: order of the colour channels in the pipeline, as its loader states; ``rgb`` without a loader.
    """

    def __init__(self, pipeline: list[Mapping[str, Any]], inputs: Input | None = None):
        self.inputs = ImageInput() if inputs is None else inputs
        steps = [dict(step) for step in pipeline]
        with DefaultScope.overwrite_default_scope(SCOPE), redirect_stdout(io.StringIO()):  # libraries print on import
            loaders = [step for step in steps if self._is_given(step)]
            self.transforms = [TRANSFORMS.build(step) for step in steps if step not in loaders]
            orders = [order for step in loaders if (order := channel_order_of(step))]
        self.order = orders[0] if orders else "rgb"

    def _is_given(self, step: Mapping[str, Any]) -> bool:
        """Return True if a transform provides only ground truth and keys that the inputs fill."""
        keys = provided_by(step)
        return bool(keys) and all(key.startswith("gt_") or key in self.inputs.provides for key in keys)

    def read(self, source: Source) -> Any:
        """Return the input in memory, or raise the error that replaces it."""
        if isinstance(source.value, ZooError):
            raise source.value
        return self.inputs.read(source)

    def __call__(self, source: Source, keep_image: bool = True) -> Prepared:
        """Prepare one input. Without ``keep_image`` no copy of the image is kept besides the sample.

        Raises:
            DataError, InputError: the input cannot be read or transformed.
        """
        value = self.read(source)
        item = self.item(source, value, keep_image)
        results = self.inputs.start([source], [value], order=self.order, keep=keep_image)
        del value
        item.sample = self._transformed(results, source.name, [item.size])
        return item

    def packed(self, source: Source, value: Any) -> dict[str, Any]:
        """Return the sample of one input, which was read before.

        Raises:
            InputError: it cannot be transformed.
        """
        results = self.inputs.start([source], [value], order=self.order, keep=True)
        return self._transformed(results, source.name, [self.inputs.size(value)])

    def item(self, source: Source, value: Any, keep_image: bool = True) -> Prepared:
        """Return an input that was read, with an empty sample."""
        image = self.inputs.image(value) if keep_image else None
        return Prepared(source.without_pixels(), {}, self.inputs.size(value), image)

    def group(self, sources: list[Source], values: list[Any]) -> dict[str, Any]:
        """Return one sample for all inputs of a group, which were read before.

        Raises:
            InputError: they cannot be transformed.
        """
        results = self.inputs.start(sources, values, order=self.order, keep=True)
        name = f"{sources[0].name} and {len(sources) - 1} more" if len(sources) > 1 else sources[0].name
        return self._transformed(results, name, [self.inputs.size(value) for value in values])

    def _transformed(
        self, results: dict[str, Any] | None, name: str, sizes: Sequence[tuple[int, ...]]
    ) -> dict[str, Any]:
        try:
            for transform in self.transforms:
                results = transform(results) if results is not None else None
        except _REFUSED as error:
            shown = ", ".join(sorted({"x".join(map(str, size)) for size in sizes}))
            raise InputError(
                name,
                expected=f"{self.inputs.noun} that the test pipeline can use",
                found=f"{shown} pixels",
                advice="crop it or make it larger",
            ) from error
        if results is None or "inputs" not in results:
            raise InputError(f"{name}: the test pipeline returns no sample; it must end with a Pack... transform")
        return results


def test_pipeline_of(cfg: Mapping[str, Any], source: str, tasks: Sequence[str] | None) -> list[Mapping[str, Any]]:
    """Return the transforms of inference: ``infer_pipeline`` of a config, else those of its test or validation data.

    The data sets of several tasks must have equal transforms, apart from what loads images and ground truth.

    Args:
        cfg: the config.
        source: name of the config in messages.
        tasks: the tasks that are predicted, for data sets by task; None for all.

    Raises:
        ConfigError: the config has no such pipeline, or the data sets of the tasks have different ones.

    Example:
        >>> test_pipeline_of({"test_dataloader": {"dataset": {"pipeline": [{"type": "LoadImage"}]}}}, "my.py", None)
        [{'type': 'LoadImage'}]
    """
    if cfg.get("infer_pipeline"):
        return list(cfg["infer_pipeline"])
    for loader in ("test_dataloader", "val_dataloader"):
        found = _pipeline_of((cfg.get(loader) or {}).get("dataset"), f"{source}: {loader}.dataset", tasks)
        if found:
            return found
    raise ConfigError(
        source, expected="a pipeline in test_dataloader.dataset", found="none", advice="inference needs its transforms"
    )


def _pipeline_of(dataset: Any, where: str, tasks: Sequence[str] | None) -> list[Mapping[str, Any]]:
    """Return the pipeline of a data set, of the one inside it, or of those by task; empty if it has none."""
    while isinstance(dataset, Mapping):
        if dataset.get("pipeline"):
            return list(dataset["pipeline"])
        if isinstance(dataset.get("datasets"), Mapping):
            chosen = {name: each for name, each in dataset["datasets"].items() if tasks is None or name in tasks}
            by_task = {task: _pipeline_of(each, where, None) for task, each in chosen.items()}
            return _common({task: pipeline for task, pipeline in by_task.items() if pipeline}, where)
        dataset = dataset.get("dataset")
    return []


def _common(by_task: Mapping[str, list[Mapping[str, Any]]], where: str) -> list[Mapping[str, Any]]:
    """Return the pipeline that the data sets of all tasks share, apart from what loads images and ground truth.

    Raises:
        ConfigError: two of them differ, so that one forward pass of the trunk cannot serve all tasks.
    """
    first = next(iter(by_task), "")
    kept = {task: [dict(step) for step in steps if not provided_by(step)] for task, steps in by_task.items()}
    for task, steps in kept.items():
        if steps != kept[first]:
            raise ConfigError(
                where,
                expected="one test pipeline for all tasks",
                found=f"other transforms for {first} than for {task}",
                advice=f"add infer_pipeline = [...] to the config, or choose a task, such as --task {first}",
            )
    return by_task[first] if by_task else []
