"""Model of a backbone, a neck and one or several heads, for tasks without a model in mmdet or mmseg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mmengine.model import BaseModel
from torch import Tensor, nn

from visionzoo.config.parts import AUXILIARY_HEAD, HEAD, Part
from visionzoo.errors import ConfigError, DataError
from visionzoo.models.calling import run_head, run_part, run_text_encoder, warn_of_former_heads
from visionzoo.models.joint_losses import build_weighting, combined_loss, with_combined_loss
from visionzoo.models.library_heads import build_head
from visionzoo.models.preprocessing import unnormalised
from visionzoo.models.several_heads import Share, build_heads, joined, shares_of
from visionzoo.models.tiling import dense_by_tiles, tiling_of
from visionzoo.registry import MODELS
from visionzoo.structures.batch import Batch, TextStates
from visionzoo.structures.shared_images import distinct_images
from visionzoo.structures.task_sample import TaskSample

MODES = ("tensor", "loss", "predict")


@MODELS.register_module()
class TaskModel(BaseModel):
    """Backbone, optional neck, and one or several heads, which compute their losses and predictions.

    A sample has one image or several: a group, a pair or crops. The images of a sample are consecutive on the batch
    axis. The metainfo ``group_size`` is their number; the default is 1. A head receives the feature maps and a
    :class:`~visionzoo.structures.batch.Batch`: ``head(feats, batch)``, ``head.loss(feats, batch)``,
    ``head.predict(feats, batch)``. A backbone or neck receives the batch as second argument if its ``forward`` has a
    parameter called ``batch``.

    Heads of mmdet and mmseg are heads as well, see :mod:`visionzoo.models.library_heads`.

    Several heads share one forward pass of backbone and neck. A sample with a ``task`` in its metainfo is passed only
    to the head of that name, and one with ``heads`` only to the heads of these names. Every other sample is passed to
    all heads.

    Args:
        backbone: config of the backbone, which maps images (N, 3, H, W) to a tuple of feature maps.
        head: config of the head of a model with one head. The head's docstring lists the fields of a sample that it
            reads and writes.
        neck: config of the neck, which maps feature maps to feature maps.
        auxiliary_head: one or several heads that only add losses in training. The names of these losses begin with
            ``aux.``, or with ``aux_0.``, ``aux_1.`` and so on if there are several.
        data_preprocessor: usually ``TaskPreprocessor``.
        train_cfg: not used by this class.
        test_cfg: ``dict(tile=1024, margin=128)``: a batch that is higher or wider than ``tile`` pixels is predicted
            tile by tile, see :mod:`visionzoo.models.tiling`. None: no tiles.
        init_cfg: initialisation, as in mmengine.
        text_encoder: config of the text encoder, which maps the phrases of a batch, a list of B strings, to
            ``TextStates``. It runs once per batch, and receives the batch as second argument if its ``forward`` has a
            parameter called ``batch``. Parts read the result from ``batch.text``; their ``text_channels`` are the
            ``out_channels`` of the encoder. One image with several samples is one image with several phrases. In mode
            ``predict``, samples with equal ``shared_image`` in their metainfo are such an image.
        heads: configs of several heads by name, instead of ``head``: ``dict(lanes=dict(type=...), ...)``. If the config
            lists several tasks, each of them needs a head with its name.
        loss_weighting: how the losses of ``heads`` become one number, such as ``dict(type="FixedWeights")``; see
            :mod:`visionzoo.losses.weighting`. None: their sum.

    Raises:
        ConfigError: neither or both of ``head`` and ``heads`` are given, or one is not a dict; ``tile`` is set for a
            head without a dense map or for a model with a text encoder, or is too small for two margins;
            ``loss_weighting`` without ``heads``; in ``forward``, ``mode`` is unknown.
        DataError: in ``forward``, a sample has no phrase for the text encoder, or no head has the name of its task.

    Example:
        >>> import torch
        >>> from visionzoo.models.wiring import build_model
        >>> backbone = dict(type="BossNet", variant="tiny")
        >>> heads = dict(animal=dict(type="ClassificationHead"), place=dict(type="ClassificationHead", num_classes=5))
        >>> model = build_model(dict(type="TaskModel", backbone=backbone, heads=heads), num_classes=3)
        >>> {name: tuple(logits.shape) for name, logits in model(torch.zeros(2, 3, 32, 48)).items()}
        {'animal': (2, 3), 'place': (2, 5)}
    """

    PARTS: dict[str, Part] = {
        "data_preprocessor": Part("preprocessor"),
        "backbone": Part("backbone"),
        "neck": Part("neck"),
        "head": Part(HEAD),
        "heads": Part(HEAD, named=True, instead_of="head"),
        "auxiliary_head": Part(AUXILIARY_HEAD, listed=True),
        "text_encoder": Part("text encoder"),
        "loss_weighting": Part("loss weighting"),
    }

    def __init__(
        self,
        backbone: Mapping,
        head: Mapping | None = None,
        neck: Mapping | None = None,
        auxiliary_head: Mapping | Sequence[Mapping] | None = None,
        data_preprocessor: Mapping | None = None,
        train_cfg: Mapping | None = None,
        test_cfg: Mapping | None = None,
        init_cfg: Any = None,
        text_encoder: Mapping | None = None,
        heads: Mapping[str, Mapping] | None = None,
        loss_weighting: Mapping | None = None,
    ):
        super().__init__(data_preprocessor, init_cfg)
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        self.backbone = MODELS.build(dict(backbone))
        self.neck = None if neck is None else MODELS.build(dict(neck))
        _check_heads(head, heads)
        self.head: Any = None if head is None else build_head(head)
        self.heads: Any = None if heads is None else build_heads(heads)
        listed = [auxiliary_head] if isinstance(auxiliary_head, Mapping) else list(auxiliary_head or ())
        self.auxiliary_head = nn.ModuleList(build_head(cfg) for cfg in listed)
        self.text_encoder = None if text_encoder is None else MODELS.build(dict(text_encoder))
        warn_of_former_heads([*self.main_heads(), *self.auxiliary_head])
        whole: Any = self.head if self.heads is None else self.heads
        self.tiling = tiling_of(test_cfg, whole, self.text_encoder)
        self.loss_weighting = build_weighting(loss_weighting, heads, [name for name, _ in self._trunk()])
        self.loss_scale = 1.0  # a gradient scaler sets its factor here

    @property
    def with_neck(self) -> bool:
        """True if the model has a neck."""
        return self.neck is not None

    @property
    def has_idle_parts(self) -> bool:
        """True if a batch may train only some of the heads, so that several processes must look for unused parts."""
        return self.heads is not None and len(self.heads) > 1

    def forward(
        self, inputs: Tensor, data_samples: Sequence[TaskSample] | None = None, mode: str = "tensor"
    ) -> Tensor | dict[str, Tensor] | Sequence[TaskSample] | Any:
        """Run the model on one batch.

        Args:
            inputs: (N, C, H, W), preprocessed.
            data_samples: B samples whose group sizes sum to N; may be None in mode ``tensor``.
            mode: ``tensor``, ``loss`` or ``predict``.

        Returns:
            ``tensor``: the raw outputs of the head. ``loss``: a dict of scalars; with a ``loss_weighting`` also the
            weights, and the number to minimise as ``combined``. ``predict``: the samples with predictions. With several
            heads, ``tensor`` returns a dict of outputs by head, and the name of each loss begins with the name of its
            head and a dot. ``predict`` returns samples with one field per head; the field is a sample with the
            predictions of that head. If a sample has a ``task``, the predictions are direct fields of the sample.

        Raises:
            ConfigError: ``mode`` is unknown.
            DataError: a sample has no phrase for the text encoder, or no head has the name of its task.
        """
        if mode not in MODES:
            raise ConfigError(
                "TaskModel", expected=f"a mode of {', '.join(MODES)}", found=f"{mode!r}", advice="use one of them"
            )
        if mode == "predict" and data_samples is not None and self.text_encoder is not None:
            return self._predicted_by_image(inputs, data_samples)
        return self._run(inputs, data_samples, mode)

    def _predicted_by_image(self, inputs: Tensor, samples: Sequence[TaskSample]) -> Sequence[TaskSample]:
        """Predict phrases; what does not depend on the phrase runs once for each image."""
        first, image = distinct_images(samples)
        if len(first) == len(samples):
            return self._run(inputs, samples, "predict")
        predicted: dict[int, TaskSample] = {}
        for number, index in enumerate(first):
            members = [at for at, shown in enumerate(image) if shown == number]
            found = self._run(inputs[index : index + 1], [samples[at] for at in members], "predict")
            predicted |= dict(zip(members, found, strict=True))
        return [predicted[at] for at in range(len(samples))]

    def _run(self, inputs: Tensor, data_samples: Sequence[TaskSample] | None, mode: str) -> Any:
        batch = self._batch(inputs, data_samples)
        if mode == "predict" and self.tiling is not None and self.tiling.applies_to(inputs):
            return self.head.write(dense_by_tiles(batch, self.head, self.tiling), data_samples)
        feats = self._encoded(batch)
        if mode == "loss":
            return self._losses(feats, batch)
        if self.heads is not None:
            return self._raw_outputs(feats, batch) if mode == "tensor" else self._predictions(feats, batch)
        return run_head(self.head, "forward" if mode == "tensor" else "predict", feats, batch)

    def graph_batch(self, inputs: Tensor, text: TextStates | None = None) -> Batch:
        """Return what the heads receive besides the feature maps, for an exported graph; ``encode`` makes these maps.

        Args:
            inputs: (B, C, H, W), preprocessed.
            text: encoded phrases, one for each image, for a model with a text encoder.
        """
        batch = Batch(inputs, text=text, unnormalised=partial(unnormalised, self.data_preprocessor))
        return self._with_encode(batch)

    def extract_feat(self, inputs: Tensor, data_samples: Sequence[TaskSample] | None = None) -> tuple[Tensor, ...]:
        """Return the feature maps that the heads read."""
        return self._encoded(self._batch(inputs, data_samples))

    def _batch(self, inputs: Tensor, samples: Any) -> Batch:
        batch = Batch(inputs, samples, unnormalised=partial(unnormalised, self.data_preprocessor))
        if self.text_encoder is not None:
            batch = replace(batch, text=run_text_encoder(self.text_encoder, _phrases(samples), batch))
        return self._with_encode(batch)

    def _with_encode(self, batch: Batch) -> Batch:
        return replace(batch, encode=lambda images: self._encoded(replace(batch, inputs=images)))

    def _encoded(self, batch: Batch) -> tuple[Tensor, ...]:
        feats = run_part(self.backbone, batch.inputs, batch)
        feats = feats if self.neck is None else run_part(self.neck, feats, batch)
        phrases = 1 if batch.text is None else len(batch.text.states)
        if phrases == 1:
            return feats
        return tuple(feat.expand(phrases, *feat.shape[1:]) if len(feat) == 1 else feat for feat in feats)

    def _losses(self, feats: tuple[Tensor, ...], batch: Batch) -> dict[str, Tensor]:
        losses = {} if self.head is None else dict(run_head(self.head, "loss", feats, batch))
        for name, share in self._shares(feats, batch).items():
            losses |= _named(name, share.run("loss"))
        for number, head in enumerate(self.auxiliary_head):
            prefix = "aux" if len(self.auxiliary_head) == 1 else f"aux_{number}"
            losses |= _named(prefix, run_head(head, "loss", feats, batch))
        if self.loss_weighting is None:
            return losses
        return with_combined_loss(losses, self.loss_weighting, dict(self._trunk()), self.loss_scale)

    def parse_losses(self, losses: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the number to minimise, and the numbers for the log."""
        combined, others = combined_loss(losses)
        total, logged = super().parse_losses(others)
        return (total, logged) if combined is None else (combined, {**logged, "loss": combined})

    def _trunk(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield name and value of each trained parameter that all heads share."""
        for name in ("backbone", "neck", "text_encoder"):
            part = getattr(self, name)
            named = () if part is None else part.named_parameters(prefix=name)
            yield from ((key, value) for key, value in named if value.requires_grad)

    def _raw_outputs(self, feats: tuple[Tensor, ...], batch: Batch) -> dict[str, Any]:
        return {name: share.run("forward") for name, share in self._shares(feats, batch).items()}

    def _predictions(self, feats: tuple[Tensor, ...], batch: Batch) -> list[TaskSample]:
        return joined(batch.samples, {name: share.predictions() for name, share in self._shares(feats, batch).items()})

    def _shares(self, feats: tuple[Tensor, ...], batch: Batch) -> dict[str, Share]:
        return {} if self.heads is None else shares_of(self.heads, feats, batch, self._with_encode)

    def main_heads(self) -> list[Any]:
        """Return the head, or the heads in the config's order, without auxiliary heads."""
        return [self.head] if self.heads is None else list(self.heads.values())


def _check_heads(head: Any, heads: Any) -> None:
    if (head is None) == (heads is None):
        raise ConfigError(
            "TaskModel",
            expected="either head or heads",
            found="neither" if head is None else "both",
            advice="give head=dict(type=...), or heads=dict(NAME=dict(type=...))",
        )
    if head is not None and not isinstance(head, Mapping):
        raise ConfigError("TaskModel.head", expected="a dict with a type", found=f"{head!r}", advice="give one head")


def _named(prefix: str, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in losses.items()}


def _phrases(samples: Sequence[TaskSample] | None) -> list[str]:
    absent = 0 if samples is None else sum("phrase" not in sample.metainfo for sample in samples)
    if samples is None or absent:
        raise DataError(
            "batch",
            expected="a phrase in every sample for the text encoder",
            found="no samples" if samples is None else f"{absent} of {len(samples)} samples without one",
            advice="add phrase to the metainfo of each sample",
        )
    return [sample.metainfo["phrase"] for sample in samples]
