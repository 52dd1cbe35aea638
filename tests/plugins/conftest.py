"""A plugin as users write it, installed in a temporary folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from visionzoo import registry
from visionzoo.cards import card_folder
from visionzoo.config import config_folder

HEAD = '''
"""A head that learns nothing."""

from torch import nn

from visionzoo.converters import CONVERTERS
from visionzoo.registry import MODELS


@MODELS.register_module()
class ToyHead(nn.Module):
    """Nothing but a name."""


@CONVERTERS.register("toy")
def convert_model(checkpoint, *, width: int = 1):
    return {f"head.{name}": value * width for name, value in checkpoint.items()}
'''
DOTS = '''
"""A folder with one file."""

VERSION = 1
DEFAULTS = {"count": 3}
LOWEST = {"count": 1}


def draw(folder, *, count):
    (folder / "dots.txt").write_text("." * count)
'''
TASK = 'raise RuntimeError("a task was imported to learn its name")\n'

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Write a plugin into a folder and return the folder, which belongs on ``sys.path``."""

    def write(name: str = "toy_zoo", files: dict[str, str] | None = None) -> Path:
        site = tmp_path / "site"
        for path, text in {"__init__.py": "", **(files or {})}.items():
            target = site / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[visionzoo.plugins]\n{name} = {name}\n")
        return site

    return write


@pytest.fixture
def toy_files() -> dict[str, str]:
    """Return the files of a plugin with one of everything; config and card are those of a released model, renamed."""
    config = (config_folder() / "fpn_retinanet.py").read_text()
    card = (card_folder() / "fpn_retinanet.md").read_text().replace("fpn_retinanet", "toy_retinanet")
    assert "system: rcnet\n" in card
    return {
        "heads/__init__.py": "",
        "heads/toy.py": HEAD,
        "datasets/__init__.py": "",
        "datasets/tiny/__init__.py": "",
        "datasets/tiny/dots.py": DOTS,
        "tasks/__init__.py": "",
        "tasks/dotting.py": TASK,
        "tasks/_parts.py": TASK,
        "configs/toy_retinanet.py": config,
        "model_cards/toy_retinanet.md": card.replace("system: rcnet\n", "system: toy\n  headline: true\n"),
    }


@pytest.fixture
def toy_site(install: Install, toy_files: dict[str, str]) -> Path:
    """Return the folder that contains the plugin with one of everything."""
    site = install(files=toy_files)
    arrays = site / "toy_zoo" / "model_cards" / "arrays"
    arrays.mkdir()
    shutil.copy(card_folder() / "arrays" / "fpn_retinanet.npz", arrays / "toy_retinanet.npz")
    return site


@pytest.fixture
def fresh_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the registry of models import its modules again, and remove a test's parts afterwards."""
    registry.MODELS.import_parts()
    monkeypatch.setattr(registry.MODELS, "_has_parts", False)
    monkeypatch.setattr(registry.MODELS, "_has_plugins", False)
    monkeypatch.setattr(registry.MODELS, "_module_dict", dict(registry.MODELS.module_dict))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0].endswith("_zoo"):
            del sys.modules[name]
