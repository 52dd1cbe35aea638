"""COCONut against the authors' code. Modules ``coconut_*.py`` beside this one run the families of cases.

Each module has ``FAMILIES``: the beginning of a case's name and the function that computes outputs of such cases. A
family may be in several modules, each of which computes some of the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

SYSTEM = "coconut"
Arrays = dict[str, np.ndarray]

_MODULES = sorted(path.stem for path in Path(__file__).parent.glob("coconut_*.py"))


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runners of its family."""
    families = [each for name in _MODULES for each in import_module(f"ports.{name}").FAMILIES.items()]
    runners = [runner for start, runner in families if case["name"].startswith(start)]
    if not runners:
        known = ", ".join(sorted({start for start, _ in families}))
        raise LookupError(f"coconut: expected one of {known}, found {case['name']!r}")
    outputs: Arrays = {}
    for runner in runners:
        outputs |= runner(case, arrays)
    return outputs
