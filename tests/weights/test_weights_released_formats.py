"""Every released file that a card names: its converter exists, its weights fit, and its format gives the prediction.

The files themselves are not here. For each format a file is made from weights under the names of its authors, served
from this machine under the address of a card's entry, or put where a user puts a file by hand; see ``released_cases``.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import torch
from released_cases import CASES, Released, kind_of
from released_shapes import UNCHECKED, shapes_of

from visionzoo.config import load_config
from visionzoo.converters import CONVERTERS
from visionzoo.front_matter import card_names
from visionzoo.models.wiring import build_model
from visionzoo.weights.entry import HASH_IN_NAME, Weights, entries_of, entry_of
from visionzoo.weights.release import Release
from visionzoo.weights.released import released_file
from visionzoo.weights.safe_load import read_checkpoint

ENTRIES = [(card, entry) for card in card_names() for entry in entries_of(card)]
OURS = ("pip://", "package://")  # files of packages, which others test
RELEASED = [(card, entry) for card, entry in ENTRIES if not (entry.url or "").startswith(OURS)]
IDS = [f"{card}#{entry.id}" for card, entry in RELEASED]


class Handler(SimpleHTTPRequestHandler):
    """Serve files and print nothing."""

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Released]:
    """Return a function that makes a file the released one of a card's entry, and returns its converted tensors."""
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "cache"))
    for name in ("VISIONZOO_OFFLINE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()

    def release(card: str, id: str, file: Path, **options: Any) -> dict[str, torch.Tensor]:
        entry = _entry_for(entry_of(card, id), file, server.server_address[1], options)
        monkeypatch.setattr("visionzoo.weights.release.entry_of", lambda name, chosen=None: entry)
        place = folder / entry.name if entry.url else Release.of(card, id).place
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, place)
        read = read_checkpoint(released_file(card, id))
        assert read["meta"]["released"]["id"] == id
        return read["state_dict"]

    yield release
    server.shutdown()
    server.server_close()


def _entry_for(entry: Weights, file: Path, port: int, options: dict[str, Any]) -> Weights:
    """Return an entry with the address and the checksum of a file on this machine, checked in the same way."""
    sha256, name = hashlib.sha256(file.read_bytes()).hexdigest(), entry.name
    if entry.checked_by == "file_name":
        name = HASH_IN_NAME.sub(lambda match: match[0].replace(match[1], sha256[:8]), name)
    form = entry.format.model_copy(update={"options": {**entry.format.options, **options}})
    url = None if entry.url is None else f"http://127.0.0.1:{port}/{quote(name)}"
    stated = sha256 if entry.checked_by == "sha256" else None
    changes = {"url": url, "file": name, "mirrors": [], "bytes": None, "sha256": stated, "format": form}
    return entry.model_copy(update=changes)


# --- entries ---


@pytest.mark.parametrize(("card", "entry"), RELEASED, ids=IDS)
def test_every_entry_can_be_used(card: str, entry: Weights) -> None:
    """Its addresses are addresses, its converter exists and takes its options, and its format has a case."""
    for url in filter(None, [entry.url, entry.page, *entry.mirrors]):
        parts = urlsplit(url)
        assert parts.scheme in ("https", "http")
        assert "." in parts.netloc
        assert parts.path.strip("/")
    if entry.format.converter is not None:
        converter = CONVERTERS.get(entry.format.converter)
        assert entry.format.use in converter.uses
        known = converter.parameters(entry.format.use or "")
        assert set(entry.format.options) <= set(known)
        assert (entry.format.use == "backbone") == (entry.for_ == "backbone")
    assert kind_of(card, entry) in CASES


def test_every_case_is_of_its_kind() -> None:
    for kind, case in CASES.items():
        assert kind_of(case.card, entry_of(case.card, case.id)) == kind


def test_ids_are_unique() -> None:
    assert len({(card, entry.id) for card, entry in ENTRIES}) == len(ENTRIES)


def test_entries_name_the_page_of_their_address() -> None:
    assert not [f"{card}#{entry.id}" for card, entry in RELEASED if entry.page is None]


# --- sizes ---

CHECKED = [(card, entry) for card, entry in RELEASED if kind_of(card, entry) not in UNCHECKED]
# The first entry of each kind is checked always, the others, of other sizes, with the slow tests.
FIRST = {kind_of(card, entry): (card, entry.id) for card, entry in reversed(CHECKED)}
FITS = [
    pytest.param(
        card,
        entry,
        marks=[] if FIRST[kind_of(card, entry)] == (card, entry.id) else [pytest.mark.slow],
        id=f"{card}#{entry.id}",
    )
    for card, entry in CHECKED
]
# Tensors that a released trunk lacks, and that its users initialise too: norms of maps, offsets of convolutions.
NEW_IN_TRUNK = re.compile(r"norm[0-3]\.|.*\.conv2\.conv_offset\.")


def test_unchecked_kinds_are_cases() -> None:
    assert set(UNCHECKED) <= set(CASES)


@pytest.mark.parametrize(("card", "entry"), FITS)
def test_a_whole_released_file_fits(card: str, entry: Weights) -> None:
    """Every tensor of the file has a place in the card's model, with its options, and none of the model's is new."""
    loaded = load_config(card, options=entry.cfg_options, allow_new=True)
    with torch.device("meta"), redirect_stdout(io.StringIO()):
        model = build_model(loaded.cfg.model, replaced=loaded.replaced)
    converter = CONVERTERS.get(entry.format.converter or "")
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.format.options.items()}
    file = shapes_of(card, entry, model.state_dict())
    ours = converter.convert(entry.format.use or "", file, {"file_name": entry.name, **options})
    own = (model.backbone if entry.for_ == "backbone" else model).state_dict()
    assert not [name for name in ours if name not in own]
    assert not [name for name, value in ours.items() if value.shape != own[name].shape]
    new = [name for name in own if name not in ours and not name.endswith("num_batches_tracked")]
    assert not new if entry.for_ == "model" else all(NEW_IN_TRUNK.match(name) for name in new)


# --- formats ---

CASE_PARAMETERS = [
    pytest.param(kind, marks=[pytest.mark.slow] if case.slow else [], id=kind) for kind, case in CASES.items()
]


@pytest.mark.parametrize("kind", CASE_PARAMETERS)
def test_a_released_file_gives_the_prediction(kind: str, tmp_path: Path, released: Released) -> None:
    if kind == "voxelmorph":
        pytest.importorskip("h5py")
    folder = tmp_path / "made"
    folder.mkdir()
    CASES[kind].run(CASES[kind], folder, released)
