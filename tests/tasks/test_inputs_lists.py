"""Lists of paths as users make them, and other files that are given as a list."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from visionzoo.errors import InputError
from visionzoo.tasks.inputs.lists import names_in, names_of_file

NOT_UTF8 = os.fsdecode(b"\xff\xfe.jpg")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"a.jpg\nb.jpg", ["a.jpg", "b.jpg"]),
        (b"a.jpg\r\nb.jpg\r\n", ["a.jpg", "b.jpg"]),
        (b"\xef\xbb\xbfa.jpg\n\n# more\n b.jpg \n", ["a.jpg", "b.jpg"]),
        (b"a.jpg\0two\nlines.jpg\0# 3 .jpg \0", ["a.jpg", "two\nlines.jpg", "# 3 .jpg "]),
        (b"a.jpg\0b.jpg", ["a.jpg", "b.jpg"]),
        (b"\xff\xfe.jpg\0a.jpg\0", [NOT_UTF8, "a.jpg"]),
        (b"\xff\xfe.jpg\na.jpg\n", [NOT_UTF8, "a.jpg"]),
        ("\U0001f600\t1.jpg\n-rf.jpg".encode(), ["\U0001f600\t1.jpg", "-rf.jpg"]),
    ],
)
def test_lists(tmp_path, content, names):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    assert list(names_of_file(str(path))) == names
    assert list(names_in(io.BytesIO(content), "-")) == names
    assert list(names_in(io.BufferedReader(io.BytesIO(content), 3), "-")) == names
    assert list(names_in(io.TextIOWrapper(io.BytesIO(content)), "-")) == names


def test_a_file_whose_name_looks_like_a_comment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "#1.jpg").touch()
    assert list(names_in([b"# 2 images\n", b"#1.jpg\n", b"#2.jpg\n"], "-")) == ["#1.jpg"]


def test_names_between_nuls_arrive_one_by_one():
    def chunks():
        yield b"a.jpg\0b."
        raise AssertionError("read too far")

    assert next(names_in(chunks(), "-")) == "a.jpg"


def test_a_list_of_lines_that_changes_to_nuls():
    assert list(names_in([b"a.jpg\n", b"b.jpg\0c.jpg\0"], "-")) == ["a.jpg", "b.jpg", "c.jpg"]


def encoded(kind):
    file = io.BytesIO()
    Image.fromarray(np.zeros((20, 31, 3), np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_images_are_not_lists(tmp_path, kind):
    with pytest.raises(InputError, match="-: expected a list of paths, found an image; name the file itself"):
        names_in(io.BytesIO(encoded(kind)), "-")
    path = tmp_path / "an image"
    path.write_bytes(encoded(kind))
    with pytest.raises(InputError, match=r"expected a list of paths, found an image; give .*/an image without @"):
        names_of_file(str(path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "-: expected at least one path, found nothing; write one path per line"),
        (b"\n# nothing\n\r\n", "expected at least one path, found no path"),
        ("a.jpg\nb.jpg\n".encode("utf-16"), "found text in UTF-16; save it as UTF-8"),
        (b"\0\0\0\x18ftypisom\0\0", "found a video; name the file itself"),
        (b"\0\0\0\x18ftypheic\0\0", "found a HEIC image; name the file itself"),
        (b"PK\x03\x04\x14\0\0\0", "found an archive; unpack it"),
        (b"\x7fELF\x02\x01\x01\0\0", "found bytes that are not text; write one path per line"),
    ],
)
def test_what_is_not_a_list(content, words):
    with pytest.raises(InputError, match=words):
        names_in(io.BytesIO(content), "-")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "found a folder"),
        ("empty.txt", "found an empty file"),
        ("emty.txt", r"found no such file; did you mean @.*/empty\.txt\?"),
        ("nowhere/list.txt", "found no such file; check the path"),
        ("a\0b", "null (byte|character)"),
    ],
)
def test_list_files_that_cannot_be_read(tmp_path, name, words):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match=words):
        names_of_file(f"{tmp_path}/{name}".rstrip("/"))
