"""Figures of a test report: their numbers are those of the metrics, and what cannot be drawn is said."""

from __future__ import annotations

import pickle
import re
from math import log
from typing import Any

import numpy as np
import pytest

from visionzoo.metrics.classification import ClassificationMetric
from visionzoo.metrics.counting import CountMetric
from visionzoo.metrics.lanes import CULaneMetric, TuSimpleMetric
from visionzoo.metrics.panoptic import PanopticQualityMetric
from visionzoo.metrics.referring import ReferMetric
from visionzoo.metrics.registration import RegistrationMetric
from visionzoo.metrics.saliency import SaliencyMetric
from visionzoo.metrics.semantic import SemanticMetric
from visionzoo.reports.figure import Draft, Figure
from visionzoo.structures.panoptic import PanopticMap
from visionzoo.tasks import task_of

NAMES = [f"class {label}, whose name is longer than any column of a table" for label in range(3)]
TASKS = (
    *("classification", "co_saliency", "counting", "detection", "instances", "lanes", "panoptic", "referring"),
    *("registration", "saliency", "semantic"),
)


def figures(task: str, samples: list[Any], names: list[str] | None = None, kept: int = 1000) -> dict[str, Figure]:
    """Return the figures of samples by name, after records took the way through another process."""
    found = task_of(task)
    records = [found.evidence(sample, names) for sample in samples]
    text = pickle.dumps(records)
    assert len(text) / len(records) < kept
    drafts = found.figures([record for record in pickle.loads(text) if record is not None], names)
    drawn = [each.draw() if isinstance(each, Draft) else each for each in drafts]
    for each, draft in zip(drawn, drafts, strict=True):
        assert each.title.startswith(draft.title)
        assert each.image.dtype == np.uint8
        assert each.image.shape[1] <= 1000
        assert each.image.shape[2] == 3
        assert each.caption.endswith(".")
        assert not re.search(r"\bnan\b", re.sub("have nan|with nan", "", each.caption))
        assert all(len(row) == len(each.columns) for row in each.rows)
    return {each.name: each for each in drawn}


def measured(metric: Any, samples: list[Any], **meta: Any) -> dict[str, float]:
    metric.dataset_meta = meta
    metric.process(None, samples)
    return {name.partition("/")[2]: value for name, value in metric.evaluate(size=len(samples)).items()}


@pytest.mark.parametrize("task", TASKS)
def test_no_record_gives_a_sentence(task: str) -> None:
    (figure,) = task_of(task).figures([], None)
    assert figure.caption.startswith("No ")
    assert (figure.image < 200).any()


@pytest.mark.parametrize("task", [each for each in TASKS if each not in ("classification", "registration")])
def test_a_sample_without_truth_has_no_record_and_no_error(task: str) -> None:
    sample = {"pred_map": np.zeros((3, 4)), "pred_mask": np.zeros((3, 4)), "pred_count": 1.0, "pred_lanes": []}
    assert task_of(task).evidence(sample, None) is None
    assert task_of(task).error(sample, None) is None


# --- classes


def class_sample(label: int, scores: list[float]) -> dict[str, Any]:
    return {"gt_label": label, "pred_score": np.array(scores)}


def test_classes_have_the_accuracy_of_the_metric() -> None:
    random = np.random.default_rng(0)
    samples = [class_sample(int(random.integers(3)), random.dirichlet(np.ones(3)).tolist()) for _ in range(60)]
    found = figures("classification", samples, NAMES, kept=200)
    accuracy = measured(ClassificationMetric(topk=1), samples)["top1"]
    assert f"an accuracy of {accuracy:.4f}" in found["confusion_matrix"].caption
    assert sum(int(row[2]) for row in found["confusion_matrix"].rows) == round(60 * (1 - accuracy))
    assert sum(int(row[1]) for row in found["reliability"].rows) == 60
    assert "(ECE) is 0." in found["reliability"].caption


def test_a_thousand_classes_and_one() -> None:
    samples = [class_sample(label % 1000, np.eye(1000)[(label * 7) % 1000].tolist()) for label in range(1, 60)]
    found = figures("classification", samples, None, kept=200)
    assert "Drawn are 20 of 1000 classes" in found["confusion_matrix"].caption
    assert len(found["confusion_matrix"].rows) == 20
    assert "accuracy of 1.0000" in figures("classification", [class_sample(0, [1.0])])["confusion_matrix"].caption


def test_scores_that_are_no_probabilities_or_no_numbers() -> None:
    task = task_of("classification")
    assert "not probabilities" in figures("classification", [class_sample(0, [3.0, -2.0])])["reliability"].caption
    assert task.error(class_sample(0, [3.0, -2.0]), None) is None
    bad = class_sample(0, [np.nan, np.nan])
    found = figures("classification", [bad, class_sample(1, [0.2, 0.8])])
    assert "accuracy of 0.5000. Not drawn: 1 image with nan" in found["confusion_matrix"].caption
    assert task.error(class_sample(1, [0.2, 0.8]), None) == pytest.approx(-log(0.8), rel=1e-6)
    assert task.error(bad, None) > task.error(class_sample(1, [0.999, 0.001]), None)
    assert "not probabilities" in figures("classification", [bad])["reliability"].caption


# --- boxes


def box_sample(shift: float, score: float, label: int = 0) -> dict[str, Any]:
    boxes = np.array([[10.0, 10.0, 30.0, 30.0], [40.0, 10.0, 60.0, 40.0]])
    found = {"bboxes": boxes + shift, "labels": [label, 1], "scores": [score, 0.9]}
    return {"pred_instances": found, "gt_instances": {"bboxes": boxes, "labels": [0, 1]}}


def test_boxes_have_figures_and_errors() -> None:
    samples = [box_sample(1.0, 0.8), box_sample(20.0, 0.6), box_sample(0.0, 0.1), box_sample(0.0, 0.7, label=1)]
    found = figures("detection", samples, NAMES)
    assert list(found) == ["precision_recall", "confusion_matrix", "score_threshold"]
    assert "1 of 3 classes have no objects" in found["precision_recall"].caption
    assert [task_of("detection").error(each, NAMES) for each in samples] == pytest.approx([0, 1, 1 / 3, 0.5])
    assert "F1 is highest" in found["score_threshold"].caption
    names = [f"a kind of thing with a long name {label}" for label in range(80)]
    assert "80 classes" in figures("detection", samples, names)["precision_recall"].caption


def test_nothing_detected_and_nothing_to_detect() -> None:
    none = {"bboxes": np.zeros((0, 4)), "labels": [], "scores": []}
    empty = {**box_sample(0.0, 0.9), "pred_instances": none}
    assert figures("detection", [empty])["precision_recall"].caption == "Nothing is detected in 1 image with 2 objects."
    untold = {**empty, "gt_instances": {}, "ignored_instances": {}}  # a pipeline that does not load the truth
    assert task_of("detection").evidence(untold, None) is None
    alone = {**box_sample(0.0, 0.9), "gt_instances": {"bboxes": np.zeros((0, 4)), "labels": []}}
    assert (
        "1 image without objects: all of 2 detections are wrong"
        in figures("detection", [alone])["precision_recall"].caption
    )
    assert task_of("detection").error(empty, None) == 1
    assert task_of("detection").error(alone, None) == 1


def test_masks_are_compared_if_truth_and_prediction_have_them() -> None:
    truth = np.zeros((1, 20, 30), bool)
    truth[0, 5:15, 5:15] = True
    half = truth.copy()
    half[0, 5:11] = False  # the same box, 40 % of the mask
    box = {"bboxes": [[5.0, 5.0, 15.0, 15.0]], "labels": [0]}
    sample = {
        "gt_instances": {**box, "masks": truth},
        "pred_instances": {**box, "scores": [0.9], "masks": half},
    }
    assert task_of("detection").error(sample, None) == 0
    assert task_of("instances").error(sample, None) == 1
    assert "for masks" in figures("instances", [sample])["precision_recall"].caption
    assert task_of("instances").error({**sample, "gt_instances": box}, None) == 0


# --- maps


@pytest.mark.parametrize(("task", "protocol"), [("saliency", "pysod"), ("co_saliency", "gconet")])
def test_maps_have_the_numbers_of_the_metric(task: str, protocol: str) -> None:
    random = np.random.default_rng(1)
    masks = [np.kron(random.integers(0, 2, (3, 5)), np.ones((5, 5))).astype(bool) for _ in range(4)]
    maps = [np.clip(0.6 * mask + 0.4 * random.random(mask.shape), 0, 1).astype(np.float32) for mask in masks]
    samples = [{"pred_map": one, "gt_map": truth} for one, truth in zip(maps, masks, strict=True)]
    if task == "co_saliency":
        samples = [{"pred_map": maps[:3], "gt_map": masks[:3]}, {"pred_map": maps[3:], "gt_map": masks[3:]}]
    found = figures(task, samples, kept=9000)
    numbers = measured(SaliencyMetric(protocol, metrics=["MAE", "Fmeasure", "PR"]), samples)
    assert f"The mean is {numbers['MAE']:.4f}" in found["mae"].caption
    assert f"The highest mean F is {numbers['Fmeasure_max']:.3f}" in found["f_measure"].caption
    assert f"over the thresholds is {numbers['Fmeasure_mean']:.3f}" in found["f_measure"].caption
    assert f"this curve is {numbers['PR_Fmeasure_max']:.3f}" in found["precision_recall"].caption
    errors = [task_of(task).error(each, None) for each in samples]
    weights = [3, 1] if task == "co_saliency" else None
    assert np.average(errors, weights=weights) == pytest.approx(numbers["MAE"], abs=1e-9)


@pytest.mark.parametrize("task", ["saliency", "co_saliency"])
def test_the_threshold_of_a_map_is_above_the_background_and_below_the_object(task: str) -> None:
    mask = np.kron([[0, 1, 0], [0, 1, 1]], np.ones((4, 4))).astype(bool)
    grey = np.linspace(0, 0.4, mask.size).reshape(mask.shape)
    sample = {"pred_map": np.where(mask, 0.6 + grey, grey / 4).astype(np.float32), "gt_map": mask}
    caption = figures(task, [sample], kept=4000)["f_measure"].caption
    best = re.search(r"is 1.000, at (0.\d+)", caption)
    assert best is not None
    assert 0.05 < float(best[1]) < 0.2  # not 0.3, as for thresholds in the other order


def test_a_map_with_nan_is_said() -> None:
    good = {"pred_map": np.eye(4, dtype=np.float32), "gt_map": np.eye(4, dtype=bool)}
    bad = {**good, "pred_map": np.full((4, 4), np.nan, np.float32)}
    assert "1 image with nan in the map" in figures("saliency", [good, bad], kept=4000)["mae"].caption
    assert figures("saliency", [bad])["precision_recall"].caption == "All maps have nan."


# --- lanes


def lane_sample(shift: float, scenario: str, lanes: int = 2) -> dict[str, Any]:
    rows = np.arange(110.0, 20.0, -10.0)
    truth = [np.stack([100.0 + 60 * number - 0.4 * rows, rows], 1) for number in range(lanes)]
    found = [lane + np.array([shift, 0.0]) for lane in truth] or [np.array([[20.0, 100.0], [60.0, 30.0]])]
    return {"gt_lanes": truth, "pred_lanes": found, "scenario": scenario, "ori_shape": (118, 328)}


def test_lanes_have_the_f1_of_culane() -> None:
    samples = [lane_sample(0.5, "normal"), lane_sample(9.0, "night", lanes=3), lane_sample(0.0, "cross", lanes=0)]
    numbers = measured(CULaneMetric(image_size=(328, 118), lane_width=6), samples)
    figure = figures("lanes", samples)["f1"]
    rows = {row[0]: row for row in figure.rows}
    assert rows["all"][1] == f"{numbers['F1']:.4f}"
    assert rows["normal"][1:4] == ("1.0000", "1.0000", "1.0000")
    assert rows["night"][1] == "0.0000"
    assert rows["cross"][1:] == ("-", "-", "-", "0", "1", "0")
    assert [task_of("lanes").error(each, None) for each in samples] == [0, 1, 1]
    assert task_of("lanes").error({**lane_sample(0, "cross", 0), "pred_lanes": []}, None) == 0


def test_lanes_have_the_accuracy_of_tusimple() -> None:
    rows = list(range(30, 110, 10))
    samples = []
    for shift in (1.0, 3.0, 40.0):
        sample = lane_sample(shift, "")
        xs = [np.interp(rows, lane[::-1, 1], lane[::-1, 0]).tolist() for lane in sample["gt_lanes"]]
        samples.append({**sample, "gt_x": xs, "h_samples": rows})
    numbers = measured(TuSimpleMetric(pixels=20 * 328 / 1280), samples)
    caption = figures("lanes", samples)["accuracy"].caption
    assert f"The mean is {numbers['accuracy']:.4f}, with {numbers['FP']:.4f} false" in caption
    assert f"F1 is {numbers['F1']:.4f}" in caption
    assert 0 < numbers["accuracy"] < 1


# --- counts


def test_counts_have_the_errors_of_the_metric() -> None:
    samples = [{"pred_count": float(3 * n % 7), "gt_points": np.zeros((n, 2))} for n in range(9)]
    found = figures("counting", samples, kept=100)
    numbers = measured(CountMetric(), samples)
    assert f"MAE is {numbers['MAE']:.2f}, RMSE {numbers['RMSE']:.2f}" in found["counts"].caption
    errors = [task_of("counting").error(each, None) for each in samples]
    assert np.mean(errors) == pytest.approx(numbers["MAE"])
    assert sum(int(row[1]) for row in found["count_errors"].rows) == 9
    lost = figures("counting", [*samples, {"pred_count": np.nan, "gt_count": 3}])
    assert "1 image with a count that is not finite" in lost["counts"].caption
    assert "0.00" in figures("counting", [{"pred_count": 0.0, "gt_count": 0}])["counts"].caption


# --- phrases


def test_phrases_have_the_numbers_of_the_metric() -> None:
    truth = np.zeros((5, 8), bool)
    truth[1:4, 1:5] = True
    samples = [{"gt_map": truth, "pred_mask": np.roll(truth, shift, axis=1)} for shift in range(4)]
    numbers = measured(ReferMetric(), samples)
    figure = figures("referring", samples)["iou"]
    assert f"(mIoU) is {numbers['mIoU']:.4f}; over all pixels (oIoU) it is {numbers['oIoU']:.4f}" in figure.caption
    assert [row[1] for row in figure.rows] == [f"{numbers[f'P@{least}']:.4f}" for least in (0.5, 0.6, 0.7, 0.8, 0.9)]
    nothing = {"gt_map": np.zeros((5, 8)), "pred_mask": np.zeros((5, 8))}
    wrong = {**nothing, "pred_mask": truth}
    assert (
        "2 further phrases mean nothing; nothing is found for 1"
        in figures("referring", [*samples, nothing, wrong])["iou"].caption
    )
    assert figures("referring", [nothing])["iou"].caption == "No phrase means anything."
    task = task_of("referring")
    assert [task.error(each, None) for each in (samples[0], nothing, wrong)] == [0, 0, 1]
    assert task.error(samples[1], None) == pytest.approx(1 - 9 / 15)


# --- segments and pixels


def panoptic_sample(shift: int) -> dict[str, Any]:
    ids = np.kron([[1, 2, 3], [1, 3, 3]], np.ones((4, 4), np.uint32)).astype(np.uint32)
    truth = PanopticMap.of_ids(ids, {1: (0, False), 2: (0, False), 3: (2, False)})
    moved = np.roll(ids, shift, axis=1)
    found = PanopticMap.of_ids(moved, {1: (0, False), 2: (1, False), 3: (2, False)})
    return {"gt_panoptic": truth, "pred_panoptic": found}


def test_segments_have_the_quality_of_the_metric() -> None:
    samples = [panoptic_sample(shift) for shift in (0, 1, 3)]
    meta = {"thing_classes": NAMES[:2], "stuff_classes": NAMES[2:]}
    numbers = measured(PanopticQualityMetric(), samples, **meta)
    figure = figures("panoptic", samples, NAMES)["pq"]
    assert f"PQ {numbers['PQ']:.4f}, SQ {numbers['SQ']:.4f}, RQ {numbers['RQ']:.4f}" in figure.caption
    assert len(figure.rows) == 3
    alone = measured(PanopticQualityMetric(), samples[1:2], **meta)
    assert task_of("panoptic").error(samples[1], NAMES) == pytest.approx(1 - alone["PQ"])
    many = [f"class {label}" for label in range(133)]
    assert "The means over 3 classes that occur" in figures("panoptic", samples, many)["pq"].caption


def test_pixels_have_the_numbers_of_the_metric() -> None:
    random = np.random.default_rng(0)
    samples = []
    for _ in range(3):
        truth = np.kron(random.integers(0, 3, (3, 5)), np.ones((4, 4), int))
        found = np.where(random.random(truth.shape) < 0.2, (truth + 1) % 3, truth)
        truth[:2], found[-1] = 255, 255
        samples.append({"gt_semantic": truth, "pred_semantic": found})
    found_figures = figures("semantic", samples, NAMES)
    for definition in ("detectron2", "mmseg"):
        numbers = measured(SemanticMetric(definition), samples, classes=NAMES)
        assert f"{numbers['mIoU']:.4f} over" in found_figures["iou"].caption
    assert f"{numbers['pACC']:.4f} of the pixels are right" in found_figures["iou"].caption
    assert any(row[1] == "no class" for row in found_figures["confusion_matrix"].rows)
    errors = [task_of("semantic").error(each, NAMES) for each in samples]
    assert errors[0] == pytest.approx(1 - measured(SemanticMetric(), samples[:1], classes=NAMES)["mIoU"])
    many = [f"class {label}" for label in range(150)]
    assert figures("semantic", samples, many)["iou"].caption == found_figures["iou"].caption
    assert task_of("semantic").error({**samples[0], "gt_semantic": np.full((12, 20), 255)}, None) is None


# --- pairs


def pair_sample(shift: float, **also: Any) -> dict[str, Any]:
    squares = np.kron([[1, 2, 0], [0, 7, 7]], np.ones((5, 5), int))
    field = np.zeros((2, 10, 15), np.float32)
    field[1] = shift
    return {"pred_field": field, "gt_fixed_labels": squares, "gt_moving_labels": np.roll(squares, 2, axis=1), **also}


def test_pairs_have_the_numbers_of_the_metric() -> None:
    points = np.array([[2.0, 3.0], [6.0, 8.0]])
    landmarks = {"gt_fixed_points": points, "gt_moving_points": points + np.array([0.0, 2.0])}
    samples = [pair_sample(shift, **landmarks) for shift in (2.0, 1.0, 0.0)]
    numbers = measured(RegistrationMetric(distances=False, per_label=True), samples)
    found = figures("registration", samples, None)
    assert f"is {numbers['dice_before']:.4f} before and {numbers['dice']:.4f} after" in found["dice"].caption
    assert {row[0]: row[3] for row in found["dice"].rows} == {
        f"label {label}": f"{numbers[f'dice/{label}']:.4f}" for label in (1, 2, 7)
    }
    assert f"{numbers['tre_before']:.3f} before and {numbers['tre']:.3f} voxels after" in found["landmarks"].caption
    assert f"The mean is {numbers['folded']:.4g} %" in found["folds"].caption
    errors = [task_of("registration").error(each, None) for each in samples]
    assert np.mean(errors) == pytest.approx(1 - numbers["dice"])
    assert errors == sorted(errors)


def test_pairs_without_labels_are_compared_by_their_images() -> None:
    image = np.random.default_rng(0).random((10, 15)).astype(np.float32)
    sample = {"pred_field": np.zeros((2, 10, 15), np.float32), "gt_fixed": image[None], "gt_moving": image[None]}
    assert task_of("registration").error(sample, None) == pytest.approx(0, abs=1e-5)
    assert list(figures("registration", [sample])) == ["folds"]
    assert task_of("registration").error({"pred_field": sample["pred_field"]}, None) is None
