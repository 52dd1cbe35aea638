"""What runs a model for the Inferencer: PyTorch, or the runtime of an exported file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionzoo.errors import ConfigError
from visionzoo.inference.preparing import Preparation

BACKENDS = ("torch", "onnxruntime")
EXPORTED = {"name": "exported"}  # form of a file of `visionzoo export`


@dataclass(frozen=True)
class TaskClasses:
    """Classes of one task of a model.

    Attributes:
        names: class names by label; None if they are unknown.
        category_ids: category id of each label; None if it is the label plus one.
    """

    names: tuple[str, ...] | None = None
    category_ids: tuple[int, ...] | None = None


Check = Callable[[Mapping[str, TaskClasses]], object]


def unchecked(classes: Mapping[str, TaskClasses]) -> None:
    """Accept any classes."""


@dataclass(frozen=True)
class Backend:
    """A loaded model.

    Attributes:
        name: name of its config.
        classes: the classes of each of its tasks, by task.
        config: the config; of an exported model, its ``model`` and ``task``.
        prepare: reads and prepares inputs.
        run: function from ``inputs`` and ``data_samples`` of a batch to the predicted samples of each image, by task.
        fingerprint: function that returns a short hash of the weights.
        model: the PyTorch model; None for an exported one.
        device: device, whose text is written to ``run.json``.
        divisor: the model pads height and width to multiples of it.
        weights: file of the weights, or the exported file; None without.
        step: step of the training at which the weights were saved; empty if unknown.
        is_untrained: True if the model has parameters, but no weights were loaded.
        notes: lines for the user.
        folder: folder of the run that the model belongs to.
        form: function that returns the form in which the model runs, see :mod:`visionzoo.models.fast_form`.
    """

    name: str
    classes: Mapping[str, TaskClasses]
    config: Any
    prepare: Preparation
    run: Callable[[dict[str, list[Any]]], list[Mapping[str, Any]]]
    fingerprint: Callable[[], str]
    model: Any
    device: Any
    divisor: int
    weights: Path | None
    step: str
    is_untrained: bool
    notes: list[str] = field(default_factory=list)
    folder: Path | None = None
    form: Callable[[], dict[str, Any]] = lambda: EXPORTED

    @property
    def tasks(self) -> tuple[str, ...]:
        """Its tasks, in the order of the config."""
        return tuple(self.classes)

    @property
    def task(self) -> str:
        """The only task of the model; a :class:`ConfigError` if it has several."""
        return only_one({name: name for name in self.classes}, f"task of {self.name}")

    @property
    def names(self) -> tuple[str, ...] | None:
        """Class names of the only task."""
        return only_one(self.classes, f"classes of {self.name}").names

    @property
    def category_ids(self) -> tuple[int, ...] | None:
        """Category ids of the only task."""
        return only_one(self.classes, f"classes of {self.name}").category_ids


def only_one(values: Mapping[str, Any], what: str) -> Any:
    """Return the only value.

    Args:
        values: values by task.
        what: what is asked for, in the message.

    Raises:
        ConfigError: the model has several tasks.

    Example:
        >>> only_one({"lanes": 3}, "number")
        3
    """
    if len(values) > 1:
        raise ConfigError(
            what,
            expected="a model of one task",
            found=f"one of {', '.join(values)}",
            advice=f"choose a task, Inferencer(..., tasks={next(iter(values))!r})",
        )
    return next(iter(values.values()))
