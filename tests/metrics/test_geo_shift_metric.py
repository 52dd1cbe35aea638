"""Correctness at k, groups, disparities, progress and bootstrap of geographic shift."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionzoo.errors import ConfigError, DataError
from visionzoo.metrics.geo_shift import (
    GeoShiftMetric,
    Group,
    Resamples,
    best_worst,
    correct_at,
    country_gap,
    crossed,
    effective_robustness,
    europe_africa,
    fit_line,
    groups_of,
    interval_of,
    note_on_empty,
    padded_labels,
    paired_difference,
    progress_gap,
    progress_ratio,
    top_k,
)
from visionzoo.metrics.geo_shift.disparities import spread
from visionzoo.metrics.geo_shift.groups import sides
from visionzoo.metrics.geo_shift.progress import logit

REGIONS = ["Africa", "Europe", "WestAsia"]


def slow_top(row, k):
    """Return the k best classes by definition: of equal scores the lower index first, nan after all others."""
    keyed = [-math.inf if math.isnan(value) else value for value in row]
    return sorted(range(len(row)), key=lambda at: (-keyed[at], at))[:k]


# --- top k ---


def test_equal_scores_rank_by_index():
    scores = np.array([[1.0, 2.0, 2.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert top_k(scores, 4).tolist() == [[1, 2, 4, 0], [0, 1, 2, 3]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_equals_the_definition_for_few_values_and_many_ties(dtype):
    scores = np.random.default_rng(0).integers(-3, 4, (301, 11)).astype(dtype)
    assert top_k(scores, 5).tolist() == [slow_top(row, 5) for row in scores.tolist()]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 1.0, math.inf, math.nan]), min_size=6, max_size=6),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 6),
)
def test_infinite_and_nan_scores_rank_last_by_index(rows, k):
    expected = [slow_top(row, k) for row in rows]
    scores = np.array(rows)
    before = scores.copy()
    assert top_k(scores, k).tolist() == expected
    assert np.array_equal(scores, before, equal_nan=True)


@pytest.mark.parametrize(("shape", "k"), [((3, 4), 5), ((3, 4), 0), ((4,), 1)])
def test_too_few_classes_are_an_error(shape, k):
    with pytest.raises(DataError, match="at least"):
        top_k(np.zeros(shape), k)


def test_any_label_counts_and_padding_never_does():
    labels = padded_labels([[7], [1, 5, 9], [0]])
    top = np.array([[7, 0], [0, 9], [1, 2]])
    assert labels.tolist() == [[7, -1, -1], [1, 5, 9], [0, -1, -1]]
    assert correct_at(top, labels).tolist() == [[True, True], [False, True], [False, False]]
    assert not correct_at(np.array([[-1, -1]]), np.array([[3, -1]])).any()


@pytest.mark.parametrize(("labels", "word"), [([[1], []], "no label"), ([[1], [-1]], "a negative index")])
def test_errors_of_labels_name_the_row(labels, word):
    with pytest.raises(DataError, match=rf"^labels of b\.jpg: .*{word}"):
        padded_labels(labels, ["a.jpg", "b.jpg"])


def test_other_numbers_of_rows_are_an_error():
    with pytest.raises(DataError, match="expected 2 rows"):
        correct_at(np.zeros((3, 1)), np.zeros((2, 1)))


def test_batches_and_order_do_not_change_a_number():
    rng = np.random.default_rng(1)
    logits, of = rng.standard_normal((257, 40), dtype=np.float32), rng.choice(REGIONS, 257)
    labels = [rng.choice(40, rng.integers(1, 5), replace=False).tolist() for _ in range(257)]
    whole = correct_at(top_k(logits, 5), padded_labels(labels))
    parts = [correct_at(top_k(logits[a : a + 13], 5), padded_labels(labels[a : a + 13])) for a in range(0, 257, 13)]
    assert np.array_equal(whole, np.concatenate(parts))
    order = rng.permutation(257)
    for k in (0, 4):
        assert groups_of(whole[order, k], of[order]) == groups_of(whole[:, k], of)


# --- groups ---


def test_a_region_without_images_is_nan_and_noted_and_left_out():
    groups = groups_of(np.array([True, False, True]), ["Europe", "Europe", "WestAsia"], REGIONS)
    assert math.isnan(groups[0].accuracy)
    assert groups[1].accuracy == 0.5
    assert note_on_empty(groups, "region").startswith("region Africa: no image")
    assert note_on_empty(groups[1:], "region") == ""
    assert (best_worst(groups).value, best_worst(groups).high, best_worst(groups).low) == (0.5, "WestAsia", "Europe")
    assert math.isnan(europe_africa(groups).value)
    assert math.isnan(best_worst(groups[:2]).value)


def test_an_unknown_region_is_an_error():
    with pytest.raises(DataError, match="found Atlantis"):
        groups_of(np.array([True]), ["Atlantis"], REGIONS)


def test_both_disparities_differ_if_the_extremes_are_other_regions():
    groups = [Group("Africa", 10, 5), Group("Europe", 10, 7), Group("EastAsia", 10, 9), Group("Americas", 10, 2)]
    assert best_worst(groups).value == pytest.approx(0.7)
    assert europe_africa(groups).value == pytest.approx(0.2)
    assert spread(np.array([[0.5, 0.7, 0.9, 0.2]]))[0] == pytest.approx(0.7)


def test_pairs_of_groups_leave_out_images_without_one():
    of = crossed(["asia", "asia", ""], ["Q1", "", "Q2"])
    assert groups_of(np.array([True, True, True]), of) == [Group("asia | Q1", 1, 1)]


def test_country_quantiles_are_linear_and_strict():
    countries = [Group(f"c{at}", 10, at) for at in range(11)]  # accuracies 0, 0.1, ... 1; the quantile 0.1 is 0.1
    gap = country_gap(countries, 0.1)
    assert (gap.best, gap.worst, gap.gap) == (("c10",), ("c0",), 1.0)
    wide = country_gap(countries, 0.25)  # quantiles 0.25 and 0.75
    assert (wide.best, wide.worst) == (("c8", "c9", "c10"), ("c0", "c1", "c2"))
    assert wide.gap == pytest.approx(0.8)


def test_small_countries_are_counted_and_left_out():
    countries = [Group("small", 9, 0), Group("a", 10, 1), Group("b", 50, 40), Group("c", 10, 5)]
    gap = country_gap(countries, 0.25)
    assert (gap.left_out, gap.countries, gap.worst, gap.best) == (1, 3, ("a",), ("b",))
    assert country_gap(countries, 0.25, least=1).worst == ("small",)


def test_sides_of_resamples_leave_out_nan_row_by_row():
    rows = np.array([[0.1, 0.2, 0.3, 0.4], [0.1, np.nan, 0.3, 0.9], [np.nan] * 4])
    best, worst = sides(rows, 0.25)
    assert best.tolist() == [[False, False, False, True], [False, False, False, True], [False] * 4]
    assert worst.tolist() == [[True, False, False, False], [True, False, False, False], [False] * 4]


def test_an_empty_side_is_nan():
    assert math.isnan(country_gap([Group("a", 10, 5), Group("b", 20, 10)], 0.05).gap)
    assert math.isnan(country_gap([Group("a", 3, 1)], 0.05).gap)
    with pytest.raises(DataError, match=r"below 0\.5"):
        country_gap([], 0.5)


# --- progress ---


def test_lines_leave_out_nan_and_are_nan_without_two_values():
    line = fit_line([0.1, 0.2, 0.3, np.nan], [0.2, 0.4, 0.6, 9.0])
    assert (line.slope, line.models) == (pytest.approx(2.0), 3)
    assert line.r == pytest.approx(1.0)
    assert math.isnan(fit_line([0.5, 0.5], [0.1, 0.2]).slope)
    constant = fit_line([0.1, 0.2], [0.3, 0.3])
    assert constant.slope == 0
    assert math.isnan(constant.r)
    with pytest.raises(DataError, match="found 1"):
        fit_line([0.1, 0.2], [0.3])


def test_ratio_and_gap_of_progress():
    standard, geographic = fit_line([0, 1], [0, 1]), fit_line([0, 1], [0, 0.4])
    assert progress_ratio(standard, geographic) == pytest.approx(2.5)
    assert progress_gap(standard, geographic) == pytest.approx(0.6)
    assert math.isnan(progress_ratio(standard, fit_line([0, 1], [1, 1])))


def test_accuracies_of_0_and_1_are_clipped_before_the_logit():
    assert logit([0.0, 1.0]).tolist() == pytest.approx([-math.log(999999), math.log(999999)])
    found = effective_robustness([0.0, 0.5, 1.0], [0.0, 0.5, 1.0], [True, True, True])
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1e-5
    assert np.isnan(effective_robustness([0.5, 0.6], [0.5, 0.6], [True, False])).all()


# --- bootstrap ---


def test_resamples_equal_a_loop_over_drawn_units():
    rng = np.random.default_rng(5)
    units, groups = rng.choice(list("abcdef"), 40).tolist(), rng.integers(-1, 3, 40)
    correct = rng.random(40) < 0.5
    found = Resamples(units, repeats=20, seed=3).accuracies(correct, groups, 3)
    names = sorted(set(units))
    draws = np.random.default_rng(3).integers(len(names), size=(20, len(names)))
    for row, draw in enumerate(draws):
        rows = [at for unit in draw for at in range(40) if units[at] == names[unit]]
        for group in range(3):
            hits = [correct[at] for at in rows if groups[at] == group]
            expected = np.mean(hits) if hits else np.nan
            assert found[row, group] == pytest.approx(expected, nan_ok=True)


def test_intervals_are_seeded_and_blind_to_order():
    rng = np.random.default_rng(0)
    units, correct = [f"{n:03}" for n in range(200)], rng.random(200) < 0.7
    first = Resamples(units, repeats=300, seed=1).accuracies(correct, np.zeros(200), 1)
    order = rng.permutation(200)
    again = Resamples([units[at] for at in order], repeats=300, seed=1).accuracies(correct[order], np.zeros(200), 1)
    other = Resamples(units, repeats=300, seed=2).accuracies(correct, np.zeros(200), 1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    interval = interval_of(first[:, 0])
    assert interval.low < correct.mean() < interval.high
    assert interval.high - interval.low == pytest.approx(4 * np.sqrt(0.21 / 200), rel=0.15)


def test_households_widen_the_interval():
    """40 households of 10 equal photos have the interval of 40 images, not of 400."""
    correct = np.repeat(np.arange(40) % 2 == 0, 10)
    by_household = Resamples([f"{n // 10}" for n in range(400)]).accuracies(correct, np.zeros(400), 1)
    by_image = Resamples([f"{n}" for n in range(400)]).accuracies(correct, np.zeros(400), 1)
    assert by_household.std() / by_image.std() == pytest.approx(np.sqrt(10), rel=0.15)


def test_paired_differences_are_narrower_than_two_separate_intervals():
    rng = np.random.default_rng(0)
    first = rng.random(500) < 0.6
    second = first & (rng.random(500) < 0.95)
    resamples = Resamples([str(n) for n in range(500)])
    found = paired_difference(first, second, resamples)
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert found.interval.low > 0
    apart = resamples.accuracies(first, np.zeros(500), 1)
    assert found.interval.high - found.interval.low < np.subtract(*np.quantile(apart, [0.975, 0.025])) / 2
    assert found.share_above > 0.99
    same = paired_difference(first, first, resamples)
    assert (same.difference, same.interval.low, same.share_above) == (0, 0, 0.5)
    with pytest.raises(DataError):
        paired_difference(first, first[1:], resamples)


# --- adapter ---


def test_the_metric_counts_by_region_and_needs_every_value():
    metric = GeoShiftMetric(topk=(1, 5))
    score = np.arange(9.0)  # classes 8, 7, 6, 5, 4 are the best five
    rows = [([8], "Africa"), ([0, 7], "Africa"), ([8, 2], "Europe"), ([8], "Europe"), ([0], "Europe")]
    metric.process(None, [{"gt_labels": labels, "region": region, "pred_score": score} for labels, region in rows])
    numbers = metric.evaluate(size=5)
    assert numbers["geo/top1"] == 0.6
    assert numbers["geo/top5"] == 0.8
    assert numbers["geo/top1/Africa"] == 0.5
    assert numbers["geo/top5/Africa"] == 1.0
    assert numbers["geo/disparity5"] == pytest.approx(1 / 3)
    assert numbers["geo/europe_africa5"] == pytest.approx(-1 / 3)
    with pytest.raises(DataError, match="region in every sample"):
        metric.process(None, [{"gt_labels": [1], "pred_score": score, "img_path": "a.jpg"}])
    with pytest.raises(ConfigError, match="1 or more items"):
        GeoShiftMetric(topk=())


def test_the_benchmark_runs_and_its_candidates_agree(capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import geo_shift

    assert geo_shift.main(["--images", "64", "--rounds", "1"]) == 0
    assert "equal bit for bit" in capsys.readouterr().out
    del sys.modules["geo_shift"]
