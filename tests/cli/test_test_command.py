"""The end of ``visionzoo test``: what the numbers of a model without correct results are."""

import pytest

from visionzoo.cli.test import all_wrong

NOTHING = {"coco/bbox_mAP": 0.0, "coco/bbox_mAP_50": 0.0, "coco/bbox_mAP_s": -1.0}


@pytest.mark.parametrize(
    ("metrics", "tasks", "expected"),
    [
        (NOTHING, "detection", True),
        ({**NOTHING, "coco/bbox_AR_1": 0.1}, "detection", False),
        ({"detection/bbox_mAP": 0.0, "lanes/F1": 0.0}, ("detection", "lanes"), True),
        ({"detection/bbox_mAP": 0.0, "lanes/F1": 0.1}, ("detection", "lanes"), False),
        ({"lanes/F1": 0.0, "counting/MAE": 0.0}, ("lanes", "counting"), False),
        ({"count/MAE": 0.0}, "counting", False),
        ({"sal/Fmeasure_max": 0.0, "sal/MAE": 0.0}, "saliency", False),
        ({"cls/top1": float("nan")}, "classification", False),
        ({"own/metric": 0.0}, "detection", False),
        ({"coco/bbox_mAP": -1.0, "coco/bbox_mAP_s": -1.0}, "detection", False),
        ({}, "detection", False),
    ],
)
def test_numbers_of_a_model_without_correct_results(metrics, tasks, expected):
    assert all_wrong(metrics, tasks) is expected
