"""Pairs of a fixed and a moving volume or slice as inputs of a task."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from visionzoo.datasets.field_files import FIELD_FORMATS
from visionzoo.datasets.registration import read_pair_list
from visionzoo.datasets.transforms.volumes import start_of_pair
from visionzoo.datasets.volume_pairs import COLUMNS, Pair, name_of_pair, read_pair
from visionzoo.errors import DataError, InputError, ZooError, require_known
from visionzoo.ops.intensities import scale_intensities
from visionzoo.structures.seeded import seeded_array
from visionzoo.structures.task_sample import TaskSample
from visionzoo.tasks.inputs.base import Input, Source

_OPTIONS = ("field_format",)


class VolumePair(Input):
    """A fixed and a moving image of two or three axes, see :mod:`visionzoo.datasets.volume_files`.

    The moving image is brought to the grid of the fixed one, which a note states. From Python, a pair is a tuple
    ``(fixed, moving)``, or a dict with the keys of :data:`visionzoo.datasets.volume_pairs.COLUMNS`, of paths, arrays or
    volumes. One path is a list of pairs.

    Example:
        >>> inputs = VolumePair()
        >>> source, = inputs.sources_of((np.eye(6), np.eye(6)[::-1]))
        >>> inputs.size(inputs.read(source))
        (6, 6)
    """

    noun = "a pair of images"
    nouns = "pairs"
    usage = "--fixed FILE --moving FILE"
    has_samples = True

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        kinds = "NIfTI, .mgz, .npz, .npy, or a grey 2-D image"
        parser.add_argument("--fixed", metavar="FILE", help=f"the image that stays as it is: {kinds}")
        parser.add_argument("--moving", metavar="FILE", help="the image that is moved to the fixed one")
        parser.add_argument(
            "--labels", metavar="FILE", help="label map of the moving image, to be warped too (default: seg of a .npz)"
        )
        parser.add_argument(
            "--fixed-labels", metavar="FILE", help="label map of the fixed image; with --labels, Dice is measured"
        )
        parser.add_argument("--fixed-mask", metavar="FILE", help="only this part of the fixed image counts")
        parser.add_argument("--points", metavar="FILE", help="landmarks of the moving image, lines of voxel indices")
        parser.add_argument("--fixed-points", metavar="FILE", help="the same landmarks in the fixed image")
        parser.add_argument(
            "--pairs",
            metavar="FILE",
            help=f"many pairs: CSV with the columns {', '.join(COLUMNS)} (all but two optional), or lines of two paths",
        )
        parser.add_argument(
            "--field-format",
            choices=FIELD_FORMATS,
            default="itk",
            help="format of the field: mm for ITK and ANTs, voxels as VoxelMorph or Learn2Reg (default: itk)",
        )

    def sources(self, args: argparse.Namespace) -> Iterator[Source]:
        return self.sources_of(_pairs_of(args), field_format=args.field_format)

    def count(self, args: argparse.Namespace) -> int | None:
        return len(_pairs_of(args))

    def sources_of(self, inputs: Any, *, recursive: bool = False, **options: Any) -> Iterator[Source]:
        for name in options:
            require_known(name, _OPTIONS, "option of pairs")
        require_known(options.get("field_format", "itk"), FIELD_FORMATS, "field format")
        return (_source(item, options) for item in _listed(inputs))

    def read(self, source: Source) -> Pair:
        return read_pair(source.value, source.name)

    def size(self, value: Pair) -> tuple[int, ...]:
        """Return the sides of the fixed image in voxels."""
        return value.fixed.shape

    def image(self, value: Pair) -> np.ndarray:
        """Return the middle slice of the fixed image, (H, W, 3)."""
        data = value.fixed.data
        plane = data if data.ndim == 2 else data[..., data.shape[2] // 2]
        return np.repeat((255 * scale_intensities(plane)).astype(np.uint8)[..., None], 3, axis=2)

    def start(self, sources: Sequence[Source], values: Sequence[Any], *, order: str, keep: bool) -> dict[str, Any]:
        (source,), (pair,) = sources, values
        return {**start_of_pair(pair), "gt_pair": pair, "field_format": source.options.get("field_format", "itk")}

    def seeded(self, seed: int, size: Sequence[int]) -> dict[str, Any]:
        """Return two pairs of coarse noise, (2, 1, *size) each."""
        pairs = []
        for index in range(2):
            coarse = seeded_array(seed, f"pair {index}", (2, 1, *(side // 4 + 2 for side in size)))
            mode = {2: "bilinear", 3: "trilinear"}[len(size)]
            fine = F.interpolate(torch.from_numpy(coarse), size=tuple(size), mode=mode, align_corners=True)
            pairs.append((fine * 0.2 + 0.5).clamp(0, 1))
        return {"inputs": pairs, "data_samples": [TaskSample(metainfo=dict(group_size=2)) for _ in pairs]}


def _pairs_of(args: argparse.Namespace) -> list[Any]:
    """Return the pairs that a command line names, as dicts by column."""
    files = {column: getattr(args, column) for column in COLUMNS if getattr(args, column) is not None}
    if args.pairs is not None:
        if files:
            options = ", ".join(f"--{column.replace('_', '-')}" for column in files)
            raise InputError("--pairs", expected="no other file", found=options, advice="add columns to the list")
        return _of_list(args.pairs)
    missing = [f"--{column}" for column in ("fixed", "moving") if column not in files]
    if missing:
        raise InputError(
            "infer",
            expected="--fixed and --moving, or --pairs",
            found=f"no {' and no '.join(missing)}",
            advice="give both",
        )
    return [files]


def _of_list(path: str | os.PathLike[str]) -> list[Any]:
    try:
        return list(read_pair_list(Path(path), Path(path).parent))
    except DataError as error:
        raise error.at(path, InputError) from error


def _listed(inputs: Any) -> Any:
    if isinstance(inputs, str | os.PathLike):
        return _of_list(inputs)
    if isinstance(inputs, Mapping | Source) or (isinstance(inputs, tuple) and len(inputs) == 2):
        return [inputs]
    return inputs


def _source(item: Any, options: Mapping[str, Any]) -> Source:
    if isinstance(item, Source):
        return item
    files = dict(item) if isinstance(item, Mapping) else _of_two(item)
    for key in files:
        require_known(key, COLUMNS, "file of a pair")
    name = name_of_pair(files)
    columns = {key: os.fspath(files[key]) for key in ("fixed", "moving") if isinstance(files[key], str | os.PathLike)}
    return Source(name, files, Path(f"{name}.png"), columns=columns, options=options)


def _of_two(item: Any) -> dict[str, Any]:
    if isinstance(item, ZooError) or not isinstance(item, Sequence) or len(item) != 2:
        raise InputError(
            "pair",
            expected="a fixed and a moving image, or a dict of files",
            found=f"a value of type {type(item).__name__}",
            advice="pass (fixed, moving)",
        )
    return dict(zip(("fixed", "moving"), item))
