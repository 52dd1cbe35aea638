"""Verification: true cards pass, and every kind of wrong number is detected."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from visionzoo.cards import card_folder, card_names, find_card, read_card
from visionzoo.cards import checks as cards_checks
from visionzoo.cards.checks import difference
from visionzoo.cards.seeding import fill_weights
from visionzoo.cards.table import BEGIN, END, with_table, zoo_table
from visionzoo.cards.verify import headlines_problem, record_card, replace_values, table_problem, verify_cards
from visionzoo.cli.cards import main
from visionzoo.config import load_config
from visionzoo.errors import CardError
from visionzoo.structures.seeded import seeded_array, seeded_image

NAME = "rcnet_retinanet"


@pytest.fixture
def copied(tmp_path):
    """Copy a card and its arrays; ``change`` edits the text of the card."""

    def copy(change=lambda text: text, name=NAME):
        (tmp_path / "arrays").mkdir(exist_ok=True)
        shutil.copy(card_folder() / "arrays" / f"{name}.npz", tmp_path / "arrays")
        path = tmp_path / f"{name}.md"
        path.write_text(change(find_card(name).read_text()))
        return path

    return copy


def replacing(old, new):
    def change(text):
        assert old in text
        return text.replace(old, new, 1)

    return change


def outcome_of(path, kind, tier="fast"):
    (result,) = [outcome for outcome in verify_cards([read_card(path)], tier) if outcome.check == kind]
    return result


@pytest.mark.parametrize("name", card_names())
def test_fast_checks_pass(name):
    outcomes = list(verify_cards([read_card(name)]))
    assert {outcome.check for outcome in outcomes} >= {"config", "build", "forward"}
    assert [outcome.detail for outcome in outcomes if not outcome.passed] == []


def test_slow_checks_pass():
    outcomes = list(verify_cards([read_card(NAME)], "slow"))
    assert {outcome.check for outcome in outcomes} == {
        "config",
        "build",
        "forward",
        "fast form",
        "metric",
        "eval",
        "learn",
    }
    assert [outcome.detail for outcome in outcomes if not outcome.passed] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", card_names())
def test_slow_checks_pass_for_all(name):
    assert [outcome.detail for outcome in verify_cards([read_card(name)], "slow") if not outcome.passed] == []


@pytest.mark.parametrize(("key", "right"), [("params", 37636598), ("trainable", 37411254)])
def test_wrong_parameter_count_is_found(copied, key, right):
    path = copied(replacing(f"{key}: {right}", f"{key}: {right + 1}"))
    outcome = outcome_of(path, "build")
    assert not outcome.passed
    assert outcome.detail == f"compute.{key}: expected {right:,} as the model has, found {right + 1:,} in the card"


def test_changed_number_of_a_forward_is_found(copied):
    path = copied()
    arrays = path.parent / "arrays" / f"{NAME}.npz"
    with np.load(arrays) as stored:
        numbers = dict(stored)
    numbers["01.values"][5] += 0.01
    np.savez(arrays, **numbers)
    outcome = outcome_of(path, "forward")
    assert not outcome.passed
    assert outcome.detail.startswith("01.values: expected ")


def test_changed_model_is_found_by_its_forward(copied, monkeypatch):
    from visionzoo.necks.rcnet import RCNet

    forward = RCNet.forward
    monkeypatch.setattr(RCNet, "forward", lambda self, feats: tuple(1.01 * f for f in forward(self, feats)))
    assert not outcome_of(copied(), "forward").passed


def test_missing_arrays_state_how_to_write_them(copied):
    path = copied()
    (path.parent / "arrays" / f"{NAME}.npz").unlink()
    assert f"write it with `visionzoo cards record {NAME}`" in outcome_of(path, "forward").detail


def test_wrong_metric_is_found(copied):
    card = read_card(NAME)
    (check,) = [check for check in card.zoo.checks if check.kind == "metric"]
    value = check.metrics["coco/bbox_mAP_75"]
    path = copied(replacing(f"coco/bbox_mAP_75: {value}", f"coco/bbox_mAP_75: {value - 0.01:.5f}"))
    assert outcome_of(path, "metric").detail.startswith("coco/bbox_mAP_75: expected ")


def test_wrong_evaluation_is_found(copied):
    card = read_card(NAME)
    (check,) = [check for check in card.zoo.checks if check.kind == "eval"]
    value = check.metrics["coco/bbox_AR_100"]
    path = copied(replacing(f"coco/bbox_AR_100: {value}", f"coco/bbox_AR_100: {value + 0.02:.5f}"))
    assert outcome_of(path, "eval", "slow").detail.startswith("coco/bbox_AR_100: expected ")


def test_loss_that_does_not_fall_is_found(copied, monkeypatch):
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: None)
    assert "expected the loss to fall below" in outcome_of(copied(), "learn", "slow").detail


def test_wrong_task_is_found(copied):
    detail = outcome_of(copied(replacing("task: detection", "task: lanes")), "config").detail
    assert detail == f"visionzoo.task: expected detection as in configs/{NAME}.py, found lanes"


def test_an_error_of_a_check_is_an_outcome(copied, monkeypatch):
    def broken(card, check):
        raise CardError("model.neck: expected 3 levels, found 2; fix it")

    monkeypatch.setitem(cards_checks.MEASURE, "build", broken)
    assert outcome_of(copied(), "build").detail == "model.neck: expected 3 levels, found 2; fix it"


@pytest.mark.parametrize("around", [None, {}, {"type": "Evaluator"}], ids=["list", "metrics", "evaluator"])
def test_two_metrics_in_an_evaluator_are_both_measured(around, monkeypatch):
    card = read_card("bossnet_t0_imagenet")
    check = next(check for check in card.zoo.checks if check.kind == "metric")

    def with_two(name, **kwargs):
        loaded = load_config(name, **kwargs)
        two = [dict(loaded.cfg.val_evaluator), dict(type="ClassificationMetric", topk=(3,), prefix="other")]
        loaded.cfg.val_evaluator = two if around is None else {**around, "metrics": two}
        return loaded

    single = cards_checks.measure_metric(card, check)
    monkeypatch.setattr(cards_checks, "load_config", with_two)
    both = cards_checks.measure_metric(card, check)
    assert {name: value for name, value in both.items() if name.startswith("cls/")} == single
    assert "other/top3" in both


def test_difference_handles_nan_shape_and_names():
    assert difference({"a": [1.0, 2.0]}, {"a": [1.0, 2.0]}, 0.0) is None
    assert "a: expected 2 within" in difference({"a": [1.0, 2.0]}, {"a": [1.0, float("nan")]}, 0.1)
    assert "expected 2 numbers, found 1" in difference({"a": [1.0, 2.0]}, {"a": [1.0]}, 0.1)
    assert "expected the numbers a, found b" in difference({"a": 1}, {"b": 1}, 0.1)
    assert difference({"a": 0.5}, {"a": 0.52}, 0.01) is not None
    assert difference({"a": 200.0}, {"a": 201.0}, 0.01) is None


def test_record_restores_numbers_and_nothing_else(copied):
    path = copied(replacing("params: 37636598", "params: 5"))
    (path.parent / "arrays" / f"{NAME}.npz").unlink()
    record_card(read_card(path))
    assert read_card(path).zoo.compute.params == 37636598
    assert all(outcome.passed for outcome in verify_cards([read_card(path)]))
    before, after = find_card(NAME).read_text().splitlines(), path.read_text().splitlines()
    assert len(before) == len(after)
    assert [line for line in before if "metrics: {" not in line] == [line for line in after if "metrics: {" not in line]


def test_record_fills_in_the_numbers_of_a_new_check(copied):
    metric = next(line for line in find_card(NAME).read_text().splitlines() if "kind: metric" in line)
    path = copied(replacing(metric, "    - {kind: metric, metrics: {}}"))
    record_card(read_card(path))
    assert read_card(path).zoo.checks == read_card(NAME).zoo.checks


def test_recorded_numbers_stay_numbers_in_yaml(copied):
    path = copied()
    text = replace_values(path.read_text(), {("visionzoo", "checks", 2, "metrics"): {"coco/a": 4e-05}}, path)
    path.write_text(text)
    assert read_card(path).zoo.checks[2].metrics == {"coco/a": 4e-05}


def test_seeded_numbers_depend_on_nothing_else():
    again = seeded_array(3, "neck.weight", (2, 3))
    assert np.array_equal(again, seeded_array(3, "neck.weight", (2, 3)))
    assert again[0, 0] == pytest.approx(-0.1555539, abs=1e-6)  # from numpy's frozen stream
    assert not np.array_equal(again, seeded_array(4, "neck.weight", (2, 3)))
    image = seeded_image(0, "a", 31, 45)
    assert image.shape == (3, 31, 45)
    assert image.dtype == torch.uint8
    assert image.float().std() > 20


def test_seeded_weights_do_not_depend_on_order_or_neighbours():
    small = torch.nn.ModuleDict({"a": torch.nn.Conv2d(2, 3, 3)})
    large = torch.nn.ModuleDict({"b": torch.nn.Linear(4, 4), "a": torch.nn.Conv2d(2, 3, 3)})
    fill_weights(small, 1)
    fill_weights(large, 1)
    assert torch.equal(small["a"].weight, large["a"].weight)


# --------------------------------------------------------------------------- table and command


def test_stale_table_is_found(tmp_path):
    readme, cards = tmp_path / "README.md", [read_card(NAME)]
    readme.write_text(with_table(f"# x\n{BEGIN}\n{END}\n", zoo_table(cards), readme))
    assert table_problem(readme, cards) is None
    readme.write_text(readme.read_text().replace("37.6 M", "37.5 M"))
    assert "cards table --write" in table_problem(readme, cards)
    readme.write_text(with_table(readme.read_text(), zoo_table([*cards, read_card("rcnet_gfl")]), readme))
    assert table_problem(readme, cards) is not None
    readme.write_text("# no markers\n")
    assert "add them" in table_problem(readme, cards)


def test_table_shows_paper_numbers_in_italics_with_their_source():
    row = zoo_table([read_card(NAME)]).splitlines()[-1]
    assert row.startswith("| [rcnet_retinanet](model_cards/rcnet_retinanet.md) | detection | 37.6 M | *40.2* box AP")
    assert "([source](https://github.com/TempleX98/RCNet/blob/" in row


def test_readme_shows_the_cards_table(capsys):
    assert main(["table"]) == 0
    readme = card_folder().parent / "README.md"
    assert capsys.readouterr().out.strip() in readme.read_text()


def test_verify_command(capsys, tmp_path):
    assert main(["verify", NAME, "fpn_retinanet", "--out", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr().out
    assert "fpn_retinanet" in printed
    assert "checks passed" in printed
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    assert report["passed"]
    assert {check["card"] for check in report["checks"]} == {NAME, "fpn_retinanet"}


def test_verify_command_fails_with_1_and_names_the_problem(capsys, monkeypatch):
    monkeypatch.setitem(cards_checks.MEASURE, "build", lambda card, check: {"params": 1, "trainable": 1})
    assert main(["verify", NAME, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["passed"]
    assert main(["verify", NAME, "-q"]) == 1
    assert (
        capsys.readouterr().out
        == f"failed: {NAME}: build: compute.params: expected 1 as the model has, found 37,636,598 in the card\n"
    )


def test_verify_of_all_also_looks_at_the_collection(capsys, monkeypatch):
    for kind in ("build", "forward", "metric"):
        monkeypatch.setitem(cards_checks.MEASURE, kind, lambda card, check: {})
        monkeypatch.setitem(cards_checks.COMPARE, kind, lambda card, check, result: None)
    assert main(["verify", "--json"]) == 0
    outcomes = json.loads(capsys.readouterr().out)["checks"]
    assert {("model_cards", "complete"), ("README.md", "table")} <= {(o["card"], o["check"]) for o in outcomes}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["verify", "rcnet_retinnet"], "did you mean 'rcnet_retinanet'?"),
        (["verify", "--teir", "fast"], "did you mean --tier?"),
        (["verfy"], "did you mean verify?"),
    ],
)
def test_wrong_use_is_2(capsys, argv, expected):
    assert main(argv) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["verify", "record", "table", "schema"])
def test_help_shows_two_examples(capsys, verb):
    assert main([verb, "--help"]) == 0
    assert capsys.readouterr().out.count(f"  visionzoo cards {verb}") >= 2


def test_no_verb_prints_usage(capsys):
    assert main([]) == 2
    assert "verbs:" in capsys.readouterr().out


def test_two_headlines_of_one_system_are_a_problem():
    cards = [read_card(name) for name in ("scnn_culane", "scnn_tusimple", "connnet_r50")]
    assert headlines_problem(cards) is None
    zoo = cards[1].zoo.model_copy(update={"headline": True})
    cards[1] = replace(cards[1], fields=cards[1].fields.model_copy(update={"visionzoo": zoo}))
    problem = "expected at most one card of scnn with headline: true, found scnn_culane, scnn_tusimple; keep one"
    assert headlines_problem(cards) == problem


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 1000, 2_007_040])
def test_kept_values_do_not_depend_on_the_cpu(count):
    """Whole numbers between the exact positions and the next ones; the ends are kept."""
    indices = cards_checks.kept_indices(count)
    assert len(indices) == min(64, count)
    assert indices[0] == 0
    assert indices[-1] == count - 1
    exact = np.arange(len(indices)) * ((count - 1) / max(len(indices) - 1, 1))
    assert np.abs(indices - exact).max() <= 1


def test_kept_values_are_those_of_the_stored_arrays():
    """A CPU without fused multiply-add rounds twice and would choose 1083164."""
    assert cards_checks.kept_indices(2_007_040)[34] == 1_083_163
