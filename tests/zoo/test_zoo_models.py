"""The zoo by name: the list of models, models with and without weights, and no unexpected use of the network."""

import json
import socket
import subprocess
import sys

import pytest
import torch

import visionzoo
from visionzoo import front_matter
from visionzoo.cli import list_models as list_command
from visionzoo.cli import show_card as show_command
from visionzoo.config import config_names
from visionzoo.errors import CheckpointError, ConfigError, InputError, UnknownName
from visionzoo.weights.entry import none_released
from visionzoo.zoo import get_model, list_models


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Fail on any attempt to connect; caches are empty."""

    def connect(*args, **kwargs):
        raise AssertionError("tried to use the network")

    monkeypatch.setattr(socket, "getaddrinfo", connect)
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def test_names_are_the_configs(capsys):
    assert visionzoo.list_models() == config_names()
    assert "rcnet_retinanet" in list_models("rcnet_*")
    assert "fpn_retinanet" not in list_models("rcnet_*")
    assert set(list_models("retina")) >= {"fpn_retinanet", "rcnet_retinanet"}
    assert list_models("no_such") == []
    assert "rcnet_mask_rcnn" in list_models(task="instances")
    assert "rcnet_retinanet" not in list_models(task="instances")
    with pytest.raises(InputError, match=r"known: classification, .*, detection, .*, saliency"):
        list_models(task="detecton")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "code",
    [
        "visionzoo.list_models(); visionzoo.list_models(task='detection')",
        "import visionzoo.cli.list_models as c; c.main([])",
    ],
)
def test_listing_imports_no_torch(code):
    check = f"import sys, visionzoo; {code}; print([m for m in ('torch', 'mmdet', 'mmcv') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_model_without_weights_uses_no_network(no_network, capsys):
    model = get_model("rcnet_retinanet")
    assert not model.training
    assert model.backbone.init_cfg is None
    assert torch.isfinite(model.bbox_head.retina_cls.bias).all()
    assert model.bbox_head.retina_cls.bias.mean() < -4  # focal loss's prior: the head's own init ran
    assert not (no_network / "cache").exists()
    assert capsys.readouterr().out == ""


def test_single_backbone_declares_its_outputs():
    backbone = get_model("rcnet_retinanet", tiny=True, backbone_only=True)
    feats = backbone(torch.rand(2, 3, 65, 97))
    assert backbone.out_channels == tuple(feat.shape[1] for feat in feats)
    assert backbone.out_strides == (4, 8, 16, 32)
    assert feats[0].shape[-2:] == (17, 25)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"neck": {"type": "mmdet.FPN", "out_chanels": 256, "num_outs": 5}}, "did you mean model.neck.out_channels"),
        ({"neck": {"type": "mmdet.FPN", "out_channels": 256, "num_outs": 0}}, "from 1 to 1,024"),
        ({"backbone": {"type": "mmdet.ResNot"}}, "did you mean mmdet.ResNet"),
    ],
)
def test_overrides_of_library_parts_are_checked(override, message):
    with pytest.raises(ConfigError) as caught:
        get_model("rcnet_retinanet", tiny=True, **override)
    assert message in str(caught.value)


def test_timm_backbone_by_override():
    backbone = get_model("rcnet_retinanet", tiny=True, backbone_only=True, **{"model.backbone.type": "timm.resnet18"})
    assert backbone.out_channels == (64, 128, 256, 512)
    assert backbone.out_strides == (4, 8, 16, 32)


def test_overrides():
    neck = dict(type="mmdet.FPN", out_channels=32, num_outs=5, start_level=1, add_extra_convs="on_input")
    model = get_model("rcnet_retinanet", tiny=True, neck=neck, num_classes=7)
    assert type(model.neck).__name__ == "FPN"
    assert model.bbox_head.num_classes == 7
    with pytest.raises(ConfigError, match="nek"):
        get_model("rcnet_retinanet", tiny=True, **{"model.nek.out_channels": 3})


def test_weights_go_in_and_classes_follow_the_checkpoint(tmp_path):
    source = get_model("fpn_retinanet", tiny=True, num_classes=2)
    meta = {"dataset_meta": {"classes": ("cat", "dog")}}
    torch.save({"state_dict": source.state_dict(), "meta": meta}, tmp_path / "w.pth")
    model = get_model("fpn_retinanet", tmp_path / "w.pth", tiny=True)
    assert model.dataset_meta["classes"] == ("cat", "dog")
    for key, value in source.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value)
    with pytest.raises(CheckpointError, match=r'w\.pth: .*ignore=\["bbox_head\.retina_cls\.\*"\]'):
        get_model("fpn_retinanet", tmp_path / "w.pth", tiny=True, num_classes=5)
    other = get_model("fpn_retinanet", tmp_path / "w.pth", tiny=True, num_classes=5, ignore=["bbox_head.retina_cls.*"])
    assert other.bbox_head.num_classes == 5
    with pytest.raises(CheckpointError, match="missing"):
        get_model("rcnet_retinanet", tmp_path / "w.pth", tiny=True)


def test_a_pickle_with_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            import os

            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="--trust-pickle"):
        get_model("fpn_retinanet", tmp_path / "evil.pth", tiny=True)
    pretrained = dict(type="Pretrained", checkpoint=str(tmp_path / "evil.pth"))
    model = get_model("fpn_retinanet", tiny=True, **{"model.backbone.init_cfg": pretrained})
    model.backbone.init_cfg, model.backbone._is_init = pretrained, False
    with pytest.raises(CheckpointError, match="--trust-pickle"):
        model.backbone.init_weights()
    assert not (tmp_path / "made").exists()


def test_wrong_names_suggest():
    with pytest.raises(UnknownName, match="did you mean 'rcnet_retinanet'"):
        get_model("rcnet_retinnet")
    with pytest.raises(ConfigError, match=r"^device:"):
        get_model("fpn_retinanet", tiny=True, device="cuda:99")


# --- commands ---


@pytest.mark.parametrize("word", ["pretrained", "checkpoint"])
def test_words_of_other_libraries_are_answered(word):
    with pytest.raises(InputError, match=rf"get_model: expected the argument weights, found {word}; use weights=PATH"):
        get_model("rcnet_retinanet", **{word: True})


def test_an_untrained_model_by_the_word_of_the_inferencer():
    model = get_model("scnn_culane", weights="none", tiny=True)
    assert not model.training


def test_messages_of_python_name_no_option_alone():
    with pytest.raises(InputError, match=r"^task 'x': expected the task of a model"):
        list_models(task="x")
    with pytest.raises(ConfigError, match=r"^option model.nek: expected .*did you mean model.neck\? .*allow_new=True"):
        get_model("rcnet_retinanet", **{"model.nek": 1})
    with pytest.raises(CheckpointError, match=r'name the folder of the run, or use .*weights="none" in Python'):
        raise none_released("scnn_culane")


def test_list_command(capsys):
    assert list_command.main(["rcnet_*", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list_models("rcnet_*")
    assert rows[0].keys() == {"name", "task", "params", "licence", "status", "weights", "about"}
    assert list_command.main([]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["name", "task", "params", "licence", "status", "about"]
    assert len(table) == 1 + len(config_names())
    assert list_command.main(["nothing_like_it"]) == 1
    assert "no model matches" in capsys.readouterr().err
    assert list_command.main(["--task", "x"]) == 2


def test_the_list_names_the_wrong_field_of_a_card(tmp_path, capsys, monkeypatch):
    text = front_matter.find_card("scnn_culane").read_text(encoding="utf-8")
    wrong = tmp_path / "scnn_culane.md"
    wrong.write_text(text.replace("\n  licenses:\n", "\n  licences:\n"), encoding="utf-8")
    monkeypatch.setattr(front_matter, "released_files", lambda *what: {"scnn_culane": wrong})
    assert list_command.main(["scnn_culane"]) == 2
    assert "visionzoo.licences: no such field; did you mean licenses?" in capsys.readouterr().err


def test_show_command(capsys):
    assert show_command.main(["rcnet_retinnet"]) == 2
    assert "did you mean 'rcnet_retinanet'" in capsys.readouterr().err


def test_show_prints_the_card(capsys):
    assert show_command.main(["rcnet_retinanet"]) == 0
    card = capsys.readouterr().out
    assert card.startswith("---\n")
    assert show_command.main(["rcnet_retinanet", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["visionzoo"]
    assert facts["name"] == "rcnet_retinanet"
    assert facts["runs"]["tiny"]["command"] in card
    assert facts["licenses"]["code"] in card
