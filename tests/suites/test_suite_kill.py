"""SIGKILL at three moments: the same command continues, and all numbers equal those of an uninterrupted run."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killed_suite.py")


def run(moment, out):
    words = ["timm.test_resnet", "--suite", "geo-shift", "--tiny", "--weights", "none", "-q", "--batch-size", "5"]
    options = ["only=geode,dollarstreet", "repeats=20"]
    command = [sys.executable, str(SCRIPT), moment, *words, "--limit", "18", "--set", *options, "-o", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def numbers(out):
    stored = json.loads((out / "report.json").read_text())
    results = {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*.jsonl"))}
    return stored["tables"], stored["notes"], results


@pytest.mark.slow  # five processes that import torch
def test_a_run_that_is_killed_three_times_gives_the_same_numbers(tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert (done := run("never", whole)).returncode == 0, done.stderr
    for moment in ("first", "within", "report"):
        killed = run(moment, out)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not (out / "report.json").exists()
        is_cut = any(path.read_bytes().endswith(b"half a li") for path in out.rglob("*.jsonl"))
        assert is_cut == (moment == "within")
    assert (done := run("never", out)).returncode == 0, done.stderr
    expected = numbers(whole)
    assert len(expected[2]) == 2
    assert numbers(out) == expected
