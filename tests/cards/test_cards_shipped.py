"""Weights that visionzoo ships: small, without paths of a machine, a stored prediction repeated, no option needed."""

from __future__ import annotations

import configparser
import json
from fnmatch import fnmatch

import cv2
import numpy as np
import pytest
from numpy.random import RandomState
from safetensors import safe_open

from visionzoo.cards import read_card
from visionzoo.cards.checks import arrays_path, compare_arrays
from visionzoo.cards.files import card_folder
from visionzoo.cards.verify import verify_cards
from visionzoo.cards.weights_check import measure_weights
from visionzoo.cli import main
from visionzoo.datasets.tiny.bccd import Cell, paint_smear

SHIPPED = ("cells_density_lite", "cells_rcnet_lite")
MOST_BYTES = 8_000_000
CELLS = [Cell("WBC", 80, 70, 44), Cell("RBC", 200, 60, 24), Cell("RBC", 250, 170, 25), Cell("RBC", 120, 190, 24)]


def weights_check(name):
    card = read_card(name)
    return card, next(check for check in card.zoo.checks if check.kind == "weights")


@pytest.fixture
def smear(tmp_path):
    path = tmp_path / "smear.png"
    cv2.imwrite(str(path), paint_smear(RandomState(0), 240, CELLS)[..., ::-1])
    return path


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_states_the_file(name):
    entry = read_card(name).zoo.weights[0]
    path = card_folder() / "weights" / f"{name}.safetensors"
    assert entry.url == f"package://visionzoo/model_cards/weights/{path.name}"
    assert entry.bytes == path.stat().st_size <= MOST_BYTES
    with safe_open(path, "np") as file:
        meta = json.loads(file.metadata()["meta"])
        assert {str(file.get_slice(key).get_dtype()) for key in file.keys()} <= {"F16", "I64"}  # noqa: SIM118
    assert set(meta) <= {"dataset_meta", "seed", "epoch", "visionzoo_version"}
    assert set(meta["dataset_meta"]) <= {"classes", "category_ids"}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_file_is_in_the_wheel(name):
    parser = configparser.ConfigParser()
    parser.read(card_folder().parent / "setup.cfg", encoding="utf-8")
    patterns = parser["options.package_data"]["visionzoo.model_cards"].replace(" ", "").split(",")
    assert any(fnmatch(f"weights/{name}.safetensors", pattern) for pattern in patterns)


@pytest.mark.parametrize("name", SHIPPED)
def test_it_repeats_its_stored_prediction(name):
    card, check = weights_check(name)
    outcomes = [each for each in verify_cards([card]) if each.check == "weights"]
    assert [(each.passed, each.detail) for each in outcomes] == [(True, "agrees")]
    with np.load(arrays_path(card, check)) as stored:
        assert sum(len(values) for values in stored.values()) >= 3


def test_another_prediction_is_found():
    card, check = weights_check("cells_rcnet_lite")
    found = measure_weights(card, check)
    assert compare_arrays(card, check, found) is None
    found["scores.0"] = found["scores.0"] * 0.9
    assert compare_arrays(card, check, found).startswith("scores.0: expected ")


def test_infer_needs_no_option_and_no_network(smear, tmp_path, capsys):
    assert main(["infer", "cells_rcnet_lite", str(smear), "-o", str(tmp_path / "out"), "--offline"]) == 0
    result = json.loads((tmp_path / "out" / "predictions.jsonl").read_text())["result"]
    assert set(result["names"]) <= {"Platelets", "RBC", "WBC"}
    assert len(result["boxes"]) >= 1
    capsys.readouterr()


def test_the_counter_counts_drawn_cells(smear, tmp_path, capsys):
    assert main(["infer", "cells_density_lite", str(smear), "-o", str(tmp_path / "out"), "--offline"]) == 0
    count = json.loads((tmp_path / "out" / "predictions.jsonl").read_text())["result"]["count"]
    assert count == pytest.approx(len(CELLS), abs=1.5)
    capsys.readouterr()
