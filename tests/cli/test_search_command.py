"""``visionzoo search``: a tiny search from the command line, and the network that it returns."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest

from visionzoo.algorithms.bossnas import read_best_paths, write_best_paths
from visionzoo.cli.search import main

QUICK = ["blocks=1", "epochs=1", "batch_size=8", "rating_images=4", "rating_batch_size=4"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Return the folder of a search of one block, its output, and its log."""
    folder, out, err = tmp_path_factory.mktemp("search") / "work", io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert main(["bossnas", "--tiny", "-o", str(folder), "--json", "--cfg-options", *QUICK]) == 0
    return folder, out.getvalue(), err.getvalue()


def test_a_search_writes_its_ranking_and_prints_its_result(searched):
    folder, out, err = searched
    report = json.loads(out)
    best = max(folder.glob("path_rank/bestpath_*.yml"))
    assert [list(path) for path in read_best_paths(best)] == report["best_paths"]
    assert report["out"] == str(folder)
    assert len(list(folder.glob("path_rank/path_rank_0_*.yml"))) == 1
    assert len(report["encoding"]) == 4
    assert sum(map(len, report["encoding"])) == 4
    assert "block 0, epoch 1 of 1: loss" in err


def test_the_same_command_resumes(searched, capsys):
    folder, _, _ = searched
    assert main(["bossnas", "--tiny", "-o", str(folder), "--json", "--cfg-options", *QUICK]) == 0
    output = capsys.readouterr()
    assert "resumed at block 1" in output.err
    assert "loss" not in output.err
    assert main(["bossnas", "--tiny", "-o", str(folder), "--cfg-options", *QUICK, "lr=0.5"]) == 2
    assert "expected the settings of the search to resume, found lr=0.5" in capsys.readouterr().err


def test_paths_define_an_encoding(searched, tmp_path, capsys):
    """The paths come from a folder or from a file; the output includes the command that trains the network."""
    folder, out, _ = searched
    assert main(["encoding", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["encoding"] == json.loads(out)["encoding"]
    file = tmp_path / "bestpath.yml"
    write_best_paths(file, [(5, 4, 3, 3), (3, 2, 3, 0)])
    assert main(["encoding", str(file)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "encoding: [[1], [1], [1, 1, 1, 0, 1], [0]]\n"
    assert 'train bossnet_t0_imagenet --cfg-options "model.backbone.encoding=[[1], [1]' in shown.err


def test_other_spaces_are_drawn_too(tmp_path, capsys):
    options = ["batch_size=4", "rating_images=2", "rating_batch_size=2", "blocks=1"]
    given = ["bossnas", "--tiny", "--space", "nats_cifar10", "-o", str(tmp_path / "nats"), "-q", "--cfg-options"]
    assert main([*given, *options]) == 0
    assert capsys.readouterr().out.startswith("best paths: [[")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "usage: visionzoo search"),
        (["bosnas"], "no search is called 'bosnas'; did you mean bossnas?"),
        (["bossnas", "--space", "hytr"], "did you mean 'hytra'"),
        (["bossnas", "--cfg-options", "epoch=2"], "did you mean 'epochs'"),
        (["bossnas", "--cfg-options", "epochs.x=2"], "no setting of the search is called 'epochs.x'"),
        (["bossnas", "--cfg-options", "train_root=none"], "none: expected a folder with images"),
        (["bossnas", "--device", "gpu"], "--device: expected auto, cpu"),
        (["encoding", "none.yml"], "none.yml: expected a readable file"),
        (["encoding", "."], "expected path_rank/bestpath_*.yml of a search, found none"),
    ],
)
def test_wrong_use_is_reported(given, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(given) == 2
    output = capsys.readouterr()
    assert message in output.out + output.err
