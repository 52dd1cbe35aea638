"""SIGKILL at three moments: the same command continues, and all numbers equal those of an uninterrupted run."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from visionzoo.cli.train import main as run_train

SCRIPT = Path(__file__).with_name("killed_suite.py")


# Of each suite: the words, the number of results before a kill within a batch, and the number of files of results.
SUITES = {
    "geo-shift": (
        ["--weights", "none", "--batch-size", "5", "--limit", "18", "--set", "only=geode,dollarstreet", "repeats=20"],
        13,
        2,
    ),
    "coconut": (["--batch-size", "3", "--limit", "8", "--set", "boundary=false", "repeats=20"], 4, 1),
}


def model_of(suite, folder):
    """Return a model for a suite. That of coconut must have the classes of the data, so it trains for two steps."""
    if suite == "geo-shift":
        return "timm.test_resnet"
    steps = ["train_cfg.max_iters=2", "train_cfg.val_interval=2"]
    words = ["mask2former_r50_coconut", "--tiny", "-q", "--device", "cpu", "-o", str(folder)]
    assert run_train([*words, "--cfg-options", *steps]) == 0
    return str(folder)


def run(suite, model, moment, out):
    words, count, _ = SUITES[suite]
    words = [model, "--suite", suite, "--tiny", "-q", "--device", "cpu", *words, "-o", str(out)]
    command = [sys.executable, str(SCRIPT), moment, str(count), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def numbers(out):
    stored = json.loads((out / "report.json").read_text())
    results = {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*.jsonl"))}
    return stored["tables"], stored["notes"], results


@pytest.mark.slow  # five processes that import torch
@pytest.mark.parametrize("suite", SUITES)
def test_a_run_that_is_killed_three_times_gives_the_same_numbers(suite, tmp_path):
    model = model_of(suite, tmp_path / "run")
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert (done := run(suite, model, "never", whole)).returncode == 0, done.stderr
    for moment in ("first", "within", "report"):
        killed = run(suite, model, moment, out)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not (out / "report.json").exists()
        is_cut = any(path.read_bytes().endswith(b"half a li") for path in out.rglob("*.jsonl"))
        assert is_cut == (moment == "within")
    assert (done := run(suite, model, "never", out)).returncode == 0, done.stderr
    expected = numbers(whole)
    assert len(expected[2]) == SUITES[suite][2]
    assert numbers(out) == expected
