"""Loading weights into a model: strict, with a table of mismatches; mmengine's pickle fallback is closed."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel, BaseModule
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from safetensors.torch import save_file
from torch import nn

from visionzoo.errors import CheckpointError
from visionzoo.weights.loading import close_pickle_fallback, load_weights, read_weights, without_pretrained


class Head(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.cls = nn.Conv2d(4, classes, 1)


class Net(nn.Module):
    def __init__(self, classes: int = 3, width: int = 4, deep: bool = False):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), nn.Conv2d(width, 4, 1))
        if deep:
            self.backbone.append(nn.Conv2d(4, 4, 1))
        self.head = Head(classes)


def copied(model: nn.Module) -> dict:
    return {key: value.clone() for key, value in model.state_dict().items()}


def equal(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_all_fits(tmp_path):
    source, target = Net(), Net()
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    report = load_weights(target, tmp_path / "w.safetensors")
    assert report.fits
    assert report.loaded == len(source.state_dict())
    assert equal(source.state_dict(), target.state_dict())


def test_mismatch_is_a_table_and_changes_nothing():
    target = Net(deep=True)
    before = copied(target)
    state = Net(width=6).state_dict()
    state["extra.weight"] = torch.ones(1)
    with pytest.raises(CheckpointError) as caught:
        load_weights(target, state)
    first, *rest = str(caught.value).splitlines()
    assert first == (
        "weights: expected the weights of this Net, found 2 missing and 1 unexpected and 7 of another shape; "
        "name the checkpoint of this model, or change the model to fit it"
    )
    assert "  missing from the checkpoint (2):" in rest
    assert "    backbone.3.weight" in rest
    assert "    extra.weight" in rest
    assert "    backbone.0.weight: [6, 3, 1, 1] != [4, 3, 1, 1]" in rest
    assert equal(before, copied(target))


def test_ten_of_each_are_listed_then_counts():
    big = nn.ModuleList([nn.Linear(2, 2) for _ in range(20)])
    with pytest.raises(CheckpointError) as caught:
        load_weights(big, {"0.weight": torch.ones(2, 2)})
    assert "missing from the checkpoint (39):" in str(caught.value)
    assert "    and 29 more" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 13


def test_other_classes_suggest_what_fits_and_the_suggestion_works():
    source, target = Net(classes=80), Net(classes=3)
    advice = r'fine-tune it use replace_head=True of a training, or ignore=\["head\.cls\.\*"\]'
    with pytest.raises(CheckpointError, match=advice):
        load_weights(target, source.state_dict())
    own = target.head.cls.weight.clone()
    report = load_weights(target, source.state_dict(), ignore=["head.cls.*"])
    assert report.fits
    assert report.ignored == ("head.cls.bias", "head.cls.weight")
    torch.testing.assert_close(target.head.cls.weight, own)
    torch.testing.assert_close(target.head.conv.weight, source.head.conv.weight)


def test_a_detectors_suggestion_names_only_its_classifier():
    from visionzoo.config import load_config
    from visionzoo.models.wiring import build_model

    cfg = load_config("fpn_retinanet", tiny=True).cfg.model
    source, target = build_model(cfg, num_classes=4), build_model(cfg, num_classes=2)
    with pytest.raises(CheckpointError, match=r'ignore=\["bbox_head\.retina_cls\.\*"\]'):
        load_weights(target, source.state_dict())
    assert load_weights(target, source.state_dict(), ignore=["bbox_head.retina_cls.*"]).fits


def test_ignore_that_matches_nothing_is_an_error():
    with pytest.raises(CheckpointError, match=r"ignore='hed\.\*' matches no tensor.*did you mean head\.\*\?"):
        load_weights(Net(), Net().state_dict(), ignore=["hed.*"])


@pytest.mark.parametrize("strict", [True, False])
def test_nothing_fits_is_never_a_success(strict):
    target = Net()
    before = copied(target)
    with pytest.raises(CheckpointError, match="none of its 1 tensors fits the model's"):
        load_weights(target, {"encoder.weight": torch.ones(2)}, strict=strict)
    with pytest.raises(CheckpointError, match="none of its 1 tensors fits the model's"):
        load_weights(target, {"backbone.0.weight": torch.ones(2)}, strict=strict)
    assert equal(before, copied(target))


def test_not_strict_reports_what_is_left_out():
    report = load_weights(Net(deep=True), Net(classes=5).state_dict(), strict=False)
    assert not report.fits
    assert report.missing == ("backbone.3.weight", "backbone.3.bias")
    assert [item[0] for item in report.shapes] == ["head.cls.weight", "head.cls.bias"]


def test_old_batch_norm_without_counter_is_complete():
    state = {key: value for key, value in Net().state_dict().items() if "num_batches" not in key}
    assert load_weights(Net(), state).fits


# --- fallback to full pickle --- ---


class EvilState:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class TinyModel(BaseModel):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg=init_cfg)
        self.fc = nn.Linear(2, 2)

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return {"loss": self.fc(inputs).sum()}


@pytest.fixture
def evil(tmp_path):
    made = tmp_path / "made_by_pickle"
    content = {"state_dict": TinyModel().state_dict(), "meta": {"x": EvilState(made)}, "message_hub": {}}
    torch.save(content, tmp_path / "evil.pth")
    return tmp_path / "evil.pth", made


def refused(evil, act):
    path, made = evil
    with pytest.raises(CheckpointError, match="--trust-pickle"):
        act(str(path))
    assert not made.exists()


def test_read_and_load_do_not_run_code(evil):
    refused(evil, read_weights)
    refused(evil, lambda path: load_weights(TinyModel(), path))
    refused(evil, lambda path: load_weights(TinyModel(), path, strict=False))


def test_mmengines_own_loader_would_have_run_it(evil):
    """The danger is real: without the closed fallback this file is created."""
    from mmengine.runner import checkpoint

    path, made = evil
    close_pickle_fallback()
    torch.load(path, weights_only=False)
    assert made.exists()
    assert checkpoint._safe_torch_load.__module__ == "visionzoo.weights.loaders"


@pytest.mark.parametrize("kind", ["load_from", "resume"])
def test_the_runner_does_not_run_code(evil, tmp_path, kind):
    close_pickle_fallback()

    def act(path):
        runner = Runner(
            model=TinyModel(),
            work_dir=str(tmp_path / "work"),
            load_from=path,
            resume=kind == "resume",
            train_dataloader=dict(
                dataset=[torch.ones(2)], sampler=dict(type="DefaultSampler", shuffle=False), batch_size=1
            ),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
            default_hooks=dict(logger=None, checkpoint=None, runtime_info=None),
            custom_hooks=[Hook()],
            experiment_name=f"evil_{kind}_{tmp_path.name}",
            log_level="ERROR",
        )
        runner.train()

    refused(evil, act)


@pytest.mark.parametrize("scope", ["visionzoo", "mmengine"])
@pytest.mark.parametrize("prefix", [None, "fc."])
def test_pretrained_init_does_not_run_code(evil, scope, prefix):
    close_pickle_fallback()
    init_cfg = dict(type="Pretrained", checkpoint=str(evil[0]), prefix=prefix)

    def act(path):
        with DefaultScope.overwrite_default_scope(scope):
            TinyModel(init_cfg=init_cfg).init_weights()

    refused(evil, act)


def test_every_scheme_of_mmengine_is_replaced():
    close_pickle_fallback()
    for scheme, loader in CheckpointLoader._schemes.items():
        assert loader.__module__ == "visionzoo.weights.loaders", scheme
    with pytest.raises(CheckpointError, match="expected a file or an http address"):
        CheckpointLoader.load_checkpoint("s3://bucket/x.pth", "cpu")


# --- pretrained parts ---


class Part(BaseModule):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.fc = nn.Linear(2, 2)


def initialised(init_cfg):
    part = Part(init_cfg)
    with DefaultScope.overwrite_default_scope("visionzoo"):
        part.init_weights()
    return part


def test_pretrained_part_is_loaded_by_prefix(tmp_path):
    weight = torch.full((2, 2), 3.0)
    torch.save({"state_dict": {"backbone.fc.weight": weight, "head.x": torch.ones(1)}}, tmp_path / "d.pth")
    part = initialised(dict(type="Pretrained", checkpoint=str(tmp_path / "d.pth"), prefix="backbone."))
    torch.testing.assert_close(part.fc.weight.detach(), weight)
    with pytest.raises(CheckpointError, match=r"expected tensors below 'neck\.', found backbone, head"):
        initialised(dict(type="Pretrained", checkpoint=str(tmp_path / "d.pth"), prefix="neck"))


def test_pretrained_part_that_fits_nothing_is_an_error(tmp_path):
    torch.save({"conv1.weight": torch.ones(1)}, tmp_path / "d.pth")
    with pytest.raises(CheckpointError, match=r"d\.pth: expected weights of Part, but none"):
        initialised(dict(type="Pretrained", checkpoint=str(tmp_path / "d.pth")))


def test_without_pretrained_keeps_other_init(tmp_path):
    other = dict(type="Constant", layer="Linear", val=2.0)
    model = nn.ModuleList(
        [Part(dict(type="Pretrained", checkpoint="torchvision://resnet50")), Part([other, dict(type="Pretrained")])]
    )
    without_pretrained(model)
    assert model[0].init_cfg is None
    assert model[1].init_cfg == [other]
