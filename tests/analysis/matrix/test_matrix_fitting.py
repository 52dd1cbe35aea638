"""Reasons of principle: what parts declare, as complete sentences."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch

from visionzoo.analysis.matrix import fitting
from visionzoo.analysis.matrix.cells import Cell
from visionzoo.analysis.matrix.data import HeadData, head_data
from visionzoo.analysis.matrix.fitting import KINDS, refusal
from visionzoo.analysis.matrix.models import model_config
from visionzoo.analysis.matrix.parts import backbones, heads, necks
from visionzoo.analysis.matrix.running import cells_of
from visionzoo.models.wiring import build_model

REFUSED = [
    ("VGG", "no neck", "MICDIRHead (3-D)", "axes"),
    ("MICDIREncoder", "no neck", "SCNNHead", "pairs"),
    ("VoxelMorphEncoder", "RCNet", "ICNetHead (3-D)", "axes"),
    ("VGG", "RCNet", "LAVTHead", "phrase"),
    ("VGG", "no neck", "LAVTHead", "phrase"),
    ("VGG", "no neck", "NASNetRoITail", "continues"),
    ("LAVTSwin", "no neck", "NASNetRoITail", "continues"),
    ("NASNet", "RCNet", "NASNetRoITail", "continues"),
    ("VoxelMorphEncoder", "no neck", "DirectRegistrationHead (3-D)", "untrained"),
    ("VGG", "no neck", "DirectRegistrationHead (2-D)", "untrained"),
    ("timm.vit*", "no neck", "HMoDEHead", "levels"),
    ("timm.vit*", "no neck", "mmseg.UPerHead", "levels"),
]

SERVED = [
    ("VGG", "no neck", "SCNNHead"),
    ("timm.vit*", "RCNet", "HMoDEHead"),
    ("VGG", "LanguageFusion", "LAVTHead"),
    ("VGG", "no neck", "WiCoHead"),
    ("LAVTSwin", "RCNet", "SCNNHead"),
    ("LAVTSwin", "no neck", "mmseg.UPerHead"),
    ("VGG", "LanguageFusion", "mmdet.RetinaHead"),
    ("VoxelMorphEncoder", "RCNet", "VoxelMorphHead (2-D)"),
    ("VoxelMorphEncoder", "LanguageFusion", "VoxelMorphHead (3-D)"),
    ("ICNetEncoder", "no neck", "MICDIRHead (3-D)"),
    ("MICDIREncoder", "no neck", "ICNetHead (2-D)"),
    ("VGG", "RCNet", "ICNetHead (2-D)"),
    ("timm.vit*", "no neck", "VoxelMorphHead (2-D)"),
    ("LAVTSwin", "no neck", "MICDIRHead (2-D)"),
    ("NASNet", "no neck", "NASNetRoITail"),
    ("ImagePair", "no neck", "DirectRegistrationHead (2-D)"),
    ("ImagePair", "no neck", "DirectRegistrationHead (3-D)"),
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


def test_a_model_of_a_library_becomes_a_task_model_to_read_phrases() -> None:
    found = cell("LAVTSwin", "no neck", "mmdet.MaskRCNN")
    model = model_config(found, found.head.model)
    assert (model.type, model.head.type) == ("TaskModel", "TwoStageHead")
    assert model.text_encoder.type.endswith("TextEncoder")
    found = cell("VGG", "LanguageFusion", "mmseg.UPerHead")
    model = model_config(found, found.head.model)
    assert (model.head.type, model.auxiliary_head.type) == ("mmseg.UPerHead", "mmseg.FCNHead")


def test_a_model_of_a_library_without_phrases_stays() -> None:
    found = cell("VGG", "RCNet", "mmdet.MaskRCNN")
    model = model_config(found, found.head.model)
    assert model.type == "mmdet.MaskRCNN"
    assert "text_encoder" not in model


@pytest.mark.parametrize(
    ("neck", "head", "is_equal"),
    [
        ("no neck", "LAVTHead", True),
        ("LanguageFusion", "LAVTHead", False),
        ("no neck", "WiCoHead", False),
    ],
)
def test_the_result_depends_on_the_phrase_unless_only_maps_are_read(neck: str, head: str, is_equal: bool) -> None:
    """The reason ``phrase``: all phrases have one result if neither the head nor the trunk reads them."""
    found = cell("VGG", neck, head)
    data = head_data(found.head.config)
    torch.manual_seed(0)
    model = build_model(model_config(found, data.model), num_classes=data.counts).eval()
    one, other = (outputs_for(model, data, phrase) for phrase in ("the left one", "a red car"))
    assert torch.equal(one, other) is is_equal
    refused = refusal(found)
    assert (refused is not None and refused.kind == "phrase") is is_equal


def outputs_for(model: Any, data: HeadData, phrase: str) -> torch.Tensor:
    """Return logits or probabilities of the validation images, all with one phrase."""
    batch = model.data_preprocessor(data.batch("val"))
    for sample in batch["data_samples"]:
        sample.set_metainfo({"phrase": phrase})
    with torch.no_grad():
        found = model(**batch, mode="tensor")
    return found if isinstance(found, torch.Tensor) else found["map"]


def test_a_head_of_pairs_gets_a_trunk_of_images_on_both_images() -> None:
    found = cell("VGG", "no neck", "ICNetHead (2-D)")
    backbone = model_config(found, found.head.model).backbone
    assert backbone == {
        "type": "SiamesePair",
        "backbone": {"type": "VGG", "variant": "tiny"},
        "both_directions": True,
    }


@pytest.mark.parametrize(("neck", "outs"), [("RCNet", 6), ("mmdet.FPN", 6)])
def test_a_neck_returns_all_maps_of_the_trunk(neck: str, outs: int) -> None:
    found = cell("UnpooledResNet", neck, "VoxelMorphHead (2-D)")  # five maps, and the images
    assert model_config(found, found.head.model).neck.num_outs == outs
    found = cell("UnpooledResNet", neck, "SCNNHead")
    assert model_config(found, found.head.model).neck.get("num_outs", 5) == 5


def test_another_variant_gives_the_maps_that_the_tiny_one_lacks() -> None:
    found = cell("ICNetEncoder", "no neck", "MICDIRHead (3-D)")
    assert found.backbone.cfg["variant"] == "tiny"
    assert model_config(found, found.head.model).backbone.variant == "default"
