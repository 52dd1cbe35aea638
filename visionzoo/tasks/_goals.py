"""The value of a model that is explained, such as the logit of a class: what tasks share to compute it with gradients.

Torch is imported in functions only, because exported models run without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visionzoo.errors import ConfigError, InputError, UnknownName, counted

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Goal:
    """A value that a model computes, for which an explanation is made.

    Attributes:
        value: scalar with its graph. A higher value means more of the target.
        said: the target in words, for people.
        again: the target that names the same thing for the same model with other weights; None for the default.
        region: where the target is in the image without padding, (H, W) bool of any size, or (N, H, W) of a group; None
            for a target without a place.
    """

    value: Tensor
    said: str
    again: str | None = None
    region: Tensor | None = None


@dataclass(frozen=True)
class Fed:
    """A model, and one input as it is fed: one image, or all images of a group.

    Attributes:
        model: a ``TaskModel``, or a model of mmdet or mmseg, in evaluation mode.
        inputs: (N, C, H, W), preprocessed; N is 1, or the number of images of the group.
        samples: list of the one data sample.
        task: name of the task, which is also the name of its head if the model has several.
        thresholds: the score thresholds above 0 that the model applies itself, as paths in its config.
    """

    model: Any
    inputs: Tensor
    samples: list[Any]
    task: str
    thresholds: Sequence[str] = ()

    @property
    def head(self) -> Any:
        """The head of the task; of a model of mmdet or mmseg, which has no head of this name, the whole model."""
        heads = getattr(self.model, "heads", None)
        return getattr(self.model, "head", self.model) if heads is None else heads[self.task]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images without padding, in pixels of the input."""
        from visionzoo.layers.sample_sizes import image_size

        return image_size(self.samples[0], self.inputs.shape[2:])

    def raw(self) -> Any:
        """Return the raw outputs of the task's head, with gradients."""
        outputs = self.model(self.inputs, self.samples, mode="tensor")
        return outputs if getattr(self.model, "heads", None) is None else outputs[self.task]

    def run(self, method: str) -> Any:
        """Return the result of a method of the task's head, with gradients."""
        from visionzoo.structures.batch import Batch

        feats = self.model.extract_feat(self.inputs, self.samples)
        return getattr(self.head, method)(feats, Batch(self.inputs, self.samples))

    def predicted(self) -> Any:
        """Return the sample with the predictions of a head of mmdet or mmseg, with gradients."""
        from visionzoo.structures.task_sample import sample_of_task

        return sample_of_task(self.model(self.inputs, self.samples, mode="predict")[0], self.task)

    def inside(self, maps: Tensor) -> Tensor:
        """Cut the padding from maps (..., H, W) of the size of the inputs."""
        height, width = self.size
        return maps[..., :height, :width]

    def queries(self) -> tuple[Tensor, Tensor]:
        """Return the queries of a mask classifier, with gradients.

        Returns:
            Probabilities of the classes and of "no object", (Q, K + 1), and mask logits without padding, (Q, H, W).

        Raises:
            ConfigError: the model has no queries.
        """
        head, inner = self.head, getattr(self.head, "panoptic_head", None)
        if not hasattr(inner, "num_queries"):
            raise ConfigError(
                f"{self.task}",
                expected="a head with queries, such as Mask2FormerHead",
                found=type(head).__name__,
                advice="explain a model with such a head",
            )
        if hasattr(head, "queries"):
            classes, masks = self.run("queries")
        else:
            classes, masks = inner.predict(head.extract_feat(self.inputs), self.samples)  # type: ignore[union-attr]
        return classes[0].softmax(-1), self.inside(masks[0])


def no_goal(task: str) -> ConfigError:
    """Return the error of a task without a value to explain.

    Example:
        >>> str(no_goal("registration")).partition(",")[0]
        'registration: expected a task with one value to explain'
    """
    return ConfigError(
        task,
        expected="a task with one value to explain, such as the score of a class",
        but="its result is not a single value",
        advice="explain a model of another task",
    )


def label_of(target: str, names: Sequence[str] | None, classes: int, kind: str = "class") -> int:
    """Return the index of a class that is given by name or number.

    Args:
        target: its name, its number from 0, or ``class`` and the number.
        names: class names by label, or None.
        classes: number of classes.
        kind: the word for a class in messages.

    Raises:
        UnknownName: there is no such class.

    Example:
        >>> label_of("owl", ("cat", "owl"), 2), label_of("1", None, 2), label_of("class 0", None, 2)
        (1, 1, 0)
    """
    known = list(names or ())[:classes]
    if target in known:
        return known.index(target)
    number = target.removeprefix(kind).strip()
    if number.isdecimal() and int(number) < classes:
        return int(number)
    hint = f"use {'a name or ' if known else ''}a number from 0 to {classes - 1}"
    raise UnknownName(target, kind=kind, known=known, hint=hint)


def name_of(label: int, names: Sequence[str] | None) -> str:
    """Return the name of a class; ``class 3`` if names are unknown.

    Example:
        >>> name_of(0, ("cat",)), name_of(3, None)
        ('cat', 'class 3')
    """
    return names[label] if names is not None and label < len(names) else f"class {label}"


def refuse_target(task: str, target: str | None, what: str) -> None:
    """Raise :class:`ConfigError` if a target is given to a task that has only one.

    Args:
        task: the task.
        target: the given target, or None.
        what: what is always explained.
    """
    if target is not None:
        raise ConfigError(
            "--target", expected=f"none for {task}", found=f"{target!r}", advice=f"leave it out to explain {what}"
        )


def log_odds(prob: Tensor) -> Tensor:
    """Return the logarithm of p / (1 - p), finite also for 0 and 1.

    A sigmoid has the gradient p (1 - p), so that sure values would hardly count. Log-odds have the gradient 1.

    Example:
        >>> import torch
        >>> log_odds(torch.tensor([0.5, 1.0])).isfinite().all().item()
        True
    """
    import torch

    least = torch.finfo(prob.dtype).eps
    return (prob + least).log() - (1 - prob + least).log()


def mean_inside(values: Tensor, mask: Tensor) -> tuple[Tensor, str]:
    """Return the mean of a map over a mask, and the region in words; the highest pixel stands for an empty mask.

    Args:
        values: (H, W).
        mask: (H, W) bool.

    Example:
        >>> import torch
        >>> mean_inside(torch.tensor([[1.0, 3.0]]), torch.tensor([[True, True]]))
        (tensor(2.), '2 pixels')
    """
    pixels = int(mask.sum())
    if pixels:
        return values[mask].mean(), counted(pixels, "pixel")
    return values.max(), "its highest pixel, because the region is empty"


def best_of(scores: Tensor, labels: Tensor, label: int | None, what: str, advice: str) -> int:
    """Return the index of the best score of a class, or of all for None.

    Raises:
        InputError: this input has no such score.
    """
    chosen = (labels == labels if label is None else labels == label).nonzero()[:, 0]
    if not len(chosen):
        raise InputError(f"the model finds no {what} in this input, so that none can be explained; {advice}")
    return int(chosen[scores.detach()[chosen].argmax()])
