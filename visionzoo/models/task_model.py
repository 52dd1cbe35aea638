"""The model of every task that mmdet and mmseg have none for: backbone, neck and head joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmengine.model import BaseModel
from torch import Tensor, nn

from visionzoo.config.parts import Part
from visionzoo.errors import ConfigError, DataError
from visionzoo.models.calling import run_head, run_part, warn_of_former_heads
from visionzoo.models.tiling import dense_by_tiles, tiling_of
from visionzoo.registry import MODELS
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample

MODES = ("tensor", "loss", "predict")


@MODELS.register_module()
class TaskModel(BaseModel):
    """A backbone, an optional neck and a head that owns its losses and predictions.

    What a sample consists of is its data sample's affair. The images of a group, of a pair or several crops follow
    each other on the batch axis, and ``group_size`` in every sample says which belong together. Heads get a
    :class:`~visionzoo.structures.batch.Batch` besides the feature maps: ``head(feats, batch)``, ``head.loss(feats,
    batch)``, ``head.predict(feats, batch)``. A backbone or neck gets it as second argument if its ``forward`` has a
    parameter called ``batch``.

    Args:
        backbone: (N, 3, H, W) to a tuple of feature maps.
        head: what it reads and gives, its own docstring says.
        neck: from feature maps to feature maps.
        text_encoder: from the phrases of a batch, a list of B strings, to ``TextStates``; called once a batch, read as
            ``batch.text``.
        auxiliary_head: one or several heads that only add losses in training, named ``aux.`` and so on.
        data_preprocessor: usually ``TaskPreprocessor``.
        train_cfg: kept for whoever asks.
        test_cfg: ``dict(tile=1024, margin=128)``: images with a longer side are predicted tile by tile, see
            :mod:`visionzoo.models.tiling`; None for whole images.
        init_cfg: mmengine's.

    Raises:
        ConfigError: ``head`` is no dict; tiles are asked of a head that gives no dense map, or have
            no room between their margins.
        DataError: at a call: a text encoder, and a sample without a phrase.
    """

    PARTS: dict[str, Part] = {
        "data_preprocessor": Part("preprocessor"),
        "backbone": Part("backbone"),
        "neck": Part("neck"),
        "head": Part("head"),
        "auxiliary_head": Part("auxiliary head", listed=True),
        "text_encoder": Part("text encoder"),
    }

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
        text_encoder: Mapping | None = None,
    ):
        super().__init__(data_preprocessor, init_cfg)
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        self.backbone = MODELS.build(dict(backbone))
        self.neck = None if neck is None else MODELS.build(dict(neck))
        if not isinstance(head, Mapping):
            raise ConfigError(
                "TaskModel.head", expected="a dict with a type", found=f"{head!r}", advice="give one head"
            )
        self.head = MODELS.build(dict(head))
        listed = [auxiliary_head] if isinstance(auxiliary_head, Mapping) else list(auxiliary_head or ())
        self.auxiliary_head = nn.ModuleList(MODELS.build(dict(cfg)) for cfg in listed)
        self.text_encoder = None if text_encoder is None else MODELS.build(dict(text_encoder))
        warn_of_former_heads([self.head, *self.auxiliary_head])
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
            raise ConfigError(
                "TaskModel", expected=f"a mode of {', '.join(MODES)}", found=f"{mode!r}", advice="use one of them"
            )
        batch = self._batch(inputs, data_samples)
        if mode == "predict" and self.tiling is not None and self.tiling.applies_to(inputs):
            return self.head.write(dense_by_tiles(batch, self.head, self.tiling), data_samples)
        feats = self._encoded(batch)
        if mode == "loss":
            return self._losses(feats, batch)
        return run_head(self.head, "forward" if mode == "tensor" else "predict", feats, batch)

    def extract_feat(self, inputs: Tensor, data_samples: Sequence[TaskSample] | None = None) -> tuple[Tensor, ...]:
        """The feature maps that the head reads."""
        return self._encoded(self._batch(inputs, data_samples))

    def _batch(self, inputs: Tensor, samples: Any) -> Batch:
        text = None if self.text_encoder is None else self.text_encoder(_phrases(samples))
        batch = Batch(inputs, samples, lambda images: self._encoded(replace(batch, inputs=images)), text)
        return batch

    def _encoded(self, batch: Batch) -> tuple[Tensor, ...]:
        feats = run_part(self.backbone, batch.inputs, batch)
        return feats if self.neck is None else run_part(self.neck, feats, batch)

    def _losses(self, feats: tuple[Tensor, ...], batch: Batch) -> dict[str, Tensor]:
        losses = dict(run_head(self.head, "loss", feats, batch))
        for number, head in enumerate(self.auxiliary_head):
            prefix = "aux" if len(self.auxiliary_head) == 1 else f"aux_{number}"
            terms: dict[str, Tensor] = run_head(head, "loss", feats, batch)
            losses |= {f"{prefix}.{name}": value for name, value in terms.items()}
        return losses


def _phrases(samples: Sequence[TaskSample] | None) -> list[str]:
    if samples is None or any("phrase" not in sample.metainfo for sample in samples):
        raise DataError(
            "batch", expected="a phrase in every sample for the text encoder", found="none", advice="add phrase to each"
        )
    return [sample.metainfo["phrase"] for sample in samples]
