"""Reasons of principle: what parts declare, as complete sentences."""

from __future__ import annotations

import inspect
import re

import pytest

from visionzoo.analysis.matrix import fitting
from visionzoo.analysis.matrix.cells import Cell
from visionzoo.analysis.matrix.fitting import KINDS, refusal
from visionzoo.analysis.matrix.models import model_config
from visionzoo.analysis.matrix.parts import backbones, heads, necks
from visionzoo.analysis.matrix.running import cells_of

REFUSED = [
    ("VGG", "no neck", "MICDIRHead", "pairs"),
    ("MICDIREncoder", "no neck", "SCNNHead", "pairs"),
    ("VoxelMorphEncoder", "RCNet", "ICNetHead", "axes"),
    ("VGG", "RCNet", "LAVTHead", "phrase"),
    ("LAVTSwin", "no neck", "mmseg.UPerHead", "library"),
    ("VGG", "no neck", "NASNetRoITail", "continues"),
    ("NASNet", "RCNet", "NASNetRoITail", "continues"),
    ("VoxelMorphEncoder", "no neck", "DirectRegistrationHead", "untrained"),
    ("timm.vit*", "no neck", "HMoDEHead", "levels"),
    ("timm.vit*", "no neck", "mmseg.UPerHead", "levels"),
]

SERVED = [
    ("VGG", "no neck", "SCNNHead"),
    ("timm.vit*", "RCNet", "HMoDEHead"),
    ("VGG", "LanguageFusion", "LAVTHead"),
    ("LAVTSwin", "RCNet", "SCNNHead"),
    ("VoxelMorphEncoder", "RCNet", "VoxelMorphHead (2-D)"),
    ("VoxelMorphEncoder", "LanguageFusion", "VoxelMorphHead (3-D)"),
    ("ICNetEncoder", "no neck", "MICDIRHead"),
    ("MICDIREncoder", "no neck", "ICNetHead"),
    ("NASNet", "no neck", "NASNetRoITail"),
    ("ImagePair", "no neck", "DirectRegistrationHead"),
]


def cell(backbone: str, neck: str, head: str) -> Cell:
    (found,) = cells_of([backbone], [neck], [head])
    return found


@pytest.mark.parametrize(("backbone", "neck", "head", "kind"), REFUSED)
def test_refused_for_a_declared_reason(backbone: str, neck: str, head: str, kind: str) -> None:
    found = refusal(cell(backbone, neck, head))
    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize(("backbone", "neck", "head"), SERVED)
def test_not_refused(backbone: str, neck: str, head: str) -> None:
    assert refusal(cell(backbone, neck, head)) is None


def test_reasons_are_complete_sentences() -> None:
    sentences = [*KINDS.values(), *(refusal(cell(*names)).sentence for *names, _ in REFUSED)]
    for sentence in sentences:
        assert re.fullmatch(r"\w.+ (reads|is|finds|continues|gives) .+\.", sentence), sentence
        assert "Error" not in sentence


def test_no_part_is_named_in_the_rules() -> None:
    """Reasons follow from declarations, so the rules name no backbone, neck or head."""
    source = inspect.getsource(fitting)
    for part in (*backbones(), *necks(), *heads()):
        assert part.cfg is None if part.name == "no neck" else f'"{part.name}"' not in source


def test_a_head_of_one_width_gets_one_map_of_a_trunk_without_a_neck() -> None:
    found = cell("mmdet.ResNet", "no neck", "mmdet.RetinaHead")
    assert model_config(found, found.head.model).backbone.out_indices == (3,)
    with_neck = cell("mmdet.ResNet", "RCNet", "mmdet.RetinaHead")
    assert tuple(model_config(with_neck, with_neck.head.model).backbone.out_indices) == (0, 1, 2, 3)


def test_a_part_that_reads_phrases_gets_a_text_encoder() -> None:
    found = cell("VGG", "LanguageFusion", "SCNNHead")
    assert model_config(found, found.head.model).text_encoder.type.endswith("TextEncoder")


def test_another_variant_gives_the_maps_that_the_tiny_one_lacks() -> None:
    found = cell("ICNetEncoder", "no neck", "MICDIRHead")
    assert found.backbone.cfg["variant"] == "tiny"
    assert model_config(found, found.head.model).backbone.variant == "default"
