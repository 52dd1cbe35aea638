"""The task of semantic segmentation: results, files, drawing, and the check of its metric."""

import io

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from PIL import Image

from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import InputError
from visionzoo.metrics.semantic import SemanticMetric
from visionzoo.structures.task_sample import TaskSample
from visionzoo.tasks import Tally, task_of

TASK = task_of("semantic")
NAMES = ("disc", "square", "sky")
LABELS = np.zeros((45, 70), np.int64)
LABELS[10:30, 20:60], LABELS[:2] = 2, 255


@pytest.fixture
def result():
    return TASK.read(TaskSample(pred_semantic=torch.from_numpy(LABELS)), (70, 45), NAMES)


def test_reads_maps_of_ours_and_of_mmseg(result):
    of_mmseg = TaskSample(pred_sem_seg=PixelData(data=torch.from_numpy(LABELS)[None]))
    other = TASK.read(of_mmseg, (70, 45), NAMES)
    assert (other.labels == result.labels).all()
    assert result.labels.dtype == np.uint8
    shares = {each["name"]: each["share"] for each in result.to_json()["classes"]}
    assert shares == {"disc": round((45 * 70 - 800 - 140) / 3150, 6), "sky": round(800 / 3150, 6)}
    assert result.to_row() == {"classes": 2, "largest": "disc", "share": shares["disc"]}


def test_a_sample_without_a_map_and_a_class_that_no_map_can_have_are_errors():
    with pytest.raises(InputError, match="no semantic map; use a model of mmseg, or PanopticFusion"):
        TASK.read(TaskSample(), (70, 45), NAMES)
    with pytest.raises(InputError, match="class 300; a map has classes from 0 to 254"):
        TASK.read(TaskSample(pred_semantic=torch.full((2, 2), 300)), (2, 2), NAMES)


def test_the_file_has_the_class_of_each_pixel(result):
    (kind,) = TASK.files
    assert (np.array(Image.open(io.BytesIO(kind.content(result)))) == LABELS).all()


def test_a_choice_of_classes_leaves_the_other_pixels_without_one(result):
    chosen = result.of_classes([2])
    assert set(np.unique(chosen.labels)) == {2, 255}
    assert result.of_classes([1]).to_row() == {"classes": 0, "largest": "", "share": 0.0}
    assert result.above(0.9) is result


def test_a_drawing_keeps_the_image_and_colours_only_classes(result):
    image = np.full((45, 70, 3), 90, np.uint8)
    drawn = TASK.draw(image, result, 4)
    assert drawn.shape == (180, 280, 3)
    assert (image == 90).all()
    assert (drawn[0] == 90).all()
    assert (drawn[80, 100] != 90).any()


def test_the_end_of_a_run_states_the_classes_of_a_map(result):
    total = TASK.tally(result, None) + TASK.tally(result.of_classes([2]), None)
    assert TASK.summary(total, 2, "0") == (
        "sky 2, disc 1 (number of maps with the class, of 2 images); a map has 1.5 classes on average"
    )
    assert TASK.summary(Tally(), 0, "0").startswith("the classes of 0 images")


def test_shaken_truth_has_scores_between_the_worst_and_the_best():
    data = dict(type="SemanticFolders", data_root="tiny://ade20k?train=8&val=1", img_folder="images/training",
                seg_folder="annotations/training", reduce_zero_label=True, serialize_data=False)  # fmt: skip
    dataset = build_dataset(data, where="data set")
    samples = [TASK.shaken(dataset.get_data_info(number), number, 0, 5) for number in range(len(dataset))]
    metric = SemanticMetric()
    metric.dataset_meta = dataset.metainfo
    metric.process(None, samples)
    assert 0.2 < metric.evaluate(len(samples))["sem/mIoU"] < 0.9


def test_scores_are_the_mean_probabilities_of_images():
    logits = torch.stack([torch.zeros(4, 5), torch.full((4, 5), 2.0)])
    samples = [TaskSample(pred_semantic=torch.ones(4, 5), seg_logits=PixelData(data=logits))]
    assert TASK.scores(samples).item() == pytest.approx(1 / (1 + np.exp(-2.0)))
    assert TASK.scores([TaskSample(pred_semantic=torch.ones(4, 5))]).item() == 1
