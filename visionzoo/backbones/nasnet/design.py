"""Cells of a NASNet-A and their inputs (paper, figures 2 and 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from visionzoo.errors import ConfigError, require_known
from visionzoo.layers.variants import variant_options

STEMS = ("imagenet", "cifar")


@dataclass(frozen=True)
class Design:
    """Settings that differ between the variants; see :class:`NASNet`."""

    num_cells: int = 18
    filters: int = 168
    stem_filters: int = 96
    stem: str = "imagenet"
    skip_reduction_layer_input: bool = True
    drop_path_keep_prob: float = 0.7
    norm_eps: float = 1e-3
    norm_momentum: float = 3e-4

    @property
    def first_reduced_cells(self) -> tuple[int, int]:
        """Indices of the normal cells that follow a reduction cell."""
        return self.num_cells // 3, 2 * self.num_cells // 3


VARIANTS: dict[str, dict[str, Any]] = {
    "large": {},
    "mobile": {
        "num_cells": 12,
        "filters": 44,
        "stem_filters": 32,
        "skip_reduction_layer_input": False,
        "drop_path_keep_prob": 1.0,
    },
    "cifar": {
        "filters": 32,
        "stem": "cifar",
        "skip_reduction_layer_input": False,
        "drop_path_keep_prob": 0.6,
        "norm_eps": 1e-5,
        "norm_momentum": 0.1,
    },
    "tiny": {
        "num_cells": 3,
        "filters": 8,
        "stem_filters": 8,
        "skip_reduction_layer_input": False,
        "drop_path_keep_prob": 1.0,
        "norm_momentum": 0.1,
    },
}


@dataclass(frozen=True)
class PlannedCell:
    """One cell: its name, its inputs and its level.

    Attributes:
        name: ``cell_stem_0``, ``cell_0``, ``reduction_cell_0`` and so on.
        is_reduction: True if the cell halves the map.
        filters: F of the cell.
        cur_channels, prev_channels: C of the two input states.
        prev_back: position of ``prev`` among the states, counted from the end: 1 is the newest state (always ``cur``),
            2 the state before it, and so on.
        prev_is: preparation of ``prev``: ``halved``, ``projected`` or ``raw``.
        out_channels: C of the new state.
        level: level of the new state; the stem has level 0.
        keep_prob: keep probability of the branches at the end of training.
    """

    name: str
    is_reduction: bool
    filters: int
    cur_channels: int
    prev_channels: int
    prev_back: int
    prev_is: str
    out_channels: int
    level: int
    keep_prob: float


def chosen_design(variant: str, given: dict[str, Any]) -> Design:
    """Return the design of a variant, updated with the values of ``given`` that are not None.

    Raises:
        UnknownName: an unknown variant or stem.
        ConfigError: an impossible number of cells or filters, or an impossible probability.
    """
    design = Design(**variant_options(VARIANTS, variant, given, "NASNet"))
    require_known(design.stem, STEMS, "NASNet stem")
    _check(design)
    return design


def _check(design: Design) -> None:
    divisor = 4 if design.stem == "imagenet" else 1
    bounds = {"num_cells": (3, 1), "filters": (divisor, divisor), "stem_filters": (1, 1)}
    for name, (least, divisor) in bounds.items():
        value = getattr(design, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least or value % divisor:
            divisible = f" and divisible by {divisor}" if divisor > 1 else ""
            usual = getattr(Design(), name)
            raise ConfigError(
                f"NASNet.{name}",
                expected=f"a whole number of at least {least}{divisible}",
                found=f"{value!r}",
                advice=f"use {usual} as in NASNet-A Large",
            )
    if not 0 < design.drop_path_keep_prob <= 1:
        raise ConfigError(
            "NASNet.drop_path_keep_prob",
            expected="a probability above 0 and at most 1",
            found=f"{design.drop_path_keep_prob}",
            advice="use 1 to keep all",
        )


def planned_cells(design: Design) -> list[PlannedCell]:
    """Return all cells in the order of their execution."""
    planner = _Planner(design)
    if design.stem == "imagenet":
        planner.add("cell_stem_0", design.filters // 4, is_reduction=True)
        planner.add("cell_stem_1", design.filters // 2, is_reduction=True)
    filters, reduced = design.filters, design.first_reduced_cells
    for number in range(design.num_cells):
        skips = number in reduced and design.skip_reduction_layer_input
        if number in reduced:
            filters *= 2
            planner.add(f"reduction_cell_{reduced.index(number)}", filters, is_reduction=True)
        planner.add(f"cell_{number}", filters, prev_back=3 if skips else 2)
    return planner.cells


def split_at_last_reduction(plan: list[PlannedCell]) -> tuple[list[PlannedCell], list[PlannedCell]]:
    """Split a plan into the cells that the authors' detector runs on the image and those that it runs on proposals."""
    last = max(i for i, planned in enumerate(plan) if planned.is_reduction)
    return plan[:last], plan[last:]


class _Planner:
    """List of states, and of the cells that compute them."""

    def __init__(self, design: Design):
        self.cells: list[PlannedCell] = []
        self.states = [(design.stem_filters, 0)]  # channels and level
        self.final_keep_prob = design.drop_path_keep_prob
        self.total = design.num_cells + (4 if design.stem == "imagenet" else 2)

    def add(self, name: str, filters: int, *, is_reduction: bool = False, prev_back: int = 2) -> None:
        """Append a cell. The first cell reads only one state, which is also its raw ``prev``."""
        prev_back = min(prev_back, len(self.states))
        (cur_channels, level), (prev_channels, prev_level) = self.states[-1], self.states[-prev_back]
        if prev_back == 1 or (prev_level == level and prev_channels == filters):
            prev_is = "raw"
        else:
            prev_is = "projected" if prev_level == level else "halved"
        self.cells.append(
            PlannedCell(
                name=name,
                is_reduction=is_reduction,
                filters=filters,
                cur_channels=cur_channels,
                prev_channels=prev_channels,
                prev_back=prev_back,
                prev_is=prev_is,
                out_channels=(4 if is_reduction else 6) * filters,
                level=level + is_reduction,
                keep_prob=1 - (len(self.cells) + 1) / self.total * (1 - self.final_keep_prob),
            )
        )
        self.states.append((self.cells[-1].out_channels, self.cells[-1].level))
