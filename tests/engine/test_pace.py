"""The time left includes the remaining validations; the first iteration does not distort it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from visionzoo.engine.pace import Pace, count_validations, validations_left


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    return clock


def test_a_slow_first_iteration_does_not_count(now: SimpleNamespace) -> None:
    pace = Pace(done=100)
    now.now = 50.0
    assert pace.step(101)
    assert pace.seconds(101) == 50.0
    now.now = 52.0
    assert not pace.step(102)
    assert pace.left(102, 110) == pytest.approx(8 * 2.0)


def test_validations_are_apart_and_are_left(now: SimpleNamespace) -> None:
    pace = Pace()
    pace.step(1)
    now.now = 1.0
    pace.step(2)
    pace.start_validation()
    now.now = 31.0
    pace.end_validation()
    assert pace.seconds(2) == 1.0
    now.now = 32.0
    assert pace.left(3, 10, validations=2) == pytest.approx(7 * 1.0 + 2 * 30.0)


@pytest.mark.parametrize(("done", "last", "interval"), [(0, 12, 1), (3, 12, 5), (5, 12, 5), (10, 10, 5), (0, 4, 9)])
def test_validations_are_counted(done: int, last: int, interval: int) -> None:
    steps = range(done + 1, last + 1)
    assert count_validations(done, last, interval) == sum(s % interval == 0 or s == last for s in steps)


def test_a_run_without_validation_has_none_left() -> None:
    assert validations_left(SimpleNamespace(val_loop=None)) == 0


def test_a_run_with_more_iterations_than_its_length_has_no_time_left():
    pace = Pace(160)
    pace.step(161)
    assert pace.left(done=161, total=25) == 0.0
