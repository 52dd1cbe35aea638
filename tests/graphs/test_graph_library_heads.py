"""Heads of mmdet and mmseg in a model of several heads have the graph that they have in their own models."""

from __future__ import annotations

import pytest
import torch

from visionzoo.cards.seeding import fill_weights
from visionzoo.config import load_config
from visionzoo.graphs.form import NotExportable
from visionzoo.graphs.images import head_graph, image_form
from visionzoo.models.heads_by_name import heads_by_name
from visionzoo.models.library_heads import build_head
from visionzoo.models.wiring import build_model, fill_model

COUNTING = {"type": "DensityHead", "variant": "tiny"}
OWN = {
    "fpn_retinanet": "detection",
    "rcnet_gfl": "detection",
    "rcnet_mask_rcnn": "instances",
    "mask2former_r50_coconut": "panoptic",
    "dinat_upernet_ade20k": "semantic",
}


def model_of(name: str) -> tuple[torch.nn.Module, dict]:
    cfg = fill_model(load_config(name, tiny=True).cfg.model)
    model = build_model(cfg).eval()
    fill_weights(model, 0)
    return model, cfg


@pytest.mark.parametrize(("name", "task"), OWN.items())
def test_the_graph_is_that_of_the_own_model(name: str, task: str) -> None:
    single, cfg = model_of(name)
    named = heads_by_name(cfg, task)
    heads = {**named.model["heads"], "counting": COUNTING}
    joint = build_model({**named.model, "heads": heads}).eval()
    missing = joint.load_state_dict(named.renamed(single.state_dict()), strict=False).missing_keys
    assert all(key.startswith("heads.counting.") for key in missing)

    own, several = image_form(single).eval(), image_form(joint).eval()
    passes = []
    joint.backbone.register_forward_hook(lambda *args: passes.append(1))
    pixels = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor([[96, 128]] * 2)
    with torch.no_grad():
        expected, found = (form.outputs(form.batch(pixels), sizes) for form in (own, several))
    assert several.names == (*(f"{task}.{each}" for each in own.names), "counting.density", "counting.count")
    for one, other in zip(expected, found):
        assert one.numel() > 0
        assert torch.equal(one, other)
    assert len(passes) == 1
    assert several.settings == {task: own.settings, "counting": {}}


def test_tiles_are_a_reason() -> None:
    trunk = {"type": "BossNet", "variant": "tiny"}
    cfg = {"type": "TaskModel", "backbone": trunk, "head": COUNTING, "test_cfg": {"tile": 512}}
    with pytest.raises(NotExportable, match=r"test_cfg\.tile: expected whole images in a graph, found tiles of 512"):
        image_form(build_model(cfg))


def test_a_head_without_a_graph_states_its_place_and_class() -> None:
    boxes = build_head({"type": "mmdet.FCOSHead", "in_channels": 8, "num_classes": 2})
    with pytest.raises(NotExportable, match=r"heads\.boxes: bbox_head \(FCOSHead\): the exporter has the form of"):
        head_graph(boxes, "heads.boxes")
    masks = build_head({"type": "mmdet.SOLOHead", "in_channels": 8, "num_classes": 2})
    with pytest.raises(NotExportable, match=r"heads\.masks \(SOLOHead\): it does not define graph_outputs"):
        head_graph(masks, "heads.masks")
