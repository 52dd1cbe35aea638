"""Panoptic maps: areas, boxes, categories and class maps."""

import numpy as np
import pytest

from visionzoo.errors import DataError
from visionzoo.structures.mask_boxes import box_of_mask
from visionzoo.structures.panoptic import PanopticMap, extents_of


@pytest.mark.parametrize("size", [(1, 1), (5, 1), (1, 9), (13, 7)])
@pytest.mark.parametrize("numbers", [(0,), (3,), (0, 1, 70_000, 16_777_215)])
def test_extents_equal_those_of_each_mask(size, numbers):
    ids = np.random.RandomState(size[0]).choice(np.array(numbers, np.uint32), size)
    found = extents_of(ids)
    assert sorted(found) == sorted(set(np.unique(ids).tolist()) - {0})
    for number, (area, (x, y, width, height)) in found.items():
        assert area == (ids == number).sum()
        assert [x, y, x + width, y + height] == box_of_mask(ids == number)


def test_an_image_without_pixels_has_no_extents():
    assert extents_of(np.zeros((0, 4), np.uint32)) == {}


def test_segments_keep_the_order_of_the_file_and_the_crowd_flag():
    panoptic = PanopticMap.of_ids([[9, 2], [2, 2]], {9: (17, False), 2: (1, True)})
    assert [(each.id, each.category_id, each.area, each.iscrowd) for each in panoptic.segments] == [
        (9, 17, 1, False),
        (2, 1, 3, True),
    ]
    assert panoptic.mask(panoptic.segments[0]).tolist() == [[True, False], [False, False]]
    assert panoptic.size == (2, 2)


@pytest.mark.parametrize(
    ("categories", "number"), [({7: (0, False)}, "9"), ({7: (0, False), 9: (1, False), 11: (1, False)}, "11")]
)
def test_ids_and_categories_must_agree(categories, number):
    with pytest.raises(DataError, match=rf"street\.png: expected a category for every id.*{number}"):
        PanopticMap.of_ids([[7, 9]], categories, where="street.png")


def test_categories_change_and_an_unknown_one_is_an_error():
    panoptic = PanopticMap.of_ids([[7, 9]], {7: (1, False), 9: (92, False)})
    assert [each.category_id for each in panoptic.with_categories({1: 0, 92: 80}).segments] == [0, 80]
    with pytest.raises(DataError, match=r"street\.png, segment 9: .*found category 92"):
        panoptic.with_categories({1: 0}, where="street.png")


def test_the_class_map_ignores_pixels_without_a_segment():
    panoptic = PanopticMap.of_ids([[7, 0, 9]], {7: (1, False), 9: (4, True)})
    assert panoptic.class_map().tolist() == [[1, 255, 4]]
    assert panoptic.class_map(ignored=133).tolist() == [[1, 133, 4]]
