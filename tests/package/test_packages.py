"""The wheel contains every folder of the package, and nothing else."""

from __future__ import annotations

import configparser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Folders of the repository that the wheel contains below the package, as stated by `package_dir`.
MAPPED = {"visionzoo.configs": "configs", "visionzoo.model_cards": "model_cards"}


def stated() -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config["options"]["packages"].split()


def folders_below(folder: Path, package: str) -> set[str]:
    """Return dotted names of ``folder`` and of every folder in it that contains a Python file."""
    files = [path.parent.relative_to(folder) for path in folder.rglob("*.py")]
    return {".".join([package, *path.parts]) for path in files}


def test_packages_of_setup_cfg_are_the_folders_of_the_tree():
    expected = folders_below(ROOT / "visionzoo", "visionzoo") | folders_below(ROOT / "configs", "visionzoo.configs")
    assert sorted(stated()) == sorted(expected | {"visionzoo.model_cards"})


def test_every_folder_of_the_package_is_a_package():
    lacking = [
        folder
        for folder in (ROOT / "visionzoo").rglob("*/")
        if any(folder.glob("*.py")) and not (folder / "__init__.py").is_file()
    ]
    assert lacking == []


def test_no_package_is_stated_twice():
    assert len(stated()) == len(set(stated()))


def test_mapped_folders_exist():
    assert all((ROOT / folder).is_dir() for folder in MAPPED.values())
