"""Conversions of boxes and masks to COCO from a user's point of view; Pascal VOC is in ``test_convert_command``."""

import json

import pytest
from PIL import Image

from visionzoo.cli.convert import main
from visionzoo.cli.convert_boxes import CONVERSIONS

WIDTH, HEIGHT = 40, 30
STEMS = ("a", "b", "c")


def draw(folder):
    folder.mkdir(parents=True)
    for stem in STEMS:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{stem}.png")


def yolo(root):
    draw(root)
    for stem in STEMS:
        (root / f"{stem}.txt").write_text("0 0.5 0.5 0.5 0.5\n1 0.25 0.5 0.5 0.2\n")
    (root / "classes.txt").write_text("dog\ncat\n")


def labelme(root):
    draw(root)
    shapes = [
        {"label": "dog", "shape_type": "rectangle", "points": [[10, 7.5], [30, 22.5]]},
        {"label": "cat", "shape_type": "rectangle", "points": [[0, 12], [20, 18]]},
    ]
    for stem in STEMS:
        record = {"shapes": shapes, "imagePath": f"{stem}.png", "imageHeight": HEIGHT, "imageWidth": WIDTH}
        (root / f"{stem}.json").write_text(json.dumps(record))


def cvat(root):
    draw(root / "images")
    shapes = (
        '<box label="dog" xtl="10" ytl="7.5" xbr="30" ybr="22.5"/><box label="cat" xtl="0" ytl="12" xbr="20" ybr="18"/>'
    )
    images = [f'<image name="{stem}.png" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>' for stem in STEMS]
    (root / "annotations.xml").write_text(f"<annotations>{''.join(images)}</annotations>")


def via(root):
    draw(root)
    boxes = (("dog", 10, 7.5, 20, 15), ("cat", 0, 12, 20, 6))
    regions = [
        {
            "shape_attributes": {"name": "rect", **dict(zip(("x", "y", "width", "height"), box, strict=True))},
            "region_attributes": {"kind": kind},
        }
        for kind, *box in boxes
    ]
    images = {stem: {"filename": f"{stem}.png", "regions": regions} for stem in STEMS}
    (root / "via.json").write_text(json.dumps(images))


WRITERS = {"yolo2coco": yolo, "labelme2coco": labelme, "cvat2coco": cvat, "via2coco": via}


@pytest.fixture(params=WRITERS)
def source(request, tmp_path):
    WRITERS[request.param](tmp_path / "in")
    return request.param, str(tmp_path / "in")


def test_equal_boxes_of_every_format(source, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*source, "-o", str(out), "--val-every", "3", "--json"]) == 0
    output = capsys.readouterr()
    assert f"next:\n  visionzoo train rcnet_retinanet --data {out}\n" in output.err
    summary = json.loads(output.out)
    assert summary["splits"] == {"train": {"images": 2, "boxes": 4}, "val": {"images": 1, "boxes": 2}}
    assert "val: 1 images, 2 boxes" in output.err
    record = json.loads((out / "annotations/instances_val2017.json").read_text())
    names = {category["id"]: category["name"] for category in record["categories"]}
    boxes = [(names[one["category_id"]], one["bbox"], one["area"]) for one in record["annotations"]]
    assert boxes == [("dog", [10, 7.5, 20, 15], 300), ("cat", [0, 12, 20, 6], 120)]
    assert (out / "val2017/c.png").is_file()


def test_next_command_trains_a_model_of_masks_on_outlines(tmp_path, capsys):
    draw(tmp_path / "in")
    shape = {"label": "cat", "points": [[1, 1], [20, 2], [9, 20]], "shape_type": "polygon"}
    (tmp_path / "in" / "a.json").write_text(json.dumps({"shapes": [shape], "imagePath": "a.png"}))
    out = tmp_path / "my data"
    assert main(["labelme2coco", str(tmp_path / "in"), "-o", str(out)]) == 0
    assert capsys.readouterr().err.endswith(f"next:\n  visionzoo train rcnet_mask_rcnn --data '{out}'\n")


def test_one_file_of_chosen_classes(source, tmp_path, capsys):
    out = tmp_path / "all.json"
    assert main([*source, "-o", str(out), "--classes", "cat"]) == 0
    said = capsys.readouterr().err
    assert "train: the folder of the images is" in said
    assert "boxes left out: of other classes: 3" in said
    assert [category["name"] for category in json.loads(out.read_text())["categories"]] == ["cat"]
    assert main([*source, "-o", str(out), "-q"]) == 2
    assert "found one; choose another name or --overwrite" in capsys.readouterr().err


def test_wrong_use(source, tmp_path, capsys):
    name, _ = source
    cases = [
        ([*source, "--classes", "cow"], "no class in these images is called 'cow'"),
        ([name, str(tmp_path / "none")], "none: expected"),
        ([*source, "--val-every", "1"], "expected a whole number >= 2, found '1'"),
    ]
    for words, what in cases:
        assert main([*words, "-o", str(tmp_path / "out")]) == 2
        assert what in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [*CONVERSIONS, "idmaps2coco"])
@pytest.mark.parametrize("out", ["file/out", "file/out.json", "x" * 300, "/proc/none/out.json", "folder.json"])
def test_a_place_that_cannot_be_written_is_found_before_reading(name, out, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.json").mkdir()
    assert main([name, str(tmp_path / "no data"), "-o", str(tmp_path / out)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "no data" not in lines[0]
    assert "expected a place that can be written" in lines[0] or "expected a file or none, found a folder" in lines[0]


@pytest.mark.parametrize("out", ["file/out.safetensors", "x" * 300 + ".safetensors", "/proc/none/out.safetensors"])
def test_a_checkpoint_that_cannot_be_written_is_found_before_reading(out, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["checkpoint", str(tmp_path / "no weights.pth"), str(tmp_path / out), "--from", "scnn"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected a place that can be written" in line


@pytest.mark.parametrize("name", CONVERSIONS)
def test_an_archive(name, tmp_path, capsys):
    (tmp_path / "export.ZIP").write_bytes(b"PK")
    assert main([name, str(tmp_path / "export.ZIP"), "-o", str(tmp_path / "out")]) == 2
    assert "found an archive; unpack it and name its folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", CONVERSIONS)
def test_help(name, capsys):
    assert main([name, "--help"]) == 0
    said = capsys.readouterr().out
    for flag in ("--out", "--val-every", "--classes", "--link", "--overwrite", "--quiet", "--json"):
        assert flag in said
