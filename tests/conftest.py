"""Options of the whole suite, which are read before any test folder is, and what every test starts from."""

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
    """mmengine keeps the scope of the newest run for the whole process; names are looked for in ours."""
    registry = sys.modules.get("mmengine.registry")
    if registry is not None:
        scopes = registry.DefaultScope._instance_dict
        for name in [name for name, scope in scopes.items() if scope.scope_name != "visionzoo"]:
            del scopes[name]
