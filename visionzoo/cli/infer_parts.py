"""``visionzoo infer`` in several processes, which ``torchrun`` or ``srun`` starts. They share the inputs."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from visionzoo.cli.common import note
from visionzoo.cli.infer_messages import say_end
from visionzoo.errors import InputError, RunFailed

if TYPE_CHECKING:
    from visionzoo.inference.inferencer import Inferencer

T = TypeVar("T")

_TIMEOUT = 30 * 86400.0  # seconds in which the slowest process must end
_NUMBERS = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS")  # variables in which torchrun and srun state the number of processes


@dataclass(frozen=True)
class Processes:
    """The processes of a run: the rank of this one, from 0, and their number."""

    rank: int = 0
    count: int = 1

    @property
    def are_first(self) -> bool:
        return self.rank == 0

    def agree(self, make: Callable[[], T]) -> T:
        """Call ``make`` in the first process when all have come here, and return its result in all of them.

        Raises:
            RunFailed: another process ended.
        """
        if self.count == 1:
            return make()
        from visionzoo.system import distributed

        try:
            distributed.gather(None)  # the first process waits for the others
            return distributed.from_first(make)
        except RuntimeError as error:
            raise RunFailed(
                "a process of this run ended early; the results of all processes up to then are kept, and --resume "
                "continues the run, also in another number of processes"
            ) from error


@contextmanager
def joined(args: argparse.Namespace, *, needs_torch: bool) -> Iterator[Processes]:
    """Join the other processes of this run, if a launcher started several. Only the first one prints.

    Args:
        args: values of the options. ``quiet`` and ``json`` are set for all processes but the first.
        needs_torch: True if torch runs the model; ``args.device`` then becomes the GPU of this process.

    Raises:
        InputError: the inputs are on stdin, which only one process can read.
    """
    if all(os.environ.get(name, "1") in ("", "1") for name in _NUMBERS):  # torch, which a file may not need, joins
        yield Processes()
        return
    import torch

    from visionzoo.system import distributed
    from visionzoo.system.devices import choose_device

    device = str(choose_device(args.device, distributed.local_rank())) if needs_torch else args.device
    distributed.start(distributed.find_launcher(), torch.device("cpu"), timeout=_TIMEOUT, backend="gloo")
    processes = Processes(distributed.rank(), distributed.world_size())
    try:
        if processes.count > 1:
            args.device = device
            args.quiet, args.json = args.quiet or not processes.are_first, args.json and processes.are_first
            _refuse_stdin(args)
        yield processes
    finally:
        distributed.stop()


def _refuse_stdin(args: argparse.Namespace) -> None:
    if "-" in getattr(args, "inputs", ()):
        raise InputError(
            "-",
            expected="inputs that every process can read",
            found="stdin",
            advice="write the paths to a file and give @list.txt",
        )


def is_shared(out: Path, processes: Processes) -> bool:
    """Return True if the run in a folder has parts or gets some."""
    from visionzoo.inference.parts import parts_in

    return processes.count > 1 or parts_in(out) > 0


@dataclass(frozen=True)
class Run:
    """A run of inference: the values of its options, its model, folder and drawn images, and what run.json states."""

    args: argparse.Namespace
    inferencer: Inferencer
    out: Path
    images: tuple[str, ...]
    about: dict[str, Any]

    @property
    def writing(self) -> dict[str, Any]:
        """Further options of the writer of the predictions."""
        return {"saves": self.args.save, "crops": self.args.save_crops, "gallery": self.args.gallery}


def run_parts(
    processes: Processes,
    run: Run,
    total: int | None,
    predict: Callable[..., tuple[int, int]],
) -> tuple[int, int]:
    """Run the parts of this process, and merge all parts when all processes are done.

    Args:
        processes: the processes of the run.
        run: the run.
        total: number of inputs; None if it is unknown.
        predict: runs inference. Its arguments are the run, sources, their number and the part; it returns the numbers
            of inputs and of unusable ones.

    Returns:
        The numbers of all inputs and of the unusable ones.
    """
    from visionzoo.inference.parts import Part, parts_of_process
    from visionzoo.system.locks import locked

    inputs = run.inferencer.inputs

    def predicted(part: Part | None, share: int | None) -> tuple[int, int]:
        return predict(run, inputs.sources(run.args), share, part)

    with locked(run.out, "an inference") if processes.are_first else nullcontext() as lock:
        note(lock.note if lock else "", quiet=not (lock and lock.note) or run.args.quiet)
        count = processes.agree(lambda: _count_of_parts(run, processes.count))
        if not count:
            return processes.agree(lambda: predicted(None, total))
        note(f"{count} parts in {processes.count} processes", quiet=run.args.quiet)
        for number in parts_of_process(count, processes.rank, processes.count):
            part = Part(run.out, number, count, inputs)
            with locked(part.folder, "a part of an inference"):
                predicted(part, None if total is None else -(-total // count))
        return processes.agree(lambda: _merged(run, count))


def _count_of_parts(run: Run, processes: int) -> int:
    """Return the number of parts of the run to continue, 0 if one process began it; else start a run."""
    from visionzoo.inference.parts import parts_in, start_parts
    from visionzoo.inference.resuming import JOURNAL, remove_old_results
    from visionzoo.system.atomic import write_text

    if run.args.resume:
        return parts_in(run.out)
    remove_old_results(run.out)
    start_parts(run.out, processes)
    write_text(run.out / JOURNAL, "")
    tasks = run.inferencer.tasks
    about = {
        "task": list(tasks) if len(tasks) > 1 else tasks[0],
        "complete": False,
        "inputs": 0,
        "failed": 0,
        **run.about,
    }
    write_text(run.out / "run.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    return processes


def _merged(run: Run, count: int) -> tuple[int, int]:
    from visionzoo.inference.merging import merge_parts
    from visionzoo.inference.parts import folder_of
    from visionzoo.inference.resuming import earlier_run

    parts = [earlier_run(folder_of(run.out, number)) for number in range(count)]
    if not all(part is not None and part.complete for part in parts):
        known = [part for part in parts if part is not None]
        note(f"{run.out}: not all parts are complete; --resume continues them")
        return sum(part.count for part in known), sum(part.run.get("failed", 0) for part in known)
    merged = merge_parts(run.out, run.inferencer, run.images, run.about, count, **run.writing)
    say_end(run.args, run.inferencer, merged)
    return merged.done, merged.failed
