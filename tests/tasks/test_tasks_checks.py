"""Checks of tasks: predictions made from the truth, with small errors, for each task."""

import numpy as np
import pytest
import torch

from visionzoo.cards import read_cards
from visionzoo.config import load_config
from visionzoo.datasets.co_saliency import CoSaliencyFolder
from visionzoo.datasets.counting import ShanghaiTechDataset, TRANCOSDataset
from visionzoo.datasets.lanes import CULaneDataset, TuSimpleDataset
from visionzoo.datasets.mask_files import read_grey
from visionzoo.errors import UnknownName
from visionzoo.metrics.counting import CountMetric
from visionzoo.metrics.lanes import CULaneMetric, TuSimpleMetric
from visionzoo.metrics.saliency import SaliencyMetric
from visionzoo.registry import task_names
from visionzoo.structures.task_sample import TaskSample
from visionzoo.tasks import task_of

GROUPS = task_of("co_saliency")
SINGLE = task_of("saliency")


@pytest.fixture(scope="module")
def groups():
    """Return five, four and four drawn images, as the data set describes them."""
    folder = CoSaliencyFolder("tiny://co_saliency?groups=3&images=4&seed=0", name="CoCA", test_mode=True)
    return [folder.get_data_info(index) for index in range(len(folder))]


def shaken(groups, seed=0):
    return [GROUPS.shaken(group, index, seed, 0) for index, group in enumerate(groups)]


def measured(samples, **options):
    metric = SaliencyMetric(protocol="gconet", **options)
    metric.process({}, samples)
    return metric.evaluate(len(samples)), metric


def test_every_task_of_a_card_has_a_file():
    assert {task for card in read_cards() for task in card.tasks} <= set(task_names())


def test_unknown_task_suggests_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'co_saliency'"):
        task_of("co-saliency")


def test_a_shaken_group_has_a_map_for_every_mask(groups):
    for group, sample in zip(groups, shaken(groups), strict=True):
        assert sample["group"] == group["group"]
        assert sample["img_path"] == group["img_path"]
        assert all(np.array_equal(a, read_grey(b)) for a, b in zip(sample["gt_map"], group["gt_path"], strict=True))
        for noisy, truth in zip(sample["pred_map"], sample["gt_map"], strict=True):
            assert (noisy.shape, noisy.dtype) == (truth.shape, np.float32)
            assert 0 <= noisy.min() < noisy.max() <= 1


def test_the_first_group_is_shaken_as_single_images_are(groups):
    (first, *_) = shaken(groups)
    for number, paths in enumerate(zip(groups[0]["img_path"], groups[0]["gt_path"], strict=True)):
        single = SINGLE.shaken(dict(zip(("img_path", "gt_path"), paths, strict=True)), number, 0, 0)
        assert np.array_equal(first["pred_map"][number], single["pred_map"])


def test_the_fourth_image_of_every_group_is_inside_out(groups):
    for sample in shaken(groups):
        leads = [
            noisy[truth > 127].mean() > noisy[truth <= 127].mean()
            for noisy, truth in zip(sample["pred_map"], sample["gt_map"], strict=True)
        ]
        assert leads == [number != 3 for number in range(len(leads))]


def test_noise_differs_between_groups_and_seeds_and_stays_otherwise(groups):
    same = [groups[1], groups[1]]
    first, second = shaken(same)
    assert not np.array_equal(first["pred_map"][0], second["pred_map"][0])
    assert not np.array_equal(first["pred_map"][0], shaken(same, seed=1)[0]["pred_map"][0])
    assert np.array_equal(second["pred_map"][3], shaken(same)[1]["pred_map"][3])


def test_shaken_groups_are_measured_image_by_image(groups):
    values, metric = measured(shaken(groups), per_image=True)
    assert values["sal/images"] == 13
    assert 0.3 < values["sal/Smeasure"] < 0.9  # neither perfect nor all wrong: changes of the metric are visible
    assert [row["group"] for row in metric.per_image] == ["disc"] * 5 + ["square"] * 4 + ["triangle"] * 4
    right, wrong = metric.per_image[0], metric.per_image[3]
    assert right["Smeasure"] > wrong["Smeasure"]


def test_scores_are_means_of_all_maps():
    one, two = TaskSample(), TaskSample()
    one.set_field([torch.full((3, 5), 0.25), torch.full((2, 2), 0.5)], "pred_map")
    two.set_field([torch.tensor([[0.0, 1.0]])], "pred_map")
    assert GROUPS.scores([one, two]).tolist() == [0.25, 0.5, 0.5]
    assert GROUPS.options({}) == []


# --- lanes ---


def shaken_by(task, dataset, seed=0):
    checks = task_of(task)
    return [checks.shaken(dataset.get_data_info(index), index, seed, 0) for index in range(len(dataset))]


def numbers(metric, samples):
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def test_some_shaken_lanes_are_found_and_some_are_not():
    roads = CULaneDataset("tiny://culane?train=4&val=9&test=18&seed=0", split="test_split", test_mode=True)
    values = numbers(CULaneMetric(image_size=(328, 118), lane_width=6), shaken_by("lanes", roads))
    assert 0.3 < values["culane/F1"] < 0.98
    assert min(values["culane/FP"], values["culane/FN"], values["culane/FP/cross"]) > 0
    again = numbers(CULaneMetric(image_size=(328, 118), lane_width=6), shaken_by("lanes", roads, seed=1))
    assert again["culane/TP"] != values["culane/TP"]


def test_shaken_lanes_of_tusimple_keep_its_rows():
    roads = TuSimpleDataset("tiny://tusimple?train=4&val=9&test=9&seed=0", "test_label.json", test_mode=True)
    values = numbers(TuSimpleMetric(), shaken_by("lanes", roads))
    assert 0.3 < values["tusimple/accuracy"] < 0.98
    assert 0 < values["tusimple/FN"] < 0.6


def test_lost_lanes_stay_lost_and_others_only_move_sideways():
    roads = CULaneDataset("tiny://culane?train=4&val=9&test=18&seed=0", split="test_split", test_mode=True)
    for sample in shaken_by("lanes", roads):
        truth = [lane for lane in sample["gt_lanes"] if len(lane) >= 2]
        assert len(sample["pred_lanes"]) <= max(len(truth), 1)
        for lane in sample["pred_lanes"] if truth else []:
            assert any(len(lane) == len(other) and np.ptp(lane[:, 0] - other[:, 0]) < 1e-9 for other in truth)


def test_every_lane_passes():
    checks = task_of("lanes")
    for name in ("scnn_culane", "scnn_tusimple"):
        head = load_config(name).cfg.model.head
        changed = load_config(name, tiny=True, options=checks.options({"head": head}), allow_new=True).cfg.model.head
        assert (changed.exist_threshold, changed.rows.threshold) == (0.0, 0.0)
        assert changed.rows.get("kind") == head.get("rows", {}).get("kind")
    samples = [TaskSample(), TaskSample()]
    for sample, values in zip(samples, ([0.1, 0.2], [0.3, 0.4])):
        sample.set_field(torch.tensor(values), "pred_exist")
    assert checks.scores(samples).tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


# --- counts ---


def test_shaken_counts_are_near_the_truth_and_their_densities_sum_to_them():
    crowds = ShanghaiTechDataset("tiny://shanghaitech_a?train=4&test=8&seed=0", part="A", split="test", test_mode=True)
    samples = shaken_by("counting", crowds)
    for sample in samples:
        assert sample["pred_density"].sum() == pytest.approx(sample["pred_count"])
        assert sample["pred_density"].shape == sample["ori_shape"]
    values = numbers(CountMetric(game_levels=(0, 2)), samples)
    assert 0 < values["count/MAE"] < values["count/RMSE"]
    assert 0.02 < values["count/NAE"] < 0.5
    assert values["count/GAME0"] == pytest.approx(values["count/MAE"])
    assert values["count/GAME2"] > values["count/GAME0"]  # some people are in another quarter
    assert numbers(CountMetric(), shaken_by("counting", crowds, seed=1))["count/MAE"] != values["count/MAE"]


def test_shaken_counts_of_trancos_have_their_region():
    jams = TRANCOSDataset("tiny://trancos?train=4&val=4&test=4&seed=0", split="val", test_mode=True)
    (first, *_) = samples = shaken_by("counting", jams)
    assert set(np.unique(first["gt_roi"])) == {0, 1}
    assert first["gt_roi"].shape == first["ori_shape"]
    inside, everywhere = (
        numbers(CountMetric(game_levels=(0,)), samples),
        numbers(
            CountMetric(), [{key: value for key, value in sample.items() if key != "gt_roi"} for sample in samples]
        ),
    )
    assert inside["count/MAE"] != everywhere["count/MAE"]


def test_scores_of_counts_are_the_counts():
    samples = [TaskSample(), TaskSample()]
    for sample, value in zip(samples, (3.0, 0.5)):
        sample.set_field(torch.tensor(value), "pred_count")
    assert task_of("counting").scores(samples).tolist() == [3.0, 0.5]
    assert task_of("counting").options({}) == []
