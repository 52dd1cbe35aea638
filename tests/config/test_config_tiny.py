"""``--tiny`` names the values of a user's own config that it replaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from visionzoo.config import config_names, load_config

OWN = """
_base_ = ["fpn_retinanet"]
train_dataloader = dict(batch_size=16, num_workers=0, dataset=dict(data_root="mine", pipeline=[dict(type="LoadImage")]))
train_cfg = dict(max_epochs=3)
"""
LOST = (
    "train_dataloader.batch_size 16 -> 4, train_dataloader.dataset.data_root 'mine' -> 'tiny://coco?train=16&val=8&seed=0'",
    "train_dataloader.dataset.pipeline",
    "train_cfg.max_epochs 3 -> 60",
)


def lost(path: Path) -> list[str]:
    return [note for note in load_config(path, tiny=True).notes if note.startswith("--tiny replaces")]


def test_replaced_values_of_an_own_file_are_named(tmp_path: Path) -> None:
    own, upper = tmp_path / "own.py", tmp_path / "upper.py"
    own.write_text(OWN)
    upper.write_text("_base_ = ['own.py']\nval_dataloader = dict(batch_size=3)\n")
    (note,) = lost(own)
    assert note.startswith(f"--tiny replaces 4 values of {own}: ")
    assert all(text in note for text in LOST)
    assert lost(upper)[0].startswith(f"--tiny replaces 5 values of {own}, {upper}: ")
    assert not any("--tiny" in note for note in load_config(own).notes)


def test_values_of_an_own_tiny_variant_are_known(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(f"{OWN}tiny = dict(train_cfg=dict(max_epochs=5), train_dataloader=dict(batch_size=2))\n")
    (note,) = lost(own)
    assert "2 values" in note
    assert "max_epochs" not in note


@pytest.mark.parametrize("name", config_names())
def test_released_configs_are_replaced_without_a_note(name: str) -> None:
    assert load_config(name, tiny=True).notes == []
