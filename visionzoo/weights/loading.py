"""Weights into a model: which file, which tensors of it, and whether they fit.

Loading is strict. What does not fit is listed, and a load that fitted nothing is never a success.
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

from visionzoo.errors import CheckpointError, nearest_name, some_of
from visionzoo.registry import WEIGHT_INITIALIZERS
from visionzoo.weights.downloads import fetch_weights, file_sha256, known_url, offline, verify_sha256
from visionzoo.weights.safe_load import close_pickle_fallback, fetch_on_first_rank, read_checkpoint

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
_STATE_KEYS = ("state_dict", "model", "model_state_dict", "module", "net")
_AVERAGED_KEYS = ("state_dict_ema", "model_ema", "ema")


@dataclass(frozen=True)
class LoadReport:
    """What a load did, by name of tensor. ``shapes`` holds (name, shape in the file, shape in the model)."""

    loaded: int
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.shapes)


# --- from a source to a file ---


def find_weights(source: str | os.PathLike, sha256: str | None = None) -> Path:
    """The local file of a path, a work dir, an http address or a short name like ``torchvision://resnet50``.

    Args:
        source: where the weights are. A work dir gives its best checkpoint, else its last.
        sha256: what the file must have, when known.

    Raises:
        CheckpointError: there is no such file, it cannot be fetched, or it has another sha256.
    """
    if "://" in str(source):
        return fetch_on_first_rank(known_url(str(source)), sha256)
    path = Path(source).expanduser()
    path = find_checkpoint(path) if path.is_dir() else path
    if sha256 is not None and path.is_file():
        verify_sha256(path, sha256)
    return path


def find_checkpoint(work_dir: str | os.PathLike) -> Path:
    """The best checkpoint of a work dir, else the last one.

    Raises:
        CheckpointError: the folder holds none.
    """
    folder = Path(work_dir)
    best = [*folder.glob("best_*.safetensors"), *folder.glob("best_*.pth")]
    if best:
        return max(best, key=lambda path: (path.stat().st_mtime_ns, path.suffix == ".safetensors"))
    last = _last_checkpoint(folder)
    if last is None:
        raise CheckpointError(
            folder,
            expected="a work dir with best_* or last_checkpoint",
            found="no checkpoint",
            advice="name the file itself",
        )
    return last


def _last_checkpoint(folder: Path) -> Path | None:
    """What ``last_checkpoint`` names, also after the folder moved; else the highest epoch or iteration."""
    pointer = folder / "last_checkpoint"
    if pointer.is_file():
        named = Path(pointer.read_text().strip())
        for path in (folder / named.name, named):
            if path.is_file():
                return path
    numbered = [*folder.glob("epoch_*.pth"), *folder.glob("iter_*.pth")]
    if numbered:
        return max(numbered, key=lambda path: int("0" + "".join(filter(str.isdigit, path.stem))))
    single = [path for pattern in ("*.safetensors", "*.pth") for path in folder.glob(pattern)]
    return single[0] if len(single) == 1 else None


# --- from a file to tensors ---


def read_weights(
    path: str | os.PathLike, *, trust_pickle: bool = False, use_ema: bool = True, sha256: str | None = None
) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU, without ``module.`` in front.

    Args:
        path: a file, a work dir, an http address or a short name; see :func:`find_weights`.
        trust_pickle: let the file run code while it loads.
        use_ema: the averaged weights where the file has both, else those that the optimizer trained.
        sha256: what the file must have, when known.

    Raises:
        CheckpointError: there is no such file, or it cannot be used; see :func:`read_checkpoint`.
    """
    found = find_weights(path, sha256)
    return weights_of(read_checkpoint(found, trust_pickle=trust_pickle), str(found), use_ema=use_ema)


def weights_of(checkpoint: Mapping[str, Any], source: str, *, use_ema: bool = True) -> dict[str, Tensor]:
    """The tensors in a loaded checkpoint, wherever its writer put them.

    mmengine's EMAHook saves the averaged weights as ``state_dict`` and the trained ones as ``ema_state_dict``.
    """
    state = _chosen_state(checkpoint, use_ema)
    tensors = OrderedDict((str(key), value) for key, value in state.items() if isinstance(value, Tensor))
    if not tensors:
        raise CheckpointError(source, expected="tensors by name", found=f"{some_of(map(str, state), 5) or 'nothing'}")
    stripped = _without_prefix(tensors, "module.")
    if "ema_state_dict" in checkpoint and not use_ema:
        stripped.pop("steps", None)
    metadata = getattr(state, "_metadata", None)
    if metadata is not None:
        stripped._metadata = metadata  # type: ignore[attr-defined]  # versions, which modules convert old names by
    return stripped


def _chosen_state(checkpoint: Mapping[str, Any], use_ema: bool) -> Mapping[str, Any]:
    if use_ema:
        names: Sequence[str] = (*_AVERAGED_KEYS, *_STATE_KEYS)
    else:
        names = ("ema_state_dict", *_STATE_KEYS)
    for name in names:
        if isinstance(checkpoint.get(name), Mapping):
            return checkpoint[name]
    return checkpoint


def _without_prefix(tensors: OrderedDict[str, Tensor], prefix: str) -> OrderedDict[str, Tensor]:
    """Names without ``prefix``, when all but counters (``steps``, ``n_averaged``) have it."""
    bare = [key for key in tensors if not key.startswith(prefix)]
    if len(bare) == len(tensors) or any("." in key for key in bare):
        return tensors
    return OrderedDict((key.removeprefix(prefix), value) for key, value in tensors.items() if key not in bare)


def class_names_of(checkpoint: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The class names a model was trained with, from a checkpoint's ``meta``; None when it does not say."""
    meta = checkpoint.get("meta")
    if not isinstance(meta, Mapping):
        return None
    dataset_meta = meta.get("dataset_meta")
    for holder, key in ((dataset_meta, "classes"), (dataset_meta, "CLASSES"), (meta, "classes"), (meta, "CLASSES")):
        if isinstance(holder, Mapping) and isinstance(holder.get(key), list | tuple):
            return tuple(map(str, holder[key]))
    return None


def category_ids_of(checkpoint: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The data set's category id of each label, from a checkpoint's ``meta``; None when it does not say."""
    meta = checkpoint.get("meta")
    facts = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    ids = facts.get("category_ids") if isinstance(facts, Mapping) else None
    names = class_names_of(checkpoint)
    return tuple(map(int, ids)) if ids and names and len(ids) == len(names) else None


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
        strict: every tensor must fit. Otherwise those that fit are loaded and the report says which did not.
        ignore: patterns like ``bbox_head.*`` of names that keep the model's own values; each must match something.
        use_ema, sha256, trust_pickle: see :func:`read_weights`.
        where: what messages call ``source`` (default: its path, or "weights" for tensors by name).

    Raises:
        CheckpointError: something does not fit and ``strict``; nothing fits; a pattern matches nothing.
    """
    name, tensors = _named_tensors(source, use_ema=use_ema, sha256=sha256, trust_pickle=trust_pickle)
    name = where or name
    own = model.state_dict()
    ignored = _ignored_names(tuple(ignore), [*own, *(key for key in tensors if key not in own)], name)
    kept = _like(tensors, {key: value for key, value in tensors.items() if key not in ignored})
    shapes = _other_shapes(kept, own)
    fitting = _like(kept, {key: value for key, value in kept.items() if key not in {item[0] for item in shapes}})
    report = _load_or_restore(model, own, fitting, shapes, ignored, strict)
    if report.loaded == 0:
        raise CheckpointError(_nothing_fits(name, model, tensors, own))
    if strict and not report.fits:
        raise CheckpointError(_mismatch(name, model, report, own))
    return report


def _named_tensors(
    source: str | os.PathLike | Mapping[str, Tensor], **options: Any
) -> tuple[str, Mapping[str, Tensor]]:
    if isinstance(source, Mapping):
        return "weights", weights_of(source, "weights", use_ema=options["use_ema"])
    return str(source), read_weights(source, **options)


def _like(old: Mapping[str, Tensor], new: dict[str, Tensor]) -> OrderedDict[str, Tensor]:
    """``new`` with the version marks of ``old``, which torch keeps as an attribute."""
    result = OrderedDict(new)
    if hasattr(old, "_metadata"):
        result._metadata = old._metadata  # type: ignore[attr-defined]
    return result


def _ignored_names(patterns: tuple[str, ...], names: list[str], source: str) -> frozenset[str]:
    found: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            nearest = nearest_name(pattern.rstrip("*."), _owners(names))
            hint = f"; did you mean {nearest}.*?" if nearest else f"; names begin with {some_of(_tops(names), 8)}"
            raise CheckpointError(f"{source}: ignore={pattern!r} matches no tensor of model or checkpoint{hint}")
        found |= matched
    return frozenset(found)


def _owners(names: Iterable[str]) -> set[str]:
    """Every module that holds one of the tensors, at any depth."""
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
) -> LoadReport:
    """torch's own load, which lets modules rename old keys; undone when it turns out that not everything fits."""
    certain = not shapes and set(own) - ignored == set(fitting)
    backup = None if certain else {key: value.clone() for key, value in own.items() if isinstance(value, Tensor)}
    result = model.load_state_dict(fitting, strict=False)
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
    """Batch norm's counter, which checkpoints of earlier torch versions lack and inference does not use."""
    return key.endswith("num_batches_tracked")


# --- what to say when it does not fit ---


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
    return f"only the number of classes differs, so to fine-tune it keep the rest with ignore=[{listed}]"


def _patterns_that_fit(report: LoadReport, own: Mapping[str, Tensor]) -> list[str]:
    """Patterns for exactly the tensors of another shape, when they look like classifiers of other classes."""
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


# --- weights that a config names for a part ---


@WEIGHT_INITIALIZERS.register_module(name="Pretrained")
class StrictPretrained(PretrainedInit):
    """``init_cfg=dict(type="Pretrained", checkpoint=..., prefix=...)``, loaded safely, and an error if nothing fits.

    Args:
        checkpoint: a path, http address or ``torchvision://resnet50``.
        prefix: load only what is below it, without it.
        map_location: kept for mmengine's configs; weights are read on the CPU.
    """

    def __call__(self, module: nn.Module) -> None:
        tensors = read_weights(self.checkpoint)
        if self.prefix is not None:
            tensors = _below(tensors, self.prefix.rstrip(".") + ".", str(self.checkpoint))
        load_weights(module, tensors, strict=False, where=str(self.checkpoint))
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())


def _below(tensors: dict[str, Tensor], prefix: str, source: str) -> dict[str, Tensor]:
    found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    if not found:
        raise CheckpointError(source, expected=f"tensors below {prefix!r}", found=f"{some_of(_tops(tensors), 8)}")
    return _like(tensors, found)


def without_pretrained(model: nn.Module) -> nn.Module:
    """Take the pretrained weights out of every part's ``init_cfg``, so that ``init_weights`` stays off the network."""
    for part in model.modules():
        init_cfg = getattr(part, "init_cfg", None)
        if isinstance(init_cfg, Mapping) and _is_pretrained(init_cfg):
            part.init_cfg = None  # type: ignore[assignment]
        elif isinstance(init_cfg, list | tuple):
            kept = [cfg for cfg in init_cfg if not _is_pretrained(cfg)]
            part.init_cfg = kept or None  # type: ignore[assignment]
    return model


def _is_pretrained(cfg: Mapping[str, Any]) -> bool:
    return cfg.get("type") in ("Pretrained", PretrainedInit, StrictPretrained)
