"""Settings of the variants of a part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.errors import require_known


def variant_options(
    variants: Mapping[str, Mapping[str, Any]], variant: str, given: Mapping[str, Any], part: str
) -> dict[str, Any]:
    """Return the settings of a variant, overridden by the given values that are not None.

    Args:
        variants: the settings of each variant.
        variant: name of the variant.
        given: values from the config, by name of the setting.
        part: name of the part, for the error.

    Raises:
        UnknownName: the variant does not exist.
    """
    require_known(variant, variants, f"{part} variant")
    return {**variants[variant], **{name: value for name, value in given.items() if value is not None}}
