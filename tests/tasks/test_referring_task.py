"""The task of referring segmentation: drawing, summary, and the check of its metric."""

import argparse

import numpy as np
import pytest

from visionzoo.engine.loaders import build_dataset
from visionzoo.metrics.referring import ReferMetric
from visionzoo.structures.referred_masks import referred_mask_of
from visionzoo.tasks import Tally, task_of
from visionzoo.tasks.inputs.phrase_options import add_phrase_options

TASK = task_of("referring")


def test_shaken_truth_has_scores_between_the_worst_and_the_best():
    settings = dict(data_root="tiny://grefcoco?train=2&val=8&test=2", name="grefcoco", split="val", test_mode=True)
    dataset = build_dataset(dict(type="ReferDataset", serialize_data=False, **settings), where="data set")
    samples = [TASK.shaken(dataset.get_data_info(number), number, 0, 1) for number in range(len(dataset))]
    for protocol in ("refcoco", "grefcoco"):
        metric = ReferMetric(protocol)
        metric.process(None, samples)
        numbers = metric.evaluate(len(samples))
        assert 0.1 < numbers["ref/oIoU" if protocol == "refcoco" else "ref/gIoU"] < 0.95


def test_a_drawing_keeps_the_image_and_shows_only_text_without_a_mask():
    image = np.full((40, 63, 3), 90, np.uint8)
    mask = np.zeros((40, 63), np.float32)
    mask[20:35, 30:60] = 1
    found, none = (TASK.draw(image, referred_mask_of("left box", values), 2) for values in (mask, 0.1 * mask))
    assert found.shape == none.shape == (80, 126, 3)
    assert (image == 90).all()
    assert (found[50:60, 80:100] != 90).any()
    assert (none[50:60, 80:100] == 90).all()
    assert (none != 90).any()


@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        ([0.9, 0.8], "a mask for 2 of 2 phrases"),
        ([0.9, 0.12], "a mask for 1 of 2 phrases; nothing found for the other (best 0.12)"),
        ([0.1, 0.3, 0.2], "a mask for 0 of 3 phrases; nothing found for the others (best 0.30)"),
    ],
)
def test_the_end_of_a_run_states_what_is_found(maps, expected):
    results = [referred_mask_of("a", np.full((2, 3), value, np.float32)) for value in maps]
    total = sum((TASK.tally(each, None) for each in results), Tally())
    assert TASK.summary(total, len(maps), "0") == expected


def test_seeded_inputs_have_phrases():
    batch = TASK.inputs.seeded(0, (32, 48))
    assert [each.shape for each in batch["inputs"]] == [(3, 32, 48)] * 2
    assert len({each.metainfo["phrase"] for each in batch["data_samples"]}) == 2


def test_the_number_of_inputs_counts_phrases_and_entries_of_lists(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "pairs.csv").write_text("image,text\na.jpg,x\nb.jpg,y\na.jpg,z\n")
    parser = argparse.ArgumentParser()
    add_phrase_options(parser)
    args = parser.parse_args([str(tmp_path), str(tmp_path / "pairs.csv"), "--text", "x", "--text", "y"])
    assert TASK.inputs.count(args) == 2 * 2 + 3
    assert "pairs.csv" not in TASK.inputs.left_out(args)


@pytest.mark.parametrize("phrase", ["left box", "the very long phrase about a box " * 9, "赤い箱" * 40, "x" * 90])
def test_long_phrases_are_wrapped_into_the_image(phrase):
    image = np.full((200, 301, 3), 90, np.uint8)
    drawn = TASK.draw(image, referred_mask_of(phrase, np.zeros((200, 301))), 1)
    changed = (drawn != 90).any(2)
    assert changed.any()
    assert not changed[100:].any()
