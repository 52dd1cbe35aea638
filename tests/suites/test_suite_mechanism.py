"""Suites as parts: found by their files, continued after a kill, never mixed; a toy suite with two kinds of numbers."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from visionzoo.errors import CheckpointError, ConfigError, DataError, InputError, OutputError, RunFailed, UnknownName
from visionzoo.suites import (
    Suite,
    SuiteData,
    SuiteModel,
    SuiteReport,
    SuiteSettings,
    readme_of,
    run_suite,
    suite_names,
    suite_of,
)
from visionzoo.suites._models import Named, expanded
from visionzoo.suites._store import ResultFile, read_results, result_path
from visionzoo.suites._writing import table_text
from visionzoo.system.locks import locked


class ToyModel(SuiteModel):
    """Predicts two kinds of numbers of each sample in one pass, and counts its calls."""

    def __init__(self, name, digest="d0"):
        self.name, self.digest, self.batches = name, digest, []

    def predict(self, data, numbers):
        self.batches.append(list(numbers))
        return [{"area": 2 * number, "count": number % 3} for number in numbers]


class Toy(Suite):
    """A suite with one prediction pass and two tables, as a suite of panoptic segmentation has."""

    def __init__(self, settings, *, mode: str = "a", samples: int = 7):
        super().__init__(settings)
        self.mode, self.samples, self.models = mode, samples, {}

    def protocol(self):
        return {"mode": self.mode}

    def data_sets(self):
        return {"first": self.first, "absent": self.absent}

    def first(self):
        return SuiteData("first", [{"id": f"i{number}"} for number in range(self.samples)])

    def absent(self):
        raise DataError("data/absent", expected="images", found="none", advice="see datasets/absent/README.md")

    def open_model(self, name, weights):
        if name == "broken":
            raise CheckpointError("broken", expected="weights", found="none released", advice="train it")
        return self.models.setdefault(name, ToyModel(name))

    def refusal(self, model, data):
        return "it has 3 classes" if model.name == "small" else ""

    def report(self, data, results):
        tables = {"areas": [], "counts": []}
        for name, each in results.items():
            for result in each:
                head = {"model": result.model, "data": name, "images": len(result.records)}
                tables["areas"].append({**head, "area": sum(record["area"] for record in result.records)})
                tables["counts"].append({**head, "count": sum(record["count"] for record in result.records)})
        return SuiteReport(tables, {"blank": np.zeros((4, 6, 3), np.uint8)}, ["a note"], ("areas",))


@pytest.fixture(autouse=True)
def _readme(monkeypatch, tmp_path):
    page = tmp_path / "toy.md"
    page.write_text("# Toy\n\n## What it measures\n\nNothing.\n")
    monkeypatch.setattr("visionzoo.suites._running.readme_of", lambda name: page)


def run(out, models=("one",), **options):
    suite = Toy(SuiteSettings(out=out, limit=options.pop("limit", None)), **options)
    report = run_suite("toy", suite, [Named(name) for name in models], batch_size=3)
    return suite, report


# --- finding ---


@pytest.mark.parametrize("name", suite_names())
def test_the_readme_states_every_option_with_its_default(name):
    text = readme_of(name).read_text(encoding="utf-8")
    for option, parameter in suite_of(name).known_options().items():
        value = parameter.default
        default = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        assert f"| `{option}` | {default} |" in text, option


def test_suites_are_found_by_their_files_and_have_a_readme():
    assert "geo-shift" in suite_names()
    for name in suite_names():
        assert issubclass(suite_of(name), Suite)
        text = readme_of(name).read_text(encoding="utf-8")
        for section in ("What it measures", "Licence", "Limits", "Protocol choices"):
            assert f"## {section}" in text, (name, section)
    assert suite_of("geo_shift") is suite_of("geo-shift")
    with pytest.raises(UnknownName, match="did you mean 'geo-shift'"):
        suite_of("geo-shfit")


def test_options_of_a_suite_are_its_keyword_arguments():
    suite = Toy.with_options(SuiteSettings(), ["mode=b", "samples=4"])
    assert (suite.mode, suite.samples) == ("b", 4)
    with pytest.raises(ConfigError, match="--set moed: expected an option of the suite"):
        Toy.with_options(SuiteSettings(), ["moed=b"])
    with pytest.raises(ConfigError, match="a whole number"):
        Toy.with_options(SuiteSettings(), ["samples=many"])
    with pytest.raises(ConfigError, match="a suite that reads predictions"):
        suite.read_predictions(None, None)


# --- names of models ---


def test_patterns_lists_and_names_become_models(tmp_path):
    (tmp_path / "models.txt").write_text("# ours\n\ntimm.test_resnet  weights/a.pth\ndinat_mini_imagenet\n")
    named = expanded(
        ["timm.test_vit*", f"@{tmp_path / 'models.txt'}", "timm.test_vit"], "none", ["classification"], ["timm"]
    )
    names = [each.name for each in named]
    assert names.count("timm.test_vit") == 1
    assert all(name.startswith("timm.test_vit") for name in names[:-2])
    assert named[-2:] == [Named("timm.test_resnet", "weights/a.pth"), Named("dinat_mini_imagenet", "none")]
    zoo = expanded(["nat_*"], None, ["classification"], [])
    assert [each.name for each in zoo] == sorted(f"nat_{size}_imagenet" for size in ("base", "mini", "small", "tiny"))


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("rcnet_gfl*x", InputError, "found no match"),
        ("timm.resnet18x", UnknownName, "no timm model is called"),
        ("timm.nothing*", InputError, "found no match"),
        ("@absent.txt", InputError, "absent.txt: expected a list of models"),
    ],
)
def test_names_without_a_model_are_errors(word, error, message):
    with pytest.raises(error, match=message):
        expanded([word], None, ["classification"], ["timm"])


# --- running ---


def test_one_prediction_pass_gives_several_kinds_of_numbers(tmp_path):
    suite, report = run(tmp_path / "out")
    assert suite.models["one"].batches == [[0, 1, 2], [3, 4, 5], [6]]
    assert report.tables["areas"] == [{"model": "one", "data": "first", "images": 7, "area": 42}]
    assert report.tables["counts"][0]["count"] == 6
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"areas.csv", "counts.csv", "report.json", "report.md", "blank.png", "results", "suite.json"}
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert stored["tables"] == report.tables
    page = (tmp_path / "out" / "report.md").read_text()
    assert "a note" in page
    assert "### What it measures" in page


def test_a_missing_data_set_and_an_unusable_model_are_one_line_each(tmp_path):
    _, report = run(tmp_path / "out", ["broken", "one", "small"])
    assert [row["model"] for row in report.tables["areas"]] == ["one"]
    assert report.notes[:3] == [
        "absent: not measured: data/absent: expected images, found none; see datasets/absent/README.md",
        "broken: not measured: broken: expected weights, found none released; train it",
        "small on first: not measured: it has 3 classes",
    ]
    with pytest.raises(CheckpointError):
        run(tmp_path / "other", ["broken"])
    with pytest.raises(RunFailed, match="it has 3 classes"):
        run(tmp_path / "third", ["small"])


def test_no_data_set_at_all_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Toy, "data_sets", lambda self: {"absent": self.absent})
    with pytest.raises(DataError, match="expected a data set of the suite, found none"):
        run(tmp_path / "out")


def test_results_are_kept_and_the_report_covers_all_models_of_the_folder(tmp_path):
    run(tmp_path / "out")
    suite, report = run(tmp_path / "out", ["one", "two"])
    assert suite.models["one"].batches == []
    assert [row["model"] for row in report.tables["areas"]] == ["one", "two"]


def test_a_model_with_other_weights_is_another_row(tmp_path):
    run(tmp_path / "out")
    suite = Toy(SuiteSettings(out=tmp_path / "out"))
    suite.models["one"] = ToyModel("one", "d1")
    report = run_suite("toy", suite, [Named("one")], batch_size=3)
    assert len(report.tables["areas"]) == 2


def test_a_limit_keeps_the_first_samples_and_a_later_run_adds_the_others(tmp_path):
    suite, report = run(tmp_path / "out", limit=4)
    assert report.tables["areas"][0]["images"] == 4
    assert suite.models["one"].batches == [[0, 1, 2], [3]]
    suite, report = run(tmp_path / "out")
    assert suite.models["one"].batches == [[3, 4, 5], [6]]
    assert report.tables["areas"][0]["area"] == 42


def test_incomplete_results_of_an_earlier_run_are_named_and_not_in_the_tables(tmp_path):
    run(tmp_path / "out", ["one"], limit=4)
    _, report = run(tmp_path / "out", ["two"])
    assert [row["model"] for row in report.tables["areas"]] == ["two"]
    assert "one.d0.jsonl on first: not in the tables: 4 of 7 images" in report.notes


def test_results_of_another_protocol_are_never_mixed(tmp_path):
    run(tmp_path / "out")
    with pytest.raises(InputError, match=r"expected results with mode 'a', as in suite\.json, found mode 'b'"):
        run(tmp_path / "out", mode="b")


def test_changed_data_and_a_used_folder_are_errors(tmp_path):
    run(tmp_path / "out")
    path = result_path(tmp_path / "out", "first", "one", "d0")
    path.write_text(path.read_text().replace('"i1"', '"x1"'))
    with pytest.raises(DataError, match="sample 2: expected id i1, as in the data set, found x1"):
        run(tmp_path / "out")
    with locked(tmp_path / "busy", "a suite"), pytest.raises(OutputError, match="no other run uses"):
        run(tmp_path / "busy")
    with pytest.raises(InputError, match="batch size 0"):
        run_suite("toy", Toy(SuiteSettings(out=tmp_path / "new")), [], batch_size=0)


# --- continuing ---

IDS = [f"i{number}" for number in range(10)]


def fill(path, predict, batch_size=4):
    return ResultFile(path, {"model": "m", "digest": "d"}).fill(IDS, predict, batch_size)


def test_a_file_cut_at_any_byte_gives_the_same_records(tmp_path):
    model = SimpleNamespace(calls=0)

    def predict(numbers):
        model.calls += 1
        return [{"value": number * number} for number in numbers]

    whole = fill(tmp_path / "whole.jsonl", predict)
    content = (tmp_path / "whole.jsonl").read_bytes()
    for size in range(0, len(content) + 1, 7):
        path = tmp_path / "cut.jsonl"
        path.write_bytes(content[:size])
        assert fill(path, predict) == whole
        assert path.read_bytes() == content
    assert model.calls > 3


def test_batches_after_a_kill_have_the_images_of_an_uninterrupted_run(tmp_path):
    batches = []

    def predict(numbers):
        batches.append(list(numbers))
        if len(batches) == 3:
            raise KeyboardInterrupt
        return [{} for _ in numbers]

    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "a.jsonl", predict)
    with open(tmp_path / "a.jsonl", "ab") as file:
        file.write(b'{"id": "i8", "val')
    records = fill(tmp_path / "a.jsonl", predict)
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [8, 9]]
    assert [record["id"] for record in records] == IDS
    assert read_results(tmp_path / "a.jsonl")[1] == records


def test_a_broken_line_names_file_and_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"model": "m"}\nnot json\n')
    with pytest.raises(DataError, match=r"a\.jsonl: line 1: expected a JSON object"):
        fill(tmp_path / "a.jsonl", lambda numbers: [])
    with pytest.raises(DataError, match="No such file"):
        read_results(tmp_path / "absent.jsonl")


def test_tables_of_a_report_show_nan_as_a_dash():
    rows = [{"a": 1, "b": float("nan")}, {"a": 2, "c": "x|y"}]
    assert table_text(rows).splitlines()[2:] == ["| 1 | - |  |", "| 2 |  | x\\|y |"]
