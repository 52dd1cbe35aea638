"""Run a model of the zoo with onnxruntime: it is exported once into the cache, and torch is imported only for that."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from visionzoo._version import __version__
from visionzoo.config import LoadedConfig
from visionzoo.config.runs import own_run
from visionzoo.errors import ConfigError
from visionzoo.inference.backends import Backend, Check, unchecked
from visionzoo.inference.exported import SCHEMA, exported_backend, exported_file
from visionzoo.inference.resuming import digest_of
from visionzoo.system.cache import cache_root, make_folder
from visionzoo.weights.cache_folder import tell
from visionzoo.weights.choosing import WORD, chosen_weights, is_released
from visionzoo.weights.entry import entries_of
from visionzoo.weights.release import SCHEME
from visionzoo.weights.runs import AGAIN, load_with_weights

_FILES_OF_WEIGHTS = ("*.pth", "*.safetensors", "last_checkpoint")


def onnx_backend(
    name_or_config: str | os.PathLike | LoadedConfig,
    weights: str | os.PathLike | None,
    *,
    device: str,
    trust_pickle: bool,
    check: Check = unchecked,
    tasks: str | Iterable[str] | None = None,
    **changes: Any,
) -> Backend:
    """Return the exported file of a model, from the cache if the same model was exported before.

    The file belongs to the config, the weights and the version of the zoo. Outputs are compared with those of PyTorch
    when it is written, see :mod:`visionzoo.export.caching`.

    Args:
        name_or_config, weights, device, trust_pickle, tasks: see :class:`visionzoo.inference.inferencer.Inferencer`.
        check: function that is called with the classes by task.
        changes: ``tiny``, ``options`` and ``allow_new``.

    Raises:
        ConfigError: the model is a program of ``torch.export``, or it has no exported form that fits all its images.
        RunFailed: the outputs of the file differ from PyTorch's, or PyTorch cannot record the model.
        ZooError: see :class:`visionzoo.inference.inferencer.Inferencer`.
    """
    if (file := exported_file(name_or_config)) is not None:
        raise ConfigError(
            "backend onnxruntime", expected="a model of the zoo", found=f"{file}", advice="leave the backend out"
        )
    if isinstance(name_or_config, LoadedConfig):
        loaded = name_or_config
    else:
        loaded = load_with_weights(name_or_config, weights, again=AGAIN, **changes)
    source = _source(loaded, weights)
    folder = cache_root() / "exported" / f"{loaded.name}-{key_of(loaded, source)}"
    path = folder / f"{loaded.name}.onnx"
    if not path.is_file():
        tell(f"{loaded.name}: exporting the model to ONNX into {folder}, once for these weights ...")
        # by name, because the export is a layer above this one
        write = import_module("visionzoo.export.caching").write_for_all_images
        make_folder(folder, lambda new: write(loaded, source, new / path.name, trust_pickle=trust_pickle))
    backend = exported_backend(path, None, check=check, device=device, tasks=tasks)
    notes = [*loaded.notes, f"onnxruntime runs the model with the weights {source}"]
    return replace(backend, notes=notes, folder=own_run(loaded.run))


def _source(loaded: LoadedConfig, weights: str | os.PathLike | None) -> str:
    """Return the weights that PyTorch would load, as a path, an address or ``none``."""
    if weights is None:
        return str(loaded.run) if loaded.run is not None else str(chosen_weights(loaded, WORD))
    is_word = is_released(weights) or not Path(weights).expanduser().exists()
    return str(chosen_weights(loaded, weights) if is_word else weights)


def key_of(loaded: LoadedConfig, source: str) -> str:
    """Return a short hash of all that determines an exported file.

    Args:
        loaded: the config.
        source: weights as a path, an address or ``none``.
    """
    return digest_of([loaded.cfg.to_dict(), list(_identity(source)), __version__, SCHEMA])


def _identity(source: str) -> Iterator[str]:
    """Yield what changes with the weights: contents of a file, entry of a card, or sizes and times in a folder."""
    yield source
    if source.startswith(SCHEME):
        name, _, id = source.removeprefix(SCHEME).partition("#")
        yield from (entry.model_dump_json() for entry in entries_of(name) if entry.id == id)
    path = Path(source).expanduser()
    if path.is_file():
        with path.open("rb") as file:
            yield hashlib.file_digest(file, "sha256").hexdigest()
    elif path.is_dir():
        files = sorted(file for pattern in _FILES_OF_WEIGHTS for file in path.glob(pattern))
        yield from (f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)
