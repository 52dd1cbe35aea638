"""Reading checkpoint files: every kind that we write, and every broken or dangerous kind."""

import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file

from visionzoo.errors import CheckpointError
from visionzoo.weights.downloads import file_sha256
from visionzoo.weights.loading import class_names_of, find_checkpoint, read_weights
from visionzoo.weights.safe_load import read_checkpoint

STATE = OrderedDict({"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2)})


class Evil:
    """Unpickling this class creates ``path``."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def same(values: dict, want: dict = STATE) -> bool:
    return list(values) == list(want) and all(torch.equal(values[key], want[key]) for key in want)


@pytest.fixture
def pth(tmp_path):
    torch.save({"state_dict": STATE, "meta": {}}, tmp_path / "a.pth")
    return tmp_path / "a.pth"


def test_safetensors_and_their_meta(tmp_path):
    meta = '{"dataset_meta": {"classes": ["cat", "dog"]}}'
    save_file(dict(STATE), tmp_path / "a.safetensors", metadata={"meta": meta})
    checkpoint = read_checkpoint(tmp_path / "a.safetensors")
    assert class_names_of(checkpoint) == ("cat", "dog")
    assert same(dict(sorted(read_weights(tmp_path / "a.safetensors").items(), reverse=True)))


@pytest.mark.parametrize("key", ["state_dict", "model", None])
def test_weights_under_the_keys_that_others_use(tmp_path, key):
    torch.save({key: STATE, "epoch": 3} if key else STATE, tmp_path / "a.pth")
    assert same(read_weights(tmp_path / "a.pth"))


def test_a_whole_mmengine_checkpoint_needs_no_trust(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    buffer.update(3.0)
    checkpoint = {
        "state_dict": STATE,
        "meta": {"epoch": 1, "dataset_meta": {"classes": ("a", "b")}, "when": np.float64(2.5), "n": np.int64(3)},
        "message_hub": {"log_scalars": OrderedDict(loss=buffer), "runtime_info": OrderedDict(best=np.float32(0.5))},
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
        "rng": {"numpy": np.random.RandomState(0).get_state()[1], "flags": np.array([True, False])},
    }
    torch.save(checkpoint, tmp_path / "a.pth")
    state = read_checkpoint(tmp_path / "a.pth")
    assert state["message_hub"]["log_scalars"]["loss"].mean() == 2.0
    assert state["meta"]["when"] == 2.5
    np.testing.assert_array_equal(state["rng"]["numpy"], checkpoint["rng"]["numpy"])
    assert class_names_of(state) == ("a", "b")


def test_names_that_numpy_1_wrote(tmp_path):
    # zip files have checksums against changed bytes, so the legacy format is used, which has none
    torch.save({"state_dict": STATE, "v": np.float64(1.5)}, tmp_path / "l.pth", _use_new_zipfile_serialization=False)
    old = (tmp_path / "l.pth").read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    (tmp_path / "old.pth").write_bytes(old)
    assert b"numpy.core.multiarray" in old
    assert read_checkpoint(tmp_path / "old.pth")["v"] == 1.5


def test_averaged_weights_by_default_and_the_trained_ones_on_request(tmp_path):
    trained = OrderedDict({f"module.{key}": value + 1 for key, value in STATE.items()}, steps=torch.tensor(7))
    torch.save({"state_dict": STATE, "ema_state_dict": trained}, tmp_path / "a.pth")
    assert same(read_weights(tmp_path / "a.pth"))
    assert same(read_weights(tmp_path / "a.pth", use_ema=False), {k: v + 1 for k, v in STATE.items()})
    torch.save({"state_dict": STATE, "state_dict_ema": {k: v + 2 for k, v in STATE.items()}}, tmp_path / "timm.pth")
    assert same(read_weights(tmp_path / "timm.pth"), {k: v + 2 for k, v in STATE.items()})
    assert same(read_weights(tmp_path / "timm.pth", use_ema=False))


def test_wrapper_prefix_is_taken_off(tmp_path):
    torch.save(OrderedDict({f"module.{key}": value for key, value in STATE.items()}), tmp_path / "ddp.pth")
    assert same(read_weights(tmp_path / "ddp.pth"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n", "git-lfs pointer"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "begins with"),
        (b"\x80\x02}q\x00", "5 bytes that are truncated"),
        (b"PK\x03\x04" + bytes(100), "truncated"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "truncated"),
        (pickle.dumps([1, 2], protocol=2), "truncated or damaged"),
    ],
)
def test_files_that_are_not_checkpoints(tmp_path, content, words):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as caught:
        read_weights(tmp_path / "x.pth")
    assert str(caught.value).startswith(str(tmp_path / "x.pth"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95])
def test_truncated_downloads(tmp_path, pth, suffix, kept):
    whole = pth
    if suffix == ".safetensors":
        whole = tmp_path / "a.safetensors"
        save_file(dict(STATE), whole)
    content = whole.read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_weights(tmp_path / f"cut{suffix}")


def test_missing_file_names_its_neighbour(tmp_path, pth):
    (tmp_path / "epoch_12.pth").write_bytes(pth.read_bytes())
    with pytest.raises(CheckpointError, match=r"did you mean .*epoch_12\.pth\?"):
        read_weights(tmp_path / "epoch_2.pth")
    with pytest.raises(CheckpointError, match="no folder"):
        read_weights(tmp_path / "nowhere" / "x.pth")


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ("work_dirs/fpn/epoch_2.pth", "did you mean work_dirs/fpn/epoch_12.pth?"),
        ("work_dirs/fbn/epoch_12.pth", "did you mean work_dirs/fpn?"),
        ("work_dirs/fp", "did you mean work_dirs/fpn?"),
        ("fpn", "did you mean work_dirs/fpn?"),
        ("work_dir/fpn", "did you mean work_dirs?"),
        ("xyz/abc/a.pth", "there is no folder xyz/abc either"),
        ("work_dirs/fpn/quite_another.bin", "work_dirs/fpn holds epoch_12.pth"),
        ("work_dirs/123", "its folder holds no checkpoint"),
    ],
)
def test_a_missing_file_names_a_similar_one(tmp_path, monkeypatch, given, advice):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work_dirs" / "fpn").mkdir(parents=True)
    (tmp_path / "work_dirs" / "fpn" / "epoch_12.pth").touch()
    with pytest.raises(CheckpointError) as caught:
        read_weights(given)
    assert str(caught.value) == f"{given}: expected a checkpoint, found no such file; {advice}"


def test_not_a_dict_and_no_tensors(tmp_path):
    torch.save(torch.ones(3), tmp_path / "t.pth")
    with pytest.raises(CheckpointError, match="found Tensor"):
        read_weights(tmp_path / "t.pth")
    torch.save({"epoch": 3}, tmp_path / "e.pth")
    with pytest.raises(CheckpointError, match="expected tensors by name, found epoch"):
        read_weights(tmp_path / "e.pth")


@pytest.mark.filterwarnings("ignore")
def test_a_program_is_not_weights(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "s.pth")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read_weights(tmp_path / "s.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_unless_trusted(tmp_path, zipped):
    made = tmp_path / "made_by_pickle"
    torch.save({"state_dict": STATE, "x": Evil(made)}, tmp_path / "e.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"runs \w+\.mkdir when loaded.*--trust-pickle"):
        read_weights(tmp_path / "e.pth")
    assert not made.exists()
    assert same(read_weights(tmp_path / "e.pth", trust_pickle=True))
    assert made.exists()


def test_getattr_reaches_only_statistics(tmp_path):
    class Climb:
        def __reduce__(self):
            return getattr, (HistoryBuffer, "__init__")

    torch.save({"state_dict": STATE, "x": Climb()}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="--trust-pickle"):
        read_weights(tmp_path / "c.pth")


def test_environment_cannot_open_the_fallback(tmp_path):
    made = tmp_path / "made"
    torch.save({"x": Evil(made)}, tmp_path / "e.pth")
    code = f"from visionzoo.weights.loading import read_weights; read_weights({str(tmp_path / 'e.pth')!r})"
    environment = {**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "CheckpointError" in done.stderr
    assert not made.exists()


def test_sha256_is_compared(pth):
    digest = file_sha256(pth)
    assert same(read_weights(pth, sha256=digest))
    with pytest.raises(CheckpointError, match=f"expected sha256 {'0' * 64}, found {digest}"):
        read_weights(pth, sha256="0" * 64)


# --- work dirs ---


def test_work_dir_returns_its_best_then_its_last(tmp_path, pth):
    content = pth.read_bytes()
    pth.unlink()
    with pytest.raises(CheckpointError, match="no checkpoint"):
        find_checkpoint(tmp_path)
    for number in (2, 9, 10):
        (tmp_path / f"epoch_{number}.pth").write_bytes(content)
    assert find_checkpoint(tmp_path).name == "epoch_10.pth"
    (tmp_path / "last_checkpoint").write_text("/moved/away/epoch_9.pth")
    assert find_checkpoint(tmp_path).name == "epoch_9.pth"
    save_file(dict(STATE), tmp_path / "best_coco_bbox_mAP_epoch_2.safetensors")
    assert find_checkpoint(tmp_path).name == "best_coco_bbox_mAP_epoch_2.safetensors"
    assert set(read_weights(tmp_path)) == set(STATE)
