"""Proposals from an instance segmenter of the zoo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from visionzoo.allowed import Count, Share
from visionzoo.config.loading import LoadedConfig
from visionzoo.errors import ConfigError
from visionzoo.layers.sample_sizes import original_size
from visionzoo.models.wiring import fill_model, trunk_levels
from visionzoo.providers.images import images_of
from visionzoo.registry import MODELS
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample
from visionzoo.tasks import task_of
from visionzoo.weights.choosing import chosen_weights
from visionzoo.weights.ready_model import ready_model
from visionzoo.weights.runs import load_with_weights

UNTRAINED = "none"
_ROI_SIZE = 7
_ROI_STRIDE = 16  # stride of the feature map for RoIAlign; the nearest one is used


@dataclass(frozen=True)
class _Known:
    """Objects of one image, to be found again in the next batch with the same image."""

    pixels: Tensor
    size: tuple[int, int]
    objects: InstanceData


@MODELS.register_module()
class ZooSegmenter:
    """Objects that an instance segmenter finds, as proposals for :class:`~visionzoo.heads.wico.WiCoHead`.

    The segmenter is frozen and runs in evaluation mode, once for each image: phrases of one image share its objects. It
    is not a part of the model: its tensors are not in the model's checkpoints. The first batch builds it, with its
    weights, on the device of the batch. Each image gets the aspect ratio of its file and the size of the segmenter's
    test images.

    Args:
        model: an instance segmenter of the zoo, a config file or the folder of a run.
        weights: file, folder of a run or address. None: those of the run. ``none``: an untrained segmenter, for tests.
        tiny: use the tiny variant of the config.
        score_threshold: least score of an object.
        most: largest number of objects of an image; the best ones are kept.
        features: give features of each object, RoIAlign (7x7) in a feature map of the segmenter. They do not depend on
            the phrase. False: the head crops its own map.

    Attributes:
        num_labels: number of classes of the segmenter.
        feature_channels: channels of the features; 0 for none.

    Raises:
        ConfigError: the model is not an instance segmenter; at the first batch: it has no weights.
        UnknownName: no model has this name.
        CheckpointError: at the first batch: the weights cannot be read or do not fit.
        DataError: at a call: the batch has no images.

    Example:
        >>> provider = ZooSegmenter("rcnet_mask_rcnn", "none", tiny=True)
        >>> batch = Batch(torch.zeros(1, 3, 48, 64), [TaskSample()])
        >>> found = provider(batch)[0]
        >>> found.masks.shape[1:], found.features.shape[1] == provider.feature_channels
        (torch.Size([48, 64]), True)
    """

    PART_OF = "WiCoHead"

    def __init__(
        self,
        model: str,
        weights: str | None = None,
        *,
        tiny: bool = False,
        score_threshold: Share = 0.05,
        most: Count = 20,
        features: bool = True,
    ):
        again = "provider=dict(type='ZooSegmenter', model='{run}')"
        loaded = load_with_weights(model, _file(weights), again=again, tiny=tiny)
        _require_instances(loaded)
        thresholds = [option.partition("=")[0] for option in task_of("instances").options(loaded.cfg.model)]
        options = dict.fromkeys(thresholds, score_threshold)  # the threshold of the segmenter may be higher
        self.loaded = load_with_weights(model, _file(weights), again=again, tiny=tiny, options=options)
        self.weights, self.score_threshold, self.most = weights, score_threshold, most
        self.num_labels = _most_classes(fill_model(self.loaded.cfg.model))
        levels = trunk_levels(self.loaded.cfg.model)
        self._level = min(range(len(levels.strides)), key=lambda level: abs(levels.strides[level] - _ROI_STRIDE))
        self._stride = levels.strides[self._level]
        self.feature_channels = levels.channels[self._level] * _ROI_SIZE**2 if features else 0
        self._segmenter: nn.Module | None = None
        self._known: _Known | None = None

    def __call__(self, batch: Batch) -> list[InstanceData]:
        """Return the objects of each sample.

        Args:
            batch: ``inputs`` are one image of each sample, or one image of all samples.

        Returns:
            B ``InstanceData`` with ``boxes`` (K, 4), xyxy, and ``masks`` (K, H, W) bool, in pixels of the image in
            ``inputs`` without padding, ``labels`` (K,), ``scores`` (K,), and with ``features`` also ``features``
            (K, F).
        """
        images = images_of(batch)
        found = self._found(images.pixels, images.samples)
        return [found[at] for at in images.of_sample]

    def _found(self, images: Sequence[Tensor], samples: Sequence[TaskSample]) -> list[InstanceData]:
        """Return the objects of images (3, H, W), RGB of 0 to 255. The last image of the last batch is known."""
        sizes = [original_size(sample, image.shape[1:]) for image, sample in zip(images, samples)]
        old = [self._remembered(image, size) for image, size in zip(images, sizes)]
        new = [at for at, each in enumerate(old) if each is None]
        made = iter(self._segmented([images[at] for at in new], [sizes[at] for at in new]) if new else ())
        found = [next(made) if each is None else each for each in old]
        self._known = _Known(images[-1], sizes[-1], found[-1])
        return found

    def _remembered(self, image: Tensor, size: tuple[int, int]) -> InstanceData | None:
        known = self._known
        is_known = known is not None and known.size == size and known.pixels.device == image.device
        return known.objects if is_known and torch.equal(known.pixels, image) else None  # type: ignore[union-attr]

    @torch.no_grad()
    def _segmented(self, images: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[InstanceData]:
        segmenter = self._built(images[0].device)
        from mmdet.structures import DetDataSample  # takes seconds

        inputs, samples = [], []
        for image, size in zip(images, sizes):
            height, width = _scaled(size, self.loaded.cfg.get("image_size", {}).get("size", size))
            own = image.shape[1:]
            resized = F.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]
            inputs.append(resized.round().clamp(0, 255).to(torch.uint8))
            scale = (width / own[1], height / own[0])
            info = dict(ori_shape=tuple(own), img_shape=(height, width), scale_factor=scale)
            samples.append(DetDataSample(metainfo=info))
        data = segmenter.data_preprocessor({"inputs": inputs, "data_samples": samples}, False)  # type: ignore[operator]
        with _outputs_of(segmenter.neck if segmenter.with_neck else segmenter.backbone) as maps:  # type: ignore[arg-type]
            predicted = segmenter(**data, mode="predict")
        return [self._objects(sample, maps[-1], at) for at, sample in enumerate(predicted)]

    def _objects(self, sample: Any, maps: Sequence[Tensor], at: int) -> InstanceData:
        """Return the best objects of the image ``at`` of a batch."""
        found = sample.pred_instances
        found = found[found.scores >= self.score_threshold]
        found = found[found.scores.argsort(descending=True, stable=True)[: self.most]]
        boxes = found.bboxes.float()
        objects = InstanceData(boxes=boxes, masks=found.masks.bool(), labels=found.labels, scores=found.scores)
        if self.feature_channels:
            scale = boxes.new_tensor(sample.metainfo["scale_factor"][:2]).repeat(2)
            feat = maps[self._level][at : at + 1].float()
            options = dict(spatial_scale=1 / self._stride, aligned=True)
            objects.features = roi_align(feat, [boxes * scale], _ROI_SIZE, **options).flatten(1)  # type: ignore[arg-type]
        return objects

    def _built(self, device: torch.device) -> nn.Module:
        if self._segmenter is None:
            if self.weights is None and self.loaded.run is None:
                raise ConfigError(
                    "ZooSegmenter.weights",
                    expected=f"weights of {self.loaded.name}",
                    found="none",
                    advice=f"train it with `visionzoo train {self.loaded.name}` and set model.head.provider.weights to "
                    "the folder of the run",
                )
            source = self.loaded.run if self.weights is None else chosen_weights(self.loaded, _file(self.weights))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # an untrained segmenter gives the same objects in every run
                self._segmenter = ready_model(self.loaded, source, device=str(device)).requires_grad_(False)
        return self._segmenter.to(device)

    def __repr__(self) -> str:
        return f"ZooSegmenter(model={self.loaded.source!r}, weights={self.weights!r})"


def _file(weights: str | None) -> str | None:
    return None if weights == UNTRAINED else weights


def _require_instances(loaded: LoadedConfig) -> None:
    task = loaded.cfg.get("task")
    if "instances" not in ((task,) if isinstance(task, str) else tuple(task or ())):
        raise ConfigError(
            "ZooSegmenter.model",
            expected="an instance segmenter",
            found=f"{loaded.name}, a model for {task}",
            advice="`visionzoo list --task instances` lists them",
        )


def _most_classes(value: Any) -> int:
    """Return the largest number of classes of objects in a config."""
    if isinstance(value, (list, tuple)):
        return max(map(_most_classes, value), default=0)
    if not isinstance(value, Mapping):
        return 0
    own = [value.get(key) for key in ("num_classes", "num_things_classes")]
    return max([*(count for count in own if isinstance(count, int)), *map(_most_classes, value.values())], default=0)


def _scaled(size: Sequence[int], limits: Sequence[int]) -> tuple[int, int]:
    """Return the largest size of the same aspect ratio whose longer and shorter side are within those of ``limits``."""
    factor = min(max(limits) / max(size), min(limits) / min(size))
    height, width = (max(1, int(side * factor + 0.5)) for side in size)
    return height, width


@contextmanager
def _outputs_of(part: nn.Module) -> Iterator[list[Any]]:
    """Collect the outputs of a part while the block runs."""
    outputs: list[Any] = []
    handle = part.register_forward_hook(lambda module, args, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()
