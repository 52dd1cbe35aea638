"""What ``--tiny`` replaces in a config that a user wrote."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from visionzoo.config.tree import MISSING, Origins, join, replaces, without_deletes
from visionzoo.errors import counted, some_of

_MOST = 5  # values that the note lists


def replaced_by_tiny(
    values: Mapping[str, Any], tiny: Mapping[str, Any], origins: Origins, own: Collection[str]
) -> list[str]:
    """Return one line with the values of the user's own files that the tiny variant replaces by other values.

    Args:
        values: the config before the tiny variant is merged.
        tiny: the tiny variant. Values of it that the user's own files set count as known to the user.
        origins: the file that set each value, also those of the key ``tiny``.
        own: the files of the user.

    Example:
        >>> origins = Origins({"train_dataloader.batch_size": "own.py", "task": "configs/x.py"})
        >>> values = {"train_dataloader": {"batch_size": 16}, "task": "detection"}
        >>> replaced_by_tiny(values, {"train_dataloader": {"batch_size": 4}}, origins, {"own.py"})
        ['--tiny replaces 1 value of own.py: train_dataloader.batch_size 16 -> 4']
    """
    found = {
        path: pair
        for path, *pair in _replaced(values, tiny)
        if _is_set_by(own, origins, path) and not _is_set_by(own, origins, f"tiny.{path}")
    }
    if not found:
        return []
    texts = [f"{path} {old!r} -> {new!r}" if _is_short(old, new) else path for path, (old, new) in found.items()]
    count = counted(len(found), "value")
    return [f"--tiny replaces {count} of {', '.join(sorted(own))}: {some_of(texts, _MOST)}"]


def _replaced(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any, Any]]:
    for key, value in new.items():
        here, before = join(path, key), old.get(key, MISSING)
        if before is MISSING or before == without_deletes(value):
            continue
        if replaces(value, before):
            yield here, before, value
        else:
            yield from _replaced(before, value, here)


def _is_set_by(files: Collection[str], origins: Origins, path: str) -> bool:
    inside = (source for key, source in origins.items() if key.startswith(f"{path}."))
    return origins.of(path) in files or any(source in files for source in inside)


def _is_short(*values: Any) -> bool:
    return all(value is None or isinstance(value, (bool, int, float, str)) for value in values)
