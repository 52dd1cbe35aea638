"""Scores of semantic maps: equal to loops over the definitions, and right at their edges."""

import math

import numpy as np
import pytest
from scipy import ndimage

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.metrics.boundaries import boundary_width
from visionzoo.metrics.semantic import SemanticMetric, count_pixels, semantic_scores

CLASSES = ("road", "sky", "tree", "sea")


def random_maps(rng, size=(33, 50)):
    """Return a truth of blocks with ignored pixels, and a prediction that differs in places."""
    truth = np.kron(rng.integers(0, 3, (4, 5)), np.ones((9, 10), int))[: size[0], : size[1]]
    prediction = np.roll(truth, rng.integers(0, 3), axis=1)
    prediction[rng.random(size) < 0.05] = 3  # a class that the truth lacks
    truth[:3] = 255
    return truth, prediction


def by_definition(pairs, definition):
    """Return the four scores by loops over classes."""
    true, found = (np.concatenate([each[side].ravel() for each in pairs]) for side in (0, 1))
    true, found = true[true != 255], found[true != 255]
    iou, weighted, accuracy = [], 0, []
    for label in range(len(CLASSES)):
        mine, theirs = true == label, found == label
        if mine.any() or (definition == "mmseg" and theirs.any()):
            iou.append((mine & theirs).sum() / (mine | theirs).sum())
        if mine.any():
            accuracy.append((mine & theirs).sum() / mine.sum())
            weighted += (mine & theirs).sum() / (mine | theirs).sum() * mine.sum() / len(true)
    return np.mean(iou), weighted, np.mean(accuracy), (true == found).mean()


@pytest.mark.parametrize("definition", ["detectron2", "mmseg"])
def test_scores_equal_loops_over_the_definition(definition):
    rng = np.random.default_rng(4)
    pairs = [random_maps(rng) for _ in range(4)]
    images = [count_pixels(truth, found, len(CLASSES)) for truth, found in pairs]
    numbers = semantic_scores(images, CLASSES, definition).numbers
    expected = by_definition(pairs, definition)
    assert [numbers[name] for name in ("mIoU", "fwIoU", "mACC", "pACC")] == pytest.approx(expected, abs=1e-12)


def test_the_definitions_differ_for_a_class_that_is_only_predicted():
    images = [count_pixels([[0, 0, 0, 0]], [[0, 0, 0, 1]], 2)]
    assert semantic_scores(images, CLASSES[:2], "detectron2").numbers["mIoU"] == 0.75
    assert semantic_scores(images, CLASSES[:2], "mmseg").numbers["mIoU"] == 0.375


def test_equals_mmseg_on_the_same_maps():
    import torch
    from mmseg.evaluation.metrics import IoUMetric

    rng = np.random.default_rng(8)
    pairs = [random_maps(rng) for _ in range(3)]
    parts = [
        IoUMetric.intersect_and_union(torch.from_numpy(found), torch.from_numpy(truth), len(CLASSES), 255)
        for truth, found in pairs
    ]
    sums = [sum(part[index] for part in parts) for index in range(4)]
    theirs = IoUMetric.total_area_to_metrics(*sums)
    numbers = semantic_scores([count_pixels(*pair, len(CLASSES)) for pair in pairs], CLASSES, "mmseg").numbers
    expected = [np.nanmean(theirs["IoU"]), np.nanmean(theirs["Acc"]), float(theirs["aAcc"])]
    assert [numbers[name] for name in ("mIoU", "mACC", "pACC")] == pytest.approx(expected, abs=1e-6)


def test_boundaries_equal_erosions_of_whole_images():
    rng = np.random.default_rng(6)
    for _ in range(5):
        truth, found = random_maps(rng)
        width = boundary_width(truth.shape)
        counted = count_pixels(truth, found, len(CLASSES), boundary=True).boundaries
        for label in range(len(CLASSES)):
            mine, theirs = (_edge(each == label, width) & (truth != 255) for each in (truth, found))
            expected = (mine & theirs).sum(), mine.sum(), theirs.sum()
            assert counted.get(label, (0, 0, 0)) == expected


def _edge(mask, width):
    return mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=0)


def test_a_map_against_itself_is_perfect():
    truth, _ = random_maps(np.random.default_rng(0))
    scores = semantic_scores([count_pixels(truth, truth, 4, boundary=True)], CLASSES, boundary=True)
    assert set(scores.numbers.values()) == {1.0}


def test_pixels_without_a_predicted_class_are_wrong():
    scores = semantic_scores([count_pixels([[0, 0, 1, 1]], [[0, 255, 1, 255]], 2)], CLASSES[:2])
    assert scores.numbers["pACC"] == scores.numbers["mIoU"] == 0.5
    assert scores.confusion.tolist() == [[1, 0], [0, 1], [1, 1]]


def test_a_truth_without_any_class_has_no_numbers():
    scores = semantic_scores([count_pixels([[255, 255]], [[0, 1]], 2, boundary=True)], CLASSES[:2], boundary=True)
    assert all(math.isnan(value) for value in scores.numbers.values())
    assert math.isnan(scores.per_class[0]["IoU"])


def test_maps_of_uint8_are_not_added_modulo_256():
    truth = np.array([[130, 132]], np.uint8)
    assert count_pixels(truth, truth, 133, boundary=True).confusion == {(130, 130): 1, (132, 132): 1}


@pytest.mark.parametrize(
    ("truth", "found", "message"),
    [
        ([[0, 9]], [[0, 0]], r"a\.png: truth: expected class indices below 4, or 255 .*found 9"),
        ([[0, 1]], [[0, -1]], r"a\.png: prediction: .*found -1"),
        ([[0, 1]], [[0]], r"a\.png: expected a predicted map of \(1, 2\)"),
        ([0, 1], [0, 1], "one class index for each pixel"),
    ],
)
def test_maps_that_do_not_fit_are_an_error(truth, found, message):
    with pytest.raises(DataError, match=message):
        count_pixels(truth, found, 4, where="a.png")


def metric_of(**options):
    metric = SemanticMetric(boundary=True, **options)
    metric.dataset_meta = {"classes": CLASSES}
    return metric


def test_parts_of_a_data_set_in_any_order_give_the_same_numbers():
    rng = np.random.default_rng(2)
    samples = [dict(zip(("gt_semantic", "pred_semantic"), random_maps(rng), strict=True)) for _ in range(7)]
    whole, parts = metric_of(), [metric_of(), metric_of()]
    whole.process(None, samples)
    for number, part in enumerate(parts):
        part.process(None, samples[number::2])
    together = whole.compute_metrics(parts[1].results + parts[0].results)
    expected = whole.evaluate(size=len(samples))
    assert {f"sem/{name}": value for name, value in together.items()} == expected
    assert 0 < expected["sem/boundary_mIoU"] < expected["sem/mIoU"] < 1
    assert [f"sem/{name}" for name in whole.possible_names()] == list(expected)
    assert [row["class"] for row in whole.per_class["semantic"]] == list(CLASSES)


def test_wrong_settings_are_errors():
    with pytest.raises(UnknownName, match="definition"):
        SemanticMetric(definition="pascal")
    with pytest.raises(ConfigError, match="classes in the data set's metainfo"):
        SemanticMetric().process(None, [])
    metric = SemanticMetric(num_classes=2)
    metric.process(None, [{"gt_semantic": [[0, 1]], "pred_semantic": [[0, 1]]}])
    assert metric.evaluate(size=1)["sem/mIoU"] == 1
    with pytest.raises(DataError, match="pred_semantic in every sample"):
        metric.process(None, [{"gt_semantic": [[0, 1]]}])
