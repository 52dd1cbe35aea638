"""Panoptic quality: equal to loops over the definition, and right at its edges."""

import math

import numpy as np
import pytest
from panoptic_drawings import loop_quality, random_maps

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.metrics.boundaries import Patch, boundary_width, inner_boundary
from visionzoo.metrics.panoptic import (
    Matches,
    Overlaps,
    PanopticQualityMetric,
    match_boundaries,
    match_segments,
    panoptic_quality,
)
from visionzoo.structures.panoptic import PanopticMap, Segment

META = {"classes": ("cat", "dog", "sky"), "thing_classes": ("cat", "dog"), "stuff_classes": ("sky",)}


def as_lists(matches):
    return {label: [sorted(each.ious), each.extra, each.missed] for label, each in matches.items()}


def sorted_lists(matches):
    return {label: [sorted(ious), extra, missed] for label, (ious, extra, missed) in matches.items()}


@pytest.mark.parametrize("size", [(37, 53), (1, 9), (60, 31)])
def test_matches_equal_loops_over_the_definition(size):
    rng = np.random.default_rng(size[0])
    found_some = 0
    for _ in range(60):
        truth, prediction = random_maps(rng, size)
        matches = match_segments(truth, prediction)
        assert as_lists(matches) == sorted_lists(loop_quality(truth, prediction))
        found_some += sum(len(each.ious) for each in matches.values())
    assert found_some > 10


@pytest.mark.parametrize("ratio", [0.02, 0.06])
def test_boundary_matches_equal_loops_over_the_definition(ratio):
    rng = np.random.default_rng(5)
    fewer = 0
    for size in [(37, 53), (60, 31)] * 25:
        truth, prediction = random_maps(rng, size)
        matches = match_boundaries(truth, prediction, ratio=ratio)
        assert as_lists(matches) == sorted_lists(loop_quality(truth, prediction, boundary_width(size, ratio)))
        fewer += matches != match_segments(truth, prediction)
    assert fewer > 5


def test_a_map_against_itself_is_perfect():
    rng = np.random.default_rng(0)
    maps = [random_maps(rng, (41, 30), crowds=0)[0] for _ in range(5)]
    for match in (match_segments, match_boundaries):
        scores = panoptic_quality([match(each, each) for each in maps], META["classes"], 2)
        for name in ("PQ", "SQ", "RQ", "PQ_things", "PQ_stuff"):
            assert scores.numbers[name] == 1.0


def test_a_noisy_map_is_counted_pixel_by_pixel():
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 4, (2, 33, 47)).astype(np.uint32)
    truth, prediction = (PanopticMap.of_ids(each, dict.fromkeys((1, 2, 3), (0, False))) for each in ids)
    counted = Overlaps.of(truth, prediction).pixels
    expected = [[((ids[0] == row) & (ids[1] == column)).sum() for column in range(4)] for row in range(4)]
    assert counted.tolist() == expected


def test_runs_do_not_join_the_end_of_a_row_with_the_next_image_edge():
    truth = PanopticMap.of_ids([[5, 5], [5, 9]], {5: (0, False), 9: (0, False)})
    assert Overlaps.of(truth, truth).pixels.tolist() == [[0, 0, 0], [0, 3, 0], [0, 0, 1]]


def test_large_ids_and_segments_in_any_order():
    ids = np.array([[2**24 - 1, 1], [70000, 70000]])
    one = PanopticMap.of_ids(ids, {70000: (0, False), 1: (1, False), 2**24 - 1: (2, False)})
    other = PanopticMap.of_ids(ids, {1: (1, False), 2**24 - 1: (2, False), 70000: (0, False)})
    assert match_segments(one, other) == {label: Matches((1.0,)) for label in (0, 1, 2)}


def test_iou_of_one_half_is_no_match():
    truth = PanopticMap.of_ids([[1, 1, 1, 2]], {1: (0, False), 2: (1, False)})
    prediction = PanopticMap.of_ids([[1, 1, 2, 1]], {1: (0, False), 2: (1, False)})
    assert match_segments(truth, prediction)[0] == Matches((), 1, 1)


def test_half_on_unlabelled_pixels_is_an_error_and_more_is_ignored():
    truth = PanopticMap.of_ids([[0, 0, 0, 7]], {7: (0, False)})
    half = PanopticMap.of_ids([[0, 0, 3, 3]], {3: (1, False)})
    most = PanopticMap.of_ids([[0, 3, 3, 3]], {3: (1, False)})
    assert match_segments(truth, half)[1] == Matches((), 1, 0)
    assert 1 not in match_segments(truth, most)


def test_only_the_last_crowd_of_a_category_counts():
    crowds = {7: (0, True), 8: (0, True)}
    truth = PanopticMap.of_ids([[7, 7, 8, 8, 8]], crowds)
    on_first = PanopticMap.of_ids([[3, 3, 0, 0, 0]], {3: (0, False)})
    on_last = PanopticMap.of_ids([[0, 0, 3, 3, 3]], {3: (0, False)})
    assert match_segments(truth, on_first) == {0: Matches((), 1, 0)}
    assert match_segments(truth, on_last) == {}


def test_stated_areas_are_used_only_on_request():
    truth = PanopticMap(np.full((1, 4), 7, np.uint32), (Segment(7, 0, 8, (0, 0, 4, 1)),))
    prediction = PanopticMap.of_ids([[3, 3, 3, 3]], {3: (0, False)})
    assert match_segments(truth, prediction)[0] == Matches((1.0,))
    assert match_segments(truth, prediction, area="json")[0] == Matches((), 1, 1)
    with pytest.raises(UnknownName, match="area"):
        match_segments(truth, prediction, area="pixels")


def test_means_leave_out_classes_that_do_not_occur():
    scores = panoptic_quality([{0: Matches((0.6, 0.8), 1, 1)}], META["classes"], 2)
    assert scores.numbers["PQ"] == scores.numbers["PQ_things"] == pytest.approx(1.4 / 3)
    assert (scores.numbers["SQ"], scores.numbers["RQ"]) == pytest.approx((0.7, 2 / 3))
    assert scores.numbers["classes"] == 1
    assert math.isnan(scores.numbers["PQ_stuff"])
    assert scores.numbers["classes_stuff"] == 0
    row = scores.per_class[0]
    assert (row["objects"], row["TP"], row["FP"], row["FN"]) == (3, 2, 1, 1)
    assert math.isnan(scores.per_class[2]["PQ"])


def test_a_class_without_match_has_quality_zero():
    numbers = panoptic_quality([{1: Matches((), 2, 3)}], META["classes"], 2).numbers
    assert (numbers["PQ"], numbers["SQ"], numbers["RQ"]) == (0, 0, 0)


def test_an_image_without_segments():
    empty = PanopticMap.of_ids(np.zeros((3, 5)), {})
    one = PanopticMap.of_ids([[4] * 5] * 3, {4: (1, False)})
    assert match_boundaries(empty, empty) == match_segments(empty, empty) == {}
    assert match_segments(empty, one) == {}  # all of it is on unlabelled pixels
    assert match_segments(one, empty) == {1: Matches((), 0, 1)}


@pytest.mark.parametrize(
    ("ids", "segments", "message"),
    [
        ([[1, 2]], [1], r"a\.png: prediction: expected a segment for every id of the map, found other ids \(2\)"),
        ([[1, 1]], [1, 9], r"pixels for every segment, found other ids \(9\)"),
        ([[1, 1]], [1, 1], "each id at most once"),
        ([[1, 0]], [1, 0], "none of them 0"),
    ],
)
def test_ids_that_do_not_fit_are_an_error(ids, segments, message):
    truth = PanopticMap.of_ids([[1, 1]], {1: (0, False)})
    wrong = PanopticMap(np.array(ids, np.uint32), tuple(Segment(each, 0, 1, (0, 0, 1, 1)) for each in segments))
    with pytest.raises(DataError, match=message):
        match_segments(truth, wrong, where="a.png")


def test_maps_of_another_size_are_an_error():
    one, other = (PanopticMap.of_ids(np.ones((3, width)), {1: (0, False)}) for width in (4, 5))
    with pytest.raises(DataError, match=r"b\.png: expected a prediction of \(3, 4\)"):
        match_segments(one, other, where="b.png")


# --- boundaries ---


def test_a_boundary_in_its_box_equals_that_in_the_image():
    mask = np.zeros((30, 40), bool)
    mask[4:20, 0:15] = mask[10:30, 12:33] = True
    for width in (1, 3):
        whole = inner_boundary(mask, width)
        patch = Patch.boundary_of(mask.astype(int), 1, (0, 4, 33, 26), width)
        assert (whole[4:, :33] == patch.mask).all()
        assert patch.area == whole.sum()


def test_the_border_of_the_image_is_a_boundary():
    assert inner_boundary(np.ones((5, 7), bool), 1).sum() == 35 - 15
    assert inner_boundary(np.zeros((0, 3), bool), 2).shape == (0, 3)


# --- the metric of mmengine ---


def samples_of(seed, count):
    rng = np.random.default_rng(seed)
    pairs = [random_maps(rng, (35, 48)) for _ in range(count)]
    return [
        {"gt_panoptic": truth, "pred_panoptic": found, "img_path": f"{n}.jpg"} for n, (truth, found) in enumerate(pairs)
    ]


def metric_of(**options):
    metric = PanopticQualityMetric(**options)
    metric.dataset_meta = META
    return metric


def test_parts_of_a_data_set_in_any_order_give_the_same_numbers():
    samples = samples_of(2, 9)
    whole, parts = metric_of(boundary=True), [metric_of(boundary=True) for _ in range(3)]
    whole.process(None, samples)
    for number, part in enumerate(parts):
        for sample in samples[number::3]:
            part.process(None, [sample])
    together = whole.compute_metrics([each for part in parts[::-1] for each in part.results])
    expected = whole.evaluate(size=len(samples))
    assert {f"pq/{name}": value for name, value in together.items()} == expected
    assert 0 < expected["pq/boundary_PQ"] < expected["pq/PQ"] < 1
    assert [f"pq/{name}" for name in whole.possible_names()] == list(expected)
    assert set(whole.per_class) == {"pq", "boundary_pq"}


def test_results_do_not_hold_the_maps():
    metric = metric_of()
    metric.process(None, samples_of(0, 2))
    assert not any(isinstance(value, np.ndarray) for each in metric.results for value in vars(each).values())


def test_areas_that_differ_are_reported_once(monkeypatch):
    said = []
    monkeypatch.setattr("visionzoo.metrics.panoptic.adapter.print_log", lambda text, *rest: said.append(text))
    truth = PanopticMap(np.full((1, 4), 7, np.uint32), (Segment(7, 0, 9, (0, 0, 4, 1)),))
    found = PanopticMap.of_ids([[3, 3, 3, 3]], {3: (0, False)})
    metric = metric_of()
    metric.process(None, [{"gt_panoptic": truth, "pred_panoptic": found, "img_path": "a.jpg"}] * 2)
    assert metric.evaluate(size=2)["pq/PQ"] == 1
    assert len(said) == 1
    assert "the area of 2 segments in 2 images is not its number of pixels" in said[0]
    assert "a.jpg, segment 7: 9 in the file, 4 pixels" in said[0]


def test_a_sample_without_maps_is_an_error():
    with pytest.raises(DataError, match=r"pred_panoptic in every sample, found none in 0\.jpg"):
        metric_of().process(None, [{**samples_of(0, 1)[0], "pred_panoptic": None}])


@pytest.mark.parametrize("meta", [None, {"classes": ("a",)}, {**META, "classes": ("sky", "cat", "dog")}])
def test_classes_without_things_and_stuff_are_an_error(meta):
    metric = PanopticQualityMetric()
    metric.dataset_meta = meta
    metric.process(None, samples_of(0, 1))
    with pytest.raises(ConfigError, match="thing_classes"):
        metric.evaluate(size=1)
