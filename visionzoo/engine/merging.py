"""Join the heads of runs that share a frozen trunk into one model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from visionzoo._version import __version__
from visionzoo.config import config_text, load_config
from visionzoo.config.data_parts import tasks_of
from visionzoo.config.runs import run_of, was_tiny
from visionzoo.engine.checkpoints import point_to, save_weights
from visionzoo.engine.merged_config import Source, merged_config
from visionzoo.engine.workdir import MERGED, MERGED_SUMMARY, remove_old_run, write_run
from visionzoo.errors import CheckpointError, InputError, OutputError, one_of
from visionzoo.models.class_counts import counts_by_task
from visionzoo.models.heads_by_name import heads_by_name
from visionzoo.models.wiring import build_model
from visionzoo.option_names import option
from visionzoo.structures.task_sample import TASKS
from visionzoo.system.atomic import require_writable, write_text
from visionzoo.system.paths import shown_path
from visionzoo.weights.loading import load_weights, weights_of
from visionzoo.weights.weight_file import WeightFile, read_weight_file

_TRUNK = ("backbone.", "neck.", "text_encoder.")


@dataclass(frozen=True)
class Member:
    """One run and its weights under the names of a task model of several heads."""

    source: Source
    file: WeightFile
    tensors: Mapping[str, Tensor]

    @property
    def heads(self) -> list[str]:
        """Names of its heads."""
        return list(self.source.model["heads"])

    @property
    def trunk(self) -> dict[str, Tensor]:
        """Weights and statistics of backbone, neck and text encoder."""
        return {name: value for name, value in self.tensors.items() if name.startswith(_TRUNK)}

    def of_head(self, name: str) -> dict[str, Tensor]:
        """Return the weights of a head."""
        return {key: value for key, value in self.tensors.items() if key.startswith(f"heads.{name}.")}


def merge_runs(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    pipeline: str | Path | None = None,
    overwrite: bool = False,
    command: Sequence[str] = (),
) -> dict[str, Any]:
    """Join runs of different tasks that share a trunk, and write the folder of a run.

    Args:
        runs: folders of at least two runs. A run of one task has a head of the name of its task in the result.
        out: folder of the result. It is written only if everything fits.
        pipeline: the run whose test pipeline inference uses if the pipelines differ; None for the first one that crops
            nothing, else the first one.
        overwrite: True to write into a folder that is not empty. The files of an earlier run are removed.
        command: the command line, for ``run.json``.

    Returns:
        ``run`` (the folder), ``heads`` (the run of each head by name), ``tensors`` (their number), ``trunk_tensors``
        and ``notes``.

    Raises:
        InputError: fewer than two runs, a run twice, a folder that is not a run, or another ``pipeline``.
        ConfigError: a model cannot be joined, two heads have one name, or the configs of the trunks differ.
        CheckpointError: the weights of the trunks differ, or a run has no weights.
        OutputError: ``out`` is not empty, is one of the runs, or cannot be written.
    """
    folder = Path(out)
    _require_runs(runs)
    _require_free(folder, runs, overwrite)
    members = [_member(Path(run)) for run in runs]
    sources = [member.source for member in members]
    cfg, notes = merged_config(sources, None if pipeline is None else sources[_place_of(pipeline, runs)])
    for other in members[1:]:
        require_one_trunk(members[0], other)
    tensors = dict(members[0].trunk)
    for member in members:
        tensors |= {name: value for head in member.heads for name, value in member.of_head(head).items()}
    meta = _meta(members, cfg)
    model = build_model(cfg["model"], num_classes=counts_by_task(meta["dataset_meta"]))
    load_weights(model, tensors, where=", ".join(member.source.name for member in members))
    _write(folder, members, cfg, tensors, meta, command)
    heads = {head: member.source.name for member in members for head in member.heads}
    shared = len(members[0].trunk)
    return {"run": str(folder), "heads": heads, "tensors": len(tensors), "trunk_tensors": shared, "notes": notes}


def _require_runs(runs: Sequence[str | Path]) -> None:
    if len(runs) < 2:
        raise InputError(
            "merge", expected="at least two runs", found=f"{len(runs)}", advice="name the runs whose heads to join"
        )
    places = [Path(run) for run in runs]
    for run in places:
        if not run.is_dir() or run_of(run) is None:
            raise InputError(
                shown_path(run),
                expected="the folder of a run, with config.py and run.json",
                found="a file" if run.is_file() else "another folder" if run.is_dir() else "nothing",
                advice="name the folder that training wrote",
            )
    resolved = [run.resolve() for run in places]
    for run, place in zip(places, resolved, strict=True):
        if resolved.count(place) > 1:
            raise InputError(shown_path(run), expected="each run once", found="twice", advice="name it once")


def _place_of(pipeline: str | Path, runs: Sequence[str | Path]) -> int:
    for place, run in enumerate(runs):
        if Path(run).resolve() == Path(pipeline).resolve():
            return place
    raise InputError(
        option("pipeline"),
        expected="one of the runs",
        found=f"{pipeline}",
        advice=f"{one_of(map(str, runs))}",
    )


def _require_free(folder: Path, runs: Sequence[str | Path], overwrite: bool) -> None:
    if folder.resolve() in [Path(run).resolve() for run in runs]:
        found, advice = "one of the runs to join", "choose another, because its weights would be removed"
        raise OutputError(shown_path(folder), expected="a folder for the result", found=found, advice=advice)
    is_used = folder.is_file() or (folder.is_dir() and any(folder.iterdir()))
    if is_used and not (overwrite and folder.is_dir()):
        found = "a file" if folder.is_file() else "files"
        advice = "choose another" if folder.is_file() else f"choose another, or add {option('overwrite', True)}"
        raise OutputError(shown_path(folder), expected="a new or empty folder", found=found, advice=advice)
    require_writable(folder)


def _member(run: Path) -> Member:
    name = str(shown_path(run))
    loaded = load_config(run)
    named = heads_by_name(loaded.cfg.model, tasks_of(loaded.cfg), f"{name}: model")
    file = read_weight_file(run)
    tensors = named.renamed(weights_of(file.contents, str(file.path)))
    return Member(Source(name, loaded.cfg.to_dict(), named.model), file, tensors)


def require_one_trunk(first: Member, other: Member) -> None:
    """Check that two runs have equal weights and norm statistics in backbone and neck.

    Raises:
        CheckpointError: a tensor is missing or differs; the first one and the largest difference are stated.
    """
    one, two = first.trunk, other.trunk
    absent = [name for name in {**one, **two} if name not in one or name not in two]
    changed = [name for name in one if name in two and not _are_equal(one[name], two[name])]
    if not absent and not changed:
        return
    expected = f"the trunk of {first.source.name}"
    if absent:
        owner = first if absent[0] in one else other
        found = f"{absent[0]} only in {owner.source.name}"
    else:
        name = changed[0]
        found = f"{len(changed)} of {len(one)} tensors that differ, first {name} ({_distance(one[name], two[name])})"
    advice = "train the heads on one trunk that is frozen: --weights RUN --freeze backbone neck"
    raise CheckpointError(other.source.name, expected=expected, found=found, advice=advice)


def _are_equal(one: Tensor, two: Tensor) -> bool:
    return one.dtype == two.dtype and torch.equal(one, two)


def _distance(one: Tensor, two: Tensor) -> str:
    if one.shape != two.shape:
        return f"shape {tuple(one.shape)} and {tuple(two.shape)}"
    return f"by up to {(one.double() - two.double()).abs().max().item():.3g}"


# --------------------------------------------------------------------------- files


def _meta(members: Sequence[Member], cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the file states about the weights, as a training of several tasks does."""
    by_task: dict[str, Any] = {}
    variants: dict[str, Any] = {}
    for member in members:
        stated = member.file.meta.get("dataset_meta") or {}
        known = stated.get(TASKS)
        by_task |= {head: (stated if known is None else known.get(head) or {}) for head in member.heads}
        variants |= member.file.meta.get("variants") or {}
    return {
        "dataset_meta": {TASKS: by_task},
        "cfg": config_text(cfg),
        "variants": variants,
        "visionzoo_version": __version__,
        "torch_version": str(torch.__version__),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _write(
    folder: Path,
    members: Sequence[Member],
    cfg: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    command: Sequence[str],
) -> None:
    """Write the files of the run; ``run.json``, by which a folder is a run, is the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_old_run(folder)
    save_weights(folder / MERGED, tensors, meta)
    point_to(folder / MERGED)
    write_text(folder / "config.py", config_text(cfg))
    write_text(folder / MERGED_SUMMARY, summary(folder.name, members))
    runs = [member.source.name for member in members]
    tiny = any(was_tiny(Path(run)) for run in runs)
    facts = {"name": folder.name, "config": str(folder / "config.py"), "tiny": tiny, "merged": runs}
    write_run(folder, facts, command)


def summary(name: str, members: Sequence[Member]) -> str:
    """Return a table of the heads in Markdown: their runs, weights, and numbers of tensors and parameters."""
    trunk = members[0].trunk
    rows = [("trunk", members[0].source.name, members[0].file.path.name, trunk)]
    rows += [
        (head, each.source.name, each.file.path.name, each.of_head(head)) for each in members for head in each.heads
    ]
    lines = [
        f"| {part} | {run} | {file} | {len(own)} | {sum(value.numel() for value in own.values()):,} |"
        for part, run, file, own in rows
    ]
    head = ["| part | run | weights | tensors | numbers |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([f"# {name}", "", *head, *lines, ""])
