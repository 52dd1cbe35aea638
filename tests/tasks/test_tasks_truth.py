"""The ground truth of a sample as a result, for every task, and drawn."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData

from visionzoo.registry import task_names
from visionzoo.structures.panoptic import PanopticMap
from visionzoo.structures.task_sample import TaskSample
from visionzoo.tasks import task_of

SIZE = (41, 30)  # width, height
IMAGE = np.full((30, 41, 3), 90, np.uint8)
NAMES = ("cat", "dog", "sky")


def mask(top, bottom, left, right, shape=(30, 41)):
    values = np.zeros(shape, np.uint8)
    values[top:bottom, left:right] = 1
    return values


def detection_sample(masks=None, boxes=((2.0, 3.0, 12.0, 20.0), (15.0, 4.0, 40.0, 28.0))):
    known = {} if masks is None else {"masks": BitmapMasks(masks, *masks.shape[1:])}
    instances = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.arange(len(boxes)) % 2, **known)
    return DetDataSample(gt_instances=instances)


@pytest.mark.parametrize("name", sorted(task_names()))
def test_a_sample_without_truth_has_none(name):
    for sample in (TaskSample(), DetDataSample(gt_instances=InstanceData()), {}):
        assert task_of(name).truth(sample, SIZE, NAMES) is None


def test_boxes_and_masks_keep_their_place_and_have_score_one():
    task, masks = task_of("instances"), np.stack([mask(3, 20, 2, 12), mask(4, 28, 15, 40)])
    found = task.truth(detection_sample(masks), SIZE, NAMES)
    assert found.boxes.tolist() == [[2, 3, 12, 20], [15, 4, 40, 28]]
    assert (found.scores == 1).all()
    assert found.to_json()["names"] == ["cat", "dog"]
    assert [each["size"] for each in found.masks] == [[30, 41], [30, 41]]
    assert task.draw(IMAGE, found, 1).shape == IMAGE.shape
    as_dict = task.truth({"gt_instances": {"bboxes": found.boxes, "labels": found.labels}}, SIZE, None)
    assert as_dict.boxes.tolist() == found.boxes.tolist()
    assert as_dict.masks is None
    assert len(task.truth(detection_sample(boxes=()), SIZE, NAMES)) == 0


def test_one_several_and_mixed_classes():
    task = task_of("classification")
    assert task.truth(TaskSample(gt_label=torch.tensor(1)), SIZE, NAMES).to_json()["names"] == ["dog"]
    assert task.truth({"gt_labels": [0, 2]}, SIZE, NAMES).to_json()["names"] == ["cat", "sky"]
    mixed = task.truth(TaskSample(gt_label=1, gt_score=torch.tensor([0.25, 0.75, 0])), SIZE, NAMES)
    assert mixed.to_json() == {"labels": [1, 0], "scores": [0.75, 0.25], "names": ["dog", "cat"]}


@pytest.mark.parametrize("values", [255 * mask(5, 9, 3, 30), mask(5, 9, 3, 30).astype(bool)])
def test_a_map_of_grey_levels_or_of_bool(values):
    found = task_of("saliency").truth(TaskSample(gt_map=torch.from_numpy(values)), SIZE, None)
    assert (found.mask == mask(5, 9, 3, 30)).all()
    assert (found.map == found.mask).all()


def test_a_map_of_another_size_is_resized_by_the_nearest_pixel():
    small = mask(1, 2, 1, 2, (3, 4))
    found = task_of("saliency").truth({"gt_map": 255 * small}, (8, 6), None)
    assert (found.mask == np.kron(small, np.ones((2, 2)))).all()
    ids = task_of("saliency").truth({"gt_ids": 5 * small}, (4, 3), None)
    assert (ids.mask == small).all()


def test_each_image_of_a_group_has_its_own_truth():
    task = task_of("co_saliency")
    sample = TaskSample(gt_map=[255 * mask(1, 5, 1, 5), 255 * mask(2, 9, 3, 30)])
    found = [task.truth(each, SIZE, None) for each in task.members(sample)]
    assert [int(each.mask.sum()) for each in found] == [16, 189]
    both = task.members(TaskSample(gt_map=[1, 2], pred_map=[3, 4]))
    assert [(each.gt_map, each.pred_map) for each in both] == [(1, 3), (2, 4)]


def test_lanes_of_a_map_and_of_points():
    task, slots = task_of("lanes"), np.zeros((30, 41), np.uint8)
    slots[10:30, 4:7], slots[12:28, 30:33] = 2, 4
    found = task.truth(TaskSample(gt_map=torch.from_numpy(slots), gt_lanes=[]), SIZE, None)
    assert found.slots == (1, 3)
    assert found.scores == (1.0, 1.0)
    assert found.points[0][0].tolist() == [5, 29]
    assert found.points[0][-1].tolist() == [5, 10]
    points = task.truth({"gt_lanes": [np.array([[8.0, 2], [5, 20]]), np.zeros((0, 2))]}, SIZE, None)
    assert len(points) == 1
    assert points.points[0].tolist() == [[5, 20], [8, 2]]
    assert len(task.truth({"gt_lanes": []}, SIZE, None)) == 0


def test_a_count_has_the_density_of_the_sample_or_spots_at_its_points():
    task, points = task_of("counting"), torch.tensor([[3.0, 4.0], [30.0, 20.0], [40.9, 29.0]], dtype=torch.float64)
    found = task.truth(TaskSample(gt_points=points, gt_count=torch.tensor(3.0)), SIZE, None)
    assert found.count == 3
    assert found.density.shape == (30, 41)
    assert found.density.sum() == pytest.approx(3, abs=1e-4)
    assert np.unravel_index(found.density[10:25, 20:38].argmax(), (15, 18)) == (9, 9)
    given = task.truth(TaskSample(gt_density=torch.ones(3, 4), gt_count=torch.tensor(12.0)), SIZE, None)
    assert given.count == 12
    assert given.density.shape == (3, 4)
    assert task.truth({"gt_points": np.zeros((0, 2))}, SIZE, None).count == 0


def test_a_phrase_keeps_its_mask_and_may_mean_nothing():
    task = task_of("referring")
    sample = TaskSample(metainfo={"phrase": "left cat"}, gt_map=torch.from_numpy(255 * mask(5, 9, 3, 30)))
    found = task.truth(sample, SIZE, None)
    assert (found.phrase, found.score, found.box) == ("left cat", 1.0, [3, 5, 30, 9])
    nothing = task.truth({"phrase": "no cat", "gt_map": np.zeros((30, 41), np.uint8)}, SIZE, None)
    assert not nothing.is_found


def test_a_semantic_map_follows_the_image():
    task, moved = task_of("semantic"), np.where(mask(5, 9, 3, 30), 2, 255)
    sample = TaskSample(gt_sem_seg=PixelData(data=torch.from_numpy(moved)[None]), gt_semantic=torch.zeros(60, 80))
    found = task.truth(sample, SIZE, NAMES)
    assert found.to_json()["classes"] == [{"label": 2, "name": "sky", "share": pytest.approx(108 / 1230, abs=1e-6)}]
    assert task.truth({"gt_semantic": np.zeros((60, 80), np.uint8)}, SIZE, NAMES).labels.shape == (30, 41)


def test_panoptic_segments_of_a_map_and_of_training_targets():
    task, ids = task_of("panoptic"), np.ones((30, 41), np.uint32)
    ids[:3, :3], ids[10:20, 10:20] = 0, 7
    truth = PanopticMap.of_ids(ids, {1: (2, False), 7: (0, False)})
    found = task.truth(TaskSample(gt_panoptic=truth), SIZE, NAMES)
    assert (found.panoptic.ids == ids).all()
    assert found.labels.tolist() == [2, 0]
    sample = detection_sample(mask(10, 20, 10, 20)[None], boxes=((10.0, 10, 20, 20),))
    classes = np.full((30, 41), 2)
    classes[10:20, 10:20], classes[:3, :3] = 0, 255
    sample.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(classes)[None])
    trained = task.truth(sample, SIZE, NAMES)
    assert trained.labels.tolist() == [0, 2]
    assert trained.things == {1}
    assert ((trained.panoptic.ids == 0) == (ids == 0)).all()
    assert task.draw(IMAGE, trained, 1).shape == IMAGE.shape


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("classification", {"gt_label": 1}),
        ("saliency", {"gt_map": 255 * mask(5, 9, 3, 30)}),
        ("lanes", {"gt_map": 2 * mask(5, 29, 3, 9)}),
        ("counting", {"gt_points": np.array([[3.0, 4.0]])}),
        ("referring", {"gt_map": 255 * mask(5, 9, 3, 30), "phrase": "a"}),
        ("semantic", {"gt_semantic": mask(5, 9, 3, 30)}),
    ],
)
def test_truth_can_be_drawn(name, sample):
    task = task_of(name)
    drawn = task.draw(IMAGE, task.truth(sample, SIZE, NAMES), 2)
    assert drawn.shape[1] == 82
    assert (drawn != 90).any()
