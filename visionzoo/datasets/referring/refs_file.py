"""Files of refs: ``refs(unc).p`` or ``refs(unc).json`` of RefCOCO and its relatives, ``grefs(unc).json`` of gRefCOCO.

A ref is an object of an image with several phrases that mean it. In gRefCOCO, it is any number of objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.json_objects import read_json_value
from visionzoo.datasets.plain_pickles import restricted_pickle_load
from visionzoo.errors import DataError, first_of, require_known

SPLITS = ("train", "val", "test", "testA", "testB", "testC", "testAB", "testBC", "testAC", "all")

# Numbers of refs that the authors publish, by folder and split_by.
PUBLISHED: dict[tuple[str, str], dict[str, int]] = {
    ("refcoco", "unc"): {"train": 42404, "val": 3811, "testA": 1975, "testB": 1810},
    ("refcoco+", "unc"): {"train": 42278, "val": 3805, "testA": 1975, "testB": 1798},
    ("refcocog", "umd"): {"train": 42226, "val": 2573, "test": 5023},
    ("refcocog", "google"): {"train": 44822, "val": 5000},
}

_WHAT = "refs: a list of objects with ref_id, image_id, ann_id, split and sentences"
_AGAIN = "copy or download it again"


@dataclass(frozen=True)
class Ref:
    """One ref.

    Attributes:
        ref_id: its number.
        image_id: id of its image.
        ann_ids: ids of its annotations; empty if the phrases mean no object of the image.
        split: name of its split, such as ``testA``.
        phrases: the phrases as people wrote them.
        sent_ids: number of each phrase; the place in the list if the file has none.
    """

    ref_id: Any
    image_id: Any
    ann_ids: tuple[Any, ...]
    split: str
    phrases: tuple[str, ...]
    sent_ids: tuple[Any, ...]


def refs_file(folder: Path, split_by: str) -> Path | None:
    """Return the file of refs in a folder; JSON before pickles. None without such a file."""
    names = (f"{kind}({split_by}){ending}" for kind in ("refs", "grefs") for ending in (".json", ".p"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_refs(path: Path) -> list[Ref]:
    """Read and check a file of refs. A pickle is read without running code that it may contain.

    Raises:
        DataError: the file is missing, damaged, could run code, or has entries that are not refs.

    Example:
        >>> import json, tempfile
        >>> entry = {"ref_id": 1, "image_id": 7, "ann_id": 3, "split": "val", "sentences": [{"raw": "left box"}]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "refs(unc).json")
        ...     _ = path.write_text(json.dumps([entry]), encoding="utf-8")
        ...     read_refs(path)[0].phrases
        ('left box',)
    """
    entries = _entries(path)
    with Findings(path, expected=_WHAT) as findings:
        found = [_ref(entry, f"refs[{number}]", findings) for number, entry in enumerate(entries)]
        refs = [ref for ref in found if ref is not None]
        for ref_id, times in Counter(ref.ref_id for ref in refs).items():
            if times > 1:
                findings.wrong("refs", "ref_id", expected=f"{shown(ref_id)} in one ref", found=f"it in {times}")
        findings.note("empty phrases", sum(not phrase.strip() for ref in refs for phrase in ref.phrases))
    return refs


def _entries(path: Path) -> list[Any]:
    if path.suffix == ".p":
        entries = restricted_pickle_load(path, of="refs", advice=_AGAIN)
    else:
        entries = read_json_value(path, _WHAT, _AGAIN)
    if not isinstance(entries, list) or not entries:
        found = "an empty list" if entries == [] else f"a value of type {type(entries).__name__}"
        raise DataError(path, expected=_WHAT, found=found, advice="check how it was made")
    return entries


def _ref(entry: Any, place: str, findings: Findings) -> Ref | None:
    """Return a ref, or None for an entry with errors, which are reported."""
    if not isinstance(entry, Mapping):
        findings.wrong(place, "entry", expected="an object", found=shown(entry))
        return None
    ref_id = entry.get("ref_id")
    if _is_id(ref_id):
        place = f"ref {shown(ref_id)}"
    sentences = entry.get("sentences")
    phrases = [_phrase(each) for each in sentences] if isinstance(sentences, list) else []
    ann_ids = _ann_ids(entry)
    checks = (
        ("ref_id", _is_id(ref_id), "a number or text", ref_id),
        ("image_id", _is_id(entry.get("image_id")), "the id of an image", entry.get("image_id")),
        ("ann_id", ann_ids is not None, "the id of an annotation, or a list of ids", entry.get("ann_id")),
        ("split", isinstance(entry.get("split"), str) and bool(entry["split"]), "a name", entry.get("split")),
        ("sentences", bool(phrases) and None not in phrases, "a list of objects with raw or sent", sentences),
    )
    for field, is_right, expected, value in checks:
        if not is_right:
            findings.wrong(place, field, expected=expected, found=shown(value))
    if ann_ids is None or not all(is_right for _, is_right, _, _ in checks):
        return None
    sent_ids = [each.get("sent_id", number) for number, each in enumerate(sentences)]  # type: ignore[arg-type]
    return Ref(ref_id, entry["image_id"], ann_ids, entry["split"], tuple(phrases), tuple(sent_ids))  # type: ignore[arg-type]


def _phrase(sentence: Any) -> str | None:
    """Return the phrase as it was written, else its cleaned form; None without both."""
    known = sentence if isinstance(sentence, Mapping) else {}
    return next((known[key] for key in ("raw", "sent") if isinstance(known.get(key), str)), None)


def _ann_ids(entry: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """Return the ids of the annotations; () for a ref without a target, None for another value."""
    given = entry.get("ann_id")
    listed = given if isinstance(given, list) else [given]
    if entry.get("no_target") is True or (isinstance(given, list) and listed in ([], [-1])):
        return ()
    return tuple(dict.fromkeys(listed)) if all(_is_id(each) and each != -1 for each in listed) else None


def _is_id(value: Any) -> bool:
    return type(value) is int or (type(value) is str and value != "")


# --- splits ---


def refs_of_split(refs: Iterable[Ref], split: str, where: object) -> list[Ref]:
    """Return the refs of a split, by the rules of the REFER tools.

    ``train``, ``val`` and the names of two tests, such as ``testAB``, are exact. ``test`` is every split whose name
    contains ``test``. ``testA`` is every split whose name contains ``A``, also ``testAB``. ``all`` or an empty name is
    every split.

    Args:
        refs: the refs of a file.
        split: name of the split.
        where: the file, for the error.

    Raises:
        UnknownName: there is no such rule.
        DataError: the split has no ref.

    Example:
        >>> refs = [Ref(n, 1, (n,), split, ("a",), (n,)) for n, split in enumerate(["train", "testA", "testAB"])]
        >>> [len(refs_of_split(refs, split, "refs")) for split in ("train", "test", "testA", "testB", "testAB")]
        [1, 2, 2, 1, 1]
    """
    require_known(split or "all", SPLITS, "split of refs")
    rule, known = _rule(split or "all"), list(refs)
    chosen = [ref for ref in known if rule(ref.split)]
    if not chosen:
        splits = Counter(ref.split for ref in known)
        found = first_of((f"{name} ({count})" for name, count in sorted(splits.items())), most=8)
        raise DataError(where, expected=f"refs of the split {split}", found=f"only {found}", advice="use one of them")
    return chosen


def _rule(split: str) -> Callable[[str], bool]:
    if split == "all":
        return lambda name: True
    if split in ("testA", "testB", "testC"):
        return lambda name: split[-1] in name
    return (lambda name: "test" in name) if split == "test" else (lambda name: name == split)


def difference_from_published(folder: str, split_by: str, splits: Collection[str]) -> str:
    """Return how the numbers of refs differ from the published ones; empty if they are equal or none are published.

    Args:
        folder: name of the folder of the data set, such as ``refcoco+``.
        split_by: who made the splits, such as ``unc``.
        splits: the split of each ref.

    Example:
        >>> difference_from_published("refcocog", "google", ["train"] * 44822 + ["val"] * 4900)
        'other numbers of refs than published: val 4900, published 5000'
    """
    counts = Counter(splits)
    differing = [
        f"{split} {counts[split]}, published {published}"
        for split, published in PUBLISHED.get((folder, split_by), {}).items()
        if counts[split] != published
    ]
    return f"other numbers of refs than published: {', '.join(differing)}" if differing else ""
