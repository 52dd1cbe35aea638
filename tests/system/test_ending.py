"""The end of a command: exit code, output, functions of atexit, threads, and output that cannot be written."""

import subprocess
import sys

import pytest

BODY = """
import atexit, sys, threading, time
from visionzoo.system.ending import end_process
class Freed:
    def __del__(self):
        print("freed")
kept = Freed()
atexit.register(print, "registered")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
sys.stdout.write("begun ")
end_process(7)
"""


def test_all_but_the_freeing_of_objects_is_done():
    done = subprocess.run([sys.executable, "-c", BODY], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "begun thread\nregistered\n", "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_stated():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", BODY], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode != 0
    assert "No space left on device" in done.stderr


def test_commands_end_with_their_exit_code():
    for words, code in ((["--version"], 0), (["nothing"], 2)):
        assert subprocess.run([sys.executable, "-m", "visionzoo", *words], capture_output=True).returncode == code
