"""Seeded weights for the comparison of exported models, with scores as far apart as those of trained models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.cards.seeding import fill_weights, settle_norms
from visionzoo.export.parity import eager_outputs
from visionzoo.graphs.form import ImageForm

_OF_MMDET = "_cls"  # end of the names of mmdet's layers that return logits of classes, such as `rpn_cls`
_SPREAD = 2.0  # standard deviation of the logits of a class


def seed(form: ImageForm, size: tuple[int, ...]) -> None:
    """Set seeded weights, in place, so that features and logits have the spread of trained ones.

    Args:
        form: the form of a model.
        size: (H, W) of the seeded images that the spread is measured on.
    """
    fill_weights(form.model, 0)
    if not form.is_dynamic:  # pairs and phrases: the model does not run on only images
        return
    inputs = form.seeded(size)
    images = torch.from_numpy(inputs["images"]).float()
    normed = images if form.mean is None or form.std is None else (images - form.mean) / form.std
    settle_norms(form.model, normed)
    hooks = [layer.register_forward_hook(_Spreading()) for layer in _logit_layers(form.model)]
    if hooks:
        eager_outputs(form, inputs)
    for hook in hooks:
        hook.remove()


def _logit_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers that return logits of classes; a part of this package names its own in ``LOGIT_LAYERS``."""
    own = [part.get_submodule(name) for part in model.modules() for name in getattr(part, "LOGIT_LAYERS", ())]
    others = [layer for name, layer in model.named_modules() if name.endswith(_OF_MMDET)]
    return [layer for layer in (*own, *others) if isinstance(layer, nn.Conv2d | nn.Linear)]


class _Spreading:
    """Hook that scales the weight of a layer at its first call.

    Seeded weights without it give nearly equal scores. The order of the results then depends on the rounding of sums,
    and no score reaches a threshold, so a comparison would show neither an error nor a result.
    """

    def __init__(self) -> None:
        self.is_done = False

    @torch.no_grad()
    def __call__(self, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if self.is_done:
            return output
        self.is_done = True
        by_class = output.transpose(0, 1).flatten(1)
        layer.weight.mul_(_SPREAD / by_class.std(1).mean().clamp(min=1e-3))
        return layer.forward(*inputs)
