"""Sentences about all results of a run: what was found, and why nothing was found."""

import json

import numpy as np
import pytest

from visionzoo.structures.class_scores import class_scores_of
from visionzoo.structures.counts import CrowdCount
from visionzoo.structures.detections import Detections
from visionzoo.structures.lanes import Lanes
from visionzoo.structures.saliency_maps import SaliencyMap
from visionzoo.tasks import Tally, task_of


def boxes(*scores):
    return Detections(np.zeros((len(scores), 4)), np.array(scores), np.zeros(len(scores), int), (8, 6))


def lane(*scores):
    return Lanes(tuple(np.zeros((2, 2)) for _ in scores), scores=scores, slots=tuple(range(len(scores))))


def classes(*scores):
    return class_scores_of(np.array(scores, np.float32), ("cat", "dog"))


def mask(value, *, full=False):
    return SaliencyMap(np.full((3, 5), value, np.float32), np.full((3, 5), full))


def crowd(count):
    return CrowdCount(count, np.full((1, 1), count, np.float32), (5, 3))


def summary(name, results, threshold=0.3):
    """Return the summary of results, each with its best score before the threshold."""
    task, total = task_of(name), Tally()
    for result in results:
        best = result.best_score if task.counted is not None else None
        total += Tally.from_json(json.loads(json.dumps(task.tally(result.above(threshold), best).to_json())))
    return task.summary(total, len(results), f"{threshold:g}")


@pytest.mark.parametrize(
    ("name", "results", "words"),
    [
        ("detection", [boxes(0.9, 0.4), boxes(0.1), boxes()], "2 boxes in 1 of 3 images"),
        ("detection", [boxes(0.5), boxes()], "1 box in 1 of 2 images"),
        ("detection", [boxes(0.1), boxes(0.214)], "no box above 0.3 in 2 of 2 images; the best score is 0.214"),
        ("instances", [boxes(), boxes()], "no box in 2 of 2 images"),
        ("lanes", [lane(0.2), lane()], "no lane above 0.3 in 2 of 2 images; the best score is 0.2"),
        ("lanes", [lane(0.6, 0.7), lane(0.8)], "3 lanes in 2 of 2 images"),
        ("classification", [classes(0.9, 0.1), classes(0.2, 0.8)], "cat 1, dog 1 (best class of 2 images)"),
        (
            "classification",
            [classes(0.1, 0.7), classes(0.2, 0.25), classes(0.2, 0.8)],
            "dog 2 (best class of 2 of 3 images)",
        ),
        ("classification", [classes(0.2, 0.1)], "no class above 0.3 in 1 of 1 images; the best score is 0.2"),
        ("saliency", [mask(0.9), mask(0.4)], "a mask in 2 of 2 images"),
        (
            "saliency",
            [mask(0.9), mask(0.25), mask(0.2)],
            "a mask in 1 of 3 images; the other masks are empty; the highest value of their maps is 0.25 ",
        ),
        (
            "co_saliency",
            [mask(0.02)] * 2,
            "the masks of 2 images are all empty; the highest value of their maps is 0.02",
        ),
        ("counting", [crowd(3.25), crowd(0.0), crowd(8.5)], "count: 11.8 in 3 images, at most 8.5 in one"),
    ],
)
def test_a_sentence_states_what_was_found_or_why_nothing(name, results, words):
    text = summary(name, results)
    assert text.startswith(words)
    assert text == words or name in ("saliency", "co_saliency")


def test_without_a_threshold_the_mask_of_the_model_decides():
    assert summary("saliency", [mask(0.9), mask(0.1, full=True)], threshold=0.0).startswith(
        "a mask in 1 of 2 images; the"
    )


def test_many_classes_are_shortened():
    tally = Tally({f"kind {number:02}": 1 + (number == 7) for number in range(12)})
    text = task_of("classification").summary(tally, 13, "0")
    assert text.startswith("kind 07 2, kind 00 1, kind 01 1, ")
    assert text.endswith(" and 2 more (best class of 13 images)")
