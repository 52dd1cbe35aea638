"""Which metric decides what the best checkpoint of a task is, and in which direction."""

from __future__ import annotations

from collections.abc import Iterable

# Task -> metrics that decide, the one that papers compare first. The first that was measured is taken.
_DECIDING = {
    "classification": ("cls/top1",),
    "detection": ("coco/bbox_mAP", "pascal_voc/mAP"),
    "instances": ("coco/segm_mAP", "coco/bbox_mAP"),
    "lanes": ("culane/F1", "tusimple/accuracy", "tusimple/F1"),
    "counting": ("count/MAE",),
    "saliency": ("sal/Fmeasure_max", "sal/Smeasure", "sal/MAE"),
    "co_saliency": ("sal/Smeasure", "sal/Fmeasure_max", "sal/MAE"),
}

# Last parts of names of metrics that measure errors.
_ERRORS = ("MAE", "RMSE", "NAE", "FP", "FN")


def best_metric_of(task: str | Iterable[str] | None) -> tuple[str, ...]:
    """Metrics that may decide what the best checkpoint is, the most telling first.

    Args:
        task: a task's name, several, or None.

    Returns:
        Names such as ``coco/bbox_mAP``; none for a task that names none.

    >>> best_metric_of(("lanes", "counting"))
    ('culane/F1', 'tusimple/accuracy', 'tusimple/F1', 'count/MAE')
    """
    tasks = (task,) if isinstance(task, str) else tuple(task or ())
    return tuple(name for each in tasks for name in _DECIDING.get(each, ()))


def deciding_metric(candidates: Iterable[str], measured: Iterable[str]) -> str | None:
    """The first of ``candidates`` that was measured, also under another prefix; None when none was.

    >>> deciding_metric(("coco/bbox_mAP",), ["val/bbox_mAP_50", "val/bbox_mAP"])
    'val/bbox_mAP'
    """
    names = list(measured)
    for candidate in candidates:
        same = [name for name in names if name.rpartition("/")[2] == candidate.rpartition("/")[2]]
        if candidate in names or same:
            return candidate if candidate in names else same[0]
    return None


def rule_of(name: str) -> str:
    """``less`` for a metric that measures errors, else ``greater``.

    >>> rule_of("count/MAE"), rule_of("culane/F1")
    ('less', 'greater')
    """
    last = name.rpartition("/")[2]
    return "less" if last in _ERRORS or last.startswith("GAME") else "greater"
