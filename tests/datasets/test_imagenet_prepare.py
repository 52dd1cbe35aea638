"""datasets/imagenet/prepare.py on archives of a small ImageNet."""

import hashlib
import importlib.util
import io
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "datasets" / "imagenet" / "prepare.py"
TRAIN = {"n01440764": ["n01440764_1.JPEG", "n01440764_2.JPEG"], "n01443537": ["n01443537_9.JPEG"]}
VAL = ["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"]


def tarred(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def prepare(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("prepare_imagenet", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    inner = {f"{key}.tar": tarred({name: name.encode() for name in names}) for key, names in TRAIN.items()}
    for split, files in {"train": inner, "val": {name: name.encode() for name in VAL}}.items():
        data = tarred(files)
        (downloads / f"ILSVRC2012_img_{split}.tar").write_bytes(data)
        monkeypatch.setitem(module.MD5, f"ILSVRC2012_img_{split}.tar", hashlib.md5(data).hexdigest())
    (downloads / "val.txt").write_text(f"{VAL[0]} 1\n{VAL[1]} n01440764\n")
    monkeypatch.setattr(module, "CLASSES", 2)
    monkeypatch.setattr(module, "COUNTS", {"train": 3, "val": 2})
    return module


def test_unpacks_both_splits_and_finds_them_complete(prepare, tmp_path, capsys):
    assert prepare.main([str(tmp_path), "--check"]) == 1
    assert "train: missing" in capsys.readouterr().err
    assert prepare.main([str(tmp_path)]) == 0
    assert (tmp_path / "train/n01440764/n01440764_2.JPEG").read_text() == "n01440764_2.JPEG"
    assert (tmp_path / "val/n01443537" / VAL[0]).is_file()
    assert (tmp_path / "val/n01440764" / VAL[1]).is_file()
    (tmp_path / "train/n01443537/n01443537_9.JPEG").unlink()
    assert prepare.main([str(tmp_path), "--check"]) == 1
    assert "expected 3 images, found 2" in capsys.readouterr().err
    assert prepare.main([str(tmp_path)]) == 0


def test_what_is_wrong_with_the_archives(prepare, tmp_path, capsys):
    archive = tmp_path / "downloads" / "ILSVRC2012_img_val.tar"
    (tmp_path / "downloads" / "val.txt").write_text(f"{VAL[0]} 1\n")
    assert prepare.main([str(tmp_path), "--split", "val"]) == 2
    assert f"{VAL[1]}: expected its class in val.txt" in capsys.readouterr().err
    (tmp_path / "downloads" / "val.txt").unlink()
    assert prepare.main([str(tmp_path), "--split", "val"]) == 2
    assert "val.txt: missing; it lists" in capsys.readouterr().err
    archive.write_bytes(archive.read_bytes() + b"x")
    assert prepare.main([str(tmp_path), "--split", "val"]) == 2
    assert "expected md5" in capsys.readouterr().err
    archive.unlink()
    assert prepare.main([str(tmp_path), "--split", "val"]) == 2
    assert "register at https://image-net.org" in capsys.readouterr().err
