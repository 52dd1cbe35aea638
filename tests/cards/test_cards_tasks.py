"""What the checks know about tasks: predictions drawn from the truth, for single pictures and for groups."""

import numpy as np
import pytest
import torch

from visionzoo.cards import read_cards
from visionzoo.cards.tasks import TASKS, task_checks
from visionzoo.datasets.co_saliency import CoSaliencyFolder
from visionzoo.datasets.transforms.masks import read_grey
from visionzoo.errors import UnknownName
from visionzoo.metrics.saliency import SaliencyMetric
from visionzoo.structures.task_sample import TaskSample

GROUPS = task_checks("co_saliency")
SINGLE = task_checks("saliency")


@pytest.fixture(scope="module")
def groups():
    """Five, four and four drawn pictures, as the data set names them."""
    folder = CoSaliencyFolder("tiny://co_saliency?groups=3&pictures=4&seed=0", name="CoCA", test_mode=True)
    return [folder.get_data_info(index) for index in range(len(folder))]


def shaken(groups, seed=0):
    return [GROUPS.shaken(group, index, seed, 0) for index, group in enumerate(groups)]


def measured(samples, **options):
    metric = SaliencyMetric(protocol="gconet", **options)
    metric.process({}, samples)
    return metric.evaluate(len(samples)), metric


def test_every_task_of_a_card_has_a_row():
    assert {card.task for card in read_cards()} <= set(TASKS)


def test_unknown_task_suggests_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'co_saliency'"):
        task_checks("co-saliency")


def test_a_shaken_group_has_a_map_for_every_mask(groups):
    for group, sample in zip(groups, shaken(groups), strict=True):
        assert sample["group"] == group["group"]
        assert sample["img_path"] == group["img_path"]
        assert all(np.array_equal(a, read_grey(b)) for a, b in zip(sample["gt_map"], group["gt_path"], strict=True))
        for found, truth in zip(sample["pred_map"], sample["gt_map"], strict=True):
            assert (found.shape, found.dtype) == (truth.shape, np.float32)
            assert 0 <= found.min() < found.max() <= 1


def test_the_first_group_is_shaken_as_single_pictures_are(groups):
    (first, *_) = shaken(groups)
    for number, paths in enumerate(zip(groups[0]["img_path"], groups[0]["gt_path"], strict=True)):
        alone = SINGLE.shaken(dict(zip(("img_path", "gt_path"), paths, strict=True)), number, 0, 0)
        assert np.array_equal(first["pred_map"][number], alone["pred_map"])


def test_the_fourth_picture_of_every_group_is_inside_out(groups):
    for sample in shaken(groups):
        leads = [
            found[truth > 127].mean() > found[truth <= 127].mean()
            for found, truth in zip(sample["pred_map"], sample["gt_map"], strict=True)
        ]
        assert leads == [number != 3 for number in range(len(leads))]


def test_noise_differs_between_groups_and_seeds_and_stays_otherwise(groups):
    same = [groups[1], groups[1]]
    first, second = shaken(same)
    assert not np.array_equal(first["pred_map"][0], second["pred_map"][0])
    assert not np.array_equal(first["pred_map"][0], shaken(same, seed=1)[0]["pred_map"][0])
    assert np.array_equal(second["pred_map"][3], shaken(same)[1]["pred_map"][3])


def test_shaken_groups_are_measured_picture_by_picture(groups):
    found, metric = measured(shaken(groups), per_image=True)
    assert found["sal/images"] == 13
    assert 0.3 < found["sal/Smeasure"] < 0.9  # neither perfect nor all wrong, so that a change of the metric shows
    assert [row["group"] for row in metric.per_image] == ["disc"] * 5 + ["square"] * 4 + ["triangle"] * 4
    right, wrong = metric.per_image[0], metric.per_image[3]
    assert right["Smeasure"] > wrong["Smeasure"]


def test_scores_are_means_of_all_maps():
    one, two = TaskSample(), TaskSample()
    one.set_field([torch.full((3, 5), 0.25), torch.full((2, 2), 0.5)], "pred_map")
    two.set_field([torch.tensor([[0.0, 1.0]])], "pred_map")
    assert GROUPS.scores([one, two]).tolist() == [0.25, 0.5, 0.5]
    assert GROUPS.options({}) == []
