"""Predictions of any origin: a folder with a file for each data set.

``<data set>.jsonl`` has an object on each line, ``{"id": "5d4be...", "top": [831, 423, 765, 559, 857]}``: class
indices, best first, at least five of them. ``<data set>.npz`` has ``ids`` (N,) and ``logits`` (N, K).
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.errors import DataError
from visionzoo.suites._base import Record, SuiteData
from visionzoo.suites._classifiers import KEPT, records_of
from visionzoo.system.text_files import read_text


def read_class_predictions(folder: Path, data: SuiteData, classes: int) -> list[Record] | None:
    """Return the record of each image, in their order; None if the folder has no file for the data set.

    Args:
        folder: the folder.
        data: the data set. Its class indices ``competing`` compete in the logits of an ``.npz`` file.
        classes: number of classes of the labels.

    Raises:
        DataError: a file cannot be read, an id is unknown, missing or twice there, or a prediction is not a list of
            class indices. The message names the file and the id.
    """
    lines, arrays = folder / f"{data.name}.jsonl", folder / f"{data.name}.npz"
    if lines.is_file():
        return _in_order(list(_of_lines(lines, classes)), data, lines)
    if arrays.is_file():
        return _in_order(list(_of_arrays(arrays, classes, data.about.get("competing"))), data, arrays)
    return None


def _in_order(found: Sequence[tuple[str, Record]], data: SuiteData, path: Path) -> list[Record]:
    by_id, ids = dict(found), data.ids
    if len(by_id) < len(found):
        twice, _ = Counter(each for each, _ in found).most_common(1)[0]
        raise DataError(path, expected="every id once", found=f"{twice} twice", advice="remove one of the lines")
    missing = [each for each in ids if each not in by_id]
    strangers = sorted(by_id.keys() - set(ids) - data.left_out)
    if missing or strangers:
        lacking = f"none for {len(missing)} of them ({missing[0]})" if missing else ""
        others = f"{len(strangers)} other ids ({strangers[0]})" if strangers else ""
        raise DataError(
            path,
            expected=f"predictions of the {len(ids)} images of {data.name}",
            found=" and ".join(filter(None, [lacking, others])),
            advice="they may be of another data set or split",
        )
    return [by_id[each] for each in ids]


def _of_lines(path: Path, classes: int) -> Iterator[tuple[str, Record]]:
    for number, line in enumerate(read_text(path, "JSON lines", "check it").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict) and "id" not in record and "digest" in record:
            continue  # the first line of a file of results
        least = min(KEPT, classes)
        if not isinstance(record, dict) or not isinstance(record.get("id"), str):
            raise DataError(f"{path}: line {number}", expected='{"id": ..., "top": [...]}', found=f"{line[:60]!r}")
        top: Any = record.get("top")
        if not _is_top(top, classes, least):
            raise DataError(
                f"{path}: line {number}: {record['id']}",
                expected=f"top to be {least} or more different class indices from 0 to {classes - 1}, best first",
                found=f"{top!r}"[:80],
                advice="correct it",
            )
        yield record["id"], {"top": top[:KEPT], "score": record.get("score") or []}


def _is_top(top: Any, classes: int, least: int) -> bool:
    if not isinstance(top, list) or len(top) < least or len(set(map(str, top))) < len(top):
        return False
    return all(type(label) is int and 0 <= label < classes for label in top)


def _of_arrays(path: Path, classes: int, competing: Sequence[int] | None) -> Iterator[tuple[str, Record]]:
    expected = f"arrays ids (N,) of text and logits (N, {classes})"
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, logits = file["ids"], file["logits"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(path, expected=expected, but=f"it cannot be read ({error})", advice="check it") from error
    if ids.ndim != 1 or ids.dtype.kind != "U" or logits.shape != (len(ids), classes) or logits.dtype.kind != "f":
        found = f"{ids.dtype} {ids.shape} and {logits.dtype} {logits.shape}"
        raise DataError(path, expected=expected, found=found, advice="check the label mode and the model")
    columns = np.arange(classes) if competing is None else np.asarray(competing)
    yield from zip(ids.tolist(), records_of(logits[:, columns], columns), strict=True)
