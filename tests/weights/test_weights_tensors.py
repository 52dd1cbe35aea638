"""Files whose tensors, names or variants do not belong are refused with one sentence."""

from __future__ import annotations

import json
import os
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from visionzoo.backbones.bossnet import BossNet
from visionzoo.backbones.dinat import DiNAT
from visionzoo.errors import CheckpointError
from visionzoo.weights.loading import find_weights, load_weights, read_weights, weights_of
from visionzoo.weights.safe_load import holds_arrays, read_checkpoint, stated_meta
from visionzoo.weights.stated_variants import require_stated_variants, variants_of

W = torch.arange(6.0).reshape(2, 3)
STATE = {"conv.weight": W, "conv.bias": torch.ones(2)}


def saved(folder: Path, contents: Any, name: str = "a.pth") -> Path:
    torch.save(contents, folder / name)
    return folder / name


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (W.to_sparse(), "a sparse one"),
        (W.to_sparse_csr(), "a sparse one"),
        (torch.quantize_per_tensor(W, 0.1, 0, torch.qint8), "a quantised one"),
        (W.to("meta"), "one on the meta device"),
        (torch.zeros(1).expand(10**6, 10**6), "one of shape (1000000, 1000000)"),
        (W.to(torch.complex64), "torch.complex64"),
        (W > 0, "torch.bool"),
        (W.to(torch.int8), "torch.int8"),
        ([1.0, 2.0], "list"),
        (None, "NoneType"),
        ("x", "str"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": {"model": state}}])
def test_entries_that_are_not_weights_are_named(value: Any, found: str, wrap: Any, tmp_path: Path) -> None:
    path = saved(tmp_path, wrap({**STATE, "conv.weight": value}))
    with pytest.raises(CheckpointError, match=r"conv\.weight: expected") as error:
        read_weights(path)
    assert f"found {found}" in error.value.sentence


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_floating_point_numbers_of_any_size_are_read(dtype: torch.dtype, tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    load_weights(model, saved(tmp_path, {"weight": W.to(dtype), "bias": torch.ones(2)}))
    assert torch.equal(model.weight, W)


@pytest.mark.parametrize(
    ("contents", "names"),
    [
        ({"model": {"state_dict": STATE}, "epoch": 3}, list(STATE)),
        ({"state_dict": STATE, "ema": {"decay": 0.9}}, list(STATE)),
        ({**STATE, "epoch": 3, "arch": "x"}, list(STATE)),
        ({"conv.weight": W.numpy()}, ["conv.weight"]),
        ({0: W, 1: W}, ["0", "1"]),
        ({**STATE, "conv._extra_state": None}, list(STATE)),
    ],
)
def test_states_in_their_one_obvious_meaning(contents: Any, names: list[str], tmp_path: Path) -> None:
    assert list(read_weights(saved(tmp_path, contents))) == names


def test_numbers_beside_the_tensors_of_a_state_are_stated(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"1 entries are not tensors \(steps\)"):
        read_weights(saved(tmp_path, {"state_dict": {**STATE, "steps": 3}}))


def test_states_that_contain_themselves_or_a_name_twice(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["state_dict"] = loop
    with pytest.raises(CheckpointError, match="expected tensors by name"):
        read_weights(saved(tmp_path, loop))
    with pytest.raises(CheckpointError, match="1: expected every name once"):
        read_weights(saved(tmp_path, {1: W, "1": W}))


def test_the_bytes_determine_the_format(tmp_path: Path) -> None:
    pth, other = saved(tmp_path, STATE, "a.safetensors"), tmp_path / "b.pth"
    save_file(STATE, other, metadata={"meta": '{"input": {}}'})
    assert stated_meta(pth) == {}
    assert stated_meta(other) == {"input": {}}
    for path in (pth, other):
        assert torch.equal(read_weights(path)["conv.weight"], W)


def test_changed_bytes_are_found_by_their_checksum(tmp_path: Path) -> None:
    path = saved(tmp_path, STATE)
    data, at = path.read_bytes(), path.read_bytes().index(W.numpy().tobytes())
    path.write_bytes(data[: at + 9] + b"\x7f" + data[at + 10 :])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_weights(path)
    path.write_bytes(data)
    assert torch.equal(read_weights(path)["conv.weight"], W)


def header(shape: Any, kind: str = "F32", meta: Any = "{}") -> bytes:
    entries = {"__metadata__": {"meta": meta}, "a": {"dtype": kind, "shape": shape, "data_offsets": [0, 8]}}
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        header([10**9, 10**9]),
        header([2**63, 2]),
        header([-1]),
        header([2], "Q4"),
        header([2], meta=3),
        header([2], meta="["),
        header([2], meta="[" * 100_000),
        struct.pack("<Q", 2**39) + b"{}",
        b"\x93NUMPY\x01\x00",
        b"\x1f\x8b\x08",
        b"sys_info".ljust(257, b"\0") + b"ustar",
        b"404: Not Found",
    ],
)
def test_files_without_usable_tensors(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="expected"):
        read_checkpoint(tmp_path / "a.pth")


def test_archives_that_are_not_checkpoints(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(3))
    with zipfile.ZipFile(tmp_path / "doc.pth", "w") as archive:
        archive.writestr("word/document.xml", "x")
    assert [holds_arrays(tmp_path / name) for name in ("a.npz", "doc.pth")] == [True, False]
    with pytest.raises(CheckpointError, match=r"NumPy arrays \(\.npz\); convert it first"):
        read_checkpoint(tmp_path / "a.npz")
    with pytest.raises(CheckpointError, match=r"a zip archive with word/document\.xml"):
        read_checkpoint(tmp_path / "doc.pth")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert holds_arrays(tmp_path / "a.h5")
    with pytest.raises(CheckpointError, match="an HDF5 file, as Keras writes it; convert it first"):
        read_checkpoint(tmp_path / "a.h5")


def test_states_of_several_modules_are_joined() -> None:
    encoder, decoder = {"conv.weight": W}, {"module.fc.weight": W, "module.fc.bias": W}
    optimizer = {"state": {0: {"exp_avg": W}}, "param_groups": [{"lr": 0.1}]}
    found = weights_of({"epoch": 3, "encoder": encoder, "decoder": decoder, "optimizer": optimizer}, "a.pth")
    assert list(found) == ["encoder.conv.weight", "decoder.fc.weight", "decoder.fc.bias"]
    assert list(weights_of({"model_state": encoder, "other": decoder}, "a.pth")) == ["conv.weight"]


def test_objects_that_are_not_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    os.symlink("nowhere", tmp_path / "dangling.pth")
    for name, found in (("pipe.pth", "a device or a pipe"), ("dangling.pth", "no such file"), ("x" * 300, "expected")):
        with pytest.raises(CheckpointError, match=found):
            read_checkpoint(find_weights(tmp_path / name))


def test_nan_is_stated(tmp_path: Path) -> None:
    path = saved(tmp_path, {"weight": W * float("nan"), "bias": torch.ones(2)})
    with pytest.warns(UserWarning, match=r"1 of 2 tensors contain NaN or infinite numbers \(weight\)"):
        load_weights(nn.Linear(3, 2), path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_weights(nn.Linear(3, 2), saved(tmp_path, {"weight": W, "bias": torch.ones(2)}))


# --- variants with equal tensors ---


def test_only_variants_that_compute_alike_are_accepted() -> None:
    with torch.device("meta"):
        nat, dinat, coco = DiNAT("nat_mini"), DiNAT("dinat_mini"), DiNAT("dinat_mini", dilations="coco")
        t0, t1 = BossNet("T0"), BossNet("T1")
    assert nat.computes_as("nat_tiny")
    assert coco.computes_as("dinat_mini")
    assert not dinat.computes_as("nat_mini")
    assert not nat.computes_as("dinat_mini")
    assert not t0.computes_as("T1")
    assert t1.computes_as("T1")
    assert variants_of(nn.ModuleList([nat, t1])) == {"DiNAT": "nat_mini", "BossNet": "T1"}


@pytest.mark.parametrize("meta", [None, 3, {"variants": 3}, {"variants": {"DiNAT": 3}}, {"variants": {"DiNAT": "x"}}])
def test_other_statements_are_not_compared(meta: Any) -> None:
    require_stated_variants(DiNAT("tiny"), meta, "a.pth")


def test_weights_of_the_other_variant_are_refused(tmp_path: Path) -> None:
    model = nn.ModuleDict({"backbone": DiNAT("tiny")})
    save_file(model.state_dict(), tmp_path / "a.safetensors", metadata={"meta": '{"variants": {"DiNAT": "nat_mini"}}'})
    with pytest.raises(CheckpointError, match=r"use the option model\.backbone\.variant=nat_mini .*, or convert"):
        load_weights(model, tmp_path / "a.safetensors")
