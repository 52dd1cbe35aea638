"""Seeded weights for the comparison of exported models, with scores as far apart as those of trained models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.cards.seeding import fill_weights, settle_norms
from visionzoo.export.parity import Arrays, eager_outputs
from visionzoo.graphs.form import ImageForm

_OF_MMDET = "_cls"  # end of the names of mmdet's layers that return logits of classes, such as `rpn_cls`
_SPREAD = 2.0  # standard deviation of the logits of a class
_RESULTS = 100  # boxes of an image that a detector returns, by default
_LOGITS = (-0.5, 2.5)  # of these boxes: scores from 0.38, above the threshold of `visionzoo infer`, to 0.92


def seed(form: ImageForm, inputs: Arrays) -> None:
    """Set seeded weights, in place, so that features and logits have the spread of trained ones.

    Args:
        form: the form of a model.
        inputs: those of the form, on which the spread is measured.
    """
    fill_weights(form.model, 0)
    if not form.is_dynamic:  # pairs and phrases: the model does not run on only images
        return
    images = torch.from_numpy(inputs["images"]).float()
    normed = images if form.mean is None or form.std is None else (images - form.mean) / form.std
    settle_norms(form.model, normed)
    own, others = _logit_layers(form.model)
    if own or others:
        _run_with(form, inputs, {layer: _Spreading() for layer in (*own, *others)})
        settle_norms(form.model, normed)  # norms after these layers have other inputs now
    maps: dict[nn.Module, _Ranked] = {layer: _Ranked() for layer in others if isinstance(layer, nn.Conv2d)}
    if maps:
        _run_with(form, inputs, maps)
    for layer, found in maps.items():
        _set_range(layer, *found.limits())


def _run_with(form: ImageForm, inputs: Arrays, hooks: Mapping[nn.Module, Any]) -> None:
    handles = [layer.register_forward_hook(hook) for layer, hook in hooks.items()]
    eager_outputs(form, inputs)
    for handle in handles:
        handle.remove()


def _logit_layers(model: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the layers that return logits of classes: those that parts name in ``LOGIT_LAYERS``, and mmdet's."""
    own = [part.get_submodule(name) for part in model.modules() for name in getattr(part, "LOGIT_LAYERS", ())]
    others = [layer for name, layer in model.named_modules() if name.endswith(_OF_MMDET)]
    return own, [layer for layer in others if isinstance(layer, nn.Conv2d | nn.Linear)]


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


class _Ranked:
    """Hook that keeps the best logits of each image over all calls of a layer, one for each level of a pyramid."""

    def __init__(self) -> None:
        self.best: Tensor | None = None

    def __call__(self, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        values = output.detach().flatten(1)
        values = values if self.best is None else torch.cat([self.best, values], 1)
        self.best = values.topk(min(_RESULTS, values.shape[1]), 1).values

    def limits(self) -> tuple[float, float]:
        """Return the lowest and the highest of these logits."""
        return (0.0, 0.0) if self.best is None else (float(self.best.min()), float(self.best.max()))


@torch.no_grad()
def _set_range(layer: Any, low: float, high: float) -> None:
    """Map the logits ``low`` and ``high`` of a layer to ``_LOGITS``.

    Near 1, a sigmoid in 32-bit floats maps logits that differ by 1e-3 to one score. The rounding of the sigmoid would
    then choose which of two boxes suppresses the other.
    """
    if layer.bias is None or high <= low:
        return
    factor = (_LOGITS[1] - _LOGITS[0]) / (high - low)
    layer.weight.mul_(factor)
    layer.bias.mul_(factor).add_(_LOGITS[1] - factor * high)
