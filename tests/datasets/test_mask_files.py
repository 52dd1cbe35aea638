"""Masks with one obvious meaning are read in it; all others are errors before training."""

import logging

import numpy as np
import pytest
from PIL import Image

from visionzoo.datasets import findings, mask_files
from visionzoo.datasets.mask_files import check_masks, read_grey, read_ids, read_mask
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import DataError
from visionzoo.metrics.saliency.folders import score_folders

IDS = np.zeros((6, 8), np.uint8)
IDS[1:4, 2:7] = 1
MASK = IDS * np.uint8(255)
BLACK = np.zeros_like(MASK)
STEPS = [dict(type="LoadImage"), dict(type="LoadMaskAnnotation", kind="binary")]


def palette(*colours):
    image = Image.fromarray(IDS)
    image.putpalette([value for colour in colours for value in colour])
    return image


def deep(values):
    return Image.fromarray(values.astype(np.uint16))


def rgb(*channels):
    return Image.fromarray(np.dstack(channels))


MASKS = {
    "bits.png": Image.fromarray(IDS.astype(bool)),
    "deep.png": deep(IDS * 65535.0),
    "float.tif": Image.fromarray(IDS.astype(np.float32)),
    "opaque.png": rgb(MASK, MASK, MASK, np.full_like(MASK, 255)),
    "clear_black.png": rgb(MASK, MASK, MASK, MASK),
    "grey_alpha.png": Image.fromarray(MASK).convert("LA"),
    "palette.png": palette((0, 0, 0), (255, 255, 255)),
    "a.webp": Image.fromarray(MASK).convert("RGB"),
    "a.bmp": Image.fromarray(MASK),
    "int32.tif": Image.fromarray(IDS.astype(np.int32) * 65535),
}

ODD = {
    "ids.png": (Image.fromarray(IDS), "expected 255 for foreground, found 0 and 1; multiply by 255"),
    "more_ids.png": (Image.fromarray(IDS * np.uint8(3)), "found 3 as the largest level"),
    "half.png": (Image.fromarray(IDS * np.uint8(128)), "found 128 as the largest level"),
    "deep_ids.png": (deep(IDS), "expected 255 for foreground, found 0 and 1; multiply by 255"),
    "deep_more.png": (deep(IDS * 7), "levels of 0 to 65535 in a mask of 16 bits, found 0 to 7"),
    "deep_255.png": (deep(IDS * 255.0), "found 0 to 255"),
    "deep_700.png": (deep(IDS * 700.0), "found 2 as the largest level"),
    "int32.tif": (Image.fromarray(-IDS.astype(np.int32)), "found -1 to 0"),
    "alpha.png": (rgb(BLACK, BLACK, BLACK, MASK), "found one in the alpha channel"),
    "white_alpha.png": (rgb(BLACK + 255, BLACK + 255, BLACK + 255, MASK), "found one in the alpha channel"),
    "hidden.png": (rgb(MASK, MASK, MASK, 255 - MASK), "found one in the alpha channel"),
    "grey_alpha.png": (Image.merge("LA", [Image.fromarray(BLACK), Image.fromarray(MASK)]), "alpha channel"),
    "red.png": (rgb(MASK, BLACK, BLACK), r"expected a grey mask, found the colour RGB \(255, 0, 0\)"),
    "green.png": (rgb(BLACK, MASK, BLACK), r"RGB \(0, 255, 0\)"),
    "red.jpg": (rgb(MASK, BLACK, BLACK), "expected a grey mask, found the colour"),
    "voc.png": (palette((0, 0, 0), (128, 0, 0)), r"RGB \(128, 0, 0\)"),
    "black_palette.png": (palette((0, 0, 0), (0, 0, 0)), "expected grey levels in the palette"),
    "dark_palette.png": (palette((0, 0, 0), (1, 1, 1)), "found 0 and 1"),
    "float.tif": (Image.fromarray(IDS * np.float32(200)), r"expected float pixels in \[0, 1\], found \[0, 200\]"),
    "nan.tif": (Image.fromarray(np.where(IDS, np.nan, 0).astype(np.float32)), "nan"),
    "narrow.png": (Image.fromarray(MASK[:, 1:]), "expected a mask of 8x6 pixels like a.jpg, found 7x6"),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_with_one_meaning(tmp_path, name):
    MASKS[name].save(tmp_path / name, lossless=True)
    np.testing.assert_array_equal(read_mask(tmp_path / name, (6, 8)), MASK)


@pytest.mark.parametrize("name", ODD)
def test_masks_without_a_meaning(tmp_path, name):
    image, words = ODD[name]
    image.save(tmp_path / name, quality=95)
    with pytest.raises(DataError, match=words):
        read_mask(tmp_path / name, (6, 8), "a.jpg")


def test_soft_levels_of_jpeg_and_16_bits_stay(tmp_path):
    soft = np.tile(np.arange(0, 256, 17, dtype=np.uint8), (16, 1))
    Image.fromarray(soft.astype(np.uint16) * 257).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_grey(tmp_path / "a.png"), soft)
    Image.fromarray(np.dstack([soft] * 3)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_grey(tmp_path / "a.jpg").astype(int) - soft).max() < 12


@pytest.mark.parametrize("spoil", ["empty", "text", "folder", "cut", "missing"])
@pytest.mark.parametrize("read", [read_grey, read_ids])
def test_files_that_are_no_masks(tmp_path, read, spoil):
    path = tmp_path / "a.png"
    Image.fromarray(MASK).save(path)
    whole = path.read_bytes()
    path.unlink()
    if spoil == "folder":
        path.mkdir()
    elif spoil != "missing":
        path.write_bytes({"empty": b"", "text": b"<html>", "cut": whole[:-30]}[spoil])
    with pytest.raises(DataError, match=r"a\.png: expected an? (mask|id map)"):
        read(path)


# --- the check before training ---


@pytest.fixture
def root(tmp_path):
    for number in range(4):
        for folder, values in (("imgs", np.dstack([MASK] * 3)), ("gt", MASK)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(values).save(tmp_path / folder / f"{number}.png")
    return tmp_path


@pytest.fixture
def notes(monkeypatch):
    texts = []
    monkeypatch.setattr(findings, "print_log", lambda text, logger, level: texts.append((text, level)))
    return texts


def build(root, steps=STEPS, **options):
    return build_dataset(dict(type="SaliencyDataset", data_root=str(root), pipeline=steps, **options), where="dataset")


def save(root, values, *numbers):
    for number in numbers:
        Image.fromarray(values).save(root / "gt" / f"{number}.png")


@pytest.mark.parametrize("test_mode", [False, True])
def test_faults_of_masks_are_one_error_before_training(root, test_mode):
    save(root, IDS, 0, 1, 2, 3)
    with pytest.raises(DataError) as caught:
        build(root, test_mode=test_mode)
    text = str(caught.value)
    assert "gt: expected 255 for foreground, found 4 errors (4 mask); multiply by 255; the first 3:" in text
    assert "- 0.png: mask: expected 255 for foreground, found 0 and 1" in text
    save(root, MASK, 0, 1, 2)
    with pytest.raises(DataError, match=r"gt: 3\.png: mask: expected 255 for .*, found 0 and 1; multiply by 255"):
        build(root)
    assert len(build(root, steps=[])) == 4


@pytest.mark.parametrize("level", [0, 100, 127])
def test_masks_of_which_none_has_a_salient_pixel(root, level):
    save(root, IDS * np.uint8(level), 0, 1, 2, 3)
    with pytest.raises(DataError, match="gt: expected masks with salient pixels, above 127, found none in 4 masks"):
        build(root)
    save(root, MASK, 3)
    assert len(build(root)) == 4


def test_id_maps_without_an_object(root):
    steps = [dict(type="LoadImage"), dict(type="LoadMaskAnnotation", kind="ids")]
    save(root, BLACK, 0, 1, 2, 3)
    with pytest.raises(DataError, match="found none in 4 masks"):
        build(root, steps)
    save(root, IDS, 2)
    assert build(root, steps)[2]["gt_seg_map"].max() == 1


def test_more_masks_are_read_only_until_one_has_a_salient_pixel():
    files = [(f"{number}.jpg", f"{number}.png") for number in range(640)]
    read: list[str] = []

    def some(path, size, like):
        read.append(path)
        return MASK if path == "333.png" else BLACK

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_files, "size_of_file", lambda path, exif: (8, 6))
        check_masks("gt", files, some)
        assert read[:2] == ["0.png", "10.png"]
        assert 64 < len(read) < 400
        read.clear()
        check_masks("gt", files, lambda *each: (some(*each), MASK)[1])
        assert len(read) == 64


def test_odd_masks_are_noted_once(root, notes):
    save(root, 255 - BLACK, 0, 1, 2, 3)
    build(root)
    build(root)  # another split, of which nothing new is stated
    ((text, level),) = notes
    assert "4 of 4 checked masks mark more than half of their pixels as the object (white); if the object is" in text
    assert level == logging.WARNING
    notes.clear()
    save(root, MASK, 0, 1)
    save(root, IDS * np.uint8(100), 2, 3)
    build(root)
    assert ": 2 of 4 checked masks have grey levels, but none above 127, and count as empty" in notes[0][0]


def test_files_that_are_left_out_are_stated(root, notes):
    (root / "imgs" / "x.heic").touch()
    (root / "imgs" / "._0.png").write_bytes(b"x")
    (root / "imgs" / "3.png").unlink()
    (root / "train.txt").write_text("0\n1.png\n0\n")
    assert len(build(root)) == 3
    assert "files in imgs of other kinds are left out: .heic (1)" in notes[0][0]
    assert "masks in gt without an image are left out (1)" in notes[0][0]
    notes.clear()
    assert len(build(root, split="train")) == 2
    assert "names repeated in train.txt are read once (1)" in notes[0][0]


def test_an_image_is_not_its_own_mask(root):
    with pytest.raises(DataError, match=r"0\.png: expected an image and a mask, found one file for both \(4 of 4"):
        build(root, img_folder="gt")


def test_sizes_follow_exif_only_where_images_do(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(4):
        Image.fromarray(MASK).save(root / "imgs" / f"{number}.png", exif=exif)
    build(root)
    with pytest.raises(DataError, match=r"expected a mask of 6x8 pixels .*, found 4 errors"):
        build(root, [dict(type="LoadImage", exif=True), STEPS[1]])


def group_tree(root, spoilt):
    for group in ("axe", "cup"):
        for folder, values in (("images", np.dstack([MASK] * 3)), ("gts", spoilt)):
            path = root / folder / "set" / group / f"0.{'PNG' if folder == 'gts' else 'png'}"
            path.parent.mkdir(parents=True)
            Image.fromarray(values).save(path)
    return dict(type="CoSaliencyFolder", data_root=str(root), name="set", pipeline=[dict(type="LoadGroup")])


def test_groups_are_checked_too(tmp_path):
    with pytest.raises(DataError, match="gts/set: expected masks with salient pixels, above 127, found none in 2"):
        build_dataset(group_tree(tmp_path / "a", BLACK), where="dataset")
    alpha = np.dstack([BLACK, BLACK, BLACK, MASK])
    with pytest.raises(DataError, match="gts/set: expected a grey mask, found 2 errors"):
        build_dataset(group_tree(tmp_path / "b", alpha), where="dataset")
    assert len(build_dataset(group_tree(tmp_path / "c", MASK), where="dataset")) == 2


def test_folders_of_predictions_are_read_by_the_same_rules(root):
    assert score_folders(root / "gt", root / "gt", measures=["MAE"]).numbers == {"MAE": 0.0, "images": 4.0}
    save(root, BLACK, 0, 1, 2, 3)
    with pytest.raises(DataError, match=r"gt: expected masks with foreground pixels, found none in 4 masks"):
        score_folders(root / "imgs", root / "gt", measures=["MAE"])
    save(root, np.dstack([BLACK, BLACK, BLACK, MASK]), 1)
    with pytest.raises(DataError, match=r"1\.png: expected a grey mask, found one in the alpha channel"):
        score_folders(root / "imgs", root / "gt", measures=["MAE"])
