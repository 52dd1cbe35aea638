"""Panels of curves: their rows, scales and averages."""

from __future__ import annotations

import numpy as np
import pytest

from visionzoo.reports.curves import Line, Panel, draw_panels, smoothed
from visionzoo.reports.ticks import Axis

BLUE = (0, 114, 178)


def drawn(*panels: Panel) -> np.ndarray:
    return draw_panels("title", panels, "iteration")


def half(name: str, y: list[float]) -> Panel:
    return Panel(name, [Line(name, list(range(len(y))), y, dots=True)])


def is_blue(image: np.ndarray) -> np.ndarray:
    return (np.abs(image.astype(int) - BLUE) < 12).all(axis=2)


def test_halves_stand_in_pairs_and_a_lone_one_is_wide() -> None:
    one, two, three = (drawn(*[half("a", [1.0, 2.0])] * count) for count in (1, 2, 3))
    assert one.shape == two.shape
    assert three.shape[0] - two.shape[0] == 200
    columns = np.flatnonzero(is_blue(one).any(axis=0))
    assert columns.max() - columns.min() > 850  # the whole width
    assert is_blue(two)[:, :500].any()
    assert is_blue(two)[:, 500:].any()


def test_a_larger_value_is_higher_and_a_gap_breaks_the_line() -> None:
    image = is_blue(drawn(half("a", [0.0, 1.0, np.nan, np.nan, 0.0, 1.0])))
    columns = np.flatnonzero(image.any(axis=0))
    assert max(np.diff(columns)) > 200  # nothing between the second and the fifth value
    rows = [np.flatnonzero(image[:, column]).mean() for column in (columns[5], columns[-5])]
    assert rows[0] > rows[1]


def test_faint_points_and_an_average() -> None:
    values = np.random.default_rng(0).random(400)
    line = Line("a", list(range(400)), values, smooth=True)
    image = drawn(Panel("a", [line], wide=True))
    faint = (np.abs(image.astype(int) - (184, 216, 234)) < 14).all(axis=2)
    rows = [np.flatnonzero(mask.any(axis=1)) for mask in (faint, is_blue(image))]
    assert np.ptp(rows[0]) > 2 * np.ptp(rows[1])


def test_an_empty_panel_shows_its_sentence() -> None:
    texts = [drawn(Panel("metrics", wide=True, empty=text)) for text in ("", "no validation: none was due")]
    assert (texts[0] != texts[1]).any()


@pytest.mark.parametrize(
    ("values", "is_log"),
    [
        ([100.0, 30.0, 10.0, 3.0, 1.0, 1.0], True),
        ([3.0, 1.0], False),
        ([100.0, 0.0], False),
        ([1e-6, *[1e-3] * 30], False),  # a warm-up
        ([0.0], False),
        ([5.0, 5.0], False),
    ],
)
def test_the_scale_follows_the_values(values: list[float], is_log: bool) -> None:
    axis = Axis.around(np.array(values))
    assert axis.is_log is is_log
    shares = axis.shares(np.array(values))
    assert ((shares >= 0) & (shares <= 1)).all()
    assert axis.low >= 0
    assert 1 <= len(axis.ticks(5)) <= 6


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        (Axis(0.5, 5.5), ["1", "2", "3", "4", "5"]),
        (Axis(1.0, 1000.0, is_log=True), ["1", "10", "100", "1000"]),
        (Axis(0.0, 0.001), ["0", "0.0002", "0.0004", "0.0006", "0.0008", "0.0010"]),
        (Axis(0.0, 30000.0), ["0", "10,000", "20,000", "30,000"]),
        (Axis(-1e-5, 1e-5), ["-1.0e-05", "-5e-06", "0", "5e-06", "1.0e-05"]),
    ],
)
def test_ticks_are_round_numbers(axis: Axis, texts: list[str]) -> None:
    assert [text for _, text in axis.ticks(5)] == texts


def test_whole_ticks_of_a_short_axis() -> None:
    assert [text for _, text in Axis(1.0, 3.0).ticks(9, whole=True)] == ["1", "2", "3"]


def test_the_average_leaves_out_what_is_no_number() -> None:
    assert smoothed(np.array([1.0, np.nan, 3.0]), 3).tolist() == [1.0, 2.0, 3.0]
    assert smoothed(np.array([np.nan, 4.0]), 1).tolist()[1] == 4.0


def test_a_long_run_keeps_its_extremes() -> None:
    values = np.ones(100_000)
    values[50_000] = 9.0
    assert drawn(Panel("a", [Line("a", list(range(100_000)), values)], wide=True)).shape[1] == 1000
    image = is_blue(drawn(Panel("a", [Line("a", list(range(100_000)), values)], wide=True)))
    assert np.ptp(np.flatnonzero(image.any(axis=1))) > 80


def test_close_values_have_digits_and_at_least_two_ticks() -> None:
    texts = [text for _, text in Axis(0.085178, 0.085222).ticks(4)]
    assert texts[0].startswith("0.0851")
    assert 2 <= len(texts) <= 5
    assert len(Axis(0.137, 0.953).ticks(4)) >= 3
