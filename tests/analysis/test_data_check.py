"""``visionzoo check-data`` on the twin of each task, and on twins with faults: each fault is found where it is."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visionzoo.analysis.data_check import Options, check_data
from visionzoo.analysis.data_check.images import equal_volumes
from visionzoo.analysis.data_check.sources import sources_of_config, sources_of_folder
from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.datasets.tiny import resolve_data_root

SMALL = {
    "coco": "tiny://coco?train=4&val=2&size=64",
    "saliency": "tiny://msra_b?train=4&val=2&test=2&size=32",
    "classes": "tiny://imagenet?train=10&val=10&size=24",
}


def checked(folder, **options):
    report = check_data(sources_of_folder(folder), f"{folder}", Options(jobs=1, **options))
    findings = {kind.name: kind.counts.total() for kind in report.of(notes=False)}
    return report, findings, {kind.name: kind.counts.total() for kind in report.of(notes=True)}


def copied(name, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(resolve_data_root(SMALL[name]), folder)
    return folder


def of_config(name, root, **settings):
    """Check a config whose data sets have another folder."""
    loaded = load_config(name, tiny=True)
    for split in ("train", "val", "test"):
        part = loaded.cfg.get(f"{split}_dataloader")
        for each in [] if part is None else part.dataset.get("sources") or [part.dataset]:
            each.update(data_root=str(root), **settings)
    report = check_data(sources_of_config(loaded), name, Options(jobs=1))
    return {kind.name: (kind.counts.total(), kind.first[0].place) for kind in report.of(notes=False)}


def edited(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_drawn_folder_has_no_finding(name):
    report, findings, _ = checked(resolve_data_root(SMALL[name]))
    assert findings == {}
    assert "nothing wrong was found" in report.text()


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("gconet_plus_vgg16bn", "tiny://co_saliency?groups=2&images=2&size=32"),
        ("scnn_tusimple", "tiny://tusimple?train=3&val=2&test=2"),
        ("hmode_shanghaitech_a", "tiny://shanghaitech_a?train=6&test=6"),
        ("voxelmorph_2d", "tiny://oasis_2d?subjects=9&size=32"),
        ("lavt_refcoco", "tiny://refcoco?train=4&val=2&test=2"),
        ("mask2former_r50_coconut", "tiny://coconut?train=3&val=2&size=32"),
        ("dinat_upernet_ade20k", "tiny://ade20k?train=8&val=8&size=32"),
    ],
)
def test_the_twin_of_a_config_has_no_finding(name, root):
    assert of_config(name, root) == {}


# --- images ---


@pytest.fixture
def broken_images(tmp_path):
    folder = copied("coco", tmp_path)
    first, second, third, fourth = sorted((folder / "train2017").iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:-200])
    third.write_bytes(b"<html>not found</html>")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(fourth).save(fourth, exif=exif, quality=95)
    one, two = sorted((folder / "val2017").iterdir())
    shutil.copy(fourth, one)
    Image.new("RGB", (5, 70), (9, 9, 9)).save(two)
    return folder


def test_faults_of_image_files(broken_images):
    report, findings, notes = checked(broken_images)
    assert findings["missing images"] == findings["truncated images"] == findings["unreadable images"] == 1
    assert findings["images with an EXIF rotation"] == 2
    assert findings["images that another split has too"] == 1
    assert findings["tiny images"] == 1
    assert findings["sizes that differ from the file"] == 2
    assert notes["images of one colour"] == notes["images with long sides"] == 1
    assert findings["data that the reader refuses"] == 1  # the missing image
    kinds = {kind.name: kind for kind in report.of(notes=False)}
    assert "train2017/000000000001.jpg" in kinds["missing images"].first[0].place


def test_quick_reads_no_pixel(broken_images):
    _, findings, _ = checked(broken_images, pixels=False)
    assert "truncated images" not in findings
    assert findings["missing images"] == findings["unreadable images"] == 1
    assert findings["images that another split has too"] == 1


def test_equal_images_of_two_classes_and_other_classes(tmp_path):
    folder = copied("classes", tmp_path)
    train = sorted((folder / "train").iterdir())
    images = [sorted(each.iterdir())[0] for each in train]
    shutil.copy(images[0], train[1] / "copy.JPEG")
    os.rename(folder / "val" / train[2].name, folder / "val" / "n00000000")
    _, findings, _ = checked(folder)
    assert findings["equal images with different labels"] == 1
    assert findings["data that the reader refuses"] == 1


# --- boxes and masks ---


def test_faults_of_boxes_and_masks(tmp_path):
    folder = copied("coco", tmp_path)

    def change(record):
        images = {each["id"]: each for each in record["images"]}
        each = record["annotations"]
        size = images[each[0]["image_id"]]
        each[0]["bbox"] = [size["width"] + 9, 2, 9, 9]
        each[1]["bbox"] = [-9, 2, 30, 9]
        each[2]["bbox"] = [3, 3, 0.5, 9]
        each[3]["bbox"] = [0.25, 0.25, 0.5, 0.5]
        each[4]["bbox"] = [3, 3, 0, 9]
        each[5]["segmentation"] = [[1, 1, 2, 2]]
        each[6]["segmentation"] = {"size": [3, 3], "counts": [9]}
        record["annotations"].append({**each[7], "id": 9999})
        record["categories"].append({"id": 77, "name": "unused"})

    edited(folder / "annotations" / "instances_train2017.json", change)
    report, findings, notes = checked(folder)
    for kind in (
        "boxes outside the image",
        "boxes partly outside the image",
        "boxes narrower than a pixel",
        "boxes that look like fractions of the image",
        "empty boxes",
        "duplicated boxes",
        "classes without an object",
    ):
        assert findings.pop(kind) == 1, kind
    assert findings == {"masks that cannot be used": 2}
    place = next(kind for kind in report.of(notes=False) if kind.name == "duplicated boxes").first[0].place
    assert place.endswith("annotation 9999")
    assert notes["notes of the reader"] == 1


def test_every_finding_of_a_strict_reader_and_turned_boxes(tmp_path):
    folder = copied("coco", tmp_path)

    def change(record):
        for each in record["annotations"][:5]:
            each["bbox"][2] *= -1
        record["annotations"][6]["image_id"] = 12345

    edited(folder / "annotations" / "instances_train2017.json", change)
    _, findings, _ = checked(folder)
    assert findings == {"wrong bbox": 5, "wrong image_id": 1, "turned boxes": 5}


def test_a_file_that_cannot_be_read_does_not_stop_the_others(tmp_path):
    folder = copied("coco", tmp_path)
    (folder / "annotations" / "instances_train2017.json").write_text('{"images": [')
    edited(
        folder / "annotations" / "instances_val2017.json", lambda record: record["annotations"][0].update(bbox=[0] * 4)
    )
    loaded = load_config("rcnet_retinanet", tiny=True)
    for split in ("train", "val", "test"):
        loaded.cfg[f"{split}_dataloader"].dataset.data_root = str(folder)
    report = check_data(sources_of_config(loaded), "config", Options(jobs=1))
    kinds = {kind.name: dict(kind.counts) for kind in report.of(notes=False)}
    assert kinds == {"data that the reader refuses": {"train": 1}, "empty boxes": {"val": 1}}


def test_strides_of_the_model_and_small_boxes():
    loaded = load_config("rcnet_retinanet", tiny=True, options=["train_dataloader.dataset.pipeline.2.scale=(20,20)"])
    report = check_data(sources_of_config(loaded), "config", Options(("train",), jobs=1))
    (note,) = [kind for kind in report.of(notes=True) if kind.name == "boxes below the finest stride"]
    assert "smaller than 8 pixels" in note.first[0].found
    assert report.tables[-1].columns[-1] == "below stride 8"


# --- maps ---


def test_faults_of_saliency_masks(tmp_path):
    folder = copied("saliency", tmp_path)
    masks = sorted((folder / "gt").iterdir())
    arrays = [np.array(Image.open(mask)) for mask in masks]
    Image.fromarray((arrays[0] > 0).astype(np.uint8)).save(masks[0])
    Image.fromarray(np.minimum(arrays[1], 60)).save(masks[1])
    Image.fromarray(np.zeros_like(arrays[4])).save(masks[4])
    Image.fromarray(np.full_like(arrays[2], 255)).save(masks[2])
    Image.fromarray(arrays[3][:-1]).save(masks[3])
    _, findings, notes = checked(folder)
    assert findings == {
        "masks that cannot be used": 2,
        "masks without a pixel of the object": 1,
        "masks that are the object everywhere": 1,
    }
    assert notes["masks without a pixel of the object"] == 1
    for mask, array in zip(masks, arrays, strict=True):
        Image.fromarray(np.zeros_like(array)).save(mask)
    assert checked(folder)[1] == {"splits without any object": 3}


def test_faults_of_co_saliency_groups(tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(resolve_data_root("tiny://co_saliency?groups=2&images=2&size=32"), folder)
    masks = sorted((folder / "gts" / "CoCA").rglob("*.png"))
    Image.fromarray(np.minimum(np.array(Image.open(masks[0])), 60)).save(masks[0])
    found = of_config("gconet_plus_vgg16bn", folder)
    assert found["masks without a pixel of the object"] == (1, str(masks[0]))


def test_faults_of_panoptic_maps(tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(resolve_data_root("tiny://coconut?train=3&val=2&size=32"), folder)

    def change(record):
        record["annotations"][0]["segments_info"].append({"id": 250, "category_id": 1, "iscrowd": 0})
        record["annotations"][1]["segments_info"].pop()
        record["annotations"][2]["segments_info"][0]["category_id"] = 4444

    edited(folder / "coconut_s.json", change)
    found = of_config("mask2former_r50_coconut", folder)
    assert found["wrong category_id"][0] == 1
    edited(folder / "coconut_s.json", lambda record: record["annotations"].pop())
    found = of_config("mask2former_r50_coconut", folder)
    assert found["id in JSON without PNG"][0] == found["id in PNG without JSON"][0] == 1
    assert "id 250" in found["id in JSON without PNG"][1] or "segment 250" in found["id in JSON without PNG"][1]


def test_faults_of_semantic_maps(tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(resolve_data_root("tiny://ade20k?train=3&val=2&size=32"), folder)
    maps = sorted((folder / "annotations" / "training").iterdir())
    values = np.array(Image.open(maps[0]))
    values[0, 0] = 99
    Image.fromarray(values).save(maps[0])
    Image.fromarray(np.array(Image.open(maps[1]))[:, :-1]).save(maps[1])
    assert of_config("dinat_upernet_ade20k", folder)["maps that cannot be used"] == (2, str(maps[0]))


# --- points, lanes, phrases, volumes ---


def test_faults_of_points(tmp_path):
    Image.new("RGB", (40, 30), (5, 5, 5)).save(tmp_path / "a.png")
    Image.new("RGB", (40, 30), (60, 5, 5)).save(tmp_path / "b.png")
    Image.new("RGB", (40, 30), (5, 60, 5)).save(tmp_path / "c.png")
    square = [[x, y] for x in range(4) for y in range(4)]
    lines = [
        {"image": "a.png", "points": [[3, 4], [3, 4], [60, 4]]},
        {"image": "b.png", "points": [[0.5, 0.25]]},
        {"image": "c.png", "points": square},
    ]
    (tmp_path / "points.jsonl").write_text("\n".join(map(json.dumps, lines)))
    _, findings, _ = checked(tmp_path)
    for kind in (
        "points outside the image",
        "duplicated points",
        "points that look like fractions of the image",
        "images whose points touch",
    ):
        assert findings[kind] == 1, kind


def test_faults_of_lanes(tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(resolve_data_root("tiny://tusimple?train=3&val=2&test=2"), folder)
    path = next(each for each in sorted(folder.glob("label_data_*.json")))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    rows, (first, second, *rest) = len(lines[0]["h_samples"]), lines[0]["lanes"]
    both = [at for at in range(rows) if first[at] >= 0 and second[at] >= 0]
    for at in both[len(both) // 2 :]:
        first[at], second[at] = second[at] + 20, first[at] - 20
    lines[0]["lanes"] = [first, second, *rest, [-2] * rows]
    path.write_text("\n".join(map(json.dumps, lines)))
    found = of_config("scnn_tusimple", folder)
    assert found["lanes that cross"][0] >= 1
    assert found["lanes without a point"][0] >= 1


def test_faults_of_phrases(tmp_path):
    Image.new("RGB", (40, 30), (5, 5, 5)).save(tmp_path / "a.png")
    mask = [[1, 1, 9, 1, 9, 9]]
    lines = [
        {"image": "a.png", "text": "left box", "mask": mask},
        {"image": "a.png", "text": "right box", "mask": [[90, 90, 99, 90, 99, 99]]},
    ]
    (tmp_path / "phrases.jsonl").write_text("\n".join(map(json.dumps, lines)))
    _, findings, _ = checked(tmp_path)
    assert sum(findings.values()) >= 1
    assert any("mask" in kind or "segmentation" in kind for kind in findings)


def test_faults_of_volume_pairs(tmp_path):
    images, labels = np.arange(60.0).reshape(6, 10), np.zeros((6, 10), np.int16)
    for name, numbers in (("a", (1, 2)), ("b", (1, 3))):
        own = labels.copy()
        own[1:3, 1:4], own[4:, 5:] = numbers
        np.savez(tmp_path / f"{name}.npz", vol=images[:, ::-1] if name == "b" else images, seg=own)
    (tmp_path / "pairs.csv").write_text("fixed,moving\na.npz,b.npz\n")
    _, findings, _ = checked(tmp_path)
    assert findings == {"labels that only one image of a pair has": 1}


def test_copies_of_volumes_are_found(tmp_path):
    for number, name in enumerate("abc"):
        np.save(tmp_path / f"{name}.npy", np.arange(60.0).reshape(6, 10) + number)
    shutil.copy(tmp_path / "a.npy", tmp_path / "copy.npy")
    uses = [("train", "a"), ("train", "b"), ("train", "copy"), ("val", "copy"), ("val", "b"), ("val", "gone")]
    found = [
        (split, issue.kind, Path(issue.place).name)
        for split, issue in equal_volumes((split, f"{tmp_path}/{name}.npy") for split, name in uses)
    ]
    assert found == [
        ("train", "duplicated volumes", "copy.npy"),
        ("val", "volumes that another split has too", "copy.npy"),
    ]


# --- command ---


def test_exit_codes_and_json(tmp_path, capsys):
    folder = copied("coco", tmp_path)
    assert main(["check-data", str(folder), "-q"]) == 0
    assert "nothing wrong was found" in capsys.readouterr().out
    next((folder / "val2017").iterdir()).unlink()
    assert main(["check-data", str(folder), "--json", "-q", "--split", "val"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {each["kind"] for each in found["findings"]} == {"missing images", "data that the reader refuses"}
    assert list(found["splits"]) == ["val"]
    assert main(["check-data", str(tmp_path / "nothing"), "-q"]) == 2
    assert main(["check-data", str(folder), "--split", "valid"]) == 2
    assert main(["check-data", f"coco:{tmp_path / 'nothing'}", "-q"]) == 2
    assert main(["check-data", str(folder), "--max-samples", "0"]) == 2
    assert "error:" in capsys.readouterr().err
    assert main(["check-data", str(folder), "--jobs", "-3"]) == 2
    assert "error: --jobs: expected a whole number above 0, found -3" in capsys.readouterr().err


def test_a_coco_folder_without_an_object_is_of_this_layout(tmp_path):
    folder = copied("coco", tmp_path)
    for split in ("train", "val"):
        edited(folder / f"annotations/instances_{split}2017.json", lambda record: record.update(annotations=[]))
    report, findings, notes = checked(folder)
    assert "CocoDetection" in report.splits["train"]
    assert "folders without a known layout" not in findings
    assert findings["splits without any object"] == 2
    assert notes["images without an object"] == 6


def test_a_folder_of_two_layouts_states_a_finding_once(tmp_path):
    folder = copied("coco", tmp_path)
    shutil.copytree(resolve_data_root(SMALL["classes"]) / "train", folder / "train")
    shutil.copytree(resolve_data_root(SMALL["classes"]) / "val", folder / "val")
    image = sorted((folder / "train2017").iterdir())[0]
    image.write_bytes(image.read_bytes()[:-40])
    assert len(sources_of_folder(folder)) > 1
    _, findings, notes = checked(folder)
    assert [findings[kind] for kind in findings if "truncated" in kind] == [1]
    assert notes["folders of several layouts"] == 1


def test_a_folder_without_annotations_is_a_finding_and_its_images_are_read(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"")
    Path(tmp_path, "c.heic").write_bytes(b"1")
    _, findings, _ = checked(tmp_path)
    assert findings == {
        "folders without a known layout": 1,
        "unreadable images": 1,
        "image files of a kind that is not read": 1,
    }
