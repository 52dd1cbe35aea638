"""What a checkpoint holds, so that a run goes on as if it had never stopped.

A checkpoint is a dict of tensors, numbers and strings, nothing that has to run code to be read::

    meta              epoch, iter, seed, config as text, data set's classes, versions
    state_dict        the model (averaged weights with EMA, then the trained ones lie in ema_state_dict)
    optimizer         with the gradient scaler's state
    param_schedulers  one state per scheduler
    message_hub       histories of the logs, best score
    loop              pass over the data and batches taken from it, whether this epoch was validated
    ranks             for each process: random states, gradients of an unfinished accumulation
    hooks             what hooks of ours count (patience of early stopping)
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
    """Write a checkpoint, whole or not at all.

    Raises:
        OutputError: the disk is full or cannot be written; the old file, if any, is as it was.
    """
    write_file(path, lambda file: torch.save(dict(checkpoint), file))


def save_weights(path: Path, state_dict: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write tensors alone, as safetensors; ``meta`` becomes JSON in the file's header.

    Raises:
        OutputError: as for :func:`save_checkpoint`.
    """
    from safetensors.torch import save

    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in state_dict.items() if isinstance(v, Tensor)}
    data = save(tensors, metadata={"format": "pt", "meta": json.dumps(plain(meta))})
    write_file(path, lambda file: file.write(data))


def point_to(path: Path) -> None:
    """Say in ``last_checkpoint`` beside it that ``path`` is the newest; by its name, so that the folder can move."""
    write_text(path.parent / LAST, path.name + "\n")


def find_resume(source: Path) -> Path:
    """The checkpoint to resume from: ``source`` itself, or the last one of a work dir.

    Raises:
        CheckpointError: there is none.
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
    found = [*source.glob("epoch_*.pth"), *source.glob("iter_*.pth")]
    if not found:
        raise CheckpointError(
            source,
            expected="a checkpoint to resume (last_checkpoint, epoch_N.pth or iter_N.pth)",
            found="none",
            advice="train without --resume",
        )
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def read_resumable(path: Path) -> dict[str, Any]:
    """Read a checkpoint that a run can go on from.

    Raises:
        CheckpointError: it is broken, or holds weights alone.
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
    """The seed of the run that saved ``path``, if it says one. No weights are read."""
    meta = read_checkpoint(path, map_location="meta").get("meta")
    seed = meta.get("seed") if isinstance(meta, Mapping) else None
    return seed if isinstance(seed, int) else None


# --- histories of logs ---


def pack_message_hub(hub: MessageHub) -> dict[str, Any]:
    """Histories and facts that are worth keeping, as tensors and plain values."""
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
    for name, history in packed["log_scalars"].items():
        hub.log_scalars[name] = HistoryBuffer(history["values"].tolist(), history["counts"].tolist())
        hub._resumed_keys[name] = True
    current = ("experiment_name", "dataset_meta", "mmengine_version")
    for name, value in packed["runtime_info"].items():
        if name not in current:
            hub.update_info(name, value)


def plain(value: Any) -> Any:
    """``value`` with nothing in it but tensors, numbers, strings, lists, tuples, dicts and counters."""
    if isinstance(value, np.generic):  # first: a NumPy float is a float too
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
    """The same structure with copies of its tensors on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        copied = {k: on_cpu(v) for k, v in value.items()}
        return copied if type(value) is dict else _as(value, copied)
    if isinstance(value, (list, tuple)):
        return type(value)(on_cpu(v) for v in value)
    return value


def _as(like: Mapping, copied: dict) -> Any:
    """Keep a Counter a Counter and an OrderedDict with its versions one: both are read back without code."""
    made = type(like)(copied)  # type: ignore[call-arg]
    if hasattr(like, "_metadata"):
        made._metadata = like._metadata  # type: ignore[attr-defined]
    return made


# --- optimizers and schedulers ---


def load_optimizer(optimizer: Any, state: dict, where: str) -> None:
    """Load an optimizer's state; one of other parameters or another kind is an error.

    Raises:
        CheckpointError: it does not fit.
    """
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            where,
            expected="the state of this config's optimizer",
            found=f"another ({error})",
            advice="resume with the work dir's own config.py, or start from the weights with --weights",
        ) from error


def load_schedulers(schedulers: list, states: list, where: str) -> None:
    """Load every scheduler's state.

    Raises:
        CheckpointError: there is another number of them.
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
