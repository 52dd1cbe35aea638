"""Golden cases on disk: find them, read them, run them through a port, compare the outputs.

A case is ``<system>/<case>.json`` beside ``<case>.npz``. A port is ``ports/<system>.py`` with ``SYSTEM`` and
``run(case, arrays)``. ``case`` is the JSON plus the file's ``name``, whose prefix is the family of the case. ``arrays``
are the inputs ``input:<name>``, stored or drawn from a seed. ``run`` returns a dictionary of arrays under the names of
the case's outputs. A port may define ``tolerance(case, name, reference)`` for outputs that need a different tolerance:
it returns a number or an array of the reference's shape; None means the usual rule.
"""

from __future__ import annotations

import importlib.util
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from weights import golden_input

PORTS = Path(__file__).parent / "ports"
RELATIVE_RULE = "max|a-b| <= tolerance * max(1, max|reference|)"

Arrays = dict[str, np.ndarray]


class BadCase(Exception):
    """A case that cannot be run: incomplete, unreadable, or of a system without a port."""


def find_cases(folder: Path) -> list[Path]:
    """Return every case under ``folder`` (one system or a folder of systems) as its path without the suffix.

    Incomplete cases (an array file without its JSON) and folders without cases are listed too. Running them reports the
    problem.
    """
    folder = folder.resolve()
    cases = _cases_in(folder)
    if folder.is_dir():
        for system in sorted(path for path in folder.iterdir() if path.is_dir()):
            cases += _cases_in(system) or ([] if any(system.iterdir()) else [system])
    return cases or [folder]


def _cases_in(system: Path) -> list[Path]:
    return sorted({path.with_suffix("") for path in system.glob("*") if path.suffix in (".json", ".npz")})


def case_id(case: Path) -> str:
    """Return ``system/case``."""
    return f"{case.parent.name}/{case.name}"


def failures(path: Path) -> list[str]:
    """Run one case through its port, and return the differences, one line per output.

    Raises:
        BadCase: the case cannot be run.
    """
    case, stored = read_case(path)
    port = load_port(path.parent.name)
    expected = {name: array for name, array in stored.items() if not name.startswith("input:")}
    outputs = port.run(case, inputs_of(case, stored))
    return [
        line
        for name, reference in expected.items()
        if (line := difference(name, outputs.get(name), reference, case, allowed(port, case, name, reference)))
    ]


# --------------------------------------------------------------------------- reading


def read_case(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Return the JSON and the arrays of one case, after checking that they are complete and agree."""
    case, arrays = _read_json(path.parent / f"{path.name}.json"), _read_arrays(path.parent / f"{path.name}.npz")
    declared = {entry if isinstance(entry, str) else entry["name"]: entry for entry in case.get("outputs", [])}
    stored = {name for name in arrays if not name.startswith("input:")}
    if not declared and not stored:
        raise BadCase(f"{path}: expected outputs to compare, found none")
    if missing := sorted(set(declared) - stored):
        raise BadCase(f"{path}.npz: expected the outputs that the JSON lists, found no {', '.join(missing)}")
    for name, entry in declared.items():
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if shape is not None and list(arrays[name].shape) != shape:
            raise BadCase(f"{path}: expected {name} of shape {shape}, found {list(arrays[name].shape)}")
    if not {"tolerance", "relative_tolerance"} & set(case):
        raise BadCase(f"{path}.json: expected a tolerance, found none")
    return {"name": path.name, "folder": str(path.parent)} | case, arrays


def _read_json(path: Path) -> dict[str, Any]:
    try:
        case = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadCase(f"{path}: expected a readable case, found {error}") from error
    if not isinstance(case, dict):
        raise BadCase(f"{path}: expected an object, found {type(case).__name__}")
    return case


def _read_arrays(path: Path) -> Arrays:
    try:
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadCase(f"{path}: expected readable arrays, found {error}") from error


def load_port(system: str) -> ModuleType:
    """Return the port of one system."""
    path = PORTS / f"{system}.py"
    spec = importlib.util.spec_from_file_location(f"golden_port_{system}", path)
    if spec is None or spec.loader is None or not path.is_file():
        known = sorted(port.stem for port in PORTS.glob("*.py"))
        raise BadCase(f"{system}: expected a system that has a port ({', '.join(known)}), found none called so")
    port = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(port)
    if system != port.SYSTEM:
        raise BadCase(f"{path}: expected SYSTEM = {system!r}, found {port.SYSTEM!r}")
    return port


def inputs_of(case: Mapping[str, Any], stored: Mapping[str, np.ndarray]) -> Arrays:
    """Return every input as ``input:<name>``: the stored ones, and the ones drawn from their name and seed.

    ``then`` of an input describes a step in words; the port does this step.
    """
    inputs = {name: array for name, array in stored.items() if name.startswith("input:")}
    for entry in case.get("inputs") or []:
        name = f"input:{entry['name']}" if isinstance(entry, dict) else f"input:{entry}"
        if name in inputs or not isinstance(entry, dict) or entry.get("kind") not in ("normal", "uniform"):
            continue
        if isinstance(entry["shape"], str):  # described in words; the port draws it
            continue
        drawn = golden_input(entry["name"], entry["shape"], entry["kind"], case["seed"])
        inputs[name] = drawn * np.float32(entry.get("scale", 1))
    return inputs


# --------------------------------------------------------------------------- comparing


def allowed(port: ModuleType, case: Mapping[str, Any], name: str, reference: np.ndarray) -> float | np.ndarray:
    """Return the largest difference that counts as equal for the output ``name``: one number, or one per element."""
    own = port.tolerance(case, name, reference) if hasattr(port, "tolerance") else None
    if own is not None:
        return own
    largest = float(np.nan_to_num(np.abs(reference.astype("float64")), posinf=0.0).max(initial=0.0))
    if f"tolerance_{name}" in case:
        return float(case[f"tolerance_{name}"])
    if f"tolerance_{name}_relative" in case:
        return float(case[f"tolerance_{name}_relative"]) * largest
    rule = case.get("tolerance_rule")
    if rule not in (None, RELATIVE_RULE):
        raise BadCase(f"tolerance_rule: expected {RELATIVE_RULE!r}, or a port that supports it, found {rule!r}")
    absolute = float(case.get("tolerance", 0)) * (1 if rule is None else max(1.0, largest))
    return absolute + float(case.get("relative_tolerance", 0)) * largest


def difference(
    name: str,
    output: np.ndarray | None,
    reference: np.ndarray,
    case: Mapping[str, Any],
    tolerance: float | np.ndarray,
) -> str | None:
    """Return the problem of one output, or None."""
    if output is None:
        return f"{name}: the port gave no such output"
    output = strided(np.asarray(output), (case.get("strided_outputs") or {}).get(name))
    if output.shape != reference.shape:
        return f"{name}: shape {output.shape}, expected {reference.shape}"
    a, b = output.astype("float64"), reference.astype("float64")
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        error = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    if np.all(error <= tolerance):  # except where only one side is nan
        return None
    wrong = int(np.sum(~(error <= tolerance)))
    return f"{name}: {wrong} of {error.size} differ, by up to {error.max():.3g}; allowed {np.max(tolerance):.3g}"


def strided(array: np.ndarray, text: str | None) -> np.ndarray:
    """Return the part of an output that a case stores, ``[:, ::3]`` in Python's notation."""
    if text is None:
        return array
    parts = [part.strip() for part in text.strip("[] ").split(",")]
    if not all(re.fullmatch(r"(-?\d*:-?\d*(:-?\d*)?|\.\.\.)", part) for part in parts):
        raise BadCase(f"strided_outputs: expected slices, found {text!r}")
    return array[tuple(... if part == "..." else _slice(part) for part in parts)]


def _slice(text: str) -> slice:
    return slice(*(int(number) if number else None for number in text.split(":")))
