"""Class names in checkpoints and in the metainfo of data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from visionzoo.engine.checkpoints import save_weights
from visionzoo.engine.class_names import Classes, saved_classes
from visionzoo.errors import CheckpointError


def write(path: Path, meta: dict[str, Any] | None, **options: Any) -> Path:
    state = {"weight": torch.zeros(2)}
    torch.save({"state_dict": state} if meta is None else {"state_dict": state, "meta": meta}, path, **options)
    return path


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize(
    ("meta", "names"),
    [
        ({"dataset_meta": {"classes": ["cat", "dog"]}}, ("cat", "dog")),
        ({"dataset_meta": {"CLASSES": ("cat", "dog")}}, ("cat", "dog")),
        ({"CLASSES": ("cat", "dog")}, ("cat", "dog")),
        ({"dataset_meta": {"classes": [1, 2]}}, ("1", "2")),
        ({"dataset_meta": {"classes": []}}, None),
        ({"dataset_meta": {"classes": "cat"}}, None),
        ({"dataset_meta": {"classes": None}}, None),
        ({"dataset_meta": None}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_classes_of_a_torch_file(tmp_path: Path, meta: Any, names: Any, new_format: bool) -> None:
    path = write(tmp_path / "w.pth", meta, _use_new_zipfile_serialization=new_format)
    found = saved_classes(path)
    assert names == (found and found.names)


def test_classes_of_a_safetensors_file(tmp_path: Path) -> None:
    meta = {"dataset_meta": {"classes": ("tench", "crane"), "class_keys": ("n1", "n2")}}
    save_weights(tmp_path / "a.safetensors", {"weight": torch.zeros(2)}, meta)
    assert saved_classes(tmp_path / "a.safetensors").keys == ("n1", "n2")
    save_file({"weight": torch.zeros(2)}, tmp_path / "b.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "c.safetensors", {"meta": json.dumps([1])})
    assert saved_classes(tmp_path / "b.safetensors") is saved_classes(tmp_path / "c.safetensors") is None
    assert saved_classes(None) is None


def test_tensors_that_have_no_meta_form_are_read(tmp_path: Path) -> None:
    sparse = torch.zeros(3, 3).to_sparse()
    torch.save({"state_dict": {"weight": sparse}, "meta": {"CLASSES": ["cat"]}}, tmp_path / "w.pth")
    assert saved_classes(tmp_path / "w.pth").names == ("cat",)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"text"])
def test_a_broken_checkpoint_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(CheckpointError):
        saved_classes(tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="no such file"):
        saved_classes(tmp_path / "nothing.pth")


@pytest.mark.parametrize(
    ("meta", "keys"),
    [
        ({"classes": ("background", "tench"), "class_keys": ("n1",)}, ("background", "n1")),
        ({"classes": ("tench",), "class_keys": ("n1", "n2")}, ("tench",)),
        ({"classes": ("tench",)}, ("tench",)),
    ],
)
def test_keys_of_a_data_set(meta: dict[str, Any], keys: tuple[str, ...]) -> None:
    assert Classes.of(meta, "data").keys == keys


@pytest.mark.parametrize(
    ("own", "other", "labels"),
    [
        (("a", "b"), ("a", "b"), [0, 1]),
        (("b", "a"), ("a", "b"), [1, 0]),
        (("b",), ("a", "b"), [1]),
        (("a", "c"), ("a", "b"), [0, None]),
        (("A",), ("a",), [None]),
        (("0", "1"), ("a", "b"), [0, 1]),
        (("0", "1", "2"), ("a", "b"), [0, 1, None]),
        (("a", "b"), ("0", "1"), [0, 1]),
        (("a",), ("0", "1"), [None]),
        (("1", "2"), ("0", "1", "2"), [1, 2]),
    ],
)
def test_labels_in_other_classes(own: tuple[str, ...], other: tuple[str, ...], labels: list) -> None:
    assert Classes("own", own, own).labels_in(Classes("other", other, other)) == labels
