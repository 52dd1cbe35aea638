"""Referring segmentation: the part of an image that a phrase names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from toy_referring.datasets import COLOURS, draw_scene
from visionzoo.structures.seeded import seeded_array
from visionzoo.structures.task_sample import TaskSample
from visionzoo.tasks.inputs.base import Source
from visionzoo.tasks.inputs.images import ImageInput
from visionzoo.tasks.saliency import Saliency


class ImageAndPhrase(ImageInput):
    """Images, and one phrase for all of them."""

    noun = "an image and a phrase"
    has_samples = True

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--text", required=True, help="the phrase")

    def sources(self, args: argparse.Namespace) -> Iterator[Source]:
        return (replace(source, columns={"phrase": args.text}) for source in super().sources(args))

    def sources_of(self, inputs: Any, *, recursive: bool = False) -> Iterator[Source]:
        for item in inputs:
            image, phrase = (item, item.columns["phrase"]) if isinstance(item, Source) else item
            for source in super().sources_of([image], recursive=recursive):
                yield replace(source, columns={"phrase": phrase})

    def start(self, sources: Sequence[Source], values: Sequence[Any], *, order: str, keep: bool) -> dict[str, Any]:
        return {**super().start(sources, values, order=order, keep=keep), "phrase": sources[0].columns["phrase"]}

    def seeded(self, seed: int, size: Sequence[int]) -> dict[str, Any]:
        samples = [TaskSample(metainfo=dict(phrase=f"the {colour} half")) for colour in COLOURS[:2]]
        return {**super().seeded(seed, size), "data_samples": samples}


class ToyReferring(Saliency):
    """A map of the part that a phrase names; it is read, drawn and written as in the saliency task."""

    inputs = ImageAndPhrase()
    save_best = {"toy_overlap/IoU": "greater"}

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        _, mask = draw_scene(sample["scene_seed"], sample["phrase"])
        noise = seeded_array(seed, f"map {index}", mask.shape)
        return {"gt_map": mask, "pred_map": np.clip(mask / 255 + 0.4 * noise, 0, 1)}
