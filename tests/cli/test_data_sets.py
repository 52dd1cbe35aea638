"""Missing folders of data are reported before torch is imported, and ``--allow-outside`` reaches the data sets."""

import subprocess
import sys

import pytest

from visionzoo.cli import main
from visionzoo.cli.data_sets import allow_outside, require_data_folders
from visionzoo.config import load_config
from visionzoo.errors import ConfigError, DataError

CHECK = """
import sys
from visionzoo.cli import main
code = main(sys.argv[1:])
print(code, sorted({"torch", "mmdet", "mmcv"} & set(sys.modules)))
"""


@pytest.mark.parametrize("command", [["train"], ["test", "--weights", "none.pth"]])
@pytest.mark.parametrize("name", ["fpn_retinanet", "gconet_plus_vgg16bn"])
def test_missing_folders_are_reported_before_torch_is_imported(tmp_path, command, name):
    words = [sys.executable, "-c", CHECK, command[0], name, *command[1:]]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "2 []\n", done.stderr
    assert "no such folder (in" in done.stderr
    assert "--tiny" in done.stderr


def test_one_message_has_all_splits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = r"^data/coco: expected the data of fpn_retinanet \(train, val, test\), found no such folder \(in .*\); see"
    with pytest.raises(DataError, match=words):
        require_data_folders(load_config("fpn_retinanet"), ["train", "val"])
    options = {"val_dataloader.dataset.data_root": "mine/val", "test_dataloader.dataset.data_root": "mine/val"}
    loaded = load_config("fpn_retinanet", options=options)
    words = r"found no folder data/coco \(train\), mine/val \(val, test\); see"
    with pytest.raises(DataError, match=words):
        require_data_folders(loaded, ["train", "val"])
    (tmp_path / "mine" / "vall").mkdir(parents=True)
    (tmp_path / "data" / "coco").mkdir(parents=True)
    with pytest.raises(
        DataError, match=r"mine/val: .*\(val, test\), found no such folder .*; did you mean mine/vall\?"
    ):
        require_data_folders(loaded, ["val"])
    require_data_folders(loaded, ["train"])


def test_files_outside_are_allowed_in_all_data_sets():
    loaded = load_config("fpn_retinanet")
    allow_outside(loaded)
    for split in ("train", "val", "test"):
        assert loaded.cfg[f"{split}_dataloader"].dataset.allow_outside is True
    assert loaded.origins["val_dataloader.dataset.allow_outside"] == "--allow-outside"


def test_data_sets_without_such_files_are_named():
    with pytest.raises(ConfigError, match="--allow-outside: expected a data set with allow_outside, found CIFAR10"):
        allow_outside(load_config(next(iter(cifar_configs()))))


def cifar_configs():
    from visionzoo.config import config_names

    return [name for name in config_names() if "cifar10" in name and "cifar100" not in name]


@pytest.mark.parametrize("command", ["train", "test"])
def test_the_option_is_in_the_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert "--allow-outside" in capsys.readouterr().out
