"""Paths, the networks that they encode, their files, and the comparison of ratings."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise, permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch

from visionzoo.algorithms.bossnas import (
    architecture_score,
    encoding_from_best_paths,
    hytra_paths,
    nats_architecture,
    rating_correlations,
    read_best_paths,
    read_ranking,
    write_best_paths,
    write_ranking,
)
from visionzoo.algorithms.bossnas.paths import distinct_paths, every_path, fair_paths, scale_of
from visionzoo.backbones.bossnet import BossNet
from visionzoo.errors import ConfigError, DataError

# Ops that spell T0, four layers at a time.
SEARCHED = [(5, 4, 3, 3), (3, 2, 3, 0), (0, 0, 1, 0), (0, 0, 0, 0)]


# --------------------------------------------------------------------------- paths of a space


@pytest.mark.parametrize(("depth", "restricted", "free"), [(4, 51, 131), (3, 99, 115), (2, 80, 80), (1, 16, 16)])
def test_path_counts_are_the_papers(depth: int, restricted: int, free: int) -> None:
    assert len(hytra_paths(depth)) == restricted
    assert len(hytra_paths(depth, restricted=False)) == free


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_paths_are_all_that_the_rule_allows(depth: int) -> None:
    """The result equals the filtered list of all combinations of ops, in any order."""
    allowed = set()
    for path in product(range(6), repeat=4):
        scales = [scale_of(op) for op in path]
        falls = [before - after for before, after in pairwise(scales)]
        if set(falls) <= {0, 1} and max(0, depth - 2) <= scales[0] < depth:
            allowed.add(path)
    paths = hytra_paths(depth)
    assert set(paths) == allowed
    assert len(paths) == len(allowed)


@pytest.mark.parametrize("depth", [0, 5])
def test_unknown_depths_are_named(depth: int) -> None:
    with pytest.raises(ConfigError, match=f"expected 1 to 4 scales, found {depth}"):
        hytra_paths(depth)


# --------------------------------------------------------------------------- sampling


def test_sampled_paths_are_different_and_equally_likely() -> None:
    candidates, draw = hytra_paths(1), torch.Generator().manual_seed(0)
    drawn = [distinct_paths(candidates, 4, draw) for _ in range(2000)]
    assert all(len(set(paths)) == 4 for paths in drawn)
    counts = Counter(path for paths in drawn for path in paths)
    assert set(counts) == set(candidates)
    assert all(abs(count - 500) < 100 for count in counts.values())
    assert len(distinct_paths(candidates, 99, draw)) == 16


def test_fair_paths_use_every_op_once_in_every_layer() -> None:
    draw = torch.Generator().manual_seed(0)
    drawn = [fair_paths(3, 2, draw) for _ in range(300)]
    for paths in drawn:
        assert all(sorted(ops) == [0, 1, 2] for ops in zip(*paths))
    orders = Counter(tuple(path[1] for path in sorted(paths)) for paths in drawn)
    assert set(orders) == set(permutations(range(3)))
    assert len(every_path(4, 4)) == 256


# --------------------------------------------------------------------------- networks of paths


def test_the_searched_paths_define_t0() -> None:
    with torch.device("meta"):
        t0 = BossNet("T0").design.encoding
    assert encoding_from_best_paths(SEARCHED) == t0


def test_scales_without_layers_are_empty_stages() -> None:
    encoding = encoding_from_best_paths([(4, 3, 2, 0), (1, 1, 0, 0)])
    assert encoding == ((), (1,), (1, 0), (0, 1, 1, 0, 0))
    assert BossNet("tiny", encoding=encoding).out_strides == (8, 16, 32, 64)


@pytest.mark.parametrize("paths", [[], [(3, 3, 1, 1), (3, 1, 1, 1)], [(0, 0, 2, 0)]])
def test_paths_that_rise_define_no_network(paths: list[tuple[int, ...]]) -> None:
    with pytest.raises(ConfigError, match="expected scales that fall"):
        encoding_from_best_paths(paths)


def test_unknown_ops_are_named() -> None:
    with pytest.raises(ConfigError, match="expected an op from 0 to 5, found 6"):
        encoding_from_best_paths([(6, 0, 0, 0)])


# --------------------------------------------------------------------------- files


def test_rankings_make_the_round_trip_best_first(tmp_path: Path) -> None:
    write_ranking(tmp_path / "rank.yml", {(5, 4, 3, 3): -3.25, (0, 0, 0, 1): -3.5, (1, 0, 0, 0): 1.0})
    assert list(read_ranking(tmp_path / "rank.yml").items()) == [("0001", -3.5), ("5433", -3.25), ("1000", 1.0)]
    assert "!!python/tuple" in (tmp_path / "rank.yml").read_text()


def test_best_paths_make_the_round_trip(tmp_path: Path) -> None:
    write_best_paths(tmp_path / "best.yml", SEARCHED)
    assert read_best_paths(tmp_path / "best.yml") == SEARCHED


def test_the_authors_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "path_rank_0.yml"
    file.write_text("- !!python/tuple\n  - '11'\n  - -3.175864782333374\n- !!python/tuple\n  - '10'\n  - -3\n")
    assert read_ranking(file) == {"11": -3.175864782333374, "10": -3.0}


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['true']",
        "- !!python/name:os.system",
        "- !!python/tuple [!!python/object/new:tuple [[1]], 2]",
        "[1, 2",
        "\0",
    ],
)
def test_files_contain_only_data(tmp_path: Path, text: str) -> None:
    file = tmp_path / "path_rank_0.yml"
    file.write_text(text)
    for read in (read_ranking, read_best_paths):
        with pytest.raises(DataError, match="expected plain YAML with tuples"):
            read(file)


@pytest.mark.parametrize("text", ["{a: 1}", "- [1, 2]", "- !!python/tuple ['11', x]", "- !!python/tuple ['11']", "3"])
def test_files_of_other_things_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "rank.yml").write_text(text)
    with pytest.raises(DataError, match=r"expected a list of \(path, score\)"):
        read_ranking(tmp_path / "rank.yml")


@pytest.mark.parametrize("text", ["{a: 1}", "- 3", "- [1, x]", "- [1, -2]", "- []", "- [true]"])
def test_files_of_other_things_than_paths_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "best.yml").write_text(text)
    with pytest.raises(DataError, match="expected a list of paths"):
        read_best_paths(tmp_path / "best.yml")


def test_missing_and_doubled_entries_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a readable file, found No such file"):
        read_ranking(tmp_path / "none.yml")
    (tmp_path / "rank.yml").write_text("- ['1', 2.0]\n- ['1', 3.0]\n")
    with pytest.raises(DataError, match="expected every path once, found 1 twice"):
        read_ranking(tmp_path / "rank.yml")


# --------------------------------------------------------------------------- ratings


def test_scores_are_sums_of_shifted_losses() -> None:
    rankings = [{"01": -3.17586, "10": -3.0}, {"2": -2.5}]
    assert architecture_score([(0, 1), (2,)], rankings) == 2.3241
    with pytest.raises(DataError, match=r"block 0's ranking has \(2 of them\), found '11'"):
        architecture_score([(1, 1), (2,)], rankings)
    with pytest.raises(DataError, match="each of the 2 blocks, found 1"):
        architecture_score([(0, 1)], rankings)


def test_correlations_are_their_definitions() -> None:
    """Correlations are written out, with ties, over a few numbers."""
    x, y = [1.0, 2.0, 2.0, 4.0, 3.0, 0.5], [3.0, 2.0, 2.5, 1.0, 1.0, 3.5]
    correlations = rating_correlations(x, y)
    pairs = [(i, j) for i in range(6) for j in range(i)]
    sx, sy = (np.array([np.sign(v[i] - v[j]) for i, j in pairs]) for v in (x, y))
    assert correlations.kendall == pytest.approx((sx * sy).sum() / math.sqrt((sx**2).sum() * (sy**2).sum()))
    ranks = [np.array([sum(b < a for b in v) + (v.count(a) + 1) / 2 for a in v]) for v in (x, y)]
    assert correlations.spearman == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert correlations.pearson == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert all(value < 0 for value in correlations)


def test_constant_scores_have_no_correlation() -> None:
    assert all(math.isnan(value) for value in rating_correlations([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))
    with pytest.raises(DataError, match="found 2 and 3"):
        rating_correlations([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="at least two, found 1 and 1"):
        rating_correlations([1.0], [1.0])


def test_nats_names_are_paths() -> None:
    assert nats_architecture("8:64:16:24:32") == ((0, 7), (1, 2), (3,))
    for wrong in ("8:64:16:24", "8:64:16:24:12", ""):
        with pytest.raises(DataError, match="expected five widths"):
            nats_architecture(wrong)
