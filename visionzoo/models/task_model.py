"""The model of every task that mmdet and mmseg have none for: backbone, neck and head joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mmengine.model import BaseModel
from torch import Tensor, nn

from visionzoo.errors import ConfigError
from visionzoo.models.tiling import dense_by_tiles, tiling_of
from visionzoo.registry import MODELS
from visionzoo.structures.task_sample import TaskSample

MODES = ("tensor", "loss", "predict")


@MODELS.register_module()
class TaskModel(BaseModel):
    """A backbone, an optional neck and a head that owns its losses and predictions.

    What a sample consists of is its data sample's affair. The images of a group, of a pair or several crops follow
    each other on the batch axis, and ``group_size`` in every sample says which belong together. A part that depends on
    more than pixels (a phrase) has the attribute ``reads_samples = True`` and is called with the samples as second
    argument. Heads always get both: ``head(feats, samples)``, ``head.loss(feats, samples)``, ``head.predict(feats,
    samples)``. A head that depends on more than feature maps has the attribute ``reads_inputs = True`` and gets two
    keyword arguments more: ``inputs``, the batch of images (N, C, H, W) as the backbone gets it, and ``encode``, a
    function from such images, changed as the head likes, to their feature maps.

    Args:
        backbone: (N, 3, H, W) to a tuple of feature maps.
        head: what it reads and gives, its own docstring says.
        neck: from feature maps to feature maps.
        auxiliary_head: one or several heads that only add losses in training, named ``aux.`` and so on.
        data_preprocessor: usually ``TaskPreprocessor``.
        train_cfg: kept for whoever asks.
        test_cfg: ``dict(tile=1024, margin=128)``: images with a longer side are predicted tile by tile, see
            :mod:`visionzoo.models.tiling`; None for whole images.
        init_cfg: mmengine's.

    Raises:
        ConfigError: tiles are asked of a head that gives no dense map, or have no room between their margins.
    """

    def __init__(
        self,
        backbone: Mapping,
        head: Mapping,
        neck: Mapping | None = None,
        auxiliary_head: Mapping | Sequence[Mapping] | None = None,
        data_preprocessor: Mapping | None = None,
        train_cfg: Mapping | None = None,
        test_cfg: Mapping | None = None,
        init_cfg: Any = None,
    ):
        super().__init__(data_preprocessor, init_cfg)
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        self.backbone = MODELS.build(dict(backbone))
        self.neck = None if neck is None else MODELS.build(dict(neck))
        self.head = MODELS.build(dict(head))
        listed = [auxiliary_head] if isinstance(auxiliary_head, Mapping) else list(auxiliary_head or ())
        self.auxiliary_head = nn.ModuleList(MODELS.build(dict(cfg)) for cfg in listed)
        self.tiling = tiling_of(test_cfg, self.head)

    @property
    def with_neck(self) -> bool:
        """Whether there is a neck."""
        return self.neck is not None

    def forward(
        self, inputs: Tensor, data_samples: Sequence[TaskSample] | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor] | Sequence[TaskSample] | Any:
        """One batch.

        Args:
            inputs: (N, C, H, W), preprocessed.
            data_samples: B samples whose group sizes sum to N; may be None in mode ``tensor``.
            mode: ``tensor`` for the head's raw outputs, ``loss`` for a dict of scalars, ``predict`` for the samples
                with predictions.
        """
        if mode not in MODES:
            raise ConfigError(f"TaskModel: expected a mode of {', '.join(MODES)}, found {mode!r}; use one of them")
        if mode == "predict" and self.tiling is not None and self.tiling.applies_to(inputs):
            dense = dense_by_tiles(inputs, data_samples, self.extract_feat, self.head, self.tiling)
            return self.head.write(dense, data_samples)
        feats = self.extract_feat(inputs, data_samples)
        if mode == "tensor":
            return self.head(feats, data_samples, **self._more_for(self.head, inputs, data_samples))
        if mode == "predict":
            return self.head.predict(feats, data_samples, **self._more_for(self.head, inputs, data_samples))
        return self._losses(feats, data_samples, inputs)

    def extract_feat(self, inputs: Tensor, data_samples: Sequence[TaskSample] | None = None) -> tuple[Tensor, ...]:
        """The feature maps that the head reads."""
        feats = _run(self.backbone, inputs, data_samples)
        return feats if self.neck is None else _run(self.neck, feats, data_samples)

    def _more_for(self, head: Any, inputs: Tensor, samples: Any) -> dict[str, Any]:
        """Keyword arguments of a head that reads the images as well."""
        if not getattr(head, "reads_inputs", False):
            return {}
        return {"inputs": inputs, "encode": partial(self.extract_feat, data_samples=samples)}

    def _losses(self, feats: tuple[Tensor, ...], samples: Any, inputs: Tensor) -> dict[str, Tensor]:
        losses = dict(self.head.loss(feats, samples, **self._more_for(self.head, inputs, samples)))
        for number, head in enumerate(self.auxiliary_head):
            prefix = "aux" if len(self.auxiliary_head) == 1 else f"aux_{number}"
            more = self._more_for(head, inputs, samples)
            found: dict[str, Tensor] = head.loss(feats, samples, **more)  # type: ignore[operator]
            losses |= {f"{prefix}.{name}": value for name, value in found.items()}
        return losses


def _run(part: nn.Module, inputs: Any, samples: Any) -> tuple[Tensor, ...]:
    feats = part(inputs, samples) if getattr(part, "reads_samples", False) else part(inputs)
    return (feats,) if isinstance(feats, Tensor) else tuple(feats)
