"""Checkpoints are written completely or not at all; a full disk costs only the new checkpoint."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from visionzoo.engine.checkpoints import find_resume, plain, point_to, save_checkpoint, save_weights
from visionzoo.errors import CheckpointError, OutputError
from visionzoo.system.atomic import write_file, write_text


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    write_text(path, "old")

    def fail(file: BinaryIO) -> None:
        file.write(b"half of the new")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match=r"a\.pth: expected a place that can be written, but no space is left"):
        write_file(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    write_text(path, "old")

    def stop(file: BinaryIO) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(path, stop)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("save", [save_checkpoint, lambda path, tensors: save_weights(path, tensors, {})])
def test_a_file_size_limit_is_one_sentence(tmp_path: Path, save: Callable[[Path, dict], Any]) -> None:
    path = tmp_path / "weights"
    save(path, {"a": torch.zeros(8)})
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        with pytest.raises(OutputError, match=r"ulimit -f"):
            save(path, {"a": torch.zeros(64 * 1024)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_ends_training_with_the_old_checkpoint(
    train_toy: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = torch.save, []

    def full(value: Any, file: BinaryIO) -> None:
        calls.append(1)
        if len(calls) > 2:  # the first epoch writes twice: before and after validation
            file.write(b"some")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(value, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="no space is left") as failure:
        train_toy("run", {"default_hooks.checkpoint.max_keep_ckpts": 1})
    assert failure.value.exit_code == 2
    folder = tmp_path / "run"
    assert [path.name for path in folder.glob("*.pth")] == ["epoch_1.pth"]
    assert not list(folder.glob("*.part"))
    assert not list(folder.glob(".*.part"))
    monkeypatch.undo()
    assert train_toy("unused", resume=folder)["epoch"] == 3


def test_checkpoints_hold_nothing_that_runs_code(train_toy: Callable) -> None:
    done = train_toy("run", {"early_stopping": dict(monitor="toy/acc", rule="greater")}, ema=True, amp=True)
    saved = torch.load(done["checkpoint"], weights_only=True)
    assert {"state_dict", "ema_state_dict", "optimizer", "param_schedulers", "ranks", "loop", "hooks"} <= set(saved)


def test_plain_values_keep_their_meaning() -> None:
    import numpy as np

    value = {"a": np.float64(0.5), 3: (np.int64(2), [np.zeros(2)]), "s": {3, 1}, "n": None}
    cleaned = plain(value)
    assert cleaned["a"] == 0.5
    assert type(cleaned["a"]) is float
    assert cleaned[3][0] == 2
    assert type(cleaned[3][0]) is int
    assert torch.equal(cleaned[3][1][0], torch.zeros(2, dtype=torch.float64))
    assert cleaned["s"] == [1, 3]
    assert cleaned["n"] is None


def test_the_last_checkpoint_is_found_after_the_folder_moved(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "epoch_2.pth").touch()
    (old / "epoch_10.pth").touch()
    point_to(old / "epoch_2.pth")
    moved = old.rename(tmp_path / "new")
    assert find_resume(moved) == moved / "epoch_2.pth"
    (moved / "last_checkpoint").unlink()
    assert find_resume(moved).name in ("epoch_2.pth", "epoch_10.pth")
    with pytest.raises(CheckpointError):
        find_resume(tmp_path / "old")
