"""Parts of the matrix: everything that the registries and configs have."""

from __future__ import annotations

import pytest

from visionzoo.analysis.matrix.parts import NO_NECK, TIMM, axes_of, backbones, heads, matching, necks, tiny_configs
from visionzoo.errors import UnknownName
from visionzoo.models.part_configs import parts_in
from visionzoo.registry import own_parts


def test_every_part_of_the_registries_is_there() -> None:
    assert set(own_parts("backbones")) <= {part.name for part in backbones()}
    assert {NO_NECK, *own_parts("necks")} <= {part.name for part in necks()}
    kinds = {cfg["type"] for head in heads() for _, cfg, _ in parts_in(head.model)}
    assert set(own_parts("heads")) <= kinds
    assert all(head.config for head in heads())


def test_every_head_of_the_configs_is_there() -> None:
    tasks_and_types = {(head.task, head.model["type"]) for head in heads()}
    assert {(config.task, config.model["type"]) for config in tiny_configs()} == tasks_and_types


def test_timm_has_ten_families_or_more() -> None:
    assert len(TIMM) >= 10
    assert {f"timm.{name}" for name in TIMM} <= {part.name for part in backbones()}


def test_names_differ() -> None:
    for parts in (backbones(), necks(), heads()):
        names = [part.name for part in parts]
        assert len(set(names)) == len(names)


def test_heads_of_one_detector_are_told_apart_by_what_differs() -> None:
    by_name = {head.name: head for head in heads()}
    assert by_name["ConnectivityMaskHead"].model["type"] == by_name["mmdet.MaskRCNN"].model["type"] == "mmdet.MaskRCNN"
    assert {by_name[f"mmdet.Mask2FormerHead ({task})"].task for task in ("instances", "panoptic")} == {
        "instances",
        "panoptic",
    }


def test_heads_of_any_number_of_axes_are_there_for_images_and_volumes() -> None:
    by_axes = {axes: [head for head in heads() if head.name.endswith(f"({axes}-D)")] for axes in (2, 3)}
    assert [head.name[:-6] for head in by_axes[2]] == [head.name[:-6] for head in by_axes[3]]
    assert {head.name[:-6] for head in by_axes[2]} >= {"ICNetHead", "MICDIRHead", "VoxelMorphHead"}
    for axes, found in by_axes.items():
        assert {axes_of(head.model) for head in found} == {axes}
    data = {head.name: (head.config, head.data) for head in by_axes[2]}
    assert data["ICNetHead (2-D)"] == ("icnet_ixi", "voxelmorph_2d")


def test_a_pattern_that_matches_nothing_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'RCNet'"):
        matching(necks(), ["RCNett"], "neck")
