"""Focal loss (Lin et al. 2017, equation 5) for sigmoid logits, and for softmax probabilities.

``target`` holds class indices, (N,) int64. If the index is not a class (mmdet's background is
K), all classes are negative. ``weight`` is (K,), one value per class, or empty. Inside a
logarithm, probabilities are clamped to the smallest normal float32, as in mmcv.
"""

from __future__ import annotations

import torch
from torch import Tensor

from visionzoo.ops.mmcv_ext.precision import fills_tensors, widen

TINY = torch.finfo(torch.float32).tiny


@fills_tensors
def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output`` (N, K) with the loss of logits ``input`` (N, K)."""
    prob = widen(input).sigmoid()
    positive = -alpha * (1 - prob) ** gamma * _log(prob)
    negative = -(1 - alpha) * prob**gamma * _log(1 - prob)
    loss = torch.where(_is_class(target, input.shape[1]), positive, negative)
    output.copy_(loss * _weight_of(target, weight, loss)[:, None])


@fills_tensors
def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` (N, K) with the derivative of each loss by its logit."""
    prob = widen(input).sigmoid()
    positive = alpha * (1 - prob) ** gamma * (gamma * prob * _log(prob) + prob - 1)
    negative = (1 - alpha) * prob**gamma * (prob - gamma * (1 - prob) * _log(1 - prob))
    grad = torch.where(_is_class(target, input.shape[1]), positive, negative)
    grad_input.copy_(grad * _weight_of(target, weight, grad)[:, None])


@fills_tensors
def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output`` (N,) with the loss of probabilities ``input`` (N, K). The loss of a negative target is 0."""
    prob = _prob_of(target, widen(input))
    loss = -alpha * (1 - prob) ** gamma * _log(prob)
    output.copy_(torch.where(target >= 0, loss * _weight_of(target, weight, loss), 0))


@fills_tensors
def softmax_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, buff: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` (N, K) with the derivative by the logits before the softmax.

    ``buff`` (N,) receives the factor that all classes of a row share.
    """
    probs = widen(input)
    prob = _prob_of(target, probs)
    rest = (1 - prob).clamp(min=TINY)
    factor = alpha * (gamma * rest ** (gamma - 1) * prob * _log(prob) - rest**gamma)
    factor = torch.where(target >= 0, factor * _weight_of(target, weight, factor), 0)
    buff.copy_(factor)
    grad_input.copy_(factor[:, None] * (_is_class(target, probs.shape[1]).to(probs) - probs))


def _log(prob: Tensor) -> Tensor:
    return prob.clamp(min=TINY).log()


def _is_class(target: Tensor, classes: int) -> Tensor:
    """Return (N, K) bool, True where the column is the target of the row."""
    return target[:, None] == torch.arange(classes, device=target.device)


def _prob_of(target: Tensor, probs: Tensor) -> Tensor:
    """Return the probability of each row's target, (N,)."""
    return probs.gather(1, target.clamp(min=0)[:, None])[:, 0]


def _weight_of(target: Tensor, weight: Tensor, like: Tensor) -> Tensor:
    """Return the weight of each row, (N,): that of its class, or 1 if the target is not a class."""
    ones = like.new_ones(len(target))
    if weight.numel() == 0:
        return ones
    is_class = (target >= 0) & (target < len(weight))
    return torch.where(is_class, weight.to(like.dtype)[target.clamp(0, len(weight) - 1)], ones)
