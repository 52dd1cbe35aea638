"""Versions of the software that decides results."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from visionzoo._version import __version__

_PACKAGES = (
    "torch",
    "torchvision",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmdetection",
    "onedl-mmsegmentation",
    "timm",
    "numpy",
    "opencv-python",
)


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that decide about results."""
    found = {"python": sys.version.split()[0], "visionzoo": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_describe() -> str | None:
    """``git describe`` of the source checkout that runs, or None when it is an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--tags"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
