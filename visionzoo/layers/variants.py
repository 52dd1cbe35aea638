"""Settings of a variant, and what a config says in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.errors import require_known


def variant_options(
    variants: Mapping[str, Mapping[str, Any]], variant: str, given: Mapping[str, Any], part: str
) -> dict[str, Any]:
    """The settings of a variant, some of them replaced by what ``given`` holds that is not None.

    Args:
        variants: settings by variant.
        variant: one of them.
        given: settings by name.
        part: whose variants they are, for the error.

    Raises:
        UnknownName: an unknown variant.
    """
    require_known(variant, variants, f"{part} variant")
    return {**variants[variant], **{name: value for name, value in given.items() if value is not None}}
