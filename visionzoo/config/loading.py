"""Load a complete config by name: merge bases, ``--tiny`` and ``--cfg-options``, in this order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.config.files import display_path, find_config, read_config
from visionzoo.config.image_size import with_image_size
from visionzoo.config.keys import RESERVED
from visionzoo.config.options import OPTIONS, SOURCE, apply_options, parse_options
from visionzoo.config.renamed import with_current_names
from visionzoo.config.run_length import follow_length
from visionzoo.config.runs import run_of, was_tiny
from visionzoo.config.tiny import replaced_by_tiny
from visionzoo.config.tree import Origins, merge, without_deletes
from visionzoo.errors import ConfigError

if TYPE_CHECKING:
    from mmengine.config import Config

TINY = "--tiny"
_MOST_OF_DATA = 4  # settings of data sets that a note lists


@dataclass
class LoadedConfig:
    """A config ready to be checked and built.

    Attributes:
        cfg: the merged config.
        name: the released config's name, or the stem of the file.
        path: the file of the config.
        origins: from a dotted path to the source of its value: ``configs/x.py``, ``--tiny`` or ``--cfg-options``.
        notes: one line for each part that an option replaced.
        schedule_notes: one line for each file whose length of training changes the schedule of its base.
        base_runs: the folders of the runs whose saved configs are bases of the config.
        replaced: from a dotted path to the part that an option replaced.
        run: the folder of the run whose saved config this is, else None.
        tiny: True for the tiny variant.
    """

    cfg: Config
    name: str
    path: Path
    origins: Origins = field(default_factory=Origins)
    notes: list[str] = field(default_factory=list)
    schedule_notes: list[str] = field(default_factory=list)
    base_runs: list[Path] = field(default_factory=list)
    replaced: dict[str, dict[str, Any]] = field(default_factory=dict)
    run: Path | None = None
    tiny: bool = False

    @property
    def source(self) -> str:
        """Path of the file as messages print it."""
        return display_path(self.path)


def load_config(
    name_or_path: str | Path,
    *,
    tiny: bool = False,
    options: Iterable[str] | Mapping[str, Any] = (),
    allow_new: bool = False,
) -> LoadedConfig:
    """Read a config. Nothing is built or downloaded.

    Args:
        name_or_path: the name of a released config, a file, or the folder of a run, whose ``config.py`` is read.
        tiny: apply the tiny variant of the config. For a run with ``--tiny``, its config is that variant already.
        options: ``path=value`` strings, or a mapping from dotted path to value. They are applied last.
        allow_new: let options add keys that the config and its parts do not have.

    Raises:
        UnknownName: no released config has this name.
        ConfigError: a file does not load, or an option does not fit.

    Example:
        >>> loaded = load_config("fpn_retinanet", options=["model.backbone.depth=101"])
        >>> loaded.cfg.model.backbone.depth, loaded.origins["model.backbone.depth"]
        (101, '--cfg-options')
    """
    parsed = parse_options(options)
    given = OPTIONS if isinstance(options, Mapping) else SOURCE
    path = find_config(name_or_path)
    read = read_config(path)
    values, origins = read.values, read.origins
    source = display_path(path)
    _refuse_reserved(values, origins)
    values = with_current_names(values, origins)
    overrides = values.pop("tiny", None)
    lost: list[str] = []
    run = run_of(path)
    is_tiny_run = run is not None and was_tiny(run)
    if tiny and not (is_tiny_run and overrides is None):
        part = _tiny_part(overrides, source)
        lost = replaced_by_tiny(values, part, origins, read.own)
        values = merge(values, part, origins, TINY)
    origins.forget("tiny")
    values = without_deletes(values)
    parsed, size_notes = with_image_size(parsed, values)
    changed = apply_options(values, parsed, origins, _arguments_of, allow_new=allow_new, source=given)
    changed = follow_length(values, changed, origins)
    if run is not None and parsed and given == SOURCE:
        changed.notes.append(f"{source}, changed: {_listed(parsed)}")
    return LoadedConfig(
        cfg=_as_config(changed.values, path),
        name=_name_of(path, changed.values),
        path=path,
        origins=origins,
        notes=[*lost, *size_notes, *changed.notes],
        schedule_notes=[] if origins.of("param_scheduler") in (TINY, SOURCE, OPTIONS) else read.schedule_notes,
        base_runs=[_as_given(run) for run in map(run_of, read.bases) if run is not None],
        replaced=changed.replaced,
        run=None if run is None else _as_given(run),
        tiny=tiny or is_tiny_run,
    )


def _listed(options: Mapping[tuple[str, ...], Any]) -> str:
    """Return the options as text. Many settings of data sets, which ``--data`` makes, become their number."""
    of_data = [path for path in options if path[1:2] == ("dataset",)]
    counted = of_data if len(of_data) > _MOST_OF_DATA else []
    listed = [f"{len(counted)} settings of the data sets"] if counted else []
    listed += [f"{'.'.join(path)}={value!r}" for path, value in options.items() if path not in counted]
    return ", ".join(listed)


def _as_given(run: Path) -> Path:
    """Return the folder of a run relative to the working folder, if it is inside."""
    return Path(display_path(run))


def has_tiny(name_or_path: str | Path) -> bool:
    """Return True if a config has a tiny variant.

    Example:
        >>> has_tiny("fpn_retinanet")
        True
    """
    return read_config(find_config(name_or_path)).values.get("tiny") is not None


def _tiny_part(overrides: Any, source: str) -> dict[str, Any]:
    if overrides is None:
        raise ConfigError(
            source, expected="a key `tiny`, which --tiny applies", found="none", advice="leave out --tiny (tiny=True)"
        )
    if not isinstance(overrides, dict):
        raise ConfigError(source, expected="`tiny` to be a dict of overrides", found=f"{overrides!r}", advice="fix it")
    return overrides


def _refuse_reserved(values: dict[str, Any], origins: Origins) -> None:
    for key in RESERVED:
        if key in values:
            raise ConfigError(f"{origins.of(key)}: expected a key other than {key!r}, which is reserved; rename it")


def _arguments_of(type_name: str) -> set[str] | None:
    """Return the arguments of a type. This imports torch, so it is called only for a key that is not in the config."""
    from visionzoo.config.resolving import arguments_of_type

    return arguments_of_type(type_name)


def _name_of(path: Path, values: dict[str, Any]) -> str:
    """Return the stem of the file, or the name of the experiment for the ``config.py`` of a work dir."""
    if path.stem != "config":
        return path.stem
    return str(values.get("experiment_name") or path.parent.name)


def _as_config(values: dict[str, Any], path: Path) -> Config:
    from mmengine.config import Config

    return Config(values, cfg_text=path.read_text(encoding="utf-8"), filename=str(path))
