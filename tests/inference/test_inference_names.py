"""Unusual file names in ``visionzoo infer``: every input has a line, and every file of the output is valid UTF-8."""

import csv
import json
import os
from pathlib import Path

import pytest
from inference_scenes import save_weights, scene
from PIL import Image

from visionzoo.cli.infer import main
from visionzoo.inference.taken_names import TakenNames

NAMES = (
    b"-rf.jpg",
    b"two\nlines.jpg",
    b"tab\t'quotes' \"and\" more.jpg",
    "\U0001f600.jpg".encode(),
    b"\xff\xfe.jpg",
    b"x" * 251 + b".jpg",
    b"y" * 251 + b".jpg",
)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    for name in NAMES:
        Image.fromarray(scene(30, 44)).save(os.fsencode(folder) + b"/" + name)
    (folder / os.fsdecode(b"bad\xff\n.png")).write_bytes(b"no image")
    return folder


def test_many_inputs_of_one_name_get_numbers_in_few_steps(tmp_path, monkeypatch):
    names, asked, has_any = TakenNames(tmp_path), [], TakenNames.has_any
    monkeypatch.setattr(TakenNames, "has_any", lambda self, paths: (asked.append(1), has_any(self, paths))[1])
    names.add([Path("a-7")])  # of another input
    found = [names.first_free(lambda number: [Path(f"a-{number}")]) for _ in range(300)]
    names.close()
    assert sorted(found) == [*range(1, 7), *range(8, 302)]
    assert found[:4] == [1, 2, 3, 4]
    assert len(asked) < 300 * 20


@pytest.mark.parametrize("model", ["scnn_tusimple", "hmode_shanghaitech_a", "rcnet_retinanet"])
def test_every_name_is_recorded(folder, tmp_path, capsys, model):
    out = tmp_path / os.fsdecode(b"out\xff")
    args = ["--tiny", "--weights", "none", "--device", "cpu", "--json", "--vis", "overlay,side", "-o", str(out)]
    assert main([model, str(folder), *args]) == 1
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert (summary["inputs"], summary["failed"]) == (8, 1)
    assert summary["out"].endswith("out\\xff")
    assert "bad\\xff\\n.png: expected an image" in said.err
    records = [json.loads(line) for line in (out / "predictions.jsonl").read_text("utf-8").splitlines()]
    start = f"{tmp_path}/caf\\xe9/"
    names = {record["input"].removeprefix(start) for record in records}
    assert names == {name.decode(errors="backslashreplace") for name in NAMES} | {"bad\\xff\n.png"}
    assert "infer" in json.loads((out / "run.json").read_text("utf-8"))["command"]
    assert sum("_side" in path.name for path in (out / "vis").iterdir()) == 7
    for path in out.rglob("*"):
        os.fsencode(path.relative_to(out)).decode()
    for record in records:
        for key in {"lines", "density"} & set(record.get("result", ())):
            assert (out / record["result"][key]).is_file()
    if (out / "predictions.csv").exists():
        with open(out / "predictions.csv", encoding="utf-8", newline="") as file:
            assert {row["input"] for row in csv.DictReader(file)} == {start + name for name in names} - {
                f"{start}bad\\xff\n.png"
            }
    if (out / "tusimple.json").exists():
        lines = (out / "tusimple.json").read_text("utf-8").splitlines()
        assert {json.loads(line)["raw_file"] for line in lines} == names - {"bad\\xff\n.png"}


def test_names_of_groups_weights_and_videos(tmp_path, capsys):
    folder = tmp_path / os.fsdecode(b"g\xff")
    folder.mkdir()
    for number in range(2):
        Image.fromarray(scene(30, 44, number)).save(folder / f"{number}.png")
    args = ["--tiny", "--weights", "none", "--device", "cpu", "-o", str(tmp_path / "out")]
    assert main(["gconet_plus", str(folder), *args]) == 0
    record = json.loads((tmp_path / "out" / "predictions.jsonl").read_text("utf-8").splitlines()[0])
    assert record["group"] == f"{tmp_path}/g\\xff"
    assert [path.name for path in (tmp_path / "out" / "sheets").iterdir()] == ["g\\xff.jpg"]
    weights = save_weights("rcnet_retinanet", tmp_path / os.fsdecode(b"w\xff.pth"))
    args[2] = str(weights)
    assert main(["rcnet_retinanet", str(folder / "0.png"), *args, "--overwrite"]) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["weights"].endswith("w\\xff.pth")
