"""The schema of COCO files: values with one obvious meaning are read with a note, all others are errors."""

import copy
import json

import numpy as np
import pytest
from PIL import Image

from visionzoo.datasets import id_maps, voc
from visionzoo.datasets.coco_annotations import require_segmentations
from visionzoo.datasets.coco_file import choose_classes, read_coco
from visionzoo.datasets.coco_writing import write_coco_file
from visionzoo.errors import DataError

RECORD = {
    "images": [{"id": i, "file_name": f"{i}.jpg", "height": 40, "width": 60} for i in (5, 2)],
    "annotations": [
        {"id": 1, "image_id": 5, "category_id": 7, "bbox": [1, 2, 10, 12], "area": 120, "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 4, "bbox": [3, 3, 8, 9], "area": 70.5, "iscrowd": 1},
    ],
    "categories": [{"id": 7, "name": "dog"}, {"id": 4, "name": "cat"}],
}
NAN, INF, HUGE = float("nan"), float("inf"), 10**400


@pytest.fixture
def notes(monkeypatch):
    listed = []
    monkeypatch.setattr("visionzoo.datasets.findings.print_log", lambda text, *_: listed.append(text.split(": ", 1)[1]))
    return listed


@pytest.fixture
def read(tmp_path):
    def read_record(record, **options):
        path = tmp_path / "a.json"
        path.write_bytes(record if isinstance(record, bytes) else json.dumps(record).encode())
        return read_coco(path, **options)

    return read_record


def changed(section, field, value):
    record = copy.deepcopy(RECORD)
    record[section][0][field] = value
    return record


def test_a_usual_file_is_unchanged_and_without_notes(read, notes):
    assert read(RECORD) == RECORD
    assert notes == []


WRONG = {
    ("images", "id"): [None, True, [], {}, NAN, INF, ""],
    ("images", "file_name"): [None, 7, True, "", " ", "a\0b", "\ud800", "x" * 2000, ["a.jpg"]],
    ("images", "height"): [None, 0, -1, "x", "", True, 0.5, [], [40], NAN, INF, 1e300, HUGE, 1_000_001],
    ("images", "width"): ["0", "-6", "1e9", "6,5", "nan", {}],
    ("categories", "id"): [None, False, [7], NAN],
    ("categories", "name"): [None, "", " ", True, [], {"en": "dog"}, "a\nb", "\ud800"],
    ("annotations", "id"): [None, True, [1], INF, ""],
    ("annotations", "image_id"): [None, True, [5], {}, NAN, 77, "77", "img", "5.5"],
    ("annotations", "category_id"): [None, True, [7], 0, "dog"],
    ("annotations", "bbox"): [
        None, [], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, -4], [1, 2, "-3", 4], [1, 2, 3, NAN], [-INF, 2, 3, 4],
        [[1, 2, 3, 4]], {"x": 1, "y": 2, "w": 3, "h": 4}, [1, 2, 3, True], [1, 2, 3, None], "1 2 3 4", 7, [1, 2, 1e300, 4],
        [HUGE, 2, 3, 4], ["a", "b", "c", "d"], [1, 2, [3], 4],
    ],
    ("annotations", "area"): [-1, "x", "", "-5", NAN, INF, [], [120], True, {}, HUGE],
    ("annotations", "iscrowd"): [2, -1, 0.5, "no", "2", "", [], [0], NAN, HUGE],
    ("annotations", "ignore"): [2, "x", [], 0.5, -1],
}  # fmt: skip


@pytest.mark.parametrize(
    ("section", "field", "value"), [(*place, value) for place, values in WRONG.items() for value in values]
)
def test_values_without_an_obvious_meaning(read, section, field, value):
    with pytest.raises(DataError, match=rf"a\.json: .*\b{field}: expected .*, found ") as refused:
        read(changed(section, field, value))
    assert refused.value.sentence.isprintable()
    assert len(refused.value.sentence) < 500


@pytest.mark.parametrize("place", [place for place in WRONG if place[1] not in ("area", "iscrowd", "ignore")])
def test_required_fields(read, place):
    record = copy.deepcopy(RECORD)
    del record[place[0]][0][place[1]]
    with pytest.raises(DataError, match=rf"{place[1]}: expected .*, found none; correct the file"):
        read(record)


@pytest.mark.parametrize(
    ("section", "field", "value", "meaning", "note"),
    [
        ("images", "height", "40", 40, "height as text in images, read as a whole number"),
        ("images", "width", " 60 ", 60, "width as text in images, read as a whole number"),
        ("images", "width", 60.0, 60, None),
        ("categories", "name", 7, "7", "name as a number in categories, read as text"),
        ("annotations", "bbox", ["1", "2.5", 3, 4], [1, 2.5, 3, 4], "bbox with text in annotations, read as numbers"),
        ("annotations", "area", "12.5", 12.5, "area as text in annotations, read as a number"),
        ("annotations", "area", None, 120, "area null in annotations, read as missing"),
        ("annotations", "iscrowd", None, 0, "iscrowd null in annotations, read as missing"),
        ("annotations", "iscrowd", "0", 0, "iscrowd as text in annotations, read as 0 or 1"),
        ("annotations", "iscrowd", "1", 1, "iscrowd as text in annotations, read as 0 or 1"),
        ("annotations", "iscrowd", True, 1, "iscrowd true or false in annotations, read as 0 or 1"),
        ("annotations", "iscrowd", 0.0, 0, None),
        ("annotations", "ignore", True, 1, "ignore true or false in annotations, read as 0 or 1"),
        ("annotations", "image_id", "5", 5, "image_id as text, read as images' id"),
        ("annotations", "image_id", "00005", 5, "image_id as text, read as images' id"),
        ("annotations", "category_id", "7", 7, "category_id as text, read as categories' id"),
    ],
)  # fmt: skip
def test_values_with_one_meaning_are_read_with_a_note(read, notes, section, field, value, meaning, note):
    found = read(changed(section, field, value))[section][0][field]
    assert (found, type(found)) == (meaning, type(meaning))
    assert notes == ([] if note is None else [f"{note} (1)"])
    assert read(changed(section, field, value), say_notes=False)[section][0][field] == meaning
    assert len(notes) <= 1


def test_missing_area_and_iscrowd_are_filled_in_silently(read, notes):
    record = copy.deepcopy(RECORD)
    for each in record["annotations"]:
        del each["area"], each["iscrowd"]
    assert [(each["area"], each["iscrowd"]) for each in read(record)["annotations"]] == [(120, 0), (72, 0)]
    assert notes == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_are_read_with_a_note(read, notes, encoding):
    assert read(json.dumps(RECORD).encode(encoding)) == RECORD
    assert len(notes) == 1


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"images": ' + b"9" * 5000 + b"}", b'{"a": "\xe9"}', b"\x00\x01\x02"]
)
def test_files_that_json_cannot_read(read, data):
    with pytest.raises(DataError, match=r"a\.json: expected .*, found "):
        read(data)


@pytest.mark.parametrize("section", ["images", "categories", "annotations"])
@pytest.mark.parametrize("entry", [None, 7, "x", [], [1, 2]])
def test_entries_that_are_not_objects(read, section, entry):
    record = copy.deepcopy(RECORD)
    record[section].append(entry)
    with pytest.raises(DataError, match=rf"{section}\[2\]: entry: expected an object"):
        read(record)
    with pytest.raises(DataError, match=f"no list '{section}'"):
        read({**RECORD, section: entry if not isinstance(entry, list) else {}})


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [("images", "id", 2), ("images", "file_name", "2.jpg"), ("categories", "name", "cat"), ("annotations", "id", 2)],
)
def test_repeated_values(read, section, field, value):
    with pytest.raises(DataError, match=rf"{section}: {field}: expected .* in one .*, found it in 2"):
        read(changed(section, field, value))


def test_all_errors_are_counted_and_three_named(read):
    record = copy.deepcopy(RECORD)
    record["annotations"] += [{**record["annotations"][0], "id": n, "bbox": [0], "image_id": 99} for n in range(10, 15)]
    record["images"][0]["height"] = None
    with pytest.raises(
        DataError, match=r"found 11 errors \(5 bbox, 5 image_id, 1 height\); .*; the first 3:"
    ) as refused:
        read(record)
    assert [problem.split(":")[0] for problem in refused.value.problems] == [
        "image 5",
        "annotation 10",
        "annotation 11",
    ]


def test_a_file_without_annotations_is_for_tests_only(read):
    record = {key: value for key, value in RECORD.items() if key != "annotations"}
    assert read(record, need_annotations=False)["annotations"] == []
    with pytest.raises(DataError, match="no list 'annotations'"):
        read(record)
    with pytest.raises(DataError, match="no list 'annotations'"):
        read({**record, "annotations": {}}, need_annotations=False)


def test_classes_are_in_the_order_of_the_numbers_that_ids_spell(read):
    ids = ["10", "9", 3, "b", "a"]
    record = {**RECORD, "annotations": [], "categories": [{"id": each, "name": f"n{each}"} for each in ids]}
    assert choose_classes("a.json", read(record), None) == ("n3", "n9", "n10", "na", "nb")


# --- files of the converters ---


def test_files_of_the_converters_pass(tmp_path, notes):
    rng = np.random.default_rng(0)
    for folder in ("imgs", "instances"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (30, 20)).save(tmp_path / f"imgs/{name}.jpg")
        Image.fromarray(rng.integers(0, 4, (20, 30)).astype(np.uint8)).save(tmp_path / f"instances/{name}.png")
    boxes = (voc.VocObject("cat", (1.5, 1, 29, 18.25), False), voc.VocObject("dog", (25, 2, 40, 40), True))
    image = voc.VocImage("a", tmp_path / "imgs/a.jpg", 30, 20, boxes)
    folder = voc.VocFolder(tmp_path, tmp_path, tmp_path, stems=["a"])
    records = {
        "id maps": id_maps.to_coco(id_maps.images_of(tmp_path)),
        "voc": voc.to_coco(folder, {"train": ["a"]}, [image]).records["train"],
    }
    for name, record in records.items():
        write_coco_file(tmp_path / f"{name}.json", {"all": record})
        assert read_coco(tmp_path / f"{name}.json") == record
    require_segmentations("id maps", read_coco(tmp_path / "id maps.json"), "masks are needed")
    assert notes == []
