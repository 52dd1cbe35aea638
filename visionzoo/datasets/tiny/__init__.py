"""Synthetic twins of real data sets, drawn on demand into a cache folder.

A twin has its data set's layout and format on disk, so the real loader reads it. Its
address says everything about it, and the same address gives the same data::

    tiny://coco?train=16&val=8&seed=0
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from visionzoo.errors import ConfigError, OutputError, nearest_name, one_of
from visionzoo.system.cache import cache_root

SCHEME = "tiny"

# name of the twin -> module, or object in a module, with VERSION, DEFAULTS, LOWEST and draw(folder, **options)
TWINS = {
    "coco": "visionzoo.datasets.tiny.coco",
    "imagenet": "visionzoo.datasets.tiny.imagenet",
    "cifar10": "visionzoo.datasets.tiny.cifar10",
    "cifar100": "visionzoo.datasets.tiny.cifar100",
    "co_saliency": "visionzoo.datasets.tiny.co_saliency",
    "culane": "visionzoo.datasets.tiny.culane",
    "dut_omron": "visionzoo.datasets.tiny.saliency:DUT_OMRON",
    "duts": "visionzoo.datasets.tiny.saliency:DUTS",
    "ecssd": "visionzoo.datasets.tiny.saliency:ECSSD",
    "hku_is": "visionzoo.datasets.tiny.saliency:HKU_IS",
    "jhu_crowd": "visionzoo.datasets.tiny.crowds:JHU_CROWD",
    "nwpu_crowd": "visionzoo.datasets.tiny.crowds:NWPU_CROWD",
    "points": "visionzoo.datasets.tiny.crowds:POINTS",
    "shanghaitech_a": "visionzoo.datasets.tiny.crowds:SHANGHAITECH_A",
    "shanghaitech_b": "visionzoo.datasets.tiny.crowds:SHANGHAITECH_B",
    "trancos": "visionzoo.datasets.tiny.crowds:TRANCOS",
    "ucf_cc_50": "visionzoo.datasets.tiny.crowds:UCF_CC_50",
    "ucf_qnrf": "visionzoo.datasets.tiny.crowds:UCF_QNRF",
    "msra_b": "visionzoo.datasets.tiny.saliency:MSRA_B",
    "pascal_s": "visionzoo.datasets.tiny.saliency:PASCAL_S",
    "salient_instances": "visionzoo.datasets.tiny.salient_instances",
    "tusimple": "visionzoo.datasets.tiny.tusimple",
}


def resolve_data_root(data_root: str | os.PathLike[str]) -> Path:
    """The folder that ``data_root`` means; a ``tiny://`` address is drawn first if the cache lacks it.

    Args:
        data_root: a folder, returned as it is (with ``~`` expanded), or ``tiny://NAME?option=number&...``.

    Raises:
        ConfigError: no such scheme, twin or option, or a value that is no number or too small.
        OutputError: the cache folder cannot be written.
    """
    address = os.fspath(data_root)
    scheme, separator, rest = address.partition("://")
    if not separator:
        return Path(address).expanduser()
    if scheme != SCHEME:
        raise ConfigError(f"data_root {address!r}: no data comes by {scheme!r}; write a folder, or {SCHEME}://coco")
    name, _, query = rest.partition("?")
    if name not in TWINS:
        raise ConfigError(f"data_root {address!r}: no tiny data set is called {name!r}; {_known(name, TWINS)}")
    module, _, attribute = TWINS[name].partition(":")
    twin: Any = import_module(module)
    twin = getattr(twin, attribute) if attribute else twin
    options = _options(address, query, twin.DEFAULTS, twin.LOWEST)
    folder = cache_root() / "tiny" / _folder_name(name, twin.VERSION, options)
    if not folder.is_dir():
        _draw_atomically(folder, twin.draw, options)
    return folder


def _options(address: str, query: str, defaults: dict[str, int], lowest: dict[str, int]) -> dict[str, int]:
    options = dict(defaults)
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        if key not in defaults:
            raise ConfigError(f"data_root {address!r}: no option is called {key!r}; {_known(key, defaults)}")
        if not value.isdecimal() or int(value) < lowest[key]:
            raise ConfigError(
                f"data_root {address!r}",
                expected=f"{key} to be a whole number from {lowest[key]} on",
                found=f"{value!r}",
            )
        options[key] = int(value)
    return options


def _known(name: str, known: dict) -> str:
    nearest = nearest_name(name, known)
    return f"did you mean {nearest!r}?" if nearest else one_of(known)


def _folder_name(name: str, version: int, options: dict[str, int]) -> str:
    return "-".join([name, f"v{version}", *(f"{key}{value}" for key, value in options.items())])


def _draw_atomically(folder: Path, draw: Callable[..., None], options: dict[str, int]) -> None:
    """Draw beside ``folder`` and rename: who finds ``folder`` finds all of it, however many draw at once."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        drawing = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        drawing.chmod(0o755)  # mkdtemp's folder is for its owner alone
        draw(drawing, **options)
        drawing.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # otherwise another process was faster, with the same bytes
            raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(drawing, ignore_errors=True)


def _cannot_write(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        folder,
        expected="to write drawn data here",
        but=f"{error.strerror or error}",
        advice="set VISIONZOO_CACHE to a folder with space that you may write",
    )
