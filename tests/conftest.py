"""Options of the whole suite, which must be read before any test folder, and the initial state of every test."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_frozen_modules = 0
_OWN_MACHINE = ("localhost", "127.0.0.1", "::1", "", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        metavar="DIR",
        type=Path,
        action="append",
        help="golden cases to run instead of those in tests/golden: a folder of systems, or one system's; repeatable",
    )


def pytest_runtest_setup() -> None:
    """Exempt imported modules from the garbage collector, which data sets of mmengine call for every run.

    A collection over the modules of torch, mmdet and mmseg takes 0.3 s, half of the time of many tests.
    """
    global _frozen_modules
    if len(sys.modules) > _frozen_modules:
        gc.freeze()
        _frozen_modules = len(sys.modules)


def pytest_unconfigure() -> None:
    """Return the modules to the collector: without it, libraries report leaks when the interpreter ends."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _nothing_of_an_earlier_run() -> None:
    """Remove scopes and loggers of runs, which mmengine keeps for the whole process; the newest ones are in force."""
    registry, loggers_of = sys.modules.get("mmengine.registry"), sys.modules.get("mmengine.logging")
    if registry is not None:
        scopes = registry.DefaultScope._instance_dict
        for name in [name for name, scope in scopes.items() if scope.scope_name != "visionzoo"]:
            del scopes[name]
    if loggers_of is not None:
        loggers = loggers_of.MMLogger._instance_dict
        for name in [name for name in loggers if name not in ("mmengine", "visionzoo")]:
            del loggers[name]


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Refuse connections to other machines, so that no test passes only where there is a network."""
    with pytest.MonkeyPatch.context() as patch:
        connect, look_up = socket.socket.connect, socket.getaddrinfo
        patch.setattr(socket.socket, "connect", lambda own, address: _if_own(address, connect, own, address))
        patch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: _if_own(host, look_up, host, *rest, **more))
        yield


def _if_own(address: Any, call: Callable, *args: Any, **more: Any) -> Any:
    """Call a function if an address is on this machine; paths of sockets of the file system are."""
    host = address[0] if isinstance(address, tuple) else address
    if host in _OWN_MACHINE or "/" in str(host):
        return call(*args, **more)
    raise OSError(f"tests use no network, but one asks for {host}")
