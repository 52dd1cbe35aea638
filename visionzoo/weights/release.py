"""A released file of a model: where it comes from, and its places in the cache. This imports no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionzoo._version import __version__
from visionzoo.config import find_config
from visionzoo.errors import CheckpointError
from visionzoo.weights.cache_folder import by_hand_folder, converted_folder
from visionzoo.weights.downloads import Download
from visionzoo.weights.entry import Weights, entries_of, entry_of
from visionzoo.weights.hub import hub_file
from visionzoo.weights.packaged import package_file, pip_file
from visionzoo.weights.pins import read_pins

SCHEME = "released://"
UNTRAINED = 'use an untrained model: --weights none (weights="none")'
# Functions for addresses whose files pip or huggingface_hub bring, and check themselves.
LOCAL_FILES = {"pip": pip_file, "package": package_file, "hf": hub_file}


@dataclass(frozen=True)
class Release:
    """One released file of a model.

    Attributes:
        model: name of its config.
        entry: its entry in the card.

    Example:
        >>> from visionzoo.weights.entry import WeightsFormat
        >>> entry = Weights(
        ...     id="a", url="https://example.org/a.pth", checked_by="first_download", format=WeightsFormat(),
        ...     for_="model", license="MIT", provenance="trained on ImageNet",
        ... )
        >>> Release("scnn_culane", entry).source
        'https://example.org/a.pth'
    """

    model: str
    entry: Weights

    @classmethod
    def of(cls, name: str, id: str | None = None) -> Release:
        """Return a released file by the name of the model and its id; by default the first.

        Raises:
            UnknownName: no such model or id exists.
            CheckpointError: the card lists no released file.
        """
        return cls(find_config(name).stem, entry_of(name, id))

    @classmethod
    def at(cls, address: str) -> Release:
        """Return the released file of ``released://NAME`` or ``released://NAME#ID``; see :meth:`of`.

        Raises:
            CheckpointError: the address has no name; see also :meth:`of`.
        """
        name, _, id = address.removeprefix(SCHEME).partition("#")
        if not name:
            raise CheckpointError(
                address,
                expected="released://NAME or released://NAME#ID",
                found="no name of a model",
                advice="`visionzoo weights list` prints names and ids",
            )
        return cls.of(name, id or None)

    @property
    def source(self) -> str:
        """Address of the file; for one that only a web page hands out, ``PAGE#MODEL-ID/FILE``."""
        return self.entry.url or f"{self.entry.page}#{self.model}-{self.entry.id}/{self.entry.file}"

    @property
    def scheme(self) -> str:
        """Scheme of the address; empty for a file that only a web page hands out."""
        return (self.entry.url or "").partition("://")[0]

    @property
    def download(self) -> Download:
        """The download of the file."""
        entry = self.entry
        return Download(
            self.source,
            entry.sha256,
            tuple(entry.mirrors),
            entry.bytes,
            entry.name,
            by_hand=by_hand_folder() / f"{self.model}-{entry.id}" / entry.name,
            otherwise=UNTRAINED,
        )

    @property
    def known_sha256(self) -> str | None:
        """The sha256 in the card, else that of the first download; None before it."""
        pin = read_pins().get(self.source)
        return self.entry.sha256 or (pin.sha256 if pin else None)

    @property
    def place(self) -> Path:
        """Place of the file: in the cache, or where a user puts it by hand."""
        return self.download.target if self.entry.url else self.download.put_by_hand[0]

    def header(self, sha256: str) -> dict[str, Any]:
        """Return what the header of the converted file states about its origin."""
        form = self.entry.format
        return {
            "model": self.model,
            "id": self.entry.id,
            "for": self.entry.for_,
            "source": self.source,
            "sha256": sha256,
            **form.model_dump(),
            "version": __version__,
        }

    def converted(self, sha256: str) -> Path:
        """Return the path of the converted file in the cache, whether or not it exists."""
        stated = json.dumps(self.header(sha256), sort_keys=True, default=str)
        mark = hashlib.sha256(stated.encode()).hexdigest()[:12]
        return converted_folder() / f"{self.model}-{self.entry.id}-{mark}.safetensors"

    def raw(self) -> Path | None:
        """Return the released file itself if it is in the cache or was put there by hand, else None."""
        if self.scheme in LOCAL_FILES:
            return None
        places = (*(self.download.cached if self.entry.url else ()), *self.download.put_by_hand)
        return next((path for path in places if path.is_file()), None)

    def cached(self) -> Path | None:
        """Return the file to load if it is on this machine, else None. Nothing is fetched."""
        if self.scheme in ("pip", "package"):
            try:
                return LOCAL_FILES[self.scheme](self.source)
            except CheckpointError:
                return None
        known = self.known_sha256
        ready = self.converted(known) if known else None
        if ready is not None and ready.is_file():
            return ready
        return self.raw()


def releases_of(name: str) -> list[Release]:
    """Return the released files of a model in the order of its card; an empty list if it has none.

    Raises:
        UnknownName: no config has this name.
        CardError: the card cannot be read, or an entry violates the schema.
    """
    return [Release(find_config(name).stem, entry) for entry in entries_of(name)]
