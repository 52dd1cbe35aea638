"""Front matter of model cards: find the file of a card and read its YAML.

It imports neither torch nor pydantic, because ``visionzoo list`` reads all cards.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from visionzoo.config.files import config_folder, released_files
from visionzoo.errors import CardError, UnknownName
from visionzoo.plugins import shown_in_plugin

_FENCE = "---"

# --- files ---


def card_folder() -> Path:
    """Return the folder of the cards, beside that of the configs: in the installed package, else in the repository."""
    return config_folder().parent / "model_cards"


def card_names() -> list[str]:
    """Return the names of all cards, sorted; those of the zoo and of plugins.

    Example:
        >>> "rcnet_retinanet" in card_names()
        True
    """
    return sorted(card_files())


def card_files() -> dict[str, Path]:
    """Return the files of all cards by name, those of the zoo and of plugins.

    Raises:
        PluginError: a plugin cannot be found, or has a card of the same name as another package.
    """
    return released_files("model_cards", ".md", "model card")


def find_card(name: str) -> Path:
    """Return the file of a card.

    Raises:
        UnknownName: no card has this name.

    Example:
        >>> find_card("rcnet_retinanet").name
        'rcnet_retinanet.md'
    """
    known = card_files()
    if name not in known:
        raise UnknownName(name, kind="model card", known=known, hint=f"visionzoo list shows all {len(known)}")
    return known[name]


def shown_card(path: Path) -> str:
    """Return the path of a card as messages print it: ``model_cards/x.md``, or ``toy_zoo/model_cards/x.md``."""
    folder = card_folder()
    if path.parent.resolve() == folder.resolve():
        return f"{folder.name}/{path.name}"
    return shown_in_plugin(path.resolve()) or path.as_posix()


# --- text ---


def card_text(path: Path) -> str:
    """Return the text of a card.

    Raises:
        CardError: the file cannot be read, or is not in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(
            path, expected="a card in UTF-8 that can be read", but=f"{error}", advice="check the path"
        ) from error


def split_front_matter(text: str, path: Path) -> tuple[str, str]:
    """Split a card into the YAML between the first two ``---`` lines and the Markdown below them.

    Raises:
        CardError: the card has no front matter.

    Example:
        >>> split_front_matter("---\\nlicense: mit\\n---\\n# Title\\n", Path("card.md"))
        ('license: mit\\n', '# Title\\n')
    """
    lines = text.splitlines(keepends=True)
    fences = [index for index, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(fences) < 2 or fences[0] != 0:
        raise CardError(shown_card(path), expected="YAML between two lines `---` on top", found="none", advice="add it")
    return "".join(lines[1 : fences[1]]), "".join(lines[fences[1] + 1 :])


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader that rejects duplicate keys. YAML itself silently keeps the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is written twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def parsed_front_matter(front: str, path: Path) -> dict[str, Any]:
    """Return the values of a front matter by field.

    Raises:
        CardError: the text is not a mapping in YAML, or repeats a key.

    Example:
        >>> parsed_front_matter("license: mit", Path("card.md"))
        {'license': 'mit'}
    """
    try:
        values = yaml.load(front, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 2}" if mark else ""  # counted from 0, below the fence
        reason = getattr(error, "problem", None) or "it does not parse"
        raise CardError(f"{shown_card(path)}{line}", expected="valid YAML", but=reason, advice="fix it") from error
    if not isinstance(values, dict):
        raise CardError(
            shown_card(path), expected="a mapping as front matter", found=f"{type(values).__name__}", advice="fix it"
        )
    return values


def heading(body: str) -> str:
    """Return the text of the first heading of the Markdown below the front matter; empty without one.

    Example:
        >>> heading("\\n# A detector\\n\\nText.")
        'A detector'
    """
    line = next((line for line in body.splitlines() if line.startswith("# ")), "")
    return line.removeprefix("# ").strip()
