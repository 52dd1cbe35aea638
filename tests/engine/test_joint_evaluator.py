"""Metrics by task: each receives the samples of its task, in one process and in two."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.evaluator import BaseMetric

from visionzoo.engine import joint_evaluator
from visionzoo.engine.best_metric import best_metric_of, deciding_metric
from visionzoo.engine.joint_evaluator import JointEvaluator
from visionzoo.errors import ConfigError
from visionzoo.structures.task_sample import TaskSample


class Seen(BaseMetric):
    """A metric that records its inputs."""

    default_prefix = "seen"

    def process(self, data_batch: Any, data_samples: Any) -> None:
        assert len(data_batch["inputs"]) == len(data_samples)
        self.results += [(number, sample["name"]) for number, sample in zip(data_batch["inputs"], data_samples)]

    def compute_metrics(self, results: list) -> dict[str, Any]:
        self.all = results
        return {"number": len(results)}


def samples(*tasks: str | None) -> list[TaskSample]:
    metas = [
        dict(name=f"{task}{place}", **({} if task is None else {"task": task})) for place, task in enumerate(tasks)
    ]
    return [TaskSample(metainfo=meta) for meta in metas]


def test_each_metric_receives_the_samples_of_its_task() -> None:
    lanes, counting = Seen(), Seen()
    evaluator = JointEvaluator(dict(lanes=lanes, counting=[counting]))
    evaluator.dataset_meta = {
        "tasks": {"lanes": {"classes": ("a",)}, "counting": {}},
        "sizes": dict(lanes=2, counting=1),
    }
    assert lanes.dataset_meta == {"classes": ("a",)}
    evaluator.process(samples("lanes", "counting"), {"inputs": [10, 11], "data_samples": [None] * 2})
    evaluator.process(samples("lanes"), {"inputs": [12]})
    assert evaluator.evaluate(3) == {"lanes/number": 2, "counting/number": 1}
    assert lanes.all == [(10, "lanes0"), (12, "lanes0")]
    assert counting.all == [(11, "counting1")]


def test_samples_without_a_task_go_to_all_metrics_with_the_predictions_of_the_task() -> None:
    lanes, counting = Seen(), Seen()
    evaluator = JointEvaluator(dict(lanes=lanes, counting=counting))
    (sample,) = samples(None)
    sample.lanes = TaskSample(metainfo=dict(name="of lanes"))
    evaluator.process([sample], {"inputs": [1]})
    assert evaluator.evaluate(1) == {"lanes/number": 1, "counting/number": 1}
    assert (lanes.all, counting.all) == ([(1, "of lanes")], [(1, "None0")])


def test_names_begin_with_the_task_and_keep_a_prefix_of_their_own() -> None:
    metrics = dict(
        saliency=dict(type="SaliencyMetric"),
        counting=[dict(type="CountMetric"), dict(type="CountMetric", prefix="again")],
    )
    evaluator = JointEvaluator(metrics)
    assert [metric.prefix for metric in evaluator.metrics] == ["saliency", "counting", "counting/again"]


def test_the_best_metric_is_that_of_the_task_whose_name_it_has() -> None:
    rules = best_metric_of(("saliency", "counting"))
    assert rules == {
        "saliency/Fmeasure_max": "greater",
        "saliency/Smeasure": "greater",
        "saliency/MAE": "less",
        "counting/MAE": "less",
    }
    assert deciding_metric(rules, ["counting/MAE", "saliency/MAE"]) == ("saliency/MAE", "less")


def test_unequal_shares_of_two_processes_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """DefaultSampler would give one process more samples of a task; zipped results would then be lost."""
    monkeypatch.setattr(joint_evaluator.distributed, "gather", lambda own: [own, {**own, "lanes": own["lanes"] + 1}])
    evaluator = JointEvaluator(dict(lanes=Seen()))
    evaluator.process(samples("lanes"), {"inputs": [1]})
    with pytest.raises(ConfigError, match='mode="in_order"'):
        evaluator.evaluate(1)


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ([dict(type="CountMetric")], "expected a dict"),
        (dict(type="CountMetric"), "by task"),
        ({}, "by task"),
        (dict(counting=[dict(type="CountMetric"), dict(type="CountMetric")]), "set prefix"),
    ],
)
def test_metrics_that_are_not_by_task_are_an_error(metrics: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        JointEvaluator(metrics)


def test_a_task_without_samples_is_an_error() -> None:
    evaluator = JointEvaluator(dict(lanes=Seen(), counting=Seen()))
    evaluator.process(samples("lanes"), {"inputs": [1]})
    with pytest.raises(ConfigError, match="counting in every process"):
        evaluator.evaluate(1)
