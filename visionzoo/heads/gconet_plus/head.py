"""GCoNet+: detects the objects that all images of a group share.

Zheng et al., "GCoNet+: A Stronger Group Collaborative Co-Salient Object Detector", T-PAMI 45(9), 2023,
arXiv:2205.15469. Details that the paper does not specify follow the authors' released code.

Tensors: N images of all groups, G groups, C channels of a map, H and W in pixels of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.allowed import Count, CountOrZero, Steps, Weight
from visionzoo.errors import ConfigError, DataError, require_known
from visionzoo.heads.gconet_plus.affinity import GroupConsensus, fill_by_fan_out
from visionzoo.heads.gconet_plus.decoder import Binarizer, Decoder, resize, step
from visionzoo.heads.gconet_plus.losses import cross_entropy_of_maps, focal_loss, group_triplet_loss, iou_loss
from visionzoo.heads.gconet_plus.refiner import Refiner
from visionzoo.heads.gconet_plus.truth import labels_of, truth_of
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch, Encode
from visionzoo.structures.task_sample import TaskSample, group_sizes, split_groups

# Effective weights of the authors' training; their code writes some a quarter as large and multiplies them later.
LOSS_WEIGHTS = {"bce": 120.0, "iou": 2.0, "triplet": 12.0, "cls": 3.0, "contrast": 250.0, "cls_mask": 10.0}
OPERATIONS = ("x", "+", "c")
TRIPLET_FEATURES = ("features", "masked")


@MODELS.register_module()
class GCoNetPlusHead(BaseModule):
    """Predict one map per image of the object that all images of its group show.

    A sample is a group: its ``group_size`` images are consecutive on the batch axis. The result of an image depends
    on all images of its group and on no other group. In training, two consecutive groups are a pair (A, B). The number
    of samples must therefore be even if ``gcm`` or ``gst`` is on. The authors' network processes one pair per pass.

    Reads ``gt_map`` (one mask for each image of a group, of the size of the image without padding: a list of (H, W) or
    one tensor, numbers from 0 to 255; soft values stay soft) and ``gt_label`` (the group's class, 0 if it is missing).
    Writes ``pred_map``, float32 in [0, 1] in pixels of the original images: a list with one map (H, W) for each image,
    or one map if the sample is a single image whose ``ori_shape`` is (H, W).

    Args:
        in_channels, in_strides: channels and strides of the maps, shallow first; filled in from the preceding part.
        num_classes: number of classes of groups; DUTS_class has 291.
        variant: ``default``, or ``tiny`` for tests.
        width: channels of the decoder after the deepest map; by default that of the variant. See :class:`Decoder`.
        inner: channels inside the decoder's blocks; by default that of the variant.
        norm: use batch normalisation in decoder, CEM and refiner. The authors' model with VGG-16 without batch
            normalisation uses False.
        gam: group affinity module: weight the deepest map by the features that the group shares.
        gcm: group collaborating module: separate the map weighted by its own group from the map weighted by the
            other group (training only, needs ``gam``).
        acm: auxiliary classification module: classify the group from the deepest map (training only).
        racm: recurrent ACM: also classify the group from its images masked by their maps, with a second pass through
            the encoder (training only).
        racm_operation: operation that joins image and map: ``x``, ``+``, or ``c`` for a convolution on both.
        cem: confidence enhancement module: learn a threshold for every pixel, which makes maps nearly binary.
        gst: group-based symmetric triplet loss (training only).
        gst_on: features that the triplet loss compares: ``features`` of the images, ``masked`` (those of
            RACM's pass), or both.
        refine: 0 for no refiner, 1 for a refiner that reads the map, 4 for a refiner that also reads the image.
        loss_weights: replaces entries of LOSS_WEIGHTS; ``dict(bce=0)`` turns the cross-entropy off.
        unused_layers: add the layers that the authors' model contains but never runs, frozen, so that the numbers of
            parameters and checkpoint entries agree.
        images_at_once: number of images that the decoder processes at once outside training, >= 1. It limits memory and
            does not change the result.
        init_cfg: initialisation config of mmengine.

    Raises:
        ConfigError: incompatible settings, or a value that is not one of the above.
        UnknownName: an unknown variant or loss.

    Example:
        >>> import torch
        >>> head = GCoNetPlusHead([8, 16], [4, 8], variant="tiny").eval()
        >>> head([torch.zeros(2, 8, 8, 8), torch.zeros(2, 16, 4, 4)]).shape
        torch.Size([2, 1, 32, 32])
    """

    LEAST_LEVELS = 2

    VARIANTS: dict[str, dict[str, int]] = {"default": {"width": 256, "inner": 64}, "tiny": {"width": 32, "inner": 8}}
    USUAL_CLASSES = 291
    GRAPH_OUTPUTS = ("map",)

    def __init__(
        self,
        in_channels: Sequence[Count],
        in_strides: Sequence[Count],
        num_classes: Count = USUAL_CLASSES,
        variant: str = "default",
        *,
        width: Count | None = None,
        inner: Count | None = None,
        norm: bool = True,
        gam: bool = True,
        gcm: bool = True,
        acm: bool = True,
        racm: bool = True,
        racm_operation: str = "x",
        cem: bool = True,
        gst: bool = True,
        gst_on: Sequence[str] = ("features",),
        refine: CountOrZero = 0,
        loss_weights: Mapping[str, Weight] | None = None,
        unused_layers: bool = False,
        images_at_once: Steps = 8,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        design = variant_options(self.VARIANTS, variant, {"width": width, "inner": inner}, "GCoNetPlusHead")
        _check(in_channels, in_strides, gam, gcm, racm, racm_operation, gst, gst_on, refine, images_at_once)
        self.loss_weights = _loss_weights(loss_weights)
        self.in_strides, self.num_classes = tuple(in_strides), num_classes
        self.gcm, self.acm, self.racm, self.cem = gcm, acm, racm, cem
        self.racm_operation, self.gst_on = racm_operation, tuple(gst_on) if gst else ()
        self.refine, self.images_at_once = refine, images_at_once
        deep = in_channels[-1]
        self.consensus = GroupConsensus(deep) if gam else None
        self.decoder = Decoder(in_channels, design["width"], design["inner"], norm)
        channels = self.decoder.out_channels
        if cem:
            self.binarizer = Binarizer(channels, norm)
        else:
            self.to_logits = nn.Conv2d(channels, 1, 1)
        if refine:
            self.refiner = Refiner(refine, norm)
        if gcm:
            inside = deep // 4
            self.contrast = nn.Sequential(nn.Conv2d(deep, inside, 3, padding=1), nn.ReLU(), nn.Conv2d(inside, 1, 1))
        if acm or racm:
            self.classifier = nn.Linear(deep, num_classes)
            fill_by_fan_out(self.classifier)
        if racm:
            self.to_mask = nn.Conv2d(channels, 1, 1)
            if racm_operation == "c":
                self.join_mask = nn.Conv2d(4, 3, 1)
        if unused_layers:
            self.unused = _unused_layers(deep if gam else 0, channels if cem else 0)

    # --- forward ---

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> Tensor | dict[str, Tensor]:
        """Return maps (N, 1, H, W) in [0, 1], or in training a dict of the tensors that the losses need.

        Without samples, each image is a separate group.

        Args:
            feats: one feature map per level.
            batch: samples whose group sizes sum to N, and images (N, 3, H, W). Without images, the shallowest feature
                map and its stride determine the size. Only :meth:`loss` encodes masked images.

        Returns:
            In training: ``maps``; ``features`` (N, C), the mean of the deepest map; ``classes`` (N, K) logits;
            ``mask`` (N, 1, H, W), logits of RACM's mask; ``contrast`` (N, 2, H, W), logits from the deepest map
            weighted by its own group and by the other group. The last three are present only if their module is on.
        """
        sizes = [1] * len(feats[0]) if batch.samples is None else group_sizes(batch.samples)
        if not self.training:
            return self._maps(feats, sizes, batch.inputs)
        return self._outputs(feats, sizes, batch.inputs, self._pairs(sizes))

    def _maps(self, feats: Sequence[Tensor], sizes: Sequence[int], inputs: Tensor | None) -> Tensor:
        return self._finished(self._raw_maps(feats, sizes, inputs), sizes, inputs)

    def _raw_maps(self, feats: Sequence[Tensor], sizes: Sequence[int], inputs: Tensor | None) -> Tensor:
        """Return :meth:`_raw`; the decoder runs on a few images at a time, after the consensus of all groups."""
        size = self._size(feats, inputs)
        deepest, _ = self._weighted(feats[-1], sizes)
        parts = [deepest.split(self.images_at_once)] + [feat.split(self.images_at_once) for feat in feats[:-1]]
        return torch.cat([self._raw(self.decoder(deep, rest, size)) for deep, *rest in zip(*parts)])

    def margins(self, feats: Sequence[Tensor], batch: Batch) -> Tensor:
        """Return values (N, 1, H, W) whose sign decides what is salient, for an explanation of the maps.

        They are CEM's margins, on which the nearly binary maps depend by a steep step, of which the gradient vanishes;
        without CEM or after a refiner they are the log-odds of the maps.
        """
        sizes = group_sizes(batch.samples)
        if self.refine:
            return torch.logit(self._maps(feats, sizes, batch.inputs), eps=1e-6)
        return self._raw_maps(feats, sizes, batch.inputs)

    def _outputs(
        self, feats: Sequence[Tensor], sizes: Sequence[int], inputs: Tensor | None, pairs: Sequence[Sequence[int]]
    ) -> dict[str, Tensor]:
        size = self._size(feats, inputs)
        deepest, other = self._weighted(feats[-1], sizes, with_other=self.gcm)
        decoded = self.decoder(deepest, feats[:-1], size)
        outputs = {
            "maps": self._finished(self._raw(decoded), [sum(pair) for pair in pairs], inputs),
            "features": feats[-1].mean((2, 3)),
        }
        if self.acm:
            outputs["classes"] = self.classifier(outputs["features"])
        if self.racm:
            outputs["mask"] = self.to_mask(decoded)
        if other is not None:
            both = resize(self.contrast(torch.cat([deepest, other])), size)
            outputs["contrast"] = torch.cat(both.chunk(2), 1)
        return outputs

    def _size(self, feats: Sequence[Tensor], inputs: Tensor | None) -> tuple[int, int]:
        if inputs is not None:
            return inputs.shape[2], inputs.shape[3]
        height, width = feats[0].shape[2:]
        return height * self.in_strides[0], width * self.in_strides[0]

    def _weighted(
        self, deepest: Tensor, sizes: Sequence[int], *, with_other: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the deepest map times its own group's consensus, and times that of the other group of the pair."""
        if self.consensus is None:
            return deepest, None
        consensus = self.consensus(deepest, sizes)
        other = None
        if with_other:
            swapped = consensus.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
            other = deepest * _for_each_image(swapped, sizes)
        return deepest * _for_each_image(consensus, sizes), other

    def _raw(self, decoded: Tensor) -> Tensor:
        """Return CEM's margins, or logits without CEM, (N, 1, H, W)."""
        return self.binarizer(decoded) if self.cem else self.to_logits(decoded)

    def _finished(self, raw: Tensor, sizes: Sequence[int], inputs: Tensor | None) -> Tensor:
        """Return maps in [0, 1]; for ``sizes`` see :func:`step`."""
        maps = step(raw, sizes) if self.cem else raw
        if self.refine == 4:
            if inputs is None:
                raise ConfigError(
                    "GCoNetPlusHead", expected="the images for refine=4", found="none", advice="set inputs of the batch"
                )
            maps = self.refiner(torch.cat([inputs, maps], 1))
        elif self.refine:
            maps = self.refiner(maps)
        return maps if self.cem and not self.refine else maps.float().sigmoid()

    def graph_outputs(self, feats: Sequence[Tensor], batch: Batch, sizes: Tensor) -> dict[str, Tensor]:
        """Return the outputs of an exported graph whose batch is one group: ``map``, (N, 1, H, W) in [0, 1]."""
        images = [feats[0].shape[0]]  # len() would fix the number of images
        deepest, _ = self._weighted(feats[-1], images)
        raw = self._raw(self.decoder(deepest, feats[:-1], self._size(feats, batch.inputs)))
        return {"map": self._finished(raw, images, batch.inputs)}

    # --- training ---

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return ``loss_bce``, ``loss_iou``, ``loss_triplet``, ``loss_cls``, ``loss_contrast`` and ``loss_cls_mask``.

        All are weighted scalars, summed over the pairs. Losses whose module is off or whose weight is 0 are omitted.

        Raises:
            DataError: an odd number of groups, a group without one mask for each image, masks whose size differs from
                the images, or a class out of range.
            ConfigError: RACM is on, and the batch has no ``inputs`` or no ``encode``.
        """
        samples = batch.samples
        sizes = group_sizes(samples)
        pairs = self._pairs(sizes)
        outputs = self._outputs(feats, sizes, batch.inputs, pairs)
        if self.racm:
            outputs |= self._masked(outputs["mask"], batch.inputs, batch.encode)
        outputs["truth"] = truth_of(samples, outputs["maps"].shape[2:]).to(outputs["maps"].device)
        outputs["labels"] = labels_of(samples, self.num_classes).to(outputs["maps"].device)
        lengths = [sum(pair) for pair in pairs]
        parts = {name: value.split(lengths) for name, value in outputs.items()}
        each = [self._pair_losses({k: v[i] for k, v in parts.items()}, pair) for i, pair in enumerate(pairs)]
        return {
            f"loss_{name}": weight * sum(losses[name] for losses in each)  # type: ignore[misc]
            for name, weight in self.loss_weights.items()
            if weight and name in each[0]
        }

    def _masked(self, mask: Tensor, inputs: Tensor | None, encode: Encode | None) -> dict[str, Tensor]:
        """Return features and class logits of the images masked by their maps; gradients flow through the mask."""
        if inputs is None or encode is None:
            raise ConfigError(
                "GCoNetPlusHead",
                expected="the images and the encoder for RACM",
                found="none",
                advice="use TaskModel, or racm=False",
            )
        prob = mask.sigmoid()
        if self.racm_operation == "c":
            joined = self.join_mask(torch.cat([inputs, prob], 1))
        else:
            joined = inputs * prob if self.racm_operation == "x" else inputs + prob
        features = encode(joined)[-1].mean((2, 3))
        return {"masked": features, "masked_classes": self.classifier(features)}

    def _pairs(self, sizes: Sequence[int]) -> list[list[int]]:
        """Return group sizes in pairs; without GCM and GST, the last pair may hold only one group."""
        if len(sizes) % 2 and (self.gcm or self.gst_on):
            raise DataError(
                "GCoNetPlusHead",
                expected="pairs of groups",
                found=f"{len(sizes)} groups in a batch",
                advice="use an even batch_size, or CoSaliencyPairs",
            )
        return [list(sizes[start : start + 2]) for start in range(0, len(sizes), 2)]

    def _pair_losses(self, found: Mapping[str, Tensor], sizes: Sequence[int]) -> dict[str, Tensor]:
        maps, truth, labels = found["maps"], found["truth"], found["labels"]
        losses = {"bce": cross_entropy_of_maps(maps, truth), "iou": iou_loss(maps, truth)}
        if self.gst_on:
            each = [group_triplet_loss(found[name], sizes) for name in self.gst_on]
            losses["triplet"] = torch.stack(each).mean()
        if self.acm:
            losses["cls"] = F.cross_entropy(found["classes"].float(), labels)
        if self.gcm:
            nothing = torch.zeros_like(truth)
            losses["contrast"] = focal_loss(found["contrast"].float(), torch.cat([truth, nothing], 1))
        if self.racm:
            losses["cls_mask"] = F.cross_entropy(found["masked_classes"].float(), labels)
        return losses

    # --- predictions ---

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Sequence[TaskSample]:
        """Return the samples with ``pred_map``, in pixels of the original images."""
        samples = batch.samples
        maps = self._maps(feats, group_sizes(samples), batch.inputs).float()
        for sample, group in zip(samples, split_groups(maps, samples), strict=True):
            sample.set_field(_in_original_pixels(group, sample), "pred_map")
        return samples


def _for_each_image(consensus: Tensor, sizes: Sequence[int]) -> Tensor:
    """Repeat (G, C, 1, 1) for the images of each group: (N, C, 1, 1)."""
    return torch.cat([each.expand(size, -1, -1, -1) for each, size in zip(consensus.split(1), sizes, strict=True)])


def _in_original_pixels(maps: Tensor, sample: TaskSample) -> Tensor | list[Tensor]:
    """Crop the padding, then resize with aligned corners, like the authors."""
    height, width = sample.metainfo.get("img_shape", maps.shape[2:])[:2]
    inside = maps[:, :, :height, :width]
    shapes = sample.metainfo.get("ori_shape", (height, width))
    is_single = len(maps) == 1 and isinstance(shapes[0], int)
    each = [shapes] * len(maps) if isinstance(shapes[0], int) else list(shapes)
    resized = [resize(one, shape)[0, 0].clamp(0, 1) for one, shape in zip(inside.split(1), each, strict=True)]
    return resized[0] if is_single else resized


def _unused_layers(deep: int, channels: int) -> nn.ModuleDict:
    layers: dict[str, nn.Module] = {}
    if deep:
        layers = {
            "conv_output": nn.Conv2d(deep, deep, 1),
            "conv_transform": nn.Conv2d(deep, deep, 1),
            "fc_transform": nn.Linear(deep, deep),
        }
    if channels:
        layers["conv_out1"] = nn.Conv2d(channels, 1, 1)
    return nn.ModuleDict(layers).requires_grad_(False)


def _loss_weights(given: Mapping[str, float] | None) -> dict[str, float]:
    for name in given or {}:
        require_known(name, LOSS_WEIGHTS, "loss of GCoNetPlusHead")
    return {**LOSS_WEIGHTS, **(given or {})}


def _check(
    in_channels: Sequence[int],
    in_strides: Sequence[int],
    gam: bool,
    gcm: bool,
    racm: bool,
    racm_operation: str,
    gst: bool,
    gst_on: Sequence[str],
    refine: int,
    images_at_once: int,
) -> None:
    problems = {
        f"as many in_strides as in_channels, {len(in_channels)}": len(in_strides) == len(in_channels),
        "gcm=False where gam is off, because gcm compares its results": gam or not gcm,
        f"racm_operation to be one of {', '.join(OPERATIONS)}": racm_operation in OPERATIONS,
        f"gst_on to name some of {', '.join(TRIPLET_FEATURES)}": bool(gst_on) and set(gst_on) <= set(TRIPLET_FEATURES),
        "racm=True for gst_on=('masked',)": racm or not gst or "masked" not in gst_on,
        "refine to be 0, 1 or 4": refine in (0, 1, 4),
        "images_at_once >= 1": images_at_once >= 1,
    }
    wrong = [expected for expected, holds in problems.items() if not holds]
    if wrong:
        found = dict(
            in_strides=list(in_strides), gam=gam, gcm=gcm, racm=racm, racm_operation=racm_operation,
            gst_on=list(gst_on), refine=refine, images_at_once=images_at_once,
        )  # fmt: skip
        raise ConfigError("GCoNetPlusHead", expected=f"{wrong[0]}", found=f"{found}")
