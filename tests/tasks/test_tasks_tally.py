"""Sentences about all results of a run: what was found, and why nothing was found."""

import json
from dataclasses import replace

import numpy as np
import pytest

from visionzoo.structures.class_scores import class_scores_of
from visionzoo.structures.counts import CrowdCount
from visionzoo.structures.detections import Detections
from visionzoo.structures.lanes import Lanes
from visionzoo.structures.referred_masks import referred_mask_of
from visionzoo.structures.saliency_maps import SaliencyMap
from visionzoo.structures.semantic_maps import SemanticMap
from visionzoo.tasks import Tally, task_of


def boxes(*scores):
    return Detections(np.zeros((len(scores), 4)), np.array(scores), np.zeros(len(scores), int), (8, 6))


def cells(*labels):
    names = ("RBC", "WBC", "Platelets", *(f"kind {number:02}" for number in range(12)))
    found = boxes(*[0.9] * len(labels))
    return replace(found, labels=np.array(labels, int), names=names)


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
        ("detection", [cells(1, 0, 0), cells(2, 0), cells(1)], "3 RBC, 2 WBC, 1 Platelets in 3 images"),
        ("detection", [cells(0), cells()], "1 RBC in 1 of 2 images"),
        ("detection", [cells(), cells()], "no box in 2 of 2 images"),
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


def test_the_most_frequent_classes_are_named_and_the_rest_is_one_number():
    text = summary("detection", [cells(*range(15), 14, 14), cells(3, 4)])
    assert text.startswith("3 kind 11, 2 kind 00, 2 kind 01, 1 Platelets, ")
    assert text.endswith(", 5 of 5 other classes in 2 images")
    assert "other" not in summary("detection", [cells(*range(11))])


OVERVIEWS = [
    ("detection", cells(1, 0, 0), {"score": 0.9, "boxes": 3}, {"WBC": [1, 0.9], "RBC": [2, 0.9]}),
    ("detection", boxes(), {"boxes": 0}, {}),
    ("lanes", lane(0.6, 0.7), {"score": 0.7, "lanes": 2}, {}),
    ("classification", classes(0.25, 0.75), {"score": 0.75, "classes": 2}, {"dog": [1, 0.75], "cat": [1, 0.25]}),
    ("saliency", mask(0.5, full=True), {"score": 0.5, "area": 1.0}, {}),
    ("co_saliency", mask(0.5), {"score": 0.0, "area": 0.0}, {}),
    ("counting", crowd(3.25), {"count": 3.25}, {}),
    (
        "semantic",
        SemanticMap(np.array([[0, 1, 1, 255]], np.uint8), ("disc", "sky")),
        {"classes": 2, "share": 0.5},
        {"disc": [1, None], "sky": [1, None]},
    ),
    ("referring", referred_mask_of("disc", np.eye(2)), {"score": 1.0, "area": 0.5}, {}),
]


@pytest.mark.parametrize(("name", "result", "numbers", "found"), OVERVIEWS)
def test_an_overview_has_the_numbers_and_classes_of_a_result(name, result, numbers, found):
    overview = json.loads(json.dumps(task_of(name).overview(result).to_json(), allow_nan=False))
    assert overview["numbers"] == numbers
    assert next(iter(overview["numbers"])) == next(iter(numbers))
    assert overview.get("classes", {}) == found
