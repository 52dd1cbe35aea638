"""Grad-CAM: which places of a feature map raise a value, such as the logit of a class.

* Grad-CAM, Selvaraju et al. 2017 (arXiv 1610.02391), equations 1 and 2: a channel's weight is the mean of its gradient.
* Grad-CAM++, Chattopadhay et al. 2018 (arXiv 1710.11063), equation 19: positive gradients, weighted place by place.

Tensors: B images, C channels, h, w places of the layer, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.errors import ConfigError, InputError, UnknownName, article_of, counted, require_known

METHODS = ("grad-cam", "grad-cam++")
LAYOUTS = ("channels-first", "channels-last", "tokens")


@dataclass(frozen=True)
class Layer:
    """A part of a model whose output is a feature map, or several.

    Attributes:
        name: what a user wrote, ``backbone:3``; the number is an index into the feature maps of the output.
        module: the part.
        index: the index, which may count from the end; None for an output that is one tensor.
        deepest: True for the deepest feature map of the output on which the value depends.
    """

    name: str
    module: nn.Module
    index: int | None = None
    deepest: bool = False


class Output(NamedTuple):
    """A feature map that a layer computed, and its name."""

    layer: str
    value: Tensor


def layer_of(model: nn.Module, name: str | None = None) -> Layer:
    """Return a layer by the name of its module, as in ``model.named_modules()``.

    Args:
        model: the model.
        name: ``backbone.stages.2``; ``backbone:3`` for one of several feature maps. None for the deepest feature map of
            the backbone, the last one of its output on which the explained value depends.

    Raises:
        UnknownName: no module has this name; the message states the nearest name.
        ConfigError: ``name`` is None and the model has no part called ``backbone``; or the index is not a number.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
        >>> layer_of(model, "1").module
        ReLU()
    """
    modules = {path: module for path, module in model.named_modules() if path}
    if name is None:
        if "backbone" not in modules:
            expected = "a layer, for a model without a backbone"
            raise ConfigError("--layer", expected=expected, found="none", advice="name one of the model's modules")
        return Layer("backbone", modules["backbone"], deepest=True)
    path, colon, index = name.partition(":")
    if colon and not index.removeprefix("-").isdecimal():
        raise ConfigError("--layer", expected="NAME or NAME:INDEX", found=f"{name!r}", advice=f"use {path}:0")
    if path not in modules:
        raise UnknownName(path, kind="layer", known=modules, hint="names are those of model.named_modules()")
    return Layer(name, modules[path], int(index) if colon else None)


@contextmanager
def watched(layer: Layer) -> Iterator[list[Output]]:
    """Collect the feature maps of a layer, those of each of its calls, as nodes of the graph.

    What follows the layer receives copies, so that operations in place do not change what was collected.

    Raises:
        ConfigError: an output is not a tensor, or ``layer.index`` does not fit it.
    """
    kept: list[Output] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> Any:
        is_listed = isinstance(output, tuple | list)
        for index in range(len(output)) if layer.deepest and is_listed else [layer.index]:
            value = _picked(output, index, layer.name)
            value = value if value.requires_grad else value.detach().requires_grad_()
            kept.append(Output(f"{layer.name}:{index}" if layer.deepest and is_listed else layer.name, value))
            output = _replaced(output, index, value.clone())
        return output

    handle = layer.module.register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


def _picked(output: Any, index: int | None, name: str) -> Tensor:
    if index is not None and isinstance(output, tuple | list):
        if not -len(output) <= index < len(output):
            number = len(output)
            expected, advice = f"an index from 0 to {number - 1}", f"the layer gives {counted(number, 'feature map')}"
            raise ConfigError(f"layer {name}", expected=expected, found=f"{index}", advice=advice)
        output = output[index]
    if isinstance(output, Tensor) and output.is_floating_point():
        return output
    if isinstance(output, tuple | list) and output:
        path, number = name.partition(":")[0], len(output)
        advice = f"choose one: {path}:0" + (f" to {path}:{number - 1}" if number > 1 else "")
        raise ConfigError(f"layer {name}", expected="one feature map", found=f"{number} outputs", advice=advice)
    advice = "choose another module, such as one of the backbone"
    raise ConfigError(f"layer {name}", expected="a feature map", found=article_of(output), advice=advice)


def _replaced(output: Any, index: int | None, value: Tensor) -> Any:
    if index is None or not isinstance(output, tuple | list):
        return value
    items = list(output)
    items[index] = value
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)


def gradient_of(value: Tensor, outputs: Sequence[Output], layer: Layer) -> tuple[Output, Tensor]:
    """Return the activations of a layer with their name, and the gradient of a value with respect to them.

    If the layer ran several times, such as the convolution of a head on each of its levels, the call with the largest
    gradient counts.

    Args:
        value: scalar.
        outputs: what :func:`watched` collected.
        layer: the layer.

    Raises:
        ConfigError: the layer did not run, the value has no gradient, or it does not depend on the layer.
        InputError: the gradient is not finite.
    """
    if not outputs:
        advice, where = "choose a module that runs, such as one of its children", f"layer {layer.name}"
        raise ConfigError(where, expected="a layer that runs", but="this one is not called", advice=advice)
    if not value.requires_grad:
        but = "the model computes it without a gradient, such as by a comparison or by NumPy"
        raise ConfigError("value to explain", expected="a gradient", but=but, advice="explain another head or task")
    maps = [output.value for output in outputs]
    gradients = torch.autograd.grad(value, maps, allow_unused=True)
    found = [(output, each) for output, each in zip(outputs, gradients, strict=True) if each is not None]
    if not found:
        advice, where = "choose a layer between the image and the result", f"layer {layer.name}"
        raise ConfigError(where, expected="a layer on which the value depends", but="it does not", advice=advice)
    if layer.deepest:
        output, gradient = next((pair for pair in reversed(found) if pair[1].any()), found[-1])
    else:
        output, gradient = max(found, key=lambda pair: float(pair[1].norm()))
    if not gradient.isfinite().all():
        text = f"layer {output.layer}: the gradient of the value is not finite"
        raise InputError(f"{text}; check the weights, or use another --layer or --target")
    return Output(output.layer, output.value.detach()), gradient


def as_feature_map(output: Tensor, size: tuple[int, int], layout: str = "channels-first", name: str = "") -> Tensor:
    """Return the output of a layer as (B, C, h, w).

    Args:
        output: (B, C, h, w); (B, h, w, C) for ``channels-last``; (B, L, C) for ``tokens``, row by row. A class token in
            front is left out.
        size: (H, W) of the input, which decides how many rows and columns L tokens are.
        layout: one of :data:`LAYOUTS`.
        name: name of the layer, for messages.

    Raises:
        UnknownName: an unknown layout.
        ConfigError: the output is not a map.

    Example:
        >>> as_feature_map(torch.zeros(1, 7, 5), (32, 48), "tokens").shape  # a class token and 2 x 3 places
        torch.Size([1, 5, 2, 3])
    """
    require_known(layout, LAYOUTS, "layout of a layer")
    axes = 3 if layout == "tokens" else 4
    if output.ndim != axes:
        fits = {4: "channels-first or channels-last", 3: "tokens"}.get(output.ndim)
        advice = f"use --layout {fits}" if fits else "choose a layer that gives a feature map, such as backbone:-1"
        shape = "x".join(map(str, output.shape))
        expected = f"an output of {axes} axes ({layout})"
        raise ConfigError(f"layer {name}", expected=expected, found=f"one of shape {shape}", advice=advice)
    if layout == "channels-first":
        return output
    if layout == "channels-last":
        return output.permute(0, 3, 1, 2)
    height, width = _grid_of(output.shape[1], size, name)
    return output[:, -height * width :].unflatten(1, (height, width)).permute(0, 3, 1, 2)


def _grid_of(tokens: int, size: tuple[int, int], name: str) -> tuple[int, int]:
    """Return rows and columns of tokens: the input divided by a stride, without or with a class token."""
    for stride in range(1, max(size) + 1):
        height, width = (-(-side // stride) for side in size)
        if height * width in (tokens, tokens - 1):
            return height, width
    raise ConfigError(
        f"layer {name}",
        expected="as many tokens as places of a grid over the image",
        found=f"{tokens} for {size[0]}x{size[1]} pixels",
        advice="choose another layer",
    )


def grad_cam(activations: Tensor, gradients: Tensor, method: str = "grad-cam") -> Tensor:
    """Return the map of the places that raise a value.

    Args:
        activations: (B, C, h, w), output of a layer.
        gradients: (B, C, h, w), gradient of the value.
        method: ``grad-cam`` or ``grad-cam++``.

    Returns:
        (B, h, w), 0 or more, without normalisation.

    Raises:
        UnknownName: an unknown method.

    Example:
        >>> activations = torch.tensor([[[[1.0, 3.0]], [[5.0, 0.0]]]])
        >>> gradients = torch.tensor([[[[2.0, 2.0]], [[-1.0, -1.0]]]])
        >>> grad_cam(activations, gradients).tolist()
        [[[0.0, 6.0]]]
    """
    require_known(method, METHODS, "method")
    weights = gradients.mean((2, 3)) if method == "grad-cam" else _plus_plus(activations, gradients)
    return (weights[..., None, None] * activations).sum(1).relu()


def _plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Return the weights of equation 19 of Grad-CAM++, (B, C).

    Equation 19 divides g^2 by 2 g^2 + g^3 sum(A). Both are divided by g^2 here: small gradients keep their digits, and
    no small number is needed against 0 / 0. Places with g <= 0 do not count, because the weights take relu(g).
    """
    divisor = 2 + activations.sum((2, 3), keepdim=True) * gradients
    alpha = torch.where(divisor != 0, 1 / divisor, torch.zeros_like(divisor))
    return (alpha * gradients.relu()).sum((2, 3))


def enlarged_map(places: Tensor, size: tuple[int, int], inside: tuple[int, int] | None = None) -> Tensor:
    """Enlarge maps to pixels bilinearly, cut the padding, and scale each map to [0, 1]; a constant map becomes 0.

    Args:
        places: (B, h, w).
        size: (H, W) of the padded input that the map covers.
        inside: height and width without padding; None for all.

    Returns:
        (B, *inside).

    Example:
        >>> enlarged_map(torch.tensor([[[0.0, 2.0]]]), (1, 4)).tolist()
        [[[0.0, 0.25, 0.75, 1.0]]]
    """
    height, width = inside or size
    pixels = F.interpolate(places[:, None], size=size, mode="bilinear", align_corners=False)[:, 0, :height, :width]
    least, most = (bound(pixels, (1, 2))[:, None, None] for bound in (torch.amin, torch.amax))
    span = most - least
    return torch.where(span > 0, (pixels - least) / torch.where(span > 0, span, 1), 0)


def require_finite(value: Tensor) -> float:
    """Return a value as a number.

    Raises:
        InputError: it is not finite.
    """
    number = float(value.detach())
    if number != number or abs(number) == float("inf"):
        raise InputError(f"the value to explain is {number}; check the weights and the input")
    return number
