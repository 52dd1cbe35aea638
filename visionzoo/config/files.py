"""Config files: find them and read their values.

A config is a Python file of plain assignments. It may name bases, ``_base_ = ["_base_/schedule.py"]``: files, names of
released configs, and folders of runs. Inside the config, ``_base_.x`` is the merged value ``x`` of its bases. A value
that only other values of the file read (``train_pipeline = [...]``) is not part of the config.
"""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionzoo.config.keys import TOP_LEVEL
from visionzoo.config.literals import repeated_key
from visionzoo.config.options import Changed
from visionzoo.config.renamed import current_config_name
from visionzoo.config.run_length import follow_length
from visionzoo.config.tree import Origins, merge, odd_values, plain
from visionzoo.errors import ConfigError, UnknownName, first_of, in_cwd, nearest_name
from visionzoo.plugins import ZOO, Package, merged, shown_in_plugin
from visionzoo.system.paths import shown_path

_PACKAGE = Path(__file__).resolve().parents[1]
# The file in the folder of a run that holds its config.
SAVED = "config.py"
# Suffixes of files of weights.
_WEIGHTS = (".pth", ".pt", ".safetensors")
# mmengine's templates. A config of the zoo uses plain Python instead.
_TEMPLATE = re.compile(r"\{\{\s*(_base_|\$ENV|file\w+)")
# The two fields of a card that make the name of its system a short name of its config.
_IS_HEADLINE = re.compile(r"^  headline: *true\b", re.MULTILINE)
_SYSTEM = re.compile(r"^  system: *(\w+)", re.MULTILINE)
# Keys that several bases of one config may set; their values are merged.
_SHARED_KEYS = ("tiny",)


def config_folder() -> Path:
    """Return the folder of the released configs: in the installed package, else in the repository."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def config_files() -> dict[str, Path]:
    """Return the files of the released configs by name, those of the zoo and of plugins.

    Raises:
        PluginError: a plugin cannot be found, or has a config of the same name as another package.
    """
    return released_files("configs", ".py", "config")


def released_files(folder: str, suffix: str, what: str) -> dict[str, Path]:
    """Return the files of a folder by name, those of the zoo and of plugins.

    Args:
        folder: ``configs`` or a folder beside it, ``model_cards``.
        suffix: suffix of the files, ``.py``.
        what: the word for a file in messages, ``config``.
    """
    ours = Package(ZOO, config_folder().parent)
    return merged(lambda package: (ours if package.name == ZOO else package).files(folder, suffix), what)


def config_names() -> list[str]:
    """Return the names of the released configs, sorted; those of the zoo and of plugins.

    Example:
        >>> "rcnet_retinanet" in config_names()
        True
    """
    return sorted(config_files())


def headlines() -> dict[str, str]:
    """Return the short names of configs: from the system of each card with ``headline: true`` to the card's config.

    If two cards of one system have it, the first by name is used. ``visionzoo cards verify`` reports an error for them.
    """
    named: dict[str, str] = {}
    for name, path in sorted(released_files("model_cards", ".md", "model card").items()):
        text = path.read_text(encoding="utf-8", errors="replace")
        front = text.removeprefix("---").partition("\n---")[0]
        system = _SYSTEM.search(front)
        if system and _IS_HEADLINE.search(front):
            named.setdefault(system[1], name)
    return named


def find_config(name_or_path: str | Path) -> Path:
    """Return the file of a config.

    Args:
        name_or_path: the name of a released config, the short name of a system (see :func:`headlines`), the path of a
            file, or the folder of a run.

    Raises:
        UnknownName: no config has this name.
        ConfigError: the path is not a Python file, or the folder is not that of a run.

    Example:
        >>> find_config("scnn").name
        'scnn_culane.py'
    """
    given = Path(name_or_path).expanduser()
    if given.is_file():
        return _python_file(given)
    name = current_config_name(str(name_or_path))
    known = config_names()
    if name not in known:
        name = headlines().get(name, name)
    if name in known:
        return config_files()[name]
    if given.is_dir():
        return _config_of_run(given)
    if given.suffix == ".py":
        raise ConfigError(given, expected="a config file", found="no file", advice=f"{_nearest_file(given)}")
    if len(given.parts) > 1:
        raise no_run(given)
    raise UnknownName(name, kind="config", known=known, hint=f"visionzoo list shows all {len(known)}")


def no_run(folder: Path) -> ConfigError:
    """Return the error for a path of which nothing exists; its advice names the folders beside it."""
    place = folder.parent
    beside = sorted(path.name for path in place.iterdir() if path.is_dir()) if place.is_dir() else []
    nearest = nearest_name(folder.name, beside)
    advice = f"did you mean {place / nearest}?" if nearest else f"{place} has {first_of(beside) or 'no folder'}"
    if not place.is_dir():
        advice = f"{place} does not exist either; check the path"
    return ConfigError(
        folder, expected="the folder of a run or a config file", found=f"none{in_cwd(folder)}", advice=advice
    )


def _config_of_run(folder: Path) -> Path:
    path = folder / SAVED
    if not path.is_file():
        weights = [file for file in folder.iterdir() if file.suffix in _WEIGHTS]
        advice = f"name the model, and use --weights {folder}" if weights else "name the folder that training wrote"
        raise ConfigError(
            folder,
            expected=f"the folder of a run, with a {SAVED}",
            found=f"{'weights' if weights else 'a folder'} without it",
            advice=advice,
        )
    return path.parent.resolve() / SAVED  # the file may be a link out of the folder, as in the Hub's cache


def _nearest_file(given: Path) -> str:
    beside = [path.as_posix() for path in given.parent.glob("*.py")] if given.parent.is_dir() else []
    nearest = nearest_name(given.as_posix(), beside) or nearest_name(given.stem, config_names())
    return f"did you mean {nearest}?" if nearest else "visionzoo list shows the released ones"


def _python_file(path: Path) -> Path:
    if path.suffix in _WEIGHTS:
        is_run = (path.parent / SAVED).is_file()
        raise ConfigError(
            path,
            expected="a model",
            found="a file of weights",
            advice=f"name {path.parent if is_run else 'the model'}, and use --weights {path}",
        )
    if path.suffix != ".py":
        raise ConfigError(
            path, expected="a Python file", found=f"{path.suffix or 'no suffix'}", advice="write it as NAME.py"
        )
    return path.resolve()


def display_path(path: Path) -> str:
    """Return the path of a config as messages print it.

    Returns:
        ``configs/x.py`` for a released config, ``toy_zoo/configs/x.py`` for a config of a plugin, else the path
        relative to the working folder, see :func:`visionzoo.system.paths.shown_path`.

    Example:
        >>> display_path(find_config("rcnet_retinanet"))
        'configs/rcnet_retinanet.py'
    """
    folder = config_folder().resolve()
    if path.is_relative_to(folder):
        return f"configs/{path.relative_to(folder).as_posix()}"
    in_plugin = shown_in_plugin(path)
    if in_plugin is not None:
        return in_plugin
    return shown_path(path)


@dataclass
class Read:
    """A config file merged with its bases.

    Attributes:
        values: the merged values, in builtin dicts.
        origins: the file that set each value.
        helpers: values that only other values of the files read.
        own: the files of the user, as messages print them; not those of released configs.
        schedule_notes: one line for each file that changes the length of its base, so that the schedule follows.
        bases: the files of all bases.
    """

    values: dict[str, Any]
    origins: Origins
    helpers: dict[str, Any] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    schedule_notes: list[str] = field(default_factory=list)
    bases: list[Path] = field(default_factory=list)


def read_config(path: Path) -> Read:
    """Read a config file and its bases.

    If a file changes the length of the training of its base, and not the schedule, the schedule follows.

    Raises:
        ConfigError: a file is missing, cannot be read or does not run. The message names file and line.
    """
    return _read(path, frozenset(), ())


def is_released(path: Path) -> bool:
    """Return True for the file of a released config or of one of their bases, also in a plugin.

    Example:
        >>> is_released(find_config("fpn_retinanet"))
        True
    """
    return path.is_relative_to(config_folder().resolve()) or shown_in_plugin(path) is not None


def _read(path: Path, borrowed: Set[str], above: tuple[Path, ...]) -> Read:
    """Read a file and its bases.

    Args:
        path: the file.
        borrowed: names that the file above reads from it.
        above: the files whose base it is.
    """
    source = display_path(path)
    if path in above:
        raise ConfigError(source, expected="bases that end", found="a file that is its own base", advice="remove one")
    tree = _parse(path)
    origins = Origins()
    base: dict[str, Any] = {}
    read = Read({}, origins, own=set() if is_released(path) else {source})
    for base_path in _base_paths(tree, path):
        part = _read(base_path, borrowed | _borrowed(tree), (*above, path))
        _refuse_clash(base, part, origins, source, display_path(base_path))
        base = merge(base, part.values, origins, display_path(base_path))
        origins.update(part.origins)
        read.helpers |= part.helpers
        read.own |= part.own
        read.schedule_notes += part.schedule_notes
        read.bases += [base_path, *part.bases]
    values, helpers = _own_values(path, tree, {**read.helpers, **base}, borrowed)
    read.helpers |= helpers
    read.values = merge(base, values, origins, source)
    if "param_scheduler" not in values:
        followed = follow_length(base, Changed(read.values), origins, f"{source}: train_cfg")
        read.values = followed.values
        read.schedule_notes += [f"{source}: {text}" for text in followed.notes if read.values.get("param_scheduler")]
    return read


def _borrowed(tree: ast.Module) -> set[str]:
    """Return the names that a file reads from its bases: ``x`` of ``_base_.x`` and ``_base_["x"]``."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "_base_":
            names.add(node.attr)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "_base_":
            names.add(ast.unparse(node.slice).strip("'"))
    return names


def _refuse_clash(base: dict[str, Any], part: Read, origins: Origins, source: str, name: str) -> None:
    for key in part.values:
        if key in base and key not in _SHARED_KEYS:
            raise ConfigError(
                source,
                expected="bases that set different keys",
                found=f"{key!r} in both {origins.of(key)} and {name}",
                advice="remove one of them",
            )


def _parse(path: Path) -> ast.Module:
    where = display_path(path)
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, filename=str(path))
    except OSError as error:
        raise ConfigError(
            where, expected="a file that can be read", but=f"{error.strerror}", advice="make it readable"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            where, expected="Python text in UTF-8", found="other bytes", advice="check the path"
        ) from error
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise ConfigError(
            f"{where}{line}", expected="valid Python", found=f"a syntax error ({reason})", advice="fix it"
        ) from error
    _refuse_foreign_forms(where, text, tree)
    if repeated := repeated_key(tree):
        key, number = repeated
        raise ConfigError(
            f"{where}:{number}", expected="each key of a dict once", found=f"{key} twice", advice="remove one"
        )
    return tree


def _refuse_foreign_forms(where: str, text: str, tree: ast.Module) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        if _TEMPLATE.search(line):
            raise ConfigError(
                f"{where}:{number}",
                expected="plain Python",
                found="an mmengine template",
                advice="write `_base_.key`, `__file__` or `os.environ` without braces",
            )
    for node in tree.body:
        if isinstance(node, ast.With):
            raise ConfigError(
                f"{where}:{node.lineno}",
                expected="a text config",
                found="mmengine's `with read_base()`",
                advice='name the bases as `_base_ = ["FILE.py"]` and write types as strings',
            )


def _base_assignment(tree: ast.Module) -> ast.Assign | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "_base_" for t in node.targets):
            return node
    return None


def _base_paths(tree: ast.Module, path: Path) -> list[Path]:
    """Return the files named in ``_base_``. Their names are relative to the file that names them."""
    node = _base_assignment(tree)
    if node is None:
        return []
    where = f"{display_path(path)}:{node.lineno}"
    try:
        named = ast.literal_eval(node.value)
    except ValueError as error:
        raise ConfigError(
            where, expected="`_base_` to be a list of file names", advice="write them as strings"
        ) from error
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            where, expected="`_base_` to be a list of file names", found=f"{named!r}", advice="write strings"
        )
    return [_base_path(name, path, where) for name in names]


def _base_path(name: str, path: Path, where: str) -> Path:
    """Return the file of a base: relative to the file that names it, of a run's folder, or of a released config."""
    if "::" in name:
        raise ConfigError(where, expected="a local file as `_base_`", found=f"{name!r}", advice="copy its values")
    beside = (path.parent / name).resolve()
    shared = (config_folder() / name).resolve()  # a plugin's config may build on the zoo's bases
    places = [beside, beside / SAVED, *([shared] if shown_in_plugin(path) is not None else [])]
    found = next((place for place in places if place.is_file()), None) or config_files().get(name)
    if found is None:
        raise ConfigError(
            where, expected=f"the base {name!r}", found=f"no file {display_path(beside)}", advice="fix `_base_`"
        )
    return found


def _own_values(path: Path, tree: ast.Module, base: dict[str, Any], borrowed: Set[str]) -> tuple[dict[str, Any], ...]:
    """Run one file and return the values that its top level assigns, split into config and helpers."""
    where = display_path(path)
    names = _run(path, tree, base)
    assigned = {key: value for key, value in names.items() if not key.startswith("_") and _is_value(value)}
    helping = (_names_read(tree) | borrowed) - set(TOP_LEVEL)
    for odd_path, value in odd_values(assigned):
        if odd_path.partition(".")[0] not in helping:
            raise ConfigError(
                f"{where}: {odd_path}",
                expected="None, a bool, number, string, list, tuple or dict",
                found=f"{type(value).__name__}",
                advice="write types as strings",
            )
    helpers = {key: value for key, value in assigned.items() if key in helping}
    values = {key: plain(value) for key, value in assigned.items() if key not in helping}
    return values, helpers


def _names_read(tree: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _is_value(value: Any) -> bool:
    """Return False for modules, functions and classes that a file only imports or defines for its computations."""
    return not isinstance(value, (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type))


def _run(path: Path, tree: ast.Module, base: dict[str, Any]) -> dict[str, Any]:
    from mmengine.config import ConfigDict

    names: dict[str, Any] = {"__file__": str(path), "__name__": path.stem, "_base_": ConfigDict(plain(base))}
    body = [node for node in tree.body if node is not _base_assignment(tree)]
    try:
        exec(compile(ast.Module(body, tree.type_ignores), str(path), "exec"), names)
    except (Exception, SystemExit) as error:  # a config of a user may raise anything
        raise ConfigError(
            f"{display_path(path)}{_line_of(error, path)}",
            expected="a config that runs",
            found=f"{type(error).__name__} ({error})",
            advice="fix it",
        ) from error
    return names


def _line_of(error: BaseException, path: Path) -> str:
    lines = [entry for entry in _frames(error) if entry[0] == str(path)]
    return f":{lines[-1][1]}" if lines else ""


def _frames(error: BaseException) -> Iterator[tuple[str, int]]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
