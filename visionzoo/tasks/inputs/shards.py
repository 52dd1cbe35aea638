"""The images of a shard as inputs, see :mod:`visionzoo.datasets.shards`."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import replace
from pathlib import Path, PurePosixPath

from visionzoo.datasets.shards import members_of
from visionzoo.errors import DataError, InputError, as_utf8
from visionzoo.structures.image_names import is_left_over
from visionzoo.tasks.inputs.base import Source


def images_of_shard(shard: Source, suffixes: Set[str]) -> Iterator[Source]:
    """Yield the images of a shard in their order. The last source is an error if the shard is damaged or has no image.

    The results of an image have the folders and the stem that it has in the shard. The other files of its sample, such
    as ``.cls`` and ``.json``, are not read.

    Args:
        shard: the shard.
        suffixes: endings of images in lower case, with the dot.
    """
    found = False
    try:
        for member in members_of(shard.value):
            path = PurePosixPath(member.name)
            if path.suffix.lower() in suffixes and not any(map(is_left_over, _parts(path))):
                found = True
                yield Source(as_utf8(f"{shard.name}#{member.name}"), member, Path(*map(as_utf8, _parts(path))))
    except DataError as error:
        yield replace(shard, value=error.at(shard.name))
        return
    if not found:
        yield replace(shard, value=InputError(shard.name, expected="images", found="none", advice="check the shard"))


def _parts(path: PurePosixPath) -> list[str]:
    """Return the folders and the name, so that results are never written outside the output folder."""
    return [part for part in path.parts if part not in ("/", "..", ".")]
