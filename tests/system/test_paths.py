"""Paths in messages: relative inside the working folder, else absolute."""

from pathlib import Path

import pytest

from visionzoo.system.paths import shown_path


@pytest.mark.parametrize(
    ("given", "shown"), [("a/b", "a/b"), ("here/a", "here/a"), ("../c", "up/c"), ("/elsewhere/d", "/elsewhere/d")]
)
def test_paths_inside_the_working_folder_are_relative(tmp_path, monkeypatch, given, shown):
    (tmp_path / "up" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "up" / "here")
    path = Path.cwd() / given if given == "here/a" else given
    assert shown_path(path) == (f"{tmp_path}/{shown}" if given == "../c" else shown)
