"""``visionzoo infer`` from a user's point of view: input files, output files, and no partial output."""

import builtins
import errno
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from visionzoo.cli.infer import main
from visionzoo.inference import result_files, writing

BAD = ["x_corrupt.jpg", "x_cut.jpg", "x_empty.png"]


@pytest.fixture
def run(detector_weights, tmp_path):
    """Return a function that runs the command on the small detector; it writes to the folder ``out``."""

    def call(*args, weights=detector_weights, threshold="0.0"):
        options = ["model.test_cfg.score_thr=0.0", "model.test_cfg.max_per_img=4"]
        fixed = ["--tiny", "--device", "cpu", "--weights", str(weights), "--score-threshold", threshold]
        return main(["rcnet_retinanet", *fixed, *map(str, args), "--cfg-options", *options])

    call.out = tmp_path / "out"
    return call


def lines(out):
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def files(folder):
    """Return the files of a folder, apart from hidden ones."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith("."))


def test_a_folder_of_every_kind(run, images, capsys):
    assert run(images, "-r", "-o", run.out, "--vis", "overlay,side", "--batch-size", "3", "--json") == 1
    output = capsys.readouterr()
    assert json.loads(output.out) == {
        "out": str(run.out), "inputs": 12, "failed": 3, "form": "fast", "left_out": "1 file (.txt)",
    }  # fmt: skip
    records = lines(run.out)
    assert [record["input"] for record in records] == sorted(
        str(path) for path in images.rglob("*.*") if path.suffix != ".txt"
    )
    by_name = {record["input"].removeprefix(f"{images}/"): record for record in records}
    assert [name for name, record in by_name.items() if "error" in record] == BAD
    assert all(f"error: {images / name}: expected a" in output.err for name in BAD)
    assert by_name["turned.jpg"]["size"] == [40, 80]
    assert by_name["one_pixel.png"]["size"] == [1, 1]
    assert by_name["a.jpg"]["task"] == "detection"
    assert by_name["a.jpg"]["model"] == "rcnet_retinanet"
    assert len(by_name["a.jpg"]["result"]["boxes"]) == 4
    assert "3 of" not in output.err
    assert "9 of 12 images done" in output.err


def test_images_keep_folders_and_stems(run, images):
    run(images, "-r", "-o", run.out, "--vis", "overlay,side")
    drawn = files(run.out / "vis")
    good = [
        "a.jpg",
        "b-2.png",
        "b.png",
        "grey.png",
        "one_pixel.png",
        "rgba.png",
        "sixteen.png",
        "sub/a.jpg",
        "turned.jpg",
    ]
    assert [name for name in drawn if "_side" not in name] == sorted(good)
    assert len(drawn) == 2 * len(good)
    original, overlay = (np.array(Image.open(folder / "rgba.png")) for folder in (images, run.out / "vis"))
    assert overlay.shape == (4 * 40, 4 * 90, 3)  # enlarged, so that letters do not cover it
    assert (overlay[::4, ::4] != original[..., :3]).any()
    beside = np.array(Image.open(run.out / "vis" / "rgba_side.png"))
    np.testing.assert_array_equal(beside[:, :360], original[..., :3].repeat(4, axis=0).repeat(4, axis=1))
    np.testing.assert_array_equal(beside[:, -360:], overlay)


def test_files_are_complete_and_state_the_run(run, images):
    assert run(images / "a.jpg", images / "b.png", "-o", run.out, "--vis", "none", "--seed", "3") == 0
    assert files(run.out) == ["predictions.coco.json", "predictions.jsonl", "run.json"]
    about = json.loads((run.out / "run.json").read_text())
    assert about["command"].startswith("visionzoo infer rcnet_retinanet")
    assert (about["seed"], about["inputs"], about["failed"], about["complete"]) == (3, 2, 0, True)
    assert [category["name"] for category in about["categories"]] == ["circle", "square", "star"]
    assert {"visionzoo", "torch", "onedl-mmdetection", "numpy"} <= about["versions"].keys()


def test_coco_results_load_in_cocos_own_tool(run, images, tmp_path, capsys):
    run(images / "a.jpg", images / "x_empty.png", images / "b.png", "-o", run.out)
    truth = {
        "info": {},
        "images": [{"id": number, "width": 90, "height": 60} for number in (1, 2, 3)],
        "categories": json.loads((run.out / "run.json").read_text())["categories"],
        "annotations": [],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    results = COCO(tmp_path / "truth.json").loadRes(str(run.out / "predictions.coco.json"))
    assert [category["id"] for category in truth["categories"]] == [1, 5, 9]
    expected = [
        [1, 5, 9][label] for record in (lines(run.out)[0], lines(run.out)[2]) for label in record["result"]["labels"]
    ]
    assert [annotation["category_id"] for annotation in results.anns.values()] == expected
    assert {annotation["image_id"] for annotation in results.anns.values()} == {1, 3}
    box = lines(run.out)[0]["result"]["boxes"][0]
    expected = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    np.testing.assert_allclose(results.loadAnns([1])[0]["bbox"], expected, atol=2e-3)


def test_masks_are_written(masks_weights, images, tmp_path):
    args = ["--tiny", "--device", "cpu", "--weights", str(masks_weights), "--score-threshold", "0"]
    options = ["--cfg-options", "model.test_cfg.rcnn.score_thr=0.0", "model.test_cfg.rcnn.max_per_img=2"]
    assert main(["rcnet_mask_rcnn", str(images / "a.jpg"), "-o", str(tmp_path / "out"), *args, *options]) == 0
    (record,) = lines(tmp_path / "out")
    assert record["task"] == "instances"
    assert [mask["size"] for mask in record["result"]["masks"]] == [[60, 90]] * 2
    (first, _) = json.loads((tmp_path / "out" / "predictions.coco.json").read_text())
    assert first["segmentation"] == record["result"]["masks"][0]


def test_strict_stops_at_the_first(run, images):
    assert run(images / "a.jpg", images / "x_cut.jpg", images / "b.png", "-o", run.out, "--strict") == 1
    assert ["error" in record for record in lines(run.out)] == [False, True]
    json.loads((run.out / "predictions.coco.json").read_text())


def test_stdin_list_and_samples(run, images, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{images / 'b.png'}\n{images / 'gone.png'}\n"))
    (tmp_path / "list.txt").write_text(f"{images / 'a.jpg'}\n")
    assert run(f"@{tmp_path / 'list.txt'}", "-", "-o", run.out, "--vis", "none") == 1
    assert ["error" in record for record in lines(run.out)] == [False, False, True]
    assert run(images, "-o", run.out, "--overwrite", "--max-samples", "2") == 0
    assert len(lines(run.out)) == 2


def test_a_folder_with_results_is_kept(run, images):
    for _ in range(2):
        assert run(images / "a.jpg", "-o", run.out, "--vis", "none") == 0
    assert run(images / "a.jpg", images / "b.png", "-o", run.out, "--vis", "none", "--overwrite") == 0
    assert len(lines(run.out)) == 2
    assert len(lines(run.out.with_name("out-2"))) == 1


def test_overwriting_replaces_results_and_leaves_other_files(run, images):
    assert run(images / "a.jpg", "-o", run.out) == 0
    (run.out / "epoch_1.pth").write_text("mine")
    assert run(images / "b.png", "-o", run.out, "--overwrite") == 0
    assert files(run.out / "vis") == ["b.png"]
    assert (run.out / "epoch_1.pth").read_text() == "mine"


def test_the_folder_of_a_training_is_not_overwritten(run, images, capsys):
    run.out.mkdir()
    for name in ("config.py", "run.json"):
        (run.out / name).write_text("{}")
    assert run(images / "a.jpg", "-o", run.out, "--overwrite") == 2
    assert (
        f"found the folder of a training; leave out --overwrite, or use -o {run.out}/infer" in capsys.readouterr().err
    )
    assert files(run.out) == ["config.py", "run.json"]


def test_threshold(run, images):
    run(images / "a.jpg", "-o", run.out, "--vis", "none", threshold="0.999999")
    assert lines(run.out)[0]["result"]["boxes"] == []
    assert json.loads((run.out / "predictions.coco.json").read_text()) == []


def test_a_work_dir_is_weights_and_its_name_does_not_matter(run, images, detector_weights, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "epoch_2.pth").write_bytes(detector_weights.read_bytes())
    assert run(images / "a.jpg", "-o", run.out, "--vis", "none", weights=tmp_path / "work") == 0
    assert json.loads((run.out / "run.json").read_text())["weights"].endswith("work/epoch_2.pth")


@pytest.mark.parametrize(
    ("name", "step"), [("best_epoch_3.pth", "epoch 3"), ("iter_40.pth", "iteration 40"), ("plain.pth", None)]
)
def test_the_weights_are_stated(run, images, detector_weights, tmp_path, monkeypatch, capsys, name, step):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    contents = torch.load(detector_weights)
    if step is not None:
        contents["meta"] |= {"epoch": 3, "iter": 40}
    torch.save(contents, tmp_path / "work" / name)
    assert run(images / "a.jpg", "-o", run.out, "--vis", "none", weights=tmp_path / "work") == 0
    shown = f"weights: work/{name} ({step})" if step else f"weights: work/{name}"
    assert f"{shown}\n" in capsys.readouterr().err
    assert json.loads((run.out / "run.json").read_text())["step"] == step


def test_the_config_is_loaded_once(run, images, monkeypatch):
    from visionzoo.weights import runs

    loads, load = [], runs.load_config
    monkeypatch.setattr(runs, "load_config", lambda *args, **options: loads.append(args) or load(*args, **options))
    assert run(images / "a.jpg", "-o", run.out, "--vis", "none") == 0
    assert len(loads) == 1


def test_untrained_models_are_called_so(images, tmp_path, capsys):
    args = ["fpn_retinanet", str(images / "a.jpg"), "--tiny", "-o", str(tmp_path / "out")]
    assert main(args) == 2
    error = capsys.readouterr().err
    assert "error: fpn_retinanet: expected weights of its tiny variant, found only those of the full model" in error
    assert "use an untrained model: --weights none" in error
    assert not (tmp_path / "out").exists()
    assert main([*args, "--weights", "none", "-q"]) == 0
    assert "weights: none (random values; results mean nothing)\n" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "run.json").read_text())["weights"] == "none (untrained)"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["gone.jpg"], "gone.jpg: expected an image, found no such file"),
        (["a.jpg", "--vis", "overlai"], "did you mean overlay?"),
        (["a.jpg", "--device", "cuda:77"], "cuda:77"),
        (["a.jpg", "--batch-size", "0"], "batch size 0"),
        (["@empty.txt"], "@empty.txt: expected at least one path, found an empty file"),
    ],
)
def test_wrong_use_writes_nothing(run, images, monkeypatch, capsys, args, words):
    monkeypatch.chdir(images)
    (images / "empty.txt").touch()
    assert run(*args, "-o", run.out) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("error: ")
    assert not run.out.exists()


def test_unwritable_places(run, images, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert run(images / "a.jpg", "-o", tmp_path / "file") == 2
    assert "expected a folder to write into, found a file" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


class FullDisk(io.RawIOBase):
    """A file on a disk with room for ``room`` more bytes. Like a real one, it writes what fits, then fails."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self.file.write(data[: self.room])
        self.room -= taken
        return taken

    def tell(self):
        return self.file.tell()

    def seek(self, *args):
        return self.file.seek(*args)

    def truncate(self, size=None):
        return self.file.truncate()

    def close(self):
        self.file.close()


def test_a_full_disk_leaves_whole_lines(run, images, monkeypatch, capsys):
    def limited(path, *args, **kwargs):
        file = builtins.open(path, *args, **kwargs)  # noqa: SIM115 - closed by the caller
        return FullDisk(file, 1000) if str(path).endswith("predictions.jsonl") else file

    monkeypatch.setattr(result_files, "open", limited, raising=False)
    assert run(images, "-o", run.out, "--vis", "none") == 2
    assert "no space is left on the disk" in capsys.readouterr().err
    assert 1 <= len(lines(run.out)) < 8
    assert files(run.out) == ["predictions.jsonl", "run.json"]
    assert json.loads((run.out / "run.json").read_text())["complete"] is False


def test_an_interruption_leaves_whole_files(run, images, monkeypatch):
    write = writing.PredictionWriter.write

    def interrupted(self, prediction):
        if self.done == 2:
            raise KeyboardInterrupt
        write(self, prediction)

    monkeypatch.setattr(writing.PredictionWriter, "write", interrupted)
    assert run(images, "-o", run.out, "--vis", "none") == 130
    assert len(lines(run.out)) == 2
    assert json.loads((run.out / "run.json").read_text())["complete"] is False
    assert len(json.loads((run.out / "predictions.coco.json").read_text())) == 8


def test_frames_that_are_not_used_are_said(run, tmp_path, capsys):
    frames = [Image.new("RGB", (40, 30), (grey, grey, grey)) for grey in (0, 90, 180)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "pages.tif", save_all=True, append_images=frames[1:2])
    frames[0].save(tmp_path / "single.png")
    assert run(tmp_path / "moving.gif", tmp_path / "pages.tif", tmp_path / "single.png", "-o", run.out) == 0
    said = capsys.readouterr().err
    assert "moving.gif: the first of 3 frames or pages is used" in said
    assert "pages.tif: the first of 2 frames or pages is used" in said
    assert "single.png:" not in said
