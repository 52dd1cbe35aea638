"""Checkpoints of TensorFlow, read without it: whole ones, and damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from released_layouts import write_tf_bundle

from visionzoo.errors import CheckpointError
from visionzoo.weights.crc32c import _bytewise, crc32c
from visionzoo.weights.tf_bundle import is_tf_bundle, read_tf_bundle


def arrays(count: int = 40) -> dict[str, np.ndarray]:
    random = np.random.RandomState(0)
    names = [f"cell_{index // 4}/left/bn_{index}/gamma" for index in range(count)]
    made = {name: random.standard_normal((3, index % 5 + 1)).astype("float32") for index, name in enumerate(names)}
    return made | {
        "global_step": np.array(7, "int64"),
        "half": np.ones((2, 1), "float16"),
        "none": np.ones((0, 3), "float32"),
    }


@pytest.mark.parametrize(("block", "shards"), [(1, 1), (200, 3), (1 << 20, 1)])
def test_every_variable_is_read(tmp_path: Path, block: int, shards: int) -> None:
    given, path = arrays(), tmp_path / "model.ckpt"
    write_tf_bundle(path, given, block=block, shards=shards)
    assert is_tf_bundle(path)
    read = read_tf_bundle(path)
    assert set(read) == set(given)
    for name, value in given.items():
        assert torch.equal(read[name], torch.from_numpy(value))
        assert read[name].shape == value.shape


def test_other_paths_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"x")
    assert not is_tf_bundle(tmp_path / "a.pth")
    assert not is_tf_bundle(tmp_path / "missing")


@pytest.mark.parametrize("length", [0, 1, 63, 1000, 16383, 16384, 16389, 4096 * 64 + 17])
def test_a_checksum_equals_that_of_the_bytes_one_by_one(length: int) -> None:
    data, register = np.random.RandomState(length).bytes(length), 0xFFFFFFFF
    for value in data:
        register = _bytewise()[(register ^ value) & 0xFF] ^ (register >> 8)
    assert crc32c(data) == register ^ 0xFFFFFFFF


def test_a_checksum_is_the_published_one() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


def truncated_index(path: Path) -> None:
    index = path.with_name("model.ckpt.index")
    index.write_bytes(index.read_bytes()[:-20])


def changed_index(path: Path) -> None:
    index = path.with_name("model.ckpt.index")
    data = bytearray(index.read_bytes())
    data[30] ^= 1
    index.write_bytes(data)


def far_block(path: Path) -> None:
    index = path.with_name("model.ckpt.index")
    data = index.read_bytes()
    footer = b"\0\0" + b"\xff\xff\xff\xff\x7f\x08"
    index.write_bytes(data[:-48] + footer.ljust(40, b"\0") + data[-8:])


def changed_tensor(path: Path) -> None:
    shard = path.with_name("model.ckpt.data-00000-of-00001")
    data = bytearray(shard.read_bytes())
    data[7] ^= 1
    shard.write_bytes(data)


def truncated_tensor(path: Path) -> None:
    shard = path.with_name("model.ckpt.data-00000-of-00001")
    shard.write_bytes(shard.read_bytes()[:-4])


def no_shard(path: Path) -> None:
    path.with_name("model.ckpt.data-00000-of-00001").unlink()


def empty_index(path: Path) -> None:
    path.with_name("model.ckpt.index").write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (truncated_index, "the index has no footer of a table"),
        (empty_index, "the index has no footer of a table"),
        (changed_index, "a block of the index has another checksum"),
        (far_block, "a block ends beyond the index"),
        (changed_tensor, "has another checksum"),
        (truncated_tensor, "ends beyond its file"),
        (no_shard, "there is no model.ckpt.data-00000-of-00001"),
    ],
)
def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path, harm, found: str) -> None:
    path = tmp_path / "model.ckpt"
    write_tf_bundle(path, arrays())
    harm(path)
    with pytest.raises(CheckpointError, match="expected a whole checkpoint of TensorFlow, but") as caught:
        read_tf_bundle(path)
    assert found in str(caught.value)
    assert "download it again" in str(caught.value)


def test_every_byte_of_an_index_may_be_wrong(tmp_path: Path) -> None:
    """Whatever byte changes, the reader refuses the file or reads the same; it raises nothing else."""
    path = tmp_path / "model.ckpt"
    given = arrays(3)
    write_tf_bundle(path, given)
    index = path.with_name("model.ckpt.index")
    whole = index.read_bytes()
    for at in range(len(whole)):
        for bits in (1, 0x80, 0xFF):
            changed = bytearray(whole)
            changed[at] ^= bits
            index.write_bytes(changed)
            try:
                read = read_tf_bundle(path)
            except CheckpointError:
                continue
            assert {name: value.tolist() for name, value in read.items()} == {k: v.tolist() for k, v in given.items()}


def test_a_checkpoint_without_variables_is_refused(tmp_path: Path) -> None:
    write_tf_bundle(tmp_path / "model.ckpt", {})
    with pytest.raises(CheckpointError, match="expected variables of numbers, found none"):
        read_tf_bundle(tmp_path / "model.ckpt")
