"""Files, or entries of files, of truth and prediction that belong together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from visionzoo.errors import DataError, counted, first_of, in_cwd, require_none_missing

LABEL_ENDINGS = (".png", ".bmp", ".tif", ".tiff")


def require_same(
    found: Collection[str], expected: Collection[str], pred: Path, gt: Path, nouns: str = "images"
) -> None:
    """Check that the predictions are of the same images as the truth.

    Args:
        found, expected: names of prediction and truth.
        pred, gt: their files, for the error.
        nouns: the word for the names in messages.

    Raises:
        DataError: there is no common name, or a name is only on one side.
    """
    known = set(expected)
    both = known & set(found)
    if not both:
        raise DataError(
            pred,
            expected=f"predictions of the {len(known)} {nouns} of {gt} ({first_of(sorted(known))})",
            found=f"none of them (it has {first_of(sorted(found)) or 'no entry'})",
            advice="name the prediction of this data set",
        )
    missing = sorted(known - both)
    require_none_missing(
        missing, pred, expected=f"all {len(known)} {nouns} of {gt}", advice="predict all of them, also the empty ones"
    )
    other = sorted(set(found) - both)
    if other:
        raise DataError(
            pred,
            expected=f"only {nouns} of {gt}",
            found=f"{counted(len(other), 'other')} ({first_of(other)})",
            advice="name the truth of all of them, or remove the others",
        )


def paired_files(
    gt: Path,
    pred: Path,
    endings: Sequence[str] = LABEL_ENDINGS,
    *,
    gt_suffix: str = "",
    pred_suffix: str = "",
    what: str = "maps",
) -> dict[str, tuple[Path, Path]]:
    """Return truth and prediction of each name in two folders.

    A name is the path below its folder, without ending and suffix.

    Args:
        gt, pred: folders.
        endings: endings of files that are read.
        gt_suffix, pred_suffix: last part of the names before the ending, which is not a part of the name.
        what: the word for the files in messages.

    Raises:
        DataError: a folder is missing or has no such file, a name occurs twice, or is only in one folder.
    """
    truth, found = (
        named_files(folder, endings, suffix, what) for folder, suffix in ((gt, gt_suffix), (pred, pred_suffix))
    )
    require_same(found, truth, pred, gt, what)
    return {name: (truth[name], found[name]) for name in sorted(truth)}


def named_files(
    folder: Path, endings: Sequence[str] = LABEL_ENDINGS, suffix: str = "", what: str = "maps"
) -> dict[str, Path]:
    """Return the files of a folder by name, see :func:`paired_files`.

    Raises:
        DataError: the folder is missing or has no such file, or a name occurs twice.
    """
    from visionzoo.structures.image_names import is_left_over

    if not folder.is_dir():
        found = f"a file{in_cwd(folder)}" if folder.exists() else f"no such folder{in_cwd(folder)}"
        raise DataError(folder, expected=f"a folder of {what}", found=found, advice="check the path")
    files = (
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in endings
        and path.stem.endswith(suffix)
        and not any(map(is_left_over, path.relative_to(folder).parts))
    )
    listed: dict[str, list[Path]] = {}
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix()
        listed.setdefault(name[: len(name) - len(suffix)], []).append(path)
    if not listed:
        named = f"names that end in {suffix}" if suffix else "such files"
        raise DataError(folder, expected=f"{what} ({', '.join(endings)})", found=f"no {named}", advice="check the path")
    _require_once(listed, folder)
    return {name: paths[0] for name, paths in listed.items()}


def _require_once(listed: Mapping[str, Sequence[Path]], folder: Path) -> None:
    for paths in listed.values():
        if len(paths) > 1:
            found = f"{len(paths)}: {first_of(path.name for path in paths)}"
            raise DataError(folder, expected="one file for each name", found=found, advice="remove all but one")


def require_once(names: Iterable[str], where: Path, noun: str = "image") -> None:
    """Raise DataError if a name occurs twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            advice = "keep one of them; results of several processes repeat a few images"
            raise DataError(where, expected=f"each {noun} once", found=f"{name} twice", advice=advice)
        seen.add(name)
