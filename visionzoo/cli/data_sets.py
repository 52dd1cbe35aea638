"""The data sets of a config, before torch is imported: their folders, and files outside of them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from visionzoo.config import LoadedConfig
from visionzoo.errors import ConfigError, DataError, first_of, in_cwd, nearest_name

_INNER = ("dataset", "datasets", "sources")  # keys of data sets that wrap others


def data_sets(loaded: LoadedConfig, splits: Sequence[str] = ("train", "val", "test")) -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and the dict of each data set, also of those that another data set wraps.

    Example:
        >>> from visionzoo.config import load_config
        >>> [path for path, _ in data_sets(load_config("fpn_retinanet"), ["val"])]
        ['val_dataloader.dataset']
    """
    for split in splits:
        loader = loaded.cfg.get(f"{split}_dataloader")
        if isinstance(loader, dict):
            yield from _inside(f"{split}_dataloader.dataset", loader.get("dataset"))


def _inside(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _inside(f"{path}.{number}", each)
    elif isinstance(value, dict) and path.endswith(".datasets"):  # data sets by task
        for task, each in value.items():
            yield from _inside(f"{path}.{task}", each)
    elif isinstance(value, dict):
        yield path, value
        for key in _INNER:
            yield from _inside(f"{path}.{key}", value.get(key))


def prepare_data_sets(loaded: LoadedConfig, args: argparse.Namespace, splits: Sequence[str]) -> None:
    """Check the folders of the data sets, and apply ``--allow-outside``; see the functions below."""
    require_data_folders(loaded, splits)
    if args.allow_outside:
        allow_outside(loaded)


def require_data_folders(loaded: LoadedConfig, splits: Sequence[str]) -> None:
    """Check that the folders of the data sets exist, without building a data set.

    Args:
        loaded: the config.
        splits: the splits that the command reads. If a folder of them is missing, those of the other splits are named
            too.

    Raises:
        DataError: the message has all splits whose folder is missing.

    Example:
        >>> from visionzoo.config import load_config
        >>> require_data_folders(load_config("fpn_retinanet", tiny=True), ["train", "val"])
    """
    if not _missing(loaded, splits):
        return
    missing = _missing(loaded, ("train", "val", "test"))
    roots = list(missing)
    where = roots[0] if len(roots) == 1 else loaded.source
    named = [f"{root} ({', '.join(of)})" for root, of in missing.items()]
    found = f"no such folder{in_cwd(roots[0])}" if len(roots) == 1 else f"no folder {first_of(named)}"
    of = f" ({', '.join(missing[roots[0]])})" if len(roots) == 1 else ""
    raise DataError(where, expected=f"the data of {loaded.name}{of}", found=found, advice=_advice(roots[0]))


def _missing(loaded: LoadedConfig, splits: Sequence[str]) -> dict[str, list[str]]:
    """Return the missing folders, with the names of their splits."""
    missing: dict[str, list[str]] = {}
    for path, data_set in data_sets(loaded, splits):
        root = data_set.get("data_root")
        if isinstance(root, str) and root and "://" not in root and not os.path.exists(os.path.expanduser(root)):
            split = path.partition("_dataloader")[0]
            missing[root] = list(dict.fromkeys([*missing.get(root, []), split]))
    return missing


def _advice(root: str) -> str:
    folder = Path(root).expanduser()
    beside = (each.name for each in folder.parent.iterdir()) if folder.parent.is_dir() else ()
    nearest = nearest_name(folder.name, beside)
    if nearest:
        return f"did you mean {folder.parent / nearest}?"
    readme = f"see datasets/{folder.name}/README.md, " if folder.parent == Path("data") else ""
    return f"{readme}pass the folder of the data by --data DIR, or try --tiny, which draws some"


def allow_outside(loaded: LoadedConfig) -> None:
    """Set ``allow_outside=True`` of all data sets of a config that have it.

    Raises:
        ConfigError: none has it, because their annotations name no files.
    """
    from visionzoo.config.resolving import arguments_of_type

    found = [(path, each) for path, each in data_sets(loaded) if "type" in each]
    able = [(path, each) for path, each in found if "allow_outside" in (arguments_of_type(each["type"]) or ())]
    if not able:
        kinds = ", ".join(dict.fromkeys(str(each["type"]) for _, each in found)) or "no data set"
        raise ConfigError(
            "--allow-outside", expected="a data set with allow_outside", found=kinds, advice="leave the option out"
        )
    for path, data_set in able:
        data_set["allow_outside"] = True
        loaded.origins.record(f"{path}.allow_outside", True, "--allow-outside")
