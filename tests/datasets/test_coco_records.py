"""Rules that hold for every converted format."""

from pathlib import Path

import pytest
from PIL import Image

from visionzoo.datasets.coco_records import AnnotatedImage, AnnotatedImages, Region, measured, to_coco
from visionzoo.datasets.findings import Findings
from visionzoo.errors import DataError

WIDTH, HEIGHT = 61, 40


def converted(*regions):
    return to_coco(
        AnnotatedImages(Path("in"), "test", {"train": [AnnotatedImage(Path("a.png"), WIDTH, HEIGHT, regions)]})
    )


KEPT = Region("cat", (0, 0, 5, 5))


@pytest.mark.parametrize(
    ("region", "box", "change"),
    [
        (Region("cat", (-9, 5, 31, 45)), [0, 5, 31, 35], "cut off at the border"),
        (Region("cat", (-0.6, 5, 31, 40.9)), [0, 5, 31, 35], None),
        (Region("cat", (31, 25, 10, 5)), [10, 5, 21, 20], "put in order: swapped corners"),
        (Region("cat", (70, 5, 90, 20)), None, "left out: nothing inside the image"),
        (Region("cat", (10, 5, 10.9, 20)), None, "left out: narrower than a pixel"),
        (Region("cat", outlines=([(10, 5), (70, 5), (70, 20)],)), [10, 5, 51, 12.75], "cut off at the border"),
        (Region("cat", outlines=([(70, 5), (90, 5), (90, 20)],)), None, "left out: nothing inside the image"),
        (Region("cat", outlines=([(0, 0), (10, 10), (20, 20)],)), None, "left out: of no area"),
        (Region("cat", outlines=([(0, 0), (20, 20), (20, 0), (0, 20)],)), None, "left out: of no area"),
        (Region("cat", mask={"size": [HEIGHT, WIDTH], "counts": "X\\2"}), None, "left out: of no area"),
    ],
)
def test_changes_are_counted(region, box, change):
    coco = converted(KEPT, region)
    assert [one["bbox"] for one in coco.records["train"]["annotations"][1:]] == ([] if box is None else [box])
    counted = {name: count for name, count in coco.changes.items() if not name.startswith("without an outline")}
    assert counted == ({} if change is None else {change: 1})


def test_masks_and_several_outlines():
    square, other = [(0, 0), (4, 0), (4, 4), (0, 4)], [(10, 0), (12, 0), (12, 2), (10, 2)]
    coco = converted(Region("cat", outlines=(square, other)), KEPT)
    first, second = coco.records["train"]["annotations"]
    assert (first["bbox"], first["area"], len(first["segmentation"])) == ([0, 0, 12, 4], 20, 2)
    assert second["segmentation"] == [[0, 0, 5, 0, 5, 5, 0, 5]]
    assert coco.changes == {"without an outline: the corners are used": 1}


def test_names_ids_and_categories_of_splits():
    images = [AnnotatedImage(Path(f"in/{name}.png"), WIDTH, HEIGHT, (KEPT,)) for name in ("b/1", "b/2", "a/1")]
    source = AnnotatedImages(Path("in"), "test", {"train": images[:2], "val": images[1:]}, ["dog", "cat"])
    coco = to_coco(source)
    named = {split: [(i["file_name"], i["id"]) for i in record["images"]] for split, record in coco.records.items()}
    assert named == {"train": [("1.png", 2), ("2.png", 3)], "val": [("b/2.png", 3), ("a/1.png", 1)]}
    assert coco.folders == {"train": Path("in/b").absolute(), "val": Path("in").absolute()}
    assert [one["id"] for record in coco.records.values() for one in record["annotations"]] == [1, 2, 3, 4]
    assert {one["category_id"] for one in coco.records["val"]["annotations"]} == {2}


def test_no_region_to_learn():
    with pytest.raises(DataError, match="in: expected at least one box to learn, found no object in any file"):
        converted()


def test_images_that_exif_data_turn_are_noted(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("visionzoo.datasets.findings.print_log", lambda text, *_: said.append(text))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.jpg", exif=exif)
    with Findings("in", expected="images") as findings:
        assert measured(tmp_path / "a.jpg", findings) == (WIDTH, HEIGHT)
    assert "images that EXIF data turn: boxes are read for the stored, unturned pixels (1)" in said[0]
