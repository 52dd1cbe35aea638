"""Last-layer retraining: train only the linear layer of a classifier, on features that are computed once.

As in Richards et al. (arXiv 2307.13136): the backbone is frozen, the linear head is trained by Adam with cross entropy
on geographically diverse images, and the disparity is measured again. An image with several labels is trained on its
second label. The paper's other settings are not public; the defaults here are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from visionzoo.errors import DataError


@dataclass(frozen=True)
class LinearHead:
    """A linear layer as arrays.

    Attributes:
        weight: (K, C).
        bias: (K,).

    Example:
        >>> LinearHead(np.eye(2, 3), np.zeros(2)).logits(np.ones((4, 3))).shape
        (4, 2)
    """

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, layer: nn.Linear) -> LinearHead:
        """Return a copy of the weights of a layer."""
        weight = layer.weight.detach().float().cpu().numpy().copy()
        bias = np.zeros(len(weight), np.float32) if layer.bias is None else layer.bias.detach().float().cpu().numpy()
        return cls(weight, np.array(bias))

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits of features, (N, C) to (N, K)."""
        return features @ self.weight.T + self.bias


def training_labels(labels: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the label on which each image is trained: its second one if it has several, else its only one.

    Example:
        >>> training_labels([[3], [1, 7], [4, 5, 6]]).tolist()
        [3, 7, 5]
    """
    return np.array([each[1] if len(each) > 1 else each[0] for each in labels], np.int64)


def share_of(count: int, share: float, seed: int) -> np.ndarray:
    """Return the sorted indices of a random share of ``count`` images; smaller shares are parts of larger ones.

    Args:
        count: number of images, >= 1.
        share: above 0 and at most 1.
        seed: seed of the choice.

    Raises:
        DataError: ``share`` is outside its range.

    Example:
        >>> set(share_of(20, 0.2, 1)) < set(share_of(20, 0.5, 1))
        True
    """
    if not 0 < share <= 1:
        raise DataError("share of the training images", expected="a number above 0 and at most 1", found=f"{share}")
    return np.sort(np.random.default_rng(seed).permutation(count)[: max(1, round(share * count))])


def retrain_head(
    head: LinearHead,
    features: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int = 0,
    epochs: int = 30,
    lr: float = 1e-3,
    batch_size: int = 256,
    weight_decay: float = 0.0,
) -> LinearHead:
    """Train a linear head by Adam with cross entropy, beginning at the weights of ``head``.

    Equal arguments give equal heads. The arguments are not changed.

    Args:
        head: the weights at the beginning.
        features: (N, C) of the training images.
        labels: (N,) class indices.
        seed: seed of the order of the images.
        epochs: number of passes over the images, >= 0.
        lr: learning rate of Adam.
        batch_size: images of a step.
        weight_decay: of Adam.

    Raises:
        DataError: there are no images, or a label is outside 0 to K - 1.

    Example:
        >>> features, labels = np.eye(3, dtype=np.float32), np.array([2, 1, 0])
        >>> head = retrain_head(LinearHead(np.zeros((3, 3), np.float32), np.zeros(3, np.float32)), features, labels)
        >>> head.logits(features).argmax(1).tolist()
        [2, 1, 0]
    """
    classes = len(head.weight)
    if not len(labels) or labels.min() < 0 or labels.max() >= classes:
        found = f"labels from {labels.min()} to {labels.max()}" if len(labels) else "no image"
        expected = f"images with labels from 0 to {classes - 1}"
        raise DataError("last-layer retraining", expected=expected, found=found, advice="check the data")
    weight, bias = (torch.tensor(each, dtype=torch.float32).requires_grad_() for each in (head.weight, head.bias))
    inputs, targets = torch.as_tensor(features, dtype=torch.float32), torch.as_tensor(labels)
    optimizer = torch.optim.Adam([weight, bias], lr=lr, weight_decay=weight_decay)
    order = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        for _ in range(epochs):
            for chosen in torch.randperm(len(targets), generator=order).split(batch_size):
                loss = F.cross_entropy(F.linear(inputs[chosen], weight, bias), targets[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return LinearHead(weight.detach().numpy(), bias.detach().numpy())
