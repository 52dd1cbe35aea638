"""Pairs of images to register: from folders, one folder, an atlas, a CSV file or a list.

A pattern such as ``IXI-T1/*-T1.nii.gz`` names the images; what ``*`` stands for is the subject.

==========================  =======================================================================
IXI, T1 to T2               ``fixed="IXI-T1/*-T1.nii.gz", moving="IXI-T2/*-T2.nii.gz"``, ``same``
IXI between subjects        ``fixed="IXI-T1/*-T1.nii.gz"``, ``all`` or ``next``
MICDIR's two folders        ``fixed="fixed/*.nii.gz", moving="moving/*.nii.gz"``, ``sorted``
Neurite-OASIS               ``fixed="*/aligned_norm.nii.gz", labels="*/aligned_seg35.nii.gz"``
atlas to subject            ``fixed="atlas.nii.gz", moving="*/aligned_norm.nii.gz"``, ``atlas``
==========================  =======================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Unpack

from visionzoo.datasets.every_nth import chosen, keys_of
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.missing_files import advice, missing_files
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.datasets.volume_pairs import COLUMNS, name_of_pair
from visionzoo.errors import ConfigError, DataError, first_of, require_known, require_none_missing
from visionzoo.registry import DATASETS
from visionzoo.structures.image_names import is_left_over
from visionzoo.system.csv_files import parse_csv
from visionzoo.system.text_files import read_text

_LONGEST_PATH = 1024
PAIRINGS = ("all", "next", "same", "sorted", "atlas")
_ADVICE = advice("registration")
_LIST = "a CSV file with the columns fixed and moving, or lines of two paths"
# A word, or in quotes several words.
_QUOTED = re.compile(r""""([^"]+)"|'([^']+)'""")
_WORD = re.compile(rf"{_QUOTED.pattern}|(\S+)")


@DATASETS.register_module()
class RegistrationPairs(SampleList):
    """Pairs of a fixed and a moving image, with label maps if they exist.

    A sample has ``img_path``, the name of the pair, and ``files``: by column of
    :data:`visionzoo.datasets.volume_pairs.COLUMNS` the path of a file. ``LoadVolumePair`` reads them.

    Args:
        data_root: a folder, or ``tiny://ixi``, ``tiny://oasis`` or ``tiny://oasis_2d`` for drawn brains.
        fixed: pattern of the fixed images below ``data_root``, with one ``*`` for the subject.
        moving: pattern of the moving images; default: the same images.
        fixed_labels: pattern of the label maps of the fixed images, with one ``*``; default: ``labels``.
        labels: pattern of the label maps of the moving images; default: none, except those in the image files.
        pairing: ``all``: each fixed with each moving image of another subject. ``next``: each subject with the next
            one. ``same``: the two images of each subject. ``sorted``: both lists by name, of equal length. ``atlas``:
            one fixed image with each moving image.
        pairs: file below ``data_root`` that lists the pairs, instead of the patterns: CSV with the columns ``fixed``
            and ``moving``, and optional ``fixed_labels``, ``labels``, ``fixed_mask``, ``fixed_points`` and ``points``;
            or lines ``fixed moving``.
        every: N keeps every N-th subject by name, for validation; with ``pairs``, every N-th pair. Default: all.
        not_every: N keeps the other subjects, for training.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        ConfigError: neither or both of ``fixed`` and ``pairs`` are set, or a pattern has not one ``*``.
        DataError: no pair is found, files are missing, or the list has errors.
        UnknownName: an unknown pairing.

    Example:
        >>> dataset = RegistrationPairs("tiny://oasis_2d?subjects=3&size=16", "*.npz", serialize_data=False)
        >>> len(dataset), dataset[0]["img_path"]
        (6, 'OASIS_OAS1_0001_MR1-OASIS_OAS1_0002_MR1')
    """

    def __init__(
        self,
        data_root: str,
        fixed: str | None = None,
        moving: str | None = None,
        fixed_labels: str | None = None,
        labels: str | None = None,
        pairing: str = "all",
        pairs: str | None = None,
        **loading: Unpack[LoadingOptions],
    ):
        require_known(pairing, PAIRINGS, "pairing")
        every, not_every = loading.pop("every", None), loading.pop("not_every", None)  # of subjects, not of pairs
        if (fixed is None) == (pairs is None):
            raise ConfigError(
                "RegistrationPairs",
                expected="a pattern of fixed images or a list of pairs",
                found="both" if fixed else "neither",
                advice="set fixed or pairs",
            )
        root = resolve_data_root(data_root)
        if not root.is_dir():
            raise DataError(root, expected="a folder of images", found="none", advice=_ADVICE)
        if pairs is not None:
            listed = _listed(root, root / pairs)
            listed = chosen(listed, keys_of([name_of_pair(files) for files in listed]), root / pairs, every, not_every)
        else:
            patterns = {"fixed": fixed, "moving": moving or fixed, "labels": labels}
            is_shared = moving in (None, fixed) or pairing == "same"
            patterns["fixed_labels"] = fixed_labels or (labels if is_shared else None)
            listed = _by_patterns(root, patterns, pairing, every, not_every)
        samples = [{"img_path": name, "files": files} for name, files in zip(_names(listed), listed)]
        super().__init__(root, samples, **loading)


def _names(pairs: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the names of pairs; equal ones get a number."""
    counts: dict[str, int] = {}
    names = []
    for files in pairs:
        name = name_of_pair(files)
        counts[name] = counts.get(name, 0) + 1
        names.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    return names


# --- patterns ---


def _by_patterns(
    root: Path, patterns: Mapping[str, str | None], pairing: str, every: int | None, not_every: int | None
) -> list[dict[str, str]]:
    found = files_by_subject(root, patterns)
    for key in ("fixed", "moving"):
        if not found[key]:
            raise DataError(
                root, expected=f"{key} images {patterns[key]}", found="none", advice=f"check the pattern; {_ADVICE}"
            )
    subjects = subjects_of(found, pairing)
    kept = set(chosen(subjects, keys_of(subjects), root, every, not_every))
    with Findings(root, expected="pairs of images") as findings:
        fixed, moving = list(found["fixed"]), list(found["moving"])
        if pairing in _OF_ONE_SUBJECT:
            couples = [couple for couple in _PAIRS[pairing](fixed, moving, root, findings) if couple[0] in kept]
        else:
            fixed = fixed if pairing == "atlas" else [subject for subject in fixed if subject in kept]
            moving = [subject for subject in moving if subject in kept]
            couples = _PAIRS[pairing](fixed, moving, root, findings)
        pairs = [_files(found, *couple) for couple in couples]
        for key in ("fixed_labels", "labels"):
            if key in found:
                findings.note(f"pairs without {key} {patterns[key]}", sum(key not in files for files in pairs))
    if not pairs:
        raise DataError(root, expected="two subjects or more", found="no pair", advice=f"check the patterns; {_ADVICE}")
    return pairs


def files_by_subject(root: Path, patterns: Mapping[str, str | None]) -> dict[str, dict[str, str]]:
    """Return the files of each pattern by subject.

    Files that match the pattern of label maps are not images. The only fixed image is not a moving one.

    Args:
        root: folder of the patterns.
        patterns: patterns by column of :data:`visionzoo.datasets.volume_pairs.COLUMNS`; None for none.

    Raises:
        ConfigError: a pattern has more than one ``*``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.nii", "a_seg.nii", "b.nii"):
        ...         Path(folder, name).touch()
        ...     found = files_by_subject(Path(folder), {"fixed": "*.nii", "labels": "*_seg.nii"})
        >>> {key: list(files) for key, files in found.items()}
        {'fixed': ['a', 'b'], 'labels': ['a']}
    """
    found = {key: _subjects(root, pattern) for key, pattern in patterns.items() if pattern}
    images = {patterns.get("fixed"), patterns.get("moving")}
    maps = [key for key in ("fixed_labels", "labels") if patterns.get(key) not in {None, *images}]
    used = {path for key in maps for path in found[key].values()}
    atlas = found.get("fixed", {}).get(_ONLY)
    for key, others in (("fixed", used), ("moving", {*used, atlas})):
        if key in found:
            found[key] = {subject: path for subject, path in found[key].items() if path not in others}
    return found


def subjects_of(found: Mapping[str, Mapping[str, str]], pairing: str) -> list[str]:
    """Return the subjects that ``every`` counts, sorted: those with an image, of the fixed ones if a pair has its name.

    Args:
        found: result of :func:`files_by_subject`.
        pairing: one of ``PAIRINGS``.
    """
    fixed, moving = (set(found[key]) for key in ("fixed", "moving"))
    if pairing == "same":
        return sorted(fixed & moving)
    return sorted(fixed if pairing == "sorted" else moving if pairing == "atlas" else fixed | moving)


_ONLY = ""  # the subject of a pattern without *


def _subjects(root: Path, pattern: str) -> dict[str, str]:
    """Return the paths that match a pattern by subject, sorted. A path without ``*`` is one subject."""
    if pattern.count("*") > 1:
        raise ConfigError(
            f"pattern {pattern!r}", expected="one * for the subject", found=f"{pattern.count('*')}", advice="use one"
        )
    before, star, after = pattern.partition("*")
    if not star:
        return {_ONLY: str(root / pattern)} if (root / pattern).is_file() else {}
    found = {}
    for path in sorted(root.glob(pattern)):
        place = path.relative_to(root).as_posix()
        if path.is_file() and not any(map(is_left_over, Path(place).parts)):
            found[place[len(before) : len(place) - len(after)]] = str(path)
    return found


def _files(found: Mapping[str, Mapping[str, str]], fixed: str, moving: str) -> dict[str, str]:
    subjects = {"fixed": fixed, "moving": moving, "fixed_labels": fixed, "labels": moving}
    return {key: found[key][name] for key, name in subjects.items() if name in found.get(key, {})}


Couples = list[tuple[str, str]]
_OF_ONE_SUBJECT = ("same", "sorted")  # a pair stays together when every Nth subject is kept


def _all(fixed: list[str], moving: list[str], root: Path, findings: Findings) -> Couples:
    return [(first, second) for first, second in product(fixed, moving) if first != second]


def _next(fixed: list[str], moving: list[str], root: Path, findings: Findings) -> Couples:
    turned = moving[1:] + moving[:1]
    return [(first, second) for first, second in zip(fixed, turned) if first != second]


def _same(fixed: list[str], moving: list[str], root: Path, findings: Findings) -> Couples:
    both = [subject for subject in fixed if subject in set(moving)]
    findings.note("subjects with only one of the two images, left out", len({*fixed, *moving}) - len(both))
    return [(subject, subject) for subject in both]


def _sorted(fixed: list[str], moving: list[str], root: Path, findings: Findings) -> Couples:
    if len(fixed) != len(moving):
        raise DataError(
            root,
            expected=f"as many moving as fixed images ({len(fixed)}) for the pairing 'sorted'",
            found=f"{len(moving)}",
            advice="remove images without a partner, or pair them by subject with pairing='same'",
        )
    return list(zip(fixed, moving))


def _atlas(fixed: list[str], moving: list[str], root: Path, findings: Findings) -> Couples:
    if len(fixed) != 1:
        raise DataError(
            root, expected="one fixed image for the pairing 'atlas'", found=f"{len(fixed)}", advice="name one file"
        )
    return [(fixed[0], subject) for subject in moving]


_PAIRS = {"all": _all, "next": _next, "same": _same, "sorted": _sorted, "atlas": _atlas}


# --- lists ---


def _listed(root: Path, path: Path) -> list[dict[str, str]]:
    pairs = read_pair_list(path, root)
    files = [file for pair in pairs for file in pair.values()]
    missing = sorted(set(missing_files(files, root)))
    require_none_missing(missing, path, expected=f"the {len(set(files))} files that it names", advice=_ADVICE)
    return pairs


def read_pair_list(path: Path, root: Path) -> list[dict[str, str]]:
    """Read a list of pairs.

    Args:
        path: CSV with the columns ``fixed`` and ``moving``, and optional other ones of
            :data:`visionzoo.datasets.volume_pairs.COLUMNS`; or lines of two paths, in quotes if they contain spaces.
            Other columns are left out.
        root: folder of relative paths.

    Returns:
        The files of each pair by column; a path that is not given is missing.

    Raises:
        DataError: the file cannot be read, lists no pair, or a line has errors.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "pairs.txt").write_text("a.nii b.nii\\n")
        ...     read_pair_list(Path(folder, "pairs.txt"), Path("data"))
        [{'fixed': 'data/a.nii', 'moving': 'data/b.nii'}]
    """
    text = read_text(path, expected=_LIST, advice="check the path")
    with Findings(path, expected=_LIST) as findings:
        first = _QUOTED.sub("", text.partition("\n")[0])
        is_table = any(separator in first for separator in ",;\t")
        rows = _table(text, path, findings) if is_table else _lines(text, findings)
        pairs = []
        for line, cells in rows:
            for key in ("fixed", "moving"):
                if (cell := cells.get(key, "")) == "" or not cell.isprintable() or len(cell) > _LONGEST_PATH:
                    findings.wrong(f"line {line}", key, expected="a path", found=shown(cell) if cell else "nothing")
            pairs.append({key: str(root / value) for key, value in cells.items() if value and key in COLUMNS})
    if not pairs:
        raise DataError(path, expected=_LIST, found="no pair", advice="add a line for each pair")
    return pairs


def _table(text: str, path: Path, findings: Findings) -> list[tuple[int, dict[str, str]]]:
    try:
        table = parse_csv(text, required=("fixed", "moving"))
    except DataError as error:
        raise error.at(path) from error
    others = [column for column in table.columns if column not in COLUMNS]
    if others:
        findings.note_once(f"columns that are not used: {first_of(others)}")
    for row in table.rows:
        if row.fault:
            findings.wrong(f"line {row.line}", "cells", expected=row.fault[0], found=row.fault[1])
    return [(row.line, row.cells) for row in table.rows if not row.fault]


def _lines(text: str, findings: Findings) -> list[tuple[int, dict[str, str]]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        words: Any = ["".join(parts) for parts in _WORD.findall(line)]
        if not words or words[0].startswith("#") or (number == 1 and words == ["fixed", "moving"]):
            continue
        if len(words) != 2:
            expected = "two paths, in quotes if they contain spaces"
            findings.wrong(f"line {number}", "pair", expected=expected, found=shown(line))
            continue
        rows.append((number, dict(zip(("fixed", "moving"), words))))
    return rows
