"""The card of a model with several tasks: its schema, its row in the table, and its checks by task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from joint_models import SEEN, config_with_data

from visionzoo.cards import find_card, read_card
from visionzoo.cards.checks import MEASURE, difference
from visionzoo.cards.schema import BuildCheck, EvalCheck, ForwardCheck, LearnCheck, MetricCheck
from visionzoo.cards.table import zoo_table
from visionzoo.cards.verify import _config_problem
from visionzoo.cli.list_models import _stated
from visionzoo.errors import CardError
from visionzoo.front_matter import split_front_matter


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """Write a copy of a card with other tasks, and the task of each of its results."""

    def write(tasks: Any, of_results: str | None = "counting") -> Path:
        front, body = split_front_matter(find_card("hmode_trancos").read_text(), find_card("hmode_trancos"))
        fields = yaml.safe_load(front)
        fields["visionzoo"]["task"] = tasks
        for result in fields["model-index"][0]["results"]:
            result["task"] = {"type": "any", **({"name": of_results} if of_results else {})}
        path = tmp_path / "hmode_trancos.md"
        path.write_text(f"---\n{yaml.safe_dump(fields, sort_keys=False)}---\n{body}")
        return path

    return write


def test_a_card_lists_its_tasks(edited: Callable[..., Path]) -> None:
    path = edited(["lanes", "counting"])
    card = read_card(path)
    assert card.tasks == ("lanes", "counting")
    assert card.task == "lanes, counting"
    assert "| lanes, counting |" in zoo_table([card])
    assert _stated(path)["task"] == "lanes, counting"


@pytest.mark.parametrize(
    ("tasks", "of_results", "expected"),
    [
        (["lanes"], "lanes", "expected one task, or a list of several different tasks, found ['lanes']"),
        (["lanes", "lanes"], "lanes", "several different tasks, found ['lanes', 'lanes']"),
        (["lanes", "lane"], "lanes", "found 'lane'"),
        ([], None, "several different tasks, found []"),
        (
            ["lanes", "counting"],
            None,
            "expected the task of the numbers, one of lanes, counting, found None",
        ),
        (["lanes", "counting"], "saliency", "one of lanes, counting, found 'saliency'; name it"),
    ],
)
def test_wrong_tasks_are_one_sentence(edited: Callable[..., Path], tasks: Any, of_results: Any, expected: str) -> None:
    path = edited(tasks, of_results)
    with pytest.raises(CardError) as caught:
        read_card(path)
    assert expected in str(caught.value)


def test_the_tasks_are_those_of_the_config(edited: Callable[..., Path]) -> None:
    problem = _config_problem(read_card(edited(["lanes", "counting"])))
    assert problem == ("visionzoo.task: expected counting as in configs/hmode_trancos.py, found lanes, counting")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    return SimpleNamespace(name=str(config_with_data(tmp_path_factory.mktemp("joint"))))


def test_build_and_forward_have_all_heads(card: Any) -> None:
    counts = MEASURE["build"](card, BuildCheck(kind="build"))
    assert counts["params"] >= counts["trainable"] > 10_000
    check = ForwardCheck(kind="forward", size=[64, 81])
    found = MEASURE["forward"](card, check)
    outputs = {name.partition(".")[0] for name in found}
    assert len(outputs) >= len(SEEN)
    assert all(np.isfinite(found[f"{output}.values"]).all() for output in outputs)
    assert difference(found, MEASURE["forward"](card, check), 1e-6) is None


def test_metrics_of_shaken_truth_are_good_for_every_task(card: Any) -> None:
    found = MEASURE["metric"](card, MetricCheck(kind="metric", metrics={}))
    assert {name.partition("/")[0] for name in found} == set(SEEN)
    assert found["classification/top1"] > 0.1  # by chance, of ten classes
    assert found["saliency/MAE"] < 0.3
    assert 0 < found["counting/MAE"] < 5
    assert found == MEASURE["metric"](card, MetricCheck(kind="metric", metrics={}))
    assert found != MEASURE["metric"](card, MetricCheck(kind="metric", seed=1, metrics={}))


def test_the_whole_pipeline_is_measured_by_task(card: Any) -> None:
    found = MEASURE["eval"](card, EvalCheck(kind="eval", metrics={}))
    for task, samples in zip(SEEN, (3, 3, 4), strict=True):
        assert found[f"{task}/predictions/count"] >= samples
        assert np.isfinite(found[f"{task}/predictions/mean_score"])
    assert {"counting/MAE", "saliency/MAE", "classification/top1"} <= set(found)
    assert difference(found, MEASURE["eval"](card, EvalCheck(kind="eval", metrics={})), 1e-6) is None


def test_all_heads_learn(card: Any) -> None:
    found = MEASURE["learn"](card, LearnCheck(kind="learn", steps=4, ratio=0.9))
    assert found["after"] < found["before"]
