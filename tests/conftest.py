"""Options of the whole suite; they are read before any test folder is."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        metavar="DIR",
        type=Path,
        action="append",
        help="golden cases to run instead of those in tests/golden: a folder of systems, or one system's; repeatable",
    )
