"""Top-down branch of WiCo: score of each proposal for a phrase.

The paper (Cheng et al., "WiCo: Win-win Cooperation of Bottom-up and Top-down Referring Image Segmentation", IJCAI 2023,
arXiv:2306.10750) pairs any method that scores proposals with a bottom-up branch. The form of this scorer is our choice:
it is not that of the methods in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from visionzoo.allowed import Count, CountOrZero, Few, Part, Share
from visionzoo.errors import DataError
from visionzoo.heads.wico.proposals import Proposals
from visionzoo.layers.language import BERT_CHANNELS, require_heads
from visionzoo.registry import MODELS
from visionzoo.structures.batch import TextStates

_ROI_SIZE = 7
_START_SCALE = 10.0  # factor of cosines; the parameter is its logarithm
_LOCATION = 5


@dataclass(frozen=True)
class ScoredPhrase:
    """Embeddings of proposals and of a phrase.

    Attributes:
        objects: (B, K, D).
        phrase: (B, D).
        proposals: the proposals.
    """

    objects: Tensor
    phrase: Tensor
    proposals: Proposals


@MODELS.register_module()
class ProposalScorer(nn.Module):
    """Score proposals by the similarity of their embeddings with that of the phrase (our choice of form).

    The embedding of a proposal is the norm of a sum: its features after two linear layers, its location (edges and area
    as shares of the image), and its label. Features are those of the provider, which do not depend on the phrase, or
    else those of RoIAlign (7x7) in the map of the bottom-up branch. Transformer layers follow, with attention to the
    other proposals and to the words. The phrase is the mean of its words, weighted by attention. A score is the cosine
    of both, times a learned scale.

    Args:
        in_channels: channels C of the map that is cropped.
        stride: pixels per cell of that map.
        text_channels: channels of the words. The head fills in these three.
        width: channels D of the embeddings, a multiple of ``heads``.
        num_labels: number of class names of the provider; other labels share one embedding. 0: labels are not used.
        feature_channels: channels F of the ``features`` of proposals; 0: RoIAlign.
        layers, heads: number of transformer layers and of their heads.
        dropout: probability of dropout in the transformer layers.
        least_iou: least overlap with the truth of a proposal that training chooses.

    Raises:
        ConfigError: a number out of its range, or ``heads`` does not divide ``width``.
        DataError: in ``forward``, proposals without features of ``feature_channels`` channels.

    Example:
        >>> from visionzoo.heads.wico.proposals import whole_images
        >>> scorer = ProposalScorer(8, 16, text_channels=5, width=16, heads=2)
        >>> text = TextStates(torch.zeros(2, 4, 5), torch.ones(2, 4, dtype=torch.bool))
        >>> scored = scorer(torch.zeros(2, 8, 3, 4), whole_images(2, (48, 64)), text)
        >>> scorer.scores(scored).shape
        torch.Size([2, 1])
    """

    PART_OF = "WiCoHead"

    def __init__(
        self,
        in_channels: Count,
        stride: Count = 16,
        text_channels: Count = BERT_CHANNELS,
        *,
        width: Count = 256,
        num_labels: CountOrZero = 0,
        feature_channels: CountOrZero = 0,
        layers: Few = 2,
        heads: Few = 8,
        dropout: Part = 0.0,
        least_iou: Share = 0.5,
    ):
        super().__init__()
        require_heads(heads, width, "ProposalScorer")
        self.stride, self.width, self.num_labels, self.least_iou = stride, width, num_labels, least_iou
        self.feature_channels = feature_channels
        read = feature_channels or in_channels * _ROI_SIZE**2
        self.features = nn.Sequential(nn.Linear(read, width), nn.ReLU(), nn.Linear(width, width))
        self.location = nn.Linear(_LOCATION, width)
        self.label = nn.Embedding(num_labels + 1, width)
        self.norm = nn.LayerNorm(width)
        self.words = nn.Linear(text_channels, width)
        self.word_weight = nn.Linear(width, 1)
        options = dict(dim_feedforward=2 * width, dropout=dropout, batch_first=True, norm_first=True)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(width, heads, **options)  # type: ignore[arg-type]
            for _ in range(layers)
        )
        self.to_phrase = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.tensor(_START_SCALE).log())

    def forward(self, feat: Tensor, proposals: Proposals, text: TextStates) -> ScoredPhrase:
        """Embed the proposals and the phrase.

        Args:
            feat: (B, C, h, w).
            proposals: K for each image.
            text: one phrase for each image.
        """
        words = self.words(text.states)
        absent = ~text.mask.bool() * -1e4
        weights = (self.word_weight(words)[..., 0] + absent).softmax(-1)
        phrase = (weights[..., None] * words).sum(1)
        objects = self._embedded(feat, proposals)
        padding = proposals.scores_of_padding().to(objects.dtype)
        for layer in self.layers:
            objects = layer(
                objects,
                words,
                tgt_key_padding_mask=padding,
                memory_key_padding_mask=absent.to(objects.dtype),
            )
        return ScoredPhrase(objects, phrase, proposals)

    def scores(self, scored: ScoredPhrase) -> Tensor:
        """Return the score of each proposal, (B, K); padding has a score below -1000."""
        phrase = F.normalize(self.to_phrase(scored.phrase).float(), dim=-1)
        cosines = (F.normalize(scored.objects.float(), dim=-1) * phrase[:, None]).sum(-1)
        return cosines * self.scale.exp() + scored.proposals.scores_of_padding()

    def loss(self, scores: Tensor, proposals: Proposals, masks: Tensor) -> Tensor:
        """Return the cross-entropy of the choice of the proposal with the largest overlap.

        Samples whose largest IoU is below ``least_iou`` are left out.

        Args:
            scores: (B, K).
            proposals: the proposals.
            masks: (B, H, W) bool, the truth.
        """
        overlaps, chosen = mask_ious(proposals.masks >= 0.5, masks[:, None]).max(1)
        counts = (overlaps >= self.least_iou) & proposals.present
        losses = F.cross_entropy(scores, chosen, reduction="none")
        return (losses * counts).sum() / counts.sum().clamp(min=1)

    def _embedded(self, feat: Tensor, proposals: Proposals) -> Tensor:
        labels = proposals.labels
        known = (labels >= 0) & (labels < self.num_labels)
        label = self.label(labels.where(known, self.num_labels))
        features = self._provided(proposals) if self.feature_channels else self._cropped(feat, proposals.boxes)
        return self.norm(self.features(features) + self.location(proposals.locations()) + label)

    def _cropped(self, feat: Tensor, boxes: Tensor) -> Tensor:
        boxes = boxes.to(feat.dtype)
        crops = roi_align(feat, list(boxes), _ROI_SIZE, spatial_scale=1 / self.stride, aligned=True)
        return crops.flatten(1).unflatten(0, boxes.shape[:2])

    def _provided(self, proposals: Proposals) -> Tensor:
        found = proposals.features
        if found is None and not proposals.present.any():
            return proposals.boxes.new_zeros(*proposals.valid.shape, self.feature_channels)
        if found is None or found.shape[2] != self.feature_channels:
            raise DataError(
                "proposals",
                expected=f"features of {self.feature_channels} channels for each proposal",
                found="none" if found is None else f"{found.shape[2]} channels",
                advice="use a provider that gives them, or train with features=False of ZooSegmenter",
            )
        return found


def mask_ious(masks: Tensor, others: Tensor) -> Tensor:
    """Return the IoU of masks (..., H, W), bool; 0 where both are empty.

    Example:
        >>> mask_ious(torch.tensor([[[True, True]]]), torch.tensor([[[True, False]]])).tolist()
        [0.5]
    """
    common, union = (masks & others).sum((-2, -1)), (masks | others).sum((-2, -1))
    return common / union.clamp(min=1)
