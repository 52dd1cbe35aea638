"""Plots, bars of classes and confusion matrices: what is where, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from visionzoo.reports.axes import COLOURS, INK, mixed, new_canvas, shortened, width_of
from visionzoo.reports.class_bars import draw_class_bars, said_rows, shown_rows
from visionzoo.reports.confusion import confused_pairs, draw_confusion, short_count, worst_classes
from visionzoo.reports.plots import UNIT, Plot, Series, draw_histogram, draw_plot, empty_figure, histogram, round_edges
from visionzoo.reports.precision_recall import draw_precision_recall, most_frequent

LONG = "a class with a name that is much longer than any column, number {}"


def places(image: np.ndarray, colour: tuple[int, int, int], near: int = 60) -> np.ndarray:
    """Return (row, column) of the pixels of a colour."""
    return np.argwhere((np.abs(image.astype(int) - colour) < near).all(axis=2))


def test_a_line_runs_from_the_lower_left_to_the_upper_right_of_its_axes() -> None:
    image = draw_plot(Plot("toy", "x", "y", [Series("a", [0, 1], [0, 1])], UNIT, UNIT))
    found = places(image, COLOURS[0])
    left, right = found[found[:, 1].argmin()], found[found[:, 1].argmax()]
    assert left[0] > 400
    assert right[0] < 90
    assert right[1] > 720  # without a legend the plot has the whole width


def test_values_that_are_not_finite_break_a_line_and_a_plot_of_none_states_it() -> None:
    broken = draw_plot(
        Plot("toy", "x", "y", [Series("a", [0, 0.3, 0.5, 0.7, 1], [0.5, 0.5, np.nan, 0.5, 0.5])], UNIT, UNIT)
    )
    columns = np.unique(places(broken, COLOURS[0])[:, 1])
    assert np.diff(columns).max() > 100
    none = Series("a", [0, 1], [np.nan, np.inf])
    images = [draw_plot(Plot("toy", "x", "y", [none], empty=text)) for text in ("", "Nothing was tested.")]
    assert (images[0] != images[1]).any()


def test_dashes_dots_and_bars() -> None:
    dashes = places(draw_plot(Plot("t", "x", "y", [Series("a", [0, 1], [0.5, 0.5], "dashes")], UNIT, UNIT)), COLOURS[0])
    assert np.diff(np.unique(dashes[:, 1])).max() in range(4, 11)
    edges = np.linspace(0, 1, 5)
    bars = draw_plot(Plot("t", "x", "images", [Series("a", edges, [0, 2, np.nan, 4], "bars")], UNIT))
    filled = places(bars, mixed(COLOURS[0], 0.75), 4)
    assert np.diff(np.unique(filled[:, 1])).max() > 100  # the bin without a value
    high, low = (filled[filled[:, 1] // 250 == part][:, 0].min() for part in (2, 1))
    assert high < low


def test_the_legend_shortens_long_names() -> None:
    series = [Series(LONG.format(number), [0, 1], [0, number / 9]) for number in range(6)]
    image = draw_plot(Plot("t", "x", "y", series, UNIT, UNIT))
    assert (image[:, -4:] == 255).all()  # nothing leaves the image
    assert len(places(image[:, 536:], COLOURS[5])) > 10


def test_a_text_is_shortened_in_its_middle() -> None:
    pen = new_canvas(9, 9)[1]
    short = shortened(pen, LONG.format(7), 12, 120)
    assert width_of(pen, short, 12) <= 120
    assert short.startswith("a class")
    assert short.endswith("7")
    assert shortened(pen, "cat", 12, 120) == "cat"


def test_histograms_count_every_value() -> None:
    values = np.array([0.0, 0.24, 0.26, 9.0, np.nan])
    assert histogram(values, np.linspace(0, 1, 5)).tolist() == [2, 1, 0, 1]
    for none in (np.zeros(2), np.zeros(0)):
        assert round_edges(none).tolist() == pytest.approx(np.linspace(0, 1, 21))
    assert draw_histogram("t", "MAE", values, round_edges(values)).shape == (470, 760, 3)


def test_a_longer_bar_is_a_higher_value_and_nan_has_none() -> None:
    image = draw_class_bars("t", ["a", "b", "c"], {"IoU": np.array([0.25, 1.0, np.nan])})
    ends = [places(image[80 + 26 * row : 98 + 26 * row], COLOURS[0])[:, 1].tolist() for row in range(3)]
    assert max(ends[1]) - 230 == pytest.approx(4 * (max(ends[0]) - 230), abs=8)
    assert not ends[2]


def test_rows_of_many_classes() -> None:
    values = np.append(np.arange(1000.0), np.nan)
    rows = shown_rows(values)
    assert len(rows) == 30
    assert rows[0] == 999
    assert rows[-1] == 0
    assert "15 highest and the 15 lowest of 1000" in said_rows(len(rows), 1000)
    assert not said_rows(3, 3)


def test_cells_show_the_share_of_their_row() -> None:
    image = draw_confusion("t", np.array([[3, 1], [0, 0]]), ["cat", "dog"], ["cat", "dog"])
    three, one = (len(places(image, mixed(COLOURS[0], share), 4)) for share in (0.75, 0.25))
    assert three > 2000
    assert one > 2000
    part = draw_confusion("t", np.array([[3, 1], [0, 0]]), ["cat", "dog"], ["cat", "dog"], np.array([12, 0]))
    assert len(places(part, mixed(COLOURS[0], 0.25), 4)) == pytest.approx(three, rel=0.1)


@pytest.mark.parametrize("classes", [1, 21])
def test_a_matrix_keeps_long_names_inside(classes: int) -> None:
    names = [LONG.format(label) for label in range(classes)]
    image = draw_confusion("t", np.full((classes, classes), 1234), names, names)
    assert image.shape[1] <= 1000
    for edge in (image[:, :3], image[:, -3:], image[:3], image[-3:]):
        assert (edge > 200).all()


def test_the_table_has_the_most_frequent_mistakes() -> None:
    counts = np.array([[9, 3, 0], [0, 9, 0], [7, 0, 9]])
    assert confused_pairs(counts, list("abc"), list("abc")) == [("c", "a", "7", "43.8 %"), ("a", "b", "3", "25.0 %")]
    assert confused_pairs(np.diag([3, 4]), list("ab"), list("ab")) == []
    assert worst_classes(counts, 2).tolist() == [0, 2]


def test_counts_are_short() -> None:
    for count in (0, 7, 999, 1000, 9949, 9950, 123456, 999499, 999500, 10**7, 10**12):
        assert len(short_count(count)) <= 5
    assert [short_count(count) for count in (9949, 9950, 999_500)] == ["9.9k", "10k", "1.0M"]


def test_the_mean_of_the_classes_is_drawn_with_those_that_have_objects() -> None:
    recall = np.linspace(0, 1, 101)
    precision = np.stack([np.full(101, 0.2), np.full(101, 0.8), np.full(101, np.nan)])
    shown = most_frequent(np.array([4, 9, 0]))
    assert shown.tolist() == [1, 0]
    image = draw_precision_recall("t", recall, precision, ["a", "b", "c"], shown.tolist())
    black = places(image[70:410, 80:560], INK)
    assert abs(np.median(black[:, 0]) + 70 - (66 + 350 / 2)) < 4  # at 0.5


def test_an_empty_figure_states_why() -> None:
    figure = empty_figure("errors", "Errors", "No image was tested.")
    assert figure.caption == "No image was tested."
    assert len(places(figure.image, (110, 110, 110), 60))
