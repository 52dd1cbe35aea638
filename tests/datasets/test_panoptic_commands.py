"""``visionzoo convert`` for panoptic data, from a user's point of view."""

import csv
import json

import numpy as np
import pytest
from panoptic_files import ids_of, record, write_panoptic_data
from PIL import Image

from visionzoo.cli.convert import main
from visionzoo.cli.convert_panoptic import CONVERSIONS
from visionzoo.datasets.panoptic.id_png import write_id_png
from visionzoo.datasets.panoptic.maps import folder_of_masks, maps_in
from visionzoo.datasets.panoptic.reading import read_panoptic
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.engine.loaders import build_dataset

TWIN = "tiny://coconut?train=3&val=4&size=40"


@pytest.fixture(scope="module")
def truth():
    return resolve_data_root(TWIN) / "relabeled_coco_val.json"


def done(capsys, *words):
    """Run a conversion that must succeed, and return its summary."""
    assert main([*map(str, words), "--json", "-q"]) == 0
    return json.loads(capsys.readouterr().out)


def maps_of(path):
    file = read_panoptic(path)
    return [(image, panoptic) for image, panoptic in maps_in(folder_of_masks(path), file)]


def partition_of(panoptic):
    return {(panoptic.mask(each).tobytes(), each.category_id, each.iscrowd) for each in panoptic.segments}


def test_any_shape_to_coco(truth, tmp_path, capsys):
    numbers = done(capsys, "panoptic2coco", truth, "-o", tmp_path / "out")
    assert numbers["images"] == numbers["annotated"] == 4
    again = tmp_path / "out" / "relabeled_coco_val.json"
    for (_, panoptic), (image, same) in zip(maps_of(truth), maps_of(again), strict=True):
        assert np.array_equal(panoptic.ids, same.ids)
        assert [tuple(each["bbox"]) for each in image.segments] == [each.bbox for each in panoptic.segments]


def test_renumbered_segments(tmp_path, capsys):
    path = write_panoptic_data(tmp_path / "data")
    done(capsys, "panoptic2coco", path, "-o", tmp_path / "out", "--renumber")
    assert [[each.id for each in panoptic.segments] for _, panoptic in maps_of(tmp_path / "out" / "val.json")] == [
        [1, 2, 3],
        [1, 2, 3],
    ]


def test_instances_and_maps_and_back(truth, tmp_path, capsys):
    instances, maps = tmp_path / "new" / "instances.json", tmp_path / "maps"
    numbers = done(capsys, "panoptic2instances", truth, "-o", instances)
    assert numbers["instances"] == len(json.loads(instances.read_text())["annotations"]) >= 8
    assert done(capsys, "panoptic2semantic", truth, "-o", maps) == {"out": str(maps), "maps": 4, "classes": 5}
    parts = ["--instances", instances, "--stuff", maps / "annotations"]
    done(capsys, "coco2panoptic", truth, *parts, "-o", tmp_path / "joined")
    for (image, panoptic), (other, same) in zip(
        maps_of(truth), maps_of(tmp_path / "joined" / "panoptic.json"), strict=True
    ):
        assert (image.id, image.file_name) == (other.id, other.file_name)
        assert partition_of(panoptic) == partition_of(same)


def test_maps_are_read_as_folders_of_images_and_maps(truth, tmp_path, capsys):
    done(capsys, "panoptic2semantic", truth, "-o", tmp_path / "maps")
    (tmp_path / "maps" / "images").symlink_to(truth.parent / "val2017")
    settings = dict(type="SemanticFolders", data_root=str(tmp_path / "maps"), serialize_data=False)
    pipeline = [{"type": "LoadImage"}, {"type": "LoadSemanticMap"}]
    dataset = build_dataset(dict(**settings, pipeline=pipeline), where="maps")
    assert dataset.metainfo["classes"] == ("disc", "square", "triangle", "sky", "grass")
    for sample, (_, panoptic) in zip(dataset, maps_of(truth), strict=True):
        assert np.array_equal(sample["gt_semantic"] == 255, panoptic.ids == 0)


def test_maps_of_categories(truth, tmp_path, capsys):
    words = ("panoptic2semantic", truth, "--numbers", "category")
    done(capsys, *words, "-o", tmp_path / "a")
    done(capsys, *words, "--things-together", "-o", tmp_path / "b")
    assert _numbers_in(tmp_path / "a") == {0, 1, 3, 8, 187, 193}
    assert _numbers_in(tmp_path / "b") == {0, 183, 187, 193}
    assert main([*map(str, words[:2]), "--things-together", "-o", str(tmp_path / "c")]) == 2
    assert "--things-together: expected --numbers category" in capsys.readouterr().err


def _numbers_in(folder):
    files = sorted((folder / "annotations").iterdir())
    return {number for file in files for number in np.unique(np.array(Image.open(file))).tolist()}


def test_predictions_by_the_heuristic(truth, tmp_path, capsys):
    codes = tmp_path / "all.json"
    done(capsys, "panoptic2instances", truth, "-o", codes, "--with-stuff")
    annotations = json.loads(codes.read_text())["annotations"]
    stuff = [each for each in annotations if each["category_id"] > 90]
    things = [{**each, "score": 0.9} for each in annotations if each["category_id"] < 90]
    (tmp_path / "things.json").write_text(json.dumps([*things, {**things[0], "score": 0.4}]))
    (tmp_path / "stuff.json").write_text(json.dumps(stuff))
    words = ["coco2panoptic", truth, "--instances", tmp_path / "things.json", "--stuff", tmp_path / "stuff.json"]
    done(capsys, *words, "--heuristic", "--stuff-area", "1", "-o", tmp_path / "a")
    for (_, panoptic), (_, same) in zip(maps_of(truth), maps_of(tmp_path / "a" / "panoptic.json"), strict=True):
        assert {mask for mask, _, _ in partition_of(panoptic)} == {mask for mask, _, _ in partition_of(same)}
    done(capsys, *words, "--heuristic", "--confidence", "0.95", "-o", tmp_path / "b")
    assert {each.category_id for _, same in maps_of(tmp_path / "b" / "panoptic.json") for each in same.segments} <= {
        187,
        193,
    }
    assert main([*map(str, words), "-o", str(tmp_path / "c")]) == 2
    assert "expected masks that share no pixel" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"image_id": 5, "category_id": 1}, "image_id: expected the id of an image, found 5"),
        ({"image_id": 500001, "category_id": 2}, "category_id: expected one of the 5 categories, found 2"),
        ({"image_id": 500001, "category_id": 1}, "segmentation: expected polygons or an RLE"),
        (7, "annotation: expected an object, found 7"),
    ],
)
def test_results_of_other_data(entry, words, truth, tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps([entry]))
    (tmp_path / "b.json").write_text("[]")
    parts = ["--instances", str(tmp_path / "a.json"), "--stuff", str(tmp_path / "b.json")]
    assert main(["coco2panoptic", str(truth), *parts, "-o", str(tmp_path / "out")]) == 2
    assert f"annotations[0]: {words}" in capsys.readouterr().err


def test_boxes(truth, tmp_path, capsys):
    numbers = done(capsys, "panoptic2boxes", truth, "-o", tmp_path / "boxes.json")
    boxes = json.loads((tmp_path / "boxes.json").read_text())
    assert numbers["boxes"] == sum(len(each["bbox_infos"]) for each in boxes) >= 8


def test_merging(tmp_path, capsys):
    first = write_panoptic_data(tmp_path / "a", name="coconut_s")
    second = write_panoptic_data(tmp_path / "b", name="coconut_l")
    numbers = done(capsys, "mergepanoptic", first, second, "-o", tmp_path / "coconut_x", "--link")
    assert (numbers["images"], numbers["segments"], numbers["dropped"]) == (2, 6, 2)
    merged = read_panoptic(tmp_path / "coconut_x" / "coconut_x.json")
    assert {image.source for image in merged.images} == {"coconut_s"}
    for words in (["--names", "a"], ["--names", "a", "a"], ["--masks", str(tmp_path)]):
        assert main(["mergepanoptic", str(first), str(second), "-o", str(tmp_path / "y"), *words]) == 2
        assert f"{words[0]}: expected" in capsys.readouterr().err


def test_a_check_without_findings(truth, capsys):
    numbers = done(capsys, "checkpanoptic", truth, "--images", truth.parent / "val2017", "--jobs", 2)
    assert (numbers["images"], numbers["findings"], numbers["kinds"]) == (4, 0, {})
    assert numbers["published"][0] == "images: 4 of 5,000 (differs)"


def test_a_check_with_findings(tmp_path, capsys):
    content = record()
    content["annotations"][0]["segments_info"][0]["area"] = 5
    path = write_panoptic_data(tmp_path / "a", content)
    assert main(["checkpanoptic", str(path)]) == 0  # areas are counted from the PNG, so nothing is wrong with results
    err = capsys.readouterr().err
    assert "area that differs from the PNG: 1" in err
    assert "000000000009.png, segment 1: expected 6, found 5" in err
    ids = ids_of()
    ids[4] = 9
    write_id_png(path.with_suffix("") / "000000000009.png", ids)
    report = tmp_path / "reports" / "findings.csv"
    assert main(["checkpanoptic", str(path), "--report", str(report)]) == 1
    assert (
        "expected a data set without errors, found 1 id in PNG without JSON, 1 area that differs"
        in capsys.readouterr().err
    )
    rows = list(csv.DictReader(report.read_text().splitlines()))
    assert [row["kind"] for row in rows] == ["id in PNG without JSON", "area that differs from the PNG"]


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_missing_source_and_an_existing_result(name, tmp_path, capsys):
    parts = ["--instances", "a.json", "--stuff", "b.json"] if name == "coco2panoptic" else []
    out = [] if name == "checkpanoptic" else ["-o", str(tmp_path / "out")]
    assert main([name, str(tmp_path / "none.json"), *parts, *out]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "none.json" in line
    assert not (tmp_path / "out").exists()
    if out:
        write_panoptic_data(tmp_path / "out")
        assert main([name, str(tmp_path / "none.json"), *parts, *out]) == 2
        assert f"{tmp_path / 'out'}: expected" in capsys.readouterr().err
