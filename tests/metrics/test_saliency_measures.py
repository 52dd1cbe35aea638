"""Saliency measures equal their definitions under both protocols, with every edge case of real masks."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import saliency_formulas as formulas
import torch
from PIL import Image
from scipy import ndimage

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.metrics.saliency import SaliencyScores, score_pair
from visionzoo.metrics.saliency.measures import f_measure
from visionzoo.metrics.saliency.scores import area_under_roc, average_precision

BOTH = pytest.mark.parametrize("protocol", ["pysod", "gconet"])
ALL = ("Smeasure", "MAE", "Emeasure", "Fmeasure", "PR")


def blobs(rng, shape, low=0, high=255):
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.rint(low + smooth * (high - low)).astype(np.uint8)


def square(shape=(11, 17), rows=slice(3, 8), columns=slice(4, 12)):
    mask = np.zeros(shape, np.uint8)
    mask[rows, columns] = 255
    return mask


def scenes():
    """Yield (name, prediction, mask) of cases that occur and of edge cases."""
    rng = np.random.default_rng(0)
    grey, mask = blobs(rng, (23, 31)), square((23, 31), slice(5, 14), slice(9, 30))
    return [
        ("plain", grey, mask),
        ("noise", rng.integers(0, 256, (9, 14), dtype=np.uint8), rng.integers(0, 2, (9, 14), dtype=np.uint8) * 255),
        ("narrow range", blobs(rng, (23, 31), 10, 214), mask),
        ("levels that meet thresholds", blobs(rng, (23, 31), 0, 127), mask),
        ("soft mask", grey, blobs(rng, (23, 31))),
        ("dark mask", grey, blobs(rng, (23, 31), 0, 90)),
        ("light mask", grey, blobs(rng, (23, 31), 140, 255)),
        ("grey mask", grey, np.full((23, 31), 200, np.uint8)),
        ("levels 127 to 129", grey, rng.integers(127, 130, (23, 31), dtype=np.uint8)),
        ("empty mask", grey, np.zeros_like(mask)),
        ("full mask", grey, np.full_like(mask, 255)),
        ("black", np.zeros_like(grey), mask),
        ("white", np.full_like(grey, 255), mask),
        ("constant", np.full_like(grey, 128), mask),
        ("constant, empty mask", np.full_like(grey, 128), np.zeros_like(mask)),
        ("perfect", mask, mask),
        ("inverted", 255 - mask, mask),
        ("first corner", grey, square((23, 31), slice(0, 1), slice(0, 1))),
        ("last corner", grey, square((23, 31), slice(22, 23), slice(30, 31))),
        ("one pixel", grey, square((23, 31), slice(11, 12), slice(15, 16))),
        ("all but one pixel", grey, 255 - square((23, 31), slice(11, 12), slice(15, 16))),
        ("first column", grey, square((23, 31), slice(None), slice(0, 1))),
        ("one row", grey[:1], mask[8:9]),
        ("two pixels", np.array([[3, 200]], np.uint8), np.array([[0, 255]], np.uint8)),
    ]


SCENES = pytest.mark.parametrize(("prediction", "mask"), [s[1:] for s in scenes()], ids=[s[0] for s in scenes()])


@BOTH
@SCENES
def test_curves_are_those_of_a_pass_for_each_threshold(prediction, mask, protocol):
    curves = score_pair(prediction, mask, protocol, ALL).curves
    precision, recall, f_curve = formulas.f_curves(prediction, mask, protocol)
    expected = {
        "Emeasure": formulas.e_curve(prediction, mask, protocol),
        "Fmeasure": f_curve,
        "precision": precision,
        "recall": recall,
        "false_positive_rate": formulas.false_positive_rates(prediction, mask, protocol),
    }
    assert set(curves) == set(expected)
    for name, values in expected.items():
        assert len(curves[name]) == (256 if protocol == "pysod" else 255)
        np.testing.assert_allclose(curves[name], values, rtol=0, atol=1e-9, err_msg=name)


@BOTH
@SCENES
def test_numbers_are_those_of_their_definitions(prediction, mask, protocol):
    numbers = score_pair(prediction, mask, protocol).numbers
    assert numbers["MAE"] == pytest.approx(formulas.mae(prediction, mask, protocol), abs=1e-12)
    # With gconet the stretched prediction is float32 in the formula and exact in ours.
    assert numbers["Smeasure"] == pytest.approx(formulas.s_measure(prediction, mask, protocol), abs=1e-6)
    if protocol == "pysod":
        e_value, f_value = formulas.adaptive(prediction, mask)
        assert numbers["Emeasure_adaptive"] == pytest.approx(e_value, abs=1e-12)
        assert numbers["Fmeasure_adaptive"] == pytest.approx(f_value, abs=1e-12)
    else:
        assert not {"Emeasure_adaptive", "Fmeasure_adaptive"} & set(numbers)


@SCENES
def test_weighted_f_is_that_of_its_definition(prediction, mask):
    numbers = score_pair(prediction, mask, "pysod", ["Fmeasure_weighted"]).numbers
    assert numbers == {"Fmeasure_weighted": pytest.approx(formulas.weighted_f(prediction, mask), abs=1e-12)}


def test_equal_to_py_sod_metrics():
    """Curves are equal bit for bit; where the package has NaN (an empty block) ours is counted as undefined."""
    import py_sod_metrics

    undefined = 0
    for _, prediction, mask in scenes():
        scores = score_pair(prediction, mask, "pysod", [*ALL, "Fmeasure_weighted"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tools = {name: getattr(py_sod_metrics, name)() for name in ("MAE", "Smeasure", "Emeasure", "Fmeasure")}
            tools["weighted"] = py_sod_metrics.WeightedFmeasure()
            for tool in tools.values():
                tool.step(prediction, mask)
            expected = {name: tool.get_results() for name, tool in tools.items()}
        np.testing.assert_array_equal(scores.curves["Emeasure"], expected["Emeasure"]["em"]["curve"])
        np.testing.assert_array_equal(scores.curves["Fmeasure"], expected["Fmeasure"]["fm"]["curve"])
        np.testing.assert_array_equal(scores.curves["precision"], expected["Fmeasure"]["pr"]["p"])
        np.testing.assert_array_equal(scores.curves["recall"], expected["Fmeasure"]["pr"]["r"])
        numbers = scores.numbers
        assert numbers["Emeasure_adaptive"] == pytest.approx(expected["Emeasure"]["em"]["adp"], abs=1e-12)
        assert numbers["Fmeasure_adaptive"] == pytest.approx(expected["Fmeasure"]["fm"]["adp"], abs=1e-12)
        assert numbers["MAE"] == pytest.approx(expected["MAE"]["mae"], abs=1e-12)
        assert numbers["Fmeasure_weighted"] == pytest.approx(expected["weighted"]["wfm"], abs=1e-12)
        assert numbers["Smeasure_undefined"] == np.isnan(expected["Smeasure"]["sm"])
        if numbers["Smeasure_undefined"]:
            undefined += 1
        else:
            assert numbers["Smeasure"] == pytest.approx(expected["Smeasure"]["sm"], abs=1e-12)
    assert undefined >= 1


# --- rules of the specification --- ---


@BOTH
def test_a_perfect_prediction(protocol):
    mask = square()
    numbers = score_pair(mask, mask, protocol, ALL).summary()
    assert numbers["MAE"] == 0
    assert numbers["Smeasure"] == pytest.approx(1, abs=1e-12)
    assert numbers["Fmeasure_max"] == numbers["PR_Fmeasure_max"] == numbers["AUC"] == 1
    assert numbers["Emeasure_max"] == pytest.approx(mask.size / (mask.size - 1), abs=1e-12)  # not clipped


def test_the_protocols_differ_where_the_centroid_goes():
    rng = np.random.default_rng(3)
    prediction, mask = blobs(rng, (24, 30)), square((24, 30))
    pysod, gconet = (score_pair(prediction, mask, name).numbers["Smeasure"] for name in ("pysod", "gconet"))
    assert 1e-4 < abs(pysod - gconet) < 0.05


def test_a_constant_prediction_is_black_only_for_gconet():
    mask, white = square(), np.full((11, 17), 255, np.uint8)
    black = np.zeros_like(white)
    of_white, of_black = (score_pair(p, mask, "gconet").summary() for p in (white, black))
    assert of_white["MAE"] == pytest.approx(1 - mask.mean() / 255)  # not stretched
    assert {k: v for k, v in of_white.items() if k != "MAE"} == {k: v for k, v in of_black.items() if k != "MAE"}
    assert score_pair(white, mask).numbers["Smeasure"] != score_pair(black, mask).numbers["Smeasure"]


def test_masks_without_foreground_or_background():
    prediction = blobs(np.random.default_rng(1), (11, 17))
    pixels = prediction.size
    for mask in (np.zeros_like(prediction), np.full_like(prediction, 255)):
        np.testing.assert_allclose(
            score_pair(prediction, mask, "gconet").curves["Emeasure"], 0.25 * pixels / (pixels - 1), atol=1e-12
        )
    empty, full = (score_pair(prediction, np.full_like(prediction, level)).summary() for level in (0, 255))
    # At 255, the first threshold, only the highest pixels of the stretched prediction remain.
    assert empty["Emeasure_max"] == pytest.approx((pixels - (prediction == 255).sum()) / (pixels - 1))
    assert full["Emeasure_max"] == pytest.approx(pixels / (pixels - 1))
    assert empty["Fmeasure_max"] == 0
    assert full["Fmeasure_max"] == 1


@BOTH
@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("value", [0, 77, 255])
def test_one_pixel(protocol, level, value):
    numbers = score_pair(np.array([[value]], np.uint8), np.array([[level]], np.uint8), protocol).summary()
    assert np.isfinite(list(numbers.values())).all()
    assert max(numbers.values()) <= 1
    seen = 0 if protocol == "gconet" else value / 255
    assert numbers["Smeasure"] == pytest.approx(seen if level else 1 - seen)
    assert numbers["MAE"] == pytest.approx(abs(value - level) / 255)


@BOTH
def test_where_the_tool_has_no_number_ours_is_finite_and_counted(protocol):
    undefined = {name for name, p, m in scenes() if score_pair(p, m, protocol).numbers["Smeasure_undefined"]}
    assert undefined == {
        "pysod": {"last corner", "one row", "two pixels"},
        "gconet": {
            "dark mask", "light mask", "grey mask", "first corner", "last corner", "one pixel", "all but one pixel",
            "first column", "one row", "two pixels",
        },
    }[protocol]  # fmt: skip
    whole = SaliencyScores()
    for _, prediction, mask in scenes():
        whole.add(score_pair(prediction, mask, protocol))
    numbers = whole.summary()
    assert numbers["Smeasure_undefined"] == len(undefined)
    assert np.isfinite(list(numbers.values())).all()
    assert 0 < numbers["Smeasure"] < 1


def test_a_level_at_exactly_twice_the_mean_counts_as_the_tool_rounds_it():
    included = []
    for low, step, times, count in itertools.product((0, 3, 31), (10, 34, 50, 71), (3, 4, 5, 6), range(1, 9)):
        high, rest = low + step * times // 2, times + count - 1
        if step * times % 2 or high > 255:
            continue
        # `count` pixels one step up, one at `high`, the rest at `low`: the mean is half a step up.
        prediction = np.array([[low + step] * count + [high] + [low] * rest], np.uint8)
        mask = np.array([[255] * (count + 1) + [0] * rest], np.uint8)
        numbers = score_pair(prediction, mask, "pysod", ["Emeasure", "Fmeasure"]).numbers
        expected = formulas.adaptive(prediction, mask)
        assert (numbers["Emeasure_adaptive"], numbers["Fmeasure_adaptive"]) == pytest.approx(expected, abs=1e-12)
        included.append(numbers["Fmeasure_adaptive"] == pytest.approx(1))
    assert {True, False} == set(included)


def test_average_precision_and_roc():
    precision, recall = np.array([0.5, 0.6, 0.4, 1.0]), np.array([1.0, 0.6, 0.4, 0.2])
    # 0.2 at 1.0, up to 0.6 at 0.6 (the dip at 0.4 is filled), the rest at 0.5.
    assert average_precision(precision, recall) == pytest.approx(0.2 * 1 + 0.4 * 0.6 + 0.4 * 0.5)
    assert area_under_roc(np.array([1.0, 0.8, 0.0]), np.array([1.0, 0.5, 0.0])) == pytest.approx(0.65)


def test_maximum_f_of_mean_precision_and_recall():
    rng = np.random.default_rng(2)
    whole = SaliencyScores()
    for _ in range(3):
        whole.add(score_pair(blobs(rng, (20, 30)), square((20, 30)), "pysod", ["PR", "Fmeasure"]))
    numbers = whole.summary()
    assert numbers["PR_Fmeasure_max"] == f_measure(whole.curve("precision"), whole.curve("recall")).max()
    assert numbers["PR_Fmeasure_max"] != pytest.approx(numbers["Fmeasure_max"], abs=1e-5)


# --- sums over a data set ---


@BOTH
def test_halves_merge_to_the_whole_in_any_order(protocol):
    pairs = [score_pair(p, m, protocol, ALL) for _, p, m in scenes()]
    whole, halves, turned = SaliencyScores(), [SaliencyScores(), SaliencyScores()], SaliencyScores()
    for index, pair in enumerate(pairs):
        whole.add(pair)
        halves[index % 2].add(pair)
    for index in np.random.default_rng(0).permutation(len(pairs)):
        turned.add(pairs[index])
    before = halves[1].summary()
    halves[0].merge(halves[1])
    halves[0].merge(SaliencyScores())
    assert halves[1].summary() == before
    assert halves[0].images == whole.images == len(pairs)
    for other in (halves[0], turned):
        numbers = other.summary()
        assert numbers == pytest.approx(whole.summary(), abs=1e-12)
        assert numbers["images"] == len(pairs)
        assert numbers["Smeasure_undefined"] == whole.summary()["Smeasure_undefined"]
        np.testing.assert_allclose(other.curve("Emeasure"), whole.curve("Emeasure"), rtol=0, atol=1e-12)


def test_the_maximum_is_that_of_the_mean_curve():
    pairs = [score_pair(p, m) for _, p, m in scenes()[:3]]
    whole = SaliencyScores()
    for pair in pairs:
        whole.add(pair)
    mean = np.mean([pair.curves["Emeasure"] for pair in pairs], axis=0)
    assert whole.summary()["Emeasure_max"] == pytest.approx(mean.max(), abs=1e-12)
    assert whole.summary()["Emeasure_max"] < np.mean([pair.summary()["Emeasure_max"] for pair in pairs])


def test_sums_do_not_grow_and_leave_pairs_unchanged():
    pair = score_pair(*scenes()[0][1:], "gconet")
    curve = pair.curves["Emeasure"].copy()
    whole = SaliencyScores()
    for _ in range(5):
        whole.add(pair)
    assert sum(values.nbytes for values in whole.curves.values()) == sum(v.nbytes for v in pair.curves.values())
    np.testing.assert_array_equal(pair.curves["Emeasure"], curve)


def test_parts_that_do_not_belong_together():
    _, prediction, mask = scenes()[0]
    whole = SaliencyScores()
    with pytest.raises(DataError, match="at least one pair"):
        whole.summary()
    whole.add(score_pair(prediction, mask))
    with pytest.raises(ConfigError, match="255 thresholds"):
        whole.add(score_pair(prediction, mask, "gconet", ["Smeasure", "MAE", "Emeasure", "Fmeasure"]))
    with pytest.raises(ConfigError, match="the same measures"):
        whole.add(score_pair(prediction, mask, measures=["MAE"]))


# --- inputs ---


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_predictions_in_memory_score_as_their_files(kind):
    rng = np.random.default_rng(4)
    values = torch.from_numpy(rng.random((12, 15))).to(kind)
    single = values if kind == torch.float64 else values.float()
    levels = single.mul(255).byte().numpy()  # written by ToPILImage
    mask = square((12, 15))
    assert score_pair(values, mask).summary() == score_pair(levels, mask).summary()
    assert score_pair(values[None], torch.from_numpy(mask)).summary() == score_pair(levels, mask == 255).summary()
    assert score_pair(np.full((2, 2), 0.5), np.eye(2, dtype=bool)).numbers["MAE"] == 0.5  # 127 against 0 and 255


def test_sizes_that_differ():
    prediction, mask = blobs(np.random.default_rng(5), (10, 20)), square((23, 31))
    with pytest.raises(
        DataError, match=r"a\.png: expected a prediction of its mask's size \(23, 31\), found \(10, 20\)"
    ):
        score_pair(prediction, mask, where="a.png")
    resized = np.asarray(Image.fromarray(prediction).resize((31, 23), Image.Resampling.BILINEAR))
    assert score_pair(prediction, mask, "gconet").summary() == score_pair(resized, mask, "gconet").summary()
    in_memory = score_pair((prediction / 255 + 1e-6).clip(0, 1), mask, "gconet")  # first 8 bits, then resizing
    assert in_memory.summary() == score_pair(resized, mask, "gconet").summary()


@pytest.mark.parametrize(
    ("prediction", "mask", "what"),
    [
        (np.zeros((3, 4), np.int64), square((3, 4)), "prediction: expected uint8, bool or floats .* found int64"),
        (np.full((3, 4), 1.5), square((3, 4)), r"floats in \[0, 1\], found 1.5 to 1.5; apply the sigmoid"),
        (np.full((3, 4), np.nan), square((3, 4)), r"floats in \[0, 1\], found nan"),
        (np.zeros((2, 3, 4)), square((3, 4)), r"expected \(H, W\) or \(1, H, W\) with pixels, found \(2, 3, 4\)"),
        (np.zeros((0, 4)), square((3, 4)), r"with pixels, found \(0, 4\)"),
        (np.zeros((3, 4)), np.zeros((3, 4)), "mask: expected uint8 with 0 to 255, or bool, found float64"),
        (np.zeros((3, 4)), np.eye(3, 4, dtype=np.uint8), "mask: expected 255 for foreground, found 0 and 1"),
    ],
)
def test_unusable_maps(prediction, mask, what):
    with pytest.raises(DataError, match=what):
        score_pair(prediction, mask)


def test_unknown_names():
    mask = square()
    with pytest.raises(UnknownName, match="did you mean 'pysod'"):
        score_pair(mask, mask, "pysodd")
    with pytest.raises(UnknownName, match="did you mean 'Emeasure'"):
        score_pair(mask, mask, measures=["E-measure"])
    with pytest.raises(ConfigError, match="found 'Fmeasure_weighted'; remove it or use the other protocol"):
        score_pair(mask, mask, "gconet", ["Fmeasure_weighted"])
    with pytest.raises(ConfigError, match="at least one"):
        score_pair(mask, mask, measures=[])
