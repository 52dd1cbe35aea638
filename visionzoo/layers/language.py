"""Fusion of a feature map with the words of a phrase: PWAM of LAVT and its gate.

Yang et al., "LAVT: Language-Aware Vision Transformer for Referring Image Segmentation", CVPR 2022, arXiv:2112.02244,
section 3.2 and 3.3. Maps are token lists (B, N, C), text is :class:`visionzoo.structures.batch.TextStates`. One image
(B = 1) and several phrases give one result per phrase: the image is repeated where the first phrase enters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.errors import ConfigError, DataError
from visionzoo.structures.batch import Batch, TextStates

# Channels of BERT-base, the text encoder of LAVT.
BERT_CHANNELS = 768

# Score of a padded word in LAVT. It is finite, so a phrase without any word attends evenly.
_PADDED_SCORE = -1e4


class WordAttention(nn.Module):
    """Attention of every position of a map to the words of a phrase (LAVT, equations 1 to 5).

    Query and result are normalised over the positions of each image. Keys and values of padded words are zeros, and
    padded words have the score -1e4. Scores are divided by the root of all key channels, also with several heads.

    Args:
        dim: channels C of the map.
        text_channels: channels of the words.
        key_channels: channels of queries and keys; C by default.
        heads: number of heads, a divisor of C and of the key channels.

    Raises:
        ConfigError: ``heads`` does not divide the channels.

    Example:
        >>> text = TextStates(torch.zeros(2, 5, 8), torch.ones(2, 5, dtype=torch.bool))
        >>> WordAttention(4, 8, heads=2)(torch.zeros(2, 6, 4), text).shape
        torch.Size([2, 6, 4])
    """

    def __init__(self, dim: int, text_channels: int, *, key_channels: int | None = None, heads: int = 1):
        super().__init__()
        key_channels = dim if key_channels is None else key_channels
        for channels in (dim, key_channels):
            require_heads(heads, channels, "language fusion")
        self.heads, self.scale = heads, key_channels**-0.5
        self.query = nn.Linear(dim, key_channels)
        self.key = nn.Linear(text_channels, key_channels)
        self.value = nn.Linear(text_channels, dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, text: TextStates) -> Tensor:
        """Map (B, N, C), or (1, N, C) for several phrases, to one (N, C) for each phrase."""
        words = text.mask.to(x.dtype)
        query = normalised_over_positions(self.query(x))
        key, value = (layer(text.states) * words[..., None] for layer in (self.key, self.value))
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (query, key, value))
        hidden = ((1 - words) * _PADDED_SCORE)[:, None, None].to(q.dtype)
        q = q.expand(len(k), -1, -1, -1)
        out = F.scaled_dot_product_attention(q, k.to(q.dtype), v.to(q.dtype), attn_mask=hidden, scale=self.scale)
        return normalised_over_positions(self.out(out.transpose(1, 2).flatten(2)))

    def extra_repr(self) -> str:
        return f"heads={self.heads}"


class PWAM(nn.Module):
    """Pixel-word attention module: words that match a position, multiplied by its visual features (LAVT, equation 6).

    Args:
        dim: channels C of the map.
        text_channels: channels of the words.
        key_channels, heads: see :class:`WordAttention`.
        dropout: probability of dropout of the visual features and of the result, in [0, 1).

    Raises:
        ConfigError: ``heads`` does not divide the channels.
        DataError: in ``forward``, the map has one position, which cannot be normalised.

    Example:
        >>> text = TextStates(torch.zeros(3, 5, 8), torch.ones(3, 5, dtype=torch.bool))
        >>> PWAM(4, 8)(torch.zeros(1, 6, 4), text).shape  # one image, three phrases
        torch.Size([3, 6, 4])
    """

    def __init__(
        self,
        dim: int,
        text_channels: int = BERT_CHANNELS,
        *,
        key_channels: int | None = None,
        heads: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.visual = nn.Linear(dim, dim)
        self.attention = WordAttention(dim, text_channels, key_channels=key_channels, heads=heads)
        self.joint = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, text: TextStates) -> Tensor:
        """Map (B, N, C), or (1, N, C) for several phrases, to one (N, C) for each phrase."""
        require_fusable(x, text)
        visual = self.dropout(F.gelu(self.visual(x)))
        return self.dropout(F.gelu(self.joint(visual * self.attention(x, text))))


class LanguageGate(nn.Sequential):
    """Weights of the fused features that are added to the map, in (-1, 1): (B, N, C) to the same (LAVT, equation 7).

    Example:
        >>> LanguageGate(4)(torch.zeros(2, 6, 4)).abs().max().item()
        0.0
    """

    def __init__(self, dim: int):
        super().__init__(nn.Linear(dim, dim, bias=False), nn.ReLU(), nn.Linear(dim, dim, bias=False), nn.Tanh())


def require_heads(heads: int, channels: int, where: str) -> None:
    """Check that attention can divide its channels among its heads.

    Raises:
        ConfigError: ``heads`` does not divide ``channels``.

    Example:
        >>> require_heads(3, 8, "CFI")
        Traceback (most recent call last):
        visionzoo.errors.ConfigError: CFI: expected heads that divide 8 channels, found 3; use 1, or another divisor
    """
    if channels % heads:
        raise ConfigError(
            where,
            expected=f"heads that divide {channels} channels",
            found=f"{heads}",
            advice="use 1, or another divisor",
        )


def text_of(batch: Batch, part: str) -> TextStates:
    """Return the encoded phrases of a batch.

    Args:
        batch: the batch that a part receives.
        part: name of the part, for the error.

    Raises:
        DataError: the batch has no phrases.

    Example:
        >>> text_of(Batch(), "LAVTSwin")
        Traceback (most recent call last):
        visionzoo.errors.DataError: batch: expected encoded phrases for LAVTSwin, found none; add \
text_encoder=dict(type=...) to the model, which must be a TaskModel
    """
    if batch.text is None:
        raise DataError(
            "batch",
            expected=f"encoded phrases for {part}",
            found="none",
            advice="add text_encoder=dict(type=...) to the model, which must be a TaskModel",
        )
    return batch.text


def require_fusable(x: Tensor, text: TextStates) -> None:
    """Check the number of images and of positions of a map (B, N, C).

    Raises:
        DataError: neither one image nor as many as phrases, or fewer than two positions.
    """
    images, positions = x.shape[:2]
    if images not in (1, len(text.states)):
        raise DataError(
            "batch",
            expected="one phrase for each image, or one image",
            found=f"{len(text.states)} phrases for {images} images",
            advice="give each image its phrase",
        )
    if positions < 2:
        raise DataError(
            "batch",
            expected="maps of at least 2 positions for the fusion with a phrase (64x32 pixels at stride 32)",
            found=f"{positions}",
            advice="enlarge the images",
        )


def normalised_over_positions(x: Tensor) -> Tensor:
    """Normalise each channel of each image over its positions, (B, N, C), with mean 0 and variance 1.

    Example:
        >>> normalised_over_positions(torch.tensor([[[1.0], [3.0]]])).flatten().round().tolist()
        [-1.0, 1.0]
    """
    with torch.autocast(x.device.type, enabled=False):
        variance, mean = torch.var_mean(x.float(), dim=1, correction=0, keepdim=True)
        return ((x.float() - mean) * torch.rsqrt(variance + 1e-5)).to(x.dtype)
