"""Random weights, to check that an explanation depends on what a model has learnt.

Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018 (arXiv 1810.03292), section 3.1: a map that hardly
changes with random weights shows the image, not the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

SANITY = ("cascading", "all")
ALL = "the input"  # all weights up to it


def random_stages(model: nn.Module, sanity: str, seed: int) -> Iterator[str]:
    """Give parts of a model random weights, part by part, and yield after each of them its name.

    Every value is drawn from the normal distribution with mean and standard deviation of its tensor, so that the size
    of activations stays about the same. Parts keep their random weights until the end; then the weights are restored.

    Args:
        model: the model.
        sanity: ``cascading``: from the output to the input, as in the paper: heads, neck, the parts of the backbone
            from the last to the first. ``all``: all weights at once.
        seed: seed of the random values.
    """
    parts = {ALL: model} if sanity == "all" else parts_from_output(model)
    with _restored(model):
        for number, (name, part) in enumerate(parts.items()):
            _randomise(part, torch.Generator().manual_seed(seed + number))
            yield name


def parts_from_output(model: nn.Module) -> dict[str, nn.Module]:
    """Return the parts of a model with weights by name, from the output to the input.

    Example:
        >>> model = nn.Sequential()
        >>> for name in ("backbone", "head"):
        ...     model.add_module(name, nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, 1)))
        >>> list(parts_from_output(model))
        ['head', 'backbone.2', 'backbone.0']
    """
    parts: dict[str, nn.Module] = {}
    for name, part in model.named_children():
        if name == "backbone":
            parts |= _children("backbone", part)
        elif name != "auxiliary_head" and next(part.parameters(), None) is not None:
            parts[name] = part
    return dict(reversed(parts.items()))


def _children(name: str, part: nn.Module) -> dict[str, nn.Module]:
    """Return the children with weights, or those of an only child; the part itself if it has other weights."""
    children = {f"{name}.{path}": child for path, child in part.named_children() if [*child.parameters()]}
    if len(children) == 1:
        return _children(*next(iter(children.items())))
    own = [path for path, _ in part.named_parameters(recurse=False)]
    return {name: part} if own or not children else children


@torch.no_grad()
def _randomise(part: nn.Module, generator: torch.Generator) -> None:
    for parameter in part.parameters():
        values = parameter.double().cpu()
        drawn = torch.randn(values.shape, dtype=torch.float64, generator=generator)
        parameter.copy_(values.mean() + drawn * values.std(correction=0))


@contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    kept = [parameter.detach().clone() for parameter in model.parameters()]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), kept, strict=True):
                parameter.copy_(value)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Spearman's rank correlation of two maps, from -1 to 1; None if one of them is constant.

    Example:
        >>> rank_correlation(np.array([1.0, 2, 3]), np.array([1.0, 4, 9])), rank_correlation(np.ones(3), np.ones(3))
        (1.0, None)
    """
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first.ravel(), second.ravel()).statistic)
