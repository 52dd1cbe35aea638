"""Choice of the device of a run, and measurement of its memory."""

from __future__ import annotations

import sys

import torch

from visionzoo.errors import ConfigError
from visionzoo.option_names import option


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device called ``name``.

    Args:
        name: ``auto`` (CUDA, else MPS, else CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        local_rank: rank of this process on its machine, >= 0; the index of the GPU if ``cuda`` has no index.

    Raises:
        ConfigError: the name is unknown, or this machine has no such device.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise ConfigError(
            option("device"), expected="auto, cpu, cuda, cuda:N or mps", found=f"{name!r}", advice="choose one of these"
        )
    if kind == "cuda":
        return _gpu(name, int(index) if index else local_rank)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(
            option("device"), expected="a device of this machine", found="mps, which is not available", advice="use cpu"
        )
    return torch.device(kind)


def _gpu(name: str, index: int) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= count:
        have = f"{count} CUDA devices" if count else "no CUDA device"
        raise ConfigError(
            option("device"),
            expected="a device of this machine",
            found=f"{name!r} with {have}",
            advice="use cpu or auto",
        )
    return torch.device("cuda", index)


def peak_memory(device: torch.device) -> int:
    """Return the peak memory in bytes: on CUDA of tensors, elsewhere of the whole process; 0 if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
