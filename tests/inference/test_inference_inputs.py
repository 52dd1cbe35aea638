"""Accepted inputs of inference, and the errors for all others."""

import io
from pathlib import Path

import pytest

from visionzoo.errors import InputError
from visionzoo.tasks.inputs.files import count_inputs, expand_inputs


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
        ("@absent.txt", "@absent.txt: expected a list of images"),
        ("https://example.org/x.jpg", "found an address; download it first"),
    ],
)
def test_inputs_that_match_nothing(tree, given, words):
    with pytest.raises(InputError, match=words):
        expand_inputs(["b.jpg", given])


def test_subfolders_are_hinted_at(tree):
    (tree / "b.jpg").unlink()
    (tree / "a.PNG").unlink()
    with pytest.raises(InputError, match="its subfolders hold some: add -r"):
        expand_inputs(["."])
