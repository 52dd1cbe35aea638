"""Self-constructing graph of MICDIR: nodes are cells of the coarsest map, and the edges follow from their features.

Tensors: N pairs, C channels, h hidden channels, K nodes, g nodes per axis, n spatial axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.layers.image_pairs import in_turn
from visionzoo.layers.spatial import CONVOLUTIONS

_POOLS: dict[int, Callable[..., Tensor]] = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}

# Smallest degree of a node without ``compat``: that of the edge to itself.
_OWN_EDGE = 1.0
# Smallest mean of the squared lengths of nodes without ``compat``.
_SMALL = 1e-6


class Graph(NamedTuple):
    """Graph of each pair.

    Attributes:
        mean, log_spread: (N, h, g, ..., g), distribution of the nodes' features.
        nodes: (N, K, h), features of the nodes: the mean, or a sample in training.
        strength: (N,), factor of the diagonal, at least 1.
        edges: (N, K, K), normalised adjacency.
        lengths: (N, K), squared lengths of the nodes before normalisation.
    """

    mean: Tensor
    log_spread: Tensor
    nodes: Tensor
    strength: Tensor
    edges: Tensor
    lengths: Tensor


class GraphLayer(nn.Module):
    """Graph convolution: mean over the edges, linear layer, batch normalisation, LeakyReLU and dropout.

    Args:
        before, after: input and output features of a node.
    """

    def __init__(self, before: int, after: int):
        super().__init__()
        self.linear, self.norm = nn.Linear(before, after), nn.BatchNorm1d(after)
        self.act, self.drop = nn.LeakyReLU(0.2), nn.Dropout(0.1)
        nn.init.orthogonal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """Map (N, K, before) to (N, K, after)."""
        x = self.linear(edges @ x)
        return self.drop(self.act(self.norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])))


class SelfConstructingGraph(nn.Module):
    """Compute the latent map of MICDIR from the coarsest map of the encoder.

    The map is pooled to g cells per axis, which are the nodes. The edges are inner products of predicted features of
    the nodes. Two graph convolutions over these edges give the latent map.

    With ``compat``, as in the released code: maps are reshaped to nodes without exchanging their axes, which mixes
    nodes and channels; the strength of the diagonal of a pair is the mean over the batch in the latent map; degrees may
    be negative.

    Args:
        channels: channels C of the map.
        hidden: features h of a node, the channels of the latent map.
        width: features of a node between the two graph convolutions.
        per_axis: nodes per axis g.
        dims: number of spatial axes, 2 or 3.
        compat: compute as in the released code; see above.
    """

    def __init__(self, channels: int, hidden: int, width: int, *, per_axis: int, dims: int, compat: bool):
        super().__init__()
        self.dims, self.per_axis, self.compat = dims, per_axis, compat
        self.mu = nn.Sequential(CONVOLUTIONS[dims](channels, hidden, 3, padding=1), nn.Dropout(0.2))
        self.logvar = nn.Sequential(CONVOLUTIONS[dims](channels, hidden, 1), nn.Dropout(0.2))
        self.layers = nn.ModuleList([GraphLayer(channels, width), GraphLayer(width, hidden)])

    def forward(self, x: Tensor, directions: int = 1) -> tuple[Tensor, Tensor]:
        """Return the latent map and the loss of the graph.

        Args:
            x: the coarsest map, (N, C, *s).
            directions: 2 if the rows are the two directions of each pair in turn, else 1.

        Returns:
            (N, h, g, ..., g), and the loss, a scalar: the sum of both directions.
        """
        with torch.autocast(x.device.type, enabled=False):
            pooled = self.pooled(x.float())
            graph = self.graph(pooled)
            latent = self.latent(pooled, graph, directions)
            return latent, self.loss(graph, directions)

    def pooled(self, x: Tensor) -> Tensor:
        """Pool (N, C, *s) to (N, C, g, ..., g)."""
        if torch.compiler.is_exporting():  # ONNX has no adaptive pool of volumes
            return pooled_by_axis(x, self.per_axis)
        return _POOLS[self.dims](x, (self.per_axis,) * self.dims)

    def graph(self, pooled: Tensor) -> Graph:
        """Return the graph of each pair."""
        mean, log_spread = self.mu(pooled), self.logvar(pooled)
        drawn = mean + log_spread.exp() * torch.randn_like(mean) if self.training else mean
        nodes = self._as_nodes(drawn)
        edges = F.leaky_relu(nodes @ nodes.mT, 0.2)
        lengths = edges.diagonal(dim1=1, dim2=2)
        typical = lengths.mean(1)
        strength = (1 + 1 / (typical if self.compat else typical.clamp_min(_SMALL))).sqrt()
        edges = edges + torch.diag_embed(strength[:, None] * lengths + 1)
        return Graph(mean, log_spread, nodes, strength, self._normalised(edges), lengths)

    def _normalised(self, edges: Tensor) -> Tensor:
        degrees = edges.sum(1) + 1e-5
        scales = (degrees if self.compat else degrees.clamp_min(_OWN_EDGE)).rsqrt()
        return scales[:, :, None] * edges * scales[:, None, :]

    def latent(self, pooled: Tensor, graph: Graph, directions: int = 1) -> Tensor:
        """Return the latent map (N, h, g, ..., g)."""
        x = self._as_nodes(pooled)
        for layer in self.layers:
            x = layer(x, graph.edges)
        x = graph.edges @ x + self.residual(graph, directions)
        return self._as_map(x)

    def residual(self, graph: Graph, directions: int = 1) -> Tensor:
        """Return the part of the latent nodes that does not pass the graph convolutions, (N, K, h)."""
        strength = self._over_batch(graph.strength, directions) if self.compat else graph.strength
        return strength[:, None, None] * self._as_nodes(graph.mean * (1 - graph.log_spread))

    def loss(self, graph: Graph, directions: int = 1) -> Tensor:
        """Return the divergence of the nodes from a normal distribution plus the loss of short nodes, a scalar."""
        terms = 1 + 2 * graph.log_spread - graph.mean.square() - (2 * graph.log_spread).exp()
        count = graph.nodes.shape[1]
        divergence = -0.5 / count * terms.sum(1).mean()
        strength = self._over_batch(graph.strength, directions) if self.compat else graph.strength
        logs = torch.where(graph.lengths < 1, graph.lengths + 1e-7, 1.0).log()
        short = (strength * logs.sum(1)).mean() / count**2
        return directions * (divergence - short)

    def _over_batch(self, strength: Tensor, directions: int) -> Tensor:
        """Return the mean of the rows of each direction, in the rows of that direction."""
        means = [strength[at::directions].mean().expand(len(strength) // directions) for at in range(directions)]
        return means[0] if directions == 1 else in_turn(*means)

    def _as_nodes(self, x: Tensor) -> Tensor:
        """Return a map (N, C, g, ..., g) as nodes (N, K, C)."""
        return x.flatten(2).mT.contiguous() if not self.compat else x.reshape(len(x), -1, x.shape[1])

    def _as_map(self, x: Tensor) -> Tensor:
        """Return nodes (N, K, C) as a map (N, C, g, ..., g)."""
        channels_first = x if self.compat else x.mT
        return channels_first.reshape(len(x), x.shape[2], *(self.per_axis,) * self.dims)


def pooled_by_axis(x: Tensor, cells: int) -> Tensor:
    """Return the adaptive average pool of all spatial axes as one matrix product for each axis.

    Example:
        >>> x = torch.arange(30.0).view(1, 1, 5, 6)
        >>> torch.allclose(pooled_by_axis(x, 2), F.adaptive_avg_pool2d(x, 2))
        True
    """
    for axis in range(2, x.ndim):
        side, weights = x.shape[axis], x.new_zeros(cells, x.shape[axis])
        for cell in range(cells):
            start, end = cell * side // cells, -(-(cell + 1) * side // cells)
            weights[cell, start:end] = 1 / (end - start)
        x = (x.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return x
