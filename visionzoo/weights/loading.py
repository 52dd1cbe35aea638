"""Load weights into a model: find the file, read its tensors, check that they fit.

Loading is strict. Tensors that do not fit are listed. A load without any fitting tensor is always an error.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from mmengine.model.weight_init import PretrainedInit, update_init_info
from torch import Tensor, nn

from visionzoo.datasets.findings import shown
from visionzoo.errors import CheckpointError, nearest_name, some_of
from visionzoo.option_names import option
from visionzoo.registry import WEIGHT_INITIALIZERS
from visionzoo.weights.downloads import fetch_weights, file_sha256, offline, verify_sha256
from visionzoo.weights.loaders import close_pickle_fallback
from visionzoo.weights.released import prefix_of_backbone
from visionzoo.weights.safe_load import read_checkpoint
from visionzoo.weights.sources import local_copy
from visionzoo.weights.stated_variants import require_stated_variants
from visionzoo.weights.states import weights_of
from visionzoo.weights.tensors import is_real, not_real, warn_of_nonfinite

__all__ = [
    "LoadReport",
    "category_ids_of",
    "class_names_of",
    "close_pickle_fallback",
    "fetch_weights",
    "file_sha256",
    "find_checkpoint",
    "find_weights",
    "load_weights",
    "offline",
    "read_checkpoint",
    "read_weights",
    "weights_of",
    "without_pretrained",
]

_LISTED = 10


@dataclass(frozen=True)
class LoadReport:
    """Result of a load, by names of tensors.

    Attributes:
        loaded: number of tensors that were copied into the model.
        missing: tensors of the model that the file lacks.
        unexpected: tensors of the file that the model lacks.
        shapes: (name, shape in the file, shape in the model) of tensors whose shapes differ.
        ignored: tensors that match a pattern of ``ignore``.

    Example:
        >>> LoadReport(loaded=3, missing=("head.bias",)).fits
        False
    """

    loaded: int
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """True if every tensor fits, except the ignored ones."""
        return not (self.missing or self.unexpected or self.shapes)


# --- from a source to a file ---


def find_weights(source: str | os.PathLike, sha256: str | None = None) -> Path:
    """Return the local file of ``source``, downloaded if necessary.

    Args:
        source: a path, a work dir or an address, see :func:`visionzoo.weights.sources.local_copy`. A work dir means its
            best checkpoint, else its last.
        sha256: expected sha256 of the file, or None to skip the check.

    Raises:
        CheckpointError: the file cannot be fetched or has another sha256, or the work dir has no checkpoint. A missing
            path is reported when it is read.
    """
    if "://" in str(source):
        return local_copy(str(source), sha256)
    path = Path(source).expanduser()
    path = find_checkpoint(path) if os.path.isdir(path) else path
    if sha256 is not None and os.path.isfile(path):
        verify_sha256(path, sha256)
    return path


def find_checkpoint(work_dir: str | os.PathLike) -> Path:
    """Return the best checkpoint of a work dir, else the last one.

    Raises:
        CheckpointError: the folder has no checkpoint.
    """
    folder = Path(work_dir)
    best = _files(folder, "best_*.safetensors", "best_*.pth")
    if best:
        return max(best, key=lambda path: (path.stat().st_mtime_ns, path.suffix == ".safetensors"))
    last = _last_checkpoint(folder)
    if last is None:
        raise CheckpointError(
            folder,
            expected="a work dir with best_* or last_checkpoint",
            found="no checkpoint",
            advice="train until the first one is saved, or pass the file of the weights",
        )
    return last


def _last_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint named in ``last_checkpoint``, else the highest epoch or iteration, else the only one.

    The name is looked up in ``folder`` first, so a moved folder works.
    """
    pointer = folder / "last_checkpoint"
    if pointer.is_file():
        named = Path(pointer.read_text(encoding="utf-8", errors="replace").strip())
        for path in (folder / named.name, named):
            if os.path.isfile(path):
                return path
    numbered = _files(folder, "epoch_*.pth", "iter_*.pth")
    if numbered:
        return max(numbered, key=lambda path: int("0" + "".join(filter(str.isdecimal, path.stem))))
    single = _files(folder, "*.safetensors", "*.pth")
    return single[0] if len(single) == 1 else None


def _files(folder: Path, *patterns: str) -> list[Path]:
    """Return the files of these names, without hidden ones such as the copies ``._*`` of macOS."""
    found = (path for pattern in patterns for path in folder.glob(pattern))
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


# --- from a file to tensors ---


def read_weights(
    path: str | os.PathLike, *, trust_pickle: bool = False, use_ema: bool = True, sha256: str | None = None
) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint.

    Args:
        path: a file, a work dir, an http address or a short name; see :func:`find_weights`.
        trust_pickle: let the file run code while it loads.
        use_ema: if the file has averaged and trained weights, True reads the averaged ones and False the trained ones.
        sha256: expected sha256 of the file, or None to skip the check.

    Returns:
        Name -> tensor on the CPU; names have no prefix ``module.``.

    Raises:
        CheckpointError: the file does not exist or cannot be used; see :func:`read_checkpoint`.
    """
    file = find_weights(path, sha256)
    return weights_of(read_checkpoint(file, trust_pickle=trust_pickle), str(file), use_ema=use_ema)


def class_names_of(checkpoint: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names in the ``meta`` of a checkpoint, or None if it states none.

    Example:
        >>> class_names_of({"meta": {"dataset_meta": {"classes": ["cat", "dog"]}}})
        ('cat', 'dog')
    """
    meta = checkpoint.get("meta")
    if not isinstance(meta, Mapping):
        return None
    dataset_meta = meta.get("dataset_meta")
    for holder, key in ((dataset_meta, "classes"), (dataset_meta, "CLASSES"), (meta, "classes"), (meta, "CLASSES")):
        if isinstance(holder, Mapping) and isinstance(holder.get(key), list | tuple):
            return tuple(map(str, holder[key]))
    return None


def category_ids_of(checkpoint: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the data set's category id of each label, from the ``meta`` of a checkpoint.

    Returns:
        One id per class name, or None if the checkpoint does not state them.

    Example:
        >>> category_ids_of({"meta": {"dataset_meta": {"classes": ["cat", "dog"], "category_ids": [17, 18]}}})
        (17, 18)
    """
    meta = checkpoint.get("meta")
    facts = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    ids = facts.get("category_ids") if isinstance(facts, Mapping) else None
    names = class_names_of(checkpoint)
    if not isinstance(ids, list | tuple) or not names or len(ids) != len(names) or None in ids:
        return None
    if not all(isinstance(each, int | str) and not isinstance(each, bool) for each in ids):
        raise CheckpointError(
            "meta.dataset_meta.category_ids", expected="numbers or text", found=shown(ids), advice="train again"
        )
    return tuple(ids)


# --- from tensors into a model ---


def load_weights(
    model: nn.Module,
    source: str | os.PathLike | Mapping[str, Tensor],
    *,
    strict: bool = True,
    ignore: Iterable[str] = (),
    use_ema: bool = True,
    sha256: str | None = None,
    trust_pickle: bool = False,
    where: str | None = None,
) -> LoadReport:
    """Copy weights into ``model``.

    Args:
        model: changed in place, and only when the load succeeds.
        source: a file, work dir, http address or short name (:func:`find_weights`), or tensors by name.
        strict: True requires that every tensor fits. False loads the tensors that fit; the report lists the others.
        ignore: patterns (``bbox_head.*``) of names that keep the model's own values. Each must match a tensor.
        use_ema, sha256, trust_pickle: see :func:`read_weights`.
        where: name of ``source`` in messages (default: its path, or "weights" for tensors by name).

    Returns:
        A :class:`LoadReport`.

    Raises:
        CheckpointError: with ``strict``, a tensor does not fit; otherwise no tensor fits; a pattern matches nothing;
            the file states another variant than the model's; a tensor does not hold real numbers.

    Example:
        >>> report = load_weights(nn.Linear(2, 1), {"weight": torch.ones(1, 2)}, strict=False)
        >>> report.loaded, report.missing
        (1, ('bias',))
    """
    name, tensors, meta = _named_tensors(source, use_ema=use_ema, sha256=sha256, trust_pickle=trust_pickle, where=where)
    own = model.state_dict()
    ignored = _ignored_names(tuple(ignore), [*own, *(key for key in tensors if key not in own)], name)
    kept = _like(tensors, {key: value for key, value in tensors.items() if key not in ignored})
    require_stated_variants(model, meta, name)
    _require_real_numbers(kept, own, name)
    warn_of_nonfinite(kept, name)
    shapes = _other_shapes(kept, own)
    fitting = _like(kept, {key: value for key, value in kept.items() if key not in {item[0] for item in shapes}})
    report = _load_or_restore(model, own, fitting, shapes, ignored, strict, name)
    if report.loaded == 0:
        raise CheckpointError(_nothing_fits(name, model, tensors, own))
    if strict and not report.fits:
        raise CheckpointError(_mismatch(name, model, report, own))
    return report


def _named_tensors(
    source: str | os.PathLike | Mapping[str, Tensor],
    *,
    use_ema: bool,
    sha256: str | None,
    trust_pickle: bool,
    where: str | None,
) -> tuple[str, Mapping[str, Tensor], Any]:
    """Return the name of a source, its tensors and what its file states about them."""
    if isinstance(source, Mapping):
        name = where or "weights"
        return name, weights_of(source, name, use_ema=use_ema), None
    file, name = find_weights(source, sha256), where or str(source)
    checkpoint = read_checkpoint(file, trust_pickle=trust_pickle)
    return name, weights_of(checkpoint, name, use_ema=use_ema), checkpoint.get("meta")


def _require_real_numbers(tensors: Mapping[str, Tensor], own: Mapping[str, Any], source: str) -> None:
    """Raise an error if a tensor of the model holds real numbers and that of the file does not."""
    for name, value in tensors.items():
        if isinstance(own.get(name), Tensor) and own[name].is_floating_point() and not is_real(value):
            raise not_real(name, value, source)


def _like(old: Mapping[str, Tensor], new: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Return ``new`` with the version marks of ``old``, which torch stores in an attribute."""
    result = OrderedDict(new)
    if hasattr(old, "_metadata"):
        result._metadata = old._metadata  # type: ignore[attr-defined]
    return result


def _ignored_names(patterns: tuple[str, ...], names: list[str], source: str) -> frozenset[str]:
    ignored: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            nearest = nearest_name(pattern.rstrip("*."), _owners(names))
            hint = f"; did you mean {nearest}.*?" if nearest else f"; names begin with {some_of(_tops(names), 8)}"
            raise CheckpointError(f"{source}: ignore={pattern!r} matches no tensor of model or checkpoint{hint}")
        ignored |= matched
    return frozenset(ignored)


def _owners(names: Iterable[str]) -> set[str]:
    """Return the names of all modules that hold one of the tensors, at any depth."""
    return {name[:at] for name in names for at, letter in enumerate(name) if letter == "."}


def _tops(names: Iterable[str]) -> list[str]:
    return sorted({name.partition(".")[0] for name in names})


def _other_shapes(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]:
    return tuple(
        (key, tuple(value.shape), tuple(own[key].shape))
        for key, value in tensors.items()
        if key in own and isinstance(own[key], Tensor) and value.shape != own[key].shape
    )


def _load_or_restore(
    model: nn.Module,
    own: Mapping[str, Tensor],
    fitting: Mapping[str, Tensor],
    shapes: tuple,
    ignored: frozenset[str],
    strict: bool,
    source: str,
) -> LoadReport:
    """Load with torch, which lets modules rename old keys, and restore the model if the load fails."""
    certain = not shapes and set(own) - ignored == set(fitting)
    backup = None if certain else {key: value.clone() for key, value in own.items() if isinstance(value, Tensor)}
    try:
        result = model.load_state_dict(fitting, strict=False)
    except RuntimeError as error:  # torch lists each tensor that it cannot copy
        found = " ".join(str(error).split())[:200]
        raise CheckpointError(source, expected="tensors to copy", found=found, advice="save them again") from error
    wrong = {item[0] for item in shapes}
    missing = [key for key in result.missing_keys if key not in ignored | wrong and not _is_counter(key)]
    unexpected = [key for key in result.unexpected_keys if key not in ignored]
    loaded = len(fitting) - len(result.unexpected_keys)
    report = LoadReport(loaded, tuple(missing), tuple(unexpected), shapes, tuple(sorted(ignored)))
    if backup is not None and (loaded == 0 or (strict and not report.fits)):
        with torch.no_grad():
            for key, value in model.state_dict().items():
                if isinstance(value, Tensor):
                    value.copy_(backup[key])
    return report


def _is_counter(key: str) -> bool:
    """Return True for the counter of batch norm, which old checkpoints lack and inference does not use."""
    return key.endswith("num_batches_tracked")


# --- messages for weights that do not fit ---


def _nothing_fits(source: str, model: nn.Module, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    return (
        f"{source}: expected weights of {type(model).__name__}, but none of its {len(tensors)} tensors fits the "
        f"model's {len(own)}; it has {some_of(tensors, 3)}, the model {some_of(own, 3)}; "
        "name the checkpoint of this model"
    )


def _mismatch(source: str, model: nn.Module, report: LoadReport, own: Mapping[str, Tensor]) -> str:
    counts = [
        f"{len(report.missing)} missing" if report.missing else "",
        f"{len(report.unexpected)} unexpected" if report.unexpected else "",
        f"{len(report.shapes)} of another shape" if report.shapes else "",
    ]
    first = (
        f"{source}: expected the weights of this {type(model).__name__}, found {' and '.join(filter(None, counts))}; "
        f"{_advice(report, own)}"
    )
    shapes = [f"{name}: {list(there)} != {list(here)}" for name, there, here in report.shapes]
    lists = (
        _table("missing from the checkpoint", report.missing),
        _table("unexpected in the checkpoint", report.unexpected),
        _table("shape in the checkpoint != in the model", shapes),
    )
    return "\n".join([first, *(line for lines in lists for line in lines)])


def _advice(report: LoadReport, own: Mapping[str, Tensor]) -> str:
    patterns = _patterns_that_fit(report, own)
    if not patterns:
        return "name the checkpoint of this model, or change the model to fit it"
    listed = ", ".join(f'"{pattern}"' for pattern in patterns)
    return (
        "only the number of classes differs, so use weights and data of the same classes, "
        f"or to fine-tune it use {option('replace_head', True)} of a training, or ignore=[{listed}]"
    )


def _patterns_that_fit(report: LoadReport, own: Mapping[str, Tensor]) -> list[str]:
    """Return patterns for exactly the tensors of another shape, if only their first dimension (classes) differs."""
    if report.missing or report.unexpected or 2 * len(report.shapes) > report.loaded:
        return []
    if any(len(there) != len(here) or there[1:] != here[1:] for _, there, here in report.shapes):
        return []
    wrong = {item[0] for item in report.shapes}
    patterns = []
    for owner in dict.fromkeys(name.rpartition(".")[0] for name in wrong if "." in name):
        inside = {name for name in own if name.startswith(f"{owner}.")}
        patterns += [f"{owner}.*"] if inside <= wrong else sorted(inside & wrong)
    return sorted(patterns + [name for name in wrong if "." not in name])


def _table(title: str, rows: Sequence[str]) -> list[str]:
    if not rows:
        return []
    rest = [f"    and {len(rows) - _LISTED} more"] if len(rows) > _LISTED else []
    return [f"  {title} ({len(rows)}):", *(f"    {row}" for row in rows[:_LISTED]), *rest]


# --- weights of a part, named in the config ---


@WEIGHT_INITIALIZERS.register_module(name="Pretrained")
class StrictPretrained(PretrainedInit):
    """Initialiser for ``init_cfg=dict(type="Pretrained", checkpoint=..., prefix=...)`` that loads safely.

    Args:
        checkpoint: a path or an address, see :func:`visionzoo.weights.sources.local_copy`. Of ``released://NAME``, the
            weights of the backbone are loaded.
        prefix: load only tensors whose names start with this module, and remove it from their names.
        map_location: accepted for mmengine's configs and not used; weights are read on the CPU.

    Raises:
        CheckpointError: the file cannot be used, or no tensor fits.
    """

    def __call__(self, module: nn.Module) -> None:
        checkpoint = read_checkpoint(find_weights(self.checkpoint))
        tensors = weights_of(checkpoint, str(self.checkpoint))
        require_stated_variants(module, checkpoint.get("meta"), self.checkpoint)
        prefix = prefix_of_backbone(str(self.checkpoint)) if self.prefix is None else self.prefix
        if prefix is not None:
            tensors = _below(tensors, prefix.rstrip(".") + ".", str(self.checkpoint))
        load_weights(module, tensors, strict=False, where=str(self.checkpoint))
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())


def _below(tensors: dict[str, Tensor], prefix: str, source: str) -> dict[str, Tensor]:
    below = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    if not below:
        raise CheckpointError(source, expected=f"tensors below {prefix!r}", found=f"{some_of(_tops(tensors), 8)}")
    return _like(tensors, below)


def without_pretrained(model: nn.Module) -> nn.Module:
    """Remove pretrained weights from the ``init_cfg`` of every part, so that ``init_weights`` fetches nothing.

    Returns:
        ``model``, changed in place.
    """
    for part in model.modules():
        init_cfg = getattr(part, "init_cfg", None)
        if isinstance(init_cfg, Mapping) and _is_pretrained(init_cfg):
            part.init_cfg = None  # type: ignore[assignment]
        elif isinstance(init_cfg, list | tuple):
            kept = [cfg for cfg in init_cfg if not _is_pretrained(cfg)]
            part.init_cfg = kept or None  # type: ignore[assignment]
    return model


def _is_pretrained(cfg: Mapping[str, Any]) -> bool:
    return cfg.get("type") in ("Pretrained", "visionzoo.ReleasedPart", PretrainedInit, StrictPretrained)
