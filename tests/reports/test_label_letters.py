"""Letters of labels: those that Pillow's font lacks, and labels that are wider than the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.reports import images
from visionzoo.reports.images import drawable, label_font, letter_height, line_width, magnified, write_labels
from visionzoo.structures.class_scores import ClassScores
from visionzoo.structures.detections import Detections
from visionzoo.structures.lanes import Lanes
from visionzoo.structures.panoptic import PanopticMap
from visionzoo.structures.panoptic_results import PanopticResult
from visionzoo.structures.referred_masks import ReferredMask
from visionzoo.tasks import task_of
from visionzoo.tasks.detection import draw_detections


def test_letters_that_the_font_lacks_are_drawn_without_their_accents() -> None:
    font = label_font(14)
    assert bytes(font.getmask("Bär")) == bytes(font.getmask("Bar"))
    assert bytes(font.getmask("猫")) == bytes(font.getmask("?"))
    assert font.getlength("Größe") == font.getlength("Grosse")
    assert drawable("a\n5 %") == "a\n5 %"


def test_other_alphabets_are_drawn_by_another_font(monkeypatch) -> None:
    font = label_font(14)
    assert bytes(font.getmask("кот")) != bytes(font.getmask("???"))
    assert bytes(font.getmask("кот 猫")) == bytes(font.getmask("кот ?"))
    assert font.getlength("собака") > font.getlength("кот") > 0
    images._chosen.cache_clear()
    monkeypatch.setattr(images, "_other_font", lambda size: None)
    assert bytes(font.getmask("кот")) == bytes(font.getmask("???"))
    images._chosen.cache_clear()


def test_a_label_that_is_wider_than_the_image_is_cut() -> None:
    image = Image.new("RGB", (61, 40))
    write_labels(
        ImageDraw.Draw(image), [("n" * 90, (255, 0, 0), np.array([3.0, 20, 30, 35]))], label_font(10), image.size
    )
    assert (np.asarray(image)[..., 0] > 200).any()


def test_truths_of_all_kinds_are_drawn_without_scores() -> None:
    image, points = np.zeros((200, 301, 3), np.uint8), (np.array([[150.0, 190], [150, 20]]),)
    ids = np.ones((200, 301), np.uint32)
    pairs = {
        "lanes": [Lanes(points, (1.0,), (0,), are_true=is_true) for is_true in (True, False)],
        "classification": [
            ClassScores(np.ones(1), np.zeros(1, int), ("cat",), are_true=true) for true in (True, False)
        ],
        "panoptic": [
            PanopticResult(PanopticMap.of_ids(ids, {1: (0, False)}), np.ones(1), None, ("cat",), are_true=is_true)
            for is_true in (True, False)
        ],
        "referring": [ReferredMask("cat", ids, ids > 0, 1.0, are_true=is_true) for is_true in (True, False)],
    }
    for task, (true, found) in pairs.items():
        one, two = (task_of(task).draw(image, result, 1) for result in (true, found))
        assert one.shape == two.shape
        assert (one != two).any(), task
        assert (task_of(task).draw(image, replace(found, are_true=True), 1) == one).all(), task


def test_letters_are_larger_on_an_image_that_is_reduced_later() -> None:
    image = np.zeros((480, 640, 3))
    plain = letter_height(image), line_width(image)
    with magnified(2.5):
        assert (letter_height(image), line_width(image)) == (30, 5)
    assert (letter_height(image), line_width(image)) == plain == (12, 2)


def test_a_truth_is_drawn_without_scores() -> None:
    boxes, scores = np.array([[5.0, 40, 60, 80], [10, 100, 90, 150]], np.float32), np.ones(2, np.float32)
    labels, image = np.array([0, 1]), np.zeros((200, 301, 3), np.uint8)
    found, true = (
        Detections(boxes, scores, labels, (301, 200), names=("cat", "dog"), are_true=is_true)
        for is_true in (False, True)
    )
    assert (draw_detections(image, true) > 0).sum() < (draw_detections(image, found) > 0).sum()
