"""Mask2Former, MaskFormer and UPerNet on every registered backbone: one training step, one prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from contract_subjects import Subject, fast_subjects, slow_subjects
from mask_transformers import mask2former, maskformer, panoptic_batch, semantic_batch, upernet

from visionzoo.errors import ConfigError
from visionzoo.models.class_counts import ClassCounts
from visionzoo.models.wiring import build_model

Make = Callable[..., Any]

THINGS, STUFF = 3, 2
# Heads by name: config, and the least number of levels that it reads.
HEADS: dict[str, tuple[Make, int]] = {"Mask2Former": (mask2former, 3), "MaskFormer": (maskformer, 1)}
NECKS = {"None": None, "RCNet": {"type": "RCNet", "variant": "tiny"}}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backbone" in metafunc.fixturenames:
        backbones = [
            each
            for each in [*fast_subjects(), *slow_subjects()]
            if each.kind == "backbone" and each.reads_images and "text_channels" not in each.cfg
        ]
        slow = {each.name: [pytest.mark.slow] for each in backbones if each.name.startswith("timm.")}
        shown = [pytest.param(each, id=each.name, marks=slow.get(each.name, [])) for each in backbones]
        metafunc.parametrize("backbone", shown)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def built(cfg: Mapping[str, Any]) -> Any:
    torch.manual_seed(0)
    return build_model(cfg, num_classes=ClassCounts(THINGS + STUFF, THINGS))


def step(model: Any, batch: Mapping[str, Any]) -> None:
    """Train one step, and require a finite gradient of every parameter that the head has."""
    losses = model.train()(**model.data_preprocessor(batch, True), mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite()
    heads = {name: value for name, value in model.named_parameters() if "head" in name and value.requires_grad}
    without = [name for name, value in heads.items() if value.grad is None or not value.grad.isfinite().all()]
    assert not without, f"{len(without)} of {len(heads)} without a finite gradient: {without[:5]}"


@pytest.mark.parametrize("neck", NECKS)
@pytest.mark.parametrize("head", HEADS)
def test_mask_transformers_train_and_predict(backbone: Subject, head: str, neck: str) -> None:
    make, least = HEADS[head]
    cfg = make(backbone.cfg, NECKS[neck])
    cfg.panoptic_fusion_head.type = "PanopticFusion"
    cfg.test_cfg.semantic_on = True
    if len(backbone.levels().channels) < least and neck == "None":
        with pytest.raises(ConfigError, match=f"at least {least} feature maps for mmdet.{head}Head"):
            built(cfg)
        return
    model = built(cfg)
    step(model, panoptic_batch(THINGS, STUFF))
    with torch.no_grad():
        data = model.data_preprocessor(panoptic_batch(THINGS, STUFF), False)
        predicted = model.eval()(**data, mode="predict")
    for sample, size in zip(predicted, [(140, 194), (128, 180)], strict=True):
        assert sample.pred_panoptic.size == sample.pred_semantic.shape == size
        assert int(sample.pred_semantic.max()) < THINGS + STUFF
        assert all(0 <= label < THINGS for label in sample.pred_instances.labels.tolist())


def test_upernet_trains_and_predicts(backbone: Subject) -> None:
    if len(backbone.levels().channels) < 4:
        with pytest.raises(ConfigError, match="in_index: expected one of the"):
            built(upernet(backbone.cfg))
        return
    model = built(upernet(backbone.cfg, type="SemanticPreprocessor"))
    step(model, semantic_batch(THINGS + STUFF))
    with torch.no_grad():
        predicted = model.eval().test_step(semantic_batch(THINGS + STUFF))
    assert [sample.pred_sem_seg.data.shape for sample in predicted] == [(1, 140, 194)] * 2
