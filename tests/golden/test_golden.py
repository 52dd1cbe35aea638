"""The authors' numbers, one test per case.

pytest tests/golden                                 # the copies beside this file
pytest tests/golden --golden DIR [--golden DIR2]    # every case under DIR, a folder of systems or one system's
"""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_cases import case_id, failures, find_cases

HERE = Path(__file__).parent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "golden_case" in metafunc.fixturenames:
        folders = metafunc.config.getoption("golden") or [HERE]
        cases = [case for folder in folders for case in find_cases(folder)]
        metafunc.parametrize("golden_case", cases, ids=case_id)


def test_gives_the_authors_numbers(golden_case: Path) -> None:
    assert not failures(golden_case)
