"""Writing of lanes: CULane's ``.lines.txt`` and TuSimple's JSON lines.

``datasets.lanes`` has their readers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.errors import OutputError

LINES = ".lines.txt"

# --- CULane ---


def lines_text(lanes: Iterable[np.ndarray]) -> str:
    """Return (n, 2) arrays as the text of a ``.lines.txt``, with up to three decimals.

    Lanes of fewer than two points are omitted, because the official program counts each of them, and each blank line,
    as a false positive.

    Example:
        >>> lines_text([np.array([[1, 2], [3, 4.5]]), np.array([[5, 6]])])
        '1 2 3 4.5\\n'
    """
    kept = (lane for lane in lanes if len(lane) >= 2)
    return "".join(" ".join(f"{round(float(value), 3):.10g}" for value in np.ravel(lane)) + "\n" for lane in kept)


def lines_path(name: str) -> str:
    """Return the path of an image's lanes, relative to the same or another root.

    Example:
        >>> lines_path("a/b/00000.jpg")
        'a/b/00000.lines.txt'
    """
    return name.rpartition(".")[0] + LINES


def write_lines(root: str | Path, name: str, lanes: Iterable[np.ndarray]) -> Path:
    """Write the lanes of one image to the path that the official program reads.

    Args:
        root: folder of all results; missing subfolders are created.
        name: path of the image in its list, with or without the leading slash.
        lanes: (n, 2) arrays, bottom to top; see :func:`lines_text`. Without lanes, the file is empty.

    Returns:
        Path of the file.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(root) / lines_path(name.lstrip("/"))
    _write_text(path, lines_text(lanes))
    return path


# --- TuSimple ---


def tusimple_record(
    raw_file: str, lanes: Sequence[Sequence[float]], h_samples: Sequence[float], seconds: float
) -> dict[str, Any]:
    """Return one record of a result file, for :func:`write_tusimple`.

    Args:
        raw_file: path of the image in the label file.
        lanes: x of each lane at each row, -2 if the lane has no point there; see ``Lanes.to_tusimple``.
        h_samples: y of the rows; whole numbers are written without a fraction.
        seconds: run time; the record has ``run_time`` in ms. The benchmark counts an image above 200 ms as missed.

    Example:
        >>> tusimple_record("a.jpg", [[5, -2]], [160.0, 170.0], seconds=0.01)
        {'raw_file': 'a.jpg', 'lanes': [[5, -2]], 'h_samples': [160, 170], 'run_time': 10.0}
    """
    return {
        "raw_file": raw_file,
        "lanes": lanes,
        "h_samples": [int(row) if float(row).is_integer() else round(row, 3) for row in h_samples],
        "run_time": round(1000 * seconds, 3),
    }


def write_tusimple(path: str | Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a result or label file, one record per line.

    Args:
        path: the file; its folder is created.
        records: dicts with the keys ``raw_file``, ``lanes`` and ``h_samples``; results also have ``run_time``.

    Raises:
        OutputError: the file cannot be written.
    """
    _write_text(Path(path), "".join(json.dumps(dict(record), allow_nan=False) + "\n" for record in records))


def _write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            path, expected="to write lanes here", but=f"{error.strerror or error}", advice="check it"
        ) from error
