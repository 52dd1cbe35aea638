"""Work dir of a run: its path, the check that it is writable, and the first files in it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from visionzoo.config import load_config
from visionzoo.engine.checkpoints import LAST, find_resume
from visionzoo.errors import CheckpointError, ConfigError, in_cwd, some_of
from visionzoo.option_names import option
from visionzoo.system.atomic import cannot_write, write_text
from visionzoo.system.locks import NAME as LOCK
from visionzoo.system.versions import git_describe, versions

_OTHERS = 3  # runs that an error lists beside the newest one

# Weights of a run that was joined from others, and the table of its parts.
MERGED, MERGED_SUMMARY = "merged.safetensors", "merged.md"

# Files of a run. --overwrite removes only these.
_OURS = (
    "epoch_*.pth",
    "iter_*.pth",
    "best_*",
    MERGED,
    MERGED_SUMMARY,
    LAST,
    "config.py",
    "run.json",
    "metrics.json",
    "report.md",
    "report.html",
    "report",
    "losses.png",
    "metrics.png",
    "logs/scalars.json",
    "tensorboard/events.out.tfevents.*",
)


def default_folder(name: str) -> Path:
    """Return the work dir of a run without ``--work-dir``.

    Example:
        >>> default_folder("fpn_retinanet").as_posix()
        'work_dirs/fpn_retinanet'
    """
    return Path("work_dirs") / name


def free_folder(wanted: Path, *, overwrite: bool) -> Path:
    """Return the folder of new results: ``wanted``, or ``wanted-2``, ``wanted-3``, ... if it is not empty.

    Nothing is created. With ``overwrite``, it is always ``wanted``.

    Raises:
        OutputError: the folder cannot be read.
    """
    folder, number = wanted, 2
    while not overwrite and _is_used(folder):
        folder, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
    return folder


@contextmanager
def kept_if_it_works(folder: Path) -> Iterator[None]:
    """Remove ``folder`` if the block fails and the folder was empty before, except for the lock of this run."""
    was_empty = all(path.name == LOCK for path in folder.iterdir())
    try:
        yield
    except BaseException:  # also an interruption; it is raised again
        if was_empty:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _is_used(folder: Path) -> bool:
    try:
        return folder.is_dir() and any(folder.iterdir())
    except OSError as error:
        raise cannot_write(folder, error) from error


def make_writable(folder: Path) -> None:
    """Create ``folder``, check that a file can be written to it, and remove incomplete files of a killed run.

    Raises:
        OutputError: the folder cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"1")
        probe.unlink()
        for part in folder.glob(".*.part"):
            part.unlink()
    except OSError as error:
        raise cannot_write(folder, error) from error


def remove_old_run(folder: Path) -> None:
    """Remove only the files that an earlier run wrote."""
    for pattern in _OURS:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def resume_point(resume: str | Path | bool, work_dir: str | Path | None, usual: Path) -> Path:
    """Return the checkpoint to resume, in the folder of its run. Nothing is written.

    Args:
        resume: a checkpoint, a work dir, or True for ``work_dir`` or the newest run of this name.
        work_dir: value of ``--work-dir``, or None.
        usual: the folder of a run without ``--work-dir``.

    Raises:
        CheckpointError: there is nothing to resume.
        ConfigError: ``resume`` and ``work_dir`` are in two different folders.
    """
    checkpoint = resumed_checkpoint(resume, work_dir, usual)
    folder = checkpoint.parent
    if work_dir is not None and Path(work_dir).resolve() != folder.resolve():
        raise ConfigError(
            option("work_dir"),
            expected=f"{folder}, the folder of {option('resume')}",
            found=f"{work_dir}",
            advice="leave it out",
        )
    return checkpoint


def folder_to_resume(resume: str | Path | bool, work_dir: str | Path | None, config: str | None) -> Path:
    """Return the folder of the run that an option ``--resume`` names.

    Args:
        resume: a checkpoint, the folder of a run, or True for ``work_dir`` or the newest run of ``config``.
        work_dir: value of ``--work-dir``, or None.
        config: the config of the command, or None.

    Raises:
        CheckpointError: there is nothing to resume.
        ConfigError: neither a folder nor a config is named.
    """
    if not isinstance(resume, bool):
        path = Path(resume).expanduser()
        return path.parent if path.is_file() else path
    if work_dir is not None:
        return Path(work_dir)
    if config is None:
        raise ConfigError(option("resume"), expected="the folder of a run", found="none", advice=_runs_to_resume())
    loaded = load_config(config)
    return _newest(Path(loaded.cfg.get("work_dir") or default_folder(loaded.name)))


def _runs_to_resume() -> str:
    """Return the advice that names the runs in ``work_dirs``, the newest first."""
    pointers = sorted(Path("work_dirs").glob(f"*/{LAST}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    if not pointers:
        return f"write {option('resume', 'FOLDER')}; work_dirs has no run{in_cwd('work_dirs')}"
    newest, *others = [shlex.quote(str(path.parent)) for path in pointers]
    return f"write {option('resume', newest)} (the newest run)" + (f", or {some_of(others, _OTHERS)}" if others else "")


def resumed_checkpoint(resume: str | Path | bool, work_dir: str | Path | None, usual: Path) -> Path:
    """Return the checkpoint of :func:`resume_point` without the check of ``work_dir``.

    Raises:
        CheckpointError: there is nothing to resume.
    """
    if not isinstance(resume, bool):
        return find_resume(Path(resume))
    return find_resume(Path(work_dir) if work_dir is not None else _newest(usual))


def _newest(usual: Path) -> Path:
    """Return the folder with the newest checkpoint among ``name``, ``name-2``, ..."""
    numbered = [path for path in usual.parent.glob(f"{usual.name}-*") if path.name[len(usual.name) + 1 :].isdigit()]
    pointers = [path / LAST for path in (usual, *numbered) if (path / LAST).is_file()]
    if not pointers:
        raise CheckpointError(
            usual,
            expected="a run to resume",
            found="none",
            advice=f"train without {option('resume')}, or name a work dir",
        )
    return max(pointers, key=lambda path: path.stat().st_mtime_ns).parent


def write_run(folder: Path, facts: dict[str, Any], command: Sequence[str]) -> None:
    """Save command, versions and ``facts`` of a run in ``run.json``. A resumed run is added to the first start."""
    start = {
        "command": list(command) or sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "git": git_describe(),
        "versions": versions(),
        **facts,
    }
    path = folder / "run.json"
    if facts.get("resumed_from") and path.is_file():
        first = json.loads(path.read_text(encoding="utf-8"))
        first.setdefault("resumed", []).append(start)
        start = first
    write_text(path, json.dumps(start, indent=2) + "\n")
