"""Options of the whole suite, which must be read before any test folder, and the initial state of every test."""

from __future__ import annotations

import sys
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


@pytest.fixture(autouse=True)
def _no_scope_of_an_earlier_test() -> None:
    """Remove the scope of the newest run, which mmengine keeps for the whole process; names are looked up in ours."""
    registry = sys.modules.get("mmengine.registry")
    if registry is not None:
        scopes = registry.DefaultScope._instance_dict
        for name in [name for name, scope in scopes.items() if scope.scope_name != "visionzoo"]:
            del scopes[name]
