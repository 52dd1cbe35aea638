"""Tables in CSV files: a fault stays in its line, and line numbers are those of an editor."""

import pytest

from visionzoo.errors import DataError
from visionzoo.system.csv_files import parse_csv

COLUMNS = ("image", "x")


def rows(text):
    return [list(row.cells.values()) for row in parse_csv(text, COLUMNS).rows]


@pytest.mark.parametrize(
    "text",
    [
        "image,x\na.png,1",
        "image,x\r\na.png,1\r\n",
        " Image , X \n a.png , 1 ",
        'image,x\n"a.png","1"',
        "image,x,,\na.png,1,,",
        "image,x\n\n,\na.png,1\n,",
        "image;x\na.png;1",
        "image\tx\na.png\t1",
    ],
)
def test_forms_of_one_table(text):
    assert rows(text) == [["a.png", "1"]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('"a.png,1', ("every quote closed on its line", "an open quote in")),
        ('a.png,"1', ("every quote closed on its line", "an open quote in")),
        ('"a"b.png,1', ("every quote closed on its line", "expected after")),
        ("a.png,1,2", ("2 cells (image, x)", "3 cells")),
        ("a.png", ("2 cells (image, x)", "1 cells")),
        ("a.png," + "1" * 200_000, ("a line of at most 131,072 characters", "200,006")),
    ],
)
def test_a_fault_stays_in_its_line(line, words):
    table = parse_csv(f"image,x\n\n{line}\nb.png,2", COLUMNS)
    wrong, right = table.rows
    assert (wrong.line, right.line, right.cells, right.fault) == (3, 4, {"image": "b.png", "x": "2"}, None)
    assert wrong.fault[0] == words[0]
    assert words[1] in wrong.fault[1]


def test_line_ends_of_other_alphabets_are_part_of_a_cell():
    assert rows("image,x\na\u2028b\x0cc.png,1") == [["a\u2028b\x0cc.png", "1"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected a header with the columns image, x, found nothing; add it as line 1"),
        ("a.png,1", "found 'a.png,1'"),
        ("image;y", "found 'image;y'"),
        ('"image,x', "expected a header"),
        ("image,x,X", "line 1: expected every column once, found x again"),
    ],
)
def test_wrong_headers(text, words):
    with pytest.raises(DataError, match=words):
        parse_csv(text, COLUMNS)
