"""The short options on the command line: help, conflicts, the lines about what was set, own data."""

from __future__ import annotations

import subprocess
import sys

import pytest

from visionzoo.cli import main

FLAGS = (
    "--data",
    "--epochs",
    "--batch-size",
    "--lr",
    "--image-size",
    "--workers",
    "--classes",
    "--num-classes",
    "--freeze",
    "--linear-probe",
    "--layer-decay",
    "--head-lr-multiplier",
    "--early-stop",
    "--patience",
)


def shown(capsys, *words):
    """Return exit code, stdout and stderr of ``config show``, which takes the same options as ``train``."""
    code = main(["config", "show", *words])
    return (code, *capsys.readouterr())


@pytest.mark.parametrize(
    ("command", "flags"), [("train", FLAGS), ("test", ("--data", "--batch-size", "--image-size", "--workers"))]
)
def test_help_has_them_in_a_group(capsys, command, flags):
    assert main([command, "--help"]) == 0
    group = capsys.readouterr().out.partition("short options:")[2]
    assert all(f"{flag} " in group for flag in flags)
    assert command == "train" or "--epochs" not in group


def test_help_is_free_of_torch():
    code = "import sys; from visionzoo.cli import main; main(['train', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_each_option_is_one_line(capsys):
    code, out, err = shown(capsys, "fpn_retinanet", "--epochs", "24", "--lr", "0.001", "--image-size", "400")
    assert code == 0
    assert err.splitlines()[:2] == [
        "--epochs 24: train_cfg.max_epochs=24",
        "--lr 0.001: optim_wrapper.optimizer.lr=0.001, auto_scale_lr.enable=False",
    ]
    assert "schedule: 12 -> 24 epochs, milestones 8, 11 -> 16, 22" in err
    assert "milestones=[16, 22]" in out
    assert "scale=(666, 400)" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--lr", "0.1", "--cfg-options", "optim_wrapper.optimizer.lr=0.2"), "expected one value, found 0.2 and 0.1"),
        (("--epochs", "two"), "argument --epochs: invalid int value: 'two'"),
        (("--epochs", "1.5"), "argument --epochs: invalid int value: '1.5'"),
        (("--image-size", "big"), "--image-size: expected N or H,W"),
        (("--data", "/no/such/folder"), "/no/such/folder: "),
    ],
)
def test_wrong_use_is_one_line(capsys, words, says):
    code, out, err = shown(capsys, "fpn_retinanet", *words)
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 1


def test_own_data_with_other_options(capsys):
    from visionzoo.datasets.tiny import resolve_data_root

    folder = str(resolve_data_root("tiny://coco?train=4&val=2&size=64"))
    words = ("--data", folder, "--image-size", "96", "--classes", "star,disc", "--epochs", "2")
    code, out, err = shown(capsys, "fpn_retinanet", "--tiny", *words)
    assert code == 0, err
    assert err.startswith(f"{folder}: COCO json, 6 images")
    assert "classes=['star', 'disc']" in out
    assert "scale=(119, 96)" in out
