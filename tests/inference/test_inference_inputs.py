"""Accepted inputs of inference, and the errors for all others."""

import errno
import io
import os
import threading
from pathlib import Path

import pytest

from visionzoo.errors import InputError
from visionzoo.tasks.inputs import files
from visionzoo.tasks.inputs.files import count_inputs, expand_inputs, left_out, sources_of


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ("b.jpg", "a.PNG", "deep/c.jpg", "deep/er/d.webp", "deep/notes.txt", "only_text/x.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def places(*inputs, **options):
    return [source.place.as_posix() for source in expand_inputs(inputs, **options)]


def test_folders_are_sorted_and_only_images(tree):
    assert places(".") == ["a.PNG", "b.jpg"]
    assert places(".", recursive=True) == ["a.PNG", "b.jpg", "deep/c.jpg", "deep/er/d.webp"]
    assert places("deep", "b.jpg") == ["c.jpg", "b.jpg"]


def test_names_are_as_given(tree):
    assert [source.name for source in expand_inputs(["./b.jpg", "deep"])] == ["./b.jpg", "deep/c.jpg"]


def test_globs(tree):
    assert places("*.jpg") == ["b.jpg"]
    assert places("**/*.jpg") == ["b.jpg", "deep/c.jpg"]
    assert places("deep/*.jpg") == ["c.jpg"]
    assert places("de*") == ["deep/c.jpg"]
    assert places(str(tree / "deep" / "*" / "*.webp")) == ["er/d.webp"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tree):
    (tree / "shot[1].jpg").touch()
    assert places("shot[1].jpg") == ["shot[1].jpg"]


def test_lists_and_stdin(tree):
    (tree / "deep" / "list.txt").write_text("# mine\nb.jpg\n\nc.jpg\n../../etc/x.jpg\nmissing.jpg\n")
    sources = list(expand_inputs(["@deep/list.txt", "-"], stdin=io.StringIO("a.PNG\n")))
    assert [source.name for source in sources] == ["b.jpg", "c.jpg", "../../etc/x.jpg", "missing.jpg", "a.PNG"]
    assert sources[1].value == Path("deep/c.jpg")
    assert [source.place.as_posix() for source in sources][2] == "etc/x.jpg"


def test_stdin_is_read_as_needed():
    def lines():
        yield "a.jpg\n"
        raise AssertionError("read too far")

    assert next(expand_inputs(["-"], stdin=lines())).name == "a.jpg"


def test_counts(tree):
    assert count_inputs([".", "deep"], recursive=True) == 6
    assert count_inputs([".", "-"]) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("b.jpeg", r"b\.jpeg: expected an image, found no such file; did you mean b\.jpg\?"),
        ("deap/c.jpg", "there is no folder deap either"),
        ("only_text", r"only_text: expected images, found none among 1 file \(\.txt\)"),
        ("*.tiff", "the glob matches none"),
        ("nowhere/*.jpg", "there is no folder nowhere"),
        ("@absent.txt", "@absent.txt: expected a list of paths, found no such file; check the path"),
        ("@deep", "@deep: expected a list of paths, found a folder; give deep without @"),
        ("https://example.org/x.jpg", "found an address; download it first"),
    ],
)
def test_inputs_that_match_nothing(tree, given, words):
    with pytest.raises(InputError, match=words):
        expand_inputs(["b.jpg", given])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("deep/%d.jpg", "deep: expected a readable folder, but Permission denied; check its permissions"),
        ("deep/missing.jpg", "deep/missing.jpg: expected an image, found no such file; check the path"),
    ],
)
def test_a_folder_whose_names_may_not_be_read(tree, monkeypatch, given, words):
    def refused(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("os.scandir", refused)
    monkeypatch.setattr("os.listdir", refused)
    with pytest.raises(InputError, match=words):
        expand_inputs([given])


def test_subfolders_are_hinted_at(tree):
    (tree / "b.jpg").unlink()
    (tree / "a.PNG").unlink()
    with pytest.raises(InputError, match="its subfolders hold some: add -r"):
        expand_inputs(["."])


def test_files_that_are_left_out_are_counted(tree):
    for name in ("a.avif", "b.JFIF", "x.heic", "._b.jpg", ".DS_Store", "__MACOSX/._b.jpg", "__MACOSX/c.jpg", "LICENSE"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).touch()
    assert places(".") == ["a.PNG", "a.avif", "b.JFIF", "b.jpg"]
    assert left_out(["."]) == "2 files (.heic, no ending), 2 hidden files, 2 subfolders (add -r)"
    assert "__MACOSX/c.jpg" not in places(".", recursive=True)
    assert left_out(["."], recursive=True) == "4 files (.heic, .txt, no ending), 4 hidden files"
    assert left_out(["a.avif", "*.jpg", "-", "@list.txt"]) == ""
    assert left_out(["only_*"]) == "1 file (.txt)"


def test_python_users_are_warned_of_files_that_are_left_out(tree, monkeypatch):
    texts = []
    monkeypatch.setattr(files, "print_log", lambda text, logger, level: texts.append(text))
    (tree / "deep" / "x.heic").touch()
    assert len([*sources_of("deep")]) == len([*sources_of(["deep/c.jpg"])]) == 1
    assert texts == ["deep: 2 files (.heic, .txt), 1 subfolder (add -r) left out"]


def test_videos_in_folders_of_group_models_are_left_out(tree):
    (tree / "deep" / "clip.mp4").touch()
    assert left_out(["deep"], recursive=True, videos=False) == "2 files (.mp4, .txt)"


def test_a_folder_of_hidden_files_holds_no_image(tree):
    (tree / "only_text" / "._a.jpg").touch()
    with pytest.raises(InputError, match=r"found none among 1 file \(\.txt\), 1 hidden file; name files"):
        expand_inputs(["only_text"])


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody/a.jpg"])
def test_lists_with_names_that_no_file_can_have(tree, name):
    (tree / "list.txt").write_text(f"\ufeffb.jpg\n{name}\n", encoding="utf-8")
    assert [source.name for source in expand_inputs(["@list.txt"])] == ["b.jpg", name]
    with pytest.raises(InputError):
        expand_inputs([name])


def test_names_that_are_not_utf8(tree):
    (tree / "deep" / os.fsdecode(b"\xff\xfe.jpg")).touch()
    (tree / "list.txt").write_bytes(b"deep/\xff\xfe.jpg\n")
    for given in ("deep", "@list.txt", os.fsdecode(b"deep/\xff*.jpg"), os.fsdecode(b"deep/\xff\xfe.jpg")):
        source = list(expand_inputs([given]))[-1]
        assert source.name == "deep/\\xff\\xfe.jpg"
        assert source.place.name == "\\xff\\xfe.jpg"
        assert source.value.is_file()


def test_a_list_from_a_pipe_is_read_once(tree):
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(b"b.jpg\0a.PNG\0"))
    writer.start()
    assert count_inputs(["@pipe"]) is None
    assert places("@pipe") == ["b.jpg", "a.PNG"]
    writer.join()
