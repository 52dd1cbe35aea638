"""The report of a test: HTML and Markdown with the same contents, and images beside them."""

from __future__ import annotations

import math
import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from static_page import StaticPage

from visionzoo.reports.document import Rows, Text, as_html, as_markdown
from visionzoo.reports.figure import Figure
from visionzoo.reports.run_report import Example, Measured, RunReport, Shown, Stated, write_run_report

WILD = "<b>|&\"'"


def sample_report(name: str = "a.jpg", tasks: tuple[str, ...] = ("",)) -> RunReport:
    noise = np.random.default_rng(0).integers(0, 255, (300, 420, 3), np.uint8)
    images = [Shown.of("truth", noise, 200), Shown.of("prediction", noise, 200)]
    figure = Figure(
        "curve", f"Curve {WILD}", noise, "The best is 0.5.", ("class", "count"), [("cat", "12"), ("-", "3")]
    )
    return RunReport(
        title="toy",
        facts=[("model", "toy"), ("data", WILD)],
        metrics=[
            Measured("toy/AP", 0.25, "higher", "share"),
            Measured("toy/MAE", -1.0),
            Measured("n", 3.0, "", "images"),
        ],
        stated=[
            Stated(
                "toy/AP", "COCO, val", "40 percent", "paper: A", "https://example.org/a", True, None, "not compared"
            ),
            Stated("toy/AP", "tiny, val", "30 percent", "measured 2026", None, False, "25 percent", "5 below the card"),
        ],
        stated_note="One number is compared.",
        tables={"toy": [{"class": WILD, "AP": 0.5, "n": 2}, {"class": "dog", "AP": -1.0, "n": 0}]},
        figures={task: [figure] for task in tasks},
        examples={task: [Example(2.5, 3, name, "7", images), Example(1.0, 0, name, "8")] for task in tasks},
        errors=dict.fromkeys(tasks, "1 less the share that is right"),
        notes=[f"A part is missing: {WILD}."],
    )


def test_the_page_is_sound_and_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    path = write_run_report(tmp_path, sample_report())
    text = path.read_text()
    (tmp_path / "report.html").write_text(text.replace('href="https://example.org/a"', ""))  # the only link to a site
    page = StaticPage(path)
    page.require_sound()
    assert "http" not in path.read_text()
    assert [each["alt"] for each in page.of("img")] == [
        f"figure: Curve {WILD}",
        "truth of a.jpg",
        "prediction of a.jpg",
    ]
    assert "<b>" not in text
    assert "<i>40 percent</i>" in text
    assert page.texts["h2"] == [
        "Metrics",
        "Beside the model card",
        "By class",
        "Figures",
        "The 2 samples with the largest errors",
    ]
    assert "The error of a sample is 1 less the share that is right." in page.texts["p"]


def test_markdown_has_the_same_contents(tmp_path: Path) -> None:
    page = StaticPage(write_run_report(tmp_path, sample_report()))
    text = (tmp_path / "report.md").read_text()
    links = [unquote(link) for link in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text)]
    assert links == [unquote(str(each["src"])) for each in page.of("img")]
    assert all((tmp_path / link).is_file() for link in links)
    for words in (
        "error 2.5: a.jpg, id 7",
        "| toy/MAE | - |",
        "| n | 3 |",
        "*40 percent*",
        "**A part is missing:",
        "25 percent",
    ):
        assert words in text


def test_images_have_a_limited_size_and_those_of_an_earlier_report_go(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "worst_09_truth.jpg").write_bytes(b"old")
    write_run_report(tmp_path, sample_report())
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"curve.png", "worst_01_truth.jpg", "worst_01_prediction.jpg"}
    assert Image.open(tmp_path / "report" / "worst_01_truth.jpg").size == (200, 143)


def test_several_tasks_and_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = write_run_report(tmp_path, sample_report(os.fsdecode(b"\xff.jpg"), tasks=("lanes", "counting")))
    text = path.read_text().replace('href="https://example.org/a"', "")
    path.write_text(text)
    StaticPage(path).require_sound()
    assert (tmp_path / "report" / "lanes_curve.png").is_file()
    assert "samples with the largest errors (counting)" in text


def test_each_of_several_tasks_has_a_section(tmp_path: Path) -> None:
    report = sample_report(tasks=("lanes", "counting"))
    stated = [Stated("lanes/F1", "CULane", "70 percent", "measured 2026", None, False, None, "not compared")]
    tables = {"counting/levels": [{"class": "many", "MAE": 3.0}]}
    path = write_run_report(tmp_path, replace(report, stated=stated, tables=tables))
    headings = re.findall(r"<h([234])>([^<]*)</h", path.read_text())
    shown = [(int(level), text.partition(" &lt;")[0]) for level, text in headings]
    samples = "The 2 samples with the largest errors"
    assert shown == [
        (2, "Metrics"), (2, "Beside the model card"),
        (2, "lanes"), (3, "Beside the model card"), (3, "Figures"), (4, "Curve"), (3, f"{samples} (lanes)"),
        (2, "counting"), (3, "By class"), (3, "Figures"), (4, "Curve"), (3, f"{samples} (counting)"),
    ]  # fmt: skip
    text = (tmp_path / "report.md").read_text()
    assert text.index("## lanes") < text.index("lanes/F1 ") < text.index("## counting") < text.index("counting/levels")


def test_a_report_of_nothing_is_sound_and_has_no_folder(tmp_path: Path) -> None:
    path = write_run_report(tmp_path, RunReport("toy", [("model", "toy")], [Measured("a", math.nan)]))
    StaticPage(path).require_sound()
    assert not (tmp_path / "report").exists()


def test_both_forms_of_a_text_escape_it() -> None:
    assert "<p>a &lt; b</p>" in as_html("t", [Text("a < b")])
    assert as_markdown("a\nb", [Text("c\nd")]) == "# a b\n\nc d\n"


def test_markdown_shows_the_letters_of_names_as_they_are() -> None:
    name = "<b>*x*|[a](http://b)"
    text = as_markdown("t", [Text(name), Rows("c", ["class"], [[name]])])
    assert "\n\n\\<b>\\*x\\*|\\[a](http://b)\n" in text
    assert "| \\<b>\\*x\\*\\|\\[a](http://b) |" in text


def test_one_sample_and_counts_that_are_not_numbers(tmp_path: Path) -> None:
    report = RunReport(
        "toy", [], [Measured("n", math.nan, "", "images")], examples={"": [Example(1.0, 0, "a.jpg", "0")]}
    )
    page = StaticPage(write_run_report(tmp_path, report))
    assert "The sample with the largest error" in page.texts["h2"]
    assert "| n | - |" in (tmp_path / "report.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_chromium_shows_it(tmp_path: Path, dark: bool) -> None:
    from chromium import chromium

    path = write_run_report(tmp_path, sample_report(name="long_name_" * 20))
    with chromium() as browser:
        for width in (400, 1600):
            browser.show(path, width=width, dark=dark)
            assert browser.problems() == []
        rows = (
            "return [...document.querySelectorAll('table.sortable')].map((each) => each.tBodies[0].rows[0].innerText);"
        )
        before = browser.run(rows)
        browser.run(
            "document.querySelectorAll('table.sortable th:nth-child(2) button').forEach((each) => each.click());"
        )
        after = browser.run(rows)
        assert [before[0].split()[0], after[0].split()[0]] == ["<b>|&\"'", "<b>|&\"'"]  # nan is last
        assert [before[1].split(), after[1].split()] == [["cat", "12"], ["-", "3"]]
        assert browser.errors() == []
