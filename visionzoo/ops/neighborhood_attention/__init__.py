"""Neighborhood attention in pure torch: each token attends to the k nearest tokens along each axis.

Consider one axis of length L, with kernel k, dilation d and stride s. The query at i belongs to the group of all
positions congruent to i modulo d. Its place in the group is ``p = i // d``, one of n, and it attends to k neighbours in
the group. At the borders the window is shifted inward, so that it never shrinks. With a stride, s consecutive queries
share the window of the query in their middle. Axes are independent: the neighbourhood is the product of the windows of
all axes. Sources: Hassani et al., NAT, CVPR 2023, arXiv 2204.07143; dilation: DiNAT, arXiv 2209.15001; causal axes:
arXiv 2403.04690; stride: GNA, arXiv 2504.16922.

Computation: groups move to the batch axis, because a group has no dilation inside. Dense attention handles small
groups. Larger groups are cut into tiles of queries. The keys of a tile are one block that covers the windows of all its
queries, and keys outside the window of a query get a bias of minus infinity. Only tiles at the borders differ in their
bias from the tiles between them, so few biases are needed.

Tensors: B batch, D channels of a head, n places in a group.
"""

from visionzoo.ops.neighborhood_attention.attention import IMPLEMENTATIONS, attention_weights, na1d, na2d, na3d
from visionzoo.ops.neighborhood_attention.rules import AxisRule, neighborhood_rules
from visionzoo.ops.neighborhood_attention.windows import window_indices

__all__ = [
    "IMPLEMENTATIONS",
    "AxisRule",
    "attention_weights",
    "na1d",
    "na2d",
    "na3d",
    "neighborhood_rules",
    "window_indices",
]
