"""A run of a suite that kills its process at one moment.

    python killed_suite.py MOMENT COUNT WORDS...

MOMENT is ``never``, ``first`` (before any result), ``within`` (when COUNT results were written, within a batch) or
``report`` (after all results, before the report). WORDS are those of ``visionzoo test``.
"""

import json
import os
import signal
import sys

from visionzoo.cli.test import main
from visionzoo.suites import _running, _store


def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def dumps_until(count):
    """Return ``json.dumps`` that kills the process at its call number ``count``, after it wrote a part of a line."""
    calls = []

    def dumps(value):
        calls.append(value)
        if len(calls) == count:
            path = next(_store.Path(sys.argv[-1]).rglob("*.jsonl"))
            with open(path, "ab") as file:
                file.write(b'{"id": "half a li')
            kill()
        return json.dumps(value)

    return dumps


if __name__ == "__main__":
    moment, count, *words = sys.argv[1:]
    if moment == "first":
        _running._predict = kill
    elif moment == "within":
        _store.json = type(
            "Json", (), {"dumps": staticmethod(dumps_until(int(count) + 1)), "loads": staticmethod(json.loads)}
        )
    elif moment == "report":
        _running.write_report = kill
    sys.exit(main(words))
