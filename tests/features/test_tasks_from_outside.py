"""A task from an external package works with every command, without any change of the zoo.

The packages are in ``outside``. Each is copied to a temporary folder with one entry point, and every command runs in
a process that has this folder on its path.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

OUTSIDE = Path(__file__).parent / "outside"


class Plugin:
    """A package with one entry point in its own folder, and the commands that run with it."""

    def __init__(self, folder: Path, package: str):
        self.folder, self.package = folder, folder / package
        shutil.copytree(OUTSIDE / package, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        info = folder / f"{package}-0.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.0\n")
        (info / "entry_points.txt").write_text(f"[visionzoo.plugins]\ntoy = {package}\n")

    def run(self, *words: str) -> subprocess.CompletedProcess:
        """Run ``visionzoo WORDS`` in the folder."""
        paths = [str(self.folder), *filter(None, sys.path)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "visionzoo", *words]
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300)

    def done(self, *words: str) -> str:
        """Run a command that must succeed, and return its stdout."""
        outcome = self.run(*words)
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        return outcome.stdout

    def lines(self, out: str) -> list[dict]:
        text = (self.folder / out / "predictions.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def rows(self, out: str) -> list[dict]:
        with open(self.folder / out / "predictions.csv", encoding="utf-8") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def registration(tmp_path_factory):
    plugin = Plugin(tmp_path_factory.mktemp("outside"), "toy_registration")
    plugin.done("train", "toy_pairs", "--tiny", "-q", "-o", "run")
    return plugin


@pytest.fixture(scope="module")
def referring(tmp_path_factory):
    plugin = Plugin(tmp_path_factory.mktemp("outside"), "toy_referring")
    plugin.done("train", "toy_phrases", "--tiny", "-q", "-o", "run")
    return plugin


@pytest.mark.slow
def test_volumes_are_checked_listed_and_tested(registration):
    registration.done("config", "check", "toy_pairs")
    assert "toy_pairs" in registration.done("list", "--task", "toy_registration")
    registration.done("test", "toy_pairs", "--tiny", "--weights", "run", "-q", "-o", "tested")
    assert list((registration.folder / "run").glob("best_toy_shift_MAE_*"))


def test_a_misspelt_task_suggests_the_nearest(registration):
    text = (registration.package / "configs" / "toy_pairs.py").read_text()
    (registration.package / "configs" / "wrong.py").write_text(text.replace('"toy_registration"', '"toy_registratoin"'))
    outcome = registration.run("config", "check", "wrong")
    (registration.package / "configs" / "wrong.py").unlink()
    assert outcome.returncode != 0
    assert "did you mean toy_registration?" in outcome.stdout + outcome.stderr


def test_a_pair_of_volumes_returns_a_number_and_an_image(registration):
    volume = np.random.RandomState(0).rand(6, 8, 10).astype(np.float32)
    np.save(registration.folder / "a.npy", volume)
    np.save(registration.folder / "b.npy", np.roll(volume, 2, axis=2))
    inputs = ("--fixed", "a.npy", "--moving", "b.npy")
    registration.done("infer", "toy_pairs", *inputs, "--tiny", "--weights", "run", "-q", "-o", "one")
    (line,) = registration.lines("one")
    assert (line["input"], line["fixed"], line["moving"]) == ("a-b", "a.npy", "b.npy")
    assert (line["size"], line["task"]) == ([6, 8, 10], "toy_registration")
    assert set(line["result"]) == {"shift", "difference"}
    assert not list((registration.folder / "one" / "raw").glob("*.txt"))
    (row,) = registration.rows("one")
    assert list(row) == ["input", "fixed", "moving", "shift"]
    assert float(row["shift"]) == line["result"]["shift"]
    difference = np.asarray(Image.open(registration.folder / "one" / line["result"]["difference"]))
    truth = np.abs(volume[3] - np.roll(volume, 2, axis=2)[3])
    assert np.abs(difference - 255 * truth).max() <= 1
    assert Image.open(registration.folder / "one" / "vis" / "a-b.png").size == (40, 32)


def test_only_the_bad_pair_of_a_list_is_reported(registration):
    for name, shape in (("c", (6, 8, 10)), ("d", (6, 8, 9))):
        np.save(registration.folder / f"{name}.npy", np.zeros(shape, np.float32))
    (registration.folder / "pairs.csv").write_text("fixed,moving\nc.npy,c.npy\nc.npy,d.npy\nnone.npy,c.npy\n")
    words = ("infer", "toy_pairs", "--pairs", "pairs.csv", "--tiny", "--weights", "run", "--batch-size", "2")
    outcome = registration.run(*words, "--vis", "none", "-o", "many")
    assert outcome.returncode == 1
    good, wrong, missing = registration.lines("many")
    assert "result" in good
    assert "c-d: expected shape (6, 8, 10), found (6, 8, 9)" in wrong["error"]
    assert "none-c: expected two volumes" in missing["error"]


def test_inputs_of_images_are_refused_by_a_task_of_volumes(registration):
    outcome = registration.run("infer", "toy_pairs", "a.jpg", "--tiny", "--weights", "none")
    assert outcome.returncode == 2
    assert "--fixed" in registration.done("infer", "toy_pairs", "--help")


def test_a_phrase_decides_what_is_found(referring):
    image = np.full((12, 16, 3), 20, np.uint8)
    image[:, :8, 0] = image[:, 8:, 1] = 220
    Image.fromarray(image).save(referring.folder / "halves.png")
    maps = {}
    for phrase in ("the RED half", "the green half"):
        out = phrase.split()[1]
        words = ("infer", "toy_phrases", "halves.png", "--text", phrase, "--weights", "run", "-q", "-o", out)
        referring.done(*words)
        (line,) = referring.lines(out)
        (row,) = referring.rows(out)
        assert (line["phrase"], row["phrase"], line["size"]) == (phrase, phrase, [16, 12])
        maps[out] = np.asarray(Image.open(referring.folder / out / line["result"]["map"]))
    assert maps["RED"].shape == (12, 16)
    assert not np.array_equal(maps["RED"], maps["green"])


def test_a_phrase_is_required(referring):
    outcome = referring.run("infer", "toy_phrases", "halves.png", "--weights", "none")
    assert outcome.returncode == 2
    assert "--text" in outcome.stderr


def test_phrases_are_checked_and_tested(referring):
    referring.done("config", "check", "toy_phrases")
    referring.done("test", "toy_phrases", "--tiny", "--weights", "run", "-q", "-o", "tested")
    assert list((referring.folder / "run").glob("best_toy_overlap_IoU_*"))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("registration", "toy_pairs"), ("referring", "toy_phrases")])
def test_cards_from_outside_are_recorded_and_verified(kind, name, request):
    plugin = request.getfixturevalue(kind)
    assert "FAILED" in plugin.run("cards", "verify", name).stdout  # nothing is recorded yet
    plugin.done("cards", "record", name)
    verified = plugin.done("cards", "verify", name, "--tier", "slow")
    assert "7 of 7 checks passed" in verified
    card = plugin.package / "model_cards" / f"{name}.md"
    text = card.read_text()
    card.write_text(text.replace("params: ", "params: 1"))
    outcome = plugin.run("cards", "verify", name)
    card.write_text(text)
    assert outcome.returncode == 1
    assert "compute.params" in outcome.stdout
