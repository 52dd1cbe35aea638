"""Several processes, found from the environment and joined by the backend for the device.

mmengine's start requires CUDA (``torch.cuda.set_device``) and fails on a CPU. Here the device determines the backend:
NCCL on CUDA, gloo elsewhere.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed as dist

from visionzoo.errors import ConfigError, ZooError

T = TypeVar("T")

LAUNCHERS = ("none", "pytorch", "slurm")
SLURM_COUNT = "SLURM_STEP_NUM_TASKS"  # number of processes that srun started; only srun sets it


def find_launcher(environment: Mapping[str, str] | None = None) -> str:
    """Return the launcher of this process: ``pytorch`` (torchrun), ``slurm`` (srun, several tasks) or ``none``.

    A command in the script of sbatch that srun does not start is one process, for any number of tasks of the job.

    Args:
        environment: environment variables; None uses those of the process.

    Example:
        >>> find_launcher({"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"})
        'slurm'
        >>> find_launcher({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"})
        'none'
    """
    env = os.environ if environment is None else environment
    if "RANK" in env and "WORLD_SIZE" in env and "MASTER_ADDR" in env:
        return "pytorch"
    if int(env.get(SLURM_COUNT) or 1) > 1 and "SLURM_PROCID" in env:
        return "slurm"
    return "none"


def local_rank() -> int:
    """Return the rank of this process on its machine; 0 without a launcher."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))


def start(launcher: str, device: torch.device, *, timeout: float = 1800, backend: str | None = None) -> None:
    """Join the other processes. Do nothing for launcher ``none`` or if they are already joined.

    Args:
        launcher: ``none``, ``pytorch`` or ``slurm``.
        device: device of this process.
        timeout: seconds to wait for the other processes.
        backend: backend of ``torch.distributed``; by default NCCL on CUDA and gloo elsewhere.

    Raises:
        ConfigError: the launcher is unknown, or ``scontrol`` does not return the nodes of SLURM.
    """
    if launcher not in LAUNCHERS:
        raise ConfigError(
            "launcher", expected=f"one of {', '.join(LAUNCHERS)}", found=f"{launcher!r}", advice="use torchrun"
        )
    if launcher == "none" or dist.is_initialized():
        return
    if launcher == "slurm":
        _describe_slurm()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        backend=backend or ("nccl" if device.type == "cuda" else "gloo"), timeout=timedelta(seconds=timeout)
    )


def _describe_slurm() -> None:
    """Set the environment variables that torchrun would set, from those of srun."""
    env = os.environ
    if "MASTER_ADDR" not in env:
        env["MASTER_ADDR"] = _first_node(env.get("SLURM_STEP_NODELIST", env.get("SLURM_NODELIST", "")))
    env.setdefault("MASTER_PORT", str(29500 + int(env.get("SLURM_JOB_ID", "0")) % 1000))
    env["RANK"], env["WORLD_SIZE"] = env["SLURM_PROCID"], env[SLURM_COUNT]
    env["LOCAL_RANK"] = env.get("SLURM_LOCALID", "0")


def _first_node(nodes: str) -> str:
    try:
        result = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
        return result.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise ConfigError(
            "SLURM",
            expected=f"`scontrol show hostnames {nodes}` to name the first node",
            found=f"{error}",
            advice="set MASTER_ADDR",
        ) from error


def stop() -> None:
    """Leave the process group.

    A wrapped model keeps a reference to the group. If both still existed when Python exits, the threads of the group
    could not run Python code and torch would abort the process. Therefore unused models are collected first.
    """
    if dist.is_available() and dist.is_initialized():
        gc.collect()
        dist.destroy_process_group()


def rank() -> int:
    """Return the rank of this process; 0 without a process group."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Return True in the process that prints and writes."""
    return rank() == 0


def any_of(flag: bool, device: torch.device) -> bool:
    """Return True if ``flag`` is True in any process. Every process must call this."""
    if world_size() == 1:
        return flag
    answer = torch.tensor([int(flag)], device=device if device.type == "cuda" else "cpu")
    dist.all_reduce(answer, op=dist.ReduceOp.MAX)
    return bool(answer.item())


def from_first(make: Callable[[], T]) -> T:
    """Call ``make`` in the first process and return its result in all processes.

    An error of ``make`` is raised in all processes. Every process must call this.
    """
    if world_size() == 1:
        return make()
    outcome: list[Any] = [None, None]
    if is_first():
        try:
            outcome[0] = make()
        except Exception as error:  # every process must receive it, or the others wait forever
            outcome[1] = _portable(error)
    dist.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def _portable(error: Exception) -> Exception:
    """Return the error if it can be sent to another process, otherwise a ZooError with its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except (TypeError, AttributeError, pickle.PicklingError):
        return ZooError(str(error))
    return error


def gather(value: T) -> list[T]:
    """Return ``value`` of every process, ordered by rank, in the first process, and an empty list in the others."""
    if world_size() == 1:
        return [value]
    everyone: list[Any] | None = [None] * world_size() if is_first() else None
    dist.gather_object(value, everyone, dst=0)
    return everyone or []


def averaged(tensor: torch.Tensor) -> torch.Tensor:
    """Return the mean of a tensor over all processes. Every process must call this.

    Example:
        >>> averaged(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    if world_size() == 1:
        return tensor
    total = tensor.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def share_buffers(model: torch.nn.Module) -> None:
    """Send the buffers of the first process (running statistics of norms) to all, so that all test the same model."""
    if world_size() == 1:
        return
    for buffer in model.buffers():
        dist.broadcast(buffer, src=0)
