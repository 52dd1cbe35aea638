"""Reasons of principle why a backbone, a neck and a head cannot work together.

A reason follows only from what parts declare: arguments (``dims``, ``text_channels``), attributes of their classes
(``READS_PAIRS``, ``AXES``, ``LEAST_LEVELS``, ``AS_BACKBONE``), channels and strides of their maps, and the training
data of a head's config. It never follows from an exception or from a list of pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from mmengine.config import ConfigDict

from visionzoo.analysis.matrix.models import head_reads_pairs, model_config, reads_phrases, trunk_of
from visionzoo.analysis.matrix.parts import axes_of, axes_of_part
from visionzoo.config import load_config
from visionzoo.errors import counted, some_of
from visionzoo.models.level_needs import least_levels
from visionzoo.models.parameters import part_has_parameters
from visionzoo.models.part_configs import dense_heads, listed, reads_pairs, resolved, takes
from visionzoo.models.wiring import fill_model, trunk_levels

if TYPE_CHECKING:
    from visionzoo.analysis.matrix.cells import Cell


@dataclass(frozen=True)
class Refusal:
    """A reason of principle.

    Attributes:
        kind: key of :data:`KINDS`.
        sentence: the reason, one complete sentence.
    """

    kind: str
    sentence: str


# Kinds of reasons, and what each means for all of its cells.
KINDS: Mapping[str, str] = {
    "pairs": "The backbone reads pairs of images, and the head has no pairs.",
    "axes": "The head reads maps of volumes, and the backbone or the neck reads only images or their maps.",
    "untrained": "The head is not trained, so a trunk with parameters would keep its random weights.",
    "phrase": "The head reads phrases only through the maps of the trunk, and the trunk reads no phrases.",
    "continues": "A part of the head continues the cells of one backbone.",
    "levels": "The head reads more maps than the trunk gives.",
}


def _pairs(cell: Cell) -> Refusal | None:
    if not reads_pairs(cell.backbone.cfg or {}) or head_reads_pairs(cell.head.model):
        return None
    return Refusal("pairs", f"{cell.backbone.name} reads pairs of images, and {cell.head.name} has no pairs.")


def _axes(cell: Cell) -> Refusal | None:
    axes = axes_of(cell.head.model)
    for part, what in ((cell.backbone, "images"), (cell.neck, "maps")):
        if part.cfg is not None and axes not in _axes_of(part.cfg, axes):
            sentence = f"{cell.head.name} reads maps of {axes} axes, and {part.name} reads {what} of 2 axes."
            return Refusal("axes", sentence)
    return None


def _axes_of(cfg: Mapping[str, Any], wanted: int) -> tuple[int, ...]:
    """Return the numbers of axes that a part reads: ``AXES`` of its class, any number if it has ``dims``, else 2."""
    declared = getattr(resolved(cfg), "AXES", None)
    return declared or ((wanted,) if takes(cfg, "dims") else (axes_of_part(cfg),))


def _untrained(cell: Cell) -> Refusal | None:
    if _is_trained(cell.head.config):
        return None
    filled = fill_model(trunk_of(model_config(cell, cell.head.model)))
    for part, cfg in ((cell.backbone, filled.backbone), (cell.neck, filled.get("neck"))):
        if cfg is not None and part_has_parameters(cfg):
            return Refusal(
                "untrained",
                f"{cell.head.name} is not trained, so the parameters of {part.name} would keep their random values.",
            )
    return None


@cache
def _is_trained(config: str) -> bool:
    return load_config(config, tiny=True).cfg.get("train_dataloader") is not None


def _phrase(cell: Cell) -> Refusal | None:
    """Refuse a head for phrases if neither the head nor the trunk reads them: no result would depend on a phrase."""
    if not cell.head.model.get("text_encoder") or reads_phrases(model_config(cell, cell.head.model)):
        return None
    backbone, neck = cell.backbone.name, cell.neck.name
    trunk = f"{backbone} reads no phrases" if cell.neck.cfg is None else f"neither {backbone} nor {neck} reads phrases"
    sentence = f"{cell.head.name} reads only the maps of the trunk, and {trunk}, so all phrases would have one result."
    return Refusal("phrase", sentence)


def _continues(cell: Cell) -> Refusal | None:
    for name, shared in _continuing(cell.head.model):
        absent = [one for one in shared if not takes(cell.backbone.cfg or {}, one)]
        if absent:
            backbone = cell.backbone.name
            sentence = f"{name} continues a backbone with its settings, and {backbone} has no {some_of(absent, 3)}."
            return Refusal("continues", sentence)
        if cell.neck.cfg is not None:
            return Refusal("continues", f"{name} continues the backbone, so {cell.neck.name} cannot be between them.")
    return None


def _continuing(model: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield name and ``AS_BACKBONE`` of each part of a model that continues the backbone."""
    for _, cfg in listed((model.get("roi_head") or {}).get("shared_head"), "shared_head"):
        if shared := getattr(resolved(cfg), "AS_BACKBONE", ()):
            yield cfg["type"], shared


def _levels(cell: Cell) -> Refusal | None:
    model = model_config(cell, cell.head.model)
    given = trunk_levels(trunk_of(model))
    for _, cfg, _ in dense_heads(ConfigDict(model)):
        least = least_levels(cfg)
        if len(given.strides) < least:
            maps = f"{counted(len(given.strides), 'map')} of stride {some_of(map(str, given.strides), 8)}"
            return Refusal("levels", f"{cfg['type']} reads at least {least} maps, and {given.giver} gives {maps}.")
    return None


# In the order in which they are asked: a later one may build parts that an earlier one refuses.
_RULES: tuple[Callable[[Cell], Refusal | None], ...] = (
    _pairs,
    _axes,
    _phrase,
    _continues,
    _untrained,
    _levels,
)


def refusal(cell: Cell) -> Refusal | None:
    """Return the first reason of principle against a cell, or None."""
    return next((found for rule in _RULES if (found := rule(cell)) is not None), None)
