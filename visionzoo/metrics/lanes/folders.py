"""Scores of lanes on disk: two folders and lists for CULane, two files for TuSimple."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from visionzoo.datasets.lanes.culane_files import read_lines, read_list, scenario_of
from visionzoo.datasets.lanes.tusimple_files import read_tusimple
from visionzoo.errors import DataError, require_none_missing
from visionzoo.metrics.lanes.culane import LANE_WIDTH, SIZE, THRESHOLD, LaneCounts, count_matches
from visionzoo.metrics.lanes.scenarios import numbers_of, scenario_sums, scenario_table
from visionzoo.metrics.lanes.tusimple import PIXELS, OneToOne, one_to_one, tusimple_scores
from visionzoo.structures.lane_files import lines_path

_AT_ONCE = 8  # images per chunk of work
_WORTH_A_PROCESS = 400  # images per process; a process needs seconds to start, an image about 30 ms


@dataclass(frozen=True)
class CULaneScores:
    """Scores of a folder of predictions.

    Attributes:
        total: counts over all images of all lists.
        scenarios: counts by scenario, in CULane's order; empty if no list belongs to a scenario.
        images: number of images.
        without_prediction: names of images without a file of predictions; all their lanes count as missed.
    """

    total: LaneCounts
    scenarios: dict[str, LaneCounts]
    images: int
    without_prediction: tuple[str, ...]

    @property
    def numbers(self) -> dict[str, float]:
        """``F1``, ``precision``, ``recall``, ``TP``, ``FP``, ``FN``, ``F1/<scenario>`` and ``FP/cross``."""
        return numbers_of(self.total, self.scenarios)

    def table(self) -> str:
        """Format one row for each scenario and one for the total."""
        return scenario_table(self.total, self.scenarios)


def score_culane_folders(
    pred_root: str | Path,
    anno_root: str | Path,
    lists: str | Path | Mapping[str, str | Path],
    *,
    size: tuple[int, int] = SIZE,
    width: int = LANE_WIDTH,
    threshold: float = THRESHOLD,
    processes: int | None = None,
    progress: bool = False,
) -> CULaneScores:
    """Compare ``pred_root/<name>.lines.txt`` with ``anno_root/<name>.lines.txt`` for every image of the lists.

    A missing or empty file is an image without lanes, for predictions and annotations, as in the official program. The
    numbers do not depend on the number of processes.

    Args:
        pred_root: folder of predictions.
        anno_root: folder of annotations, CULane's own.
        lists: a list of images; a folder of such lists, as ``list/test_split``; or a dict of lists by scenario; see
            :func:`read_list`.
        size, width, threshold: see :func:`count_matches`.
        processes: number of processes. Default: the number of CPU cores, limited to one process per 400 images. New
            processes import the main module again, so scripts need ``if __name__ == "__main__"``.
        progress: True to show a progress bar on stderr.

    Returns:
        The counts of all images and of each scenario.

    Raises:
        DataError: there is no list, no annotation file or no prediction file, or a line cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "list.txt").write_text("a.jpg")
        ...     _ = Path(folder, "a.lines.txt").write_text("20 90 60 10")
        ...     scores = score_culane_folders(folder, folder, Path(folder, "list.txt"), size=(100, 100), width=5)
        >>> scores.numbers["F1"]
        1.0
    """
    by_name = _listed(lists)
    pairs = [(str(Path(pred_root, lines_path(name))), str(Path(anno_root, lines_path(name)))) for name, _ in by_name]
    without = tuple(name for (name, _), (path, _) in zip(by_name, pairs, strict=True) if not os.path.isfile(path))
    for root, index in ((pred_root, 0), (anno_root, 1)):
        if not any(os.path.isfile(pair[index]) for pair in pairs):
            raise DataError(
                root,
                expected=f"files such as {lines_path(by_name[0][0])}",
                found=f"none of {len(pairs)}",
                advice="check the folder and the list",
            )
    score = partial(_score_pair, size=size, width=width, threshold=threshold)
    counts = list(_shown(_mapped(score, pairs, processes), len(pairs), progress))
    scenarios = [scenario for _, scenario in by_name]
    return CULaneScores(
        sum(counts, LaneCounts()), scenario_sums(zip(scenarios, counts, strict=True)), len(pairs), without
    )


def _score_pair(pair: tuple[str, str], *, size: tuple[int, int], width: int, threshold: float) -> LaneCounts:
    detected, annotated = (read_lines(path) if os.path.isfile(path) else [] for path in pair)
    return count_matches(annotated, detected, size=size, width=width, threshold=threshold).counts


def _listed(lists: str | Path | Mapping[str, str | Path]) -> list[tuple[str, str | None]]:
    """Return (image, scenario or None) for each line of all lists."""
    if isinstance(lists, Mapping):
        named: list[tuple[str | None, Path]] = [(scenario, Path(path)) for scenario, path in lists.items()]
    elif Path(lists).is_dir():
        named = [(scenario_of(path.stem), path) for path in sorted(Path(lists).glob("*.txt"))]
    else:
        named = [(scenario_of(Path(lists).stem), Path(lists))]
    if not named:
        raise DataError(
            lists, expected="lists of images such as test0_normal.txt", found="none", advice="check the path"
        )
    return [(image.name, scenario) for scenario, path in named for image in read_list(path)]


def _mapped(
    score: Callable[[tuple[str, str]], LaneCounts], pairs: Sequence[tuple[str, str]], processes: int | None
) -> Iterator[LaneCounts]:
    wanted = min(os.cpu_count() or 1, len(pairs) // _WORTH_A_PROCESS) if processes is None else processes
    if wanted <= 1:
        yield from map(score, pairs)
        return
    # spawn instead of fork, because torch's threads do not survive a fork
    with ProcessPoolExecutor(wanted, mp_context=get_context("spawn")) as pool:
        yield from pool.map(score, pairs, chunksize=_AT_ONCE)


def _shown(counts: Iterable[LaneCounts], total: int, progress: bool) -> Iterable[LaneCounts]:
    if not progress:
        return counts
    from rich.console import Console
    from rich.progress import track

    return track(counts, "images", total, console=Console(stderr=True))


# --- TuSimple ---


def score_tusimple_files(pred_file: str | Path, label_file: str | Path, *, pixels: float = PIXELS) -> dict[str, float]:
    """Compare two files of JSON lines in TuSimple's format.

    Args:
        pred_file: predictions, with keys ``raw_file``, ``lanes`` at the label's ``h_samples``, and ``run_time`` in ms.
        label_file: labels, such as ``test_label.json``.
        pixels: see :func:`tusimple_scores`.

    Returns:
        ``accuracy``, ``FP`` and ``FN`` of the benchmark, and ``F1`` of one-to-one matches.

    Raises:
        DataError: a file or line cannot be read, an image is only in one file or twice in the predictions, or a lane
            has a wrong number of x values.

    Example:
        >>> import tempfile
        >>> line = '{"raw_file": "a.jpg", "lanes": [[10, 20]], "h_samples": [40, 50], "run_time": 5}'
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "lanes.json")
        ...     _ = file.write_text(line)
        ...     score_tusimple_files(file, file)["accuracy"]
        1.0
    """
    labels = {record["raw_file"]: record for record in read_tusimple(label_file)}
    predictions = read_tusimple(pred_file, ("raw_file", "lanes", "run_time"))
    _require_same_images([record["raw_file"] for record in predictions], labels, str(pred_file), str(label_file))
    sums, pairs = [0.0, 0.0, 0.0], OneToOne()
    for record in predictions:
        label = labels[record["raw_file"]]
        lanes = record["lanes"], label["lanes"], label["h_samples"]
        scores = tusimple_scores(*lanes, record["run_time"], pixels=pixels)
        sums = [before + score for before, score in zip(sums, scores, strict=True)]
        pairs = pairs + one_to_one(*lanes, pixels=pixels)
    means = (value / len(labels) for value in sums)
    return dict(zip(("accuracy", "FP", "FN"), means, strict=True)) | {"F1": pairs.f1}


def _require_same_images(found: list[str], labels: Mapping[str, dict], pred_file: str, label_file: str) -> None:
    """Raise an error unless both files have the same images, as the benchmark does."""
    lacking = sorted(set(labels) - set(found))
    require_none_missing(
        lacking,
        pred_file,
        expected=f"the {len(labels)} images of {label_file}",
        advice="predict all of them, also those without a lane",
    )
    strange = [name for name, times in Counter(found).items() if name not in labels or times > 1]
    if strange:
        raise DataError(
            pred_file,
            expected=f"every image of {label_file} once",
            found=f"{strange[0]} {'twice' if strange[0] in labels else 'that is not in it'}",
            advice="remove the line",
        )
