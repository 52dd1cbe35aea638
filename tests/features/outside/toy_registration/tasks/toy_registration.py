"""Registration of two small volumes: a shift, and an image of the differences."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from visionzoo.errors import InputError
from visionzoo.structures.seeded import seeded_array
from visionzoo.structures.task_sample import TaskSample
from visionzoo.tasks import ResultFile, Task
from visionzoo.tasks.inputs.base import Input, Source


class VolumePair(Input):
    """A fixed and a moving volume, ``.npy`` files of one shape."""

    noun = "a pair of volumes"
    has_samples = True

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--fixed", help="the fixed volume, a .npy file")
        parser.add_argument("--moving", help="the moving volume, a .npy file")
        parser.add_argument("--pairs", help="a CSV file with the columns fixed and moving, in place of the two")

    def sources(self, args: argparse.Namespace) -> Iterator[Source]:
        if args.pairs:
            with open(args.pairs, encoding="utf-8") as file:
                rows = [(row["fixed"], row["moving"]) for row in csv.DictReader(file)]
        elif args.fixed and args.moving:
            rows = [(args.fixed, args.moving)]
        else:
            raise InputError("infer", expected="--fixed and --moving, or --pairs", found="neither", advice="give both")
        return self.sources_of(rows)

    def count(self, args: argparse.Namespace) -> int | None:
        return None if args.pairs else 1

    def sources_of(self, inputs: Any, *, recursive: bool = False) -> Iterator[Source]:
        for item in inputs:
            if isinstance(item, Source):
                yield item
                continue
            fixed, moving = item
            columns = {"fixed": str(fixed), "moving": str(moving)}
            name = f"{Path(fixed).stem}-{Path(moving).stem}"
            yield Source(name, (Path(fixed), Path(moving)), Path(f"{name}.png"), columns=columns)

    def read(self, source: Source) -> tuple[np.ndarray, np.ndarray]:
        try:
            fixed, moving = (np.load(path).astype(np.float32) for path in source.value)
        except OSError as error:
            raise InputError(source.name, expected="two volumes", but=str(error), advice="check the paths") from error
        if fixed.shape != moving.shape:
            raise InputError(source.name, expected=f"shape {fixed.shape}", found=str(moving.shape), advice="resample")
        return fixed, moving

    def size(self, value: tuple[np.ndarray, np.ndarray]) -> tuple[int, ...]:
        return value[0].shape

    def image(self, value: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        middle = value[0][len(value[0]) // 2]
        return np.repeat((255 * middle.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)

    def start(self, sources: Sequence[Source], values: Sequence[Any], *, order: str, keep: bool) -> dict[str, Any]:
        (pair,) = values
        return {"img": [volume[..., None] for volume in pair], "img_path": sources[0].name}

    def seeded(self, seed: int, size: Sequence[int]) -> dict[str, Any]:
        pairs = [seeded_array(seed, f"pair {index}", (2, 1, *size)) for index in range(2)]
        samples = [TaskSample(metainfo=dict(group_size=2)) for _ in pairs]
        return {"inputs": [torch.from_numpy(pair) for pair in pairs], "data_samples": samples}


@dataclass(frozen=True)
class Shift:
    """A shift in voxels, and the difference of the middle slices, (H, W)."""

    shift: float
    difference: np.ndarray

    def above(self, threshold: float) -> Shift:
        return self

    def to_json(self) -> dict[str, Any]:
        return {"shift": round(self.shift, 4)}


def _difference_file(result: Shift) -> bytes:
    file = io.BytesIO()
    Image.fromarray((255 * result.difference.clip(0, 1)).astype(np.uint8)).save(file, format="PNG")
    return file.getvalue()


class ToyRegistration(Task):
    """The shift between two volumes."""

    inputs = VolumePair()
    row = staticmethod(Shift.to_json)
    files = (
        ResultFile("difference", "raw", ".png", _difference_file),
        ResultFile("absent", "raw", ".txt", lambda result: None),
    )
    save_best = {"toy_shift/MAE": "less"}

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Shift:
        return Shift(float(sample.pred_shift), sample.pred_difference.cpu().numpy())

    def draw(self, image: np.ndarray, result: Shift, scale: int) -> np.ndarray:
        drawn = image.copy()
        drawn[..., 0] = (255 * result.difference.clip(0, 1)).astype(np.uint8)
        return drawn.repeat(scale, axis=0).repeat(scale, axis=1)

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        noise = float(seeded_array(seed, f"shift {index}", (1,))[0])
        return {"gt_shift": sample["gt_shift"], "pred_shift": sample["gt_shift"] + 0.2 * noise}

    def scores(self, samples: Sequence[Any]) -> Tensor:
        return torch.stack([sample.pred_shift for sample in samples])
