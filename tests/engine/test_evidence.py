"""What a test leaves for its report: over several processes, in constant memory, and with parts that fail."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import two_reports
from static_page import StaticPage

from visionzoo.config import load_config
from visionzoo.engine import reporting
from visionzoo.engine.evidence import MOST, Collected, EvidenceHook
from visionzoo.engine.testing import test
from visionzoo.registry import task_names
from visionzoo.reports.figure import Draft, Figure
from visionzoo.reports.run_report import Example
from visionzoo.tasks import task_of
from visionzoo.tasks.classification import Classification
from visionzoo.tasks.counting import Counting

HERE = Path(__file__).parent


def add(into: Collected, error: float, index: int) -> None:
    if into.enters(error, index):
        into.add(error, index, Example(error, index, f"{index}.png", str(index)))


def test_the_largest_errors_are_kept_in_any_order() -> None:
    errors = np.random.default_rng(0).integers(0, 30, 200) / 10  # with equal ones
    found = Collected()
    for index in np.random.default_rng(1).permutation(200):
        add(found, float(errors[index]), int(index))
    expected = sorted(range(200), key=lambda index: (-errors[index], index))[:MOST]
    assert [example.index for example in found.examples] == expected
    assert len(found.worst) == MOST


def test_one_process_collects_every_sample_once() -> None:
    evidence = two_reports.collected()["counting"]
    assert evidence.seen == set(range(5))
    assert [example.index for example in evidence.examples][:2] == [1, 4]
    assert [image.title for image in evidence.examples[0].images] == ["truth", "prediction"]
    assert not evidence.failures


@pytest.mark.slow
def test_two_processes_collect_what_one_does() -> None:
    outputs = []
    for launcher in (["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"], []):
        line = [sys.executable, *launcher, str(HERE / "two_reports.py")]
        done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=True)
        outputs.append(json.loads(done.stdout.splitlines()[-1]))
    assert outputs[0] == outputs[1]
    assert outputs[0]["records"] == 5


@pytest.mark.parametrize("part", ["evidence", "errors", "images"])
def test_a_part_that_fails_is_counted_and_the_others_continue(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise ValueError("broken here")

    monkeypatch.setattr(Counting, "error", lambda self, sample, names: 1.0)
    monkeypatch.setattr(Counting, {"evidence": "evidence", "errors": "error", "images": "draw"}[part], fail)
    evidence = two_reports.collected()["counting"]
    assert evidence.failures == {(part, "ValueError: broken here"): 5}
    assert len(evidence.in_order) == (0 if part == "evidence" else 5)
    assert len(evidence.examples) == (0 if part == "errors" else 5)
    assert bool(evidence.examples and evidence.examples[0].images) == (part == "evidence")


def test_a_sample_without_a_record_is_drawn_on_the_input_of_the_model() -> None:
    hook = EvidenceHook({"counting": None})
    loader = SimpleNamespace(batch_sampler=[[0]], dataset=[0])
    runner: Any = SimpleNamespace(test_dataloader=loader)
    hook.before_test_epoch(runner)
    inputs = [two_reports.torch.zeros(3, 48, 64, dtype=two_reports.torch.uint8)]
    hook.after_test_iter(runner, 0, {"inputs": inputs}, [two_reports.tested(0)])
    (example,) = hook.gathered()["counting"].examples
    assert [image.size for image in example.images] == [(124, 80), (124, 80)]  # 31 x 20, enlarged 4 times
    assert example.name == "sample 0"


def test_every_input_reads_a_record_without_files() -> None:
    assert task_of("counting").inputs.recorded({}) == []
    assert task_of("registration").inputs.recorded({}) == []
    (source,) = task_of("registration").inputs.recorded({"files": {"fixed": np.eye(4), "moving": np.eye(4)}})
    assert task_of("registration").inputs.read(source).fixed.shape == (4, 4)


def test_a_report_that_fails_keeps_the_numbers(
    train_toy: Callable,
    toy_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    def fail(*args: Any) -> None:
        raise ValueError("broken here")

    train_toy("run")
    monkeypatch.setattr(Classification, "evidence", lambda *args: 1)
    monkeypatch.setattr(Classification, "error", lambda *args: None)
    monkeypatch.setattr(Classification, "figures", fail)
    outcome = test(load_config(toy_config), weights=tmp_path / "run", work_dir=tmp_path / "test")
    sentence = "The figures of classification are missing: ValueError: broken here."
    assert f"report: {sentence}" in capsys.readouterr().err
    assert json.loads((tmp_path / "test" / "metrics.json").read_text())["metrics"] == outcome["metrics"]
    assert sentence in (tmp_path / "test" / "report.md").read_text()
    page = StaticPage(Path(outcome["report"]))
    page.require_sound()
    assert "No model card is called toy" in " ".join(page.texts["p"])

    monkeypatch.setattr("visionzoo.engine.reporting.write_run_report", fail)
    outcome = test(load_config(toy_config), weights=tmp_path / "run", work_dir=tmp_path / "second")
    assert outcome["report"] is None
    assert "report.html is not written: ValueError: broken here" in capsys.readouterr().err
    assert (tmp_path / "second" / "metrics.json").is_file()

    outcome = test(load_config(toy_config), weights=tmp_path / "run", work_dir=tmp_path / "third", report=False)
    assert {path.name for path in (tmp_path / "third").iterdir()} == {"metrics.json", "report.md", "logs"}


def test_a_figure_that_cannot_be_drawn_is_missing_alone() -> None:
    def fail() -> Figure:
        raise ValueError("broken here")

    one = Figure("one", "One", np.zeros((4, 6, 3), np.uint8), "A sentence.")
    evidence, plan, notes = Collected(), SimpleNamespace(classes_of=lambda task: None), list[str]()
    drafts = [Draft("Lost", fail), Draft("One", lambda: one), one]
    with patch.object(Counting, "figures", lambda self, records, names: drafts):
        assert reporting._figures("counting", evidence, plan, notes) == [one, one]  # type: ignore[arg-type]
    assert notes == ['The figure "Lost" of counting is missing: ValueError: broken here.']


def test_an_interrupted_report_states_where_the_numbers_are(tmp_path: Path) -> None:
    notes: list[str] = []
    with pytest.raises(KeyboardInterrupt), reporting.numbers_kept(tmp_path, notes.append):
        raise KeyboardInterrupt
    assert notes == [f"stopped before the report was complete; the numbers are in {tmp_path}/metrics.json"]


def test_every_task_states_what_its_error_is() -> None:
    for name in task_names():
        assert re.match("(1 less|the|minus) ", task_of(name).error_text), name
        assert not task_of(name).error_text.endswith("."), name
