"""``visionzoo convert`` from a user's point of view."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from visionzoo.cli.convert import main


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "voc"
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    for number in range(5):
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / "images" / f"{number}.png")
        (root / "annotations" / f"{number}.xml").write_text(
            "<annotation><size><width>30</width><height>20</height></size>"
            "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>"
            f"<ymax>{number + 5}</ymax></bndbox></object></annotation>"
        )
    return root


def test_voc2coco_writes_a_folder_and_prints_a_summary(voc, tmp_path, capsys):
    assert main(["voc2coco", str(voc), "-o", str(tmp_path / "out"), "--val-every", "5", "--json"]) == 0
    output = capsys.readouterr()
    summary = json.loads(output.out)
    assert summary["splits"] == {"train": {"images": 4, "boxes": 4}, "val": {"images": 1, "boxes": 1}}
    assert "val: 1 images, 1 boxes" in output.err
    record = json.loads((tmp_path / "out" / "annotations" / "instances_val2017.json").read_text())
    assert record["annotations"][0]["bbox"] == [0, 0, 9, 9]
    assert (tmp_path / "out" / "val2017" / "4.png").is_file()


def test_voc2coco_to_one_file_quietly(voc, tmp_path, capsys):
    assert main(["voc2coco", str(voc), "-o", str(tmp_path / "all.json"), "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert len(json.loads((tmp_path / "all.json").read_text())["images"]) == 5


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (["--val-every", "1"], "expected a whole number >= 2, found '1'"),
        (["--val-every", "5", "--split", "a"], "not allowed with"),
        (["--split", "nowhere"], "--split nowhere: expected a list"),
        (["--classes", "dog"], "no class in these images is called 'dog'"),
        (["--difficult", "maybe"], "invalid choice"),
    ],
)
def test_voc2coco_wrong_use(voc, tmp_path, capsys, flags, what):
    assert main(["voc2coco", str(voc), "-o", str(tmp_path / "out"), *flags]) == 2
    assert what in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_broken_file_leaves_no_result(voc, tmp_path, capsys):
    (voc / "annotations" / "3.xml").write_text("<annotation>")
    assert main(["voc2coco", str(voc), "-o", str(tmp_path / "out")]) == 2
    assert "3.xml: file: expected Pascal VOC XML" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["voc"]


def test_unknown_conversions_and_help(capsys):
    assert main(["voc2cocoo"]) == 2
    assert "did you mean voc2coco?" in capsys.readouterr().err
    assert main([]) == 2
    assert main(["--help"]) == 0
    assert main(["voc2coco", "--help"]) == 0
    assert "--val-every" in capsys.readouterr().out


def test_help_imports_neither_torch_nor_mmengine():
    code = (
        "import sys; from visionzoo.cli.convert import main; main(['voc2coco', '--help']);"
        "sys.exit(bool({'torch', 'mmengine', 'cv2', 'mmcv'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


# --- checkpoints ---


@pytest.fixture
def released(tmp_path):
    """Return the weights of our neck under the authors' names, inside an mmdet 2.x checkpoint."""
    from visionzoo.necks.rcnet import RCNet

    neck = RCNet(in_channels=[16, 32, 64], out_channels=32, num_outs=4)
    state = {f"neck.{name}": value for name, value in neck.state_dict().items()}
    state["backbone.conv1.weight"] = torch.ones(2, 3)
    path = tmp_path / "released.pth"
    torch.save({"meta": {"epoch": 12}, "state_dict": state}, path)
    return path, state


def test_checkpoint_becomes_safetensors(released, tmp_path, capsys):
    source, state = released
    out = tmp_path / "new" / "ours.safetensors"
    assert main(["checkpoint", str(source), str(out), "--from", "rcnet"]) == 0
    tensors = load_file(out)
    assert set(tensors) == set(state)
    assert all(torch.equal(tensors[name], state[name]) for name in state)
    assert f"{len(state)} tensors" in capsys.readouterr().err


def test_the_help_of_checkpoint_lists_the_converters(capsys):
    from visionzoo.converters import CONVERTERS

    assert main(["checkpoint", "--help"]) == 0
    assert f"whose tensor names IN has: {', '.join(CONVERTERS.names())}" in " ".join(capsys.readouterr().out.split())


def test_checkpoint_wrong_use(released, tmp_path, capsys):
    source, _ = released
    out = tmp_path / "ours.safetensors"
    cases = [
        ([str(source), str(out), "--from", "rcnett"], "no converter is called 'rcnett'; did you mean 'rcnet'"),
        ([str(source), str(tmp_path / "ours.pth"), "--from", "rcnet"], "ends with .safetensors"),
        ([str(tmp_path / "none.pth"), str(out), "--from", "rcnet"], "none.pth"),
    ]
    for args, what in cases:
        assert main(["checkpoint", *args]) == 2
        assert what in capsys.readouterr().err
        assert not out.exists()
    out.write_bytes(b"mine")
    assert main(["checkpoint", str(source), str(out), "--from", "rcnet"]) == 2
    assert out.read_bytes() == b"mine"


# --- checkpoints of classifiers ---


def classifier_file(backbone, path, classes=5):
    """Write a backbone's weights under the names of BossNet's and DiNAT's authors, with a linear layer."""
    channels = backbone.out_channels[-1]
    state = dict(backbone.state_dict())
    head = {"weight": torch.rand(classes, channels), "bias": torch.rand(classes)}
    if any(name.startswith("norm3") for name in state):
        state = {name.replace("norm3.", "norm."): value for name, value in state.items()}
        state |= {f"head.{name}": value for name, value in head.items()}
    else:
        state |= {f"fc.{name}": value for name, value in head.items()}
    torch.save({"model": state}, path)
    return path, head


@pytest.mark.parametrize(
    ("config", "name"), [("bossnet_t0_imagenet", "BossNet-T0-80_8.pth"), ("nat_mini_imagenet", "nat_mini.pth")]
)
def test_a_classifier_loads_whole(config, name, tmp_path):
    from visionzoo.zoo import get_model

    model = get_model(config, num_classes=5)
    source, head = classifier_file(model.backbone, tmp_path / name)
    out = tmp_path / "ours.safetensors"
    assert (
        main(["checkpoint", str(source), str(out), "--from", config.split("_")[0].replace("nat", "dinat"), "-q"]) == 0
    )
    loaded = get_model(config, weights=out, num_classes=5)
    assert torch.equal(loaded.head.fc.weight, head["weight"])
    expected = model.backbone.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.backbone.state_dict().items())


def test_a_single_backbone_starts_a_detector(tmp_path, capsys):
    from visionzoo.backbones.dinat import DiNAT

    torch.manual_seed(0)
    backbone = DiNAT("tiny", out_indices=(3,))
    source, _ = classifier_file(backbone, tmp_path / "model.pth")
    out = tmp_path / "backbone.safetensors"
    given = ["checkpoint", str(source), str(out), "--from", "dinat", "--as", "backbone", "--set", "keep_norm=false"]
    assert main([*given, "variant=dinat_mini"]) == 2
    assert "model.pth: checkpoint: expected weights of dinat_mini, found those of tiny" in capsys.readouterr().err
    assert not out.exists()
    assert main(given) == 0
    detector = DiNAT("tiny", init_cfg=dict(type="Pretrained", checkpoint=str(out)))
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("visionzoo"):
        detector.init_weights()
    assert torch.equal(detector.levels[2].blocks[0].attn.rpb, backbone.levels[2].blocks[0].attn.rpb)
    assert not any(name.startswith("norm3") for name in load_file(out))


def test_checkpoints_that_a_converter_refuses(tmp_path, capsys):
    from visionzoo.backbones.bossnet import BossNet

    source, _ = classifier_file(BossNet("T0"), tmp_path / "released.pth")
    out = str(tmp_path / "ours.safetensors")
    cases = [
        ([str(source), out, "--from", "bossnet"], "released.pth: checkpoint: expected the variant, because"),
        ([str(source), out, "--from", "bossnet", "--set", "variant=T0_nose"], "expected BossNet-T0_nose"),
        (
            [str(source), out, "--from", "bossnet", "--set", "varant=T0"],
            "--set varant: expected an option of this converter, found none; did you mean 'variant'?",
        ),
        ([str(source), out, "--from", "bossnet", "--as", "detector"], "--as detector: expected one of backbone, class"),
        (
            [str(source), out, "--from", "rcnet", "--as", "classifier"],
            "--as classifier: expected one of backbone, det",
        ),
        ([str(tmp_path / "none.npz"), out, "--from", "nasnet"], "none.npz: expected a checkpoint, found no such file"),
    ]
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    cases.append(([str(tmp_path / "broken.npz"), out, "--from", "nasnet"], "broken.npz: expected a checkpoint"))
    for args, what in cases:
        assert main(["checkpoint", *args]) == 2
        assert what in capsys.readouterr().err
        assert not Path(out).exists()


def test_the_variant_is_stated_and_compared(tmp_path, capsys):
    """NAT and DiNAT have equal tensors, so only the header prevents an exchange."""
    from visionzoo.errors import CheckpointError
    from visionzoo.zoo import get_model

    source, _ = classifier_file(get_model("nat_mini_imagenet", num_classes=5).backbone, tmp_path / "nat_mini.pth")
    out = tmp_path / "ours.safetensors"
    assert main(["checkpoint", str(source), str(out), "--from", "dinat"]) == 0
    assert "for DiNAT of variant nat_mini" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match=r"found those of nat_mini.*model\.backbone\.variant=nat_mini"):
        get_model("dinat_mini_imagenet", weights=out, num_classes=5)


@pytest.mark.parametrize(
    ("network", "given", "found"),
    [
        ("resnet18", ["bossnet", "--set", "variant=T0"], "expected BossNet-T0, with squeeze and excitation"),
        ("resnet18", ["bossnet"], "expected the tensors of BossNet-T0_nose, found layer"),
        ("resnet18", ["vgg"], "expected torchvision's VGG"),
        ("vgg11", ["hmode"], "expected HMoDE"),
        ("mobilenet_v2", ["vgg"], "expected torchvision's VGG"),
    ],
)
def test_networks_of_other_systems_are_refused(network, given, found, tmp_path, capsys):
    import torchvision

    with torch.device("meta"):
        own = getattr(torchvision.models, network)().state_dict()
    torch.save({name: torch.zeros(value.shape) for name, value in own.items()}, tmp_path / "w.pth")
    out = tmp_path / "ours.safetensors"
    assert main(["checkpoint", str(tmp_path / "w.pth"), str(out), "--from", *given]) == 2
    error = capsys.readouterr().err
    assert found in error
    assert not out.exists()


@pytest.fixture
def vgg11():
    from visionzoo.backbones.vgg import VGG

    return VGG("11").state_dict()


def test_archives_of_arrays_by_their_bytes(vgg11, tmp_path, capsys):
    import numpy as np

    out = tmp_path / "ours.safetensors"
    command = ["--from", "vgg", "--overwrite"]
    np.savez(tmp_path / "big.npz", **{name: value.numpy().astype(">f4") for name, value in vgg11.items()})
    (tmp_path / "named.pth").write_bytes((tmp_path / "big.npz").read_bytes())
    for name in ("big.npz", "named.pth"):
        assert main(["checkpoint", str(tmp_path / name), str(out), *command]) == 0
        assert all(torch.equal(value, vgg11[name]) for name, value in load_file(out).items())
    np.save(tmp_path / "one.npy", np.ones(3))
    np.savez(tmp_path / "text.npz", a=np.array(["x"]))
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    (tmp_path / "one.npz").write_bytes((tmp_path / "one.npy").read_bytes())
    (tmp_path / "cut.npz").write_bytes((tmp_path / "big.npz").read_bytes()[:5000])
    capsys.readouterr()
    for name in ("one.npz", "text.npz", "objects.npz", "cut.npz"):
        assert main(["checkpoint", str(tmp_path / name), str(out), *command]) == 2
        assert f"{name}: " in capsys.readouterr().err


def test_tensors_that_share_memory_and_wrong_shapes(vgg11, tmp_path, capsys):
    shared = {**vgg11, "features.8.bias": vgg11["features.6.bias"]}
    torch.save(shared, tmp_path / "shared.pth")
    out = tmp_path / "ours.safetensors"
    assert main(["checkpoint", str(tmp_path / "shared.pth"), str(out), "--from", "vgg"]) == 0
    assert torch.equal(load_file(out)["features.8.bias"], vgg11["features.6.bias"])
    for name, value in (("features.0.weight", torch.zeros(64, 3, 5, 5)), ("features.99.weight", torch.zeros(2))):
        torch.save({**vgg11, name: value}, tmp_path / "wrong.pth")
        assert main(["checkpoint", str(tmp_path / "wrong.pth"), str(out), "--from", "vgg", "--overwrite"]) == 2
        assert f"the tensors of VGG 11, found {name}" in capsys.readouterr().err
