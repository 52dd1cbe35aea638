"""Locks of output folders: one run per folder, and locks of killed runs are taken over."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from visionzoo.errors import OutputError
from visionzoo.system import locks
from visionzoo.system.locks import locked

# Each process waits for a line on stdin inside the lock, so that the test decides when it ends.
HOLD = """
import sys
from visionzoo.errors import ZooError
from visionzoo.system.locks import locked
try:
    sys.stdin.readline()
    with locked(sys.argv[1], "a training"):
        print("won", flush=True)
        sys.stdin.readline()
except ZooError as error:
    print(error, flush=True)
"""


def process(folder):
    command = [sys.executable, "-c", HOLD, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def begin(child):
    child.stdin.write("begin\n")
    child.stdin.flush()


def lock_of(folder, **changes):
    """Write the lock of a process that has ended."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    record = {"what": "a training", "host": socket.gethostname(), "process": ended.pid, "start": None}
    record |= {"command": "visionzoo train", "time": "2026-01-01 12:00:00"} | changes
    (folder / ".lock").write_text(json.dumps(record))


def test_a_second_process_is_refused_until_the_first_ends(tmp_path):
    child = process(tmp_path / "run")
    begin(child)
    assert child.stdout.readline() == "won\n"
    with pytest.raises(OutputError) as refused, locked(tmp_path / "run"):
        pass
    text = str(refused.value)
    assert f"{tmp_path / 'run'}: expected a folder that no other run uses, found a training on " in text
    assert f"process {child.pid}, since 20" in text
    assert text.endswith("; wait for it, or choose another folder with -o")
    child.communicate("end\n")
    with locked(tmp_path / "run") as lock:
        assert lock.note == ""
    assert os.listdir(tmp_path / "run") == []


def test_one_process_cannot_lock_twice(tmp_path):
    with locked(tmp_path), pytest.raises(OutputError), locked(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit, ValueError])
def test_every_ending_removes_the_lock(tmp_path, ending):
    with pytest.raises(ending), locked(tmp_path):
        raise ending
    assert os.listdir(tmp_path) == []


def test_a_killed_run_is_taken_over(tmp_path):
    child = process(tmp_path)
    begin(child)
    assert child.stdout.readline() == "won\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    with locked(tmp_path) as lock:
        assert (
            f"taken over from a run that ended without removing it (a training on {socket.gethostname()}" in lock.note
        )
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the system gives no start times")
def test_a_process_id_that_was_given_again_is_stale(tmp_path):
    lock_of(tmp_path, process=os.getpid(), start="1")
    with locked(tmp_path) as lock:
        assert lock.note


def test_another_host_cannot_be_checked(tmp_path):
    lock_of(tmp_path, host="elsewhere")
    with pytest.raises(OutputError, match=r"on elsewhere, .*if that run has ended, delete .*\.lock"), locked(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", '{"what": "a tr', "[]", '{"process": 1}', "\x00\x00"])
def test_an_incomplete_lock_is_stale_after_a_while(tmp_path, monkeypatch, text):
    monkeypatch.setattr(locks, "_WRITING", 0.1)
    (tmp_path / ".lock").write_text(text)
    with locked(tmp_path) as lock:
        assert lock.note
        assert json.loads(lock.path.read_text())["process"] == os.getpid()


def test_of_two_processes_one_takes_a_stale_lock_over(tmp_path):
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        lock_of(folder)
        children = [process(folder) for _ in range(2)]
        for child in children:
            begin(child)
        answers = sorted(child.stdout.readline() for child in children)
        for child in children:
            child.communicate("end\n")
        assert answers[1] == "won\n"
        assert "found a training on" in answers[0]


def test_a_forked_child_leaves_the_lock(tmp_path):
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(locked(tmp_path))
        child = os.fork()
        if child == 0:
            stack.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert lock.path.exists()
    assert not lock.path.exists()


def test_without_hard_links(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", link)
    with locked(tmp_path), pytest.raises(OutputError, match="no other run uses"), locked(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_a_lock_of_a_later_run_is_left(tmp_path):
    with locked(tmp_path) as lock:
        lock.path.write_text("the lock of another run")
    assert lock.path.read_text() == "the lock of another run"


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="expected a place that can be written"), locked(tmp_path / "file"):
        pass
