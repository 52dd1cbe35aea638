"""Conversions of panoptic maps: nothing is lost on the way to instances and stuff and back."""

import json

import numpy as np
import pytest
from numpy.random import RandomState
from panoptic_files import CATEGORIES, HEIGHT, WIDTH, annotation, ids_of, record, write_panoptic_data

from visionzoo.datasets.coco_file import read_coco
from visionzoo.datasets.panoptic.combining import Region, combined, joined, regions_of
from visionzoo.datasets.panoptic.files import PanopticFile, PanopticImage
from visionzoo.datasets.panoptic.instances import as_coconut, boxes_record, instances_record
from visionzoo.datasets.panoptic.joining import Source, join, write_joined
from visionzoo.datasets.panoptic.maps import folder_of_masks, map_in, maps_in
from visionzoo.datasets.panoptic.polygons import outlines_of, polygons_of, simplified
from visionzoo.datasets.panoptic.reading import read_panoptic
from visionzoo.datasets.panoptic.semantic import category_map, index_map, renumbered, stuff_of_index_map
from visionzoo.datasets.panoptic.writing import write_panoptic
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError, UnknownName
from visionzoo.structures.detections import decode_mask
from visionzoo.structures.panoptic import PanopticCategory, PanopticMap

CAT, DOG, SKY, SEA = (
    PanopticCategory(1, "cat", True),
    PanopticCategory(4, "dog", True),
    PanopticCategory(187, "sky", False),
    PanopticCategory(155, "sea", False),
)
KNOWN = (SKY, CAT, DOG, SEA)


def partition_of(panoptic):
    """Return the segments without their numbers, as a set."""
    return {(panoptic.mask(each).tobytes(), each.category_id, each.iscrowd) for each in panoptic.segments}


def random_map(seed):
    """Return a map with several things, one segment for each kind of stuff, and pixels without a label."""
    rng = RandomState(seed)
    size = tuple(rng.randint(1, 30, 2))
    numbers = rng.choice(200_000, 7, replace=False) + 1
    ids = np.array([0, *numbers])[rng.randint(0, 8, size)]
    categories = dict(
        zip(numbers.tolist(), [(1, False), (1, False), (4, True), (4, False), (187, False), (155, False)])
    )
    ids[ids == numbers[6]] = 0
    present = set(np.unique(ids).tolist())
    return PanopticMap.of_ids(ids, {number: kind for number, kind in categories.items() if number in present})


@pytest.mark.parametrize("seed", range(12))
def test_instances_and_a_semantic_map_give_the_same_partition(seed):
    panoptic = random_map(seed)
    image = PanopticImage(1, "a.jpg", mask="a.png")
    file = PanopticFile("a.json", [image], KNOWN)
    instances = instances_record(file, [(image, panoptic)])["annotations"]
    stuff = stuff_of_index_map(index_map(panoptic, KNOWN), KNOWN)
    regions = [*regions_of(instances), *(Region(category, mask) for category, mask in stuff.items())]
    assert partition_of(joined(regions, panoptic.size)) == partition_of(panoptic)


@pytest.mark.parametrize("twin", ["coco_panoptic", "coconut"])
def test_what_is_written_is_read_again(twin, tmp_path):
    root = resolve_data_root(f"tiny://{twin}?train=4&val=4&size=40")
    name = "annotations/panoptic_val2017.json" if twin == "coco_panoptic" else "relabeled_coco_val.json"
    file = read_panoptic(root / name)
    maps = list(maps_in(folder_of_masks(root / name), file))
    write_panoptic(tmp_path, "again", maps, file.categories, info=file.info)
    again = read_panoptic(tmp_path / "again.json")
    assert again.categories == file.categories
    for (image, panoptic), (other, same) in zip(maps, maps_in(tmp_path / "again", again), strict=True):
        assert np.array_equal(panoptic.ids, same.ids)
        assert panoptic.segments == same.segments
        assert (image.id, image.file_name, image.height, image.width) == (
            other.id,
            other.file_name,
            other.height,
            other.width,
        )
        assert [each["area"] for each in other.segments] == [each.area for each in panoptic.segments]
        assert [tuple(each["bbox"]) for each in other.segments] == [each.bbox for each in panoptic.segments]


def test_instances_of_a_twin_equal_those_it_was_drawn_with(tmp_path):
    root = resolve_data_root("tiny://coco_panoptic?train=4&val=4&size=40")
    path = root / "annotations" / "panoptic_val2017.json"
    file = read_panoptic(path)
    ours = instances_record(file, maps_in(folder_of_masks(path), file))
    (tmp_path / "instances.json").write_text(json.dumps(ours))
    drawn = read_coco(root / "annotations" / "instances_val2017.json")
    again = read_coco(tmp_path / "instances.json")
    assert again["annotations"] == drawn["annotations"]
    assert {each["iscrowd"] for each in drawn["annotations"]} == {0, 1}
    assert [each["name"] for each in again["categories"]] == ["disc", "square", "triangle"]


def test_instances_with_stuff_and_images_without_annotation():
    image, other = PanopticImage(1, "a.jpg", mask="a.png"), PanopticImage(2, "b.jpg", 4, 6)
    file = PanopticFile("a.json", [image, other], KNOWN)
    panoptic = PanopticMap.of_ids([[1, 2, 0]], {2: (187, False), 1: (4, False)})
    things = instances_record(file, [(image, panoptic)])
    both = instances_record(file, [(image, panoptic)], with_stuff=True)
    assert [each["category_id"] for each in things["annotations"]] == [4]
    assert [each["category_id"] for each in both["annotations"]] == [187, 4]
    assert [(each["id"], each["height"], each["width"]) for each in both["images"]] == [(1, 1, 3), (2, 4, 6)]
    assert len(both["categories"]) == 4
    with pytest.raises(UnknownName, match="no form of instances is called 'polygon'"):
        instances_record(file, [], "polygon")


def test_coconut_form_spends_ids_on_instances_that_vanish():
    ids = np.zeros((6, 9), int)
    ids[0, 0], ids[:, 3:8] = 3, 5
    panoptic = PanopticMap.of_ids(ids, {3: (1, False), 5: (1, False)})
    image = PanopticImage(1, "a.jpg", mask="a.png")
    file = PanopticFile("a.json", [image], KNOWN)
    (kept,) = instances_record(file, [(image, panoptic)], "coconut")["annotations"]
    assert (kept["id"], kept["area"]) == (2, 30)  # a single pixel has no polygon left, and the id 1
    assert kept["bbox"] == [3.0, 0.0, 4.0, 5.0]
    assert len(instances_record(file, [(image, panoptic)], "rle")["annotations"]) == 2


def test_a_crowd_in_coconut_form_is_an_uncompressed_code():
    panoptic = PanopticMap.of_ids([[7, 0], [7, 7]], {7: (1, True)})
    found = as_coconut(panoptic, panoptic.segments[0])
    assert found["segmentation"] == {"counts": [0, 2, 1, 1], "size": [2, 2]}
    (region,) = regions_of([{**found, "size": (2, 2)}])
    assert np.array_equal(region.mask, panoptic.ids == 7)


def test_boxes_have_the_edges_of_the_pixels():
    panoptic = PanopticMap.of_ids(ids_of(), {1: (1, False), 2: (4, False), 3: (187, False)})
    image = PanopticImage(9, "9.jpg", mask="9.png")
    (found,) = boxes_record(PanopticFile("a.json", [image], KNOWN), [(image, panoptic)])
    assert [each["bbox"] for each in found["bbox_infos"]] == [[0, 0, 3, 2], [4, 0, 7, 3]]


# --- polygons ---


def test_outlines_are_on_both_sides_of_every_border():
    for seed in range(30):
        rng = RandomState(seed)
        mask = rng.rand(*rng.randint(1, 14, 2)) < 0.5
        halves = {tuple(point) for outline in outlines_of(mask) for point in outline.tolist()}
        padded = np.pad(mask, 1)
        rows, columns = padded[1:] != padded[:-1], padded[:, 1:] != padded[:, :-1]
        expected = {(row - 0.5, column - 1.0) for row, column in np.argwhere(rows).tolist()}
        expected |= {(row - 1.0, column - 0.5) for row, column in np.argwhere(columns).tolist()}
        assert halves == expected


def test_a_hole_has_a_polygon_of_its_size():
    mask = np.ones((20, 24), bool)
    mask[6:14, 8:16] = False
    outer, hole = polygons_of(mask)
    assert min(outer) == 0
    assert max(outer) >= 23
    for values, first, last in ((hole[::2], 7.5, 15.5), (hole[1::2], 5.5, 13.5)):
        assert first <= min(values) <= first + 0.5
        assert last - 0.5 <= max(values) <= last


def test_simplified_keeps_points_beyond_the_tolerance():
    line = np.array([[0.0, 0.0], [0.0, 4.0], [3.0, 5.0], [0.0, 6.0], [0.0, 9.0]])
    assert simplified(line, 2.5).tolist() == [[0.0, 0.0], [3.0, 5.0], [0.0, 9.0]]
    assert len(simplified(line, 3.0)) == 2
    assert len(simplified(line, 0.0)) == 5


# --- semantic maps ---


def test_semantic_maps_of_both_kinds():
    panoptic = PanopticMap.of_ids([[1, 2, 3, 0]], {1: (155, False), 2: (4, True), 3: (1, False)})
    assert index_map(panoptic, KNOWN).tolist() == [[3, 1, 0, 255]]  # things first: cat, dog, sky, sea
    assert category_map(panoptic, KNOWN).tolist() == [[155, 4, 1, 0]]
    assert category_map(panoptic, KNOWN, things_together=True).tolist() == [[155, 183, 183, 0]]
    large = (*KNOWN, PanopticCategory(300, "fog", False))
    assert category_map(PanopticMap.of_ids([[1]], {1: (300, False)}), large).dtype == np.uint16
    with pytest.raises(DataError, match="segment 1: expected one of 4 known categories, found category 300"):
        index_map(PanopticMap.of_ids([[1]], {1: (300, False)}), KNOWN)


def test_renumbered_keeps_the_partition():
    for seed in range(4):
        panoptic = random_map(seed)
        again = renumbered(panoptic)
        assert [each.id for each in again.segments] == list(range(1, len(panoptic.segments) + 1))
        assert partition_of(again) == partition_of(panoptic)


# --- combining ---


def test_masks_that_meet_are_not_joined():
    one, two = Region(1, np.array([[True, True, False]])), Region(4, np.array([[False, True, True]]))
    with pytest.raises(
        DataError, match=r"a\.png: expected masks that share no pixel, found 1 pixels of categories 1 and 4"
    ):
        joined([one, two], (1, 3), "a.png")
    with pytest.raises(DataError, match="mask of category 1: expected 4x1 pixels, found 3x1"):
        joined([one], (1, 4))


def test_the_heuristic_by_hand():
    row = np.arange(10)[None]
    first, second = Region(1, row < 4, 0.6), Region(4, (row >= 2) & (row < 6), 0.9)
    weak, gone = Region(1, row == 9, 0.49), Region(1, (row >= 3) & (row < 7), 0.5)
    stuff = [Region(187, row >= 0), Region(155, row >= 0)]
    panoptic = combined([first, second, weak, gone], stuff, (1, 10), stuff_area=4)
    assert panoptic.ids.tolist() == [[2, 2, 1, 1, 1, 1, 3, 3, 3, 3]]
    assert [each.category_id for each in panoptic.segments] == [4, 1, 187]
    assert combined([], stuff, (1, 10), stuff_area=11).segments == ()


# --- merging of data sets ---


def source(folder, content, name):
    path = write_panoptic_data(folder, content, name)
    return Source(name, read_panoptic(path), folder_of_masks(path))


def test_data_sets_of_two_shapes_are_merged(tmp_path):
    first = source(tmp_path / "s", None, "coconut_s")
    content = record()
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = "x"
    content["images"][0]["file_name"] = "unknown.jpg"
    content["annotations"][0]["object365_file_name"] = "objects365_v2_9.jpg"  # another image, with an id of text
    del content["images"][0]["height"], content["categories"]
    content["images"].append({"id": 12_000, "file_name": "000000000009.jpg"})  # an image that the first source has
    content["images"].append({"id": 9, "file_name": "new.jpg"})  # another image, with an id that is taken
    second = source(tmp_path / "l", content, "coconut_l")
    (tmp_path / "l" / "coconut_l" / "000000000009.png").rename(tmp_path / "l" / "coconut_l" / "objects365_v2_9.png")
    first.file.categories = second.file.categories
    merged = join([first, second])
    (tmp_path / "out").mkdir()
    written = write_joined(tmp_path / "out", "all", merged)
    ids = [each["id"] for each in written["images"]]
    assert len(set(ids)) == len(ids) == len({each["file_name"] for each in written["images"]})
    assert [(each["id"], each["file_name"], each["source"]) for each in written["images"]] == [
        (9, "000000000009.jpg", "coconut_s"),
        (12, "000000000012.jpg", "coconut_s"),
        (12_001, "objects365_v2_9.jpg", "coconut_l"),
        (12_002, "new.jpg", "coconut_l"),
    ]
    assert (merged.dropped, merged.renumbered) == ({"coconut_l": 2}, {"coconut_l": 2})
    assert [(each["height"], each["width"]) for each in written["images"][:3]] == [(HEIGHT, WIDTH)] * 3
    again = read_panoptic(tmp_path / "out" / "all.json")
    for image in again.annotated:
        numbers = (70_000, 256, 3) if image.id == 12 else (1, 2, 3)
        assert np.array_equal(map_in(tmp_path / "out" / "all", image, "all.json").ids, ids_of(*numbers))
    assert [image.source for image in again.images] == ["coconut_s", "coconut_s", "coconut_l", "coconut_l"]


def test_links_and_a_missing_png(tmp_path):
    first = source(tmp_path / "s", None, "coconut_s")
    (tmp_path / "out").mkdir()
    write_joined(tmp_path / "out", "all", join([first]), link=True)
    assert all(path.is_symlink() for path in (tmp_path / "out" / "all").iterdir())
    (tmp_path / "s" / "coconut_s" / "000000000012.png").unlink()
    (tmp_path / "again").mkdir()
    with pytest.raises(DataError, match=r"000000000012\.png: expected the PNG of image 12 .*found no such file"):
        write_joined(tmp_path / "again", "all", join([first]))


def test_categories_that_differ_are_not_merged(tmp_path):
    first = source(tmp_path / "s", None, "s")
    changed = [{**each, "isthing": 1} if each["id"] == 187 else each for each in CATEGORIES]
    second = source(tmp_path / "l", record(categories=changed, annotations=[annotation(9)]), "l")
    with pytest.raises(DataError, match="category 187: expected the stuff 'sky' as in s, found the thing 'sky'"):
        join([first, second])


def test_run_length_codes_are_lossless():
    panoptic = random_map(3)
    image = PanopticImage(1, "a.jpg", mask="a.png")
    record_ = instances_record(PanopticFile("a.json", [image], KNOWN), [(image, panoptic)], with_stuff=True)
    for each, segment in zip(record_["annotations"], panoptic.segments, strict=True):
        assert np.array_equal(decode_mask(each["segmentation"]), panoptic.mask(segment))
