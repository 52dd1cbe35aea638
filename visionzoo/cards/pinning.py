"""Write the sha256 of downloaded files into cards, so that every later download is compared with it."""

from __future__ import annotations

from pathlib import Path

import yaml

from visionzoo.errors import CardError
from visionzoo.front_matter import card_text, find_card, shown_card, split_front_matter
from visionzoo.system.atomic import write_text
from visionzoo.weights.downloads import file_sha256
from visionzoo.weights.release import Release, releases_of


def lock_card(name: str, id: str | None = None) -> list[str]:
    """Write sha256 and size of the released files that are on this machine into a card. Comments and layout are kept.

    Args:
        name: name of the card.
        id: id of one file; None for all.

    Returns:
        One line for each written entry.

    Raises:
        CardError: a file is another one than that of the first download, or its entry has no ``checked_by``.
        OutputError: the file of the card cannot be written.
    """
    path, written = find_card(name), []
    for number, release in enumerate(releases_of(name)):
        raw = release.raw() if release.entry.sha256 is None and id in (None, release.entry.id) else None
        if raw is not None:
            written.append(_lock(path, number, release, raw))
    return written


def _lock(path: Path, number: int, release: Release, raw: Path) -> str:
    sha256, size = file_sha256(raw), raw.stat().st_size
    known = release.known_sha256
    if known is not None and known != sha256:
        raise CardError(
            raw, expected=f"sha256 {known} of the first download", found=sha256, advice="run `visionzoo weights verify`"
        )
    write_text(path, with_fields(card_text(path), path, number, {"sha256": sha256, "bytes": size}))
    return f"{shown_card(path)}: {release.entry.id}: sha256 {sha256}, {size} bytes"


def with_fields(text: str, path: Path, number: int, fields: dict[str, str | int]) -> str:
    """Return the text of a card with fields of one entry of ``weights``, and ``checked_by: sha256``.

    Args:
        text: the whole card.
        path: its file, for messages.
        number: index of the entry.
        fields: values to write, in place of the old ones or below ``checked_by``.

    Raises:
        CardError: the entry has no ``checked_by``.
    """
    front, _ = split_front_matter(text, path)
    entry = _entry_node(yaml.compose(front, Loader=yaml.SafeLoader), number)
    nodes = {key.value: value for key, value in entry.value}
    keys = {key.value: key for key, _ in entry.value}
    if "checked_by" not in nodes:
        raise CardError(shown_card(path), expected=f"weights.{number}.checked_by", found="none", advice="add it")
    missing = {name: value for name, value in fields.items() if name not in nodes}
    indent = " " * keys["checked_by"].start_mark.column
    separator = ", " if entry.flow_style else f"\n{indent}"
    changes = {nodes[name]: str(value) for name, value in fields.items() if name in nodes}
    changes[nodes["checked_by"]] = separator.join(["sha256", *(f"{name}: {value}" for name, value in missing.items())])
    offset = text.index(front)
    for node, value in sorted(changes.items(), key=lambda pair: -pair[0].start_mark.index):
        start, end = offset + node.start_mark.index, offset + node.end_mark.index
        text = text[:start] + value + text[end:]
    return text


def _entry_node(root: yaml.Node, number: int) -> yaml.Node:
    for key in ("visionzoo", "weights"):
        root = next(value for name, value in root.value if name.value == key)
    return root.value[number]
