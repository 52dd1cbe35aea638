"""A data set in shards, for the pipelines of all tasks that read images. See :mod:`visionzoo.datasets.shards`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from visionzoo.datasets.every_nth import Key, keys_of
from visionzoo.datasets.findings import say_notes
from visionzoo.datasets.json_objects import parse_json
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.shard_writing import ARRAY, INDEX
from visionzoo.datasets.shards import ShardMember, members_of, shards_in
from visionzoo.errors import DataError, counted
from visionzoo.registry import DATASETS
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS

_IMAGES = frozenset(ending[1:] for ending in ANY_IMAGE_ENDINGS)


@DATASETS.register_module()
class ShardDataset(SampleList):
    """Samples in tar shards, in the form of WebDataset or of :func:`visionzoo.datasets.shard_writing.write_shards`.

    The files of a sample become its values, by their ending::

        KEY.jpg           ``img_path``, also for the other endings of images
        KEY.cls           ``gt_label``, a whole number as text
        KEY.json          an object, whose keys are keys of the sample: ``instances``, ``gt_points``, ``segments``, ...
        KEY.gt.png        ``gt_path``, and so on for every NAME.ENDING of an image

    The files of a sample are neighbours. Samples without an image are left out, with a note; other files are not read.
    The values of ``.cls`` and ``.json`` are read when the data set is built, images and masks when a sample is loaded.
    :class:`visionzoo.engine.shard_sampler.ShardSampler` reads the shards one after another.

    Args:
        shards: shards in ``data_root`` or absolute: files, folders, and patterns such as ``train/{000..146}.tar``.
        data_root: a folder.
        keys: by ending, other keys of a sample, such as ``{"seg.png": "gt_path"}``; the key None leaves a file out.
        classes: names of the classes; None for those of ``shards.json`` in the folder of the first shard, if any.
        allow_damaged: use the samples before the damage of a shard, with a note, instead of raising an error.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Attributes:
        shard_sizes: number of samples of each shard, in their order.

    Raises:
        DataError: a shard is missing or damaged, a sample cannot be read, or two of its files give the same value; the
            message names shard and file.

    Example:
        >>> import tempfile
        >>> from visionzoo.datasets.classification import ImageFolder
        >>> from visionzoo.datasets.shard_writing import write_shards
        >>> images = ImageFolder("tiny://imagenet?train=10&val=4&size=24", split="val")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_shards(images, folder, samples=3)
        ...     dataset = ShardDataset(folder)
        ...     dataset.shard_sizes, dataset[3]["gt_label"], dataset.metainfo["classes"][0]
        ((3, 1), 3, 'n01440764')
    """

    def __init__(
        self,
        shards: str | Sequence[str],
        data_root: str = "",
        keys: Mapping[str, str | None] | None = None,
        classes: Sequence[str] | None = None,
        allow_damaged: bool = False,
        **loading: Unpack[LoadingOptions],
    ):
        given = [shards] if isinstance(shards, str) else list(shards)
        paths = [path for each in given for path in shards_in(each, Path(data_root))]
        self._keys, self._allow_damaged = dict(keys or {}), allow_damaged
        self._without_image: list[ShardMember] = []
        samples = [sample for path in paths for sample in self._samples_of(path)]
        if not samples:
            raise DataError(paths[0], expected="samples with an image", found="none", advice="check the shards")
        if self._without_image:
            what = "samples without an image are left out; the files of a sample must be neighbours"
            say_notes(self._without_image[0], {what: len(self._without_image)})
        super().__init__(Path(data_root), samples, **loading)
        self._metainfo.update(_metainfo_beside(paths[0]))
        if classes is not None:
            self._metainfo.update(classes=tuple(classes))

    @staticmethod
    def keys_of(samples: Sequence[dict[str, Any]]) -> list[Key]:
        return keys_of([str(sample["img_path"]) for sample in samples])

    def load_data_list(self) -> list[dict[str, Any]]:
        shards = (sample["img_path"].shard for sample in self._samples)
        self._sizes = [sum(1 for _ in group) for _, group in groupby(shards)]
        return super().load_data_list()

    @property
    def shard_sizes(self) -> tuple[int, ...]:
        sizes, left = [], len(self)
        for size in self._sizes:
            sizes.append(min(size, left))
            left -= sizes[-1]
        return tuple(filter(None, sizes))

    def _samples_of(self, shard: Path) -> Iterator[dict[str, Any]]:
        """Yield the samples of a shard: neighbouring files with one key, among them an image."""
        found = 0
        try:
            for members in _neighbours(members_of(shard)):
                sample = self._sample(members)
                if isinstance(sample.get("img_path"), ShardMember):
                    found += 1
                    yield sample
                elif sample:
                    self._without_image.append(members[0])
        except DataError as error:
            if not self._allow_damaged:
                raise
            say_notes(shard, {f"{error}; the {counted(found, 'sample')} before it are used": 0})

    def _sample(self, members: Sequence[ShardMember]) -> dict[str, Any]:
        sample: dict[str, Any] = {}
        for member in members:
            values = self._values_of(member)
            if twice := values.keys() & sample.keys():
                raise DataError(
                    member,
                    expected=f"one {min(twice)} in a sample",
                    found="a second one",
                    advice=f"give the samples other names, or leave one out with keys={{{member.key[1]!r}: None}}",
                )
            sample |= values
        return sample

    def _values_of(self, member: ShardMember) -> dict[str, Any]:
        """Return the values that a file adds to its sample."""
        key = self._key_of(member.key[1])
        if key == "*":
            return _object_in(member)
        if key is None:
            return {}
        return {key: _label_in(member) if key == "gt_label" else member}

    def _key_of(self, ending: str) -> str | None:
        """Return the key of a sample for an ending: ``*`` for an object of several keys, None for another file."""
        if ending in self._keys:
            return self._keys[ending]
        name, _, last = ending.rpartition(".")
        if last in _IMAGES:
            return f"{name or 'img'}_path"
        return {"json": "*", "cls": "gt_label"}.get(ending)


def _neighbours(members: Iterator[ShardMember]) -> Iterator[list[ShardMember]]:
    """Yield the files of each sample, also of the last one before an error."""
    found: list[ShardMember] = []
    try:
        for member in members:
            if found and member.key[0] != found[0].key[0]:
                yield found
                found = []
            found.append(member)
    except DataError:
        if found:
            yield found
        raise
    if found:
        yield found


def _metainfo_beside(shard: Path) -> dict[str, Any]:
    path = shard.parent / INDEX
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_bytes())["metainfo"]
        return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            path, expected="a JSON object with metainfo", but=f"{error}", advice="write the shards again"
        ) from error


def _object_in(member: ShardMember) -> dict[str, Any]:
    found = parse_json(member.read(), member)
    try:
        return {key: _with_arrays(value) for key, value in found.items()}
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            member, expected="arrays with dtype and shape", found=f"others ({error})", advice="correct it"
        ) from error


def _with_arrays(value: Any) -> Any:
    """Return a value of JSON with its arrays, which :func:`visionzoo.datasets.shard_writing.write_shards` writes."""
    if isinstance(value, list):
        return [_with_arrays(each) for each in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        return np.array(value[ARRAY], dtype=value["dtype"]).reshape(value["shape"])
    return {key: _with_arrays(each) for key, each in value.items()}


def _label_in(member: ShardMember) -> int:
    text = member.read().strip()
    if not text.isdigit():
        raise DataError(
            member, expected="the number of a class, from 0", found=f"{text[:20].decode(errors='replace')!r}",
            advice="correct it, or leave the file out with keys={'cls': None}",
        )  # fmt: skip
    return int(text)
