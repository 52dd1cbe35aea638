"""WiCo: a bottom-up and a top-down branch of referring segmentation that cooperate.

Cheng et al., "WiCo: Win-win Cooperation of Bottom-up and Top-down Referring Image Segmentation", IJCAI 2023,
arXiv:2306.10750. The paper's ideas: the two branches, the exchange of their features (CFI) and the weighting of their
results by predicted reliabilities (GSI). Its equations, losses and settings were not accessible; those here are our
choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F

from visionzoo.allowed import Count, Share
from visionzoo.config.signatures import arguments_of
from visionzoo.datasets.findings import say_notes
from visionzoo.errors import ConfigError, require_known
from visionzoo.heads.wico.integration import Reliability
from visionzoo.heads.wico.lavt_head import object_map
from visionzoo.heads.wico.losses import dice_loss
from visionzoo.heads.wico.proposals import Proposals, no_objects, proposals_of, whole_images
from visionzoo.heads.wico.samples import at_original_size, true_masks, write_map
from visionzoo.heads.wico.scorer import ScoredPhrase, mask_ious
from visionzoo.layers.language import BERT_CHANNELS, text_of
from visionzoo.layers.levels import require_strides
from visionzoo.layers.sample_sizes import input_size, require_single_images
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch
from visionzoo.structures.task_sample import TaskSample

RESULTS = ("mixture", "average", "bottom_up", "top_down")
_NO_PROPOSALS = (
    "images without proposals have the result of the bottom-up branch; set model.head.provider, such as "
    "dict(type='ZooSegmenter', model=RUN)"
)
_FIXED = {"average": (0.5, 0.5), "bottom_up": (1.0, 0.0), "top_down": (0.0, 1.0)}


@dataclass(frozen=True)
class Cooperation:
    """Results of both branches and their mixture.

    Attributes:
        logits: (B, 1 or 2, H, W) of the bottom-up branch.
        maps: (B, 2, H, W) in [0, 1], bottom-up and top-down.
        scores: (B, K), scores of the proposals.
        weights: (B, 2), weights of the two maps.
        reliability: predicted distribution of the IoU of each branch; None without GSI.
        proposals: the proposals.
    """

    logits: Tensor
    maps: Tensor
    scores: Tensor
    weights: Tensor
    reliability: Reliability | None
    proposals: Proposals

    @property
    def mixture(self) -> Tensor:
        """The result, (B, 1, H, W) in [0, 1]."""
        return (self.weights[:, :, None, None] * self.maps).sum(1, keepdim=True)


@MODELS.register_module()
class WiCoHead(BaseModule):
    """Join a bottom-up branch, any head with one map of logits, and a top-down branch, which scores proposals.

    Reads the phrases of the batch and, from each sample, ``proposals``, an ``InstanceData`` of K >= 0 objects (see
    :func:`visionzoo.heads.wico.proposals.proposals_of`); for losses also ``gt_map``, (H, W), nonzero for the described
    object. Without samples, the whole image is the only proposal.

    Writes, in pixels of the original image, ``pred_map`` (H, W) float32 in [0, 1], ``pred_mask`` (H, W) bool,
    ``pred_score`` and ``pred_input_mask`` (as LAVTHead), the maps of the branches ``pred_bottom_up`` and
    ``pred_top_down`` (H, W), and ``pred_proposal_scores`` (K,), which sum to 1; with ``integration`` also
    ``pred_reliability`` (2,), the expected IoU of bottom-up and top-down. If the metainfo has ``per_object``, also
    ``pred_objects``, an ``InstanceData`` of the proposals with these scores: ``bboxes`` (K, 4), xyxy, ``masks``
    (K, H, W) bool, ``labels`` and ``scores`` (K,).

    For an image without proposals, the result is that of the bottom-up branch. This holds also for samples without
    ``proposals`` in evaluation if no ``provider`` makes them, which a warning states once.

    Args:
        in_channels, in_strides: channels and strides of the levels, shallow first; filled in from the preceding part.
        variant: ``default``: width 256, 8 heads and 2 layers; ``tiny``: width 16, 2 heads, 1 layer.
        text_channels: channels of the words; filled in from the text encoder.
        bottom_up: config of the head of the bottom-up branch; by default ``dict(type="LAVTHead")``. Its logits have one
            channel, or two, for background and object.
        top_down: config of the top-down branch; by default ``dict(type="ProposalScorer")``. Another class needs its
            methods and its attribute ``width``.
        interaction: config of the exchange of features, by default ``dict(type="CFI")``; None for separate branches.
        provider: config of what makes the proposals of samples without them, such as
            ``dict(type="ZooSegmenter", model=...)``; None for samples that have them. Its ``num_labels`` and
            ``feature_channels`` are those of the top-down branch.
        integration: config of the prediction of reliabilities, by default ``dict(type="GSI")``; None for none.
        result: ``mixture`` weights both maps by their reliabilities; ``average`` weights them equally, which the paper
            reports as harmful; ``bottom_up`` and ``top_down`` return one of them.
        stride: stride of the level for proposals and interaction; the nearest level is used.
        soft: weight the masks of all proposals by the softmax of their scores also in evaluation, instead of taking the
            best one.
        mask_threshold: least probability of a pixel of the mask.
        init_cfg: initialisation config of mmengine.

    Raises:
        ConfigError: ``mixture`` without ``integration``, or a number out of its range; in ``forward``, logits of the
            bottom-up branch with more than two channels.
        UnknownName: an unknown variant or ``result``.

    Example:
        >>> from visionzoo.structures.batch import TextStates
        >>> head = WiCoHead([8, 16], [8, 16], "tiny", text_channels=5).eval()
        >>> text = TextStates(torch.zeros(2, 4, 5), torch.ones(2, 4, dtype=torch.bool))
        >>> found = head([torch.rand(2, 8, 4, 6), torch.rand(2, 16, 2, 3)], Batch(text=text))
        >>> found["map"].shape, found["weights"].shape
        (torch.Size([2, 1, 32, 48]), torch.Size([2, 2]))
    """

    LEAST_LEVELS = 2
    has_proposals = True
    not_exportable = (
        "its proposals are results of another model or of a file, which a graph of images and phrases does not read"
    )
    VARIANTS: dict[str, dict[str, Any]] = {
        "default": {"width": 256, "heads": 8, "layers": 2},
        "tiny": {"width": 16, "heads": 2, "layers": 1},
    }

    def __init__(
        self,
        in_channels: Sequence[Count],
        in_strides: Sequence[Count],
        variant: str = "default",
        *,
        text_channels: Count = BERT_CHANNELS,
        bottom_up: Mapping | None = None,
        top_down: Mapping | None = None,
        provider: Mapping | None = None,
        interaction: Mapping | None = {},
        integration: Mapping | None = {},
        result: str = "mixture",
        stride: Count = 16,
        soft: bool = False,
        mask_threshold: Share = 0.5,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        require_strides(in_channels, in_strides, "WiCoHead")
        require_known(result, RESULTS, "result of WiCoHead")
        _check(result, integration)
        sizes = variant_options(self.VARIANTS, variant, {}, "WiCoHead")
        self.level = min(range(len(in_strides)), key=lambda level: abs(in_strides[level] - stride))
        self.result, self.soft, self.mask_threshold = result, soft, mask_threshold
        channels, self.stride = in_channels[self.level], in_strides[0]

        levels: dict[str, Any] = {"in_channels": list(in_channels), "in_strides": list(in_strides)}
        levels |= {"variant": "tiny"} if variant == "tiny" else {}
        self.bottom_up = _built("LAVTHead", bottom_up or {}, {"text_channels": text_channels, **levels})
        own = {"text_channels": text_channels, "stride": in_strides[self.level], **sizes}
        self.provider = None if provider is None else MODELS.build(dict(provider))
        of_provider = {name: getattr(self.provider, name, 0) for name in ("num_labels", "feature_channels")}
        self.top_down = _built("ProposalScorer", top_down or {}, own | of_provider | {"in_channels": channels})
        wide = self.top_down.width
        self.interaction = _built("CFI", interaction, own | {"in_channels": [channels, wide]})
        self.integration = _built("GSI", integration, own | {"in_channels": [channels + wide, 2 * wide + 1]})

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> dict[str, Tensor]:
        """Run both branches and weight their results.

        Returns:
            ``map`` (B, 1, H, W), the maps of the branches ``maps`` (B, 2, H, W), ``scores`` (B, K), ``weights`` (B, 2),
            and with ``integration`` ``reliability`` (B, 2) and ``logvar`` (B, 2).
        """
        found = self.cooperate(feats, batch)
        outputs = {"map": found.mixture, "maps": found.maps, "scores": found.scores, "weights": found.weights}
        if found.reliability is not None:
            outputs |= {"reliability": found.reliability.mean, "logvar": found.reliability.logvar}
        return outputs

    def cooperate(self, feats: Sequence[Tensor], batch: Batch) -> Cooperation:
        """Run both branches, with the exchange of features between them, and weight their results."""
        text, feats = text_of(batch, "WiCoHead"), list(feats)
        size = input_size(batch.samples, feats[0].shape[2:], self.stride)
        feat = feats[self.level]
        proposals = self._proposals(batch, len(feat), size, feat.device)
        scored = self.top_down(feat, proposals, text)
        objects = scored.objects
        if self.interaction is not None:
            feats[self.level], objects = self.interaction(feat, objects, proposals)
        scored = ScoredPhrase(objects, scored.phrase, proposals)
        logits, scores = self.bottom_up(feats, batch), self.top_down.scores(scored)
        maps = torch.cat([object_map(logits), self._top_down_map(scores, proposals)], 1)
        reliability = None
        if self.integration is not None:
            reliability = self._reliability(feats[self.level], maps[:, :1], scored, scores)
        weights = self._weights(reliability, proposals)
        return Cooperation(logits, maps, scores, weights, reliability, proposals)

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return the scalar losses of both branches, of the mixture and of the reliabilities (our choice).

        Raises:
            DataError: a sample has no ``proposals`` or no ``gt_map``, or one of another size than its image.
        """
        found = self.cooperate(feats, batch)
        require_single_images(len(found.maps), batch.samples)
        masks = true_masks(batch.samples, found.maps.shape[2:]).to(found.maps.device)
        losses = {
            f"loss_bottom_up{name.removeprefix('loss')}": value
            for name, value in self.bottom_up.losses_of(found.logits, masks[:, None].int()).items()
        }
        losses["loss_top_down"] = self.top_down.loss(found.scores, found.proposals, masks)
        losses |= _mixture_losses(found.mixture, masks[:, None].float())
        if self.integration is not None:
            ious = mask_ious(found.maps >= self.mask_threshold, masks[:, None])
            losses["loss_reliability"] = self.integration.loss(found.reliability, ious)
        return losses

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Sequence[TaskSample]:
        """Return the samples with the predictions that the docstring of the class lists."""
        found = self.cooperate(feats, batch)
        require_single_images(len(found.maps), batch.samples)
        for index, sample in enumerate(batch.samples):
            write_map(sample, found.mixture[index, 0], self.mask_threshold)
            sample.pred_bottom_up, sample.pred_top_down = at_original_size(found.maps[index], sample)
            valid = found.proposals.valid[index]
            sample.pred_proposal_scores = found.scores[index][valid].softmax(0)
            if sample.metainfo.get("per_object"):
                sample.pred_objects = found.proposals.objects_of(index, sample)
                sample.pred_objects.scores = sample.pred_proposal_scores
            if found.reliability is not None:
                sample.pred_reliability = found.reliability.mean[index]
        return batch.samples

    def _proposals(self, batch: Batch, count: int, size: Sequence[int], device: torch.device) -> Proposals:
        """Return the proposals of the samples; those of the provider for a batch with samples that have none."""
        samples = batch.samples
        if samples is None:
            return whole_images(count, size, device)
        given = [sample.get("proposals") for sample in samples]
        if self.provider is not None and None in given:
            given = [own if own is not None else made for own, made in zip(given, self.provider(batch), strict=True)]
        elif not self.training and None in given:
            say_notes("WiCoHead", {_NO_PROPOSALS: 0})
            given = [no_objects() if own is None else own for own in given]
        return proposals_of(samples, size, device, given)

    def _top_down_map(self, scores: Tensor, proposals: Proposals) -> Tensor:
        """Return the mask of the chosen proposal, or of all by their scores, (B, 1, H, W)."""
        if self.training or self.soft:
            return torch.einsum("bk,bkhw->bhw", scores.softmax(1), proposals.masks)[:, None]
        return proposals.masks[torch.arange(len(scores), device=scores.device), scores.argmax(1)][:, None]

    def _reliability(self, feat: Tensor, bottom_up: Tensor, scored: ScoredPhrase, scores: Tensor) -> Reliability:
        height, width = feat.shape[2:]
        weight = F.adaptive_avg_pool2d(bottom_up, (height, width))
        pooled = (feat * weight).sum((2, 3)) / weight.sum((2, 3)).clamp(min=1e-6)
        row, chosen = torch.arange(len(scores), device=scores.device), scores.argmax(1)
        best = torch.cat([scored.objects[row, chosen], scores[row, chosen][:, None]], 1)
        best = best * scored.proposals.present[:, None]
        # Without detach, a branch learns to be wrong in every image: its IoU is then known with the least variance.
        features = (torch.cat([own, scored.phrase], 1).detach() for own in (pooled, best))
        return self.integration(*features)

    def _weights(self, reliability: Reliability | None, proposals: Proposals) -> Tensor:
        """Return the weights of both maps; those of the bottom-up branch for images without proposals."""
        only = proposals.sizes.new_tensor(_FIXED["bottom_up"])
        if self.result == "mixture":
            weights = self.integration.weights(reliability)
        else:
            weights = proposals.sizes.new_tensor(_FIXED[self.result])
        return torch.where(proposals.present[:, None], weights, only)


def _built(usual: str, cfg: Mapping | None, own: Mapping[str, Any]) -> Any:
    """Build a branch or a part between them; the head fills in the arguments that its class has."""
    if cfg is None:
        return None
    given = {"type": usual, **cfg}
    part = MODELS.get(given["type"]) if isinstance(given["type"], str) else given["type"]
    filled = {name: value for name, value in own.items() if part is not None and arguments_of(part).know(name)}
    return MODELS.build({**filled, **given})


def _mixture_losses(found: Tensor, truth: Tensor) -> dict[str, Tensor]:
    with torch.autocast(found.device.type, enabled=False):
        found = found.float().clamp(0, 1)
        return {"loss_dice": dice_loss(found, truth), "loss_mask": F.binary_cross_entropy(found, truth)}


def _check(result: str, integration: Mapping | None) -> None:
    if result == "mixture" and integration is None:
        raise ConfigError(
            "WiCoHead.integration",
            expected="a dict for result='mixture'",
            found="None",
            advice="use result='average', or leave integration out",
        )
