"""Outlines: areas, ellipses and the part inside an image."""

import math
from random import Random

import pytest

from visionzoo.datasets.outlines import area_of, bounds_of, clip_outline, corners_of, ellipse, turned


@pytest.mark.parametrize("radii", [(0.5, 0.5), (4, 3), (300, 20), (5000, 5000)])
def test_an_ellipse_is_at_most_a_tenth_of_a_pixel_too_small(radii):
    points = ellipse((7, 9), radii)
    assert bounds_of([points]) == pytest.approx((7 - radii[0], 9 - radii[1], 7 + radii[0], 9 + radii[1]))
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        across, down = ((x0 + x1) / 2 - 7) / radii[0], ((y0 + y1) / 2 - 9) / radii[1]
        assert 1 - math.hypot(across, down) <= 0.1 / max(radii) + 1e-9


def test_turning_keeps_the_area():
    box = corners_of((10, 10, 30, 20))
    assert bounds_of([turned(box, (20, 15), 90)]) == (15, 5, 25, 25)
    assert area_of(turned(box, (20, 15), 33)) == pytest.approx(200)


@pytest.mark.parametrize(
    ("outline", "area"),
    [
        ([(-5, -5), (70, -5), (70, 50), (-5, 50)], 61 * 40),  # around the image
        ([(70, 5), (90, 5), (90, 20)], 0),
        ([(-10, 10), (10, 10), (10, 30), (-10, 30)], 200),
        ([(50, 5), (80, 5), (80, 10), (55, 10), (55, 20), (80, 20), (80, 25), (50, 25)], 11 * 5 + 5 * 10 + 11 * 5),
    ],
)
def test_the_part_inside_an_image(outline, area):
    parts = clip_outline(outline, 61, 40)
    assert (area_of(parts) if parts else 0) == pytest.approx(area)


def test_clipped_boxes_and_reversed_outlines():
    random = Random(0)
    for _ in range(200):
        x0, y0 = random.uniform(-50, 50), random.uniform(-50, 30)
        x1, y1 = x0 + random.uniform(1, 90), y0 + random.uniform(1, 90)
        inside = max(0, min(x1, 61) - max(x0, 0)) * max(0, min(y1, 40) - max(y0, 0))
        for outline in (corners_of((x0, y0, x1, y1)), corners_of((x0, y0, x1, y1))[::-1]):
            parts = clip_outline(outline, 61, 40)
            assert (area_of(parts) if parts else 0) == pytest.approx(inside)
