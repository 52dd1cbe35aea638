"""A suite is one file with a README beside it, also in a plugin: two kinds of numbers from one prediction pass."""

import json
import sys

import pytest

from visionzoo.cli.test import main
from visionzoo.errors import PluginError
from visionzoo.suites import suite_names, suite_of

SUITE = '''
"""Suite dots: areas and colours of drawn dots."""

from visionzoo.suites import Suite, SuiteData, SuiteModel, SuiteReport


class DotModel(SuiteModel):
    """A model that counts its passes."""

    passes = 0

    def __init__(self, name):
        self.name, self.digest = name, "0"

    def predict(self, data, numbers):
        DotModel.passes += 1
        return [{"area": number, "colour": number % 2} for number in numbers]


class Dots(Suite):
    """Areas and colours.

    Args:
        settings: settings that every suite receives.
        factor: factor of areas.
    """

    def __init__(self, settings, *, factor: int = 1):
        super().__init__(settings)
        self.factor = factor

    def protocol(self):
        return {"factor": self.factor}

    def data_sets(self):
        return {name: lambda name=name: SuiteData(name, [{"id": str(n)} for n in range(5)]) for name in ("old", "new")}

    def open_model(self, name, weights):
        return DotModel(name)

    def report(self, data, results):
        def row(model, **numbers):
            return {"model": model, **numbers}

        (old,), (new,) = results["old"], results["new"]
        sums = [self.factor * sum(record["area"] for record in each.records) for each in (old, new)]
        areas = [row(old.model, old=sums[0], new=sums[1])]
        colours = [row(old.model, new=sum(record["colour"] for record in new.records))]
        return SuiteReport({"areas": areas, "colours": colours}, shown=("areas", "colours"))
'''


@pytest.fixture
def dots(install, monkeypatch):
    files = {"suites/__init__.py": "", "suites/dot_sizes.py": SUITE, "suites/dot_sizes.md": "# Dots\n\nDots.\n"}
    site = install("dots_zoo", files)
    monkeypatch.syspath_prepend(str(site))
    yield site / "dots_zoo" / "suites"
    for name in [name for name in sys.modules if name.partition(".")[0] == "dots_zoo"]:
        del sys.modules[name]


def test_a_suite_of_a_plugin_is_one_file(dots, tmp_path, capsys):
    assert {"dot-sizes", "geo-shift"} <= set(suite_names())
    out = tmp_path / "out"
    assert main(["any", "--suite", "dot-sizes", "--set", "factor=2", "-o", str(out), "--batch-size", "5"]) == 0
    shown = capsys.readouterr().out
    assert "| any | 20 | 20 |" in shown
    assert "| any | 2 |" in shown
    assert json.loads((out / "report.json").read_text())["tables"]["colours"] == [{"model": "any", "new": 2}]
    assert suite_of("dot-sizes").open_model(None, "x", None).passes == 2  # one for each data set


def test_a_file_with_two_suites_is_an_error(dots):
    (dots / "two.py").write_text(SUITE + SUITE.replace("class Dots", "class Others").replace("DotModel", "OtherModel"))
    with pytest.raises(PluginError, match=r"dots_zoo\.suites\.two: expected one class of Suite, found 2"):
        suite_of("two")
