"""Every benchmark runs on a tiny size and finds equal results on both sides; its rows become a table."""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"
SLOW = {"micdir_training", "coco_reading", "training_hooks", "text_encoders", "referring", "whole_inference"}
NO_RESULT = {"startup"}  # times of whole processes


@pytest.fixture
def benchmarks(monkeypatch):
    """Import modules of the folder, as a script in it does, and forget them afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    threads, before = torch.get_num_threads(), set(sys.modules)
    yield importlib.import_module
    torch.set_num_threads(threads)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(FOLDER)):
            del sys.modules[name]


def plans():
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module("run_all").PLANS
    finally:
        sys.path.remove(str(FOLDER))


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in plans() if name not in NO_RESULT],
)
def test_both_sides_of_a_benchmark_agree(name, benchmarks, monkeypatch, tmp_path):
    if name == "text_encoders":
        pytest.importorskip("transformers")
    timing, module = benchmarks("timing"), benchmarks(name)
    monkeypatch.setenv(timing.ROWS_FILE, str(tmp_path / "rows.jsonl"))
    monkeypatch.setattr(module, "time_in_turns", once, raising=False)
    monkeypatch.setattr(timing, "time_in_turns", once)
    monkeypatch.setattr(module, "peak_memory", lambda run: None, raising=False)
    assert module.main(shlex.split(plans()[name].quick)) in (0, 1)  # 2: the results differ
    rows = benchmarks("run_all").read_rows(tmp_path / "rows.jsonl")
    assert rows
    assert all(row.ours_s > 0 and row.theirs_s > 0 and row.equal for row in rows)


def once(runs, rounds, least=5):
    """Run each candidate once, because no time is read here."""
    for run in runs.values():
        run()
    return dict.fromkeys(runs, 1.0)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_states_its_command(path):
    text = path.read_text(encoding="utf-8")
    assert path.stem in ("operators", "timing", "registration_volumes") or f"{path.name}" in text.split('"""')[1]


def test_rows_become_a_table_and_a_section(benchmarks, tmp_path, monkeypatch, capsys):
    timing, run_all = benchmarks("timing"), benchmarks("run_all")
    monkeypatch.setenv(timing.ROWS_FILE, str(tmp_path / "rows.jsonl"))
    rows = [
        timing.Row("lanes", "ports", 1.0, 8.0, "bit for bit", 0.2, 0.5),
        timing.Row("loading", "mmdet", 9.0, 10.0, "bit for bit", 0.8),
        timing.Row("a loop", "another", 3.0, 2.0, "same"),
    ]
    assert [timing.record(row) for row in rows] == [0, 1, 0]
    assert (
        "lanes: 0.125 of the time of ports (goal 0.2: met); share of the limit: 0.50; equal: bit for bit"
        in capsys.readouterr().out
    )
    read = run_all.read_rows(tmp_path / "rows.jsonl")
    assert read == rows
    lines = run_all.table([run_all.Done("a", 0, read), run_all.Done("b", 2, []), run_all.Done("c", 1, [])])
    assert lines[2] == "| lanes | ports | 1 | 8 | 0.12 | bit for bit | 0.50 | 0.2: met |"
    assert "**not met**" in lines[3]
    assert [line.split("|")[2].strip() for line in lines[5:]] == ["results differ", "no row, exit code 1"]

    page = tmp_path / "performance.md"
    page.write_text("# Performance\n\nText.\n", encoding="utf-8")
    run_all.write_section(page, lines)
    run_all.write_section(page, lines[:3])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Performance\n\nText.\n\n## Against what users run\n")
    assert text.count("| lanes |") == text.count(run_all.BEGIN) == 1
    assert "| loading |" not in text


@pytest.mark.slow
def test_the_table_of_one_benchmark(benchmarks, tmp_path):
    out = tmp_path / "rows.json"
    code = benchmarks("run_all").main(["--only", "culane_f1", "--quick", "--json", str(out)])
    (row,) = json.loads(out.read_text(encoding="utf-8"))
    assert row["theirs"] == "lanes drawn once"
    assert row["ratio"] == pytest.approx(row["ours_s"] / row["theirs_s"])
    assert code == int(not row["is_met"])
