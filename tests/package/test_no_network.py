"""Tests reach no other machine, but servers that they start on this one."""

import socket

import pytest


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org"])
def test_other_machines_are_refused(host):
    with pytest.raises(OSError, match=f"tests use no network, but one asks for {host}"):
        socket.create_connection((host, 80), timeout=1)
    with socket.socket() as own, pytest.raises(OSError, match="tests use no network"):
        own.connect((host, 80))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_own_servers_are_reached(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection((host, server.getsockname()[1]), timeout=5).close()
