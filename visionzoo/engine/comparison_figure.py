"""The figure of a comparison: metrics over the epochs of all runs, or bars.

Bars are drawn if a run has no history, such as a test, and for more entries than there are colours.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from visionzoo.engine.comparison import Comparison, Entry
from visionzoo.engine.recorded_runs import RecordedRun
from visionzoo.reports.curves import Line, Panel, draw_panels
from visionzoo.reports.run_bars import COLOURS, Bars, draw_bars
from visionzoo.system.atomic import write_file

_MOST = 16  # panels


def write_figure(comparison: Comparison, path: Path) -> None:
    """Write the figure as a PNG file.

    Raises:
        OutputError: the file cannot be written.
    """
    content = io.BytesIO()
    Image.fromarray(draw_comparison(comparison)).save(content, format="PNG", optimize=True)
    write_file(path, lambda file: file.write(content.getvalue()))


def draw_comparison(comparison: Comparison) -> np.ndarray:
    """Return the figure, (H, 1000, 3) uint8 RGB."""
    ranked = [metric for metric in comparison.metrics if comparison.direction(metric)]
    known = [name for name in ranked or comparison.metrics if _is_known(comparison, name)]
    metrics = known[:_MOST]
    title = f"comparison: {', '.join(f'{entry.label} {entry.first.name}' for entry in comparison.entries)}"
    title = title if len(title) <= 100 else f"{title[:97]}..."
    runs = [run for entry in comparison.entries for run in entry.runs]
    units = {run.unit for run in runs}
    few = len(comparison.entries) <= len(COLOURS)
    if few and len(units) == 1 and all(_has_curve(run) for run in runs):
        panels = [Panel(_heading(comparison, metric), _lines(comparison, metric)) for metric in metrics]
        return draw_panels(title, [panel for panel in panels if panel.lines], units.pop())
    return draw_bars(
        title, [entry.label for entry in comparison.entries], [_bars(comparison, name) for name in metrics]
    )


def _is_known(comparison: Comparison, metric: str) -> bool:
    return any(entry.value(metric).mean is not None for entry in comparison.entries)


def _has_curve(run: RecordedRun) -> bool:
    return any(len(points) > 1 for points in run.history.values())


def _remark(comparison: Comparison, metric: str) -> str:
    return {"greater": "higher is better", "less": "lower is better"}.get(comparison.direction(metric) or "", "")


def _heading(comparison: Comparison, metric: str) -> str:
    """Return the title of a panel; that of most metrics has no remark, because higher values are better."""
    return f"{metric} (lower is better)" if comparison.direction(metric) == "less" else metric


def _lines(comparison: Comparison, metric: str) -> list[Line]:
    """Return the mean of each entry; of one entry only, a line for each run if there are colours enough."""
    first = comparison.entries[0]
    if len(comparison.entries) == 1 and len(first.runs) <= len(COLOURS):
        seeds = [f"seed {'-' if run.seed is None else run.seed}" for run in first.runs]
        histories = [dict(run.history.get(metric, ())) for run in first.runs]
        lines = [_line(name, points) for name, points in zip(seeds, histories, strict=True)]
    else:
        lines = [_line(_name(entry), _mean_history(entry, metric)) for entry in comparison.entries]
    return [line for line in lines if len(line.x)]


def _name(entry: Entry) -> str:
    return entry.label if len(entry.runs) == 1 else f"{entry.label} (mean of {len(entry.runs)})"


def _line(name: str, points: dict[float, float]) -> Line:
    return Line(name, list(points), list(points.values()), dots=len(points) <= 60)


def _mean_history(entry: Entry, metric: str) -> dict[float, float]:
    """Return the mean over the runs at each epoch that all of them have."""
    each = [dict(run.history.get(metric, ())) for run in entry.runs]
    common = sorted(set.intersection(*map(set, each)))
    return {x: float(np.mean([values[x] for values in each])) for x in common}


def _bars(comparison: Comparison, metric: str) -> Bars:
    values, best = [entry.value(metric) for entry in comparison.entries], comparison.best(metric)
    return Bars(
        metric,
        _remark(comparison, metric),
        [value.mean for value in values],
        [value.spread for value in values],
        [entry.label in best for entry in comparison.entries],
    )
