"""Submissions of Learn2Reg: a zip file with one field per pair, ``disp_FIXED_MOVING.nii.gz``."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from visionzoo.errors import InputError

# Names of Learn2Reg end in the number of the subject and that of the modality: OASIS_0001_0000.nii.gz.
_CASE = re.compile(r"_(\d{4})_\d{4}$")
# Measures of Learn2Reg, as the summary calls them.
_MEASURES = {"dice": "Dice", "hd95": "HD95", "sdlogj_l2r": "SDlogJ"}


def entry_name(fixed: str, moving: str) -> str:
    """Return the name of the field of a pair: the numbers of the subjects, or the stems of other file names.

    Equal stems have the name of their folder in front.

    Example:
        >>> entry_name("imagesTr/OASIS_0001_0000.nii.gz", "imagesTr/OASIS_0002_0000.nii.gz")
        'disp_0001_0002.nii.gz'
        >>> entry_name("s1/norm.nii.gz", "s2/norm.nii.gz")
        'disp_s1_norm_s2_norm.nii.gz'
    """
    from visionzoo.datasets.volume_pairs import stems_of_pair

    cases = [found[1] if (found := _CASE.search(stem)) else stem for stem in stems_of_pair(fixed, moving)]
    return f"disp_{cases[0]}_{cases[1]}.nii.gz"


def require_names(path: str, pairs: Iterable[Mapping[str, Any]]) -> None:
    """Raise an error if two pairs have one name in a submission.

    Args:
        path: the zip file.
        pairs: files of each pair, by column of :data:`visionzoo.structures.volume_names.COLUMNS`.

    Raises:
        InputError: two pairs have one name.
    """
    names: set[str] = set()
    for files in pairs:
        name = entry_name(files["fixed"], files["moving"])
        if name in names:
            raise InputError(path, expected="one field for each pair of subjects", found=f"two called {name}",
                             advice="rename the files of one pair, or leave it out")  # fmt: skip
        names.add(name)


def write_submission(out: Path, path: str) -> list[str]:
    """Write the fields of a run with ``--field-format l2r`` into a zip file.

    Args:
        out: folder of the results.
        path: the zip file.

    Returns:
        The names of the entries.

    Raises:
        InputError: no pair has a field.
    """
    from visionzoo.system.atomic import write_file

    results = list(_results(out))
    entries = {entry_name(each["fixed"], each["moving"]): out / each["result"]["field"] for each in results}
    if not entries:
        raise InputError(path, expected="at least one field", found="none", advice="see the errors of the pairs")

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, field in entries.items():
                archive.write(field, name)

    write_file(Path(path), write)
    return list(entries)


def score_submission(
    path: str, pairs: Iterable[Mapping[str, Any]], warn: Callable[[str], object] = lambda text: None
) -> dict[str, float]:
    """Return the means of Learn2Reg's measures over the pairs of a submission, read again from the zip file.

    A label counts if both maps have it. Pairs without label maps have only ``SDlogJ``.

    Args:
        path: the zip file.
        pairs: files of each pair, by column of :data:`visionzoo.structures.volume_names.COLUMNS`. Pairs without a field
            in the zip file are left out.
        warn: takes a sentence about each pair that Learn2Reg cannot read correctly.
    """
    from visionzoo.metrics.means import exact_mean

    found: dict[str, list[float]] = {name: [] for name in _MEASURES}
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        for files in pairs:
            name = entry_name(files["fixed"], files["moving"])
            scores = _scores(archive, name, files, warn) if name in names else {}
            for measure in _MEASURES.keys() & scores.keys():
                found[measure].append(scores[measure])
    return {_MEASURES[name]: exact_mean(values) for name, values in found.items() if values}


def _scores(
    archive: zipfile.ZipFile, name: str, files: Mapping[str, Any], warn: Callable[[str], object]
) -> dict[str, float]:
    from visionzoo.datasets.field_files import read_field
    from visionzoo.datasets.volume_pairs import read_pair
    from visionzoo.metrics.registration import score_pair
    from visionzoo.structures.volume_grids import is_identity_map

    pair = read_pair(files, note=lambda text: None)
    if not is_identity_map(pair.to_moving, pair.fixed.shape):
        warn(f"{pair.name}: Learn2Reg needs both images on one grid; resample the moving image before")
    with tempfile.TemporaryDirectory() as folder:
        field, _ = read_field(archive.extract(name, folder))
    both = pair.fixed_labels is not None and pair.labels_on_fixed is not None
    labels = (pair.fixed_labels, pair.labels_on_fixed) if both else None
    return score_pair(field, labels=labels, spacing=pair.fixed.spacing, rule="both")


def _results(out: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of ``predictions.jsonl`` that have a result."""
    for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if "result" in record:
            yield record
