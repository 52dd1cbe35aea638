"""Plain lines follow the time, not the iterations; a bar is one line of every terminal."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console

from visionzoo.engine import displays
from visionzoo.engine.displays import Bar, Lines, State, display_of

STATE = State("epoch 2/9", 3, 18, ("loss 0.5000", "bbox_mAP 0.2500", "lr 0.001"), "iter 1/2", pace=0.25, left=3.75)


@pytest.fixture
def lines() -> Any:
    made = Lines(0.2)
    yield made
    made.close()


def test_a_long_iteration_prints_lines(lines: Lines, capsys: pytest.CaptureFixture) -> None:
    lines.open("train")
    lines.show(State("loading the first batch", 0, 9))
    time.sleep(0.7)
    assert 2 <= capsys.readouterr().err.count("0:00:00  loading the first batch\n") <= 3


def test_many_short_iterations_print_few_lines(lines: Lines, capsys: pytest.CaptureFixture) -> None:
    lines.open("train")
    lines.show(STATE, now=True)
    for _ in range(1000):
        lines.show(STATE)
    lines.show(STATE, now=True)
    assert capsys.readouterr().err.count("\n") == 2


def test_nothing_is_printed_after_the_end(lines: Lines, capsys: pytest.CaptureFixture) -> None:
    lines.open("train")
    lines.show(STATE)
    lines.close()
    time.sleep(0.4)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_bar_is_one_line_of_every_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    made = displays._rich_progress(Console(file=screen, width=width, force_terminal=True))
    monkeypatch.setattr(displays, "_rich_progress", lambda: made)
    bar = display_of("bar", 10.0)
    bar.open("train")
    bar.show(STATE)
    rows = Console(file=io.StringIO(), width=width).render_lines(made.get_renderable())
    text = "".join(segment.text for segment in rows[0])
    bar.close()
    assert len(rows) == 1
    assert "epoch 2/9" in text
    assert width < 120 or all(part in text for part in ("bbox_mAP 0.2500", "lr 0.001", "4.00 iter/s", "eta 0:00:04"))


def test_a_bar_shows_the_part_inside_the_run(capsys: pytest.CaptureFixture) -> None:
    bar = Bar()
    bar.open("train")
    bar.open("validate")
    bar.show(State("validate", 1, 4))
    assert [task.total for task in bar._bars.tasks] == [None, 4]
    bar.shut("validate")
    bar.show(STATE)
    assert [(task.completed, task.total) for task in bar._bars.tasks] == [(3, 18)]
    bar.close()
    bar.close()


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture) -> None:
    quiet = display_of("none", 10.0)
    quiet.open("train")
    quiet.show(STATE, now=True)
    quiet.say("text")
    quiet.close()
    assert capsys.readouterr().err == ""
