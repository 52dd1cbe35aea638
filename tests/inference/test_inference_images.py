"""Overlays, and detections as plain arrays."""

import json

import numpy as np
import pytest
from inference_scenes import scene

from visionzoo.errors import InputError
from visionzoo.reports.images import (
    class_colour,
    scale_to_read,
    side_by_side,
)
from visionzoo.structures.counts import CrowdCount
from visionzoo.structures.detections import Detections, decode_mask, encode_mask
from visionzoo.structures.lanes import Lanes
from visionzoo.tasks.counting import draw_count
from visionzoo.tasks.detection import draw_detections
from visionzoo.tasks.lanes import draw_lanes


def detections(boxes, size, labels=None, masks=None, names=("circle", "square")):
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    labels = np.zeros(len(boxes), np.int64) if labels is None else np.array(labels)
    scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
    return Detections(boxes, scores, labels, size, masks, names)


def test_colours_belong_to_classes_and_differ():
    colours = [class_colour(label) for label in range(21)]
    assert len(set(colours)) == 21
    assert class_colour(3) == colours[3]
    nearest = min(np.abs(np.subtract(a, b)).sum() for i, a in enumerate(colours) for b in colours[:i])
    assert nearest > 40


def test_a_box_is_drawn_where_it_is():
    image = np.full((100, 140, 3), 128, np.uint8)
    before = image.copy()
    drawn = draw_detections(image, detections([[20, 40, 80, 90]], (140, 100)))
    np.testing.assert_array_equal(image, before)
    colour = class_colour(0)
    assert tuple(drawn[60, 20]) == tuple(drawn[60, 79]) == tuple(drawn[89, 50]) == colour
    assert tuple(drawn[60, 50]) == (128, 128, 128)
    changed = np.argwhere((drawn != image).any(axis=2))
    assert changed[:, 1].min() >= 19
    assert changed[:, 0].max() <= 91


def test_masks_tint_and_have_an_edge():
    mask = np.zeros((100, 140), bool)
    mask[30:70, 40:90] = True
    image = np.zeros((100, 140, 3), np.uint8)
    drawn = draw_detections(image, detections([[35, 25, 95, 75]], (140, 100), masks=(encode_mask(mask),)))
    colour = np.array(class_colour(0))
    np.testing.assert_allclose(drawn[50, 60], colour * 0.45, atol=1)
    assert tuple(drawn[30, 60]) == class_colour(0)
    np.testing.assert_array_equal(decode_mask(encode_mask(mask)), mask)


def test_lines_grow_with_the_image():
    def line_width(height, width):
        image = np.full((height, width, 3), 128, np.uint8)
        box = [width // 4, height // 4, width // 2, height // 2]
        row = draw_detections(image, detections([box], (width, height)))[height * 3 // 8]
        return int((row == class_colour(0)).all(axis=1).sum())

    assert line_width(100, 150) < line_width(800, 1200) < line_width(3000, 4000)


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (7, 9), (15, 15)])
def test_any_size_and_boxes_outside(size):
    boxes = [[-50, -50, 500, 500], [0, 0, 0, 0], [300, 300, 310, 310], [0.4, 0.4, 0.6, 0.6]]
    image = scene(*size)
    drawn = draw_detections(image, detections(boxes, size[::-1], labels=[0, 1, 99, 3]))
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8


def test_crowded_labels_do_not_cover_each_other():
    image = np.zeros((300, 400, 3), np.uint8)
    boxes = detections([[50, 50, 150, 150]] * 3, (400, 300), labels=[0, 1, 2], names=("one", "two", "three"))
    drawn = draw_detections(image, boxes)
    areas = [(drawn == class_colour(label)).all(axis=2).sum() for label in range(3)]
    assert min(areas) > 150


def test_small_images_are_enlarged():
    image = scene(60, 80)
    mask = np.zeros((60, 80), bool)
    mask[10:30, 20:50] = True
    boxes = detections([[20, 10, 50, 30]], (80, 60), masks=(encode_mask(mask),))
    drawn = draw_detections(image, boxes, scale_to_read(image))
    assert drawn.shape == (240, 320, 3)
    assert tuple(drawn[80, 80]) == tuple(drawn[119, 150]) == class_colour(0)
    np.testing.assert_array_equal(drawn[200:, :70], image[50:, :].repeat(4, 0).repeat(4, 1)[:, :70])
    assert scale_to_read(np.zeros((400, 1, 3))) == 1


def test_nothing_found_changes_nothing_and_side_by_side():
    image = scene(50, 70)
    drawn = draw_detections(image, detections([], (70, 50)))
    np.testing.assert_array_equal(drawn, image)
    both = side_by_side(image, drawn)
    assert both.shape == (50, 142, 3)
    np.testing.assert_array_equal(both[:, -70:], image)


# --- lanes ---


def upright(x, slot, bottom=99, top=40, score=0.9):
    lane = np.array([[x, y] for y in range(bottom, top - 1, -10)], dtype=np.float64)
    return Lanes((lane,), (score,), (slot,))


@pytest.mark.parametrize("scale", [1, 3])
def test_a_lane_is_drawn_along_its_points(scale):
    image = np.full((100, 140, 3), 128, np.uint8)
    before = image.copy()
    drawn = draw_lanes(image, upright(70.0, 2), scale)
    np.testing.assert_array_equal(image, before)
    assert drawn.shape == (100 * scale, 140 * scale, 3)
    middle = 70 * scale + scale // 2
    for row in (52, 55, 69):  # between points and on one, above the label
        assert np.abs(drawn[row * scale + scale // 2, middle].astype(int) - class_colour(2)).max() < 40
    assert (drawn[: 45 * scale] == 128).all()
    assert (drawn[: 80 * scale, : 60 * scale] == 128).all()


def test_lanes_have_the_colour_of_their_place_not_of_their_number():
    image = np.full((400, 500, 3), 128, np.uint8)
    single = draw_lanes(image, upright(200.0, 3, 390, 20))
    both = draw_lanes(
        image, Lanes(upright(100.0, 0, 390, 20).points + upright(200.0, 3, 390, 20).points, (0.9, 0.8), (0, 3))
    )
    assert tuple(single[100, 200]) == tuple(both[100, 200]) == class_colour(3)
    assert tuple(both[100, 100]) == class_colour(0)


def test_scores_are_drawn_at_the_lower_ends():
    image = np.full((400, 500, 3), 128, np.uint8)
    with_label, other = (draw_lanes(image, upright(250.0, 1, 390, 20, score)) for score in (0.9, 0.1))
    changed = np.argwhere((with_label != other).any(axis=2))
    assert len(changed)
    assert changed[:, 0].min() > 340
    assert np.abs(changed[:, 1] - 250).max() < 60


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (7, 9)])
def test_any_size_and_lanes_that_leave_the_image(size):
    image = scene(*size)
    points = np.array([[-50.0, 500.0], [3.0, 3.0], [1e7, -1e7]])
    drawn = draw_lanes(image, Lanes((points, points[:2]), (0.5, 1.0), (0, 9)))
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(draw_lanes(image, Lanes((), (), ())), image)


# --- heat ---


def crowd(cells, size):
    cells = np.asarray(cells, dtype=np.float32)
    return CrowdCount(float(cells.sum()), cells, size)


@pytest.mark.parametrize("scale", [1, 2])
def test_heat_is_where_people_are(scale):
    image = np.full((200, 240, 3), 60, np.uint8)
    cells = np.zeros((25, 30), np.float32)
    cells[15, 20], cells[15, 24] = 40, 10
    drawn = draw_count(image, crowd(cells, (240, 200)), scale).astype(int)
    assert drawn.shape == (200 * scale, 240 * scale, 3)
    assert (image == 60).all()
    light = drawn.sum(axis=2)
    light[: 60 * scale, : 100 * scale] = 0  # the count
    assert np.unravel_index(light.argmax(), light.shape) == pytest.approx((124 * scale, 164 * scale), abs=5 * scale)
    dense, thin, empty = (light[124 * scale, x * scale] for x in (164, 196, 40))
    assert dense > thin > empty == 180
    assert light[124 * scale, 180 * scale] == 180  # between the two


def test_the_count_is_written():
    image = np.full((200, 240, 3), 60, np.uint8)
    one, other = (draw_count(image, CrowdCount(count, np.zeros((5, 6), np.float32), (240, 200))) for count in (3, 8))
    changed = np.argwhere((one != other).any(axis=2))
    assert len(changed)
    assert changed.max() < 60
    assert (one[:8, :8] == 255).all(axis=2).any()


def test_without_people_there_is_no_heat_and_noise_stays_dark():
    image = np.full((200, 240, 3), 60, np.uint8)
    nobody = draw_count(image, crowd(np.zeros((25, 30)), (240, 200)))
    assert (nobody[60:] == 60).all()
    noise = draw_count(image, crowd(np.full((25, 30), 0.1 / 750), (240, 200)))
    assert np.abs(noise[60:].astype(int) - 60).max() < 15
    below = draw_count(image, crowd(np.full((25, 30), -1.0), (240, 200)))
    assert (below[60:] == 60).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (7, 9)])
def test_heat_of_any_size(size):
    drawn = draw_count(scene(*size), crowd(np.ones((2, 3)), size[::-1]))
    assert drawn.shape == (*size, 3)
    assert drawn.dtype == np.uint8


# --- plain arrays ---


def test_json_is_plain():
    plain = detections([[1, 2, 3.5, 9]], (20, 10), labels=[1], masks=(encode_mask(np.ones((10, 20), bool)),))
    text = json.dumps(plain.to_json(), allow_nan=False)
    assert json.loads(text)["boxes"] == [[1.0, 2.0, 3.5, 9.0]]
    assert json.loads(text)["names"] == ["square"]
    (result,) = plain.to_coco(7)
    assert result["bbox"] == [1.0, 2.0, 2.5, 7.0]
    assert (result["image_id"], result["category_id"]) == (7, 2)
    assert detections([], (20, 10)).to_json() == {"boxes": [], "scores": [], "labels": [], "names": []}


def test_unknown_names_are_numbers():
    assert detections([[0, 0, 1, 1]], (2, 2), labels=[5]).to_json()["names"] == ["5"]
    assert detections([[0, 0, 1, 1]], (2, 2), labels=[5], names=None).to_json()["names"] == ["5"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(InputError, match="not finite"):
        detections([[0, 0, 1, value]], (2, 2))
