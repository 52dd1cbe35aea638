"""The non-local block: every position of a map attends to all positions (Wang et al., CVPR 2018, arXiv 1711.07971)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

# Keys and values of larger maps are pooled by default; this is the size of a 512 x 512 image at stride 16.
_MANY_POSITIONS = 32 * 32


class NonLocalBlock(nn.Module):
    """Embedded Gaussian attention with a residual connection.

    The last layer starts with scale 0, so the block initially returns its input.

    Args:
        channels: number of channels C of the map.
        inner: channels of queries, keys and values; C // 2 by default.
        sub_sample: halve the map of keys and values by max pooling; None does so for more than 1024 positions.
        norm: use batch norm after the last conv.

    Example:
        >>> import torch
        >>> x = torch.ones(1, 4, 3, 3)
        >>> bool((NonLocalBlock(4)(x) == x).all())
        True
    """

    def __init__(self, channels: int, inner: int | None = None, sub_sample: bool | None = None, norm: bool = True):
        super().__init__()
        inner = inner or max(1, channels // 2)
        self.sub_sample = sub_sample
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.out = nn.Sequential(nn.Conv2d(inner, channels, 1), *([nn.BatchNorm2d(channels)] if norm else []))
        self.init_weights()

    def init_weights(self) -> None:
        """Set the scale of the residual to 0; call this again after redrawing the other weights."""
        for value in self.out[-1].parameters():
            nn.init.zeros_(value)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        query, key, value = (tokens[:, None] for tokens in self._tokens(x))  # one head: the ONNX export needs four axes
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)[:, 0]
        return x + self.out(attended.transpose(1, 2).unflatten(2, x.shape[2:]))

    def attention(self, x: Tensor) -> Tensor:
        """Return the attention weights (B, H * W, keys); each row sums to 1."""
        query, key, _ = self._tokens(x)
        return (query @ key.transpose(1, 2)).softmax(-1)

    def _tokens(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, (B, positions, inner)."""
        maps = self.theta(x), self._pooled(self.phi(x)), self._pooled(self.g(x))
        query, key, value = (each.flatten(2).transpose(1, 2) for each in maps)
        return query, key, value

    def _pooled(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        wanted = height * width > _MANY_POSITIONS if self.sub_sample is None else self.sub_sample
        return F.max_pool2d(x, 2) if wanted and min(height, width) > 1 else x


def convert_non_local(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of GCoNet+'s or mmcv's non-local blocks to our names.

    Args:
        state: tensors by name: ``theta``, ``phi`` and ``g``, optionally followed by ``.0`` or ``.conv``; and ``W.0``
            and ``W.1``, or ``W`` (no norm), or ``conv_out.conv`` and ``conv_out.bn``.
    """
    parts = {"W.0.": "out.0.", "W.1.": "out.1.", "W.": "out.0.", "conv_out.conv.": "out.0.", "conv_out.bn.": "out.1."}
    for name in ("theta", "phi", "g"):
        parts |= {f"{name}.0.conv.": f"{name}.", f"{name}.0.": f"{name}.", f"{name}.conv.": f"{name}."}
    renamed = {}
    for name, value in state.items():
        old = next((part for part in parts if name.startswith(part)), "")
        renamed[parts.get(old, "") + name.removeprefix(old)] = value
    return renamed
