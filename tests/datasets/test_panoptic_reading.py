"""Every shape of panoptic annotations gives the same maps, and mistakes are named with file and id."""

import copy
import io
import json

import numpy as np
import pytest
from panoptic_files import CATEGORIES, HEIGHT, WIDTH, annotation, ids_of, record, segments, write_panoptic_data
from PIL import Image

from visionzoo.datasets.panoptic.categories import COCO_PANOPTIC
from visionzoo.datasets.panoptic.checking import check_panoptic
from visionzoo.datasets.panoptic.id_png import encode_id_png, write_id_png
from visionzoo.datasets.panoptic.maps import folder_of_masks, map_in, maps_in
from visionzoo.datasets.panoptic.reading import read_panoptic
from visionzoo.datasets.panoptic.rows import write_rows
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import ConfigError, DataError
from visionzoo.structures.panoptic import PanopticCategory

KNOWN = [PanopticCategory(each["id"], each["name"], bool(each["isthing"])) for each in CATEGORIES]


def maps_of(path, categories=KNOWN):
    file = read_panoptic(path, categories)
    return {image.id: panoptic for image, panoptic in maps_in(folder_of_masks(path), file)}


def facts(panoptic):
    return [(each.id, each.category_id, each.area, each.bbox, each.iscrowd) for each in panoptic.segments]


# --- shapes ---


@pytest.fixture
def notes(monkeypatch):
    """Texts and numbers of all warnings about data."""
    found = {}
    monkeypatch.setattr("visionzoo.datasets.findings.say_notes", lambda where, notes: found.update(notes))
    return found


def rows():
    images = record()["images"]
    as_text = json.dumps(annotation(12, (70_000, 256, 3)))
    return [{"segments_info": annotation(9), "image_info": images[0]}, {"segments_info": as_text, "image_info": None}]


SHAPES = {
    "COCO": lambda: record(),
    "without bbox, area and crowd": lambda: _without(record(), "area", "iscrowd"),
    "without categories": lambda: {key: value for key, value in record().items() if key != "categories"},
    "without images": lambda: {"annotations": record()["annotations"], "categories": CATEGORIES},
    "list of annotations": lambda: record()["annotations"],
    "rows": rows,
    "photo named in the annotation": lambda: _renamed(record()),
}


def _without(content, *keys):
    for each in content["annotations"]:
        each["segments_info"] = [{k: v for k, v in one.items() if k not in keys} for one in each["segments_info"]]
    return content


def _renamed(content):
    for each in content["annotations"]:
        each["file_name"] = each["file_name"].replace(".png", ".jpg")
    return content


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_maps(shape, tmp_path):
    path = write_panoptic_data(tmp_path, SHAPES[shape]())
    maps = maps_of(path)
    assert list(maps) == [9, 12]
    assert np.array_equal(maps[12].ids, ids_of(70_000, 256, 3))
    assert facts(maps[9]) == [
        (1, 1, 6, (0, 0, 3, 2), False),
        (2, 4, 4, (4, 0, 3, 3), False),
        (3, 187, 12, (0, 2, 6, 2), False),
    ]


def test_lines_of_rows(tmp_path):
    write_panoptic_data(tmp_path)
    path = tmp_path / "val.jsonl"
    path.write_text("\n".join(map(json.dumps, rows())) + "\n")
    assert list(maps_of(path)) == [9, 12]


def test_rows_with_masks_become_files(tmp_path):
    data = {"bytes": encode_id_png(ids_of(70_000, 256, 3), "mask"), "path": None}
    masks = [Image.open(io.BytesIO(encode_id_png(ids_of(), "mask"))), data]
    whole = [{**row, "mask": mask} for row, mask in zip(rows(), masks)]
    written = write_rows(tmp_path, "val", whole)
    assert [each["id"] for each in written["images"]] == [9, 12]
    maps = maps_of(tmp_path / "val.json")
    assert np.array_equal(maps[9].ids, ids_of())
    assert np.array_equal(maps[12].ids, ids_of(70_000, 256, 3))
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"row 0: expected mask to be an image of Pillow .*found str"):
        write_rows(tmp_path / "b", "val", [{**rows()[0], "mask": "9.png"}])


def test_one_image_as_the_demo_of_coconut(tmp_path):
    (tmp_path / "demo_segments_info.json").write_text(json.dumps(segments()))
    write_id_png(tmp_path / "demo_mask.png", ids_of())
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "demo_image.jpg")
    maps = maps_of(tmp_path / "demo_segments_info.json")
    assert facts(maps["demo"])[1] == (2, 4, 4, (4, 0, 3, 3), False)
    settings = dict(type="PanopticDataset", ann_file="demo_segments_info.json", data_root=str(tmp_path))
    pipeline = [{"type": "LoadImage"}, {"type": "LoadPanoptic"}]
    (sample,) = build_dataset(dict(**settings, pipeline=pipeline, serialize_data=False), where="demo")
    assert sample["img_path"] == str(tmp_path / "demo_image.jpg")
    assert sample["gt_panoptic"].segments[0].category_id == 0  # class index of category 1 of COCO


def test_objects365_names_both_files(tmp_path):
    content = record()
    content["annotations"][0]["object365_file_name"] = "objects365_v2_00000009.jpg"
    content["images"][1]["object365_file_name"] = "patch3/objects365_v1_00000012.jpg"
    path = tmp_path / "l.json"
    path.write_text(json.dumps(content))
    first, second = read_panoptic(path).images
    assert (first.file_name, first.mask) == ("objects365_v2_00000009.jpg", "objects365_v2_00000009.png")
    assert (second.file_name, second.mask) == ("objects365_v1_00000012.jpg", "objects365_v1_00000012.png")


def test_a_folder_of_coconut_xl_with_masks_of_one_channel(tmp_path):
    (tmp_path / "panseg_info").mkdir()
    (tmp_path / "panseg").mkdir()
    (tmp_path / "panseg_info" / "objects365_v2_7.json").write_text(json.dumps(segments()))
    Image.fromarray(ids_of().astype(np.uint8)).save(tmp_path / "panseg" / "objects365_v2_7.png")
    for path in (tmp_path, tmp_path / "panseg_info"):
        maps = maps_of(path)
        assert np.array_equal(maps["objects365_v2_7"].ids, ids_of())


def test_class_indices_of_coconut_xl(tmp_path, notes):
    (tmp_path / "panseg_info").mkdir()
    (tmp_path / "panseg").mkdir()
    for name, kinds in (("a", (0, 39, 132)), ("b", (38, 1, 80))):
        indices = [{**each, "category_id": kind} for each, kind in zip(segments(), kinds)]
        (tmp_path / "panseg_info" / f"{name}.json").write_text(json.dumps(indices))
        write_id_png(tmp_path / "panseg" / f"{name}.png", ids_of())
    first, second = maps_of(tmp_path, None).values()
    assert [each.category_id for each in first.segments] == [1, 44, 200]  # person, bottle, rug
    assert [each.category_id for each in second.segments] == [43, 2, 92]  # tennis racket, bicycle, banner
    assert notes["segments whose category_id is a class index, read as such"] == 6


def test_sources_of_a_merged_file_may_number_classes_differently(tmp_path):
    files = {"panseg_subdir": "panseg", "segments_info": [{"id": 1, "category_id": 1}, {"id": 2, "category_id": 4}]}
    large = {"merged_id": 0, "source": "large", "object365_name": "a", "panseg_file": "a.png", **files}
    listed = [{"id": 1, "category_id": 0}, {"id": 2, "category_id": 2}]
    xlarge = {**large, "merged_id": 1, "source": "xlarge", "object365_name": "b", "segments_info": listed}
    path = tmp_path / "merged.json"
    path.write_text(json.dumps({"records": [large, xlarge], "categories": CATEGORIES, "source_roots": {}}))
    first, second = read_panoptic(path).images
    assert [each["category_id"] for each in first.segments] == [1, 4]
    assert [each["category_id"] for each in second.segments] == [1, 187]


@pytest.mark.parametrize("moved", [False, True])
def test_the_schema_of_the_official_merge_script(moved, tmp_path):
    folder = tmp_path / ("large" if moved else "somewhere") / "panoptic_object365"
    folder.mkdir(parents=True)
    write_id_png(folder / "objects365_v2_7.png", ids_of())
    entry = {
        "merged_id": 0,
        "source": "large",
        "object365_name": "objects365_v2_7",
        "panseg_file": "objects365_v2_7.png",
        "panseg_subdir": "panoptic_object365",
        "height": None,
        "width": None,
        "segments_info": segments(),
        "original_image_file": None,
    }
    roots = {"large": "/not/there" if moved else str(tmp_path / "somewhere")}
    path = tmp_path / "merged.json"
    path.write_text(json.dumps({"categories": CATEGORIES, "source_roots": roots, "records": [entry]}))
    (image,) = read_panoptic(path).images
    assert (image.id, image.file_name, image.source) == (0, "objects365_v2_7.jpg", "large")
    assert np.array_equal(map_in(tmp_path, image, path).ids, ids_of())


@pytest.mark.parametrize("content", ["{}", "[]", "[1]", '{"a": 1}', "7", '[{"a": 1}]', "{", ""])
def test_another_file_is_an_error_that_names_the_shapes(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"a\.json: expected panoptic annotations.*datasets/coconut/README"):
        read_panoptic(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="expected panoptic annotations, found no such file"):
        read_panoptic(tmp_path / "none.json")
    (tmp_path / "panseg_info").mkdir()
    with pytest.raises(DataError, match="expected one JSON file for each image, found none"):
        read_panoptic(tmp_path)


def test_the_categories_of_coco():
    assert len(COCO_PANOPTIC) == 133
    assert sum(each.isthing for each in COCO_PANOPTIC) == 80
    from mmdet.datasets.coco_panoptic import CocoPanopticDataset

    assert tuple(each.name for each in COCO_PANOPTIC) == CocoPanopticDataset.METAINFO["classes"]


# --- mistakes ---


def change(place, key, value):
    def apply(content):
        at = content
        for step in place:
            at = at[step]
        at[key] = value

    return apply


def append(place, value):
    def apply(content):
        at = content
        for step in place:
            at = at[step]
        at.append(value)

    return apply


FIRST = ("annotations", 0, "segments_info")
MISTAKES = {
    "unknown category": (change((*FIRST, 1), "category_id", 300), "image 9 (000000000009.png), segment 2: category_id"),
    "category 0": (change((*FIRST, 1), "category_id", 0), "one of the 3 categories, found 0"),
    "duplicate id": (change((*FIRST, 1), "id", 1), "segment 1: id: expected unique ids in an image, found 1 twice"),
    "id 0": (change((*FIRST, 1), "id", 0), "segment 0: id: expected a whole number from 1"),
    "id too large": (change((*FIRST, 1), "id", 256**3), "expected a whole number from 1 to 16777215"),
    "id as text": (change((*FIRST, 1), "id", "2"), "segment '2': id"),
    "no object": (change(FIRST, 0, 7), "segment None: segment: expected an object"),
    "crowd": (change((*FIRST, 1), "iscrowd", 3), "iscrowd: expected 0 or 1, found 3"),
    "area": (change((*FIRST, 1), "area", "6"), "area: expected a number of pixels, found '6'"),
    "no area": (change((*FIRST, 1), "area", float("nan")), "area: expected a number of pixels, found nan"),
    "box beyond": (change((*FIRST, 1), "bbox", [0, 0, 1, float("inf")]), "bbox: expected four numbers"),
    "box": (change((*FIRST, 1), "bbox", [1, 2]), "bbox: expected four numbers"),
    "no segments": (change(("annotations", 0), "segments_info", None), "segments_info: expected a list of segments"),
    "region without image": (change(("annotations", 0), "image_id", 4), "annotations[0] (000000000009.png): image_id"),
    "two annotations": (append(("annotations",), annotation(9)), "expected one for each image, found two for image 9"),
    "duplicate image id": (change(("images", 1), "id", 9), "image id: expected unique ids, found 9 twice"),
    "duplicate image": (change(("images", 1), "file_name", "000000000009.jpg"), "000000000009.jpg' twice"),
    "size": (change(("images", 1), "height", 0), "image 12"),
    "image": (change(("images",), 1, {"id": 12}), "images[1]: image: expected an object with id and file_name"),
    "category without kind": (change(("categories", 0), "isthing", None), "categories[0]: cat: isthing"),
    "name twice": (change(("categories", 1), "name", "cat"), "categories[1]: name: expected unique names"),
    "images": (change((), "images", 7), "expected a list images, found 7"),
    "name of a file": (change(("images", 0), "file_name", "a\nb.jpg"), "images[0]: file_name: expected the name of a"),
    "name of a PNG": (change(("annotations", 0), "file_name", "x" * 300), "file_name: expected the name of a PNG"),
    "category twice": (change(("categories", 1), "id", 1), "categories[1]: dog: id: expected unique ids"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_file_and_id(mistake, tmp_path):
    apply, words = MISTAKES[mistake]
    content = copy.deepcopy(record())
    apply(content)
    path = write_panoptic_data(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_panoptic(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_a_differing_isthing_of_a_segment_is_noted_and_that_of_the_category_counts(tmp_path, notes):
    content = record()
    content["annotations"][0]["segments_info"][0]["isthing"] = 0
    write_panoptic_data(tmp_path, content)
    dataset = build(tmp_path)
    assert notes == {"segments whose isthing differs from that of their category, which counts": 1}
    assert 0 in dataset[0]["gt_bboxes_labels"]


def build(root, **options):
    settings = dict(ann_file="val.json", data_root=str(root), data_prefix=dict(img="images"), serialize_data=False)
    pipeline = [{"type": "LoadImage"}, {"type": "LoadPanopticTargets"}, {"type": "LoadPanoptic"}]
    return build_dataset(dict(type="PanopticDataset", **settings, **{"pipeline": pipeline, **options}), where="data")


def write_ids(root, ids, name="000000000009.png"):
    write_id_png(root / "val" / name, ids)


def test_ids_of_png_and_json_must_be_equal(tmp_path):
    write_panoptic_data(tmp_path)
    ids = ids_of()
    ids[4] = 9
    write_ids(tmp_path, ids)
    with pytest.raises(DataError, match=r"000000000009\.png: .*ids without a category: \[9\]"):
        build(tmp_path)[0]
    write_ids(tmp_path, np.where(ids_of() == 2, 1, ids_of()))
    with pytest.raises(DataError, match=r"000000000009\.png: .*ids without pixels: \[2\]"):
        build(tmp_path)[0]


def test_a_png_of_one_channel_that_lost_the_others(tmp_path):
    write_panoptic_data(tmp_path)
    Image.fromarray((ids_of(70_000, 256, 3) & 255).astype(np.uint8)).save(tmp_path / "val" / "000000000012.png")
    with pytest.raises(DataError, match=r"012\.png: expected ids in three channels, found one channel, and ids"):
        build(tmp_path)[1]


def test_a_png_of_another_size_and_a_broken_one(tmp_path):
    write_panoptic_data(tmp_path)
    write_ids(tmp_path, ids_of()[:, :6])
    with pytest.raises(DataError, match=r"000000000009\.png: expected an id map of 7x5 pixels like .*found 6x5"):
        build(tmp_path)[0]
    path = tmp_path / "val" / "000000000009.png"
    path.write_bytes(encode_id_png(ids_of(), path)[:60])
    with pytest.raises(DataError, match=r"000000000009\.png: expected an id map that can be decoded"):
        build(tmp_path)[0]
    Image.new("RGB", (WIDTH, HEIGHT)).save(path, "JPEG")
    with pytest.raises(DataError, match=r"000000000009\.png: expected an id map as PNG, found JPEG"):
        build(tmp_path)[0]


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "P", "CMYK"])
def test_photos_of_every_mode_are_read(mode, tmp_path):
    path = write_panoptic_data(tmp_path)
    kind = "JPEG" if mode in ("L", "CMYK") else "PNG"
    Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).convert(mode).save(tmp_path / "images" / "000000000009.jpg", kind)
    assert build(path.parent)[0]["img"].shape == (HEIGHT, WIDTH, 3)


def test_missing_files_are_found_before_training(tmp_path):
    write_panoptic_data(tmp_path)
    (tmp_path / "val" / "000000000012.png").unlink()
    with pytest.raises(DataError, match=r"expected 2 PNG files of the masks, found 1 missing \(000000000012\.png\)"):
        build(tmp_path)
    (tmp_path / "images" / "000000000009.jpg").unlink()
    with pytest.raises(DataError, match=r"expected 2 images, found 1 missing \(000000000009\.jpg\)"):
        build(tmp_path)
    with pytest.raises(DataError, match=r"expected a folder with val\.json, found no such folder"):
        build(tmp_path / "nowhere")


def test_files_outside_the_data_are_not_read(tmp_path):
    content = record()
    content["annotations"][0]["file_name"] = "../../secret.png"
    write_panoptic_data(tmp_path / "data", content)
    with pytest.raises(DataError, match=r"found 1 outside \('../../secret\.png'\)"):
        build(tmp_path / "data")


def test_images_without_annotation_are_left_out_with_a_warning(tmp_path, notes):
    content = record()
    del content["annotations"][1]
    write_panoptic_data(tmp_path, content)
    assert len(build(tmp_path)) == 1
    assert notes == {"images without annotation are left out": 1}
    write_panoptic_data(tmp_path / "none", record(annotations=[]))
    with pytest.raises(DataError, match=r"val\.json: expected an image with annotation, found none of 2 images"):
        build(tmp_path / "none")


def test_unknown_classes_and_too_many(tmp_path):
    write_panoptic_data(tmp_path)
    with pytest.raises(ConfigError, match="found the class 'cats'; did you mean 'cat'"):
        build(tmp_path, classes=["cats"])
    many = [{"id": number, "name": f"{number}", "isthing": 1} for number in range(1, 257)]
    (tmp_path / "val.json").write_text(json.dumps(record(categories=many)))
    with pytest.raises(ConfigError, match="expected 1 to 255 classes, found 256"):
        build(tmp_path)


def test_stated_areas_reach_the_ground_truth(tmp_path):
    content = record()
    content["annotations"][0]["segments_info"][0]["area"] = 5
    write_panoptic_data(tmp_path, content)
    assert [each.area for each in build(tmp_path)[0]["gt_panoptic"].segments] == [5, 4, 12]


# --- the check ---


def kinds_of(root, **options):
    report = check_panoptic(root / "val.json", images=root / "images", **options)
    return dict(report.counts), report


def test_a_data_set_without_mistakes(tmp_path):
    write_panoptic_data(tmp_path)
    kinds, report = kinds_of(tmp_path, jobs=2)
    assert kinds == {}
    assert (report.images, report.annotated, report.segments) == (2, 2, 6)


def test_everything_that_is_wrong_is_counted_with_file_and_id(tmp_path):
    content = record()
    first, second = (each["segments_info"] for each in content["annotations"])
    first[0].update(area=7, bbox=[0, 0, 3, 2])
    first[1]["bbox"] = [4, 0, 0, 3]
    first[2]["bbox"] = [0, 2, 5, 1]
    second[0]["category_id"] = 99
    second.append({**second[1], "category_id": 1})
    content["images"] += [{"id": 30, "file_name": "a.jpg"}, {"id": 31, "file_name": "b.jpg", "height": 5, "width": 8}]
    content["annotations"].append({"image_id": 31, "file_name": "b.png", "segments_info": []})
    write_panoptic_data(tmp_path, content)
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(tmp_path / "val" / "b.png")
    Image.new("RGB", (9, HEIGHT)).save(tmp_path / "images" / "b.jpg")
    ids = ids_of()
    ids[ids == 3] = 8
    write_ids(tmp_path, ids)
    kinds, report = kinds_of(tmp_path)
    assert kinds == {
        "unknown category": 1,
        "duplicate or invalid id": 1,
        "image without annotation": 1,
        "image file missing": 1,
        "image of another size": 1,
        "area that differs from the PNG": 1,
        "box of width or height 0": 1,
        "id in PNG without JSON": 2,  # 8, and the segment of an unknown category
        "id in JSON without PNG": 1,
        "PNG of one channel": 1,
        "PNG of another size": 1,
    }
    lines = "\n".join(map(str, report.findings))
    assert "000000000009.png, segment 1: expected 6, found 7" in lines
    assert "000000000009.png, segment 2: expected [4, 0, 3, 3], found [4, 0, 0, 3]" in lines
    assert "000000000009.png, id 8: expected a segment in JSON, found 12 pixels" in lines
    assert "000000000009.png, segment 3: expected pixels in the PNG, found none" in lines
    assert "000000000012.png), segment 70000" in lines
    assert "b.jpg: expected 8x5 as in JSON, found 9x5" in lines
    assert not report.is_usable


def test_a_box_that_differs_a_missing_and_a_broken_file(tmp_path):
    content = record()
    content["annotations"][0]["segments_info"][1]["bbox"] = [4, 0, 2, 2]
    write_panoptic_data(tmp_path, content)
    assert kinds_of(tmp_path)[0] == {"box that differs from the PNG": 1}
    assert kinds_of(tmp_path)[1].is_usable
    (tmp_path / "val" / "000000000012.png").unlink()
    (tmp_path / "val" / "000000000009.png").write_bytes(b"abc")
    (tmp_path / "images" / "000000000012.jpg").write_bytes(b"abc")
    kinds, _ = kinds_of(tmp_path)
    assert kinds == {"PNG missing": 1, "PNG that cannot be read": 1, "image file that cannot be read": 1}


@pytest.mark.parametrize(
    ("split", "images", "segments", "agrees"),
    [
        ("coconut_s", 118_287, 1_541_000, [True, True]),
        ("coconut_b_panoptic", 241_690, 2_784_000, [True, True]),
        ("coconut_s", 117_000, 1_529_999, [False, False]),
        ("relabeled_coco_val", 5_000, 67_999, [True, True]),
        ("coconut_val", 24_000, 438_000, [False, False]),
        ("mine", 1, 1, []),
    ],
)
def test_published_numbers(split, images, segments, agrees, tmp_path):
    write_panoptic_data(tmp_path)
    _, report = kinds_of(tmp_path)
    report.images, report.segments = images, segments
    assert ["(agrees)" in line for line in report.published(split)] == agrees
