"""Read checkpoint files without running the code that a pickle may contain.

mmengine loads with ``weights_only=True``. If that fails, it silently loads with full pickle, which runs any code in the
file. :mod:`visionzoo.weights.loaders` replaces all of mmengine's loaders by :func:`read_checkpoint`.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import stat
import struct
import warnings
import zipfile
import zlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from visionzoo.errors import CheckpointError, first_of, nearest_name
from visionzoo.weights.tensors import require_plain_tensors

UNSAFE_ADVICE = "if you trust its author, use --trust-pickle (trust_pickle=True), or convert it to safetensors"

# Exceptions of torch, safetensors and NumPy for files that are truncated or damaged.
BROKEN = (
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    LookupError,
    AttributeError,
    ValueError,
    TypeError,
    OverflowError,
    MemoryError,
    ImportError,
    SyntaxError,
    AssertionError,
    OSError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_checkpoint(path: str | os.PathLike, *, map_location: Any = "cpu", trust_pickle: bool = False) -> dict:
    """Read all contents of a checkpoint file.

    Args:
        path: a ``.safetensors`` file, or a file written by ``torch.save``. The content determines the format, not the
            name.
        map_location: as for ``torch.load``.
        trust_pickle: let the file run code while it loads. It is never a fallback.

    Returns:
        The saved dict. For safetensors ``{"state_dict": tensors, "meta": dict}``, where ``meta`` is the JSON under
        ``meta`` in the file's header.

    Raises:
        CheckpointError: the file is missing, empty, truncated, not a checkpoint, or requires running code, or a tensor
            is sparse, quantised or without values.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"state_dict": {"weight": torch.zeros(2)}, "epoch": 3}, f"{folder}/a.pth")
        ...     sorted(read_checkpoint(f"{folder}/a.pth"))
        ['epoch', 'state_dict']
    """
    path = Path(path).expanduser()
    kind = _kind_of(path)
    if kind == "safetensors":
        return _read_safetensors(path, map_location)
    checkpoint = _read_torch(path, map_location, trust_pickle)
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            path,
            expected="a dict of tensors",
            found=f"{type(checkpoint).__name__}",
            advice="save model.state_dict() instead",
        )
    if str(map_location) != "meta":
        require_plain_tensors(checkpoint, path)
    return checkpoint


# --- kind of a file ---


def _kind_of(path: Path) -> str:
    """Return ``safetensors`` or ``torch``, from the first bytes."""
    head = _first_bytes(path)
    if _begins_as_safetensors(head):
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "torch"
    raise CheckpointError(path, expected="a checkpoint (.safetensors or .pth)", found=f"{_what_it_is(head)}")


def holds_arrays(path: Path) -> bool:
    """Return True for a file of arrays by name, of ``numpy.savez`` or in HDF5, whatever its name.

    Raises:
        CheckpointError: the file is missing or cannot be read.
    """
    head = _first_bytes(path)
    return head.startswith(_HDF5) or (head.startswith(b"PK") and _are_arrays(_names_in(path)))


def is_safetensors(path: Path) -> bool:
    """Return True for a file that begins as safetensors.

    Raises:
        CheckpointError: the file is missing or cannot be read.
    """
    return _begins_as_safetensors(_first_bytes(path))


def _begins_as_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and head[5:8] == bytes(3)  # the header follows its length in eight bytes


def is_hdf5(path: Path) -> bool:
    """Return True for a file that begins as HDF5.

    Raises:
        CheckpointError: the file is missing or cannot be read.
    """
    return _first_bytes(path).startswith(_HDF5)


def _are_arrays(names: list[str]) -> bool:
    return bool(names) and all(name.endswith(".npy") for name in names)


def _first_bytes(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not path.is_dir():
            raise CheckpointError(path, expected="a checkpoint file", found="a device or a pipe", advice="name a file")
        with open(path, "rb") as file:
            return file.read(512)
    except FileNotFoundError as error:
        raise CheckpointError(
            path, expected="a checkpoint", found="no such file", advice=f"{_others_beside(path)}"
        ) from error
    except IsADirectoryError as error:
        raise CheckpointError(
            path, expected="a checkpoint file", found="a folder", advice="name a file in it"
        ) from error
    except OSError as error:
        raise CheckpointError(
            path, expected="a readable checkpoint", but=f"{error.strerror}", advice="check it"
        ) from error


# The endings of files of weights.
ENDINGS = (".pth", ".pt", ".safetensors")
_RUNS = Path("work_dirs")  # the default place of runs


def _others_beside(path: Path) -> str:
    """Return the advice for a missing file of weights: a similar path, else what is in its folder."""
    place, missing = path.parent, path.name
    while not place.is_dir() and place != place.parent:
        place, missing = place.parent, place.name
    places = [place, _RUNS] if len(path.parts) == 1 else [place]
    for folder in places:
        nearest = nearest_name(missing, _folders_and_weights(folder))
        if nearest:
            return f"did you mean {folder / nearest}?"
    if place != path.parent:
        return f"there is no folder {path.parent} either"
    weights = [name for name in _folders_and_weights(place) if name.endswith(ENDINGS)]
    return f"{place} holds {first_of(weights, 5)}" if weights else "its folder holds no checkpoint"


def _folders_and_weights(folder: Path) -> list[str]:
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in found if path.name.endswith(ENDINGS) or path.is_dir())


def _what_it_is(head: bytes) -> str:
    start = head.lstrip().lower()
    if not head:
        return "an empty file; copy or download it again"
    if head.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer; run `git lfs pull` to get the file itself"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page; download the file itself, not the page that links to it"
    for begin, meaning in _OTHER_FILES.items():
        if head.startswith(begin):
            return meaning
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it, or load it with PyTorch 0.1 and save it again"
    return f"a file that begins with {head[:8]!r}; check that it is the right file and whole"


_HDF5 = b"\x89HDF\r\n\x1a\n"
_OTHER_FILES = {
    b"\x93NUMPY": "one NumPy array (.npy); write the arrays by name with numpy.savez",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"\x89HDF": "an HDF5 file, as Keras writes it; convert it first: visionzoo convert checkpoint",
}


# --- safetensors ---


def _read_safetensors(path: Path, map_location: Any) -> dict:
    from safetensors import SafetensorError, safe_open

    device = str(map_location) if isinstance(map_location, str | torch.device) else "cpu"
    read_to = "cpu" if device == "meta" else device  # safetensors does not support the meta device
    try:
        with safe_open(path, framework="pt", device=read_to) as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, *BROKEN) as error:
        raise _broken(path) from error
    return {"state_dict": tensors, "meta": _meta_of(path, header)}


def stated_meta(path: Path) -> dict:
    """Return ``meta`` in the header of a safetensors file, without reading a tensor; {} for other files.

    The content determines the format, not the name.

    Raises:
        CheckpointError: the file is not a checkpoint, or its header is broken.
    """
    from safetensors import SafetensorError, safe_open

    if _kind_of(path) != "safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except (SafetensorError, *BROKEN) as error:
        raise _broken(path) from error
    return _meta_of(path, header)


def _meta_of(path: Path, header: dict[str, str]) -> dict:
    try:
        meta = json.loads(header.get("meta", "{}"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, expected="JSON under 'meta' in its header", found=f"{error}") from error
    return meta if isinstance(meta, dict) else {}


# --- torch.save ---


def _read_torch(path: Path, map_location: Any, trust_pickle: bool) -> Any:
    try:
        # A file object, because torch.load reads every path that ends with .safetensors as safetensors.
        with warnings.catch_warnings(), harmless_globals(), open(path, "rb") as file:
            warnings.simplefilter("ignore")  # of TorchScript and of sparse tensors, which are refused
            contents = torch.load(file, map_location=map_location, weights_only=not trust_pickle)
        if str(map_location) != "meta":
            _require_checksums(path)
        return contents
    except BROKEN as error:
        if trust_pickle:
            raise _broken(path) from error
        raise _refused(path, error) from error


def _require_checksums(path: Path) -> None:
    """Compare the checksums in a zip archive, which torch does not.

    Raises:
        zipfile.BadZipFile: the bytes of an entry have changed. Entries without a checksum, 0, are accepted.
    """
    if not zipfile.is_zipfile(path):  # the format of PyTorch before 1.6
        return
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.CRC:
                with archive.open(entry) as file:
                    while file.read(1 << 20):
                        pass


def harmless_globals() -> AbstractContextManager:
    """Return a context that allows the classes of common checkpoints, which hold data and run no code.

    They are tensors, numbers, arrays, mmengine's logs of numbers, and argparse's namespaces of options.
    """
    from mmengine.logging.history_buffer import HistoryBuffer

    scalar, rebuild = np._core.multiarray.scalar, np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    dtypes = {type(np.dtype(code)) for code in "?bBhHiIlLqQefdgSU"}
    pairs: list[Any] = [HistoryBuffer, argparse.Namespace, slice, np.ndarray, np.dtype, *dtypes]
    for module in ("numpy._core.multiarray", "numpy.core.multiarray"):  # numpy 2 and 1
        pairs += [(scalar, f"{module}.scalar"), (rebuild, f"{module}._reconstruct")]
    pairs += [(_statistic, "builtins.getattr"), (_statistic, "__builtin__.getattr")]
    return torch.serialization.safe_globals(pairs)


def _statistic(owner: Any, name: str) -> Any:
    """Replace ``getattr`` in a checkpoint. It may return only one of the four statistics of HistoryBuffer."""
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is not HistoryBuffer or name not in ("min", "max", "current", "mean"):
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL getattr({owner!r}, {name!r})")
    return getattr(owner, name)


def _refused(path: Path, error: BaseException) -> CheckpointError:
    """Return the error for a broken file or for one that requires code, according to the message of torch."""
    message = str(error)
    if "TorchScript" in message:
        return CheckpointError(
            path, expected="a dict of tensors", found="a TorchScript program", advice="save its state_dict"
        )
    named = re.search(r"GLOBAL (getattr\(.*\)|[\w.]+)", message) or re.search(r"class (\S+) ", message)
    if isinstance(error, pickle.UnpicklingError) and named:
        return CheckpointError(
            path,
            expected="only tensors",
            found=f"a pickle that runs {named.group(1)} when loaded",
            advice=f"{UNSAFE_ADVICE}",
        )
    return _broken(path)


def _broken(path: Path) -> CheckpointError:
    if (names := _names_in(path)) and not any(n.endswith("data.pkl") for n in names):
        is_arrays = _are_arrays(names)
        return CheckpointError(
            path,
            expected="a checkpoint (.safetensors or .pth)",
            found="NumPy arrays (.npz)" if is_arrays else f"a zip archive with {first_of(names)}",
            advice="convert it first: visionzoo convert checkpoint" if is_arrays else "unpack the checkpoint in it",
        )
    size = os.path.getsize(path)
    return CheckpointError(
        path,
        expected="a whole checkpoint",
        found=f"{size} bytes that are truncated or damaged",
        advice="copy or download it again",
    )


def _names_in(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except BROKEN:
        return []
