"""Schedules that follow the length of a run.

A recipe states its schedule for one length: ``milestones=[8, 11]`` for ``max_epochs=12``. If an option changes the
length and not the schedule, the schedule is stretched or shortened with it. The result is part of the config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from visionzoo.config.options import SOURCE, Changed
from visionzoo.config.tree import KeyPath, Origins, lookup, with_value

WARM_UPS = ("LinearLR", "ConstantLR", "LinearParamScheduler", "ConstantParamScheduler", "LinearMomentum")
_AT_LEAST_ONE = ("T_max", "step_size", "total_steps", "milestones", "periods")
_LENGTHS = ("begin", "end", "warmup", *_AT_LEAST_ONE)
_ENDLESS = 10**9  # mmengine's infinity


@dataclass(frozen=True)
class Length:
    """Length of a run.

    Attributes:
        count: number of epochs or iterations.
        by_epoch: True for epochs.
    """

    count: int
    by_epoch: bool

    @property
    def unit(self) -> str:
        """``epoch`` or ``iteration``, with an s unless the count is 1."""
        return ("epoch" if self.by_epoch else "iteration") + "s" * (self.count != 1)


def length_of(values: Mapping[str, Any]) -> Length | None:
    """Return the length of the training of a config; None if it has none.

    Example:
        >>> length_of({"train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 60_000}})
        Length(count=60000, by_epoch=False)
    """
    loop = values.get("train_cfg")
    if not isinstance(loop, Mapping):
        return None
    for key, by_epoch in (("max_epochs", True), ("max_iters", False)):
        count = loop.get(key)
        if isinstance(count, int) and count > 0:
            return Length(count, by_epoch)
    return None


def is_warm_up(scheduler: Mapping[str, Any]) -> bool:
    """Return True if a scheduler raises the learning rate over the first iterations of a run.

    Example:
        >>> is_warm_up({"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 500})
        True
        >>> is_warm_up({"type": "PolyLR", "by_epoch": False, "begin": 0, "end": 500})
        False
    """
    return scheduler.get("by_epoch", True) is False and _rises(scheduler)


def _rises(scheduler: Mapping[str, Any]) -> bool:
    start = scheduler.get("start_factor", scheduler.get("factor", 1 / 3))
    return (
        str(scheduler.get("type")).rpartition(".")[2] in WARM_UPS
        and not scheduler.get("begin", 0)
        and isinstance(scheduler.get("end"), int)
        and isinstance(start, (int, float))
        and start < scheduler.get("end_factor", 1.0)
    )


def shorten_warm_ups(schedulers: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return schedulers whose warm-up takes at most ``most`` iterations. A scheduler that follows it begins earlier.

    A warm-up of a single iteration is left out: mmengine's schedulers keep the first rate if they have one step.

    Args:
        schedulers: configs of the schedulers of one optimizer; not changed.
        most: largest number of iterations, >= 1.

    Example:
        >>> warm_up = {"type": "LinearLR", "by_epoch": False, "begin": 0, "end": 500}
        >>> poly = {"type": "PolyLR", "by_epoch": False, "begin": 500, "end": 900}
        >>> [(one["begin"], one["end"]) for one in shorten_warm_ups([warm_up, poly], 90)]
        [(0, 90), (90, 900)]
    """
    end = most if most > 1 else 0
    too_late = {one["end"] for one in schedulers if is_warm_up(one) and one["end"] > most}
    shortened = [{**one, "end": end} if is_warm_up(one) and one["end"] > most else dict(one) for one in schedulers]
    for one in shortened:
        if one.get("by_epoch", True) is False and one.get("begin") in too_late:
            one["begin"] = end
    return [one for one in shortened if one.get("end") != 0]


def follow_length(values: dict[str, Any], changed: Changed, origins: Origins, source: str = SOURCE) -> Changed:
    """Let the schedule follow the length of the run, and add a note; if the options set the schedule, do nothing.

    The options are those of a command, or the values of a config file, whose base has the old length.

    Milestones and other lengths are scaled. Intervals of validation and checkpoints are scaled for a shorter run only.
    A warm-up in iterations keeps its length; in a run of iterations it takes at most a tenth.

    Args:
        values: the config before its options.
        changed: the config with its options; changed in place and returned.
        origins: changed in place; records the new values.
        source: the source that ``origins`` records.
    """
    before, after = length_of(values), length_of(changed.values)
    if before is None or after is None or before == after:
        return changed
    scale = _Scale(before, after)
    new = {**scale.schedule(values, changed.values), **scale.intervals(values, changed.values)}
    if "param_scheduler" in new or not changed.values.get("param_scheduler"):
        changed.notes.append(_described(before, after, values.get("param_scheduler"), new.get("param_scheduler")))
    for dotted, value in new.items():
        changed.values = with_value(changed.values, tuple(dotted.split(".")), value)
        origins.record(dotted, value, source)
    return changed


@dataclass(frozen=True)
class _Scale:
    """Change of the length of a run."""

    before: Length
    after: Length

    def schedule(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changed ``param_scheduler`` by its path; nothing if it is missing or set by the options."""
        given = new.get("param_scheduler")
        if not given or given != old.get("param_scheduler"):
            return {}
        return {"param_scheduler": self._of_optimizers(given)}

    def intervals(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, int]:
        """Return the changed intervals of validation and checkpoints by path, except those that the options set."""

        def given(*path: str) -> Any:
            value = lookup(new, path)
            is_length = isinstance(value, int) and not isinstance(value, bool) and value > 0
            return value if is_length and value == lookup(old, path) else None

        found: dict[str, int] = {}
        hook: KeyPath = ("default_hooks", "checkpoint")
        if self.before.by_epoch == self.after.by_epoch:
            if (begin := given("train_cfg", "val_begin")) is not None and begin > 1:
                found["train_cfg.val_begin"] = self.whole(begin, least=1)
            for path in (("train_cfg", "val_interval"), (*hook, "interval")):
                if (value := given(*path)) is not None:
                    found[".".join(path)] = min(value, self.whole(value, least=1))
        elif isinstance(lookup(new, hook), dict) and (value := given(*hook, "interval")) is not None:
            found |= {
                "default_hooks.checkpoint.by_epoch": self.after.by_epoch,
                "default_hooks.checkpoint.interval": self.whole(value, least=1),
            }
        return {path: value for path, value in found.items() if lookup(new, tuple(path.split("."))) != value}

    def whole(self, value: float, *, least: int = 0) -> int:
        """Return a number of steps of the earlier run as a whole number of steps of the new one."""
        return max(least, int(self._exact(value) + Fraction(1, 2)))

    def _exact(self, value: float) -> Fraction:
        return Fraction(value) * self.after.count / self.before.count

    def _of_optimizers(self, node: Any) -> Any:
        if isinstance(node, (list, tuple)):
            return self._of_list([dict(one) for one in node])
        if "type" in node:
            return self._of_list([dict(node)])
        return {name: self._of_optimizers(inner) for name, inner in node.items()}

    def _of_list(self, schedulers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        ends = {one["end"] for one in schedulers if is_warm_up(one)}
        scaled = [dict(one) if is_warm_up(one) else self._scaled(one, ends) for one in schedulers]
        if not self.after.by_epoch:
            scaled = shorten_warm_ups(scaled, max(1, self.after.count // 10))
        return [one for one in scaled if not _is_over(one)]

    def _scaled(self, one: dict[str, Any], warm_up_ends: set[int]) -> dict[str, Any]:
        """Return a scheduler with its lengths scaled, in the unit of the new loop if it was in the unit of the old."""
        by_epoch, changes_unit = one.get("by_epoch", True), self.before.by_epoch != self.after.by_epoch
        if changes_unit and by_epoch != self.before.by_epoch:
            return one
        new = dict(one)
        for name in set(_LENGTHS) & set(one):
            follows_warm_up = not by_epoch and name == "begin" and one["begin"] in warm_up_ends
            new[name] = (0 if changes_unit else one[name]) if follows_warm_up else self._length(name, one[name])
        if "warmup" in new and isinstance(new.get("end"), int):
            new["warmup"] = min(max(new["warmup"], min(one["warmup"], 1)), new["end"] - 1)
        if "every" in new:
            new["every"] = float(self._exact(new["every"]))
        if changes_unit:
            new["by_epoch"] = self.after.by_epoch
            new["convert_to_iter_based"] = self.after.by_epoch
        return new

    def _length(self, name: str, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._length(name, item) for item in value]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value >= _ENDLESS:
            return value
        return self.whole(value, least=int(name in _AT_LEAST_ONE))


def _is_over(scheduler: Mapping[str, Any]) -> bool:
    """Return True if a scaled scheduler has no step left, or is a warm-up of one epoch, which keeps its first rate."""
    begin, end = scheduler.get("begin", 0), scheduler.get("end")
    stuck = end == 1 and _rises(scheduler) and not scheduler.get("convert_to_iter_based")
    return stuck or (end is not None and end <= begin)


def _described(before: Length, after: Length, old: Any, new: Any) -> str:
    """Return one line: the two lengths, and each length of the schedule that is not simply that of the run."""
    same = before.by_epoch == after.by_epoch
    lengths = f"{before.count:,}{'' if same else f' {before.unit}'} -> {after.count:,} {after.unit}"
    if not new:
        return f"length: {lengths}; the config has no schedule, the learning rate is constant"
    ends = (f"{before.count}", f"{after.count}")
    pairs = [(name, *pair) for name, *pair in _pairs(old, new) if tuple(pair) != ends]
    return ", ".join([f"schedule: {lengths}", *dict.fromkeys(f"{name} {a} -> {b}" for name, a, b in pairs)])


def _pairs(old: Any, new: Any) -> list[tuple[str, str, str]]:
    """Return name, old and new value of each changed length in two nested schedules."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        if "type" not in old:
            return [pair for name in old for pair in _pairs(old[name], new[name])]
        names = [name for name in (*_LENGTHS[1:], "every") if name in old and old[name] != new.get(name)]
        return [(name, _shown(old[name]), _shown(new[name])) for name in names]
    before, after = ([one] if isinstance(one, Mapping) else list(one) for one in (old, new))
    return [pair for one, other in zip(before[::-1], after[::-1], strict=False) for pair in _pairs(one, other)]


def _shown(value: Any) -> str:
    return ", ".join(map(_shown, value)) if isinstance(value, (list, tuple)) else f"{value:.6g}"
