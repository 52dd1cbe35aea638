"""Choice of the layout of a folder, and the errors about folders in which none is recognised."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from visionzoo.datasets.findings import shown
from visionzoo.datasets.layouts._base import ALL, Layout, split_of
from visionzoo.datasets.layouts._finding import layouts
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.layouts._pairs import IMAGE_SIDES, MASK_SIDES
from visionzoo.datasets.layouts._tables import columns_of, files_in
from visionzoo.errors import DataError, first_of, in_cwd, nearest_name, one_of, some_of

WHERE = "--data"
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z", ".zst")
_MOST_BELOW = 50  # folders in which data are searched, one level below


def place_of(folder: str | Path) -> tuple[str | None, Path]:
    """Return the name of the layout, if it is given, and the folder.

    Raises:
        DataError: no layout has this name, or the folder does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place_of(f"voc:{folder}")[0], place_of(folder)[0]
        ('voc', None)
    """
    text = os.fspath(folder)
    name, colon, rest = text.partition(":")
    if not colon or "/" in name or Path(text).exists():
        return None, _existing(Path(text).expanduser())
    if name not in layouts():
        nearest = nearest_name(name, layouts())
        advice = f"did you mean {nearest}:{rest}?" if nearest else one_of(layouts())
        raise DataError(f"{WHERE} {text}", expected="the name of a layout before the colon", found=name, advice=advice)
    return name, _existing(Path(rest).expanduser())


def _existing(path: Path) -> Path:
    if path.is_dir():
        return path
    if path.suffix.lower() in _ARCHIVES and path.is_file():
        advice = f"unpack it, and pass the folder: --data {path.with_name(path.name.partition('.')[0])}"
        raise DataError(f"{WHERE} {path}", expected="a folder", found="an archive", advice=advice)
    if path.exists():
        advice = f"pass the folder with the images and annotations: --data {path.parent}"
        raise DataError(f"{WHERE} {path}", expected="a folder", found="a file", advice=advice)
    raise DataError(f"{WHERE} {path}", expected="a folder", found=f"none{in_cwd(path)}", advice=_nearest(path))


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f"{path.parent} does not exist either; check the path"
    beside = Listing(path.parent).folders()
    nearest = nearest_name(path.name, beside)
    return (
        f"did you mean {path.parent / nearest}?"
        if nearest
        else f"check the path ({path.parent} has {first_of(beside) or 'no folder'})"
    )


# --- choice ---


def choose_layout(root: Path, name: str | None, cfg: Mapping[str, Any]) -> tuple[Layout, Path]:
    """Return the layout of a folder and the folder that has it, which may be the only one inside.

    Args:
        root: the folder.
        name: name of the layout, or None.
        cfg: the config; its ``task`` and data sets decide which layouts fit.

    Raises:
        DataError: no layout fits, or several do, or the config has several tasks.
    """
    _require_one_task(root, cfg)
    listing = Listing(root)
    if name is not None:
        return _named(listing, name, cfg), root
    seen = _seen(listing)
    fitting = {name: layout for name, layout in seen.items() if _fits(layout, cfg)}
    fitting = fitting or {
        name: layout for name, layout in layouts().items() if _fits(layout, cfg) and _is_likely(layout, listing)
    }
    if fitting:
        return _one(root, fitting), root
    below = _below(root, lambda layout: _fits(layout, cfg))
    if len(below) == 1:
        return _only(Listing(below[0]), cfg), below[0]
    others = [] if below else [root] if seen else _below(root, lambda layout: True)
    if others:
        raise _other_task(others[0], _seen(Listing(others[0])), cfg)
    raise _unknown(listing, below, cfg)


def _require_one_task(root: Path, cfg: Mapping[str, Any]) -> None:
    """Raise an error if the config has several tasks, because every layout has the truth of one."""
    task = cfg.get("task")
    if not isinstance(task, str | None):
        raise DataError(
            f"{WHERE} {root}",
            expected="a config of one task",
            found=f"one of {', '.join(task)}",
            advice="set the folder of each task by --cfg-options, "
            f"as train_dataloader.dataset.datasets.{task[0]}.data_root={root}",
        )


def _seen(listing: Listing) -> dict[str, Layout]:
    return {name: layout for name, layout in layouts().items() if layout.recognise(listing)}


def _is_likely(layout: Layout, listing: Listing) -> bool:
    return layout.is_likely is not None and layout.is_likely(listing)


def _fits(layout: Layout, cfg: Mapping[str, Any]) -> bool:
    return cfg.get("task") in layout.tasks and (not layout.types or not _types(cfg).isdisjoint(layout.types))


def _types(cfg: Mapping[str, Any]) -> set[str]:
    """Return the types of the data sets of a config."""
    types, parts = set(), [(cfg.get(f"{split}_dataloader") or {}).get("dataset") for split in ("train", "val", "test")]
    while parts:
        part = parts.pop()
        if part:
            types.add(part.get("type"))
            parts += [part.get("dataset"), *part.get("sources", ())]
    return types


def _only(listing: Listing, cfg: Mapping[str, Any]) -> Layout:
    return _one(listing.root, {name: layout for name, layout in _seen(listing).items() if _fits(layout, cfg)})


def _one(root: Path, fitting: Mapping[str, Layout]) -> Layout:
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    labels = " and ".join(layout.label for layout in fitting.values())
    ways = " or ".join(f"--data {name}:{root}" for name in fitting)
    raise DataError(f"{WHERE} {root}", expected="data in one layout", found=labels, advice=f"choose one: {ways}")


def _named(listing: Listing, name: str, cfg: Mapping[str, Any]) -> Layout:
    layout = layouts()[name]
    where = f"{WHERE} {name}:{listing.root}"
    if not (layout.is_possible or layout.is_likely or layout.recognise)(listing):
        raise DataError(
            where, expected=f"{layout.label} ({layout.tree})", found=_contents(listing), advice="check the folder"
        )
    if not _fits(layout, cfg):
        raise _other_task(listing.root, {name: layout}, cfg)
    return layout


def _other_task(root: Path, seen: Mapping[str, Layout], cfg: Mapping[str, Any]) -> DataError:
    labels = " and ".join(f"{layout.label} for {' and '.join(layout.tasks)}" for layout in seen.values())
    examples = " or ".join(dict.fromkeys(layout.example for layout in seen.values()))
    tasks = dict.fromkeys(task for layout in seen.values() if not layout.types for task in layout.tasks)
    lists = " and ".join(f"`visionzoo list --task {task}`" for task in tasks)
    others = f" ({lists} for others)" if lists else ""
    return DataError(
        f"{WHERE} {root}",
        expected=f"data for {cfg.get('task')} ({_labels(cfg)})",
        found=labels,
        advice=f"try the config {examples}{others}, or pass another folder",
    )


def _labels(cfg: Mapping[str, Any]) -> str:
    return ", ".join(layout.label for layout in layouts().values() if _fits(layout, cfg)) or "no known layout"


# --- nothing recognised ---


def _below(root: Path, fits: Callable[[Layout], bool]) -> list[Path]:
    """Return the folders one level below that have a fitting layout, or else those two levels below."""
    level = [root]
    for _ in range(2):
        level = [path / name for path in level for name in Listing(path).folders()[:_MOST_BELOW]]
        found = [path for path in level if any(map(fits, _seen(Listing(path)).values()))]
        if found:
            return found
    return []


def _unknown(listing: Listing, below: list[Path], cfg: Mapping[str, Any]) -> DataError:
    advice = _advice(listing, below, cfg)
    return DataError(
        f"{WHERE} {listing.root}",
        expected=f"data for {cfg.get('task')}: {_known(cfg)}",
        found=_contents(listing),
        advice=advice,
    )


def _known(cfg: Mapping[str, Any]) -> str:
    """Return the layouts that fit a config."""
    fitting = [layout for layout in layouts().values() if _fits(layout, cfg)]
    return " or ".join(f"{layout.label} ({layout.tree})" for layout in fitting) or "no layout is known for it"


def _contents(listing: Listing) -> str:
    folders, files = listing.folders(), listing.files()
    if not folders and not files:
        return "an empty folder"
    images = listing.images()
    if images and len(images) == len(files) and not folders:
        return f"{len(images)} images and no annotations"
    parts = [f"the folders {some_of(folders, 4)}"] if folders else []
    parts += [f"the files {some_of(files, 4)}"] if files else []
    return " and ".join(parts)


def _advice(listing: Listing, below: list[Path], cfg: Mapping[str, Any]) -> str:
    if below:
        return f"pass one of the folders inside: {' or '.join(f'--data {path}' for path in below[:3])}"
    parent = listing.root.absolute().parent
    is_part = listing.root.name.lower() in (*IMAGE_SIDES, *MASK_SIDES) or split_of(listing.root.name) != ALL
    if is_part and any(_fits(layout, cfg) for layout in _seen(Listing(parent)).values()):
        return f"did you mean the folder above it, --data {parent}?"
    if cfg.get("task") == "counting" and (name := _counts_file(listing)):
        return f"{name} has the number of objects and no positions; a model learns from points, so annotate x and y"
    if columns := next((each.columns for each in layouts().values() if each.columns and _fits(each, cfg)), ()):
        for name in files_in(listing, (".csv",)):
            found = some_of(map(shown, columns_of(listing.root / name)), most=4)
            return f"the first line of {name} is {found}; name the columns {', '.join(columns)} there"
    archives = [name for name in listing.files() if name.lower().endswith(_ARCHIVES)]
    if archives:
        return f"unpack {first_of(archives)}"
    if listing.images() and not listing.folders():
        return "add annotations in one of these layouts; `visionzoo infer` needs none"
    return f"bring the data into one of these layouts{_others(cfg)}; `visionzoo convert --help` lists converters"


def _others(cfg: Mapping[str, Any]) -> str:
    """Return the layouts that only other configs of the task read."""
    others = [each for each in layouts().values() if cfg.get("task") in each.tasks and not _fits(each, cfg)]
    return "".join(f", or {layout.label} ({layout.tree}) for the config {layout.example}" for layout in others)


def _counts_file(listing: Listing) -> str | None:
    """Return a CSV file with a column for counts."""
    words = ("count", "counts", "number", "y_true", "gt_count", "total")
    return next((name for name in files_in(listing, (".csv",)) if {*words} & {*columns_of(listing.root / name)}), None)
