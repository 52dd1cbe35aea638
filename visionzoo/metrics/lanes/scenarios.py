"""Counts of CULane's F1 by scenario, and a table of them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

from visionzoo.datasets.lanes.culane_files import SCENARIOS
from visionzoo.metrics.lanes.culane import LaneCounts

WITHOUT_LANES = "cross"  # scenario without annotated lanes: only its false positives are meaningful


def scenario_sums(results: Iterable[tuple[str | None, LaneCounts]]) -> dict[str, LaneCounts]:
    """Sum counts by scenario, in CULane's order, other scenarios last. Images without a scenario are skipped.

    Example:
        >>> scenario_sums([("night", LaneCounts(tp=1)), (None, LaneCounts(tp=1)), ("night", LaneCounts(fp=2))])
        {'night': LaneCounts(tp=1, fp=2, fn=0)}
    """
    sums: dict[str, LaneCounts] = {}
    for scenario, counts in results:
        if scenario:
            sums[scenario] = sums.get(scenario, LaneCounts()) + counts
    order = [*SCENARIOS, *sorted(set(sums) - set(SCENARIOS))]
    return {name: sums[name] for name in order if name in sums}


def numbers_of(total: LaneCounts, scenarios: Mapping[str, LaneCounts]) -> dict[str, float]:
    """Return ``F1``, ``precision``, ``recall``, ``TP``, ``FP``, ``FN``, ``F1/<scenario>``, and ``FP/cross``."""
    numbers = {"F1": total.f1, "precision": total.precision, "recall": total.recall}
    numbers |= {"TP": float(total.tp), "FP": float(total.fp), "FN": float(total.fn)}
    for name, counts in scenarios.items():
        numbers |= {"FP/cross": float(counts.fp)} if name == WITHOUT_LANES else {f"F1/{name}": counts.f1}
    return numbers


def scenario_table(total: LaneCounts, scenarios: Mapping[str, LaneCounts]) -> str:
    """Format one row for each scenario and one for the total, in percent; ``-`` for undefined numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table("scenario", title="CULane")
    for column in ("F1", "precision", "recall", "TP", "FP", "FN"):
        table.add_column(column, justify="right")
    for name, counts in [*scenarios.items(), ("total", total)]:
        shares = (counts.f1, counts.precision, counts.recall)
        known = counts.tp + counts.fn > 0  # False without annotated lanes
        cells = [f"{100 * share:.2f}" if known and share >= 0 else "-" for share in shares]
        table.add_row(name, *cells, str(counts.tp), str(counts.fp), str(counts.fn))
    page = io.StringIO()
    Console(file=page, width=100).print(table)
    return "\n" + page.getvalue()
