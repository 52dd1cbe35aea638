"""The schemes of addresses of weights, and the function that returns the local file for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from visionzoo.system.distributed import from_first
from visionzoo.weights.downloads import fetch_weights, known_url, verify_sha256
from visionzoo.weights.hub import hub_file
from visionzoo.weights.packaged import package_file, pip_file
from visionzoo.weights.released import released_source

# Functions from an address to a file on this machine, by scheme. Other schemes are short names of http addresses.
LOCAL: dict[str, Callable[[str], Path]] = {
    "pip": pip_file,
    "package": package_file,
    "hf": hub_file,
    "released": released_source,
}


def local_copy(source: str, sha256: str | None = None) -> Path:
    """Return the local file of an address. The first process of a run fetches it; the others wait for it.

    Args:
        source: an http address, ``released://NAME#ID``, ``pip://...``, ``package://...`` or ``hf://...``, or a short
            name such as ``torchvision://resnet50``.
        sha256: expected sha256 of the file, or None to skip the check.

    Raises:
        CheckpointError: the file cannot be fetched, or has another sha256.
        UnknownName: no such short name, model or id exists.

    Example:
        >>> local_copy("package://visionzoo/model_cards/schema.json").name
        'schema.json'
    """
    from_first(lambda: _local_copy(source, sha256))
    return _local_copy(source, sha256)


def _local_copy(source: str, sha256: str | None) -> Path:
    find = LOCAL.get(source.partition("://")[0])
    if find is None:
        return fetch_weights(known_url(source), sha256)
    path = find(source)
    if sha256 is not None:
        verify_sha256(path, sha256)
    return path
