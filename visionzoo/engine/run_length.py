"""Warm-up and intervals that fit in a short run. They depend on the number of batches, so no config states them.

The result depends only on the config and the number of batches: a resumed run gets the same schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from visionzoo.config.run_length import is_warm_up, length_of, shorten_warm_ups
from visionzoo.config.tree import plain
from visionzoo.errors import counted

_LOGS = 20  # lines of the log that every run has at least, if it has as many iterations


@dataclass
class Fitted:
    """Settings of a run that depend on its length.

    Attributes:
        param_scheduler: the schedule, or None.
        default_hooks: the default hooks, or None.
        notes: one line if a setting differs from the config.
    """

    param_scheduler: Any
    default_hooks: Any
    notes: list[str] = field(default_factory=list)


def fit_to_length(cfg: Mapping[str, Any], batches: int, *, facts: Sequence[str] = ()) -> Fitted:
    """Return the schedule and the hooks of a config for a run with this number of batches.

    A warm-up in iterations takes at most a tenth of the run. The log has at least 20 entries. A checkpoint interval in
    iterations is at most the whole run.

    Args:
        cfg: the config; not changed.
        batches: number of batches in an epoch, >= 1.
        facts: what else was fitted to the data, for the note.

    Example:
        >>> warm_up = dict(type="LinearLR", by_epoch=False, begin=0, end=500)
        >>> hooks = dict(logger=dict(type="LoggerHook", interval=50))
        >>> cfg = dict(train_cfg=dict(max_epochs=12), param_scheduler=[warm_up], default_hooks=hooks)
        >>> fit_to_length(cfg, 10).notes[0].partition(": ")[2]
        'warm-up 500 -> 12 iterations, losses in the log every 6 iterations (was every 50)'
        >>> fit_to_length(cfg, 1000).notes
        []
    """
    length = length_of(cfg)
    fitted = Fitted(plain(cfg.get("param_scheduler")), plain(cfg.get("default_hooks")))
    if length is None:
        return fitted
    total = length.count * (batches if length.by_epoch else 1)
    changes = [*facts, *_fit_warm_up(fitted, max(1, total // 10)), *_fit_hooks(fitted, total)]
    if changes:
        fitted.notes.append(f"short run of {counted(total, 'iteration')}: {', '.join(changes)}")
    return fitted


def _fit_warm_up(fitted: Fitted, most: int) -> list[str]:
    given = fitted.param_scheduler
    if isinstance(given, dict) and "type" not in given:  # several optimizers
        parts = {name: Fitted(inner, None) for name, inner in given.items()}
        facts = [fact for part in parts.values() for fact in _fit_warm_up(part, most)]
        fitted.param_scheduler = {name: part.param_scheduler for name, part in parts.items()}
        return list(dict.fromkeys(facts))
    schedulers = [given] if isinstance(given, dict) else list(given or [])
    long = [one["end"] for one in schedulers if is_warm_up(one) and one["end"] > most]
    if long:
        fitted.param_scheduler = shorten_warm_ups(schedulers, most)
    return [f"warm-up {end:,} -> {counted(most if most > 1 else 0, 'iteration')}" for end in long]


def _fit_hooks(fitted: Fitted, total: int) -> list[str]:
    hooks = fitted.default_hooks
    if not isinstance(hooks, dict):
        return []
    facts = []
    for name, what, most in (
        ("logger", "losses in the log", max(1, total // _LOGS)),
        ("checkpoint", "a checkpoint", total),
    ):
        hook = hooks.get(name)
        if not isinstance(hook, dict) or (name == "checkpoint" and hook.get("by_epoch", True)):
            continue
        given = hook.get("interval", 10)
        if given > most:
            facts.append(
                f"{what} every {'iteration' if most == 1 else counted(most, 'iteration')} (was every {given:,})"
            )
            hook["interval"] = most
    return facts
