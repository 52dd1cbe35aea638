"""DollarStreet, GeoDE and the test sets with classes of ImageNet: samples, modes, and errors that name the row."""

import csv
import json
import shutil

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from visionzoo.cli.convert import main as convert
from visionzoo.datasets.geo_shift import DollarStreet, GeoDE, ImageNetKind
from visionzoo.datasets.geo_shift.geode import metadata_of_index
from visionzoo.datasets.geo_shift.imagenet_kinds import objectnet_labels
from visionzoo.datasets.geo_shift.labels import (
    GEODE_INDICES,
    GEODE_OBJECTS,
    TOPICS,
    TOPICS_OF_INDEX,
    classes_of,
    income_group,
)
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError, UnknownName
from visionzoo.registry import DATASETS


@pytest.fixture
def street(tmp_path):
    return copied("tiny://dollarstreet?train=4&test=12&size=24&missing=1", tmp_path / "street")


@pytest.fixture
def geode(tmp_path):
    return copied("tiny://geode?test=42&size=24&missing=1", tmp_path / "geode")


def copied(address, folder):
    shutil.copytree(resolve_data_root(address), folder)
    return folder


def change(path, row, **cells):
    """Change cells of a row of a CSV file; row 0 is the first one after the header."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows[row].update({name.replace("__", "."): value for name, value in cells.items()})
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def samples_of(dataset):
    return [dataset.get_data_info(number) for number in range(len(dataset))]


# --- tables of labels ---


def test_the_tables_have_the_published_sizes():
    assert (len(TOPICS), len(TOPICS_OF_INDEX)) == (96, 60)
    assert len(set(TOPICS)) == 96
    assert len(GEODE_OBJECTS) == 40
    assert sum(bool(indices) for indices in GEODE_INDICES.values()) == 34
    assert (GEODE_OBJECTS.index("front_door"), GEODE_OBJECTS.index("hand_soap")) == (14, 16)
    assert (GEODE_OBJECTS[0], GEODE_OBJECTS[39]) == ("backyard", "wheelbarrow")
    assert all(0 <= index < 1000 for indices in GEODE_INDICES.values() for index in indices)
    assert [classes_of("geode", mode) for mode in ("1k", "original")] == [1000, 40]
    assert classes_of("dollarstreet", "original") == 96


@pytest.mark.parametrize(
    ("income", "group"),
    [(0, "Q4"), (195, "Q4"), (195.01, "Q3"), (685, "Q3"), (1963, "Q2"), (1963.5, "Q1"), (9e5, "Q1")],
)
def test_income_groups_include_their_upper_limit(income, group):
    assert income_group(income) == group


# --- DollarStreet ---


def test_dollarstreet_derives_region_and_income_group(street):
    dataset = DollarStreet(str(street), serialize_data=False)
    samples = samples_of(dataset)
    assert len(samples) == 11
    assert dataset.metainfo["without_file"] == 1
    assert [sample["region"] for sample in samples] == ["africa"] * 3 + ["americas"] * 3 + ["asia"] * 3 + ["europe"] * 2
    assert samples[0]["gt_labels"] == [831]
    assert samples[2]["gt_labels"] == [567, 865]
    assert samples[2]["classes"] == ["cooking pots", "toys"]
    assert len({sample["household"] for sample in samples[:3]}) == 1
    assert {sample["income_group"] for sample in samples} == {"Q4"}


def test_dollarstreet_in_original_labels(street):
    change(street / "images_v2_imagenet_test.csv", 0, topics="['lamps']")
    samples = samples_of(DollarStreet(str(street), label_mode="original", serialize_data=False))
    assert len(samples) == 10  # the row without one of the 96 topics is left out as well
    assert samples[1]["gt_labels"] == [TOPICS.index("cooking pots"), TOPICS.index("toys")]


def test_dollarstreet_in_the_folder_of_the_archive(street, tmp_path):
    (tmp_path / "outer").mkdir()
    street.rename(tmp_path / "outer" / "dataset_dollarstreet")
    assert len(DollarStreet(str(tmp_path / "outer"), serialize_data=False)) == 11


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"region__id": "xx"}, "region.id: expected af, am, as or eu, found 'xx'"),
        ({"income": "much"}, "income: expected a number >= 0, found 'much'"),
        ({"imagenet_sysnet_id": "[]"}, "imagenet_sysnet_id: expected a list of class indices"),
        ({"imagenet_sysnet_id": "[1000]"}, "imagenet_sysnet_id: expected a list of class indices"),
        ({"imagenet_sysnet_id": "__import__('os')"}, "imagenet_sysnet_id: expected a list of class indices"),
        ({"topics": "bed"}, "topics: expected a list, found 'bed'"),
    ],
)
def test_errors_of_dollarstreet_name_line_and_id(street, cells, words):
    rows = change(street / "images_v2_imagenet_test.csv", 4, **cells)
    with pytest.raises(DataError) as caught:
        DollarStreet(str(street))
    assert words in str(caught.value)
    assert f"images_v2_imagenet_test.csv: line 6: {rows[4]['id']}" in str(caught.value)


def test_duplicate_ids_are_an_error_with_both_lines(street, geode):
    rows = change(street / "images_v2_imagenet_test.csv", 0)
    change(street / "images_v2_imagenet_test.csv", 5, id=rows[0]["id"])
    with pytest.raises(DataError, match=rf"line 7: id: .*{rows[0]['id']}.* also in line 2"):
        DollarStreet(str(street))
    rows = change(geode / "metadata.csv", 0)
    change(geode / "metadata.csv", 3, id=rows[0]["id"])
    with pytest.raises(DataError, match=rf"{rows[0]['id']}.* also in line 2"):
        GeoDE(str(geode))


def test_a_data_set_without_table_or_without_images_is_an_error(street, tmp_path):
    with pytest.raises(DataError, match=r"no such file; see datasets/dollarstreet/README\.md"):
        DollarStreet(str(tmp_path / "nothing"))
    shutil.rmtree(street / "assets")
    with pytest.raises(DataError, match="none of its 12 files"):
        DollarStreet(str(street))
    with pytest.raises(UnknownName, match="label mode"):
        DollarStreet(str(street), label_mode="2k")


def test_grey_and_transparent_files_are_three_channels_for_every_reader(street):
    kinds = {Image.open(sample["img_path"]).mode for sample in samples_of(DollarStreet(str(street)))}
    assert kinds == {"RGB", "L", "RGBA"}
    with DefaultScope.overwrite_default_scope("visionzoo"):
        pipeline = [dict(type="LoadImage"), dict(type="PackTaskInputs")]
        dataset = DATASETS.build(dict(type="DollarStreet", data_root=str(street), pipeline=pipeline, test_mode=True))
    packed = [dataset[number] for number in range(len(dataset))]
    assert {each["inputs"].shape[0] for each in packed} == {3}


# --- GeoDE ---


def test_geode_has_regions_and_several_indices(geode):
    dataset = GeoDE(str(geode), serialize_data=False)
    samples = samples_of(dataset)
    assert len(samples) == 35  # 42 rows, 6 trees without a class, 1 without a file
    assert samples[0]["gt_labels"] == [414, 748, 747, 797, 728, 636, 790, 709]
    assert [sample["region"] for sample in samples[:3]] == ["Africa", "Americas", "EastAsia"]
    original = samples_of(GeoDE(str(geode), label_mode="original", serialize_data=False))
    assert len(original) == 41
    assert {sample["classes"][0] for sample in original} >= {"tree", "hand_soap"}
    assert next(s["gt_labels"] for s in original if s["classes"] == ["hand_soap"]) == [16]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"object": "sofa"}, "object: expected one of the 40 objects of GeoDE, found 'sofa'"),
        ({"region": "Atlantis"}, "region: expected Africa, Americas"),
        ({"1k_index": "[]"}, "1k_index: expected a list of class indices"),
        ({"id": ""}, "expected an id and a file_path"),
    ],
)
def test_errors_of_geode_name_the_line(geode, cells, words):
    change(geode / "metadata.csv", 2, **cells)
    with pytest.raises(DataError) as caught:
        GeoDE(str(geode))
    assert words in str(caught.value)
    assert "metadata.csv: line 4" in str(caught.value)


def test_the_file_of_the_authors_is_read_where_a_user_has_it(geode):
    """Its paths may lack the folder ``images``; its rows have an unnamed first column."""
    text = (geode / "metadata.csv").read_text(encoding="utf-8").replace(",images/", ",")
    (geode / "metadata.csv").unlink()
    (geode / "metadata_test_1k_final.csv").write_text(text, encoding="utf-8")
    assert len(GeoDE(str(geode))) == 35


def test_convert_geode_writes_metadata_that_the_loader_reads(geode, capsys):
    before = (geode / "metadata.csv").read_bytes()
    assert convert(["geode", str(geode / "index.csv"), "--overwrite", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["images"] == 42
    assert summary["without_class"] == 6
    assert (geode / "metadata.csv").read_bytes() == before
    assert convert(["geode", str(geode / "index.csv")]) == 2
    assert "expected a new file" in capsys.readouterr().err
    ids = [row["id"] for row in csv.DictReader(before.decode().splitlines())]
    assert len(set(ids)) == 42
    assert all(len(each) == 10 and each.isalpha() and each.islower() for each in ids)


def test_a_share_of_geode_is_seeded_and_by_image(geode):
    chosen = [metadata_of_index(geode / "index.csv", share=0.5, seed=seed)[0] for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert chosen[0].count("\n") == 22
    with pytest.raises(DataError, match="at most 1"):
        metadata_of_index(geode / "index.csv", share=0)


def test_an_index_with_a_path_twice_or_an_unknown_object_is_an_error(geode):
    rows = change(geode / "index.csv", 0)
    change(geode / "index.csv", 1, file_path=rows[0]["file_path"])
    with pytest.raises(DataError, match=r"line 3: .*file_path: expected a path that no other row has"):
        metadata_of_index(geode / "index.csv")
    change(geode / "index.csv", 1, file_path="images/a.jpg", object="Light fixtures")
    with pytest.raises(DataError, match="found 'Light fixtures'"):
        metadata_of_index(geode / "index.csv")


# --- test sets with classes of ImageNet ---


@pytest.mark.parametrize(
    ("kind", "labels", "competing"),
    [
        ("imagenet", range(10), None),
        ("imagenet_v2", range(10), None),
        ("imagenet_sketch", range(10), None),
        ("imagenet_r", (1, 3, 5, 7, 9), (1, 3, 5, 7, 9)),
        ("imagenet_a", (0, 2, 4, 6, 8), (0, 2, 4, 6, 8)),
        ("objectnet", (0, 414, 765), None),
    ],
)
def test_kinds_of_imagenet_have_their_labels_and_protocol(kind, labels, competing):
    dataset = ImageNetKind(f"tiny://{kind}", kind, serialize_data=False)
    samples = samples_of(dataset)
    assert {sample["gt_label"] for sample in samples} == set(labels)
    assert dataset.metainfo["competing"] == competing
    assert dataset.metainfo["border"] == (2 if kind == "objectnet" else 0)
    assert len({sample["id"] for sample in samples}) == len(samples)


def test_folders_of_imagenet_v2_sort_as_numbers_of_classes_not_as_text(tmp_path):
    for name in ("0", "10", "2"):
        (tmp_path / "test" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "test" / name / "a.png")
    samples = samples_of(ImageNetKind(str(tmp_path), "imagenet_v2"))
    assert {sample["classes"][0]: sample["gt_label"] for sample in samples} == {"0": 0, "10": 10, "2": 2}


def test_unknown_folders_and_missing_folders_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"no such folder; see datasets/geo_shift/README\.md"):
        ImageNetKind(str(tmp_path), "imagenet_r")
    (tmp_path / "test" / "tench").mkdir(parents=True)
    with pytest.raises(DataError, match=r"found 1 others \(tench\)"):
        ImageNetKind(str(tmp_path), "imagenet_r")


def test_objectnet_uses_the_first_class_and_full_names(tmp_path):
    (tmp_path / "mappings").mkdir()

    def labels(classes):
        folders = {"a": "A", "b": "B"}
        (tmp_path / "mappings" / "folder_to_objectnet_label.json").write_text(json.dumps(folders))
        (tmp_path / "mappings" / "objectnet_to_imagenet_1k.json").write_text(json.dumps(classes))
        return objectnet_labels(tmp_path, ["a", "b", "c"])

    assert labels({"A": "sunglasses, dark glasses, shades", "B": [7, 8]}) == {"a": 837, "b": 7}
    assert labels({"A": "sunglass; sunglasses, dark glasses, shades"}) == {"a": 836}
    assert labels({"A": "tench, an unusual description"}) == {"a": 0}
    with pytest.raises(DataError, match="class indices or names"):
        labels({"A": "unheard"})
