"""The non-local block: every position of a map looks at all others (Wang et al., CVPR 2018, arXiv 1711.07971)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

# Positions from which keys and values are pooled by default: those of an image of 512 x 512 at stride 16.
_MANY_POSITIONS = 32 * 32


class NonLocalBlock(nn.Module):
    """Embedded Gaussian with a residual: the input itself at the start, since its last layer begins with scale 0.

    Args:
        channels: C of the map.
        inner: channels of queries, keys and values; C // 2 by default.
        sub_sample: halve the map of keys and values by maxima; None does so for maps of more than 1024 positions.
        norm: batch norm behind the last conv.
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
        """Scale 0 of what is added, kept apart so that whoever draws the other weights anew can call it after."""
        for value in self.out[-1].parameters():
            nn.init.zeros_(value)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), unchanged in shape."""
        query, key, value = (tokens[:, None] for tokens in self._tokens(x))  # one head: ONNX is made of four axes alone
        found = F.scaled_dot_product_attention(query, key, value, scale=1.0)[:, 0]
        return x + self.out(found.transpose(1, 2).unflatten(2, x.shape[2:]))

    def attention(self, x: Tensor) -> Tensor:
        """How much every position looks at every other: (B, H * W, keys), rows that sum to 1."""
        query, key, _ = self._tokens(x)
        return (query @ key.transpose(1, 2)).softmax(-1)

    def _tokens(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (B, positions, C // 2)."""
        maps = self.theta(x), self._pooled(self.phi(x)), self._pooled(self.g(x))
        query, key, value = (each.flatten(2).transpose(1, 2) for each in maps)
        return query, key, value

    def _pooled(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        wanted = height * width > _MANY_POSITIONS if self.sub_sample is None else self.sub_sample
        return F.max_pool2d(x, 2) if wanted and min(height, width) > 1 else x


def convert_non_local(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of GCoNet+'s or mmcv's non-local blocks under the names of ours.

    Args:
        state: by name: ``theta``, ``phi`` and ``g``, each perhaps with ``.0`` or ``.conv`` behind it, and ``W.0``,
            ``W.1``, or ``W`` without norm, or ``conv_out.conv``, ``conv_out.bn``.
    """
    parts = {"W.0.": "out.0.", "W.1.": "out.1.", "W.": "out.0.", "conv_out.conv.": "out.0.", "conv_out.bn.": "out.1."}
    for name in ("theta", "phi", "g"):
        parts |= {f"{name}.0.conv.": f"{name}.", f"{name}.0.": f"{name}.", f"{name}.conv.": f"{name}."}
    renamed = {}
    for name, value in state.items():
        old = next((part for part in parts if name.startswith(part)), "")
        renamed[parts.get(old, "") + name.removeprefix(old)] = value
    return renamed
