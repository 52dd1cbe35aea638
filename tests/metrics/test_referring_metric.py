"""Referring segmentation: IoU by both protocols, at both sizes, in parts and merged."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from visionzoo.engine.measures import protocols, write_measures
from visionzoo.errors import DataError, UnknownName
from visionzoo.heads.wico.samples import write_map
from visionzoo.metrics.referring import Overlap, ReferMetric, mask_at_size, overlap_of, scores_of
from visionzoo.structures.task_sample import TaskSample


def square(height=17, width=23, top=2, left=3, side=8):
    mask = np.zeros((height, width), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def sample(prediction, truth, **more):
    mask = torch.from_numpy(np.asarray(prediction))
    grey = torch.from_numpy(np.where(truth, 255, 0).astype(np.uint8))
    return {"pred_mask": mask, "pred_map": mask.float(), "gt_map": grey, "phrase": "left box", **more}


def test_both_ious_precisions_and_kinds_of_errors():
    overlaps = [
        *(Overlap(100, 100, 100, 100), Overlap(60, 100, 100, 60), Overlap(50, 100, 50, 100)),
        *(Overlap(5, 1000, 900, 105), Overlap(0, 0, 0, 0)),
    ]
    scores = scores_of(overlaps)
    assert scores["oIoU"] == pytest.approx(215 / 1300)
    assert scores["mIoU"] == pytest.approx((1 + 0.6 + 0.5 + 0.005) / 5)
    assert [scores[f"P@{least}"] for least in (0.5, 0.6, 0.7, 0.8, 0.9)] == [0.6, 0.4, 0.2, 0.2, 0.2]
    assert (scores["PN"], scores["IP"], scores["phrases"]) == (0.4, 0.4, 5)


def test_grefcoco_counts_phrases_that_mean_nothing():
    overlaps = [
        *(Overlap(90, 100, 95, 95), Overlap(75, 100, 100, 75), Overlap(0, 50, 50, 0)),  # the last finds nothing
        *(Overlap(0, 0, 0, 0), Overlap(0, 30, 0, 30)),
    ]
    scores = scores_of(overlaps, "grefcoco")
    assert scores["gIoU"] == pytest.approx((0.9 + 0.75 + 0 + 1 + 0) / 5)
    assert scores["cIoU"] == pytest.approx(165 / 280)
    assert [scores[f"P@{least}"] for least in (0.7, 0.8, 0.9)] == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    assert scores["N-acc"] == 0.5
    assert scores["T-acc"] == pytest.approx(2 / 3)
    assert scores["phrases_without_target"] == 2
    assert "N-acc" not in scores_of(overlaps[:3], "grefcoco")
    assert "T-acc" not in scores_of(overlaps[3:], "grefcoco")


def test_nothing_anywhere_is_zero_and_no_error():
    assert scores_of([Overlap(0, 0, 0, 0)])["oIoU"] == 0
    assert scores_of([Overlap(0, 0, 0, 0)], "grefcoco") == {
        "gIoU": 1,
        "cIoU": 0,
        "N-acc": 1,
        "phrases": 1,
        "phrases_without_target": 1,
    }


def test_few_pixels_count_as_nothing():
    truth = np.zeros((17, 23), bool)
    assert overlap_of(square(side=3), truth, least_pixels=10).found == 0
    assert overlap_of(square(side=3), truth, least_pixels=9).found == 9


def test_small_masks_for_each_kind_of_phrase():
    """Ten by ten pixels or none are meant; 49 found pixels count as nothing, and 50 as a mask."""
    metric, truth, none = ReferMetric("grefcoco", least_pixels=50), square(side=10), np.zeros((17, 23), bool)
    few, enough = square(side=7), square(side=10)
    enough[7:] = False  # five rows of ten pixels
    samples = [sample(found, meant) for meant in (truth, none) for found in (few, enough)]
    metric.process(None, samples)
    scores = metric.evaluate(size=4)
    assert scores["ref/gIoU"] == (0 + 0.5 + 1 + 0) / 4
    assert scores["ref/cIoU"] == 50 / (100 + 100 + 0 + 50)
    assert (scores["ref/T-acc"], scores["ref/N-acc"]) == (0.5, 0.5)
    assert scores_of([Overlap(70, 100, 100, 70)], "grefcoco")["P@0.7"] == 1


def test_at_the_input_size_every_image_has_the_same_weight():
    small, large = square(8, 12, 0, 0, 6), square(80, 120, 0, 0, 60)
    wrong = np.zeros_like(small)
    inner = mask_at_size(large, (24, 24))
    samples = [sample(wrong, small, pred_input_mask=0 * inner), sample(large, large, pred_input_mask=inner)]

    def pooled(**options):
        metric = ReferMetric(**options)
        metric.process(None, samples)
        return metric.evaluate(size=2)["ref/oIoU"]

    assert pooled() == pytest.approx(3600 / 3636)
    assert pooled(eval_size="input") == pytest.approx(0.5)


def test_at_the_input_size_only_the_truth_is_resized_by_the_nearest_pixel():
    truth = np.zeros((4, 6), bool)
    truth[1, 1], truth[1, 4], truth[3, 4], truth[0, 0] = True, True, True, True  # nearest: rows 1, 3, columns 1, 4
    assert mask_at_size(truth, (2, 2)).tolist() == [[True, True], [False, True]]
    pair = TaskSample(metainfo=dict(img_shape=(2, 2), ori_shape=(4, 6)), gt_map=torch.from_numpy(truth))
    write_map(pair, torch.tensor([[0.6, 0.4, 0.9], [0.1, 0.6, 0.9]]), 0.5)  # the last column is padding
    assert pair.pred_input_mask.tolist() == [[True, False], [False, True]]
    metric = ReferMetric(eval_size="input")
    metric.process(None, [pair.to_dict()])
    assert metric.evaluate(size=1)["ref/mIoU"] == pytest.approx(2 / 3)
    metric = ReferMetric()
    metric.process(None, [pair.to_dict()])
    assert metric.evaluate(size=1)["ref/mIoU"] == pytest.approx(2 / 9)


def test_the_input_size_needs_the_mask_of_this_size():
    metric = ReferMetric(eval_size="input")
    with pytest.raises(DataError, match="expected pred_input_mask in every sample, found none"):
        metric.process(None, [sample(square(), square())])


@pytest.mark.parametrize("protocol", ["refcoco", "grefcoco"])
def test_results_of_several_processes_in_another_order_give_the_same_numbers(protocol):
    rng = np.random.default_rng(0)
    samples = [sample(rng.random((9, 7)) < rng.random(), rng.random((9, 7)) < rng.choice([0, 0.5])) for _ in range(30)]
    whole = ReferMetric(protocol)
    whole.process(None, samples)
    parts = [ReferMetric(protocol) for _ in range(3)]
    for number, metric in enumerate(parts):
        for each in samples[number::3]:
            metric.process(None, [each])
    merged = [result for metric in reversed(parts) for result in metric.results]
    assert whole.compute_metrics(merged) == whole.compute_metrics(whole.results)
    assert set(whole.compute_metrics(merged)) == set(whole.possible_names())


def test_rows_name_image_and_phrase():
    metric = ReferMetric(per_phrase=True)
    metric.process(None, [sample(square(), square(left=7), img_path="a.jpg")])
    metric.evaluate(size=1)
    assert metric.per_phrase == [{"image": "a.jpg", "phrase": "left box", "iou": 32 / 96}]


def test_what_is_wrong_with_samples_and_options():
    with pytest.raises(DataError, match=r"expected pred_mask in every sample, found none in a\.jpg"):
        ReferMetric().process(None, [{"gt_map": np.eye(2), "img_path": "a.jpg"}])
    with pytest.raises(DataError, match=r"a\.jpg: expected a predicted mask of \(17, 23\)"):
        ReferMetric().process(None, [sample(square(19), square(), img_path="a.jpg")])
    for options in ({"protocol": "refcooc"}, {"eval_size": "network"}):
        with pytest.raises(UnknownName):
            ReferMetric(**options)


def test_the_protocol_is_written_with_the_numbers(tmp_path):
    metric = ReferMetric("grefcoco", eval_size="input", least_pixels=50)
    facts = {"name": "toy", "protocols": protocols(SimpleNamespace(metrics=[metric, object()]))}
    write_measures(tmp_path, facts, {"ref/gIoU": 0.5}, {})
    text = "grefcoco, masks compared at the input size, masks below 50 pixels count as empty"
    assert json.loads((tmp_path / "metrics.json").read_text())["protocols"] == {"ReferMetric": text}
    assert f"- protocol of ReferMetric: {text}" in (tmp_path / "report.md").read_text()
