"""Contents of a checkpoint, from which a run resumes exactly.

A checkpoint is a dict of tensors, numbers and strings. Reading it runs no code::

    meta              epoch, iter, seed, config as text, classes of the data set, versions
    state_dict        the model (with EMA: the averaged weights; the trained ones are in ema_state_dict)
    optimizer         with the state of the gradient scaler
    param_schedulers  one state per scheduler
    message_hub       histories of the logs, best score
    loop              number of the pass over the data, batches taken from it, True if this epoch is validated
    ranks             for each process: random states, gradients of an unfinished accumulation
    hooks             state of visionzoo's hooks (patience of early stopping)
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor

from visionzoo.datasets.findings import shown
from visionzoo.errors import CheckpointError
from visionzoo.option_names import option
from visionzoo.system.atomic import write_file, write_text
from visionzoo.weights.safe_load import read_checkpoint

LAST = "last_checkpoint"
# Exceptions of torch and mmengine for a state whose values are not those that they saved.
UNFIT = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError)
_NEEDED = ("meta", "state_dict", "optimizer", "message_hub", "loop", "ranks")


def save_checkpoint(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint, complete or not at all.

    Raises:
        OutputError: the disk is full or cannot be written. An existing file is then unchanged.
    """
    write_file(path, lambda file: torch.save(dict(checkpoint), file))


def save_weights(path: Path, state_dict: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write only the tensors of ``state_dict``, as safetensors, with ``meta`` as JSON in the file header.

    Raises:
        OutputError: as for :func:`save_checkpoint`.
    """
    from safetensors.torch import save

    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in state_dict.items() if isinstance(v, Tensor)}
    data = save(tensors, metadata={"format": "pt", "meta": json.dumps(plain(meta))})
    write_file(path, lambda file: file.write(data))


def point_to(path: Path) -> None:
    """Write the name of the newest checkpoint to ``last_checkpoint`` in the same folder.

    The pointer holds the file name without its folder, so it stays valid when the folder is moved.
    """
    write_text(path.parent / LAST, path.name + "\n")


def last_checkpoint(folder: Path) -> Path | None:
    """Return the path of the newest checkpoint that ``last_checkpoint`` in a work dir names, or None."""
    pointer = folder / LAST
    return folder / pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else None


def find_resume(source: Path) -> Path:
    """Return the checkpoint to resume from: ``source`` itself, or the last checkpoint of a work dir.

    Raises:
        CheckpointError: there is no checkpoint to resume.
    """
    if os.path.isfile(source):
        return source
    if not os.path.isdir(source):
        raise CheckpointError(
            source, expected="a checkpoint or a work dir to resume", found="nothing", advice="check the path"
        )
    pointer = source / LAST
    if pointer.is_file():
        named = source / Path(pointer.read_text(encoding="utf-8", errors="replace").strip()).name
        if os.path.isfile(named):
            return named
    paths = [path for pattern in ("epoch_*.pth", "iter_*.pth") for path in source.glob(pattern) if path.is_file()]
    if not paths:
        raise CheckpointError(
            source,
            expected="a checkpoint to resume (last_checkpoint, epoch_N.pth or iter_N.pth)",
            found="none",
            advice=f"train without {option('resume')}",
        )
    return max(paths, key=lambda path: path.stat().st_mtime_ns)


def read_resumable(path: Path, *, map_location: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint that a run can resume from.

    Args:
        path: the file.
        map_location: ``meta`` reads everything except the values of tensors.

    Raises:
        CheckpointError: the file is broken, holds only weights, or an entry is of another type.
    """
    checkpoint = read_checkpoint(path, map_location=map_location)
    missing = [key for key in _NEEDED if key not in checkpoint]
    if missing:
        raise CheckpointError(
            path,
            expected="a checkpoint of a run",
            found=f"one without {', '.join(missing)}",
            advice=f"start from its weights instead: {option('weights')}",
        )
    for name, (expected, is_valid) in _SCHEMA.items():
        found, key = checkpoint, name
        for key in name.split("."):
            found = found.get(key)  # type: ignore[assignment]
        if not is_valid(found):
            raise CheckpointError(
                f"{path}: {name}",
                expected=expected,
                found=shown(found),
                advice=f"resume from an earlier checkpoint, or start from its weights with {option('weights')}",
            )
    return checkpoint


def require_same_averaging(checkpoint: Mapping[str, Any], path: Path, *, has_ema: bool) -> str | None:
    """Check that a run resumes with the averaged weights of its checkpoint.

    Args:
        checkpoint: the contents of the file.
        path: the file.
        has_ema: the run averages its weights.

    Returns:
        A note, if the run averages and the checkpoint does not.

    Raises:
        CheckpointError: the checkpoint has averaged weights, and the run would drop them.
    """
    was_averaged = "ema_state_dict" in checkpoint
    if was_averaged and not has_ema:
        raise CheckpointError(
            path,
            expected=f"a run with {option('ema')}",
            found="one without it, which would drop the averaged weights of the checkpoint",
            advice=f"add {option('ema', True)}, or start a new run from the weights with {option('weights')}",
        )
    if has_ema and not was_averaged:
        return f"{path}: saved without {option('ema')}, so the average begins with these weights"
    return None


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(key, str) for key in value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _are_ranks(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(_is_mapping(rank) and {"random", "gradients"} <= set(rank) for rank in value)
        and all(_is_mapping(rank["random"]) and _is_mapping(rank["gradients"]) for rank in value)
    )


# Entries of a checkpoint to resume; an entry above stands before those inside it.
_SCHEMA: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "meta": ("facts by name", _is_mapping),
    "meta.epoch": ("a number of epochs", _is_count),
    "meta.iter": ("a number of iterations", _is_count),
    "state_dict": ("tensors by name", _is_state),
    "optimizer": ("the state of an optimizer", _is_mapping),
    "message_hub": ("histories of the logs", _is_mapping),
    "message_hub.log_scalars": ("histories by name", _is_mapping),
    "message_hub.runtime_info": ("facts by name", _is_mapping),
    "loop": ("the position of a loop", _is_mapping),
    "loop.data_pass": ("a number of passes", _is_count),
    "loop.batch": ("a number of batches", _is_count),
    "loop.validated": ("True or False", _is_switch),
    "loop.stopped": ("True or False", _is_switch),
    "ranks": ("the state of each process", _are_ranks),
}


def seed_in(meta: Any) -> int | None:
    """Return the seed in ``meta`` of a checkpoint, or None if it states none.

    Example:
        >>> seed_in({"seed": 3}), seed_in({"seed": "x"})
        (3, None)
    """
    seed = meta.get("seed") if isinstance(meta, Mapping) else None
    return seed if _is_count(seed) else None


# --- histories of logs ---


def pack_message_hub(hub: MessageHub) -> dict[str, Any]:
    """Return the log histories and runtime information of ``hub`` as tensors and plain values, without the config."""
    state = hub.state_dict()
    scalars = {}
    for name, buffer in state["log_scalars"].items():
        values, counts = buffer.data
        scalars[name] = {
            "values": torch.from_numpy(np.asarray(values, dtype=np.float64).copy()),
            "counts": torch.from_numpy(np.asarray(counts, dtype=np.int64).copy()),
        }
    facts = {name: plain(value) for name, value in state["runtime_info"].items() if name != "cfg"}
    return {"log_scalars": scalars, "runtime_info": facts}


def unpack_message_hub(hub: MessageHub, packed: Mapping[str, Any]) -> None:
    """Restore into ``hub`` what :func:`pack_message_hub` returned, except what belongs to the current run."""
    for name, history in packed["log_scalars"].items():
        hub.log_scalars[name] = HistoryBuffer(history["values"].tolist(), history["counts"].tolist())
        hub._resumed_keys[name] = True
    current = ("experiment_name", "dataset_meta", "mmengine_version")
    for name, value in packed["runtime_info"].items():
        if name not in current:
            hub.update_info(name, value)


def plain(value: Any) -> Any:
    """Convert ``value`` to tensors, numbers, strings, None, lists, tuples, dicts and counters.

    Sets become sorted lists, numeric arrays become tensors, and objects of other classes become strings.

    Example:
        >>> plain({"classes": {"b", "a"}, "scale": np.float32(0.5), "size": (3, np.int64(4))})
        {'classes': ['a', 'b'], 'scale': 0.5, 'size': (3, 4)}
    """
    if isinstance(value, np.generic):  # checked first, because np.float64 is a subclass of float
        return value.item()
    if isinstance(value, (str, int, float, bool, type(None), Tensor)):
        return value
    if isinstance(value, Mapping):
        cleaned = {k if isinstance(k, (str, int)) else str(k): plain(v) for k, v in value.items()}
        return Counter(cleaned) if isinstance(value, Counter) else cleaned  # milestones of schedulers
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value) if type(value) in (list, tuple) else [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(v) for v in value), key=repr)
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy()) if value.dtype.kind in "fiub" else value.tolist()
    return str(value)


def on_cpu(value: Any) -> Any:
    """Copy a nested structure, with its tensors detached and on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        copied = {k: on_cpu(v) for k, v in value.items()}
        return copied if type(value) is dict else _as(value, copied)
    if isinstance(value, (list, tuple)):
        return type(value)(on_cpu(v) for v in value)
    return value


def _as(like: Mapping, copied: dict) -> Any:
    """Return ``copied`` in the class of ``like`` (Counter, OrderedDict), with its version marks.

    Both classes are read back without running code.
    """
    made = type(like)(copied)  # type: ignore[call-arg]
    if hasattr(like, "_metadata"):
        made._metadata = like._metadata  # type: ignore[attr-defined]
    return made


# --- optimizers and schedulers ---


def load_optimizer(optimizer: Any, state: dict, where: str) -> None:
    """Load the state of an optimizer.

    Raises:
        CheckpointError: the state belongs to other parameters or to another kind of optimizer.
    """
    try:
        optimizer.load_state_dict(state)
    except UNFIT as error:
        reason = " ".join(f"{error}".split())[:200]
        raise CheckpointError(
            where,
            expected="the state of this config's optimizer",
            found=f"the state of another one ({reason})",
            advice=f"resume with the config of the run, or start from the weights with {option('weights')}",
        ) from error


def load_schedulers(schedulers: list, states: list, where: str) -> None:
    """Load the state of each scheduler.

    Raises:
        CheckpointError: the number of states differs from the number of schedulers.
    """
    if len(schedulers) != len(states):
        raise CheckpointError(
            where,
            expected=f"the states of {len(schedulers)} schedulers",
            found=f"{len(states)}",
            advice="resume with the config of the run",
        )
    for scheduler, state in zip(schedulers, states):
        scheduler.load_state_dict(state)


class FreshRates:
    """Learning rates and other settings of optimizers before a state is loaded, to continue with a changed schedule.

    Args:
        optimizers: the optimizers after their schedulers were built.

    Example:
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        >>> fresh = FreshRates([optimizer])
        >>> optimizer.load_state_dict(torch.optim.SGD(optimizer.param_groups[0]["params"], lr=0.7).state_dict())
        >>> fresh.restore()
        >>> optimizer.param_groups[0]["lr"]
        0.1
    """

    def __init__(self, optimizers: Iterable[torch.optim.Optimizer]):
        self._optimizers = list(optimizers)
        self._settings = [{key: value for key, value in group.items() if key != "params"} for group in self._groups()]

    def _groups(self) -> list[dict[str, Any]]:
        """Return the groups of parameters; loading a state replaces them by other objects."""
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def restore(self) -> None:
        """Set the settings of all groups of parameters again. The state, such as momentum, does not change."""
        for group, settings in zip(self._groups(), self._settings, strict=True):
            group.update(settings)


def replay(schedulers: Iterable[Any], epochs: Sequence[int]) -> None:
    """Step new schedulers as often as a run has stepped its schedulers.

    Args:
        schedulers: new schedulers in their order; those with ``by_epoch`` step after an epoch.
        epochs: number of iterations of each epoch; the last one may be incomplete, and 0 ends a complete epoch.

    Example:
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> from mmengine.optim import MultiStepLR
        >>> replay([MultiStepLR(optimizer, milestones=[2], gamma=0.1)], [5, 5, 0])
        >>> optimizer.param_groups[0]["lr"]
        0.1
    """
    listed = list(schedulers)
    by_iteration, by_epoch = ([one for one in listed if one.by_epoch == kind] for kind in (False, True))
    for number, iterations in enumerate(epochs, start=1):
        for _ in range(iterations):
            for scheduler in by_iteration:
                scheduler.step()
        for scheduler in by_epoch if number < len(epochs) else []:
            scheduler.step()
