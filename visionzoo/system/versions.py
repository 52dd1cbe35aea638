"""Versions of the software that affects results."""

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
    """Return the versions of Python, visionzoo and the installed packages that affect results."""
    numbers = {"python": sys.version.split()[0], "visionzoo": __version__}
    for package in _PACKAGES:
        try:
            numbers[package] = version(package)
        except PackageNotFoundError:
            continue
    return numbers


def git_describe() -> str | None:
    """Return ``git describe`` of the source checkout, or None for an installed package or without git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--tags"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None
