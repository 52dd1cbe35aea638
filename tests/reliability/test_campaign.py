"""Parts of the campaign on damaged files; `python -m reliability` runs the whole campaign."""

from collections import Counter

import pytest

from reliability.__main__ import updated
from reliability.campaign import Format, Tally, all_formats, run, table

FORMATS = all_formats()


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_read_correctly_or_refused(name):
    assert run(FORMATS[name], 30, seed=7).failures == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_more_damaged_files(name):
    assert run(FORMATS[name], 300).failures == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_by_a_worker(name):
    assert run(FORMATS[name], 50, seed=1, workers=1).failures == []


def test_wrong_contents_and_exceptions_are_failures():
    class Wrong(Format):
        damages = [("a.txt", lambda path, random: str(path.write_text("5")))]

        def write(self, folder, random):
            (folder / "a.txt").write_text("3")

        def read(self, folder, workers=0):
            return 3

        def truth(self, folder):
            return int((folder / "a.txt").read_text())

    class Raises(Wrong):
        def read(self, folder, workers=0):
            if (folder / "a.txt").read_text() == "5":
                raise TypeError("int")

    Wrong.name, Raises.name = "wrong", "raises"
    assert [list(run(each(), 1).outcomes) for each in (Wrong, Raises)] == [["other contents"], ["traceback"]]
    del Wrong.name, Raises.name


def test_a_part_of_the_campaign_replaces_its_rows():
    whole, part = (Tally(Counter(read=count)) for count in (1, 7))
    page = f"# Damaged files\n\n{table({'c': (whole, whole), 'a': (whole, whole)})}\n"
    changed = updated(page, table({"b": (part, part), "c": (part, part)}))
    rows = {name: (tally, tally) for name, tally in {"a": whole, "b": part, "c": part}.items()}
    assert changed == f"# Damaged files\n\n{table(rows)}\n"
