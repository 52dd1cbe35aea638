"""Preprocessing of a loader's samples: normalise and pad images, and combine them into one batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from visionzoo.allowed import Count, Numbers, Spreads
from visionzoo.errors import ConfigError, DataError
from visionzoo.registry import MODELS
from visionzoo.structures.task_sample import TaskSample

GROUPS = ("batch", "channels")


@MODELS.register_module()
class TaskPreprocessor(BaseDataPreprocessor):
    """Build batches for the general task model from one or several images per sample.

    The ``inputs`` of a sample are one image (C, H, W). If its data sample has a ``group_size``, they are G images
    (G, C, H, W): a group, a pair, or several crops. Volumes have three axes instead of H, W.

    Args:
        mean, std: one number per channel, in the inputs' units (0 to 255 for uint8); None for no normalisation.
        pad_size_divisor: sides are padded to a multiple of this number, >= 1, and to the largest image of the batch.
            Padding is added at the end of each axis.
        pad_value: value of the padding, after normalisation.
        groups: ``batch``: the images of all samples are consecutive on the batch axis, and ``group_size`` holds the
            number of images of each sample; ``channels``: the images of a sample become one image of G * C channels.
        batch_augments: one or several configs of batch augmentations for training, e.g. ``dict(type="MixupCutmix")``;
            each is called with the batch and its samples and returns both.
        non_blocking: copy to the device asynchronously.

    Raises:
        ConfigError: ``mean`` without ``std`` or of another length, or a setting out of its range.
        DataError: at a call: another number of channels, or groups of different sizes with ``groups="channels"``.

    Example:
        >>> preprocessor = TaskPreprocessor(pad_size_divisor=4)
        >>> batch = preprocessor({"inputs": [torch.zeros(3, 5, 4), torch.zeros(3, 2, 6)]})
        >>> batch["inputs"].shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        mean: Numbers | None = None,
        std: Spreads | None = None,
        pad_size_divisor: Count = 1,
        pad_value: float = 0.0,
        groups: str = "batch",
        batch_augments: Mapping | Sequence[Mapping] | None = None,
        non_blocking: bool = False,
    ):
        super().__init__(non_blocking=non_blocking)
        _check(mean, std, groups)
        self.pad_size_divisor, self.pad_value, self.groups = pad_size_divisor, pad_value, groups
        self.channels = None if mean is None else len(mean)
        self.register_buffer(
            "mean", None if mean is None else torch.tensor(mean, dtype=torch.float32), persistent=False
        )
        self.register_buffer("std", None if std is None else torch.tensor(std, dtype=torch.float32), persistent=False)
        listed = [batch_augments] if isinstance(batch_augments, Mapping) else list(batch_augments or ())
        self.batch_augments = [MODELS.build(dict(augment)) for augment in listed]

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Return ``inputs`` (N, C, H, W) float32 and ``data_samples``, a list of B samples or None without samples.

        N is the sum of the group sizes, B the number of samples. The metainfo of each sample receives ``group_size``,
        ``pad_shape``, ``batch_input_shape`` and, if it is missing, ``img_shape``. As in mmdet, ``pad_shape`` is the
        size of the sample rounded up to multiples of ``pad_size_divisor``, and ``batch_input_shape`` that of the batch.
        """
        data = self.cast_data(dict(data))
        samples = data.get("data_samples")
        groups = [
            self._normalised(self._as_group(inputs, index, samples), _name(index, samples))
            for index, inputs in enumerate(data["inputs"])
        ]
        batch = self._stacked(groups)
        if samples is not None:
            _tell(samples, groups, tuple(batch.shape[2:]), self.pad_size_divisor)
        for augment in self.batch_augments if training and samples is not None else ():
            batch, samples = augment(batch, samples)
        return {"inputs": batch, "data_samples": samples}

    def _as_group(self, inputs: Tensor, index: int, samples: Sequence[TaskSample] | None) -> Tensor:
        """Return the images of a sample as (G, C, ...), or as (1, G * C, ...) with ``groups="channels"``."""
        is_group = samples is not None and "group_size" in samples[index].metainfo
        group = inputs if is_group else inputs[None]
        return group.flatten(0, 1)[None] if self.groups == "channels" else group

    def _normalised(self, group: Tensor, name: str) -> Tensor:
        if self.mean is None or self.std is None:
            return group.float()
        if group.shape[1] != self.channels:
            raise DataError(
                name,
                expected=f"an image of {self.channels} channels, like mean and std",
                found=f"{group.shape[1]}",
                advice="convert it, or change mean and std of model.data_preprocessor",
            )
        shape = (-1,) + (1,) * (group.ndim - 2)
        return (group.float() - self.mean.view(shape)) / self.std.view(shape)

    def _stacked(self, groups: list[Tensor]) -> Tensor:
        """Pad all images at the end of every axis to the same size and concatenate them."""
        if len({group.shape[1] for group in groups}) > 1:
            found = sorted({group.shape[1] for group in groups})
            raise DataError(
                "batch",
                expected="samples with equal numbers of channels",
                found=f"{found}",
                advice="give all groups one size, or use groups='batch'",
            )
        sides = [max(group.shape[axis] for group in groups) for axis in range(2, groups[0].ndim)]
        target = _multiples(sides, self.pad_size_divisor)
        return torch.cat([_padded(group, target, self.pad_value) for group in groups])


def unnormalised(preprocessor: nn.Module, inputs: Tensor) -> Tensor:
    """Return images before the normalisation of a preprocessor, of this module or of mmdet and mmseg.

    Args:
        preprocessor: it may have ``mean`` and ``std``.
        inputs: (N, C, ...), normalised.

    Example:
        >>> preprocessor = TaskPreprocessor(mean=[10.0], std=[2.0])
        >>> unnormalised(preprocessor, torch.ones(1, 1, 1, 1)).item()
        12.0
    """
    mean, std = getattr(preprocessor, "mean", None), getattr(preprocessor, "std", None)
    if mean is None or std is None:
        return inputs
    shape = (-1,) + (1,) * (inputs.ndim - 2)
    return inputs * std.view(shape) + mean.view(shape)


def _check(mean: Any, std: Any, groups: str) -> None:
    if (mean is None) != (std is None) or (mean is not None and len(mean) != len(std)):
        raise ConfigError(
            "TaskPreprocessor",
            expected="mean and std of equal length, or neither",
            found=f"{mean} and {std}",
            advice="give both",
        )
    if groups not in GROUPS:
        raise ConfigError("TaskPreprocessor", expected=f"groups to be one of {', '.join(GROUPS)}", found=f"{groups!r}")


def _name(index: int, samples: Sequence[TaskSample] | None) -> str:
    path = None if samples is None else samples[index].metainfo.get("img_path")
    return str(path) if path is not None else f"image {index} of the batch"


def _padded(group: Tensor, target: Sequence[int], value: float) -> Tensor:
    missing = [side - have for side, have in zip(target, group.shape[2:], strict=True)]
    if not any(missing):
        return group
    widths = [width for amount in reversed(missing) for width in (0, amount)]
    return nn.functional.pad(group, widths, value=value)


def _tell(samples: Sequence[TaskSample], groups: Sequence[Tensor], size: tuple[int, ...], divisor: int) -> None:
    for sample, group in zip(samples, groups, strict=True):
        padded = _multiples(group.shape[2:], divisor)
        sample.set_metainfo({"group_size": len(group), "batch_input_shape": size, "pad_shape": padded})
        if "img_shape" not in sample.metainfo:
            sample.set_metainfo({"img_shape": tuple(group.shape[2:])})


def _multiples(sides: Iterable[int], divisor: int) -> tuple[int, ...]:
    """Return each side rounded up to a multiple of ``divisor``."""
    return tuple(-(-side // divisor) * divisor for side in sides)
