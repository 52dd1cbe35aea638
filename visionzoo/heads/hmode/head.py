"""HMoDE: the density of a crowd from a hierarchical mixture of density experts.

Du et al., "Redesigning Multi-Scale Neural Network for Crowd Counting", TIP 2023, arXiv:2208.02894. Numbers and details
follow the authors' released code.

Tensors: B images, E experts, M pairs of experts, h, w cells of the finest level, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.allowed import Count, Few, Positive, Share, Weight
from visionzoo.errors import ConfigError, counted, require_known
from visionzoo.heads.hmode.losses import attention_loss, importance_loss, local_counting_losses
from visionzoo.heads.hmode.parts import Attention, Decoder, Gate, chain
from visionzoo.layers.density import (
    LOG_PARA,
    CountingHead,
    cell_truth,
    density_targets,
    draw_weights,
    pixels_of_cells,
    sum_over_cells,
)
from visionzoo.layers.sample_sizes import Size, image_size, input_size, require_single_images
from visionzoo.layers.windows import Window, enlarge_nearest
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch
from visionzoo.structures.task_sample import TaskSample

# Default number of experts, as in the released model.
EXPERTS = 3

# Defaults of the options for each value of ``compat``: True is the released code, False is our recommendation.
_OPTIONS: dict[bool, dict[str, Any]] = {
    True: {
        "relu_on_gates": True,
        "relative": False,
        "relative_from": 0.0,
        "relative_weight": 1.0,
        "margin": 0.0,
        "train_regions": False,
        "importance_by_image": False,
    },
    False: {
        "relu_on_gates": False,
        "relative": True,
        "relative_from": 0.5,
        "relative_weight": 0.1,
        "margin": 0.5,
        "train_regions": True,
        "importance_by_image": True,
    },
}


@MODELS.register_module()
class HMoDEHead(CountingHead):
    """Density maps of one expert per level, mixed in each cell: first pairs of experts, then these mixtures.

    Reads ``gt_density`` in training: (H, W) float32, people per pixel, of the size of the image without padding. Writes
    ``pred_count`` and ``pred_density`` on the grid of the finest level (1/4 with VGG); see :class:`CountingHead`.

    The head reads the last levels of any backbone or neck, at least two. In training, the encoder's batch normalisation
    needs more than one cell of the coarsest level per batch: torch rejects a single image of 16x16.

    With ``compat`` the objective is that of the released script: squared errors of all maps, attention and importance,
    divided by the batch size, without the relative local counting loss. Without ``compat`` these defects are fixed:

    - Gates may have negative logits.
    - The relative loss starts when the density has settled, and its weight is small. It requires a share of the true
      differences, because otherwise a map of zeros is optimal.
    - The errors of the hard regions have gradients.
    - Each image has its own importance loss, so the loss does not depend on the batch size.

    Each fix can also be set separately.

    Args:
        in_channels, in_strides: channels and strides of every level, shallow first; filled in from the preceding part.
        variant: ``default``; ``light_gate``, whose second gate is 256 channels wide instead of up to 2048; ``tiny``.
        experts: number of levels to read from the end, >= 2; by default three, or all if there are fewer.
        compat: use the objective of the released script; see above.
        log_para: factor of the targets and divisor of the predictions, above 0.
        attention_threshold: density, in people per pixel, above which a pixel is occupied; independent of ``log_para``.
        relu_on_gates: apply ReLU to the logits of both gates.
        relative: add absolute and relative local counting losses of the hardest 16x16 regions.
        relative_from: share of the training after which these losses are added, 0 to 1.
        relative_weight: factor of these losses, >= 0.
        margin: share of the true differences between regions that predictions must reach, 0 to 1.
        train_regions: compute gradients of the errors of hard regions; otherwise they only change the
            printed value.
        importance_by_image: compute the importance loss for each image; see above.
        init_cfg: initialisation config of mmengine.

    Raises:
        ConfigError: fewer than two levels, or a number out of its range.
        UnknownName: an unknown variant.

    Example:
        >>> import torch
        >>> head = HMoDEHead([8, 16], [4, 8], variant="tiny")
        >>> outputs = head([torch.zeros(1, 8, 8, 8), torch.zeros(1, 16, 4, 4)])
        >>> outputs["maps"].shape  # two experts, their pair and the final map
        torch.Size([1, 4, 8, 8])
    """

    LEAST_LEVELS = 2

    VARIANTS: dict[str, dict[str, Any]] = {
        "default": {"width": 512, "hidden": 64, "gate": (1024, 2048, 1024, 512, 256)},
        "light_gate": {"width": 512, "hidden": 64, "gate": (256, 256, 256, 256, 256)},
        "tiny": {"width": 32, "hidden": 8, "gate": (16, 16)},
    }

    def __init__(
        self,
        in_channels: Sequence[Count] | Count,
        in_strides: Sequence[Count],
        variant: str = "default",
        *,
        experts: Few | None = None,
        compat: bool = True,
        log_para: Positive = LOG_PARA,
        attention_threshold: Share = 1e-5,
        relu_on_gates: bool | None = None,
        relative: bool | None = None,
        relative_from: Share | None = None,
        relative_weight: Weight | None = None,
        margin: Share | None = None,
        train_regions: bool | None = None,
        importance_by_image: bool | None = None,
        init_cfg: Any = None,
    ):
        require_known(variant, self.VARIANTS, "HMoDEHead variant")
        channels = [in_channels] if isinstance(in_channels, int) else list(in_channels)
        used = _require_experts(experts, len(channels))
        super().__init__(in_strides, in_strides[-used], log_para, init_cfg)
        given = {
            "relu_on_gates": relu_on_gates,
            "relative": relative,
            "relative_from": relative_from,
            "relative_weight": relative_weight,
            "margin": margin,
            "train_regions": train_regions,
            "importance_by_image": importance_by_image,
        }
        self.options = _OPTIONS[compat] | {name: value for name, value in given.items() if value is not None}
        self.variant, self.experts_used, self.attention_threshold = variant, used, attention_threshold
        self.pairs = tuple(combinations(range(used), 2))
        self._build(channels[-used:], **self.VARIANTS[variant])
        self.progress = 0.0
        self.reset_parameters()

    def _build(self, channels: Sequence[int], width: int, hidden: int, gate: Sequence[int]) -> None:
        deep, relu = channels[-1], self.options["relu_on_gates"]
        self.decoder = Decoder(channels, width)
        self.experts = nn.ModuleList(chain((each, hidden, 1), (1, 1)) for each in self.decoder.out_channels)
        self.attention = Attention((deep, width // 2, width // 4))
        self.pair_gate = Gate((deep, width // 2), len(self.pairs), 2, relu)
        self.mixture_gate = Gate((deep, *gate), 1, len(self.pairs), relu)

    def reset_parameters(self) -> None:
        """Draw weights from N(0, 0.01) and set biases to 0, as in the released code.

        With few channels, such small weights would make the outputs vanish. The variant ``tiny`` therefore draws larger
        weights, except in the last layers of its parts, and makes the last weights of its experts positive.
        """
        draw_weights(self, None if self.variant == "tiny" else 0.01)
        if self.variant == "tiny":
            for part in (*self.experts, self.attention.layers, self.pair_gate.layers, self.mixture_gate.layers):
                draw_weights(part[-1], 0.01)  # type: ignore[index]
            for expert in self.experts:
                expert[-1][0].weight.data.abs_()  # type: ignore[index]

    @property
    def map_weights(self) -> list[float]:
        """Weights of the maps in the objective: 1 for each expert, 2 for each pair, 4 for the final map."""
        return [1.0] * self.experts_used + [2.0] * len(self.pairs) + [4.0]

    def set_training_progress(self, step: int, total_steps: int) -> None:
        """Set the progress before every iteration, which determines whether the relative loss is active."""
        self.progress = step / max(1, total_steps)

    # --- forward ---

    def forward(
        self, feats: Sequence[Tensor], batch: Batch = NO_BATCH, window: Window | None = None
    ) -> dict[str, Tensor]:
        """Return all density maps, gates and the attention.

        Args:
            feats: one map per level, shallow first.
            batch: not used.
            window: part of an image that the maps cover; None for whole images.

        Returns:
            ``maps`` (B, E + M + 1, h, w), densities times ``log_para``: one per expert, fine to coarse; one per pair,
            (1, 2), (1, 3), (2, 3); and the final map. ``attention`` (B, 1, h', w') in [0, 1], on the coarsest level.
            ``pair_gates`` (B, M, 2, h, w) and ``mixture_gates`` (B, M, h, w), weights that sum to 1.
        """
        feats = feats[-self.experts_used :]
        window = None if window is None else _last_levels(window, self.experts_used)
        attention = self.attention(feats[-1])
        size = (feats[0].shape[2], feats[0].shape[3])
        deepest = self.experts_used - 1
        pairs = enlarge_nearest(self.pair_gate(feats[-1]), size, window, deepest, 0)
        mixtures = enlarge_nearest(self.mixture_gate(attention * feats[-1]), size, window, deepest, 0)
        pairs = pairs.unflatten(1, (len(self.pairs), 2))
        maps = self._maps(self.decoder(feats, window), pairs, mixtures, window)
        return {"maps": maps, "attention": attention, "pair_gates": pairs, "mixture_gates": mixtures}

    def _maps(self, decoded: Sequence[Tensor], pairs: Tensor, mixtures: Tensor, window: Window | None) -> Tensor:
        size = (decoded[0].shape[2], decoded[0].shape[3])
        own = [expert(each).float() for expert, each in zip(self.experts, decoded, strict=True)]
        coarse = [enlarge_nearest(each, size, window, level, 0) for level, each in enumerate(own[1:], start=1)]
        experts = torch.cat([own[0], *coarse], 1)
        mixed = torch.stack([(pairs[:, at] * experts[:, pair]).sum(1) for at, pair in enumerate(self.pairs)], 1)
        return torch.cat([experts, mixed, (mixtures * mixed).sum(1, keepdim=True)], 1)

    def dense(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH, window: Window | None = None) -> Tensor:
        """Return the final map, the density times ``log_para``, (B, 1, h, w)."""
        return self(feats, batch, window)["maps"][:, -1:]

    # --- losses ---

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return ``loss_density``, ``loss_attention``, ``loss_importance`` and, when active, ``loss_relative``.

        Raises:
            DataError: a sample has no ``gt_density``, or one whose size differs from its image.
        """
        outputs, samples = self(feats, batch), batch.samples
        require_single_images(len(outputs["maps"]), samples)
        size = input_size(samples, outputs["maps"].shape[2:], self.stride)
        target = density_targets(samples, size).to(outputs["maps"].device)
        terms = {
            "loss_density": self._weighted(self.squared_errors(outputs["maps"], target, samples)),
            "loss_attention": self.attention_error(outputs["attention"], target, samples),
            "loss_importance": self.importance_error(outputs["pair_gates"]),
        }
        if self.options["relative"] and self.progress >= self.options["relative_from"]:
            regions, ranks = self.local_errors(outputs["maps"], target, samples)
            terms["loss_relative"] = self.options["relative_weight"] * self._weighted(regions + ranks)
        return {name: value / len(samples) for name, value in terms.items()}

    def _weighted(self, values: Tensor) -> Tensor:
        return (values * values.new_tensor(self.map_weights)).sum()

    def squared_errors(self, maps: Tensor, target: Tensor, samples: Sequence[TaskSample]) -> Tensor:
        """Compute the sum over all pixels of (enlarged map - target)^2 for each map, (E + M + 1,).

        Args:
            maps: ``maps`` of :meth:`forward`.
            target: (B, H, W), people per pixel.
            samples: B samples, which hold the sizes of their images without padding.
        """
        truth = cell_truth(target * self.log_para, (maps.shape[2], maps.shape[3]), samples)
        return truth.squared_errors(maps).sum(0)

    def attention_error(self, attention: Tensor, target: Tensor, samples: Sequence[TaskSample]) -> Tensor:
        """Compute the cross-entropy, summed over pixels; a pixel is occupied if ``target`` exceeds the threshold."""
        grid = (attention.shape[2], attention.shape[3])
        positives = sum_over_cells((target > self.attention_threshold).float(), grid)
        pixels = pixels_of_cells(grid, _size(target), samples).to(target.device)
        return attention_loss(attention[:, 0], positives, pixels)

    def importance_error(self, pair_gates: Tensor) -> Tensor:
        """Compute :func:`importance_loss` with the option ``importance_by_image``."""
        return importance_loss(pair_gates, by_image=self.options["importance_by_image"])

    def local_errors(self, maps: Tensor, target: Tensor, samples: Sequence[TaskSample]) -> tuple[Tensor, Tensor]:
        """Compute absolute and relative local counting losses, summed over images, (E + M + 1,) each."""
        size, losses = _size(target), []
        for image, truth, sample in zip(maps, target * self.log_para, samples, strict=True):
            height, width = image_size(sample, size)
            full = F.interpolate(image[None], size=size, mode="nearest")[0, :, :height, :width]
            options = {name: self.options[name] for name in ("margin", "train_regions")}
            losses.append(local_counting_losses(full, truth[:height, :width], **options))
        regions, ranks = zip(*losses, strict=True)
        return torch.stack(regions).sum(0), torch.stack(ranks).sum(0)


def _require_experts(experts: int | None, levels: int) -> int:
    if levels < 2 or (experts is not None and not 2 <= experts <= levels):
        found = counted(levels, "level") + ("" if experts is None else f" and experts={experts}")
        raise ConfigError(
            "HMoDEHead",
            expected="at least two levels, and experts from 2 to the number of levels",
            found=f"{found}",
            advice="add levels to the backbone's out_indices, or reduce experts",
        )
    return min(EXPERTS, levels) if experts is None else experts


def _last_levels(window: Window, count: int) -> Window:
    return Window(window.top, window.left, window.sizes[-count:], window.strides[-count:])


def _size(x: Tensor) -> Size:
    return x.shape[-2], x.shape[-1]
