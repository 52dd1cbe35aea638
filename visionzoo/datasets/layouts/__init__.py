"""``--data DIR``: the layout of a folder, and the settings with which a config reads it.

Each module whose name does not begin with ``_`` is one layout, with a :class:`~visionzoo.datasets.layouts._base.Layout`
called ``LAYOUT``. The name of the module before the folder, ``voc:data/raccoon``, selects the layout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionzoo.config.data_parts import innermost
from visionzoo.datasets.layouts._base import Found, Layout
from visionzoo.datasets.layouts._choosing import choose_layout, place_of
from visionzoo.datasets.layouts._dividing import Use, divide, shared_with_train
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.errors import counted

_LOADERS = {"train_dataloader": "train", "val_dataloader": "val", "test_dataloader": "test"}


@dataclass(frozen=True)
class DataSettings:
    """The settings of a config that read a folder of data.

    Attributes:
        options: from a dotted path to its value, for ``load_config(options=...)``.
        notes: sentences about what was recognised, how it is divided and what is not used.
    """

    options: dict[str, Any]
    notes: list[str]


def data_settings(folder: str | Path, cfg: Mapping[str, Any], *, training: bool = True) -> DataSettings:
    """Recognise the layout of a folder and return the settings that read it.

    The loaders and pipelines of the config stay. If there is no ``val``, every 5th image by name is for validation; if
    there is no ``test``, ``val`` is also for testing.

    Args:
        folder: the folder, or ``LAYOUT:FOLDER``, such as ``voc:data/raccoon``.
        cfg: the loaded config. Its ``task`` and data sets decide which layouts fit.
        training: False if only the test data are used; a folder needs no training data then.

    Raises:
        DataError: the folder is missing or empty, has no known layout, has several, or one of another task; or its
            annotations cannot be read.

    Example:
        >>> from visionzoo.config import load_config
        >>> from visionzoo.datasets.tiny import resolve_data_root
        >>> folder = resolve_data_root("tiny://coco?train=4&val=2&size=64")
        >>> settings = data_settings(folder, load_config("rcnet_retinanet").cfg)
        >>> settings.options["val_dataloader.dataset.ann_file"]
        'annotations/instances_val2017.json'
        >>> settings.notes[0].partition(": ")[2]
        'COCO json, 6 images, 3 classes (disc, triangle, star); 4 train, 2 val'
    """
    name, root = place_of(folder)
    layout, root = choose_layout(root, name, cfg)
    found = layout.read(Listing(root), innermost((cfg.get("train_dataloader") or {}).get("dataset") or {}))
    uses, sentence = divide(root, layout, found, training=training)
    options = {**_options(cfg, os.path.abspath(root), found, uses), **_present(cfg, found.options)}
    options |= _class_count(cfg, found.count)
    facts = ", ".join(filter(None, [layout.label, _count(found), found.facts]))
    return DataSettings(options, [f"{root}: {facts}; {sentence}", *_left_out(root, found)])


def _count(found: Found) -> str:
    return counted(sum(len(split.keys) for split in found.splits.values()), found.unit)


def _left_out(root: Path, found: Found) -> list[str]:
    left_out = [", ".join(found.notes)] if found.notes else []
    return [f"{root}: {sentence}" for sentence in [*left_out, *shared_with_train(found)]]


def _class_count(cfg: Mapping[str, Any], count: int | None) -> dict[str, Any]:
    """Return the number of classes for a head that states one, such as that of CIFAR-10."""
    head = (cfg.get("model") or {}).get("head") or {}
    return {"model.head.num_classes": count} if count and head.get("num_classes") else {}


def _present(cfg: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options whose part the config has; those without a value only if the part sets another one."""
    parts = {path: cfg.get(path.partition(".")[0]) for path in options}
    return {
        path: value
        for path, value in options.items()
        if isinstance(part := parts[path], Mapping) and (value or path.rpartition(".")[2] in part)
    }


def _options(cfg: Mapping[str, Any], root: str, found: Found, uses: Mapping[str, Use]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for loader, split in _LOADERS.items():
        if cfg.get(loader) and split in uses:
            measured = {} if split == "train" else uses[split].split.measured
            settings = {"type": found.dataset, "data_root": root, **uses[split].settings(), **measured}
            for path, value in _settings(cfg[loader]["dataset"], f"{loader}.dataset", settings):
                options[path] = value
    return options


def _settings(part: Mapping[str, Any], path: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a data set, or of the one inside a wrapper; several sources become one."""
    if "dataset" in part:
        yield from _settings(part["dataset"], f"{path}.dataset", settings)
    elif "sources" in part:
        yield f"{path}.sources", [{**settings, "pipeline": part["sources"][0]["pipeline"]}]
    else:
        unset = {key: None for key in ("every", "not_every") if key in part}  # of an earlier folder
        yield from ((f"{path}.{key}", value) for key, value in {**unset, **settings}.items())


__all__ = ["DataSettings", "Layout", "data_settings"]
