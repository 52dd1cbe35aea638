"""``visionzoo search``: a tiny search from the command line, and the network that it returns."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest

from visionzoo.algorithms.bossnas import read_best_paths, write_best_paths
from visionzoo.cli.search import main

QUICK = ["blocks=1", "epochs=1", "batch_size=8", "rating_images=4", "rating_batch_size=4"]

WHOLE = {
    2: [(5, 4, 3, 3), (3, 2, 3, 0), (0, 0, 0, 0), (0, 0, 0, 0)],
    10: [(5, 4, 3, 3), (3, 2, 3, 0), (1, 0, 0, 0), (0, 0, 0, 0)],
}


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
    assert report["encoding"] is None  # of one block of four
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
    folder, _, _ = searched
    assert main(["encoding", str(folder), "--json"]) == 2
    assert f"{folder}: 1 of 4 blocks has a best path; let the search finish" in capsys.readouterr().err
    (tmp_path / "path_rank").mkdir()
    for number in (2, 10):  # in the order of epochs, not of letters or dates
        write_best_paths(tmp_path / "path_rank" / f"bestpath_3_{number}_11-28-10-31-07.yml", WHOLE[number])
    for source in (tmp_path, tmp_path / "path_rank" / "bestpath_3_10_11-28-10-31-07.yml"):
        assert main(["encoding", str(source)]) == 0
        shown = capsys.readouterr()
        assert shown.out == "encoding: [[1], [1], [1, 1, 1, 0, 1], [0, 1, 0, 0, 0, 0, 0, 0, 0]]\n"
        assert 'train bossnet_t0_imagenet --cfg-options "model.backbone.encoding=[[1], [1]' in shown.err


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (WHOLE[10][:1], "1 of 4 blocks has a best path; let the search finish"),
        (WHOLE[10][:3], "3 of 4 blocks have a best path; let the search finish"),
        ([*WHOLE[10], (0, 0, 0, 0)], "expected the best paths of HyTra's 4 blocks, found 5"),
        ([*WHOLE[10][:3], (0, 0, 0)], "block 3: expected a path of 4 ops at 2 scales that fall by at most one"),
        ([*WHOLE[10][:3], (0, 0, 0, 6)], "block 3: expected a path of 4 ops"),
        ([(0, 0, 0, 0), (3, 3, 3, 3), (0, 0, 0, 0), (0, 0, 0, 0)], "expected scales that fall"),
        ([*WHOLE[10][:3], (4, 4, 4, 4)], "block 3: expected a path of 4 ops"),
    ],
)
def test_paths_of_no_whole_network_are_refused(paths, message, tmp_path, capsys):
    write_best_paths(tmp_path / "best.yml", paths)
    assert main(["encoding", str(tmp_path / "best.yml")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("summary", ['{"finished": false}', "{}", "[" * 9999, "3", ""])
def test_an_unfinished_search_of_all_blocks_is_refused(summary, tmp_path, capsys):
    (tmp_path / "path_rank").mkdir()
    write_best_paths(tmp_path / "path_rank" / "bestpath_3_1_11-28-10-31-07.yml", WHOLE[10])
    (tmp_path / "search.json").write_text(summary)
    assert main(["encoding", str(tmp_path)]) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.slow
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
        (["bossnas", "--tiny", "--cfg-options", "rating_images=-1"], "rating_images: expected a whole number"),
        (["bossnas", "--tiny", "--cfg-options", "epochs=x"], "epochs: expected a whole number"),
        (["bossnas", "--tiny", "--cfg-options", "space_options=3", "blocks=1"], "space_options: expected options"),
        (["encoding", "none.yml"], "none.yml: expected a readable file"),
        (["encoding", "."], "expected path_rank/bestpath_*.yml of a search, found none"),
    ],
)
def test_wrong_use_is_reported(given, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(given) == 2
    output = capsys.readouterr()
    assert message in output.out + output.err
