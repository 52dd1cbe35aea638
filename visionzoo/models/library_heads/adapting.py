"""What the adapters of mmdet's and mmseg's heads have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch

_PREDICTED = "pred_"


class LibraryHead(BaseModule):
    """Base of the adapters. The inner head is an attribute with its name in the models of its library.

    A weight ``bbox_head.retina_cls.weight`` of a detector is thus ``head.bbox_head.retina_cls.weight`` of the task
    model, or ``heads.detection.bbox_head.retina_cls.weight``.

    Attributes:
        PART: name of the inner head in the models of its library.
        INNER: base class of the inner head.
        FINDS_OBJECTS: True if the classes of the head are only the things of the data.
    """

    PART: ClassVar[str]
    INNER: ClassVar[type] = nn.Module
    FINDS_OBJECTS: ClassVar[bool] = False

    def __init__(self, head: nn.Module):
        super().__init__()
        self.add_module(self.PART, head)

    @classmethod
    def of_config(cls, cfg: ConfigDict) -> LibraryHead:
        """Build the inner head and its adapter; ``cfg`` may be changed."""
        return cls(MODELS.build(cfg))

    @property
    def inner(self) -> Any:
        """The head of the library."""
        return getattr(self, self.PART)

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> Any:
        """Return the raw outputs of the inner head."""
        return self.inner(tuple(feats))


def summed(losses: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return losses as scalars. The losses of levels, a list, are summed as in mmengine.

    Example:
        >>> import torch
        >>> summed({"loss_cls": [torch.tensor([1.0, 3.0]), torch.tensor(1.0)]})
        {'loss_cls': tensor(3.)}
    """
    return {
        name: sum((each.mean() for each in value[1:]), value[0].mean()) if isinstance(value, (list, tuple)) else value
        for name, value in losses.items()
    }


def with_predictions(samples: Sequence[BaseDataElement], predicted: Sequence[BaseDataElement]) -> list[BaseDataElement]:
    """Return the samples of the batch with the predictions of the samples that the library's head received."""
    for sample, found in zip(samples, predicted, strict=True):
        sample.set_data({key: value for key, value in found.items() if key.startswith(_PREDICTED)})
    return list(samples)
