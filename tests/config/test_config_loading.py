"""Loading configs by name or path: bases, ``tiny``, helper variables, broken files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from visionzoo.config import config_names, find_config, load_config
from visionzoo.config.files import headlines
from visionzoo.errors import ConfigError, UnknownName


def values_of(path: Path, **kwargs):
    return load_config(path, **kwargs).cfg.to_dict()


def test_child_merges_into_its_bases_and_origins_name_the_files(write, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    write("_base_/data.py", "train_dataloader = dict(batch_size=2, num_workers=4)\n")
    write("_base_/run.py", "log_level = 'INFO'\n")
    path = write("a.py", "_base_ = ['_base_/data.py', '_base_/run.py']\ntrain_dataloader = dict(batch_size=8)\n")
    loaded = load_config(path)
    assert loaded.cfg.to_dict() == {"train_dataloader": {"batch_size": 8, "num_workers": 4}, "log_level": "INFO"}
    assert loaded.origins["train_dataloader.batch_size"] == "a.py"
    assert loaded.origins["train_dataloader.num_workers"] == "_base_/data.py"
    assert loaded.origins["log_level"] == "_base_/run.py"
    assert (loaded.name, loaded.path) == ("a", path)


def test_dict_of_another_type_replaces_the_old_one(write):
    write("base.py", "optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9), type='OptimWrapper')\n")
    path = write("a.py", "_base_ = 'base.py'\noptim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3))\n")
    loaded = load_config(path)
    assert loaded.cfg.optim_wrapper.to_dict() == {"optimizer": {"type": "AdamW", "lr": 1e-3}, "type": "OptimWrapper"}
    assert "optim_wrapper.optimizer.momentum" not in loaded.origins


def test_delete_mark_replaces_and_does_not_stay(write):
    write("base.py", "model = dict(type='A', train_cfg=dict(x=1, y=2))\n")
    path = write("a.py", "_base_ = 'base.py'\nmodel = dict(train_cfg=dict(_delete_=True, z=3))\n")
    assert values_of(path) == {"model": {"type": "A", "train_cfg": {"z": 3}}}


def test_values_that_serve_others_are_not_part_of_the_config(write):
    write(
        "base.py",
        "size = (64, 96)\nimport os\ntrain_dataloader = dict(dataset=dict(scale=size, sep=os.sep))\nextra = 3\n",
    )
    path = write("a.py", "_base_ = 'base.py'\nval_dataloader = dict(dataset=dict(scale=_base_.extra))\n")
    assert set(values_of(path)) == {"train_dataloader", "val_dataloader"}


def test_unused_unknown_key_stays_for_the_check(write):
    assert "optim_wraper" in values_of(write("a.py", "optim_wraper = dict(type='OptimWrapper')\n"))


def test_two_users_of_one_helper_do_not_share_it(write):
    path = write("a.py", "p = [dict(type='A', x=1)]\ntrain_dataloader = dict(d=p)\nval_dataloader = dict(d=p)\n")
    cfg = load_config(path, options=["train_dataloader.d.0.x=2"]).cfg
    assert (cfg.train_dataloader.d[0].x, cfg.val_dataloader.d[0].x) == (2, 1)


def test_tiny_merges_replaces_types_and_is_removed(write):
    write("base.py", "train_cfg = dict(type='E', max_epochs=12)\ntiny = dict(train_cfg=dict(max_epochs=2))\n")
    path = write(
        "a.py",
        "_base_ = 'base.py'\nmodel = dict(type='M', backbone=dict(type='R', depth=50), neck=dict(type='N', c=[1, 2]))\n"
        "tiny = dict(model=dict(backbone=dict(type='T', width=8), neck=dict(c=[3])))\n",
    )
    loaded = load_config(path, tiny=True)
    assert loaded.cfg.to_dict() == {
        "train_cfg": {"type": "E", "max_epochs": 2},
        "model": {"type": "M", "backbone": {"type": "T", "width": 8}, "neck": {"type": "N", "c": [3]}},
    }
    assert loaded.origins["train_cfg.max_epochs"] == loaded.origins["model.backbone.type"] == "--tiny"
    assert (loaded.notes, loaded.replaced) == ([], {})
    assert "tiny" not in values_of(path)


def test_tiny_without_a_tiny_part_is_an_error(write):
    with pytest.raises(ConfigError, match=r"a\.py: expected a key `tiny`"):
        load_config(write("a.py", "log_level = 'INFO'\n"), tiny=True)


def test_work_dir_config_keeps_its_name(write):
    path = write("work_dirs/rcnet_retinanet/config.py", "log_level = 'INFO'\n")
    assert load_config(path).name == "rcnet_retinanet"
    path.write_text("experiment_name = 'other'\n")
    assert load_config(path).name == "other"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a = dict(\n", ":1", "syntax error"),
        ("x = 1\nmodel = dict(depth=unknown)\n", ":2", "NameError"),
        ("def f():\n    return 1 / 0\n\nmodel = f()\n", ":2", "ZeroDivisionError"),
        ("raise SystemExit(3)\n", ":1", "SystemExit"),
        ("_base_ = ['nowhere.py']\n", ":1", "no file nowhere.py"),
        ("_base_ = ['mmdet::_base_/x.py']\n", ":1", "copy its values"),
        ("_base_ = [1]\n", ":1", "list of file names"),
        ("import os\n_base_ = [os.sep]\n", ":2", "list of file names"),
        ("_base_ = ['loop.py']\n", "a.py", "a file that is its own base"),
        ("_base_ = ['one.py', 'two.py']\n", "a.py", "'log_level' in both one.py and two.py"),
        ("model = dict(x={{_base_.y}})\n", ":1", "template"),
        ("from mmengine.config import read_base\nwith read_base():\n    pass\n", ":2", "text config"),
        ("import collections\nmodel = dict(type=collections.OrderedDict)\n", "a.py", "model.type: expected None"),
        ("filename = 'x'\n", "a.py", "reserved"),
        ("x = 1\nmodel = {'a': 1, 'b': {3: 1, 3: 2}}\n", ":2", "expected each key of a dict once, found 3 twice"),
        ("import nowhere_at_all\n", ":1", "ModuleNotFoundError"),
    ],
)
def test_broken_file_is_named_with_its_line(write, monkeypatch, tmp_path, text, line, says):
    monkeypatch.chdir(tmp_path)
    write("one.py", "log_level = 'INFO'\n")
    write("two.py", "log_level = 'DEBUG'\n")
    write("loop.py", "_base_ = ['a.py']\n")
    with pytest.raises(ConfigError) as caught:
        load_config(write("a.py", text))
    message = str(caught.value)
    assert message.startswith(f"a.py{line}:" if line.startswith(":") else f"{line}:"), message
    assert says in message
    assert "\n" not in message


def test_bases_have_bases(write):
    write("data.py", "data_root = 'here'\ntrain_cfg = dict(max_epochs=2, val_interval=1)\nuse = data_root\n")
    write("mine.py", "_base_ = ['data.py']\ntask = 'lanes'\ntrain_cfg = dict(max_epochs=3)\n")
    path = write("a.py", "_base_ = ['mine.py']\nwork_dir = _base_.data_root\n")
    loaded = load_config(path)
    assert loaded.cfg.train_cfg == dict(max_epochs=3, val_interval=1)
    assert loaded.cfg.work_dir == "here"
    sources = [Path(loaded.origins[key]).name for key in ("train_cfg.max_epochs", "train_cfg.val_interval", "task")]
    assert sources == ["mine.py", "data.py", "mine.py"]


def test_released_config_and_run_as_base(write):
    write("run/config.py", "task = 'lanes'\nexperiment_name = 'first'\n")
    write("run/run.json", "{}")
    assert load_config(write("a.py", "_base_ = ['run']\nlog_level = 'DEBUG'\n")).cfg.task == "lanes"
    detector = load_config(write("b.py", "_base_ = ['rcnet_retinanet']\nmodel = dict(neck=dict(num_outs=4))\n"))
    assert detector.cfg.model.neck == dict(load_config("rcnet_retinanet").cfg.model.neck, num_outs=4)
    assert load_config(write("b.py", "_base_ = ['rcnet_retinanet']\n"), tiny=True).cfg.model.backbone.depth == 18


def test_folder_of_a_run_is_a_config(write):
    path = write("run/config.py", "task = 'lanes'\nexperiment_name = 'first'\n")
    assert load_config(path.parent).run is None
    write("run/run.json", "{}")
    loaded = load_config(path.parent)
    assert (loaded.name, loaded.run) == ("first", path.parent)
    with pytest.raises(ConfigError, match="a key `tiny`"):
        load_config(path.parent, tiny=True)
    write("run/run.json", '{"tiny": true}')
    assert load_config(path.parent, tiny=True).cfg.task == "lanes"


def test_bytes_that_are_not_text(tmp_path):
    path = tmp_path / "a.py"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(path)


def test_wrong_places(tmp_path, write):
    with pytest.raises(ConfigError, match="found a folder without it"):
        find_config(tmp_path)
    weights = write("run/iter_40.pth", "")
    with pytest.raises(ConfigError, match=r"found weights without it; name the model, and use --weights .*run$"):
        find_config(weights.parent)
    with pytest.raises(ConfigError, match=r"found a file of weights; name the model, and use --weights .*iter_40.pth$"):
        find_config(weights)
    write("run/config.py", "")
    with pytest.raises(ConfigError, match=r"name .*/run, and use --weights .*/iter_40.pth$"):
        find_config(weights)
    with pytest.raises(ConfigError, match="expected a Python file"):
        find_config(write("a.yaml", ""))
    write("mine.py", "")
    with pytest.raises(ConfigError, match=r"did you mean .*mine\.py"):
        find_config(tmp_path / "mime.py")


def test_unknown_name_suggests(monkeypatch):
    monkeypatch.setattr("visionzoo.config.files.config_names", lambda: ["rcnet_retinanet", "fpn_retinanet"])
    with pytest.raises(UnknownName) as caught:
        find_config("rcnet_retinnet")
    assert "did you mean 'rcnet_retinanet'? (visionzoo list shows all 2)" in str(caught.value)


def test_a_path_that_does_not_exist_names_the_runs_beside_it(tmp_path):
    (tmp_path / "scnn_tusimple").mkdir()
    with pytest.raises(ConfigError, match=r"folder of a run.*, found none; did you mean .*/scnn_tusimple\?"):
        find_config(tmp_path / "scnn_tusimpel")
    with pytest.raises(ConfigError, match=r"found none; .* has scnn_tusimple"):
        find_config(tmp_path / "x")
    with pytest.raises(ConfigError, match=r"found none; .*/y does not exist either; check the path"):
        find_config(tmp_path / "y" / "x")


def test_loading_imports_no_torch(write):
    path = write("a.py", "model = dict(type='mmdet.RetinaNet', neck=dict(type='RCNet', num_outs=5))\n")
    code = (
        "import sys\nfrom visionzoo.config import load_config\n"
        f"load_config({str(path)!r}, options=['model.neck.num_outs=4'])\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", config_names())
def test_released_config_loads_with_and_without_tiny(name):
    assert load_config(name).name == name
    assert load_config(name, tiny=True).cfg.to_dict() != load_config(name).cfg.to_dict()


def test_a_systems_name_is_a_short_name_of_its_headline():
    assert headlines() == {
        "coconut": "mask2former_r50_coconut",
        "connnet": "connnet_r50",
        "direct": "direct_registration",
        "efficientnet_lite0": "efficientnet_lite0_imagenet",
        "gconet_plus": "gconet_plus_vgg16bn",
        "hmode": "hmode_shanghaitech_a",
        "icnet": "icnet_ixi",
        "lavt": "lavt_refcoco",
        "micdir": "micdir_ixi",
        "scnn": "scnn_culane",
        "voxelmorph": "voxelmorph_oasis",
        "wico": "wico_lavt_refcoco",
    }
    assert find_config("scnn").stem == "scnn_culane"
    assert load_config("hmode").name == "hmode_shanghaitech_a"
    with pytest.raises(UnknownName):
        find_config("rcnet")  # no card of RCNet has headline: true
