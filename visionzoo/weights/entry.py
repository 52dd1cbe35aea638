"""Entries of ``weights:`` in model cards: released files of weights, and how each is fetched, checked and converted."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from visionzoo.card_fields import Fields, Positive, Sha256, Slug, Text, Url, card_problem
from visionzoo.config import find_config
from visionzoo.errors import CheckpointError, UnknownName, some_of
from visionzoo.front_matter import (
    card_files,
    card_text,
    parsed_front_matter,
    split_front_matter,
)
from visionzoo.weights.downloads import HASH_IN_NAME

WeightsUrl = Annotated[str, Field(pattern=r"^(https?|pip|package|hf)://\S+$")]


class WeightsFormat(Fields):
    """Names of the tensors in a released file.

    ``converter`` converts them, as ``visionzoo convert checkpoint --from``; None means the names of the zoo. ``use``
    and ``options`` are its ``--as`` and ``--set``. ``member`` is the path of the weights in an archive (.zip, .tar.gz).
    """

    converter: Slug | None = None
    use: Literal["classifier", "model", "detector", "backbone"] | None = None
    options: dict[str, Any] = {}
    member: Text | None = None

    @model_validator(mode="after")
    def _options_need_a_converter(self) -> WeightsFormat:
        if self.converter is None and (self.use is not None or self.options):
            raise ValueError("`use` and `options` belong to a `converter`, found none")
        return self


class Weights(Fields):
    """One released file of weights.

    ``url`` is an https address, ``pip://DISTRIBUTION/PATH`` (a file of an installed package),
    ``package://visionzoo/PATH`` (a file of the zoo) or ``hf://ORG/REPO@REV/FILE``. It is null for a file that only a
    web page hands out; then ``page`` and ``file`` name it. ``checked_by`` states how a download is checked: by
    ``sha256``, by the eight or more hex digits in the name of the file, or by the sha256 of the first download.
    ``cfg_options`` are the options of the config (``--cfg-options``) with which the weights fit and compute as in their
    source. ``numbers`` are those that the authors print.
    """

    id: Slug
    url: WeightsUrl | None
    page: Url | None = None
    file: Text | None = None
    mirrors: list[WeightsUrl] = []
    bytes: Positive | None = None
    sha256: Sha256 | None = None
    checked_by: Literal["sha256", "file_name", "first_download"]
    format: WeightsFormat
    for_: Annotated[Literal["model", "backbone"], Field(alias="for")]
    cfg_options: dict[str, Any] = {}
    license: Text
    provenance: Text
    numbers: Text | None = None

    @property
    def name(self) -> str:
        """Name of the file: ``file``, else the last part of ``url``."""
        return self.file or PurePosixPath(unquote(urlsplit(self.url or "").path)).name

    @model_validator(mode="after")
    def _page_replaces_url(self) -> Weights:
        if self.url is None and (self.page is None or self.file is None):
            raise ValueError("a file without `url` needs `page` and `file`, found none")
        if not self.name:
            raise ValueError("a `url` without the name of a file needs `file`, found none")
        return self

    @model_validator(mode="after")
    def _check_agrees(self) -> Weights:
        possible = "sha256" if self.sha256 else "file_name" if HASH_IN_NAME.search(self.name) else "first_download"
        if self.checked_by != possible:
            raise ValueError(
                f"`checked_by` expected {possible} for {self.name} "
                f"{'with' if self.sha256 else 'without'} `sha256`, found {self.checked_by}"
            )
        plain = [url for url in (self.url, *self.mirrors) if url is not None and _is_unprotected(url)]
        if plain and possible == "first_download":
            raise ValueError(f"an http address needs `sha256` or hex digits in the file's name, found {plain[0]}")
        return self


def _is_unprotected(url: str) -> bool:
    """Return True for http to another machine, on whose way the bytes could be changed."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost")


def unique_ids(entries: list[Weights]) -> list[Weights]:
    """Return ``entries``.

    Raises:
        ValueError: two entries have the same id.
    """
    ids = [entry.id for entry in entries]
    twice = next((each for each in ids if ids.count(each) > 1), None)
    if twice is not None:
        raise ValueError(f"every `id` once, found {twice} {ids.count(twice)} times")
    return entries


class _Zoo(Fields):
    """The part of a card that this module reads."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)
    weights: Annotated[list[Weights], AfterValidator(unique_ids)]


def entries_of(name: str | Path) -> list[Weights]:
    """Return the released files of a model in the order of its card.

    Args:
        name: name of a config, or the short name of a system.

    Returns:
        The entries; an empty list for a config without a card.

    Raises:
        UnknownName: no config has this name.
        CardError: the card cannot be read, or an entry violates the schema.

    Example:
        >>> entries_of("direct_affine")
        []
    """
    path = card_files().get(find_config(name).stem)
    return [] if path is None else entries_in(path)


def entries_in(path: Path) -> list[Weights]:
    """Return the released files that a card lists.

    Raises:
        CardError: the card cannot be read, or an entry violates the schema.
    """
    front, _ = split_front_matter(card_text(path), path)
    zoo = parsed_front_matter(front, path).get("visionzoo") or {}
    try:
        return _Zoo.model_validate(zoo).weights
    except ValidationError as error:
        raise card_problem(error, path, _Zoo, "visionzoo") from error


def entry_of(name: str, id: str | None = None) -> Weights:
    """Return one released file of a model: that with this id, else the first.

    Raises:
        UnknownName: no config has this name, or its card has no such id.
        CheckpointError: the card lists no released file.
    """
    entries = entries_of(name)
    if not entries:
        raise none_released(name)
    if id is None:
        return entries[0]
    by_id = {entry.id: entry for entry in entries}
    if id not in by_id:
        raise UnknownName(id, kind=f"released file of {name}", known=by_id)
    return by_id[id]


def whole_model_of(name: str) -> Weights:
    """Return the first released file with the whole model.

    Raises:
        CheckpointError: the card lists none.
    """
    entries = entries_of(name)
    whole = next((entry for entry in entries if entry.for_ == "model"), None)
    if whole is None:
        raise none_released(name, some_of([entry.id for entry in entries], 3))
    return whole


def none_released(name: str, backbones: str = "") -> CheckpointError:
    """Return the error for a model without released weights, or with only those of its backbone."""
    return CheckpointError(
        name,
        expected="weights",
        found=f"only those of its backbone ({backbones})" if backbones else "none released",
        advice=(
            "train it and name the folder of the run, or use an untrained model: --weights none on the command "
            'line, weights="none" in Python'
        ),
    )
