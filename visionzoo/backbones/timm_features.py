"""Backbones from timm: any model with ``features_only``, e.g. ``type="timm.resnet18"``.

Tensors: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionzoo.errors import CheckpointError, ConfigError

# Arguments that let a model accept other sizes than that of its training. The first accepted set is used.
_RELAXATIONS: tuple[dict[str, Any], ...] = (
    {"strict_img_size": False, "dynamic_img_size": True},
    {"strict_img_size": False},
    {"dynamic_img_size": True},
)


class TimmFeatures(nn.Module):
    """Feature maps of a timm model, shallow first, always as (B, C, H, W).

    Args:
        model_name: a name from ``timm.list_models()``, with or without a pretrained tag (``resnet18.a1_in1k``).
        out_indices: timm's indices of the levels to return; default: those of ``out_strides``.
        out_strides: pixels per cell of the levels to return. Default: those of 4, 8, 16 and 32 that the model has; if
            there are fewer than two, all strides of the model.
        pretrained: load timm's weights in ``init_weights``. The constructor never downloads anything.
        weights: a local file of released weights. ``init_weights`` reads it instead of a download.
        **options: passed to ``timm.create_model``.

    Attributes:
        out_channels, out_strides: channels and pixels per cell of each returned level.
        mean, std: normalisation that the weights require, RGB, for values from 0 to 255.

    Raises:
        ConfigError: the model has no feature maps, or none with the given strides or indices.
        CheckpointError: in ``init_weights``: the weights cannot be read or downloaded.

    Example:
        >>> backbone = TimmFeatures("test_resnet", out_strides=(8, 16))
        >>> [tuple(feat.shape[2:]) for feat in backbone(torch.zeros(1, 3, 32, 48))]
        [(4, 6), (2, 3)]
    """

    def __init__(
        self,
        model_name: str,
        *,
        out_indices: Sequence[int] | None = None,
        out_strides: Sequence[int] | None = None,
        pretrained: bool = False,
        weights: str | None = None,
        **options: Any,
    ):
        super().__init__()
        self.model_name, self.options = model_name, options
        self.pretrained, self.weights = pretrained, weights
        reductions = self._reductions()
        self.out_indices = self._choose_levels(reductions, out_indices, out_strides)
        self.net: Any
        self.net, self.is_rigid = self._create(out_indices=self.out_indices)
        self.out_channels = tuple(self.net.feature_info.channels())
        self.out_strides = tuple(reductions[i] for i in self.out_indices)
        cfg = self.net.pretrained_cfg
        self.mean = tuple(255 * value for value in cfg["mean"])
        self.std = tuple(255 * value for value in cfg["std"])
        self.size_divisor = self._size_divisor(cfg)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute one (B, C, ceil(H / stride), ceil(W / stride)) per level from images (B, 3, H, W).

        A model that fails on a size that is not a multiple of its largest stride gets padded images from then on.
        """
        if self.size_divisor is None:
            try:
                return tuple(self._to_channels_first(feat) for feat in self.net(image))
            except RuntimeError as error:  # HRNet and others add maps that were halved and doubled again
                self.size_divisor = self._divisor_against(error, image)
        height, width = image.shape[-2:]
        feats = self._run_padded(image, self.size_divisor)
        return tuple(
            feat[..., : ceil(height / stride), : ceil(width / stride)] for feat, stride in zip(feats, self.out_strides)
        )

    def _divisor_against(self, error: RuntimeError, image: Tensor) -> int:
        """Return the largest stride of the model if padding to its multiples may help; else raise the error."""
        coarsest = max(level["reduction"] for level in self.net.feature_info.info)
        if all(side % coarsest == 0 for side in image.shape[-2:]) or isinstance(error, torch.OutOfMemoryError):
            raise error
        return coarsest

    def init_weights(self) -> None:
        """Load pretrained weights if ``pretrained`` or ``weights`` is set."""
        if not (self.pretrained or self.weights):
            return
        overlay = {"file": self.weights} if self.weights else None
        try:
            source, _ = self._create(out_indices=self.out_indices, pretrained=True, pretrained_cfg_overlay=overlay)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"backbone timm.{self.model_name}",
                expected="its pretrained weights",
                but="they could not be read or downloaded",
                advice=(
                    "pass weights=FILE with a local copy, or pretrained=False to start from scratch "
                    f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no detail'})"
                ),
            ) from error
        self.net.load_state_dict(source.state_dict())

    def _reductions(self) -> list[int]:
        """Return the stride of each level by timm's index. timm's default levels may exclude the first."""
        with torch.device("cpu"):
            net, _ = self._create()
        return [level["reduction"] for level in net.feature_info.info]

    def _create(self, **kwargs: Any) -> tuple[Any, bool]:
        """Build the model. Return it and True if it accepts only one input size."""
        is_fixed = bool(timm.models.get_pretrained_cfg_value(self.model_name, "fixed_input_size"))
        for relaxation in _RELAXATIONS if is_fixed else ():
            try:
                return self._create_plain(**relaxation, **kwargs), False
            except TypeError:  # the constructor does not accept that argument
                continue
        return self._create_plain(**kwargs), is_fixed

    def _create_plain(self, **kwargs: Any) -> nn.Module:
        arguments = {key: value for key, value in {**self.options, **kwargs}.items() if value is not None}
        try:
            return timm.create_model(self.model_name, features_only=True, **arguments)
        except (RuntimeError, AttributeError) as error:
            if kwargs.get("pretrained"):
                raise
            raise ConfigError(
                f"backbone timm.{self.model_name}",
                expected="a timm model with features_only",
                but="it returns no feature maps",
                advice=f"choose another one ({error})",
            ) from error

    def _choose_levels(
        self, reductions: list[int], out_indices: Sequence[int] | None, out_strides: Sequence[int] | None
    ) -> tuple[int, ...]:
        if out_indices is not None:
            levels = tuple(out_indices)
            self._check_levels(levels, reductions, out_strides)
            return levels
        strides = tuple(out_strides) if out_strides is not None else self._usual_strides(reductions)
        lacking = [stride for stride in strides if stride not in reductions]
        if lacking:
            raise ConfigError(
                f"backbone timm.{self.model_name}",
                expected=f"feature maps at strides {strides}",
                found=f"strides {tuple(dict.fromkeys(reductions))}",
                advice="choose a backbone with a pyramid, or a neck and head for these strides",
            )
        return tuple(len(reductions) - 1 - reductions[::-1].index(stride) for stride in strides)

    def _check_levels(self, levels: tuple[int, ...], reductions: list[int], strides: Sequence[int] | None) -> None:
        if any(not -len(reductions) <= level < len(reductions) for level in levels):
            raise ConfigError(
                f"backbone timm.{self.model_name}",
                expected=f"out_indices below {len(reductions)}",
                found=f"{levels}",
                advice=f"choose from its levels, which have strides {tuple(reductions)}",
            )
        actual = tuple(reductions[level] for level in levels)
        if strides is not None and tuple(strides) != actual:
            raise ConfigError(
                f"backbone timm.{self.model_name}",
                expected=f"out_strides {tuple(strides)}",
                but=f"out_indices {levels} have strides {actual}",
                advice="give only one of the two",
            )

    def _usual_strides(self, reductions: list[int]) -> tuple[int, ...]:
        usual = tuple(stride for stride in (4, 8, 16, 32) if stride in reductions)
        return usual if len(usual) > 1 else tuple(dict.fromkeys(reductions))

    def _size_divisor(self, cfg: dict[str, Any]) -> int | None:
        """Return the number that the input's sides must be a multiple of, or None if any size is accepted."""
        if self.is_rigid:
            return int(cfg["input_size"][-1])
        return max(self.net.feature_info.reduction()) if cfg.get("fixed_input_size") else None

    def _run_padded(self, image: Tensor, divisor: int) -> list[Tensor]:
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % divisor, 0, -height % divisor))
        try:
            return [self._to_channels_first(feat) for feat in self.net(padded)]
        except (AssertionError, IndexError, RuntimeError) as error:
            if not self.is_rigid or isinstance(error, torch.OutOfMemoryError):
                raise
            raise ConfigError(
                f"backbone timm.{self.model_name}",
                expected=f"images of at most {divisor}x{divisor}, the only size it was made for",
                found=f"{height}x{width}",
                advice="resize the images or choose another backbone",
            ) from error

    def _to_channels_first(self, feat: Tensor) -> Tensor:
        is_channels_last = str(getattr(self.net, "output_fmt", "NCHW")).endswith("NHWC")
        return feat.permute(0, 3, 1, 2).contiguous() if is_channels_last else feat
