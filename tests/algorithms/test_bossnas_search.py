"""Whole searches: small ones, resumed ones, ones in two processes, and one at the paper's image size."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
import torch.nn.functional as F
from bossnas_toys import random_images, small_settings

from visionzoo.algorithms.bossnas import (
    SearchResult,
    SearchSettings,
    hytra_paths,
    paper_settings,
    read_best_paths,
    read_ranking,
    search,
    write_best_paths,
)
from visionzoo.algorithms.bossnas.search import _Search
from visionzoo.algorithms.bossnas.views import seeded
from visionzoo.backbones.bossnet import BossNet
from visionzoo.errors import ConfigError, DataError, OutputError, RunFailed, UnknownName

PROCESS = Path(__file__).with_name("bossnas_process.py")


def small_search(settings: SearchSettings, count: int = 16) -> SearchResult:
    images = random_images(count)
    return search(settings, train_images=images, val_images=images)


def epoch_losses(outcome: SearchResult, block: int) -> list[float]:
    return [loss for of, _, loss in outcome.losses if of == block]


# --------------------------------------------------------------------------- from start to end


def test_searches_two_blocks_and_what_it_finds_trains(tmp_path: Path) -> None:
    outcome = small_search(small_settings(tmp_path, batch_size=16), 64)
    for block in (0, 1):
        first, last = epoch_losses(outcome, block)
        assert -4 <= last < first <= 4
        (file,) = (tmp_path / "path_rank").glob(f"path_rank_{block}_*.yml")
        ranking = read_ranking(file)
        assert list(ranking.values()) == sorted(ranking.values())
        assert next(iter(ranking)) == "".join(map(str, outcome.best_paths[block]))
        assert len(list((tmp_path / "path_rank").glob(f"bestpath_{block}_1_*.yml"))) == 1
    assert len(read_ranking(next((tmp_path / "path_rank").glob("path_rank_0_*.yml")))) == 51
    summary = json.loads((tmp_path / "search.json").read_text())
    assert summary["finished"]
    assert summary["best_paths"] == [list(path) for path in outcome.best_paths]
    assert outcome.encoding is not None
    assert sum(map(len, outcome.encoding)) == 8
    _train_a_little(BossNet("tiny", encoding=outcome.encoding))


def _train_a_little(net: BossNet) -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(8, 3, 64, 64), torch.arange(8) % 2
    head = torch.nn.Linear(net.out_channels[-1], 2)
    optimizer, losses = torch.optim.AdamW([*net.parameters(), *head.parameters()], 1e-3), []
    for _ in range(8):
        loss = F.cross_entropy(head(net(images)[-1].mean((2, 3))), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
def test_searches_at_the_papers_image_size(tmp_path: Path) -> None:
    """Two blocks of two epochs over 64 random images of 224 pixels, less than five minutes."""
    settings = small_settings(
        tmp_path, batch_size=16, rating_images=8, space_options={"width": 8, "head_dim": 8, "image_size": 224}
    )
    outcome = small_search(settings, 64)
    for block in (0, 1):
        first, last = epoch_losses(outcome, block)
        assert last < first
        assert len(list((tmp_path / "path_rank").glob(f"path_rank_{block}_*.yml"))) == 1


@pytest.mark.slow
def test_rates_during_a_block_as_well(tmp_path: Path) -> None:
    outcome = small_search(small_settings(tmp_path, blocks=1, epochs=3, rate_every=2, rating_images=4), 8)
    named = sorted(file.name.split("_")[2] for file in (tmp_path / "path_rank").glob("bestpath_0_*.yml"))
    assert named == ["1", "2"]
    assert tuple(outcome.best_paths[0]) in hytra_paths(4)


def test_other_spaces_are_searched(tmp_path: Path) -> None:
    small: dict[str, Any] = dict(epochs=1, batch_size=4, rating_images=4)
    options: dict[str, Any] = {"image_size": 32}
    outcome = small_search(
        small_settings(tmp_path / "mbconv", space="mbconv", blocks=1, space_options=options, **small), 4
    )
    assert (len(outcome.best_paths), len(outcome.ranking), outcome.encoding) == (1, 16, None)
    options = {"projected_channels": 16}
    small = dict(epochs=1, blocks=1, batch_size=2, rating_images=2, views=1)
    nats = small_settings(tmp_path / "nats", space="nats_cifar10", space_options=options, **small)
    images = random_images(2, 32)
    outcome = search(nats, train_images=images, val_images=images)
    assert [len(path) for path in outcome.best_paths] == [2]
    assert len(outcome.ranking) == 64


def test_lists_of_images_are_searched(tmp_path: Path) -> None:
    names = [f"n0/{number}.png" for number in range(8)]
    (tmp_path / "n0").mkdir()
    for name, image in zip(names, random_images(8)):
        cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "list.txt").write_text("".join(f"{name} 0\n" for name in names))
    lines: list[str] = []
    settings = small_settings(
        tmp_path / "work", blocks=1, epochs=1, train_root=tmp_path, val_root=tmp_path,
        train_list=tmp_path / "list.txt", val_list=tmp_path / "list.txt",
    )  # fmt: skip
    outcome = search(settings, log=lines.append)
    assert len(outcome.losses) == 1
    assert lines[0].startswith("block 0, epoch 1 of 1: loss ")


@pytest.mark.slow
def test_a_searchs_chance_is_its_seed(tmp_path: Path) -> None:
    one, same, other = (
        small_search(
            small_settings(tmp_path / str(number), blocks=1, epochs=1, batch_size=4, rating_images=2, seed=seed), 4
        )
        for number, seed in enumerate((0, 0, 1))
    )
    assert one.losses == same.losses
    assert one.ranking == same.ranking
    assert one.losses != other.losses


def test_unused_paths_keep_their_weights(tmp_path: Path) -> None:
    """Neither weight decay nor the moving target changes an existing op that no sampled path uses."""
    images = random_images(8)
    running = _Search(small_settings(tmp_path, paths=1, weight_decay=0.1), images, images, print)
    running._begin_block()
    running.online.prepare(0, hytra_paths(4), [])
    running.target.prepare(0, hytra_paths(4), [])
    before = {name: value.clone() for name, value in running.pair.named_parameters()}
    for views in running._train_batches():
        running._train_step(views)
    path = running.online.sample(0, [], 1, seeded(0, "paths", 0, 0))[0]
    moved = {name for name, value in running.pair.named_parameters() if not torch.equal(before[name], value)}
    ops = {tuple(name.split(".")[4:7:2]) for name in moved if ".blocks.0." in name and ".ops." in name}
    assert ops == {(str(layer), str(op)) for layer, op in enumerate(path)}


# --------------------------------------------------------------------------- resuming


@pytest.mark.slow
def test_continues_from_a_file_of_best_paths(tmp_path: Path) -> None:
    small_search(small_settings(tmp_path / "first", blocks=1, epochs=1))
    (file,) = (tmp_path / "first" / "path_rank").glob("bestpath_0_*.yml")
    outcome = small_search(small_settings(tmp_path / "second", epochs=1, best_paths=str(file)))
    assert outcome.best_paths[0] == read_best_paths(file)[0]
    assert len(outcome.best_paths) == 2
    assert not list((tmp_path / "second" / "path_rank").glob("path_rank_0_*.yml"))
    assert len(list((tmp_path / "second" / "path_rank").glob("path_rank_1_*.yml"))) == 1


def test_a_path_that_the_space_does_not_have_is_named(tmp_path: Path) -> None:
    write_best_paths(tmp_path / "best.yml", [(0, 0, 0, 0)])
    with pytest.raises(DataError, match=r"expected a path of block 0, found \[0, 0, 0, 0\]"):
        small_search(small_settings(tmp_path, epochs=1, best_paths=tmp_path / "best.yml"))


def test_a_finished_search_is_not_done_again(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, blocks=1, epochs=1)
    first = small_search(settings)
    files = sorted(path.name for path in (tmp_path / "path_rank").iterdir())
    assert small_search(settings) == first
    assert sorted(path.name for path in (tmp_path / "path_rank").iterdir()) == files


def test_other_settings_are_not_resumed(tmp_path: Path) -> None:
    small_search(small_settings(tmp_path, blocks=1, epochs=1))
    with pytest.raises(ConfigError, match=r"found lr=2\.0 instead of 1\.0"):
        small_search(small_settings(tmp_path, blocks=1, epochs=1, lr=2.0))


class Interrupted(Exception):
    """Stand-in for anything that ends a process."""


@pytest.mark.slow
def test_searches_resume_from_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search ends before each of the four steps of two blocks, also in the middle of an accumulated update."""
    changes: dict[str, Any] = dict(epochs=1, update_interval=2, checkpoint_every=1, rating_images=4)
    whole = small_search(small_settings(tmp_path / "whole", **changes))
    train_step, left = _Search._train_step, [0]

    def train_step_or_end(self: _Search, views: torch.Tensor) -> None:
        if not left[0]:
            raise Interrupted
        left[0] -= 1
        train_step(self, views)

    monkeypatch.setattr(_Search, "_train_step", train_step_or_end)
    for _ in range(4):
        left[0] = 1
        with contextlib.suppress(Interrupted):
            resumed = small_search(small_settings(tmp_path / "parts", **changes))
    assert resumed == whole
    ours, theirs = (torch.load(tmp_path / name / "search.pth", weights_only=True) for name in ("parts", "whole"))
    assert list(ours["model"]) == list(theirs["model"])
    assert all(torch.equal(value, theirs["model"][name]) for name, value in ours["model"].items())


def run_process(*arguments: str | Path, ranks: int = 1) -> tuple[int, list[dict[str, Any]], str]:
    command = [sys.executable, str(PROCESS), *map(str, arguments)]
    if ranks > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
        command = [sys.executable, *launcher, *command[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done.returncode, reports, done.stderr


@pytest.mark.slow
def test_killed_searches_end_like_those_that_were_not(tmp_path: Path) -> None:
    """The search is killed in the first and in the second block, in the middle of an epoch and of an accumulation."""
    code, (whole,), errors = run_process(tmp_path / "whole")
    assert code == 0, errors
    assert whole["steps"] == 8
    for kill in (1, 4):  # the first process does 1 step, the second does 4
        code, reports, _ = run_process(tmp_path / "killed", "kill", kill)
        assert (code, reports) == (-signal.SIGKILL, [])
    code, (resumed,), errors = run_process(tmp_path / "killed")
    assert code == 0, errors
    assert resumed["steps"] == 3
    for name in ("best", "losses", "weights"):
        assert resumed[name] == whole[name]


@pytest.mark.slow
def test_two_processes_search_together(tmp_path: Path) -> None:
    code, reports, errors = run_process(tmp_path, ranks=2)
    assert code == 0, errors
    assert len(reports) == 2
    assert reports[0] == reports[1]
    assert reports[0]["steps"] == 8
    assert len(list((tmp_path / "path_rank").glob("path_rank_*.yml"))) == 2


# --------------------------------------------------------------------------- settings


def test_the_papers_settings_are_the_defaults() -> None:
    hytra, nats = paper_settings("hytra", "work"), paper_settings("nats_cifar10", "work", epochs=10)
    assert (hytra.epochs, hytra.paths, hytra.views, hytra.lr, hytra.update_interval) == (6, 4, 4, 4.8, 8)
    assert (nats.epochs, nats.views, nats.lr, nats.update_interval, nats.batch_size) == (10, 1, 0.48, 4, 256)
    with pytest.raises(UnknownName, match="did you mean 'hytra'"):
        paper_settings("hytr", "work")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1}, "batch_size: expected a whole number of at least 2, found 1"),
        ({"epochs": 0}, "epochs: expected a whole number of at least 1"),
        ({"paths": 1.5}, r"paths: expected a whole number of at least 1, found 1\.5"),
        ({"blocks": 0}, "blocks: expected a whole number of at least 1 or None, found 0"),
        ({"blocks": 5}, "blocks: expected at most the 4 of hytra, found 5"),
        ({"lr": 0}, "lr: expected a number of at least 1e-12, found 0"),
        ({"base_momentum": 1.5}, "base_momentum: expected a number of at least 0 and at most 1"),
        ({"rating_images": 0}, "rating_images: expected a whole number of at least 1 or None, found 0"),
        ({"rating_images": "x"}, "rating_images: expected a whole number of at least 1 or None, found 'x'"),
        ({"epochs": True}, "epochs: expected a whole number"),
        ({"seed": -1}, "seed: expected a whole number of at least 0"),
        ({"lr": float("nan")}, "lr: expected a number"),
        ({"views": 10**9}, "views: expected a whole number of at least 1 and at most 1000"),
        ({"space_options": 3}, "space_options: expected options of the space by name, found 3"),
        ({"train_root": None}, "train_root: expected a path, found None"),
        ({"train_prefix": "no"}, "train_prefix: expected True or False, found 'no'"),
        ({"space_options": {"width": "x"}}, "width"),
        ({"space_options": {"image_size": 33}}, "image_size"),
        ({"update_interval": 99}, "update_interval: expected at most the 4 steps of a block, found 99"),
        ({"batch_size": 17}, "expected at most 16 for 16 images and 1 processes, found 17"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small_search(small_settings(tmp_path, **changes))


def test_unknown_spaces_and_missing_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'mbconv'"):
        small_search(small_settings(tmp_path, space="mbcon"))
    with pytest.raises(UnknownName, match="did you mean 'width'"):
        small_search(small_settings(tmp_path, space_options={"widths": 8}))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose another folder"):
        small_search(small_settings(tmp_path / "file" / "work"))
    with pytest.raises(DataError, match="expected a list of images"):
        search(small_settings(tmp_path, train_list=tmp_path / "none.txt"))


def test_an_exploding_loss_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="expected a finite loss, found nan; lower the learning rate"):
        small_search(small_settings(tmp_path, blocks=1, lr=1e30))
