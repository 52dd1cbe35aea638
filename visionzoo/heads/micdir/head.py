"""MICDIR: velocities on two scales, decoded from the latent map of a self-constructing graph.

Chatterjee et al., "MICDIR: Multi-scale Inverse-consistent Deformable Image Registration using UNetMSS with
Self-Constructing Graph Latent", arXiv:2203.04317. Numbers and details follow the authors' released code.

Tensors: B pairs, N = B rows for one direction or 2 B for both, C channels, n spatial axes, S sides in voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Unpack

from torch import Tensor

from visionzoo.allowed import Count, CountOrZero, Few, Items, Weight
from visionzoo.errors import ConfigError, require_known
from visionzoo.heads.micdir.decoder import Decoder, VelocityLayers
from visionzoo.heads.micdir.graph import SelfConstructingGraph
from visionzoo.layers.registration import Fields, InstanceOptions, RegistrationHead, Roles, both_ways, roles_of
from visionzoo.layers.spatial import resize_linear
from visionzoo.layers.velocity import displacement_of, resized_to, warped
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch

# Defaults of the last activation, by variant with a graph (True) or without, and ``compat``.
_LAST = {True: "leaky", False: "tanh"}


class Velocities(NamedTuple):
    """Velocities on two scales, (N, n, *S) and (N, n, *S / 2), and the loss of the graph or None."""

    full: Tensor
    half: Tensor
    graph_loss: Tensor | None


@MODELS.register_module()
class MICDIRHead(RegistrationHead):
    """Decode the levels of an encoder to velocities on the two finest scales, and integrate them.

    The coarsest map passes a self-constructing graph (MSCGUNet) or not (UNetMSS). Both scales are trained: similarity
    of the warped and the fixed image, and smoothness of the integrated field. With an encoder of both directions, the
    losses are sums over both directions, and the rows of one batch.

    With ``compat`` the network and the objective are those of the released code. Without it these defects are fixed:

    - Nodes of the graph are cells of the map instead of mixtures of cells and channels.
    - Degrees of nodes are clamped. The released code takes roots of negative degrees, and its training can become NaN.
    - A pair does not depend on the other pairs of its batch.
    - The last convolution is linear and starts near zero. The LeakyReLU of the released code shortens negative
      displacements to a fifth.
    - The inverse-consistency loss, which the paper describes, is added.

    Reads no ground truth. Writes the fields of :class:`~visionzoo.layers.registration.RegistrationHead`. The inverse
    field is that of the other direction. If the encoder has one direction, it is the integral of the negative velocity.

    Args:
        in_channels: channels of all levels, shallow first; filled in from the encoder. The first half of the channels
            of the first level is the fixed image, which is concatenated before the velocity. At least 4 levels.
        variant: ``mscgunet``, ``unetmss`` (no graph, and narrower convolutions to the velocity) or ``tiny``.
        dims: number of spatial axes n, 2 or 3.
        width: channels of the decoded maps. None, here and below: as in the variant.
        graph_features: features of a node of the graph: in the latent map, and between the two graph convolutions.
        velocity_features: channels of the convolutions before the last one to the velocity.
        compat: compute as in the released code; see above.
        last: activation after the last convolution: ``leaky``, ``tanh`` or ``linear``. None: ``linear``, and with
            ``compat`` ``leaky`` (``tanh`` for ``unetmss``).
        nodes_per_axis: nodes of the graph per axis.
        int_steps: number of squarings, >= 0; with 0 the velocity is the displacement field.
        int_downsize: factor by which the grid of the integration is coarser than that of the velocity, >= 1.
        similarity: config of the similarity loss of two images, ``dict(type="GlobalNCC")`` by default.
        similarity_weight, smooth_weight, graph_weight: factors of the losses of the full scale and of the graph, >= 0.
        half_similarity_weight, half_smooth_weight: factors of the losses of the half scale, >= 0.
        consistency_weight: factor of the inverse-consistency loss, >= 0. None: 0.05, and 0 with ``compat``.
        with_cp: recompute activations in the backward pass instead of storing them.
        instance_steps, instance_similarity, init_cfg: see :class:`~visionzoo.layers.registration.RegistrationHead`.

    Raises:
        ConfigError: too few levels.
        UnknownName: an unknown variant.

    Example:
        >>> import torch
        >>> head = MICDIRHead([2, 4, 8, 8], variant="tiny", dims=2)
        >>> sides = [(9, 12), (9, 12), (5, 6), (3, 3)]
        >>> feats = [torch.zeros(1, c, *side) for c, side in zip([2, 4, 8, 8], sides)]
        >>> {name: tuple(velocity.shape) for name, velocity in head.eval()(feats).items()}
        {'velocity': (1, 2, 9, 12), 'velocity_half': (1, 2, 5, 6)}
    """

    LEAST_LEVELS = 4  # the pair of images and three maps

    # The arguments width, graph_features and velocity_features, and whether the halved fixed image is concatenated on
    # the half scale.
    VARIANTS: dict[str, dict[str, Any]] = {
        "mscgunet": {"width": 32, "graph": (9, 16), "velocity": (16, 16), "image_on_half": False},
        "unetmss": {"width": 16, "graph": None, "velocity": (8, 3), "image_on_half": True},
        "tiny": {"width": 8, "graph": (4, 8), "velocity": (8,), "image_on_half": False},
    }

    def __init__(
        self,
        in_channels: Sequence[Count],
        variant: str = "mscgunet",
        *,
        dims: Literal[2, 3] = 3,
        width: Count | None = None,
        graph_features: Annotated[Sequence[Count], Items(2, 2)] | None = None,
        velocity_features: Sequence[Count] | None = None,
        compat: bool = False,
        last: Literal["leaky", "tanh", "linear"] | None = None,
        nodes_per_axis: Few = 4,
        int_steps: CountOrZero = 7,
        int_downsize: Few = 2,
        similarity: Mapping | None = None,
        similarity_weight: Weight = 1.2,
        smooth_weight: Weight = 1.0,
        graph_weight: Weight = 1.0,
        half_similarity_weight: Weight = 0.5,
        half_smooth_weight: Weight = 0.5,
        consistency_weight: Weight | None = None,
        with_cp: bool = False,
        **instance: Unpack[InstanceOptions],
    ):
        super().__init__(dims, **instance)
        require_known(variant, self.VARIANTS, "MICDIRHead variant")
        self.compat, self.int_steps, self.int_downsize = compat, int_steps, int_downsize
        given = {"width": width, "graph": graph_features, "velocity": velocity_features}
        design = self.VARIANTS[variant] | {name: value for name, value in given.items() if value is not None}
        self.last = last or (_LAST[design["graph"] is not None] if compat else "linear")
        self.weights = {"similarity": similarity_weight, "smooth": smooth_weight, "graph": graph_weight}
        self.weights |= {"half_similarity": half_similarity_weight, "half_smooth": half_smooth_weight}
        usual = 0.0 if compat else 0.05
        self.weights["consistency"] = usual if consistency_weight is None else consistency_weight
        self.similarity = MODELS.build(dict(similarity or {"type": "GlobalNCC"}))
        self.smoothness = MODELS.build(dict(type="Gradient", penalty="l2"))
        self.consistency = MODELS.build(dict(type="InverseConsistency"))
        self._build(_checked_levels(in_channels), nodes_per_axis, with_cp, **design)

    def _build(
        self,
        channels: Sequence[int],
        per_axis: int,
        with_cp: bool,
        width: int,
        graph: Sequence[int] | None,
        velocity: Sequence[int],
        image_on_half: bool,
    ) -> None:
        self.image_channels, start = max(1, channels[0] // 2), channels[-1]
        self.latent_graph = None
        if graph is not None:
            self.latent_graph = SelfConstructingGraph(
                start, *graph, per_axis=per_axis, dims=self.dims, compat=self.compat
            )
            start = graph[0]
        self.decoder = Decoder(start, channels[1:-1], width, dims=self.dims, with_cp=with_cp)
        self.image_on_half = image_on_half
        options: dict[str, Any] = dict(dims=self.dims, last=self.last, with_cp=with_cp)
        self.full_velocity = VelocityLayers(width + self.image_channels, velocity, **options)
        self.half_velocity = VelocityLayers(width + self.image_channels * image_on_half, velocity, **options)

    # --- forward ---

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> dict[str, Tensor]:
        """Return the velocities of the two finest scales, each in voxels of its grid.

        Args:
            feats: the pair of images and one map per level, shallow first.
            batch: not used.

        Returns:
            ``velocity`` (N, n, *S) and ``velocity_half`` (N, n, *S / 2).
        """
        velocities = self.velocities(feats)
        return {"velocity": velocities.full, "velocity_half": velocities.half}

    def velocities(self, feats: Sequence[Tensor], directions: int = 1) -> Velocities:
        """Return the velocities, and the loss of the graph.

        Args:
            feats: the pair of images and one map per level, shallow first.
            directions: 2 if the rows are the two directions of each pair in turn, else 1.
        """
        self.require_dims(feats)
        image, coarsest, graph_loss = feats[0][:, : self.image_channels], feats[-1], None
        if self.latent_graph is not None:
            latent, graph_loss = self.latent_graph(coarsest, directions)
            coarsest = resize_linear(latent, coarsest.shape[2:])
        *_, half, full = self.decoder(coarsest, feats[1:-1])
        halved = resize_linear(image, half.shape[2:]) if self.image_on_half else None
        return Velocities(self.full_velocity(full, image), self.half_velocity(half, halved), graph_loss)

    def displacement(self, velocity: Tensor) -> Tensor:
        """Integrate a velocity (N, n, *s) to a displacement field on its own grid."""
        return displacement_of(velocity, self.int_steps, self.int_downsize)

    def fields(self, feats: Sequence[Tensor], batch: Batch) -> Fields:
        """Return the fields of both directions, (B, n, *S) each."""
        roles = roles_of(feats, batch)
        velocity = self.velocities(feats, roles.directions).full
        field = resized_to(self.displacement(velocity), roles.fixed)
        if roles.directions == 2:
            return both_ways(field)
        return Fields(field, resized_to(self.displacement(-velocity), roles.fixed))

    # --- losses ---

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return the losses of both scales, of the graph and of the consistency, weighted; sums over the directions.

        Returns:
            ``loss_similarity``, ``loss_smooth``, ``loss_half_similarity``, ``loss_half_smooth``; ``loss_graph`` with a
            graph; ``loss_consistency`` with both directions and a factor above 0.
        """
        roles = roles_of(feats, batch)
        velocities = self.velocities(feats, roles.directions)
        field = resized_to(self.displacement(velocities.full), roles.fixed)
        terms = self._scale(field, roles, "")
        half = self.displacement(velocities.half)
        fixed, moving = (resize_linear(image, half.shape[2:]) for image in (roles.fixed, roles.moving))
        terms |= self._scale(half, Roles(fixed, moving, roles.directions), "half_")
        if velocities.graph_loss is not None:
            terms["graph"] = velocities.graph_loss
        if roles.directions == 2 and self.weights["consistency"]:
            terms["consistency"] = self.consistency(*both_ways(field))
        return {f"loss_{name}": self.weights[name] * value for name, value in terms.items()}

    def _scale(self, field: Tensor, roles: Roles, prefix: str) -> dict[str, Tensor]:
        similarity = self.similarity(roles.fixed, warped(roles.moving, field))
        terms = {"similarity": similarity, "smooth": self.smoothness(field)}
        return {f"{prefix}{name}": roles.directions * value for name, value in terms.items()}


def _checked_levels(in_channels: Sequence[int]) -> Sequence[int]:
    if len(in_channels) < 4:
        raise ConfigError(
            "MICDIRHead.in_channels",
            expected="at least 4 levels: the pair of images and three maps",
            found=f"{len(in_channels)}",
            advice="use MICDIREncoder as model.backbone, or choose more levels of it",
        )
    return in_channels
