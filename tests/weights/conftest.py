"""A badly behaved server, and cards that name its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from bad_server import BadServer
from fake_hub import hub  # noqa: F401 - a fixture

from visionzoo import front_matter
from visionzoo.cards import find_card
from visionzoo.front_matter import split_front_matter


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BadServer]:
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("VISIONZOO_OFFLINE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = BadServer()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


Card = Callable[..., Path]


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Card:
    """Return a function that replaces the weights of a card and returns the new file."""
    replaced: dict[str, Path] = {}
    real = front_matter.released_files
    monkeypatch.setattr(front_matter, "released_files", lambda *what: {**real(*what), **replaced})

    def write(name: str, *entries: dict[str, Any]) -> Path:
        old = find_card(name)
        front, body = split_front_matter(old.read_text(), old)
        values = yaml.safe_load(front)
        values["visionzoo"]["weights"] = [entry_with(**entry) for entry in entries]
        path = tmp_path / "model_cards" / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"---\n{yaml.safe_dump(values, sort_keys=False)}---\n{body}")
        replaced[name] = path
        return path

    return write


def entry_with(**changes: Any) -> dict[str, Any]:
    """Return an entry of ``weights`` with some values; its file has the names of the zoo."""
    return {
        "id": "first",
        "url": None,
        "checked_by": "first_download",
        "format": {},
        "for": "model",
        "license": "MIT",
        "provenance": "made by a test",
        **changes,
    }
