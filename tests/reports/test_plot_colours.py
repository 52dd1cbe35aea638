"""Colours of plots are distinguished by people with colour blindness, and lines also in grey."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from visionzoo.reports.axes import COLOURS, PATTERNS, Place, draw_curve, look_of, new_canvas, reduced
from visionzoo.reports.images import class_colour
from visionzoo.reports.ticks import Axis

# What people without one kind of cones see, in linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.
MACHADO = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])
CLEAR = 12.0  # distance in CIELAB; 2.3 is just noticeable side by side


def linear(colour: Sequence[int]) -> np.ndarray:
    shares = np.array(colour) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIELAB of linear RGB."""
    ratio = XYZ @ np.clip(rgb, 0, 1) / WHITE
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def least_distance(colours: Sequence[Sequence[int]], kind: str) -> float:
    seen = [lab(np.array(MACHADO[kind]) @ linear(colour)) for colour in colours]
    return min(float(np.linalg.norm(one - two)) for one, two in combinations(seen, 2))


@pytest.mark.parametrize("kind", MACHADO)
def test_colours_stay_apart_without_one_kind_of_cones(kind: str) -> None:
    assert least_distance(COLOURS, kind) > CLEAR
    assert least_distance([class_colour(label) for label in range(7)], kind) > CLEAR


def test_red_and_green_would_not() -> None:
    assert least_distance([(200, 30, 30), (100, 115, 20)], "deuteranopia") < CLEAR


def test_lines_of_one_pattern_stay_apart_in_grey() -> None:
    looks = [look_of(number) for number in range(len(COLOURS))]
    for (one, first), (two, second) in combinations(looks, 2):
        lightness = abs(lab(linear(one))[0] - lab(linear(two))[0])
        assert first != second or lightness > CLEAR


def test_each_pattern_covers_another_part_of_a_line() -> None:
    place = Place(Axis(0.0, 1.0), Axis(0.0, 1.0), (10, 10, 390, 50))
    covered = []
    for pattern in PATTERNS:
        canvas, pen = new_canvas(400, 60)
        draw_curve(pen, place, np.array([0.0, 1.0]), np.array([0.5, 0.5]), (0, 0, 0), 4, pattern)
        covered.append(float((reduced(canvas)[30, 10:390, 0] < 128).mean()))
    assert covered[0] == pytest.approx(1.0, abs=0.02)
    shares = [1.0, *(sum(pattern[::2]) / sum(pattern) for pattern in PATTERNS[1:])]
    assert covered == pytest.approx(shares, abs=0.18)  # ends of dashes are inclusive


def test_dashes_follow_the_corners_of_a_line() -> None:
    place = Place(Axis(0.0, 4.0), Axis(0.0, 1.0), (0, 0, 20, 40))  # a line with a corner every 5 pixels
    canvas, pen = new_canvas(20, 40)
    draw_curve(pen, place, np.arange(5.0), np.array([0.0, 1, 0, 1, 0]), (0, 0, 0), 4, (60, 5))
    assert (reduced(canvas)[:3, 3:8] < 128).any()  # the first peak
