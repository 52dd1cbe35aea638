"""The report of a test of several tasks has one section for each."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from joint_models import SEEN, config_with_data
from static_page import StaticPage

from visionzoo import get_model
from visionzoo.config import load_config
from visionzoo.engine.comparison import compare
from visionzoo.engine.recorded_runs import read_run
from visionzoo.engine.testing import test as measure


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("joint")
    config = config_with_data(folder)
    torch.manual_seed(0)
    state = {"state_dict": get_model(config).state_dict()}
    torch.save(state, folder / "weights.pth")
    outcome = measure(
        load_config(config), weights=str(folder / "weights.pth"), work_dir=folder / "test", device="cpu", quiet=True
    )
    return folder / "test", outcome


def test_every_task_has_its_figures_and_its_worst_samples(tested: tuple[Path, dict[str, Any]]) -> None:
    folder, outcome = tested
    page = StaticPage(Path(outcome["report"]))
    page.require_sound()
    assert [text for text in page.texts["h2"] if text in SEEN] == list(SEEN)
    for task in SEEN:
        assert any(name.startswith(f"{task}/") for name in outcome["metrics"])
        assert any(f"({task})" in text for text in page.texts["h3"])
        assert list((folder / "report").glob(f"{task}_worst_01_*.jpg"))
        assert list((folder / "report").glob(f"{task}_*.png"))
    assert "the terminal" not in (folder / "report.md").read_text()
    assert not re.search(r"\*\*.*failed", (folder / "report.md").read_text())


def test_the_markdown_has_the_same_sections(tested: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = tested
    text = (folder / "report.md").read_text()
    places = [text.index(f"\n## {task}\n") for task in SEEN]
    assert places == sorted(places)
    data = [line for line in text.splitlines() if "data of" in line]
    assert len(data) == len(SEEN)


def test_tests_of_several_tasks_are_compared(tested: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, outcome = tested
    document = json.loads((folder / "metrics.json").read_text())
    assert set(document["metrics"]) == set(outcome["metrics"])
    shutil.copytree(folder, tmp_path / "again")
    found = compare([read_run(folder), read_run(tmp_path / "again")])
    assert set(found.metrics) >= {"counting/MAE", "saliency/MAE", "classification/top1"}
    assert found.direction("counting/MAE") == "less"
    assert found.direction("classification/top1") == "greater"
