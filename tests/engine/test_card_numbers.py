"""Numbers of cards beside measured ones: compared only for the same metric, data set and split."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from visionzoo.config import load_config
from visionzoo.engine.card_numbers import card_numbers
from visionzoo.engine.run_options import RunOptions
from visionzoo.metrics.classification import ClassificationMetric
from visionzoo.reports.run_report import Stated

EVALUATOR = SimpleNamespace(metrics=[ClassificationMetric()])


def stated(
    *, tiny: bool = False, metrics: dict[str, float] | None = None, data: dict[str, Any] | None = None, **options: Any
) -> tuple[list[Stated], str]:
    cfg = load_config("nat_mini_imagenet", tiny=tiny).cfg
    cfg.test_dataloader.dataset.update(data or {})
    plan: Any = SimpleNamespace(name="nat_mini_imagenet", cfg=cfg, options=RunOptions(**options))
    return card_numbers(plan, {"cls/top1": 0.8234} if metrics is None else metrics, EVALUATOR)


def test_the_paper_is_compared_on_its_data_in_its_unit() -> None:
    (paper, tiny), note = stated()
    assert paper.is_paper
    assert str(paper.link).startswith("https://")
    assert (paper.value, paper.now, paper.remark) == ("81.8 percent", "82.34 percent", "0.54 above the card")
    assert tiny.now is None
    assert tiny.remark == "not compared: this test is on other data"
    assert note.startswith("1 of 2 numbers of the card are")


def test_drawn_data_are_compared_with_drawn_data_only() -> None:
    (paper, tiny), _ = stated(tiny=True, metrics={"cls/top1": 1.0})
    assert (paper.now, paper.remark) == (None, "not compared: this test is on drawn data")
    assert (tiny.now, tiny.remark) == ("100 percent", "equal in the digits of the card")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (dict(data={"data_root": "my/photos"}), "data_root 'my/photos'"),
        (dict(data={"data_root": "/home/eve/my/photos"}), "data_root '.../my/photos'"),
        (dict(data={"split": "train"}), "split 'train'"),
        (dict(max_samples=5), "only 5 samples"),
        (dict(max_samples=1), "only 1 sample"),
        (dict(tta=True), "--tta"),
        (dict(metrics={"cls/mean_class": 0.5}), "does not measure it"),
    ],
)
def test_anything_else_is_not_compared_and_the_reason_is_stated(given: dict[str, Any], reason: str) -> None:
    (paper, _), note = stated(**given)
    assert paper.now is None
    assert reason in paper.remark
    assert note.startswith("No number of the card is of the same")


def test_another_split_of_the_card_and_a_model_without_a_card() -> None:
    cfg = load_config("nasnet_faster_rcnn").cfg
    plan: Any = SimpleNamespace(name="nasnet_faster_rcnn", cfg=cfg, options=RunOptions())
    (paper, _), _ = card_numbers(plan, {"coco/bbox_mAP": 0.4}, EVALUATOR)
    assert (paper.data, paper.remark) == ("COCO 2017, test-dev", "not compared: this test is on another split")
    nameless: Any = SimpleNamespace(name="my_config", cfg=cfg, options=RunOptions())
    assert card_numbers(nameless, {}, EVALUATOR) == (
        [],
        "No model card is called my_config, so there are no stated numbers.",
    )
