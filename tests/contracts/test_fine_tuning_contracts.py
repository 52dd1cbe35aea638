"""Every released config can be fine-tuned: a new head, frozen stages, rates by layer, in its tiny variant."""

from __future__ import annotations

import warnings
from functools import cache

import pytest
import torch
from contract_subjects import TIMM_FAST
from mmengine.config import Config
from torch import nn

from visionzoo.backbones.timm_features import TimmFeatures
from visionzoo.config import config_names, load_config
from visionzoo.engine.depths import layer_depths, layers_of, model_depths, stage_depths
from visionzoo.engine.fine_tuning import tuning_of
from visionzoo.engine.freezing import freeze, matching, train_only
from visionzoo.engine.numbering import Numbered
from visionzoo.engine.run_options import RunOptions
from visionzoo.errors import CheckpointError, ConfigError
from visionzoo.models.class_counts import ClassCounts
from visionzoo.models.wiring import build_model
from visionzoo.weights.loading import load_weights

OLD, NEW = ClassCounts(5), ClassCounts(3)
# Models without parameters; nothing is fine-tuned.
NOTHING = ("direct_affine", "direct_registration")


def tiny_models() -> dict[str, Config]:
    """Return the configs with different tiny models, by the name of the first one."""
    found: dict[str, Config] = {}
    for name in config_names():
        loaded = load_config(name, tiny=True)
        if name not in NOTHING and not any(cfg.model == loaded.cfg.model for cfg in found.values()):
            found[name] = loaded.cfg
    return found


MODELS = tiny_models()


@cache
def built(name: str) -> nn.Module:
    return make(name, NEW)


def make(name: str, counts: ClassCounts) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build_model(_without_stated(MODELS[name].model), num_classes=counts)


def _without_stated(model: Config) -> dict:
    """Return a model whose number of classes follows from the data, as ``--num-classes`` does."""
    plain = model.to_dict()
    if (plain.get("head") or {}).get("num_classes") is not None:
        plain["head"].pop("num_classes")
    return plain


@pytest.mark.parametrize("name", MODELS)
def test_a_replaced_head_is_new_and_the_rest_is_loaded(name: str) -> None:
    cfg, model = Config({"model": _without_stated(MODELS[name].model)}), built(name)
    options = RunOptions(weights="file", replace_head=True)
    if not any(hasattr(part, "num_classes") for part in model.modules()):
        with pytest.raises(ConfigError, match="no tensor depends on the number of classes"):
            tuning_of(cfg, options, Numbered({}, None), NEW)
        return
    tuning = tuning_of(cfg, options, Numbered({}, None), NEW)
    released = {key: torch.full_like(value, 2) for key, value in make(name, OLD).state_dict().items()}
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"replace_head=True|of another shape"):
        load_weights(model, released)
    report = load_weights(model, released, ignore=tuning.renewed)
    assert report.fits
    assert set(report.ignored) == set(tuning.renewed)
    for key, value in model.state_dict().items():
        expected = before[key] if key in tuning.renewed else released[key]
        assert torch.equal(value, expected), key
    assert f"{len(tuning.renewed)} tensors start with new values" in tuning.notes[0]


@pytest.mark.parametrize("name", MODELS)
def test_stages_freeze_by_number_and_depths_cover_the_model(name: str) -> None:
    model = built(name)
    if not isinstance(getattr(model, "backbone", None), nn.Module):
        pytest.skip("no backbone")
    depths = model_depths(model)
    assert set(depths) == {key for key, _ in model.named_parameters()}
    stages = stage_depths(model.backbone)
    assert len(stages) > 1
    assert stages[0].start == 1
    parts = [matching(model, f"backbone.stages.{number}") for number in range(len(stages))]
    parts.append(matching(model, "backbone.stem"))
    whole = [key for key, _ in model.named_parameters() if key.startswith("backbone.")]
    assert sorted(key for part in parts for key in part) == sorted(whole)
    assert all(parts[:-1])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert freeze(model, ["backbone.stages.0"]) == sorted(parts[0])
    for parameter in trained:
        parameter.requires_grad_(True)


@pytest.mark.parametrize("name", TIMM_FAST)
def test_layers_of_timm_models_are_their_blocks_in_order(name: str) -> None:
    backbone = TimmFeatures(name)
    depths = layer_depths(backbone)
    assert set(depths) == {key for key, _ in backbone.named_parameters()}
    order = list(depths.values())
    assert order == sorted(order)
    assert order[0] == 0
    assert len(layers_of(backbone)) == max(order) >= 8
    assert 4 <= len(stage_depths(backbone)) <= 8


CLASSIFIERS = ("dinat_mini_imagenet", "nasnet_mobile_imagenet", "bossnet_t0_imagenet")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_linear_probe_of_a_classifier_trains_its_linear_layer(name: str) -> None:
    cfg = Config({"model": load_config(name, tiny=True).cfg.model.to_dict(), "linear_probe": True})
    names = tuning_of(cfg, RunOptions(), Numbered({}, None), NEW).trained
    assert names == ("head.fc.bias", "head.fc.weight")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build_model(cfg.model, num_classes=NEW)
    train_only(model, names)
    assert {key for key, value in model.named_parameters() if value.requires_grad} == set(names)
