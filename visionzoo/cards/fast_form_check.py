"""Comparison of the fast form of a model with the model as it is built: the tiny variant with seeded weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from visionzoo.cards.checks import seeded_forward
from visionzoo.cards.files import Card
from visionzoo.cards.schema import ForwardCheck
from visionzoo.front_matter import card_folder
from visionzoo.models.fast_form import FastForm

TOLERANCE = 1e-5  # relative to the largest magnitude of an output
_DOUBLE = 1e-10  # the same in float64, where rounding is below it and a wrong form is not


def measure_fast_form(card: Card, check: ForwardCheck) -> dict[str, Any]:
    """Return the values of the field ``fast_form``, and ``double`` if the difference is above the tolerance.

    ``double`` is the difference of both forms in float64.
    """
    model, forward = seeded_forward(card, check)
    plain, fast, form = _both(model, forward)
    found = {
        "folded_norms": form.get("folded_norms", 0),
        "channels_last": form.get("channels_last", False),
        "difference": _rounded(largest_difference(plain, fast)),
    }
    if found["difference"] <= TOLERANCE:
        return found
    exact, other, in_double = _both(model.double(), forward)
    double = _rounded(largest_difference(exact, other)) if in_double == form else np.inf
    return {**found, "rounding": _rounded(largest_difference(exact, plain)), "double": double}


def _both(model: Any, forward: Any) -> tuple[list[Tensor], list[Tensor], dict[str, Any]]:
    """Return the outputs of the model as it is built, those of its fast form, and the form."""
    form, plain = FastForm(model), forward()
    with form.applied():
        return plain, forward(), form.about()


def largest_difference(expected: list[Tensor], found: list[Tensor]) -> float:
    """Return the largest difference of an output, relative to the largest magnitude of that output.

    Example:
        >>> import torch
        >>> largest_difference([torch.tensor([1.0, 2.0])], [torch.tensor([1.0, 1.5])])
        0.25
    """
    pairs = [(one.double(), other.double()) for one, other in zip(expected, found, strict=True) if one.numel()]
    return max(float((one - other).abs().max() / one.abs().max().clamp_min(1e-12)) for one, other in pairs)


def _rounded(value: float) -> float:
    return float(f"{value:.1e}")


def fast_form_problem(card: Card, check: ForwardCheck) -> str | None:
    """Return a sentence if the fast form differs from the model or from the card, or None."""
    found, stated = measure_fast_form(card, check), card.zoo.fast_form
    if stated is None and card.path.parent == card_folder():
        return f"expected the field fast_form, found none; write it with `visionzoo cards record {card.name}`"
    for key in ("folded_norms", "channels_last") if stated is not None else ():
        if found[key] != getattr(stated, key):
            return f"fast_form.{key}: expected {found[key]} as the model has, found {getattr(stated, key)} in the card"
    is_rounding = found.get("double", 0) <= _DOUBLE and found["difference"] <= 10 * found.get("rounding", 0)
    if found["difference"] <= TOLERANCE or is_rounding:
        return None
    return f"expected a difference of the fast form up to {TOLERANCE:g}, or the rounding of the model, found {found}"
