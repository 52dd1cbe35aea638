"""The command line uses an installed plugin; each command runs in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import visionzoo

ROOT = Path(visionzoo.__file__).resolve().parents[1]


def run(site, *args):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    command = [sys.executable, "-m", "visionzoo", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.mark.parametrize(
    ("args", "output"),
    [
        (["list", "toy"], "toy_retinanet"),
        (["show", "toy"], "name: toy_retinanet"),
        (["config", "check", "toy_retinanet"], ""),
        (["cards", "verify", "toy_retinanet"], "toy_retinanet"),
    ],
)
def test_commands_see_it(toy_site, args, output):
    done = run(toy_site, *args)
    assert done.returncode == 0, done.stdout + done.stderr
    assert output in done.stdout


def test_a_converter_of_it(toy_site, tmp_path):
    import torch
    from safetensors.torch import load_file

    source, out = tmp_path / "theirs.pth", tmp_path / "ours.safetensors"
    torch.save({"w": torch.ones(2)}, source)
    options = ["--from", "toy", "--set", "width=3", "--json"]
    done = run(toy_site, "convert", "checkpoint", str(source), str(out), *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tensors"] == 1
    assert load_file(out)["head.w"].tolist() == [3, 3]


def test_one_that_is_broken_is_wrong_use(install):
    site = install("broken_zoo", {"__init__.py": "import no_such_module"})
    done = run(site, "config", "check", "scnn_culane")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "error: plugin 'broken_zoo': expected broken_zoo to import, found ModuleNotFoundError" in done.stderr
