"""Arguments of a model that hold parts: ``PARTS`` of its class, or one table for mmdet's and mmseg's models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

HEAD, PROPOSAL_HEAD, ROI_HEAD = "head", "proposal head", "RoI head"
AUXILIARY_HEAD, FUSION_HEAD = "auxiliary head", "fusion head"

# Values of Part.classes.
ALL, THINGS = "all", "things"


@dataclass(frozen=True)
class Part:
    """One argument of a model that holds a part.

    Attributes:
        kind: ``preprocessor``, ``backbone``, ``neck``, ``head``, ``proposal head``, ``RoI head``, ``auxiliary head``,
            ``fusion head`` (it joins the outputs of other heads) or ``text encoder``.
        listed: True if the argument also takes a list of parts.
        named: True if the argument takes a dict of parts by name, and no single part.
        instead_of: argument that this one replaces; a model needs exactly one of the two.
        classes: what ``num_classes`` of the part counts: ``all`` classes of the data, or only the ``things`` for a part
            that finds objects; None for a part without classes.
    """

    kind: str
    listed: bool = False
    named: bool = False
    instead_of: str | None = None
    classes: str | None = ALL


# Models of mmdet and mmseg, whose classes have no PARTS.
LIBRARY_PARTS: Mapping[str, Part] = {
    "data_preprocessor": Part("preprocessor"),
    "backbone": Part("backbone"),
    "neck": Part("neck", listed=True),
    "bbox_head": Part(HEAD, listed=True, classes=THINGS),
    "rpn_head": Part(PROPOSAL_HEAD, listed=True, classes=None),
    "query_head": Part(HEAD, listed=True, classes=THINGS),
    "mask_head": Part(HEAD, listed=True, classes=THINGS),
    "semantic_head": Part(HEAD, listed=True),
    "panoptic_head": Part(HEAD, listed=True),
    "panoptic_fusion_head": Part(FUSION_HEAD),
    "decode_head": Part(HEAD, listed=True),
    "auxiliary_head": Part(AUXILIARY_HEAD, listed=True),
    "roi_head": Part(ROI_HEAD, listed=True),
}


def parts_of(model_class: Any) -> Mapping[str, Part]:
    """Return the parts of a model, or of a head that holds other heads, by argument.

    Args:
        model_class: class of the model, or None.

    Example:
        >>> parts_of(None)["decode_head"].kind
        'head'
    """
    return getattr(model_class, "PARTS", LIBRARY_PARTS)


def typed_parts(value: Any, part: Part, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and the value of each part that an argument holds, also where a type is absent.

    Example:
        >>> [path for path, _ in typed_parts({"lanes": {}, "counting": {}}, Part("head", named=True), "model.heads")]
        ['model.heads.lanes', 'model.heads.counting']
    """
    if part.named and isinstance(value, Mapping):
        yield from ((f"{path}.{name}", one) for name, one in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"{path}.{index}", one) for index, one in enumerate(value))
    elif value is not None:
        yield path, value
