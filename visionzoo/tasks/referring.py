"""Referring segmentation: the mask of what a phrase means in an image."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.datasets.issues import Examined, Issue
from visionzoo.datasets.mask_files import SALIENT_FROM, read_grey
from visionzoo.datasets.referring.segments import mask_of, problem_of
from visionzoo.errors import counted
from visionzoo.metrics.required import sample_name
from visionzoo.reports.figure import Figure
from visionzoo.reports.images import (
    class_colour,
    draw_outline,
    enlarged,
    label_font,
    letter_height,
    wrapped,
    write_labels,
)
from visionzoo.reports.plots import draw_histogram, empty_figure
from visionzoo.structures.arrays import as_array
from visionzoo.structures.detections import detections_of
from visionzoo.structures.graph_results import Frame, GraphSample, resized
from visionzoo.structures.image_size import size_of_file
from visionzoo.structures.referred_masks import ReferredMask, referred_mask_of
from visionzoo.structures.seeded import seeded_array
from visionzoo.tasks._base import ResultFile, Task
from visionzoo.tasks._goals import Fed, Goal, log_odds, mean_inside, refuse_target
from visionzoo.tasks._overview import Overview
from visionzoo.tasks._tally import Tally
from visionzoo.tasks._truth import part_of, true_mask
from visionzoo.tasks.inputs.phrases import ImageAndPhrase
from visionzoo.tasks.saliency import examined_mask

if TYPE_CHECKING:
    from torch import Tensor, nn

    from visionzoo.graphs.form import ImageForm
    from visionzoo.metrics.referring import Overlap

BRANCHES = ("bottom_up", "top_down")
_OPACITY = 0.5
_LONGEST_SHOWN = 60


def _png(grey: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey).save(file, format="PNG")
    return file.getvalue()


def _mask_file(result: ReferredMask) -> bytes:
    return _png(np.where(result.mask, 255, 0).astype(np.uint8))


def _map_file(result: ReferredMask) -> bytes:
    return _png(_grey(result.map))


def _grey(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * values).astype(np.uint8)


def _rle_file(result: ReferredMask) -> bytes:
    return json.dumps({"text": result.phrase, "score": result.score, "rle": result.to_rle()}).encode()


def _branch_files(result: ReferredMask) -> dict[str, bytes] | None:
    return {f"{name}.png": _png(_grey(values)) for name, values in result.branches.items()} or None


class Referring(Task):
    """Task of finding what a phrase means. The result is :class:`ReferredMask`; it may be that nothing is found."""

    inputs = ImageAndPhrase()
    mark = "region"
    row = staticmethod(ReferredMask.to_row)
    files = (ResultFile("mask", "masks", ".png", _mask_file),)
    saves = {
        "map": ResultFile("map", "maps", ".png", _map_file),
        "branches": ResultFile("branches", "branches", "", _branch_files),
        "rle": ResultFile("rle_file", "rle", ".json", _rle_file),
    }
    save_best = {"ref/oIoU": "greater", "ref/gIoU": "greater", "ref/mIoU": "greater"}
    lower_is_better = ("PN", "IP")
    unranked = ("phrases*",)
    error_text = "1 less the IoU of the mask; of a phrase that means nothing 1 if anything is found, else 0"

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> ReferredMask:
        about = sample.metainfo
        threshold = about.get("mask_threshold")
        predicted = sample.pred_map, sample.get("pred_mask"), sample.get("pred_score")
        found = referred_mask_of(about.get("phrase", ""), *predicted, mask_threshold=threshold)
        objects, reliability = sample.get("pred_objects"), sample.get("pred_reliability")
        maps = {name: sample.get(f"pred_{name}") for name in BRANCHES}
        return replace(
            found,
            objects=None if objects is None else detections_of(objects, (size[0], size[1])),
            branches={name: as_array(values, np.float32) for name, values in maps.items() if values is not None},
            reliability={} if reliability is None else dict(zip(BRANCHES, map(float, reliability), strict=True)),
        )

    def graph(self, model: nn.Module) -> ImageForm:
        from visionzoo.graphs.phrases import phrase_form

        return phrase_form(model)

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        values = resized(frame.without_padding(outputs["map"]), frame.original)[0].clip(0, 1)
        mask = values >= frame.settings["mask_threshold"]
        score = values[mask].mean() if mask.any() else values.max()
        return GraphSample(pred_map=values, pred_mask=mask, pred_score=score)

    def goal(self, fed: Fed, target: str | None, names: Sequence[str] | None) -> Goal:
        """Return the mean log-odds of the map over the region of the phrase."""
        refuse_target(fed.task, target, "the region of the phrase, which --text states")
        values = fed.inside(_log_odds_of(fed.raw()))[0]
        about = fed.samples[0].metainfo
        threshold = about.get("mask_threshold") or fed.head.mask_threshold
        mask = values.sigmoid() >= threshold
        value, region = mean_inside(values, mask)
        return Goal(value, f'mean log-odds of "{about["phrase"]}" over {region}', region=mask)

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_referred(image, result, scale)

    def truth(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> ReferredMask | None:
        """Return the phrase and the true mask."""
        found = true_mask(sample, size, SALIENT_FROM)
        return None if found is None else ReferredMask(part_of(sample, "phrase") or "", *found, 1.0, are_true=True)

    def examined(
        self, record: Mapping[str, Any], size: tuple[int, int] | None, names: Sequence[str] | None
    ) -> Examined:
        place = f"{record['img_path']}, ref {record.get('ref_id', record.get('phrase', ''))}"
        phrases = record.get("phrases", [record.get("phrase", "")])
        issues = [Issue("empty phrases", place, f"{each!r}", "write one") for each in phrases if not each.strip()]
        if "mask_path" in record:
            found = examined_mask(record["mask_path"], record["img_path"], size)
            return replace(found, issues=issues + found.issues)
        stated = (record["width"], record["height"]) if record.get("width") and record.get("height") else None
        known, segments = size or stated, record.get("segments") or []
        problems = [problem_of(each, known[::-1]) for each in segments] if known else []
        issues += [Issue("masks that cannot be used", place, each, "correct them") for each in problems if each]
        return Examined(issues, has_truth=bool(segments))

    def said(self, result: ReferredMask) -> str:
        """Return the phrase and its score, or that nothing is found."""
        return f"{_short(result.phrase)}: {result.message}"

    def overview(self, result: ReferredMask) -> Overview:
        """Return the score, and the share of the image that the mask covers; 0 if nothing is found."""
        return Overview({"score": result.score, "area": result.area}, text=self.said(result))

    def tally(self, result: ReferredMask, best: float | None) -> Tally:
        """Count phrases with a mask. The best value is the highest score of those without one."""
        return Tally({"having": 1}) if result.is_found else Tally({"having": 0}, result.score)

    def summary(self, tally: Tally, inputs: int, threshold: str) -> str:
        """Return how many phrases have a mask, and the highest score of the others."""
        having = int(tally.sums.get("having", 0))
        text = f"a mask for {having} of {inputs} {self.inputs.nouns}"
        if having == inputs or tally.best is None:
            return text
        return f"{text}; nothing found for the other{'s' if inputs - having > 1 else ''} (best {tally.best:.2f})"

    def evidence(self, sample: Any, names: Sequence[str] | None) -> Overlap | None:
        """Return the common pixels of the predicted and the true mask; None for a sample without truth."""
        from visionzoo.metrics.referring import overlap_of

        truth, mask = sample.get("gt_map"), sample.get("pred_mask")
        return None if truth is None or mask is None else overlap_of(mask, truth, where=sample_name(sample, 0))

    def figures(self, records: Sequence[Overlap], names: Sequence[str] | None) -> list[Figure]:
        """Return the IoU of the phrases that mean something, with their precision at five thresholds."""
        meant = [each for each in records if each.target]
        if not meant:
            sentence = "No phrase was tested with its mask." if not records else "No phrase means anything."
            return [empty_figure("iou", "IoU of the phrases", sentence)]
        return [_iou_figure(meant, [each for each in records if not each.target])]

    def error(self, sample: Any, names: Sequence[str] | None) -> float | None:
        """Return 1 less the IoU; of a phrase that means nothing 1 if anything is found, else 0."""
        found = self.evidence(sample, names)
        if found is None:
            return None
        return 1 - found.iou if found.target else float(found.found > 0)

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Return the true mask as a noisy map, moved two pixels to the right; every fourth map is inverted."""
        truth = _truth(sample)
        moved = 0.2 + 0.6 * np.roll(truth, 2, axis=1)
        noisy = (1 - moved if index % 4 == 3 else moved) + 0.1 * seeded_array(seed, f"map {index}", truth.shape)
        values = np.clip(noisy, 0, 1).astype(np.float32)
        known = {"img_path": sample["img_path"], "phrase": sample.get("phrase", ""), "img_shape": truth.shape}
        mask = values >= 0.5
        return {**known, "gt_map": truth, "pred_map": values, "pred_mask": mask, "pred_input_mask": mask}

    def scores(self, samples: Sequence[Any]) -> Tensor:
        import torch

        return torch.stack([sample.pred_map.mean() for sample in samples])


def _truth(sample: Mapping[str, Any]) -> np.ndarray:
    """Return the true mask of a record, (H, W) bool."""
    if "mask_path" in sample:
        return read_grey(sample["mask_path"]) > SALIENT_FROM
    return mask_of(sample["segments"], size_of_file(sample["img_path"])[::-1])


def _short(phrase: str) -> str:
    return phrase if len(phrase) <= _LONGEST_SHOWN else f"{phrase[: _LONGEST_SHOWN - 3]}..."


def _log_odds_of(raw: Tensor | Mapping[str, Tensor]) -> Tensor:
    """Return the log-odds of the object, (B, H, W), of the map of several branches or of one or two logits."""
    if isinstance(raw, Mapping):
        return log_odds(raw["map"][:, 0])
    return raw[:, 0] if raw.shape[1] == 1 else raw[:, 1] - raw[:, 0]


def draw_referred(image: np.ndarray, found: ReferredMask, scale: int = 1) -> np.ndarray:
    """Colour the mask, draw a line around it, and print the phrase and its score.

    Args:
        image: (H, W, 3) uint8 RGB, of the mask's size. The array is not changed.
        found: the result to draw. Without a mask, only the text is printed, at the top left.
        scale: factor by which the image is enlarged, >= 1.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.

    Example:
        >>> draw_referred(np.zeros((32, 48, 3), np.uint8), referred_mask_of("disc", np.eye(32, 48)), 2).shape
        (64, 96, 3)
    """
    colour, mask = class_colour(0), enlarged(found.mask, scale)
    plain = np.array(colour, dtype=float)
    opacity = _OPACITY * mask[..., None]
    canvas = (enlarged(image, scale) * (1 - opacity) + plain * opacity).astype(np.uint8)
    draw_outline(canvas, mask, colour)
    drawn = Image.fromarray(canvas)
    pen, font = ImageDraw.Draw(drawn), label_font(letter_height(canvas))
    texts = [wrapped(pen, text, font, drawn.width - 4) for text in (_short(found.phrase), found.message) if text]
    box = np.array(found.box or [0, 0, 1, 1], dtype=float) * scale
    write_labels(pen, [("\n".join(texts), colour, box)], font, drawn.size)
    return np.asarray(drawn)


def _iou_figure(meant: Sequence[Overlap], empty: Sequence[Overlap]) -> Figure:
    """Return the figure of phrases that mean something; those that mean nothing are in the caption."""
    from visionzoo.metrics.referring import scores_of

    scores = scores_of(meant)
    title = "IoU of the phrases"
    ious = np.array([each.iou for each in meant])
    image = draw_histogram(title, "IoU", ious, np.linspace(0, 1, 21), "phrases")
    caption = (
        f"IoU of {counted(len(meant), 'phrase')} with the true masks, in pixels of the original images. The mean "
        f"(mIoU) is {scores['mIoU']:.4f}; over all pixels (oIoU) it is {scores['oIoU']:.4f}."
    )
    if empty:
        right = sum(not each.found for each in empty)
        caption += f" {len(empty)} further phrases mean nothing; nothing is found for {right} of them."
    rows = [(f"P@{least:g}", f"{scores[f'P@{least:g}']:.4f}") for least in (0.5, 0.6, 0.7, 0.8, 0.9)]
    return Figure("iou", title, image, caption, ("IoU at least", "share of the phrases"), rows)
