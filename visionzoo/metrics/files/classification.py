"""Classes of images: top-1 and top-5 accuracy, and the mean over classes.

The truth is a list of images and labels, or a folder with one folder for each class. The prediction is a table with one
label for each image, or with several in the order of their scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os.path import normpath
from pathlib import Path
from typing import Any

from visionzoo.errors import DataError, first_of
from visionzoo.metrics.files._kind import FileKind, Measured
from visionzoo.metrics.files._pairs import require_once, require_same
from visionzoo.metrics.files._rows import Row, read_rows, same_names

# Columns of labels, and of lists of labels; the first one that has labels of the truth is read.
_COLUMNS = ("name", "label", "class", "prediction", "names", "labels", "classes")

Labels = dict[str, list[str]]


def measure(gt: Path, pred: Path, *, topk: Sequence[int] = (1, 5)) -> Measured:
    """Measure classes.

    Args:
        gt: ``.csv`` with path and label, text with lines ``path label``, or a folder of class folders.
        pred: table with the image and its ``label`` or ``name``, also several rows for an image with a ``score`` each;
            or with lists ``labels`` or ``names``, the most likely first, or with ``scores``.
        topk: numbers of labels that count. Those above the number of labels of an image are left out.

    Raises:
        DataError: a file is missing or has errors, an image is only in one of them, or twice in the truth, or no
            predicted label is one of the truth.
    """
    from visionzoo.metrics.classification import ClassificationMetric

    truth = _truth(gt)
    ranked = _ranked(read_rows(pred, "labels of images"), set(truth.values()), pred, gt)
    places = same_names(list(ranked), list(truth))
    ranked = {places[name]: labels for name, labels in ranked.items()}
    require_same(ranked, truth, pred, gt)
    names = sorted({*truth.values(), *(label for labels in ranked.values() for label in labels)})
    index, most = {name: number for number, name in enumerate(names)}, min(map(len, ranked.values()))
    metric = ClassificationMetric(topk=[k for k in topk if k <= most] or [1])
    metric.dataset_meta = {"classes": names}
    results = []
    for name, label in truth.items():
        labels = ranked[name]
        rank = labels.index(label) if label in labels else len(names)
        results.append((index[label], index[labels[0]], rank, len(names)))
    numbers = metric.compute_metrics(results)
    return Measured({f"cls/{name}": value for name, value in numbers.items()}, metric.per_class)


def _truth(path: Path) -> dict[str, str]:
    from visionzoo.datasets.image_list import read_image_list

    if not path.is_dir():
        images = read_image_list(path)
        names = [normpath(name) for name in images.names]
        require_once(names, path)
        return dict(zip(names, images.labels, strict=True))
    found = {image.relative_to(path).as_posix(): image.parent.name for image in _images_in(path)}
    if not found:
        raise DataError(path, expected="<class>/<image> in the folder", found="no image", advice="check the path")
    return found


def _images_in(folder: Path) -> Iterable[Path]:
    from visionzoo.structures.image_names import IMAGE_ENDINGS, is_left_over

    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in IMAGE_ENDINGS and not is_left_over(path.name) and not is_left_over(path.parent.name):
            yield path


def _ranked(rows: Sequence[Row], known: set[str], pred: Path, gt: Path) -> Labels:
    """Return the labels of each image, the most likely first."""
    column = _column(rows, known, pred, gt)
    scored: dict[str, list[tuple[float, str]]] = {}
    for row in rows:
        labels = _listed(row.cells.get(column))
        scores = _scores(row, len(labels))
        scored.setdefault(row.name, []).extend(zip(scores, labels, strict=True))
    ranked: Labels = {}
    for name, pairs in scored.items():
        ordered = [label for _, label in sorted(pairs, key=lambda each: -each[0])]
        if not ordered or not all(ordered) or len(set(ordered)) < len(ordered):
            found = "none" if not any(ordered) else first_of(ordered, 6)
            raise DataError(f"{pred}: {name}", expected="each label at most once, and at least one", found=found)
        ranked[name] = ordered
    return ranked


def _column(rows: Sequence[Row], known: set[str], pred: Path, gt: Path) -> str:
    columns = [name for name in _COLUMNS if any(name in row.cells for row in rows)]
    for name in columns:
        if any(label in known for row in rows for label in _listed(row.cells.get(name))):
            return name
    seen = [label for row in rows[:3] for name in columns for label in _listed(row.cells.get(name))]
    raise DataError(
        pred,
        expected=f"labels of {gt} ({first_of(sorted(known))}) in {', '.join(_COLUMNS[:3])}",
        found=first_of(dict.fromkeys(seen)) or f"the columns {', '.join(rows[0].cells)}",
        advice="name the prediction of this data set, with its class names",
    )


def _listed(value: Any) -> list[str]:
    if isinstance(value, list):
        return [f"{each}" for each in value]
    return [] if value in (None, "") else [f"{value}"]


def _scores(row: Row, labels: int) -> list[float]:
    """Return the score of each label; equal ones if the row has none, so that the order of the file counts."""
    values = row.cells.get("scores", row.cells.get("score"))
    listed = values if isinstance(values, list) else [] if values in (None, "") else [values]
    try:
        scores = [float(value) for value in listed] or [0.0] * labels
    except (TypeError, ValueError):
        scores = []
    if len(scores) != labels or any(score != score for score in scores):
        raise DataError(row.place, expected=f"{labels} scores, as labels", found=f"{values!r:.40}")
    return scores


KIND = FileKind(
    truth="list of images and labels (.csv with path and label, or text), or a folder of class folders",
    prediction="table with image and label, such as predictions.csv of `visionzoo infer`",
    measure=measure,
    options={"topk": "numbers of labels that count (default: 1 5)"},
    examples=("--gt val.csv --pred predictions.csv", "--gt imagenet/val --pred predictions.jsonl --topk 1 5"),
)
