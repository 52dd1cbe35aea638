"""What is checked: the data sets of a config, or those of a folder in one of the layouts of ``--data``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from visionzoo.analysis.data_check.records import listening
from visionzoo.config import LoadedConfig, load_config
from visionzoo.config.data_parts import LOADERS, config_of_task, innermost, joint_data_sets, tasks_of
from visionzoo.datasets.issues import Issue
from visionzoo.datasets.layouts._base import ALL, Found, Layout, Split
from visionzoo.datasets.layouts._choosing import place_of
from visionzoo.datasets.layouts._finding import layouts
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.errors import ZooError

SPLITS = ("train", "val", "test")
_UNREAD = (".heic", ".heif", ".svg", ".cr2", ".nef", ".arw", ".dng", ".psd", ".jxl")  # kinds that are not read
_INNER = ("dataset", "datasets", "sources")  # keys of data sets that wrap others
_MOST_BELOW = 20  # folders in which data are searched, one level below


@dataclass(frozen=True)
class Source:
    """Data sets of one task.

    Attributes:
        name: the config, or the label of the layout.
        root: the folder, for messages; None for a config.
        cfg: the config, or its task, model and loaders for a folder.
        issues: what the reader of a folder reports.
        error: the error of the reader if the folder has the layout but cannot be read.
    """

    name: str
    root: Path | None
    cfg: Mapping[str, Any]
    issues: tuple[Issue, ...] = ()
    error: ZooError | None = None


def sources_of_config(loaded: LoadedConfig) -> list[Source]:
    """Return the data sets of a config, for each of its tasks if they have separate data sets."""
    cfg, tasks = loaded.cfg, tasks_of(loaded.cfg)
    if not any(joint_data_sets((cfg.get(loader) or {}).get("dataset")) for loader in LOADERS):
        return [Source(loaded.source, None, cfg)]
    return [Source(task, None, config_of_task(cfg, task)) for task in tasks]


def sources_of_folder(folder: str | Path) -> list[Source]:
    """Return the data sets of a folder, or of the folders below it, for each layout that it has; none if it has none.

    Args:
        folder: the folder, or ``LAYOUT:FOLDER``.

    Raises:
        DataError: the folder does not exist, or no layout has this name.

    Example:
        >>> from visionzoo.datasets.tiny import resolve_data_root
        >>> folder = resolve_data_root("tiny://coco?train=2&val=1&size=64")
        >>> [source.name for source in sources_of_folder(folder)]
        ['COCO json']
    """
    name, root = place_of(folder)
    if name is not None:
        return [_read(root, name, layouts()[name])]
    for place in (root, *_below(root)):
        seen = {name: layout for name, layout in layouts().items() if layout.recognise(Listing(place))}
        if seen:
            sources = [_read(place, name, layout) for name, layout in seen.items()]
            read = [source for source in sources if source.error is None]
            return _with_names(read, place, list(seen)) if len(seen) > 1 and read else read or sources
    return []


def _with_names(sources: list[Source], root: Path, names: Sequence[str]) -> list[Source]:
    """Add a note on how one of several layouts is named; a layout that is not meant may have findings."""
    found = f"{len(names)} layouts fit: {', '.join(names)}"
    advice = f"name the one that is meant: {names[0]}:{root}"
    note = Issue("folders of several layouts", f"{root}", found, advice, is_note=True)
    return [replace(sources[0], issues=(note, *sources[0].issues)), *sources[1:]]


def _below(root: Path) -> list[Path]:
    return [root / name for name in Listing(root).folders()[:_MOST_BELOW]]


def _read(root: Path, name: str, layout: Layout) -> Source:
    """Read a folder as it is, without a division into parts for training and validation."""
    cfg = load_config(layout.example).cfg
    known = innermost((cfg.get("train_dataloader") or {}).get("dataset") or {})
    issues: list[Issue] = []
    with listening(issues):
        try:
            found = layout.read(Listing(root), known)
        except ZooError as error:
            stated = _as_stated(layout, root, known)
            if stated is None:
                return Source(layout.label, root, {"task": cfg.get("task")}, tuple(issues), error)
            found, issues = stated, []  # the data sets report the same again
    notes = [Issue("notes about the folder", f"{root}", note, "", is_note=True) for note in found.notes]
    facts = {"pipeline": known.get("pipeline", ()), "type": found.dataset, "data_root": f"{root.absolute()}"}
    loaders = {
        f"{split}_dataloader": {"dataset": {**facts, **one.settings, **_measured(cfg, split, one)}}
        for split, one in found.splits.items()
    }
    return Source(layout.label, root, {"task": cfg.get("task"), **loaders}, (*issues, *notes))


def _as_stated(layout: Layout, root: Path, known: Mapping[str, Any]) -> Found | None:
    """Return the contents of a folder that its reader refuses; None if nothing of it can be read."""
    if layout.read_as_stated is None:
        return None
    try:
        return layout.read_as_stated(Listing(root), known)
    except ZooError:  # the first error states it
        return None


def _measured(cfg: Mapping[str, Any], split: str, one: Split) -> dict[str, Any]:
    """Return the arguments of a data set for validation and tests that differ from those for training."""
    if split in ("train", ALL):
        return {}
    own = innermost((cfg.get(f"{split}_dataloader") or {}).get("dataset") or {})
    return {**({"test_mode": True} if own.get("test_mode") else {}), **one.measured}


def leaves(cfg: Mapping[str, Any], splits: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the split and the arguments of each data set inside all wrappers; each once, in its first split.

    Example:
        >>> loader = {"dataset": {"dataset": {"type": "A"}}}
        >>> list(leaves({"val_dataloader": loader, "test_dataloader": loader}, ["val", "test"]))
        [('val', {'type': 'A'})]
    """
    seen = set()
    for split in (*splits, ALL):
        loader = cfg.get(f"{split}_dataloader")
        for part in _inside((loader or {}).get("dataset")):
            key = repr(
                {name: part[name] for name in sorted(part) if name not in ("pipeline", "test_mode", "filter_cfg")}
            )
            if key not in seen:
                seen.add(key)
                yield split, part


def _inside(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _inside(each)
    elif isinstance(value, Mapping):
        inner = [value[key] for key in _INNER if value.get(key)]
        for each in inner:
            yield from _inside(each)
        if not inner:
            yield dict(value)


def image_files(root: str | os.PathLike[str]) -> list[str]:
    """Return the paths of all visible image files below a folder, at most four levels deep."""
    listing = Listing(Path(root))
    return [os.path.join(root, name, image) for name in listing.below(depth=4) for image in listing.images(name)]


def unread_files(root: str | os.PathLike[str]) -> list[str]:
    """Return the image files below a folder of a kind that the zoo does not read, such as HEIC."""
    listing = Listing(Path(root))
    return [os.path.join(root, name, file) for name in listing.below(depth=4) for file in listing.files(name, _UNREAD)]
