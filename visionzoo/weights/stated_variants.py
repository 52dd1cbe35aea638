"""Check of the variant that a file of weights states, for variants whose tensors have equal names and shapes.

NAT and DiNAT differ only in dilations, and BossNet-T0 and T1 only in a stride. A model with the weights of the other
variant runs and gives worse results. Such parts have ``VARIANTS``, ``variant`` and ``computes_as(variant)``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from visionzoo.errors import CheckpointError


def variants_of(model: nn.Module) -> dict[str, str]:
    """Return the variant of each part that has one, by the name of its class.

    Example:
        >>> from visionzoo.backbones.dinat import DiNAT
        >>> variants_of(DiNAT("tiny"))
        {'DiNAT': 'tiny'}
    """
    parts = (part for _, part in _parts_of(model))
    return {type(part).__name__: part.variant for part in parts if part.computes_as(part.variant)}


def require_stated_variants(model: nn.Module, meta: Any, where: object) -> None:
    """Check that the parts of a model compute as the variants in ``meta`` of a file.

    Args:
        model: the model that gets the weights.
        meta: contents of ``meta``, of any type; ``{"variants": {"DiNAT": "nat_mini"}}`` states a variant.
        where: name of the file, for the error.

    Raises:
        CheckpointError: a part computes differently from the stated variant.
    """
    stated = meta.get("variants") if isinstance(meta, Mapping) else None
    if not isinstance(stated, Mapping):
        return
    for name, part in _parts_of(model):
        variant = stated.get(type(part).__name__)
        if isinstance(variant, str) and variant in part.VARIANTS and not part.computes_as(variant):
            option = ".".join(filter(None, ["model", name, "variant"]))
            raise CheckpointError(
                where,
                expected=f"weights of {type(part).__name__} {part.variant}",
                found=f"those of {variant}, which have the same names and shapes but compute differently",
                advice=(
                    f"use the option {option}={variant} (--cfg-options), "
                    "or convert the file again with --set variant=custom"
                ),
            )


def _parts_of(model: nn.Module) -> Iterator[tuple[str, Any]]:
    return ((name, part) for name, part in model.named_modules() if hasattr(part, "computes_as"))
