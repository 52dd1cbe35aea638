"""Every kind of image is loaded as RGB uint8, or raises an error that names the file."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from visionzoo.datasets.transforms.loading import LoadImage, read_image
from visionzoo.errors import DataError
from visionzoo.registry import TRANSFORMS
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS
from visionzoo.structures.image_size import open_header, pixels_of, require_pixels, size_of_file
from visionzoo.tasks.inputs.images import read_source


@pytest.fixture
def rgb():
    noise = np.random.default_rng(0).integers(0, 256, (37, 61, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (9, 9), 0)
    smooth[:, :30, 0] = 250  # red on the left: a swap of channels or sides is visible
    return smooth


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_files_come_back_in_rgb_order(rgb, kind, tmp_path):
    path = tmp_path / "an image"
    path.write_bytes(encode(rgb, kind))
    np.testing.assert_array_equal(read_image(path), rgb)
    np.testing.assert_array_equal(read_image(str(path), exif=False), rgb)


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 97}), ("WEBP", {"quality": 97}), ("GIF", {})])
def test_lossy_files_come_back_in_rgb_order(rgb, kind, options):
    read = read_image(encode(rgb, kind, **options))
    assert read.shape == rgb.shape
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - rgb).mean() < 12
    assert np.abs(read[..., ::-1].astype(int) - rgb).mean() > 25


def test_grey_is_repeated_and_alpha_dropped(rgb):
    grey = rgb[..., 1]
    np.testing.assert_array_equal(read_image(encode(grey)), np.repeat(grey[..., None], 3, 2))
    alpha = np.full(grey.shape, 7, np.uint8)
    np.testing.assert_array_equal(read_image(encode(np.dstack([rgb, alpha]))), rgb)
    palette = Image.fromarray(rgb).quantize(8)
    buffer = io.BytesIO()
    palette.save(buffer, "PNG")
    np.testing.assert_array_equal(read_image(buffer.getvalue()), np.array(palette.convert("RGB")))


def test_float_tiff_is_read_as_float_arrays_are(rgb):
    grey = rgb[..., 1]
    expected = np.repeat(grey[..., None], 3, 2)
    np.testing.assert_array_equal(read_image(encode(grey / np.float32(255), "TIFF")), expected)
    _, data = cv2.imencode(".tiff", rgb[..., ::-1] / np.float32(255))
    assert np.abs(read_image(data.tobytes()).astype(int) - rgb).max() <= 4  # OpenCV encodes three floats lossily


def test_tiff_of_64_bit_floats(rgb):
    values = rgb[..., 1] / 255.0
    _, data = cv2.imencode(".tiff", values)
    np.testing.assert_array_equal(read_image(data.tobytes()), np.repeat(rgb[..., 1:2], 3, 2))


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (np.full((4, 6), 200, np.float32), r"expected float pixels in \[0, 1\], found \[200, 200\]"),
        (np.full((4, 6), -0.5, np.float32), r"found \[-0.5, -0.5\]"),
        (np.full((4, 6), np.nan, np.float32), "nan"),
        (np.full((4, 6), np.inf, np.float32), "inf"),
        (np.full((4, 6), 7, np.int32), "expected pixels of bool, uint8, uint16 or floats .*, found int32"),
        (np.full((4, 6), 70000, np.int32), "found int32"),
    ],
)
def test_tiff_pixels_without_a_meaning(values, what):
    data = encode(values, "TIFF")
    with pytest.raises(DataError, match=what):
        read_image(data)
    with pytest.raises(DataError, match=what):
        read_source(Image.open(io.BytesIO(data)))


def test_deep_colours_are_rounded(rgb):
    for ending in (".png", ".tiff", ".ppm"):
        _, data = cv2.imencode(ending, rgb[..., ::-1].astype(np.uint16) * 257 + 100)
        np.testing.assert_array_equal(read_image(data.tobytes()), np.minimum(rgb.astype(int), 255))


def test_inverted_and_animated_files(rgb):
    cmyk = Image.fromarray(rgb).convert("CMYK")
    buffer = io.BytesIO()
    cmyk.save(buffer, "JPEG", quality=97)
    assert np.abs(read_image(buffer.getvalue()).astype(int) - rgb).mean() < 6
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "WEBP", save_all=True, append_images=[Image.new("RGB", (61, 37))], lossless=True)
    np.testing.assert_array_equal(read_image(buffer.getvalue()), rgb)


@pytest.mark.parametrize("ending", ANY_IMAGE_ENDINGS)
def test_every_ending_of_images_can_be_read(rgb, tmp_path, ending):
    path = tmp_path / f"a{ending}"
    if ending in (".ras", ".sr"):
        cv2.imwrite(str(path), rgb[..., ::-1])
    else:
        kinds = {".jif": "JPEG", ".avifs": "AVIF", ".jpf": "JPEG2000"}
        Image.fromarray(rgb).save(path, kinds.get(ending))
    assert read_image(path).shape == rgb.shape


def test_errors_are_not_accompanied_by_the_decoders(rgb, capfd):
    data = bytearray(encode(rgb))
    data[200] ^= 255
    for content in (bytes(data), encode(rgb[..., 0] / np.float32(100), "TIFF"), b"II*\x00" + bytes(60)):
        with pytest.raises(DataError):
            read_image(content)
    assert capfd.readouterr().err == ""


def test_16_bit_is_scaled_so_that_white_stays_white():
    deep = np.array([[0, 257, 65535], [128, 129, 32896]], np.uint16)
    expected = np.array([[0, 1, 255], [0, 1, 128]], np.uint8)
    _, data = cv2.imencode(".png", deep)
    np.testing.assert_array_equal(read_image(data.tobytes())[..., 0], expected)
    np.testing.assert_array_equal(read_image(deep)[..., 2], expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_orientation_is_followed_only_on_request(rgb, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(rgb, kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        stored = np.array(image.convert("RGB"))
        turned = np.array(image.convert("RGB").transpose(_TURN[orientation])) if orientation > 1 else stored
    assert np.abs(read_image(data, exif=True).astype(int) - turned).mean() < 2
    assert np.abs(read_image(data, exif=False).astype(int) - stored).mean() < 2


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True}), ("WEBP", {}), ("AVIF", {}), ("TIFF", {})])
def test_exif_orientation_of_other_formats(rgb, tmp_path, orientation, kind, options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.array(Image.fromarray(rgb).transpose(_TURN[orientation]))
    turned = read_image(encode(rgb, kind, exif=exif, **options))
    assert turned.shape == upright.shape
    path = tmp_path / "a"
    path.write_bytes(encode(rgb, kind, exif=exif, **options))
    for turns in (True, False):
        assert size_of_file(path, exif=turns) == read_image(path, exif=turns).shape[1::-1]
    assert np.abs(turned.astype(int) - upright).mean() < 12


def test_damaged_exif_data_does_not_matter(rgb):
    data = encode(rgb, "WEBP", lossless=True, exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    np.testing.assert_array_equal(read_image(data), rgb)


_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def test_one_pixel():
    assert read_image(encode(np.full((1, 1, 3), 9, np.uint8))).tolist() == [[[9, 9, 9]]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("keep", [0.97, 0.5, 0.02])
def test_a_truncated_file_is_an_error_that_names_it(rgb, kind, keep, tmp_path):
    whole = encode(rgb, kind)
    path = tmp_path / "cut.img"
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(DataError, match=r"cut\.img: expected"):
        read_image(path)


def test_the_end_mark_of_a_thumbnail_does_not_hide_a_truncated_jpeg(rgb):
    thumbnail = encode(rgb[:8, :8], "JPEG")
    app1 = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = encode(rgb, "JPEG")
    with_thumbnail = whole[:2] + app1 + whole[2:]
    assert read_image(with_thumbnail).shape == rgb.shape
    with pytest.raises(DataError, match="truncated file of"):
        read_image(with_thumbnail[:-60])


def test_a_complete_jpeg_may_carry_bytes_after_its_end(rgb):
    data = encode(rgb, "JPEG")
    np.testing.assert_array_equal(read_image(data + b"maker's notes"), read_image(data))


def test_other_unreadable_files(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no image, but some text")
    (tmp_path / "page.jpg").write_text("<html>not found</html>")
    (tmp_path / "heic.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0")
    for name, what in [
        ("empty.jpg", "empty file"),
        ("text.jpg", "cannot be decoded"),
        ("page.jpg", "a web page; download the file itself"),
        ("heic.jpg", "a HEIC image; convert it to JPEG"),
        ("none.jpg", "no such file"),
    ]:
        with pytest.raises(DataError, match=f"{name}: expected an image.*{what}"):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match="found a folder"):
        read_image(tmp_path)


def test_arrays_of_every_supported_kind(rgb):
    np.testing.assert_array_equal(read_image(rgb), rgb)
    np.testing.assert_array_equal(read_image(rgb / 255.0), rgb)
    np.testing.assert_array_equal(read_image(rgb[..., 0]), np.repeat(rgb[..., :1], 3, 2))
    np.testing.assert_array_equal(read_image(np.dstack([rgb, rgb[..., 0]])), rgb)
    assert read_image(np.eye(3, dtype=bool)).max() == 255
    assert read_image(rgb[::-1, ::-1]).flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"found \(3, 8, 9\)"),
        (np.zeros((0, 9, 3), np.uint8), r"found \(0, 9, 3\)"),
        (np.full((8, 9), 200.0), r"found \[200, 200\]"),
        (np.full((8, 9), np.nan), "nan"),
        (np.zeros((8, 9), np.int64), "int64"),
    ],
)
def test_arrays_that_are_not_images(array, what):
    with pytest.raises(DataError, match=what):
        read_image(array)


def test_load_image_fills_the_keys_of_a_sample(rgb, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode(rgb))
    load = TRANSFORMS.build({"type": "LoadImage"})
    sample = load({"img_path": str(path), "height": 37, "width": 61})
    np.testing.assert_array_equal(sample["img"], rgb)
    assert sample["img_shape"] == sample["ori_shape"] == (37, 61)
    from_memory = LoadImage()({"img": rgb})
    np.testing.assert_array_equal(from_memory["img"], rgb)
    assert from_memory["img_path"] is None


def test_load_image_refuses_a_file_of_another_size_than_annotated(rgb, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode(rgb))
    with pytest.raises(DataError, match=r"a\.png: expected 37x61 pixels as in its annotation, found 61x37"):
        LoadImage()({"img_path": str(path), "height": 61, "width": 37})


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_the_number_of_pixels_is_limited_before_decoding(rgb, kind, monkeypatch):
    data = encode(rgb, kind)
    assert read_image(data, max_pixels=rgb.shape[0] * rgb.shape[1]).shape == rgb.shape
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    monkeypatch.setattr(cv2, "imdecode", lambda *args: pytest.fail("decoded"))
    words = r"image bytes: expected at most 2000 pixels, found 2257 \(61x37\); make it smaller, or raise the limit"
    with pytest.raises(DataError, match=words):
        read_image(data, max_pixels=2000)
    monkeypatch.setenv("VISIONZOO_MAX_PIXELS", "2e3")
    with pytest.raises(DataError, match=words):
        read_image(data)


def declared_png(width, height):
    """Return a small PNG whose header states another size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = encode(np.zeros((1, 1, 3), np.uint8))
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


@pytest.mark.parametrize("side", [14_200, 32_000])
def test_huge_images_are_refused_without_pillows_messages(side, recwarn):
    with pytest.raises(DataError, match=f"at most 200000000 pixels, found {side**2} .*--max-pixels"):
        read_image(declared_png(side, side))
    assert not recwarn.list


def test_images_between_pillows_limit_and_ours_are_not_refused(recwarn):
    data = declared_png(14_000, 14_000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    assert open_header(io.BytesIO(data)).size == (14_000, 14_000)
    require_pixels((14_000, 14_000), "a.png")
    assert not recwarn.list


@pytest.mark.parametrize("given", ["", "no", "0", "-3", "nan"])
def test_limits_of_pixels_that_are_no_numbers(given):
    with pytest.raises(DataError, match=r"--max-pixels: expected a number of pixels >= 1, found .*; use a number such"):
        pixels_of(given, "--max-pixels")


H, W = 20, 31


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, H, W), np.uint8), r"found \(3, 20, 31\); transpose it to \(H, W, C\)"),
        (np.zeros((1, H, W, 3), np.uint8), r"found \(1, 20, 31, 3\); pass a list of images"),
        (np.zeros((5, H, W, 3), np.uint8), "pass a list of images"),
        (np.zeros((H, W, 7), np.uint8), "choose three of its 7 channels"),
        (np.zeros(H, np.uint8), r"found \(20,\); reshape it"),
        (np.zeros((0, W, 3), np.uint8), r"found \(0, 20|found \(0, 31, 3\); check how it was cut"),
        (np.full((H, W, 3), 200.0), r"found \[200, 200\]; divide by 255"),
        (np.full((H, W, 3), 2000.0), "divide by the largest value"),
        (np.full((H, W, 3), -1.5), "undo the normalisation"),
        (np.full((H, W, 3), np.nan), "replace the values that are not numbers"),
        (np.full((H, W, 3), 200), r"found int64; convert it with astype\(numpy.uint8\)"),
        (np.full((H, W, 3), 2000), "found int64; convert it to 8 bits first"),
        (np.full((H, W, 3), "a", dtype=object), "found object; make one array of numbers"),
        (np.zeros((H, W, 3), complex), "found complex128; convert it to 8 bits"),
    ],
)
def test_arrays_of_other_kinds_have_an_advice(array, words):
    with pytest.raises(DataError, match=f"image array: expected .*{words}"):
        read_source(array)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((H, W, 3), r"permute it to \(C, H, W\)"),
        ((1, 3, H, W), "pass a list of images"),
        ((7, H, W), "choose three channels"),
    ],
)
def test_tensors_of_other_shapes_have_an_advice(shape, words):
    with pytest.raises(DataError, match=f"image tensor: expected .*{words}"):
        read_source(torch.zeros(shape))
    with pytest.raises(DataError, match=r"image array: expected float pixels.*divide by 255"):
        read_source(torch.full((3, H, W), 255.0))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "F"])
def test_every_mode_of_pillow_is_read(mode):
    image = Image.new("RGB", (W, H), (255, 255, 255))
    image = Image.new(mode, (W, H), 1.0 if mode == "F" else 65535) if mode in ("I;16", "F") else image.convert(mode)
    pixels = read_source(image)
    assert pixels.shape == (H, W, 3)
    assert pixels.min() >= 250


def test_a_bool_array_is_black_and_white():
    assert np.unique(read_source(np.eye(H, W, dtype=bool))).tolist() == [0, 255]


def test_the_first_frame_of_animations_and_palettes_with_alpha(rgb, recwarn):
    for kind in ("GIF", "WEBP"):
        file = io.BytesIO()
        frames = [Image.fromarray(rgb), Image.new("RGB", (61, 37))]
        frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=100)
        assert np.abs(read_image(file.getvalue()).astype(int) - rgb).mean() < 25
    palette = Image.fromarray(rgb).convert("P")
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=bytes(256))
    np.testing.assert_array_equal(read_image(file.getvalue()), np.array(palette.convert("RGB")))
    assert not recwarn.list
