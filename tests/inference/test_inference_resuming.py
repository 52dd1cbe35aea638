"""An interrupted inference continues, and its files equal those of an uninterrupted one, byte for byte."""

import contextlib
import io
import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from inference_scenes import save_video, scene
from PIL import Image

from visionzoo.cli.infer import main
from visionzoo.errors import InputError, OutputError
from visionzoo.inference import resuming, writing
from visionzoo.inference.inferencer import Inferencer
from visionzoo.inference.result_files import CocoResults, Lines
from visionzoo.inference.video_writing import DrawnVideo

# A run that is killed while it opens its files does not close them.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TASKS = {
    "detection": ["rcnet_retinanet", "--cfg-options", "model.test_cfg.score_thr=0.0", "model.test_cfg.max_per_img=4"],
    "classification": ["bossnet_t0_imagenet"],
    "lanes": ["scnn_culane", "--cfg-options", "model.head.exist_threshold=0.0"],
    "counting": ["hmode_shanghaitech_a"],
    "saliency": ["connnet_r50"],
    "panoptic": [
        "mask2former_r50_coconut",
        "--cfg-options",
        "model.test_cfg.object_mask_thr=0.0",
        "model.test_cfg.iou_thr=0.0",
    ],
    "groups": ["gconet_plus"],
}
FURTHER = {
    "detection": ["--threshold", "0", "--save", "txt", "--save-crops", "--vis", "overlay,side", "--gallery"],
    "groups": ["--gallery"],
}
TIMES = ("seconds", "inputs_per_second", "started", "command", "out")


class Killed(BaseException):
    """Ends a run at once, as a kill does: the writer does not end its files."""


@pytest.fixture(scope="module")
def inferencers():
    """Keep the models, so that each is built once."""
    torch.set_num_threads(1)
    return {}


@pytest.fixture
def run(inferencers, monkeypatch):
    """Return a function that runs the command on a task with a model that is built once."""

    def built(loaded, weights, **options):
        key = json.dumps([loaded.cfg.to_dict(), options], sort_keys=True, default=str)
        if key not in inferencers:
            torch.manual_seed(0)
            inferencers[key] = Inferencer(loaded, weights, **options)
        return inferencers[key]

    monkeypatch.setattr("visionzoo.inference.inferencer.Inferencer", built)
    monkeypatch.setattr("os.fsync", lambda _: None)  # a kill loses no data that the system has

    def call(task, *args):
        fixed = ["--tiny", "--device", "cpu", "--weights", "none"]
        model, *options = TASKS[task]
        return main([model, *map(str, args), *fixed, *FURTHER.get(task, []), *options])

    return call


@pytest.fixture
def images(tmp_path):
    """Return a folder with names that clash, an unusable file, and two folders for groups."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "a.png", "b.bmp", "b.png", "sub/a.jpg", "sub/c.png")):
        Image.fromarray(scene(60, 90, number)).save(folder / name)
    (folder / "ab.jpg").write_bytes(b"not an image")
    return folder


@contextlib.contextmanager
def killed_at(number):
    """End the run at the write with this number; 0 for none. Yield the list of the names of all writes."""
    writes = []

    def counted(function, name):
        def call(*args, **kwargs):
            writes.append(name)
            if len(writes) == number:
                if name.startswith("write"):  # as a kill leaves it
                    args[0].with_name(f".{args[0].name}.123.part").write_bytes(b"incomplete")
                raise Killed
            return function(*args, **kwargs)

        return call

    def end(writer, kind, error, trace):
        return None if kind is Killed else ended(writer, kind, error, trace)

    ended = writing.PredictionWriter.__exit__
    with pytest.MonkeyPatch.context() as patch:
        for owner, names in ((writing, "write_file write_text"), (Lines, "add_text"), (CocoResults, "close"),
                             (DrawnVideo, "add close")):  # fmt: skip
            for name in names.split():
                patch.setattr(owner, name, counted(getattr(owner, name), name))
        patch.setattr(writing.PredictionWriter, "__exit__", end)
        yield writes


def content(out):
    """Return all files of a folder with their bytes, without the times in ``run.json``."""
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    run = json.loads(found["run.json"])
    found["run.json"] = {key: value for key, value in run.items() if key not in TIMES}
    if "tusimple.json" in found:
        records = [json.loads(line) for line in found["tusimple.json"].splitlines()]
        found["tusimple.json"] = [{**record, "run_time": 0} for record in records]
        found[".infer.jsonl"] = b""  # it has the sizes of tusimple.json
    return found


def whole_run(run, out, *args):
    """Run without an interruption. Return the exit code, the files and the number of writes."""
    with killed_at(0) as writes:
        code = run(*args, "-o", out)
    return code, content(out), len(writes)


def assert_continues(run, tmp_path, numbers, expected, code, *args):
    """Kill the run at each of the writes, and the run that continues it at its third write; then complete it."""
    for number in numbers:
        out = tmp_path / f"killed at {number}"
        for options, place in (([], number), (["--resume"], 5)):
            with killed_at(place), contextlib.suppress(Killed):
                run(*args, "-o", out, *options)
        assert run(*args, "-o", out, "--resume") == code
        found = content(out)
        assert sorted(found) == sorted(expected)
        assert [name for name in expected if found[name] != expected[name]] == []


@pytest.mark.parametrize("task", TASKS)
def test_a_killed_run_continues_at_any_place(run, images, tmp_path, task):
    code, expected, writes = whole_run(run, tmp_path / "whole", task, images, "-r")
    assert code == 1
    numbers = {2, writes // 3, writes // 2, 3 * writes // 4, writes}
    assert_continues(run, tmp_path, numbers, expected, code, task, images, "-r")


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_an_interrupted_video_begins_again(run, images, tmp_path, place):
    clip = save_video(tmp_path / "clip.mp4", frames=3)
    inputs = [images / "a.jpg", clip, images / "ab.jpg", clip, images / "a.png"]
    code, expected, writes = whole_run(run, tmp_path / "whole", "saliency", *inputs)
    assert {"vis/clip.mp4", "vis/clip-2.mp4"} <= set(expected)
    assert_continues(run, tmp_path, [int(place * writes)], expected, code, "saliency", *inputs)


def test_the_same_input_twice_and_interrupted_by_the_user(run, images, tmp_path, monkeypatch):
    inputs = [images / "a.jpg"] * 3
    code, expected, _ = whole_run(run, tmp_path / "whole", "detection", *inputs)
    write = writing.PredictionWriter.write

    def interrupted(self, prediction):
        if self.done == 2:
            raise KeyboardInterrupt
        write(self, prediction)

    with monkeypatch.context() as patch:
        patch.setattr(writing.PredictionWriter, "write", interrupted)
        assert run("detection", *inputs, "-o", tmp_path / "out") == 130
    assert run("detection", *inputs, "-o", tmp_path / "out", "--resume") == code == 0
    assert content(tmp_path / "out") == expected


def killed_run(run, out, *args):
    with killed_at(25), pytest.raises(Killed):
        run("counting", *args, "-o", out)
    return content(out)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--vis", "none"], '--resume: expected --vis ["overlay"] as in '),
        (["--seed", "1"], "expected --seed 0 as in "),
        (["--save", "png"], "no file format of results is called 'png'"),
        (["--cfg-options", "test_dataloader.num_workers=1"], "expected --cfg-options [] as in "),
        (["--overwrite"], "--resume and --overwrite: expected one of them, found both"),
    ],
)
def test_other_settings_are_refused(run, images, tmp_path, capsys, options, words):
    before = killed_run(run, tmp_path / "out", images)
    assert run("counting", images, "-o", tmp_path / "out", "--resume", *options) == 2
    assert words in capsys.readouterr().err
    assert content(tmp_path / "out") == before


def test_other_weights_are_named_without_their_hash(tmp_path):
    earlier = resuming.Earlier({"settings": {"hash of the weights": "0a"}}, {}, 0, 0)
    with pytest.raises(InputError, match=r"--resume: expected the weights of the run in .*, found other values; give"):
        earlier.require_same(tmp_path, {"hash of the weights": "1b"})


def test_other_inputs_are_refused(run, images, tmp_path, capsys):
    before = killed_run(run, tmp_path / "out", images)
    (images / "a.jpg").rename(images / "z.jpg")
    assert run("counting", images, "-o", tmp_path / "out", "--resume") == 2
    assert f"expected {images / 'a.jpg'} as input 1, as in the run to continue, found" in capsys.readouterr().err
    assert content(tmp_path / "out") == before


def test_a_complete_run_and_none(run, images, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("counting", images, "--resume") == 1
    assert "nothing to resume; a new run starts" in capsys.readouterr().err
    before = content(tmp_path / "predictions" / "hmode_shanghaitech_a")
    assert run("counting", images, "--resume") == 1
    assert "the run is already complete\n4 of 5 images done" in capsys.readouterr().err
    assert content(tmp_path / "predictions" / "hmode_shanghaitech_a") == before
    assert run("counting", images / "a.jpg", "--resume") == 2
    Image.fromarray(scene(60, 90)).save(images / "z.jpg")
    assert run("counting", images, "--resume") == 2
    assert f"expected the 5 inputs of the complete run, found {images / 'z.jpg'} after them" in capsys.readouterr().err


def test_the_newest_folder_continues(run, images, tmp_path):
    killed_run(run, tmp_path / "out", images)
    assert run("counting", images / "a.jpg", "-o", tmp_path / "out") == 0
    killed_run(run, tmp_path / "out", images)
    assert run("counting", images, "-o", tmp_path / "out", "--resume") == 1
    assert json.loads((tmp_path / "out-3" / "run.json").read_text())["complete"] is True
    assert json.loads((tmp_path / "out" / "run.json").read_text())["complete"] is False


def test_another_folder_is_explained(run, images, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    killed_run(run, tmp_path / "out", images)
    capsys.readouterr()
    run("counting", images, "-o", tmp_path / "out")
    said = capsys.readouterr().err
    assert "out exists, so the results go to out-2; --overwrite replaces it\nout has the results of " in said
    assert " of 5 inputs (interrupted); --resume finishes it\n" in said
    run("counting", images, "-o", tmp_path / "out", "--resume")
    run("counting", images, "-o", tmp_path / "out")
    said = capsys.readouterr().err
    assert "out exists, so the results go to out-3; --overwrite replaces it\n" in said
    assert "interrupted" not in said


def test_an_interrupted_folder_continues_before_a_newer_complete_one(run, images, tmp_path):
    killed_run(run, tmp_path / "out", images)
    run("counting", images, "-o", tmp_path / "out")
    run("counting", images, "-o", tmp_path / "out", "--resume")
    lines = [(tmp_path / name / "predictions.jsonl").read_text() for name in ("out", "out-2")]
    assert lines[0] == lines[1]


def test_a_list_on_stdin_continues(run, images, tmp_path, monkeypatch):
    text = "".join(f"{images / name}\n" for name in ("b.png", "a.jpg", "gone.png", "a.png"))
    for name, numbers in (("whole", (0,)), ("out", (20, 0))):
        for number in numbers:
            monkeypatch.setattr("sys.stdin", io.StringIO(text))
            with killed_at(number), contextlib.suppress(Killed):
                run("counting", "-", "-o", tmp_path / name, "--resume")
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_full_disk_continues(run, images, tmp_path):
    """The error of a full disk ends the files in an orderly way."""
    code, expected, _ = whole_run(run, tmp_path / "whole", "detection", images)

    def full(*_):
        raise OutputError("disk", expected="a place that can be written", but="no space is left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing.PredictionWriter, "_note_progress", full)
        assert run("detection", images, "-o", tmp_path / "out") == 2
    assert run("detection", images, "-o", tmp_path / "out", "--resume") == code
    assert content(tmp_path / "out") == expected


def test_overwriting_removes_only_own_files(run, images, tmp_path):
    out = tmp_path / "out"
    assert run("detection", images / "a.jpg", "-o", out) == 0
    for name in ("labels/mine.txt", "vis/mine.png", "notes.txt"):
        (out / name).write_text("mine")
    assert run("detection", images / "a.png", "-o", out, "--overwrite") == 0
    names = {name for name in content(out) if "crops" not in name}
    assert {"labels/mine.txt", "vis/mine.png", "notes.txt", "labels/a.txt", "vis/a.png"} <= names
    assert "vis/a.jpg" not in names


@pytest.mark.slow
def test_a_process_that_is_killed_twice(images, tmp_path):
    """Kill the command itself after its first line, and the one that continues it after six lines."""
    for number in range(8):
        Image.fromarray(scene(60, 90, number)).save(images / f"more {number}.jpg")
    command = [sys.executable, "-m", "visionzoo", "infer", "rcnet_retinanet", str(images), "--tiny"]
    command += ["--weights", "none", "--threshold", "0", "--limit", "3", "--save-crops", "--device", "cpu"]
    subprocess.run([*command, "-o", tmp_path / "whole"], check=False)
    lines = tmp_path / "out" / "predictions.jsonl"
    for least in (1, 6):
        child = subprocess.Popen([*command, "-o", tmp_path / "out", "--resume"])
        while not (lines.exists() and lines.read_bytes().count(b"\n") >= least):
            assert child.poll() is None
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert json.loads((tmp_path / "out" / "run.json").read_text())["complete"] is False
    done = subprocess.run([*command, "-o", tmp_path / "out", "--resume"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "taken over from a run that ended without removing it (an inference on" in done.stderr
    assert content(tmp_path / "out") == content(tmp_path / "whole")
