"""Division of one list of samples into training and validation: every N-th sample by name is for validation.

The rule has no seed and no state, so both data sets apply it by themselves and never share a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from os.path import dirname
from typing import Any, TypeVar

from visionzoo.errors import ConfigError, DataError

Sample = TypeVar("Sample")
Key = tuple[Any, str]  # stratum and name


def chosen(
    samples: Sequence[Sample],
    keys: Sequence[Key],
    where: object,
    every: int | None = None,
    not_every: int | None = None,
) -> list[Sample]:
    """Return every N-th sample, or the other samples, in their order.

    Args:
        samples: the samples.
        keys: stratum and name of each sample. Names are sorted and counted in each stratum. Samples with equal keys
            stay together: frames of one video, or an image that is listed twice.
        where: begin of the error message.
        every: N >= 2 keeps the N-th, the 2N-th name and so on. Default: all samples.
        not_every: N >= 2 keeps the samples that ``every`` leaves out. At most one of the two is allowed.

    Raises:
        ConfigError: a number is below 2, or both are set.
        DataError: no sample remains.

    Example:
        >>> names = ["b", "c", "a", "d"]
        >>> keys = [("", name) for name in names]
        >>> chosen(names, keys, "data", every=2), chosen(names, keys, "data", not_every=2)
        (['b', 'd'], ['c', 'a'])
    """
    if every is None and not_every is None:
        return list(samples)
    number = _require_one(where, every, not_every)
    with_number = selected(keys, number)
    kept = [sample for sample, key in zip(samples, keys, strict=True) if (key in with_number) == (not_every is None)]
    if not kept:
        which = f"every={every}" if not_every is None else f"not_every={not_every}"
        found = f"none of {len(samples)} with {which}"
        raise DataError(where, expected="at least one sample", found=found, advice="use a smaller number, or add data")
    return kept


def selected(keys: Sequence[Key], number: int) -> set[Key]:
    """Return the keys that ``every=number`` keeps.

    Example:
        >>> sorted(selected([("", "a"), ("", "b"), ("", "c")], 2))
        [('', 'b')]
    """
    by_stratum: dict[Any, set[Key]] = {}
    for key in keys:
        by_stratum.setdefault(key[0], set()).add(key)
    return {key for names in by_stratum.values() for key in sorted(names)[number - 1 :: number]}


def _require_one(where: object, every: Any, not_every: Any) -> int:
    given = {name: value for name, value in (("every", every), ("not_every", not_every)) if value is not None}
    ((name, value),) = list(given.items())[:1]
    if len(given) > 1:
        found = f"every={every!r} and not_every={not_every!r}"
        raise ConfigError(where, expected="every or not_every", found=found, advice="leave one of them out")
    if not isinstance(value, int) or isinstance(value, bool) or value < 2:
        raise ConfigError(where, expected=f"{name} to be a whole number >= 2", found=repr(value), advice="use 5")
    return value


def keys_of(paths: Sequence[str], strata: Sequence[Any] | None = None) -> list[Key]:
    """Return a key for each path; ``strata`` are counted separately.

    Example:
        >>> keys_of(["a.jpg", "b.jpg"], strata=[0, 1])
        [(0, 'a.jpg'), (1, 'b.jpg')]
    """
    return list(zip([""] * len(paths) if strata is None else strata, paths, strict=True))


def keys_by_folder(paths: Sequence[str]) -> list[Key]:
    """Return a key for each path of a frame: its folder, which is one video; the path if there is only one folder.

    Example:
        >>> keys_by_folder(["1/a.jpg", "1/b.jpg", "2/a.jpg"])
        [('', '1'), ('', '1'), ('', '2')]
    """
    folders = list(map(dirname, paths))
    return keys_of(folders if len(set(folders)) > 1 else paths)
