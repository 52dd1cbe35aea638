"""Shards, tar files of images, are inputs: their results equal those of the same files."""

import io
import json
import tarfile

import pytest
import torch
from inference_scenes import scene
from PIL import Image
from shard_files import save_shard

from visionzoo import Inferencer
from visionzoo.cli.infer import main
from visionzoo.errors import DataError
from visionzoo.tasks.inputs.files import count_inputs, expand_inputs, left_out

FIXED = ["--tiny", "--weights", "none", "--device", "cpu"]
NAMES = ("a/0.jpg", "a/1.png", "b/0.jpg", "b/2.webp", "b/3.jpg")


@pytest.fixture
def images(tmp_path):
    """Return a folder of images, with the files of other kinds that the samples of a shard have."""
    torch.set_num_threads(1)
    for number, name in enumerate(NAMES):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(60, 90, number)).save(path, **({"lossless": True} if name.endswith("webp") else {}))
    return tmp_path / "images"


@pytest.fixture
def shards(images):
    """Return the folder of two shards with the same images and classes."""
    folder = images.parent / "shards"
    for number, names in enumerate((NAMES[:2], NAMES[2:])):
        files = {name: (images / name).read_bytes() for name in names}
        classes = {name.partition(".")[0] + ".cls": b"0" for name in names}
        save_shard(folder / f"{number:03}.tar", {name: (files | classes)[name] for name in sorted(files | classes)})
    return folder


def infer(model, *args):
    return main([model, *map(str, args), *FIXED])


def results(out):
    """Return the lines without the names of the inputs, and the bytes of the other files of results."""
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    names = [line.pop("input").replace("#", "/").split("/") for line in lines]
    groups = [line.pop("group", "").replace("#", "/").split("/")[-1] for line in lines]
    files = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and len(path.relative_to(out).parts) > 1
    }
    return lines, ["/".join(each[-2:]) for each in names], groups, files


@pytest.mark.parametrize("model", ["bossnet_t0_imagenet", "connnet_r50", "gconet_plus"])
def test_results_equal_those_of_the_files(images, shards, tmp_path, model):
    assert infer(model, images, "-r", "-o", tmp_path / "files") == 0
    expected = results(tmp_path / "files")
    assert expected[1] == list(NAMES)
    assert len(expected[3]) >= len(NAMES)
    for number, inputs in enumerate((shards, shards / "{000..001}.tar", f"{shards}/*.tar")):
        out = tmp_path / f"shards {number}"
        assert infer(model, inputs, "-o", out) == 0
        assert results(out) == expected


def test_the_name_of_an_input_has_shard_and_file(shards):
    sources = list(expand_inputs([shards / "000.tar"]))
    assert [source.name for source in sources] == [f"{shards}/000.tar#a/0.jpg", f"{shards}/000.tar#a/1.png"]
    assert [source.place.as_posix() for source in sources] == ["a/0.jpg", "a/1.png"]
    assert count_inputs([shards]) is None  # only reading all headers shows it
    assert left_out([shards]) == ""


def test_python_takes_shards(shards):
    inferencer = Inferencer("bossnet_t0_imagenet", "none", tiny=True, device="cpu")
    assert len(list(inferencer(str(shards / "001.tar")))) == 3


def test_a_tar_file_beside_images_is_left_out(images, shards):
    (shards / "000.tar").rename(images / "a" / "all.tar")
    assert [source.place.name for source in expand_inputs([images / "a"])] == ["0.jpg", "1.png"]
    assert left_out([images / "a"]) == "1 file (.tar)"


def test_equal_names_in_two_shards_get_numbers(images, tmp_path):
    first, second = ((images / name).read_bytes() for name in ("a/0.jpg", "b/0.jpg"))
    for name, content in (("0.tar", first), ("1.tar", second)):
        save_shard(tmp_path / "twice" / name, {"same.jpg": content})
    assert infer("connnet_r50", tmp_path / "twice", "-o", tmp_path / "out") == 0
    lines, _, _, files = results(tmp_path / "out")
    assert [line["result"]["map"] for line in lines] == ["raw/same.png", "raw/same-2.png"]
    assert files["raw/same.png"] != files["raw/same-2.png"]


def test_broken_shards_are_named_and_the_others_go_on(images, shards, tmp_path, capsys):
    whole = (shards / "001.tar").read_bytes()
    at = whole.index((images / "b/3.jpg").read_bytes())
    (shards / "001.tar").write_bytes(whole[: at + 700])  # in the last image
    bad = {"broken.jpg": b"not an image", "good.jpg": (images / "a/0.jpg").read_bytes()}
    save_shard(shards / "002.tar", bad)
    (shards / "003.tar").write_bytes(b"no tar file")
    (shards / "004.tar").write_bytes(b"")
    whole = save_shard(shards / "005.tar", bad).read_bytes()
    (shards / "005.tar").write_bytes(whole[: whole.index(b"good.jpg")])  # at the end of a file
    header = bytearray(whole)
    header[whole.index(b"good.jpg") + 100] ^= 0xFF
    (shards / "006.tar").write_bytes(header)
    save_shard(shards / "007.tar", {"notes.txt": b"no image"})
    assert infer("bossnet_t0_imagenet", shards, "-o", tmp_path / "out", "--vis", "none") == 1
    said = capsys.readouterr().err
    for text in (
        f"error: {shards}/001.tar#b/3.jpg: expected ",
        f"error: {shards}/001.tar: expected a complete tar file, but unexpected end of data; copy",
        f"error: {shards}/002.tar#broken.jpg: expected an image (JPEG",
        f"error: {shards}/003.tar: expected a complete tar file, but ",
        f"error: {shards}/004.tar: expected a complete tar file, but empty file; copy",
        f"error: {shards}/005.tar: expected the end of a tar file, a block of zeros, found 0 bytes; it is cut off",
        f"error: {shards}/006.tar: expected the header of a file at byte 1024, found other bytes; it is damaged",
        f"error: {shards}/007.tar: expected images, found none",
        "5 of 15 images done",
    ):
        assert text in said, text
    assert "found 700 before the end of the shard" in said


def test_links_sparse_files_and_compressed_shards_are_named(images, tmp_path, capsys):
    folder = tmp_path / "links"
    folder.mkdir()
    with tarfile.open(folder / "0.tar", "w") as archive:
        archive.add(images / "a/0.jpg", "0.jpg")
        for name, kind in (
            ("hard.jpg", tarfile.LNKTYPE),
            ("soft.jpg", tarfile.SYMTYPE),
            ("folder.jpg", tarfile.DIRTYPE),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "0.jpg"
            archive.addfile(entry)
        sparse = tarfile.TarInfo("sparse.jpg")
        sparse.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": "9000"}
        archive.addfile(sparse)
    with tarfile.open(folder / "1.tar", "w:gz") as archive:
        archive.add(images / "a/0.jpg", "0.jpg")
    assert infer("bossnet_t0_imagenet", folder, "-o", tmp_path / "out", "--vis", "none") == 1
    said = capsys.readouterr().err
    for text in (
        "0.tar#hard.jpg: expected the content of a file, found a link to 0.jpg; write the shard again with tar -h",
        "0.tar#soft.jpg: expected the content of a file, found a link to 0.jpg; ",
        "0.tar#sparse.jpg: expected the content of a file, found a sparse file; ",
        f"error: {folder}/1.tar: expected a tar file without compression, found a compressed one; decompress",
        "1 of 5 images done",
    ):
        assert text in said, text


def test_results_stay_in_their_folder_and_equal_names_get_numbers(images, tmp_path):
    first, second = ((images / name).read_bytes() for name in ("a/0.jpg", "b/0.jpg"))
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        for name, content in (("../../a.jpg", first), ("/a.jpg", second), ("a.jpg", first)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    assert infer("connnet_r50", tmp_path / "0.tar", "-o", tmp_path / "deep" / "er" / "out", "--vis", "none") == 0
    lines, _, _, files = results(tmp_path / "deep" / "er" / "out")
    assert [line["result"]["map"] for line in lines] == ["raw/a.png", "raw/a-2.png", "raw/a-3.png"]
    assert files["raw/a.png"] == files["raw/a-3.png"] != files["raw/a-2.png"]
    assert not list(tmp_path.rglob("deep/a*"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{000..003}.tar", "002.tar: expected an image, found no such file; did you mean "),
        ("000.tar.gz", "000.tar.gz: expected a tar file without compression, found a compressed one; decompress"),
    ],
)
def test_unusable_patterns(shards, tmp_path, capsys, name, words):
    (shards / "000.tar.gz").write_bytes(b"any")
    assert infer("bossnet_t0_imagenet", shards / name, "-o", tmp_path / "out") in (1, 2)
    assert words in capsys.readouterr().err


def test_a_shard_continues(shards, tmp_path, monkeypatch):
    from visionzoo.inference.writing import PredictionWriter

    assert infer("bossnet_t0_imagenet", shards, "-o", tmp_path / "one") == 0
    write = PredictionWriter.write

    def interrupted(self, prediction):
        if self.done == 3:
            raise KeyboardInterrupt
        write(self, prediction)

    with monkeypatch.context() as patch:
        patch.setattr(PredictionWriter, "write", interrupted)
        assert infer("bossnet_t0_imagenet", shards, "-o", tmp_path / "two") == 130
    assert infer("bossnet_t0_imagenet", shards, "-o", tmp_path / "two", "--resume") == 0
    assert results(tmp_path / "two") == results(tmp_path / "one")


def test_a_member_that_vanishes_is_an_error_of_its_input(shards):
    source = next(expand_inputs([shards / "000.tar"]))
    (shards / "000.tar").unlink()
    with pytest.raises(DataError, match=r"000.tar#a/0.jpg: expected a file in a shard, but No such file"):
        source.value.read()
