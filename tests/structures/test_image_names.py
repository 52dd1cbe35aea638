"""Names that file systems leave beside data."""

import pytest

from visionzoo.structures.image_names import is_left_over


@pytest.mark.parametrize(
    "name", ["._1.jpg", ".DS_Store", ".ipynb_checkpoints", "__MACOSX", "Thumbs.db", "thumbs.db", "Desktop.ini", "."]
)
def test_left_over(name):
    assert is_left_over(name)


@pytest.mark.parametrize("name", ["1.jpg", "_1.jpg", "__macosx__", "thumbs.db.png", "a.b", "", "__"])
def test_data(name):
    assert not is_left_over(name)
