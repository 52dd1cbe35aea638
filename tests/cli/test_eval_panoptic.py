"""`visionzoo eval panoptic`: the numbers of the authors on files, and a sentence for every wrong file."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visionzoo.cli import main
from visionzoo.datasets.panoptic.id_png import write_id_png

GOLDEN = Path(__file__).parents[1] / "golden" / "coconut"
THINGS = 90  # the largest id of a thing of COCO


def write_side(folder, case, arrays, kind):
    """Write annotations and PNG files of one side of a stored case."""
    masks = folder / kind
    masks.mkdir(parents=True)
    for number, annotation in enumerate(case[f"{kind}_json"]):
        write_id_png(masks / annotation["file_name"], arrays[f"input:{kind}{number}"])
    record = {"images": case["images"], "annotations": case[f"{kind}_json"]}
    record["categories"] = [
        {"id": each, "name": f"class {each}", "isthing": int(each <= THINGS)} for each in case["category_order"]
    ]
    (folder / f"{kind}.json").write_text(json.dumps(record))
    return folder / f"{kind}.json"


def written(folder, name="pq_synthetic_60x80"):
    case, arrays = json.loads((GOLDEN / f"{name}.json").read_text()), np.load(GOLDEN / f"{name}.npz")
    return [write_side(folder, case, arrays, kind) for kind in ("gt", "pred")], arrays


def evaluate(truth, found, *options):
    return main(["eval", "panoptic", "--gt", str(truth), "--pred", str(found), *options])


@pytest.mark.parametrize("name", ["pq_synthetic_60x80", "pq_real_panopticapi_sample", "pq_void_border_80x100"])
def test_files_give_the_numbers_of_the_authors(tmp_path, capsys, name):
    (truth, found), arrays = written(tmp_path, name)
    assert evaluate(truth, found, "--area", "json", "--boundary", "--json", "-q") == 0
    numbers = json.loads(capsys.readouterr().out)["metrics"]
    for start, prefix in (("", ""), ("boundary_", "boundary_")):
        for group, end in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
            measured = [numbers[f"pq/{prefix}{each}{end}"] for each in ("PQ", "SQ", "RQ", "classes")]
            assert measured == pytest.approx(arrays[f"{start}{group}"].tolist(), abs=1e-9)


def test_a_set_against_itself_is_perfect_and_files_are_written_on_request(tmp_path, capsys):
    (truth, _), _ = written(tmp_path, "pq_real_panopticapi_sample")
    record = json.loads(truth.read_text())
    for annotation in record["annotations"]:  # without crowds, which a prediction does not have
        annotation["segments_info"] = [{**each, "iscrowd": 0} for each in annotation["segments_info"]]
    truth.write_text(json.dumps(record))
    assert evaluate(truth, truth, "--out", str(tmp_path / "scores")) == 0
    shown = capsys.readouterr()
    assert "pq/PQ" in shown.out
    assert "pq by class" in shown.out
    assert "class 200" not in shown.out  # a class that does not occur has no row
    metrics = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert metrics["metrics"]["pq/PQ"] == metrics["metrics"]["pq/PQ_stuff"] == 1
    assert len(metrics["per_class"]["pq"]) == 133
    assert (tmp_path / "scores" / "report.md").is_file()


def test_areas_that_differ_are_noted(tmp_path, capsys):
    (truth, found), _ = written(tmp_path, "pq_void_border_80x100")
    assert evaluate(truth, found) == 0
    assert "1 segment in 1 image is not its number of pixels" in capsys.readouterr().err
    assert evaluate(truth, found, "-q") == 0
    assert not capsys.readouterr().err


def test_a_group_without_classes_is_a_dash(tmp_path, capsys):
    (truth, found), _ = written(tmp_path)
    for path in (truth, found):
        record = json.loads(path.read_text())
        record["categories"] = [{**each, "isthing": 1} for each in record["categories"]]
        path.write_text(json.dumps(record))
    assert evaluate(truth, found) == 0
    words = capsys.readouterr().out.split()
    assert words[words.index("pq/PQ_stuff") + 1] == "-"
    assert evaluate(truth, found, "--json") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["pq/PQ_stuff"] is None


# --- wrong files ---


def changed(path, change):
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def drop_first_annotation(record):
    del record["annotations"][0]


def other_images(record):
    for entries, key in ((record["images"], "id"), (record["annotations"], "image_id")):
        for each in entries:
            each[key] += 5000
    for each in record["images"]:
        each["file_name"] = f"other_{each['file_name']}"


def one_image_more(record):
    record["images"].append({"id": 99, "file_name": "more.jpg"})
    record["annotations"].append({**record["annotations"][0], "image_id": 99})


def other_names(record):
    record["categories"][3]["name"] = "drone"


def unknown_category(record):
    record["annotations"][0]["segments_info"][0]["category_id"] = 999


def duplicate_id(record):
    record["annotations"][0]["segments_info"] *= 2


def duplicate_image(record):
    record["annotations"].append(record["annotations"][0])


def segment_without_pixels(record):
    record["annotations"][0]["segments_info"].append({"id": 77777, "category_id": 1})


def pixels_without_segment(record):
    del record["annotations"][0]["segments_info"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_first_annotation, "expected all 6 images of"),
        (other_images, "predictions of the 6 images of"),
        (one_image_more, "expected only images of"),
        (other_names, "is class 4, found drone"),
        (unknown_category, "category_id: expected one of the 133 categories, found 999"),
        (duplicate_id, "unique ids in an image"),
        (duplicate_image, "one for each image"),
        (segment_without_pixels, "ids without pixels: [77777]"),
        (pixels_without_segment, "ids without a category: ["),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_prediction_is_one_sentence(tmp_path, capsys, change, message):
    (truth, found), _ = written(tmp_path)
    changed(found, change)
    assert evaluate(truth, found) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert str(tmp_path) in said
    assert "Traceback" not in said


def test_maps_of_another_size_are_one_sentence(tmp_path, capsys):
    (truth, found), _ = written(tmp_path)
    record = json.loads(found.read_text())
    for image in record["images"]:
        del image["height"], image["width"]
    found.write_text(json.dumps(record))
    path = tmp_path / "pred" / record["annotations"][2]["file_name"]
    Image.open(path).resize((160, 120), Image.Resampling.NEAREST).save(path)
    assert evaluate(truth, found) == 2
    assert "image 3" in capsys.readouterr().err


def test_missing_files_are_one_sentence(tmp_path, capsys):
    (truth, found), _ = written(tmp_path)
    assert evaluate(truth, tmp_path / "no.json") == 2
    assert "no such file" in capsys.readouterr().err
    next((tmp_path / "pred").glob("*.png")).unlink()
    assert evaluate(truth, found) == 2
    assert ".png" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "pred")
    assert evaluate(truth, found, "--pred-masks", str(tmp_path / "gt")) == 2
    assert "ids without" in capsys.readouterr().err
