"""GCoNet+: finds what the images of a group share.

Zheng et al., "GCoNet+: A Stronger Group Collaborative Co-Salient Object Detector", T-PAMI 45(9), 2023,
arXiv:2205.15469; where the paper leaves something open, the authors' released code is followed.

Tensors: N images of all groups, G groups, C channels of a map, H and W in pixels of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

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

# As they take effect in the authors' training, where some are written a quarter as large and then multiplied.
LOSS_WEIGHTS = {"bce": 120.0, "iou": 2.0, "triplet": 12.0, "cls": 3.0, "contrast": 250.0, "cls_mask": 10.0}
OPERATIONS = ("x", "+", "c")
TRIPLET_FEATURES = ("features", "masked")


@MODELS.register_module()
class GCoNetPlusHead(BaseModule):
    """Feature maps of groups of images to one map per image of the object that all of its group show.

    A sample is a group: its ``group_size`` images follow each other on the batch axis. The result for an image
    depends on all others of its group and on no other group. In training two groups in a row are a pair (A, B), so the
    number of samples is even; a pair is what the authors' network sees in one pass.

    Reads ``gt_map`` (the G masks of a group in pixels of its inputs, a list of (H, W) or one tensor (G, H, W), uint8 0
    to 255, soft values stay soft) and ``gt_label`` (the group's class). Writes ``pred_map``, float32 in [0, 1] in
    pixels of the original images: a list of G maps (H, W), or one map for a sample that is a single image and whose
    ``ori_shape`` is its (H, W).

    Args:
        in_channels, in_strides: of the maps, shallow first; filled in from the part before.
        num_classes: of groups; DUTS_class has 291.
        variant: ``default``, or ``tiny`` for tests.
        width: channels of the decoder behind the deepest map, halved level by level.
        inner: channels inside the decoder's blocks.
        norm: batch normalisation in decoder, CEM and refiner. The authors' VGG-16 without it goes without here as well.
        gam: group affinity module: weight the deepest map by what the group has in common.
        gcm: group collaborating module: tell the map weighted by its own group from that weighted by the other one
            (training only, needs ``gam``).
        acm: auxiliary classification module: say the group's class from the deepest map (training only).
        racm: recurrent ACM: say it also from the image under its map, which takes a second pass through the encoder
            (training only).
        racm_operation: how map and image are joined: ``x``, ``+``, or ``c`` for a convolution over both.
        cem: confidence enhancement module: learn a threshold for every pixel, which makes maps nearly binary.
        gst: group-based symmetric triplet loss (training only).
        gst_on: what it compares: ``features`` of the images, ``masked`` (those of RACM's pass), or both.
        refine: 0 for none; 1 for a refiner that reads the map, 4 for one that reads the image as well.
        loss_weights: in the place of some of LOSS_WEIGHTS; ``dict(bce=0)`` leaves the IoU loss alone.
        unused_layers: hold the layers that the authors' model holds and never runs, frozen, so that parameters and
            checkpoints are the same in number.
        images_at_once: of the decoder, outside training; saves memory and changes nothing.
        init_cfg: mmengine's.

    Raises:
        ConfigError: settings that contradict each other. UnknownName: an unknown variant, loss or operation.
    """

    VARIANTS: dict[str, dict[str, int]] = {"default": {"width": 256, "inner": 64}, "tiny": {"width": 32, "inner": 8}}
    USUAL_CLASSES = 291

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        num_classes: int = USUAL_CLASSES,
        variant: str = "default",
        *,
        width: int | None = None,
        inner: int | None = None,
        norm: bool = True,
        gam: bool = True,
        gcm: bool = True,
        acm: bool = True,
        racm: bool = True,
        racm_operation: str = "x",
        cem: bool = True,
        gst: bool = True,
        gst_on: Sequence[str] = ("features",),
        refine: int = 0,
        loss_weights: Mapping[str, float] | None = None,
        unused_layers: bool = False,
        images_at_once: int = 8,
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
        """Maps (N, 1, H, W) in [0, 1]; in training a dict of what the losses need.

        Without samples every image is a group of its own.

        Args:
            feats: one map per level.
            batch: group sizes of its samples sum to N. Without its images (N, 3, H, W) the map's size follows from the
                shallowest feature map. Only :meth:`loss` encodes changed images.

        Returns:
            In training ``maps``; ``features`` (N, C), the mean of the deepest map; ``classes`` (N, K) logits;
            ``mask`` (N, 1, H, W), logits of what RACM lays over the image; ``contrast`` (N, 2, H, W), logits from
            the deepest map weighted by its own group and by the other one. Each only if its module is on.
        """
        sizes = [1] * len(feats[0]) if batch.samples is None else group_sizes(batch.samples)
        if not self.training:
            return self._maps(feats, sizes, batch.inputs)
        return self._outputs(feats, sizes, batch.inputs, self._pairs(sizes))

    def _maps(self, feats: Sequence[Tensor], sizes: Sequence[int], inputs: Tensor | None) -> Tensor:
        """A few images at a time, once their group's consensus is known."""
        size = self._size(feats, inputs)
        deepest, _ = self._weighted(feats[-1], sizes)
        parts = [deepest.split(self.images_at_once)] + [feat.split(self.images_at_once) for feat in feats[:-1]]
        raw = torch.cat([self._raw(self.decoder(deep, rest, size)) for deep, *rest in zip(*parts)])
        return self._finished(raw, sizes, inputs)

    def _outputs(
        self, feats: Sequence[Tensor], sizes: Sequence[int], inputs: Tensor | None, pairs: Sequence[Sequence[int]]
    ) -> dict[str, Tensor]:
        size = self._size(feats, inputs)
        deepest, other = self._weighted(feats[-1], sizes, with_other=self.gcm)
        decoded = self.decoder(deepest, feats[:-1], size)
        found = {
            "maps": self._finished(self._raw(decoded), [sum(pair) for pair in pairs], inputs),
            "features": feats[-1].mean((2, 3)),
        }
        if self.acm:
            found["classes"] = self.classifier(found["features"])
        if self.racm:
            found["mask"] = self.to_mask(decoded)
        if other is not None:
            both = resize(self.contrast(torch.cat([deepest, other])), size)
            found["contrast"] = torch.cat(both.chunk(2), 1)
        return found

    def _size(self, feats: Sequence[Tensor], inputs: Tensor | None) -> tuple[int, int]:
        if inputs is not None:
            return inputs.shape[2], inputs.shape[3]
        height, width = feats[0].shape[2:]
        return height * self.in_strides[0], width * self.in_strides[0]

    def _weighted(
        self, deepest: Tensor, sizes: Sequence[int], *, with_other: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """The deepest map times its group's consensus, and times that of the other group of the pair."""
        if self.consensus is None:
            return deepest, None
        consensus = self.consensus(deepest, sizes)
        other = None
        if with_other:
            swapped = consensus.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
            other = deepest * _for_each_image(swapped, sizes)
        return deepest * _for_each_image(consensus, sizes), other

    def _raw(self, decoded: Tensor) -> Tensor:
        """CEM's margins, else logits, (N, 1, H, W)."""
        return self.binarizer(decoded) if self.cem else self.to_logits(decoded)

    def _finished(self, raw: Tensor, sizes: Sequence[int], inputs: Tensor | None) -> Tensor:
        """Maps in [0, 1]; ``sizes`` are of what goes through the authors' network at once."""
        maps = step(raw, sizes) if self.cem else raw
        if self.refine == 4:
            if inputs is None:
                raise ConfigError(
                    "GCoNetPlusHead", expected="the images for refine=4", found="none", advice="pass inputs"
                )
            maps = self.refiner(torch.cat([inputs, maps], 1))
        elif self.refine:
            maps = self.refiner(maps)
        return maps if self.cem and not self.refine else maps.float().sigmoid()

    # --- training ---

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """``loss_bce``, ``loss_iou``, ``loss_triplet``, ``loss_cls``, ``loss_contrast`` and ``loss_cls_mask``.

        Weighted scalars, summed over the pairs; those whose module is off or whose weight is 0 are left out.

        Raises:
            DataError: an odd number of groups, masks of another size than the images, a class that there is not.
            ConfigError: RACM is on, and the batch has no ``inputs`` and ``encode``.
        """
        samples = batch.samples
        sizes = group_sizes(samples)
        pairs = self._pairs(sizes)
        found = self._outputs(feats, sizes, batch.inputs, pairs)
        if self.racm:
            found |= self._masked(found["mask"], batch.inputs, batch.encode)
        found["truth"] = truth_of(samples, found["maps"].shape[2:]).to(found["maps"].device)
        found["labels"] = labels_of(samples, self.num_classes).to(found["maps"].device)
        lengths = [sum(pair) for pair in pairs]
        parts = {name: value.split(lengths) for name, value in found.items()}
        each = [self._pair_losses({k: v[i] for k, v in parts.items()}, pair) for i, pair in enumerate(pairs)]
        return {
            f"loss_{name}": weight * sum(losses[name] for losses in each)  # type: ignore[misc]
            for name, weight in self.loss_weights.items()
            if weight and name in each[0]
        }

    def _masked(self, mask: Tensor, inputs: Tensor | None, encode: Encode | None) -> dict[str, Tensor]:
        """Features and classes of the images under their maps; the gradient goes through the mask."""
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
        """Group sizes two by two; the last group may be alone where nothing compares the two."""
        if len(sizes) % 2 and (self.gcm or self.gst_on):
            raise DataError(
                "GCoNetPlusHead",
                expected="pairs of groups",
                found=f"{len(sizes)} groups in a batch",
                advice="take an even batch_size, or CoSaliencyPairs",
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
        """The samples with ``pred_map``, in pixels of the original images."""
        samples = batch.samples
        maps = self._maps(feats, group_sizes(samples), batch.inputs).float()
        for sample, group in zip(samples, split_groups(maps, samples), strict=True):
            sample.set_field(_in_original_pixels(group, sample), "pred_map")
        return samples


def _for_each_image(consensus: Tensor, sizes: Sequence[int]) -> Tensor:
    """(G, C, 1, 1) to (N, C, 1, 1)."""
    return torch.cat([each.expand(size, -1, -1, -1) for each, size in zip(consensus.split(1), sizes, strict=True)])


def _in_original_pixels(maps: Tensor, sample: TaskSample) -> Tensor | list[Tensor]:
    """Padding cut off, then resized with corners on corners, as the authors do."""
    height, width = sample.metainfo.get("img_shape", maps.shape[2:])[:2]
    inside = maps[:, :, :height, :width]
    shapes = sample.metainfo.get("ori_shape", (height, width))
    is_single = len(maps) == 1 and isinstance(shapes[0], int)
    each = [shapes] * len(maps) if isinstance(shapes[0], int) else list(shapes)
    found = [resize(one, shape)[0, 0].clamp(0, 1) for one, shape in zip(inside.split(1), each, strict=True)]
    return found[0] if is_single else found


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
        "gcm=False where gam is off, which it compares": gam or not gcm,
        f"racm_operation to be one of {', '.join(OPERATIONS)}": racm_operation in OPERATIONS,
        f"gst_on to name some of {', '.join(TRIPLET_FEATURES)}": bool(gst_on) and set(gst_on) <= set(TRIPLET_FEATURES),
        "racm=True for gst_on=('masked',)": racm or not gst or "masked" not in gst_on,
        "refine to be 0, 1 or 4": refine in (0, 1, 4),
        "images_at_once from 1 on": images_at_once >= 1,
    }
    wrong = [expected for expected, holds in problems.items() if not holds]
    if wrong:
        found = dict(
            in_strides=list(in_strides), gam=gam, gcm=gcm, racm=racm, racm_operation=racm_operation,
            gst_on=list(gst_on), refine=refine, images_at_once=images_at_once,
        )  # fmt: skip
        raise ConfigError("GCoNetPlusHead", expected=f"{wrong[0]}", found=f"{found}", advice="correct it")
