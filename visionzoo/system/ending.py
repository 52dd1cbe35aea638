"""The end of a command."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn


def end_process(code: int) -> NoReturn:
    """End the process with an exit code, without freeing its objects.

    Python frees every object of torch and of the other libraries at the end, which takes 1 to 2 s. Threads are waited
    for, functions of :mod:`atexit` run and output is flushed, as at the usual end.

    Args:
        code: exit code, 0 to 255.

    Example:
        >>> import subprocess
        >>> code = "from visionzoo.system.ending import end_process; print('done'); end_process(3)"
        >>> done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        >>> done.stdout, done.returncode
        ('done\\n', 3)
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
    except OSError:  # Python states at its usual end what it could not write
        sys.exit(code)
    os._exit(code)
