"""A model of two heads on one trunk infers the task that the config names."""

import pytest
from inference_scenes import scene

from visionzoo import Inferencer

HEADS = {
    "classification": {"type": "ClassificationHead"},
    "counting": {"type": "DensityHead", "variant": "tiny"},
}


def inferencer(task):
    options = {"task": task, "model.head": None, "model.heads": HEADS}
    return Inferencer("bossnet_t0_imagenet", weights="none", tiny=True, options=options, allow_new=True)


@pytest.mark.parametrize(("task", "field"), [("classification", "labels"), ("counting", "count")])
def test_the_named_task_is_predicted(task, field):
    record = inferencer(task).one(scene(50, 71)).record()
    assert record["task"] == task
    assert field in record["result"]


def test_two_tasks_at_once_are_predicted():
    record = inferencer(["classification", "counting"]).one(scene(50, 71)).record()
    assert record["task"] == ["classification", "counting"]
    assert "labels" in record["result"]["classification"]
    assert "count" in record["result"]["counting"]
