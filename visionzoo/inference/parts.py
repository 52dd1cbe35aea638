"""A run of inference that several processes share.

The inputs are dealt out in turn: of N parts, part k has the inputs k, k + N, k + 2 N, ... A video, a group of images
and the phrases of an image stay in one part, because the results of their members depend on each other. Every process
lists all inputs, so that all of them give the same numbers and file names; it reads only the images of its part, and
the frames of all videos.

::

    OUT/vis/..., OUT/raw/...   the files of all inputs, with the names that one process would give
    OUT/.parts/parts.json      number of parts
    OUT/.parts/00000/          a part: the files that grow, ``run.json`` and the journal, as those of a whole run
    OUT/.parts/00000/TASK/     those of a task, for a model with several tasks; its other files are in OUT/TASK

If all parts are complete, their entries are merged in the order of the inputs (:mod:`visionzoo.inference.merging`), and
``.parts`` is removed. A part whose process died continues from its own journal; the number of processes may change, the
number of parts does not.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

from visionzoo.errors import InputError
from visionzoo.inference.resuming import PARTS
from visionzoo.system.atomic import write_text
from visionzoo.tasks.inputs.base import Input, Source

_COUNT, _SEEN = "parts.json", "inputs.json"


class Part:
    """The inputs of one of several parts of a run.

    Args:
        out: output folder of the run.
        number: number of the part, from 0.
        count: number of parts.
        inputs: kind of the inputs.

    Attributes:
        folder: folder of the part, which exists.

    Example:
        >>> import tempfile
        >>> sources = [Source(name, None, Path(name)) for name in ("a", "b", "c", "d")]
        >>> with tempfile.TemporaryDirectory() as out:
        ...     part = Part(Path(out), 1, 2, Input())
        ...     own = [source.name for source in part.own(sources)]
        ...     own, part.next_own()[0], [source.name for source in part.next_own()[1]]
        (['b', 'd'], 2, ['c'])
    """

    def __init__(self, out: Path, number: int, count: int, inputs: Input):
        self.out, self.number, self.count, self.inputs = out, number, count, inputs
        self.folder = folder_of(out, number)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._waiting: deque[tuple[int, list[Source]]] = deque()
        self._groups: dict[Hashable, int] = {}
        self._whole: Hashable | None = None
        self._turn = -1

    def own(self, sources: Iterable[Source]) -> Iterator[Source]:
        """Yield the inputs of this part. After the last one, note how many inputs all parts have."""
        passed: list[Source] = []
        names, number = hashlib.blake2b(digest_size=16), 0
        for number, source in enumerate(sources, start=1):
            names.update(source.name.encode(errors="surrogatepass") + b"\0")
            is_first = self._take_turn(source)
            if self._turn % self.count == self.number:
                self._waiting.append((number, passed))
                passed = []
                yield source
            elif is_first or source.frame is None:
                passed.append(source.without_pixels())
        write_text(self.folder / _SEEN, json.dumps({"inputs": number, "digest": names.hexdigest()}) + "\n")

    def folder_of(self, folder: Path) -> Path:
        """Return the folder of this part for a folder of the run, such as that of a task. It exists then."""
        own = self.folder / folder.relative_to(self.out)
        own.mkdir(parents=True, exist_ok=True)
        return own

    def next_own(self) -> tuple[int, list[Source]]:
        """Return the number of the next own input in the whole run, from 1, and the inputs of other parts before it.

        Of a video of another part, only its first frame is returned.
        """
        return self._waiting.popleft()

    def _take_turn(self, source: Source) -> bool:
        """Set the turn of an input. Return True if its turn begins with it."""
        whole = self.inputs.whole_of(source)
        if self.inputs.are_grouped:
            before = len(self._groups)
            self._turn = self._groups.setdefault(whole, before)
            return self._turn == before
        if whole is not None and whole == self._whole:
            return False
        self._whole, self._turn = whole, self._turn + 1
        return True


def folder_of(out: Path, number: int) -> Path:
    """Return the folder of a part."""
    return out / PARTS / f"{number:05}"


def parts_in(out: Path) -> int:
    """Return the number of parts of a run that several processes share; 0 if the folder has none."""
    try:
        return int(json.loads((out / PARTS / _COUNT).read_bytes())["parts"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def start_parts(out: Path, count: int) -> None:
    """Note the number of parts in an output folder."""
    (out / PARTS).mkdir(parents=True, exist_ok=True)
    write_text(out / PARTS / _COUNT, json.dumps({"parts": count}) + "\n")


def parts_of_process(count: int, process: int, processes: int) -> range:
    """Return the numbers of the parts that a process does.

    Example:
        >>> [list(parts_of_process(4, process, 3)) for process in range(3)]
        [[0, 3], [1], [2]]
    """
    return range(process, count, processes)


def require_same_inputs(out: Path, count: int) -> None:
    """Raise an error if the parts did not see the same inputs, for example because a folder changed.

    Raises:
        InputError: the message states the numbers of inputs.
    """
    seen: list[Any] = [json.loads((folder_of(out, number) / _SEEN).read_bytes()) for number in range(count)]
    for number, each in enumerate(seen):
        if each != seen[0]:
            what = "other names" if each["inputs"] == seen[0]["inputs"] else f"{each['inputs']} inputs"
            raise InputError(
                out,
                expected=f"the {seen[0]['inputs']} inputs of part 0 in all parts",
                found=f"{what} in part {number}",
                advice="the inputs changed during the run; list them in a file, and start again with --overwrite",
            )
