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
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor

from visionzoo.errors import CheckpointError
from visionzoo.system.atomic import write_file, write_text
from visionzoo.weights.safe_load import read_checkpoint

LAST = "last_checkpoint"
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


def find_resume(source: Path) -> Path:
    """Return the checkpoint to resume from: ``source`` itself, or the last checkpoint of a work dir.

    Raises:
        CheckpointError: there is no checkpoint to resume.
    """
    if source.is_file():
        return source
    if not source.is_dir():
        raise CheckpointError(
            source, expected="a checkpoint or a work dir to resume", found="nothing", advice="check the path"
        )
    pointer = source / LAST
    if pointer.is_file():
        named = source / Path(pointer.read_text(encoding="utf-8").strip()).name
        if named.is_file():
            return named
    paths = [*source.glob("epoch_*.pth"), *source.glob("iter_*.pth")]
    if not paths:
        raise CheckpointError(
            source,
            expected="a checkpoint to resume (last_checkpoint, epoch_N.pth or iter_N.pth)",
            found="none",
            advice="train without --resume",
        )
    return max(paths, key=lambda path: path.stat().st_mtime_ns)


def read_resumable(path: Path) -> dict[str, Any]:
    """Read a checkpoint that a run can resume from.

    Raises:
        CheckpointError: the file is broken, or holds only weights.
    """
    checkpoint = read_checkpoint(path)
    missing = [key for key in _NEEDED if key not in checkpoint]
    if missing:
        raise CheckpointError(
            path,
            expected="a checkpoint of a run",
            found=f"one without {', '.join(missing)}",
            advice="start from its weights instead: --weights",
        )
    return checkpoint


def saved_seed(path: Path) -> int | None:
    """Return the seed of the run that saved ``path``, or None if the file states none. No weights are read."""
    meta = read_checkpoint(path, map_location="meta").get("meta")
    seed = meta.get("seed") if isinstance(meta, Mapping) else None
    return seed if isinstance(seed, int) else None


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
    except (ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            where,
            expected="the state of this config's optimizer",
            found=f"the state of another one ({error})",
            advice="resume with the work dir's own config.py, or start from the weights with --weights",
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
            advice="resume with the work dir's own config.py",
        )
    for scheduler, state in zip(schedulers, states):
        scheduler.load_state_dict(state)
