"""``visionzoo config show | diff | check``, and the text of a saved config."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from visionzoo.cli import main
from visionzoo.config import config_names, config_text, load_config

ODD = """
train_dataloader = dict(sizes=(3,), empty={}, nothing=[], both=[(1, 2), [dict(a=1)]], inf=float("inf"))
model = dict(type="it's", text='a "quote"\\nline', table={0: "zero", "two words": 2, "class": 3}, none=None)
"""


@pytest.mark.parametrize("tiny", [False, True])
@pytest.mark.parametrize("name", config_names())
def test_saved_text_of_a_released_config_loads_to_an_equal_one(name, tiny, write):
    first = load_config(name, tiny=tiny)
    again = load_config(write("work/config.py", config_text(first.cfg)))
    assert again.cfg.to_dict() == first.cfg.to_dict()
    assert config_text(again.cfg) == config_text(first.cfg)


@pytest.mark.parametrize("name", config_names())
def test_mmengine_dump_of_a_released_config_loads_to_an_equal_one(name, tmp_path):
    first = load_config(name)
    first.cfg.dump(tmp_path / "config.py")
    assert load_config(tmp_path / "config.py").cfg.to_dict() == first.cfg.to_dict()


def test_odd_values_survive_with_their_types(write):
    first = load_config(write("odd.py", ODD))
    again = load_config(write("again.py", config_text(first.cfg, first.origins)))
    assert repr(again.cfg.to_dict()) == repr(first.cfg.to_dict())


def test_show_names_the_origin_of_each_value(detector, capsys):
    options = ["model.backbone.type=timm.resnet18", "train_cfg.max_epochs=3"]
    assert main(["config", "show", str(detector), "--origin", "--cfg-options", *options]) == 0
    shown = capsys.readouterr()
    rows = {line.split("#")[0].strip(): line.partition("# ")[2] for line in shown.out.splitlines()}
    assert rows["max_epochs=3,"] == "--cfg-options"
    assert rows["type='EpochBasedTrainLoop',"] == "d.py"
    assert rows["backbone=dict(type='timm.resnet18'),"] == "--cfg-options"
    assert shown.err.startswith("model.backbone: mmdet.ResNet -> timm.resnet18, dropped depth")


def test_show_as_json(detector, capsys):
    assert main(["config", "show", str(detector), "--json", "--origin"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["config"]["model"]["neck"]["num_outs"] == 5
    assert shown["origins"]["model.neck.num_outs"] == "d.py"


def test_diff_shows_the_changes(write, capsys):
    one = write("one.py", "log_level = 'INFO'\nmodel = dict(type='A', x=1, neck=dict(type='N', k=2))\n")
    two = write("two.py", "resume = True\nmodel = dict(type='A', x=1.5, neck=dict(type='M'))\n")
    assert main(["config", "diff", str(one), str(two)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "- log_level = 'INFO'",
        "~ model.neck: dict(type='N', k=2) -> dict(type='M')",
        "~ model.x: 1 -> 1.5",
        "+ resume = True",
    ]
    assert main(["config", "diff", str(one), str(one)]) == 0
    assert "are equal" in capsys.readouterr().out
    assert main(["config", "diff", str(one), str(two), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"]["model.x"] == [1, 1.5]


def test_check_exit_codes_and_lines(detector, write, capsys):
    assert main(["config", "check", str(detector)]) == 0
    assert capsys.readouterr().out == f"{detector}: ok\n"
    wrong = write("wrong.py", detector.read_text().replace("num_outs", "num_out"))
    broken = write("broken.py", "model = dict(\n")
    assert main(["config", "check", str(detector), str(wrong), str(broken)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{wrong}: 1 problem"
    assert lines[2].startswith(
        '  - wrong.py: model.neck.num_out: FPN has no argument "num_out"; did you mean num_outs?'
    )
    assert lines[4].startswith("  - broken.py:1: expected valid Python")
    assert main(["config", "check", "no_such_config"]) == 2
    assert "no config is called 'no_such_config'" in capsys.readouterr().err


def test_check_prints_only_json(detector):
    command = [sys.executable, "-m", "visionzoo", "config", "check", str(detector), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {str(detector): []}


def test_check_reports_problems_of_the_tiny_variant(detector, capsys):
    detector.write_text(detector.read_text() + "\ntiny = dict(model=dict(neck=dict(num_out=3)))\n")
    assert main(["config", "check", str(detector)]) == 1
    assert "--tiny: model.neck.num_out: FPN" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        ([], 2, ""),
        (["--help"], 0, ""),
        (["show", "--help"], 0, ""),
        (["shwo"], 2, "did you mean show?"),
        (["show"], 2, "required: config"),
        (["show", "rcnet_retinnet"], 2, "did you mean 'rcnet_retinanet'?"),
    ],
)
def test_wrong_use(argv, code, says, capsys):
    assert main(["config", *argv]) == code
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv", [["show", "{}", "--origin", "--cfg-options", "model.neck.num_outs=4"], ["diff", "{}", "{}"]]
)
def test_show_and_diff_import_no_torch(detector, argv):
    argv = [word.format(detector) for word in argv]
    code = f"import sys; from visionzoo.cli import main; main({['config', *argv]!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_help_imports_no_mmengine():
    show_help = "from visionzoo.cli import main; main(['config', 'show', '--help'])"
    code = f"import sys; {show_help}; sys.exit('mmengine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
