"""The log holds what a user can use: no lists of parameters and hooks, and `-` for absent numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

from visionzoo.engine.log_files import is_news
from visionzoo.engine.runner import quieten


@pytest.mark.parametrize(
    "text",
    [
        "paramwise_options -- backbone.conv1.weight:lr=0.01",
        "Hooks will be executed in the following order:\nbefore_run:",
        "Exp name: run_1",
        "backbone.weight is skipped since its requires_grad=False",
    ],
)
def test_noise_is_dropped(text: str) -> None:
    assert not is_news(logging.makeLogRecord({"msg": text}))


def test_absent_numbers_are_dashes() -> None:
    record = logging.makeLogRecord({"msg": "mAP_l: %s  mAP: 0.5000  x: -1.00004", "args": ("-1.0000",)})
    assert is_news(record)
    assert record.getMessage() == "mAP_l: -  mAP: 0.5000  x: -1.00004"


def test_a_log_has_one_line_for_every_record(train_toy: Callable, tmp_path: Path) -> None:
    slow_stem = dict(custom_keys=dict(stem=dict(lr_mult=0.1)))
    train_toy("run", {"optim_wrapper.paramwise_cfg": slow_stem, "train_cfg.max_epochs": 1})
    lines = (tmp_path / "run" / "logs" / "train.log").read_text().splitlines()
    assert all(" - mmengine - " in line for line in lines)
    (title,) = (number for number, line in enumerate(lines) if line.endswith("learning rates by layer:"))
    assert [line.split(" - INFO - ")[1].split()[0] for line in lines[title + 1 : title + 4]] == [
        "group",
        "head",
        "layer",
    ]
    assert len(lines) - 4 < 12  # without the table
    assert any("toy/acc" in line for line in lines)


def test_a_terminal_shows_the_level_and_the_message(capsys: pytest.CaptureFixture) -> None:
    logger = MMLogger("of_this_test", logger_name="mmengine")
    quieten(logger, logging.WARNING)
    logger.warning("labels: two masks are empty")
    logger.info("not shown")
    assert capsys.readouterr().err == "warning: labels: two masks are empty\n"
