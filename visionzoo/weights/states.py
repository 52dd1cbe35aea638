"""Find the tensors of a model in the contents of a checkpoint."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visionzoo.errors import CheckpointError, first_of, some_of
from visionzoo.weights.tensors import require_real_numbers

_STATE_KEYS = ("state_dict", "model", "model_state_dict", "model_state", "module", "net")
_AVERAGED_KEYS = ("state_dict_ema", "model_ema", "ema")
# Depth to which a state may be inside other states, as in {"state_dict": {"model": ...}}.
_DEPTH = 3


def weights_of(checkpoint: Mapping[str, Any], source: str, *, use_ema: bool = True) -> dict[str, Tensor]:
    """Return the tensors in a loaded checkpoint, under whichever known key it has them.

    A checkpoint of several states by name, such as those of the modules of a network, gives ``<entry>.<name>``.
    mmengine's EMAHook saves the averaged weights as ``state_dict`` and the trained ones as ``ema_state_dict``. Numbers
    and texts beside the tensors are left out with a warning, and NumPy arrays are read as tensors.

    Args:
        checkpoint: the contents of a file, or tensors by name.
        source: name of the checkpoint in messages.
        use_ema: see :func:`visionzoo.weights.loading.read_weights`.

    Raises:
        CheckpointError: the checkpoint has no tensors, an entry that should be a tensor is not one, two names are
            equal as text, or a weight does not hold real numbers.

    Example:
        >>> dict(weights_of({"state_dict": {"module.weight": torch.ones(2)}, "epoch": 3}, "a.pth"))
        {'weight': tensor([1., 1.])}
        >>> list(weights_of({"encoder": {"weight": torch.ones(2)}, "decoder": {"weight": torch.ones(2)}}, "a.pth"))
        ['encoder.weight', 'decoder.weight']
    """
    state = _chosen_state(checkpoint, use_ema)
    tensors = _named_tensors(state, source, is_bare=state is checkpoint)
    if not tensors:
        raise CheckpointError(
            source,
            expected="tensors by name",
            found=f"{some_of(map(str, state), 5) or 'nothing'}",
            advice="save model.state_dict()",
        )
    stripped = _without_prefix(tensors, "module.")
    if "ema_state_dict" in checkpoint and not use_ema:
        stripped.pop("steps", None)
    require_real_numbers(stripped, source)
    metadata = getattr(state, "_metadata", None)
    if metadata is not None:
        stripped._metadata = metadata  # type: ignore[attr-defined]  # version marks, by which modules convert old names
    return stripped


def _chosen_state(checkpoint: Mapping[str, Any], use_ema: bool) -> Mapping[str, Any]:
    first: Sequence[str] = _AVERAGED_KEYS if use_ema else ("ema_state_dict",)
    for inner in _states_in(checkpoint, first):
        if any(isinstance(value, Tensor) for value in inner.values()):
            return inner
    named = next(_states_in(checkpoint, _STATE_KEYS), None)
    return _joined(checkpoint) if named is None else named


def _joined(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the tensors of all states of a checkpoint as ``<entry>.<name>``; itself if it is a state."""
    if any(_as_tensor(value) is not None for value in checkpoint.values()):
        return checkpoint
    joined: OrderedDict[str, Any] = OrderedDict()
    for entry, state in checkpoint.items():
        if isinstance(state, Mapping) and state and all(isinstance(value, Tensor) for value in state.values()):
            tensors = _without_prefix(OrderedDict((str(name), value) for name, value in state.items()), "module.")
            joined.update((f"{entry}.{name}", value) for name, value in tensors.items())
    return joined or checkpoint


def _states_in(checkpoint: Mapping[str, Any], names: Sequence[str], depth: int = _DEPTH) -> Iterator[Mapping[str, Any]]:
    """Return the mappings under these names, the innermost first."""
    for name in names:
        inner = checkpoint.get(name)
        if isinstance(inner, Mapping) and depth:
            yield from _states_in(inner, (*names, *_STATE_KEYS), depth - 1)
            yield inner


def _named_tensors(state: Mapping[str, Any], source: str, *, is_bare: bool) -> OrderedDict[str, Tensor]:
    """Return the tensors of a state by name. A bare state may have other entries, whose names have no dot."""
    tensors: OrderedDict[str, Tensor] = OrderedDict()
    others = []
    for key, value in state.items():
        name, tensor = str(key), _as_tensor(value)
        if name in tensors:
            raise CheckpointError(
                f"{source}: {name}", expected="every name once", found="it twice", advice="remove one"
            )
        if tensor is not None:
            tensors[name] = tensor
        elif not name.endswith("_extra_state"):  # of modules that store more than tensors
            _require_additional(name, value, source, is_bare=is_bare)
            others.append(name)
    if others and tensors and not is_bare:
        warnings.warn(f"{source}: {len(others)} entries are not tensors ({first_of(others)})", stacklevel=3)
    return tensors


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="))))
    return value if isinstance(value, Tensor) else None


def _require_additional(name: str, value: Any, source: str, *, is_bare: bool) -> None:
    """Raise an error if an entry has the name of a tensor but is not one."""
    is_single = isinstance(value, int | float | str | None)
    if "." in name or not (is_bare or is_single):
        raise CheckpointError(
            f"{source}: {name}",
            expected="a tensor",
            found=f"{type(value).__name__}",
            advice="save model.state_dict() with torch.save",
        )


def _without_prefix(tensors: OrderedDict[str, Tensor], prefix: str) -> OrderedDict[str, Tensor]:
    """Remove ``prefix`` from the names, if all except counters (``steps``, ``n_averaged``) have it; drop these."""
    bare = [key for key in tensors if not key.startswith(prefix)]
    if len(bare) == len(tensors) or any("." in key for key in bare):
        return tensors
    return OrderedDict((key.removeprefix(prefix), value) for key, value in tensors.items() if key not in bare)
