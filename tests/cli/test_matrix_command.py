"""``visionzoo matrix``: options, exit codes, and parts of plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from visionzoo.cli.matrix import main

ONE = ["--backbone", "BossNet", "--neck", "no neck", "--head", "ClassificationHead"]


def test_one_cell_is_written_printed_and_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out, page = tmp_path / "m.jsonl", tmp_path / "page.md"
    page.write_text("before\n<!-- matrix -->\n<!-- /matrix -->\nafter\n")
    assert main([*ONE, "-o", str(out), "--markdown", str(page)]) == 0
    printed = capsys.readouterr()
    assert "1 cell: 1 works, 0 refused, 0 failed" in printed.out
    assert "BossNet | no neck | ClassificationHead" in printed.err
    assert "| ClassificationHead | no neck | + |" in page.read_text()
    written = out.read_text()
    assert main([*ONE, "-o", str(out), "--json"]) == 0
    assert out.read_text() == written
    assert json.loads(capsys.readouterr().out)["BossNet | no neck | ClassificationHead"]["status"] == "works"


def test_a_failed_cell_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "m.jsonl"
    failed = {"cell": "BossNet | no neck | ClassificationHead", "status": "failed", "reason": "x", "seconds": 1}
    out.write_text(json.dumps(failed) + "\n")
    assert main([*ONE, "-o", str(out), "-q"]) == 1
    assert "1 failed" in capsys.readouterr().out
    assert main([*ONE, "-o", str(out), "-q", "--retry-failed"]) == 0


def test_cells_are_listed_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "m.jsonl"
    assert main([*ONE, "-o", str(out), "--list"]) == 0
    assert capsys.readouterr().out == "BossNet | no neck | ClassificationHead\n"
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backbone", "BosNet"], "did you mean 'BossNet'"),
        (["--part", "3/2"], "--part: expected K/N"),
        (["--workers", "0"], "--workers: expected 1 or more"),
        (
            ["--markdown", "no_page.md"],
            "expected a page with <!-- matrix --> and <!-- /matrix -->, found no file no_page",
        ),
        (["--markdown", "page.md"], "--markdown: expected a page with the lines <!-- matrix --> and"),
        (["-o", "."], "--out: expected a file"),
    ],
)
def test_wrong_use_is_exit_code_2(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.md").write_text("a page without markers")
    assert main([*words, "--list"]) == 2
    assert message in capsys.readouterr().err


def test_a_file_of_outcomes_below_a_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "file").touch()
    assert main([*ONE, "-o", str(tmp_path / "file" / "sub" / "m.jsonl")]) == 2
    assert "m.jsonl: expected a place that can be written, but a part of the path is a file" in capsys.readouterr().err


PARTS = '''
"""A backbone of two maps, and a head with a layer that it never uses."""

from torch import nn

from visionzoo.heads.classification import ClassificationHead
from visionzoo.registry import MODELS


@MODELS.register_module()
class ToyTrunk(nn.Module):
    """Two maps of strides 4 and 8."""

    VARIANTS = {"tiny": 4}

    def __init__(self, variant="tiny"):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 8, 2, 2)
        self.out_channels, self.out_strides = (4, 8), (4, 8)

    def forward(self, image):
        first = self.first(image)
        return first, self.second(first)
'''
HEAD = (
    PARTS.partition("@MODELS")[0]
    + '''
@MODELS.register_module()
class ToySpareHead(ClassificationHead):
    """A classifier with a layer that it never uses."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.spare = nn.Linear(2, 2)
'''
)
CONFIG = """
_base_ = ["_base_/imagenet_classification.py", "_base_/schedule_nasnet.py", "_base_/runtime.py"]
task = "classification"
model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", mean=[127.0] * 3, std=[128.0] * 3),
    backbone=dict(type="ToyTrunk"),
    head=dict(type="ToySpareHead"),
)
tiny = dict(model=dict(backbone=dict(variant="tiny")))
"""


def test_parts_of_a_plugin_take_part(tmp_path: Path) -> None:
    """The backbone of a plugin works with heads of the zoo; its head, which has a mistake, is a failure."""
    package, info = tmp_path / "toy_parts", tmp_path / "toy_parts-1.0.dist-info"
    files = {"__init__.py": "", "backbones.py": PARTS, "heads.py": HEAD, "configs/toy_spare.py": CONFIG}
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy_parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[visionzoo.plugins]\ntoy = toy_parts\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    words = ["--backbone", "ToyTrunk", "--neck", "no neck", "--head", "HMoDE*", "Toy*", "--json", "-q"]
    command = [sys.executable, "-m", "visionzoo", "matrix", *words, "-o", "m.jsonl"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    outcomes = {key.rpartition(" | ")[2]: outcome for key, outcome in json.loads(done.stdout).items()}
    assert outcomes["HMoDEHead"]["status"] == "works"
    assert outcomes["ToySpareHead"]["status"] == "failed"
    assert "head.spare.weight" in outcomes["ToySpareHead"]["reason"]
