"""The task of panoptic segmentation: results, drawing, rows, the JSON document, and the check of its metric."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import InputError
from visionzoo.metrics.panoptic import PanopticQualityMetric
from visionzoo.structures.panoptic import PanopticMap
from visionzoo.structures.panoptic_results import panoptic_result_of
from visionzoo.structures.task_sample import TaskSample
from visionzoo.tasks import Tally, task_of

TASK = task_of("panoptic")
NAMES = ("disc", "square", "sky")


def scene(height=45, width=70):
    """Return the map of two discs on sky, with a strip without a segment."""
    ids = np.ones((height, width), np.uint32)
    ids[5:20, 5:20], ids[25:40, 30:60], ids[:, -6:] = 2, 300, 0
    return PanopticMap.of_ids(ids, {1: (2, False), 2: (0, False), 300: (0, False)})


def predicted(panoptic, scores=(0.9, 0.8, 0.3), things=(2, 300)):
    sample = TaskSample(pred_panoptic=panoptic, pred_panoptic_scores=torch.tensor(scores))
    numbers = np.where(np.isin(panoptic.ids, things), panoptic.ids * 1000, 2)
    sample.pred_panoptic_seg = PixelData(sem_seg=torch.from_numpy(numbers.astype(np.int32))[None])
    return sample


@pytest.fixture
def result():
    return TASK.read(predicted(scene()), (70, 45), NAMES)


def test_reads_segments_scores_and_kinds(result):
    assert len(result) == 3
    assert result.things == {2, 300}
    assert [each["name"] for each in result.to_json()["segments"]] == ["sky", "disc", "disc"]
    assert [each["isthing"] for each in result.to_json()["segments"]] == [0, 1, 1]
    assert result.to_row() == {"segments": 3, "things": 2, "stuff": 1, "labelled": round(64 / 70, 6)}


def test_a_sample_without_a_map_names_the_part_to_use():
    with pytest.raises(InputError, match=r"use PanopticFusion as model\.panoptic_fusion_head"):
        TASK.read(TaskSample(), (70, 45), NAMES)


def test_scores_that_do_not_fit_the_segments_are_an_error():
    with pytest.raises(InputError, match="without a finite score each"):
        TASK.read(predicted(scene(), scores=(0.9, 0.8)), (70, 45), NAMES)
    with pytest.raises(InputError, match="without a finite score each"):
        TASK.read(predicted(scene(), scores=(0.9, 0.8, np.nan)), (70, 45), NAMES)


def test_a_threshold_and_a_choice_of_classes_leave_pixels_without_a_segment(result):
    above = result.above(0.5)
    assert [each.id for each in above.panoptic.segments] == [1, 2]
    assert set(np.unique(above.panoptic.ids)) == {0, 1, 2}
    assert [each.id for each in result.above(0.5, {0: 0.2}).panoptic.segments] == [1, 2, 300]
    assert [each.id for each in result.of_classes([2]).panoptic.segments] == [1]
    assert len(result.of_classes([1])) == 0
    assert result.of_classes([1]).best_score is None


def test_the_document_is_the_format_of_coco(result):
    document = TASK.document
    assert document.values(NAMES, [1, 3, 187], 2)["categories"] == [
        {"id": 1, "name": "disc", "isthing": 1},
        {"id": 3, "name": "square", "isthing": 1},
        {"id": 187, "name": "sky", "isthing": 0},
    ]
    entry = document.entry(result, "val/000000000142.jpg", {"panoptic": "panoptic/val/000000000142.png"}, [1, 3, 187])
    assert (entry["image_id"], entry["file_name"]) == (142, "val/000000000142.png")
    assert [each["category_id"] for each in entry["segments_info"]] == [187, 1, 1]
    assert [each["id"] for each in entry["segments_info"]] == [1, 2, 300]
    assert document.entry(result, "dog.jpg", {"panoptic": "panoptic/dog.png"}, None)["image_id"] == "dog"


def test_models_with_the_classes_of_coco_have_their_names_and_ids():
    names = TASK.class_names({80, 133})
    assert (names[0], names[80], len(names)) == ("person", "banner", 133)
    assert TASK.category_ids(names)[-1] == 200
    assert TASK.class_names({80}) is None
    assert TASK.category_ids(NAMES) is None
    assert sum(each["isthing"] for each in TASK.document.values(names, None, None)["categories"]) == 80
    assert "isthing" not in TASK.document.values(NAMES, None, None)["categories"][0]


def test_a_drawing_keeps_the_image_and_colours_only_segments(result):
    image = np.full((45, 70, 3), 90, np.uint8)
    drawn = TASK.draw(image, result, 4)
    assert drawn.shape == (180, 280, 3)
    assert (image == 90).all()
    assert (drawn[20:24, 264:] == 90).all()  # no segment
    inside = [drawn[4 * y, 4 * x].tolist() for y, x in ((2, 2), (7, 6), (38, 32))]
    assert len({tuple(colour) for colour in inside}) == 3  # objects of a class differ


def test_nothing_found_is_drawn_as_the_image(result):
    image = np.full((45, 70, 3), 90, np.uint8)
    assert (TASK.draw(image, result.of_classes([1]), 2) == 90).all()


def test_the_end_of_a_run_counts_segments(result):
    total = sum((TASK.tally(each, 0.9) for each in (result, result.of_classes([1]))), Tally())
    assert TASK.summary(total, 2, "0") == "2 disc, 1 sky in 1 of 2 images"


def test_shaken_truth_has_a_quality_between_the_worst_and_the_best():
    data = dict(type="PanopticDataset", ann_file="coconut_s.json", data_prefix=dict(img="train2017/"),
                data_root="tiny://coconut?train=8&val=1", serialize_data=False)  # fmt: skip
    dataset = build_dataset(data, where="data set")
    metric = PanopticQualityMetric()
    metric.dataset_meta = dataset.metainfo
    samples = [TASK.shaken(dataset.get_data_info(number), number, 0, 5) for number in range(len(dataset))]
    metric.process(None, samples)
    assert 0.3 < metric.evaluate(len(samples))["pq/PQ"] < 0.95


def test_scores_of_all_segments_are_joined():
    samples = [predicted(scene()), TaskSample(pred_panoptic_scores=torch.zeros(0))]
    assert TASK.scores(samples).tolist() == pytest.approx([0.9, 0.8, 0.3])


def test_a_result_without_scores_has_ones():
    assert panoptic_result_of(scene()).scores.tolist() == [1.0, 1.0, 1.0]
    assert panoptic_result_of(scene()).to_row()["things"] == ""
