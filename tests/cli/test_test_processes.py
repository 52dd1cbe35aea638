"""``torchrun ... tools/test.py``: the numbers and the report of two processes are those of one."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from visionzoo.zoo import get_model

ROOT = Path(__file__).resolve().parents[2]
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


@pytest.fixture
def weights(tmp_path):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.save({"state_dict": get_model("connnet_r50", tiny=True).state_dict()}, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def run(launcher, *args):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, *launcher, str(ROOT / "tools" / "test.py"), "connnet_r50", "--tiny", "--device", "cpu"]
    done = subprocess.run([*line, "--json", *map(str, args)], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # one process prints


@pytest.mark.slow
@pytest.mark.parametrize("samples", [5, 1])
def test_two_processes_write_the_files_of_one(weights, tmp_path, samples):
    """With 5 samples, one process has a sample more; with 1, the second process has none."""
    args = ["--weights", weights, "--max-samples", samples]
    one, two = (run(launcher, *args, "-o", tmp_path / out) for launcher, out in (((), "one"), (TWO, "two")))
    assert one["metrics"] == two["metrics"]
    found = [json.loads((tmp_path / out / "metrics.json").read_text()) for out in ("one", "two")]
    assert found[0] == found[1]
    reports = [re.sub(r"\d\d:\d\d UTC", "", (tmp_path / out / "report.md").read_text()) for out in ("one", "two")]
    assert reports[0].replace("/one", "/two") == reports[1]
    files = [
        {path.relative_to(tmp_path / out): path.read_bytes() for path in (tmp_path / out).rglob("*.png")}
        for out in ("one", "two")
    ]
    assert files[0] == files[1]
