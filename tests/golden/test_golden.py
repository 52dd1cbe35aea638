"""The authors' numbers, one test per case.

pytest tests/golden                                 # the copies beside this file
pytest tests/golden --golden DIR [--golden DIR2]    # every case under DIR, a folder of systems or one system's folder
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from golden_cases import case_id, failures, find_cases

HERE = Path(__file__).parent

# Number of values in a reference's state above which a case is slow: such a model needs gigabytes.
HUGE = 300_000_000


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_case" in metafunc.fixturenames:
        folders = metafunc.config.getoption("golden") or [HERE]
        cases = [case for folder in folders for case in find_cases(folder)]
        marked = [pytest.param(case, marks=[pytest.mark.slow] if is_huge(case) else []) for case in cases]
        metafunc.parametrize("golden_case", marked, ids=[case_id(case) for case in cases])


def is_huge(case: Path) -> bool:
    """True if the reference's state makes this a slow test; an unreadable case is not slow and fails at once."""
    try:
        state = json.loads(case.with_suffix(".json").read_text(encoding="utf-8"))["state"]
        return sum(math.prod(shape) for _, shape, *_ in state) > HUGE
    except (OSError, ValueError, LookupError, TypeError):
        return False


def test_equals_the_authors_numbers(golden_case: Path) -> None:
    assert not failures(golden_case)
