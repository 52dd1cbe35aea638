"""Drawn panoptic scenes: what every split has, and that equal addresses give equal scenes."""

import hashlib
import json

import numpy as np
import pytest
from numpy.random import RandomState
from PIL import Image

from visionzoo.datasets.panoptic.maps import folder_of_masks, maps_in
from visionzoo.datasets.panoptic.reading import read_panoptic
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.tiny.panoptic_scenes import CATEGORIES, COLOURS, draw_scene

COUNTS = "train=6&val=4&size=48"
FILES = {
    "coco_panoptic": ("annotations/panoptic_train2017.json", "annotations/panoptic_val2017.json"),
    "coconut": ("coconut_s.json", "relabeled_coco_val.json"),
}


def maps_of(path):
    file = read_panoptic(path)
    return file, list(maps_in(folder_of_masks(path), file))


@pytest.mark.parametrize("twin", FILES)
@pytest.mark.parametrize("split", [0, 1])
def test_every_split_has_all_classes_a_crowd_and_pixels_without_a_label(twin, split):
    path = resolve_data_root(f"tiny://{twin}?{COUNTS}") / FILES[twin][split]
    file, maps = maps_of(path)
    assert file.categories == CATEGORIES
    crowds = [[each.iscrowd for each in panoptic.segments] for _, panoptic in maps]
    assert [sum(each) for each in crowds] == [0, 1, 0, 0, 0, 0][: len(maps)]
    assert {each.category_id for _, panoptic in maps for each in panoptic.segments} == {1, 3, 8, 187, 193}
    assert all(0 < (panoptic.ids == 0).mean() < 0.1 for _, panoptic in maps)
    assert len({panoptic.size for _, panoptic in maps}) > 1
    assert any(height != width for _, panoptic in maps for height, width in [panoptic.size])
    things = [[each for each in panoptic.segments if each.category_id < 90] for _, panoptic in maps]
    assert [len(each) == 0 for each in things] == [False, False, True, False, False, False][: len(maps)]


def test_segments_have_the_colours_of_their_class():
    root = resolve_data_root(f"tiny://coconut?{COUNTS}")
    names = {each.id: each.name for each in CATEGORIES}
    for image, panoptic in maps_of(root / "coconut_s.json")[1]:
        photo = np.asarray(Image.open(root / "train2017" / image.file_name)).astype(int)
        for segment in panoptic.segments:
            middle = np.median(photo[panoptic.mask(segment)], axis=0)
            distances = {name: np.abs(middle - colour).sum() for name, colour in COLOURS.items()}
            assert min(distances, key=distances.get) == names[segment.category_id]


def test_forms_of_the_two_data_sets():
    coco, coconut = (resolve_data_root(f"tiny://{twin}?{COUNTS}") / FILES[twin][0] for twin in FILES)
    first, second = (json.loads(path.read_text())["annotations"] for path in (coco, coconut))
    assert {tuple(sorted(each)) for one in first for each in one["segments_info"]} == {
        ("area", "bbox", "category_id", "id", "iscrowd")
    }
    assert {tuple(sorted(each)) for one in second for each in one["segments_info"]} == {
        ("area", "category_id", "id", "iscrowd", "isthing")
    }
    assert all(
        [each["id"] for each in one["segments_info"]] == list(range(1, len(one["segments_info"]) + 1)) for one in second
    )
    numbers = [each["id"] for one in first for each in one["segments_info"]]
    assert max(numbers) > 256**2
    assert numbers != sorted(numbers)


def test_the_coarse_annotations_of_the_same_images():
    root = resolve_data_root(f"tiny://coconut?{COUNTS}")
    fine, coarse = (maps_of(root / name)[1] for name in ("relabeled_coco_val.json", "panoptic_val2017.json"))
    assert [image.file_name for image, _ in fine] == [image.file_name for image, _ in coarse]
    for (_, relabeled), (_, old) in zip(fine, coarse, strict=True):
        assert (relabeled.ids == 0).sum() > (old.ids == 0).sum()
        assert 0.8 < (relabeled.ids == old.ids).mean() < 1


def test_scenes_do_not_change():
    scenes = [draw_scene(RandomState([0, 0, index]), 48, index) for index in range(4)]
    digest = hashlib.sha256(b"".join(scene.image.tobytes() + scene.ids.tobytes() for scene in scenes)).hexdigest()
    assert digest[:16] == "26da23e7dac5fe24"


def test_objects_may_be_left_out_but_stuff_is_always_there():
    for index in range(3, 30):
        scene = draw_scene(RandomState([1, index]), 32, index)
        assert {"sky", "grass"} <= {scene.names[number - 1] for number in np.unique(scene.ids) if number}
