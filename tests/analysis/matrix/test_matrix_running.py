"""Shares, one cell per part, the file of outcomes, and the tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from visionzoo.analysis.matrix import running
from visionzoo.analysis.matrix.cells import WORKS
from visionzoo.analysis.matrix.fitting import refusal
from visionzoo.analysis.matrix.parts import backbones, heads, necks
from visionzoo.analysis.matrix.records import add_outcome, read_outcomes
from visionzoo.analysis.matrix.running import cells_of, finish, one_per_part, run_cells, share_of
from visionzoo.analysis.matrix.table import BEGIN, END, markdown, summary, text_table, with_table
from visionzoo.errors import ConfigError, DataError

DONE = {"status": "works", "seconds": 0.5}
PAGE = Path(__file__).parents[3] / "docs" / "matrix.md"


def test_shares_are_disjoint_and_complete() -> None:
    cells = cells_of()
    shares = [share_of(cells, f"{number}/10") for number in range(1, 11)]
    keys = [cell.key for share in shares for cell in share]
    assert sorted(keys) == sorted(cell.key for cell in cells)
    assert min(map(len, shares)) > len(cells) / 20


@pytest.mark.parametrize("text", ["0/10", "11/10", "1", "a/b", "1/0", "-1/3"])
def test_a_wrong_share_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="--part: expected K/N with K from 1 to N"):
        share_of([], text)


def test_one_cell_of_every_part_works() -> None:
    """The test that CI runs: every backbone, neck and head once, built, trained one step, and predicted."""
    chosen = one_per_part(cells_of())
    for kind, parts in (("backbone", backbones()), ("neck", necks()), ("head", heads())):
        assert {getattr(cell, kind).name for cell in chosen} == {part.name for part in parts}
    assert len(chosen) <= len(backbones()) + len(necks()) + len(heads())
    assert all(refusal(cell) is None for cell in chosen)
    wrong = {key: outcome["reason"] for key, outcome in run_cells(chosen) if outcome["status"] != WORKS}
    assert not wrong


def test_a_run_continues_after_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, path, ran = cells_of(["VGG", "DiNAT"], ["no neck"], ["SCNN*", "HMoDE*"]), tmp_path / "m.jsonl", []

    def fail_at_third(cell):
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(cell.key)
        return DONE

    monkeypatch.setattr(running, "run_cell", fail_at_third)
    with pytest.raises(KeyboardInterrupt):
        finish(cells, path, lambda *_: None)
    path.write_text(path.read_text() + '{"cell": "VGG | no')  # killed while it wrote
    first = list(ran)
    ran.clear()
    monkeypatch.setattr(running, "run_cell", lambda cell: ran.append(cell.key) or DONE)
    outcomes = finish(cells, path, lambda *_: None)
    assert sorted(first + ran) == sorted(cell.key for cell in cells)
    assert len(outcomes) == len(read_outcomes(path)) == 4


def test_failed_cells_run_again_only_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cell,), path = cells_of(["VGG"], ["no neck"], ["SCNN*"]), tmp_path / "m.jsonl"
    add_outcome(path, cell.key, {"status": "failed", "reason": "too small", "seconds": 1.0})
    monkeypatch.setattr(running, "run_cell", lambda cell: DONE)
    assert finish([cell], path, lambda *_: None)[cell.key]["status"] == "failed"
    assert finish([cell], path, lambda *_: None, again=True)[cell.key] == DONE
    assert read_outcomes(path) == {cell.key: DONE}


@pytest.mark.parametrize("line", ["no json", "[1]", json.dumps({"cell": "a"})])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "m.jsonl"
    add_outcome(path, "a | b | c", DONE)
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(DataError, match="line 2: expected the outcome of a cell"):
        read_outcomes(path)


OUTCOMES = {
    "VGG | no neck | SCNNHead": DONE,
    "ICNetEncoder | no neck | SCNNHead": {
        "status": "refused", "kind": "pairs", "reason": "ICNetEncoder reads pairs of images.", "seconds": 0.0
    },
    "VGG | RCNet | SCNNHead": {"status": "failed", "reason": "the loss is inf", "seconds": 1.5},
}  # fmt: skip


def test_tables_have_a_mark_for_each_outcome() -> None:
    rows = text_table(OUTCOMES).splitlines()
    assert rows[1].split() == ["SCNNHead", "no", "neck", "+", "a", "0.50"]
    assert rows[2].split() == ["SCNNHead", "RCNet", "!", "."]
    text = markdown(OUTCOMES)
    assert "| SCNNHead | no neck | + | a | 0.50 |" in text
    assert "| SCNNHead | RCNet | ! |  |  |" in text
    assert "  - ICNetEncoder reads pairs of images." in text
    assert summary(OUTCOMES) == "3 cells: 1 works, 1 refused, 1 failed; 2 CPU seconds"
    untimed = {**OUTCOMES, "VGG | mmdet.FPN | SCNNHead": {"status": "works"}}
    assert summary(untimed).endswith("2 CPU seconds for 3 of them")
    assert "| SCNNHead | mmdet.FPN | + |  |  |" in markdown(untimed)


def test_the_page_keeps_what_is_outside_its_markers() -> None:
    page = with_table(f"# Title\n{BEGIN}\nold\n{END}\nrest\n", OUTCOMES)
    assert page.startswith("# Title\n")
    assert page.endswith("\nrest\n")
    assert "old" not in page
    assert with_table(page, OUTCOMES) == page
    with pytest.raises(DataError, match="expected a page with the lines"):
        with_table("# Title\n", OUTCOMES)


def test_the_page_of_the_documentation_has_every_part() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f" {part.name}" in text for part in backbones())
    for head in heads():
        for neck in necks():
            assert f"| {head.name} | {neck.name} |" in text, (head.name, neck.name)
    assert "| ! |" not in text
    assert "|  |  |" not in text  # every cell has run
