"""Pairs of a fixed and a moving volume or slice as inputs of a task."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from visionzoo.datasets.findings import say_notes
from visionzoo.datasets.registration import read_pair_list
from visionzoo.datasets.transforms.volumes import start_of_pair
from visionzoo.datasets.volume_files import axes_of, ending_of, read_labels, read_volume, stem_of, written_ending
from visionzoo.datasets.volume_pairs import Pair, name_of_pair, read_pair
from visionzoo.errors import DataError, InputError, ZooError, in_cwd, require_known
from visionzoo.ops.intensities import scale_intensities
from visionzoo.structures.seeded import seeded_array
from visionzoo.structures.task_sample import TaskSample
from visionzoo.structures.volume_names import COLUMNS, FIELD_FORMATS, INTERPOLATIONS
from visionzoo.structures.volume_warping import is_label_map
from visionzoo.structures.volumes import Volume, has_shear
from visionzoo.tasks.inputs.base import Input, Source
from visionzoo.tasks.inputs.pair_options import add_pair_options

_OPTIONS = ("field_format", "also", "interp")


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
        add_pair_options(parser)

    def sources(self, args: argparse.Namespace) -> Iterator[Source]:
        for path in args.also:
            if not os.path.isfile(path):
                raise InputError(f"--also {path}", expected="a file", found=f"none{in_cwd(path)}", advice="correct it")
        return self.sources_of(_pairs_of(args), **_options_of(args))

    def settings(self, args: argparse.Namespace) -> dict[str, Any]:
        """Return the options, and all files of the pairs: a pair has the same name with and without label maps."""
        digest = hashlib.blake2b(repr(_pairs_of(args)).encode("utf-8", "surrogateescape"), digest_size=8)
        return _options_of(args) | {"hash of the files of all pairs": digest.hexdigest()}

    def changes(self, args: argparse.Namespace, model: Mapping[str, Any]) -> list[str]:
        """Return the number of axes of the first fixed image, if backbone and head have another one."""
        pairs = _pairs_of(args)
        known = {part: model[part]["dims"] for part in ("backbone", "head") if "dims" in (model.get(part) or {})}
        try:
            axes = axes_of(pairs[0]["fixed"]) if known else 0
        except ZooError:  # reported as an unusable input
            return []
        return [f"model.{part}.dims={axes}" for part, dims in known.items() if dims != axes]

    def unused(self, args: argparse.Namespace, model: Any) -> str:
        """Return a sentence if masks are given and no part of the model states that it reads them (``reads``)."""
        if not any("fixed_mask" in files for files in _pairs_of(args)):
            return ""
        parts = [] if model is None else model.modules()  # an exported model has none
        if any("gt_fixed_mask" in getattr(part, "reads", ()) for part in parts):
            return ""
        return "the fixed mask is not used by this model; --instance-steps 40 and the direct method use it"

    def count(self, args: argparse.Namespace) -> int | None:
        return len(_pairs_of(args))

    def sources_of(self, inputs: Any, *, recursive: bool = False, **options: Any) -> Iterator[Source]:
        for name in options:
            require_known(name, _OPTIONS, "option of pairs")
        require_known(options.get("field_format", "itk"), FIELD_FORMATS, "field format")
        require_known(options.get("interp", "auto"), INTERPOLATIONS, "interpolation")
        return (_source(item, options) for item in _listed(inputs))

    def recorded(self, record: Mapping[str, Any]) -> list[Source]:
        """Return the pair of ``files``."""
        files = {key: value for key, value in (record.get("files") or {}).items() if value is not None}
        if not files:
            return []
        name = str(record.get("img_path") or name_of_pair(files))
        return [Source(name, files, Path(f"{name}.png"))]

    def completed(self, sample: Any, value: Pair) -> Any:
        """Return a copy of the sample with ``gt_pair``, the pair as read."""
        complete = sample.clone()
        complete.set_data({"gt_pair": value})
        return complete

    def read(self, source: Source) -> Pair:
        notes: list[str] = []
        pair = read_pair(source.value, source.name, notes.append)
        for what, labels in (("fixed labels", pair.fixed_labels), ("labels", pair.labels)):
            if labels is not None and not is_label_map(labels):
                notes.append(f"{what}: the values are probably intensities and not labels")
        if source.options.get("field_format", "itk") == "itk" and has_shear(pair.fixed.affine, pair.fixed.axes):
            notes.append(
                "the axes of the fixed image are not at right angles, so ITK and ANTs cannot read its field; resample "
                "the image to a grid without shear, or use --field-format voxel"
            )
        interp = source.options.get("interp", "auto")
        names: set[str] = set()
        also = tuple(
            (free_name(name, names), volume, kind)
            for path in source.options.get("also", ())
            for name, volume, kind in read_any(path, interp, notes)
        )
        say_notes(source.name, dict.fromkeys(notes, 0))
        return replace(pair, also=also, notes=tuple(dict.fromkeys(notes)))

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
        """Return two pairs of coarse noise, (2, 1, *size) each; the moving image is similar to the fixed one."""
        pairs = []
        for index in range(2):
            coarse = torch.from_numpy(seeded_array(seed, f"pair {index}", (2, 1, *(side // 4 + 2 for side in size))))
            similar = torch.stack([coarse[0], coarse[0] + 0.25 * coarse[1]])
            mode = {2: "bilinear", 3: "trilinear"}[len(size)]
            fine = F.interpolate(similar, size=tuple(size), mode=mode, align_corners=True)
            pairs.append((fine * 0.2 + 0.5).clamp(0, 1))
        return {"inputs": pairs, "data_samples": [TaskSample(metainfo=dict(group_size=2)) for _ in pairs]}


def read_any(path: str | os.PathLike[str], interp: str, notes: list[str]) -> list[tuple[str, Volume, str]]:
    """Read an image or a label map to be warped; a ``.npz`` file with ``vol`` and ``seg`` holds both.

    Args:
        path: the file.
        interp: one of :data:`visionzoo.structures.volume_names.INTERPOLATIONS`. ``nearest`` and ``onehot`` read a
            label map.
        notes: takes sentences about what is read in its obvious meaning.

    Returns:
        Name of the written file, volume, and interpolation of each part.

    Raises:
        DataError: the file cannot be used.
    """
    name, stem, ending = Path(path).name, stem_of(path), written_ending(ending_of(path))
    reader = read_labels if interp in ("nearest", "onehot") else read_volume
    volume = reader(path, lambda text: notes.append(f"{name}: {text}"))
    parts = [(f"{stem}{ending}", volume, interp)]
    if volume.labels is not None:
        parts.append((f"{stem}_seg{ending}", replace(volume, data=volume.labels, labels=None), "nearest"))
    return parts


def free_name(wanted: str, names: set[str]) -> str:
    """Return a name that is not in ``names`` yet, and add it.

    Example:
        >>> names = set()
        >>> free_name("seg.nii.gz", names), free_name("seg.nii.gz", names)
        ('seg.nii.gz', 'seg-2.nii.gz')
    """
    ending = ending_of(wanted)
    name, number = wanted, 1
    while name in names:
        number += 1
        name = f"{stem_of(wanted)}-{number}{ending}"
    names.add(name)
    return name


def _options_of(args: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(args, name) for name in _OPTIONS}


def _pairs_of(args: argparse.Namespace) -> list[Any]:
    """Return the pairs that a command line names, as dicts by column."""
    files = {column: getattr(args, column) for column in COLUMNS if getattr(args, column) is not None}
    if args.pairs is not None:
        if files or args.also:
            options = ", ".join([*(f"--{column.replace('_', '-')}" for column in files), *["--also"][: len(args.also)]])
            raise InputError("--pairs", expected="no other file", found=options, advice="add columns to the list")
        return _of_list(args.pairs)
    missing = [f"--{column}" for column in ("fixed", "moving") if column not in files]
    if missing:
        raise InputError(
            "pair",
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
