"""Plan of a training, test or dry run: all values that are fixed before the run starts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from mmengine.config import Config

from visionzoo.config import LoadedConfig, config_text, load_config
from visionzoo.config.data_parts import innermost, tasks_of
from visionzoo.config.files import display_path
from visionzoo.config.options import OPTIONS, SOURCE
from visionzoo.config.runs import limit_of, own_run, run_of
from visionzoo.engine.best_metric import best_metric_of
from visionzoo.engine.checkpoints import read_resumable, require_same_averaging, seed_in
from visionzoo.engine.class_names import saved_classes
from visionzoo.engine.environment import check, processes
from visionzoo.engine.fine_tuning import Tuning, early_stopping_of, tuning_of
from visionzoo.engine.numbering import Numbered, build_numbered
from visionzoo.engine.run_options import RunOptions, apply_options, has_averaging, limit_samples
from visionzoo.engine.workdir import default_folder, free_folder, make_writable, resume_point, resumed_checkpoint
from visionzoo.errors import ConfigError, some_of
from visionzoo.models.class_counts import ClassCounts, Counts, counts_by_task
from visionzoo.models.parameters import has_parameters
from visionzoo.models.wiring import fill_model, with_replaced_parts
from visionzoo.option_names import option
from visionzoo.system import distributed
from visionzoo.system.locks import locked
from visionzoo.system.paths import other_folder_text, shown_path
from visionzoo.weights.choosing import chosen_weights, initial_weights
from visionzoo.weights.loading import find_weights

Purpose = Literal["train", "test", "dry run"]

# Splits that each purpose reads.
_SPLITS = {"train": ("train", "val"), "dry run": ("train", "val"), "test": ("test",)}


@dataclass(frozen=True)
class RunPlan:
    """All values that are fixed before a run starts.

    Attributes:
        purpose: ``train``, ``test`` or ``dry run``.
        name: name of the config.
        path: file of the config.
        options: options of the run.
        cfg: the config with the options applied and every channel, stride and class count filled in.
        config_text: text of the config for checkpoints and ``config.py``: what the user chose, before anything is
            derived; empty unless the purpose is ``train``.
        tiny: True for the tiny variant.
        folder: folder of the results (training: the work dir). It exists and is writable. None for a dry run.
        checkpoint: the checkpoint to resume, or None.
        batch_is_fixed: True if an option of the command sets the batch size of training.
        new_rates: True if the run to resume continues with another schedule or other learning rates.
        device: device of the model.
        seed: seed of all random numbers.
        datasets: data set by split (``train``, ``val``, ``test``).
        classes: class names of the first data set; None if it has no classes, and for several tasks.
        classes_by_task: class names of each task of joint data sets, None for a task without classes; empty for one.
        ignore: patterns of initial weights that are not loaded.
        trained: names of the only tensors that a linear probe trains; None for every other training.
        weights: initial weights of training, or weights to test; None for training without initial weights, and for a
            model without parameters.
        best_metric: ``greater`` or ``less`` by metric, for the metrics that may select the best checkpoint, in order of
            priority.
        notes: notes to the user about parts that options replaced, and about the classes of the data sets.
    """

    purpose: Purpose
    name: str
    path: Path
    options: RunOptions
    cfg: Config
    config_text: str
    tiny: bool
    folder: Path | None
    checkpoint: Path | None
    batch_is_fixed: bool
    new_rates: bool
    device: torch.device
    seed: int
    datasets: Mapping[str, Any]
    classes: tuple[str, ...] | None
    classes_by_task: Mapping[str, tuple[str, ...] | None]
    ignore: tuple[str, ...]
    trained: tuple[str, ...] | None
    weights: str | Path | None
    best_metric: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks of the config."""
        return tasks_of(self.cfg)

    def classes_of(self, task: str) -> tuple[str, ...] | None:
        """Return the class names of a task; None if it has no classes."""
        return self.classes_by_task.get(task, self.classes)


@contextmanager
def planned(loaded: LoadedConfig, options: RunOptions, purpose: Purpose) -> Iterator[RunPlan]:
    """Check a config, initialise the process group if there are several processes, and yield the plan of the run.

    Args:
        loaded: a loaded config. Missing values in its ``cfg`` are filled in, in place.
        options: options of the run.
        purpose: ``train``, ``test`` or ``dry run``.

    Raises:
        ConfigError: the config or an option is wrong.
        DataError: a data set cannot be read.
        OutputError: the folder of the results cannot be written.
        CheckpointError: there is nothing to resume, or the weights do not exist.
    """
    check(loaded, verbose=options.verbose)
    (_require_testing if purpose == "test" else _require_training)(loaded, options)
    usual = Path(loaded.cfg.get("work_dir") or default_folder(loaded.name))
    apply_options(loaded.cfg, options, loaded.name)
    weights = _tested(loaded, options) if purpose == "test" else _initial(loaded, options)
    choice = _choice(loaded) if purpose == "train" else Config()
    if options.resume and options.max_samples is None:
        options = replace(options, max_samples=_limit_of_resumed(loaded, options, usual))
    limit_samples(loaded.cfg, options.max_samples)
    with processes(loaded.cfg, options) as device, ExitStack() as held:
        yield _plan(loaded, options, purpose, device, usual, weights, choice, held)


def _tested(loaded: LoadedConfig, options: RunOptions) -> Path | None:
    """Return the weights to test: those of the option, else those of the run; None for a model without parameters."""
    source = loaded.run if options.weights is None else options.weights
    return None if source is None else find_weights(chosen_weights(loaded, source))


def _initial(loaded: LoadedConfig, options: RunOptions) -> str | Path | None:
    return initial_weights(loaded, options.weights) or loaded.cfg.get("load_from")


def _choice(loaded: LoadedConfig) -> Config:
    """Return a copy of the config without class counts, channels and strides, which every run derives."""
    loaded.cfg.model = with_replaced_parts(loaded.cfg.model, loaded.replaced)
    loaded.replaced.clear()
    return deepcopy(loaded.cfg)


def _limit_of_resumed(loaded: LoadedConfig, options: RunOptions, usual: Path) -> int | None:
    """Return the limit of samples of the run to resume, and note it: its schedule depends on it."""
    limit = limit_of(resumed_checkpoint(options.resume, options.work_dir, usual).parent)
    if limit is not None:
        loaded.notes.append(f"{option('max_samples', limit)}: as before in this run; a larger number uses more samples")
    return limit


def nothing_to_train(name: str) -> ConfigError:
    """Return the error for the training of a model without parameters."""
    return ConfigError(
        name,
        expected="a model with parameters to train",
        found="one without parameters",
        advice=f"use it as it is: `visionzoo infer {name}` or `visionzoo test {name}`",
    )


def _require_training(loaded: LoadedConfig, options: RunOptions) -> None:
    if loaded.cfg.get("train_dataloader") is None and not _has_parameters(loaded):
        raise nothing_to_train(loaded.name)
    _require_keys(
        loaded.cfg,
        ("train_dataloader", "train_cfg"),
        where=loaded.source,
        advice="add both, or use a config for training",
    )
    if options.resume and options.weights:
        raise ConfigError(
            option("weights"),
            expected=f"only one of {option('weights')} and {option('resume')}",
            found="both",
            advice=f"remove one of them ({option('resume')} loads the weights of its checkpoint)",
        )
    if options.replace_head and not (options.weights or loaded.cfg.get("load_from")):
        raise ConfigError(
            option("replace_head", True),
            expected=f"{option('weights')}, whose head is replaced",
            found="none",
            advice=f"add {option('weights', 'PATH')}, or leave it out: a run without weights has a new head",
        )


def _has_parameters(loaded: LoadedConfig) -> bool:
    return loaded.cfg.get("model") is None or has_parameters(loaded.cfg.model, loaded.replaced)


def _require_testing(loaded: LoadedConfig, options: RunOptions) -> None:
    if options.weights is None and loaded.run is None and _has_parameters(loaded):
        raise ConfigError(
            option("weights"),
            expected="a checkpoint or the folder of a run",
            found="none",
            advice=f"add {option('weights', 'PATH')}, or test the folder of a run",
        )
    _require_keys(
        loaded.cfg, ("test_dataloader", "test_evaluator"), where=loaded.source, advice="add both to the config"
    )


def _require_keys(cfg: Config, keys: Sequence[str], *, where: str, advice: str) -> None:
    """Raise :class:`ConfigError` if one of ``keys`` is missing from the config or None."""
    present = [key for key in keys if cfg.get(key) is not None]
    if len(present) < len(keys):
        found = f"only {present[0]}" if present else "none"
        raise ConfigError(where, expected=" and ".join(keys), found=found, advice=advice)


def _plan(
    loaded: LoadedConfig,
    options: RunOptions,
    purpose: Purpose,
    device: torch.device,
    usual: Path,
    weights: str | Path | None,
    choice: Config,
    held: ExitStack,
) -> RunPlan:
    cfg = loaded.cfg
    if purpose == "test" and options.tta:
        _augment_test_data(cfg)
    if purpose == "dry run":
        _without_workers(cfg)
    splits = [split for split in _SPLITS[purpose] if cfg.get(f"{split}_dataloader") is not None]
    fixed = purpose == "test" or bool(options.resume)
    source = _source_of_classes(options, purpose, usual, weights)
    advice = _advice_on_classes(source) if source is not None and options.resume else ""
    data = build_numbered(cfg, splits, saved_classes(source), fixed=fixed, advice=advice)
    counts = _class_counts(data, splits, cfg.get("num_classes"))
    tuning = Tuning() if purpose == "test" else _tuned(loaded, options, data, counts, choice)
    _fill(loaded, counts)
    if purpose == "test" and options.tta:
        cfg.model = {**cfg.tta_model, "module": cfg.model}
    checkpoint, folder, taken_over = distributed.from_first(lambda: _places(loaded, options, purpose, usual, held))
    if purpose == "train":
        cfg.work_dir = str(folder)
    if checkpoint is not None:
        _check_resumable(cfg, checkpoint, takes_seed=options.seed is None)
    schedule = [] if purpose == "test" else loaded.schedule_notes
    unused = _notes_on_unused(loaded, options) if purpose != "test" and weights is None else []
    notes = [*schedule, *loaded.notes, *unused, *filter(None, [taken_over])]
    return RunPlan(
        purpose=purpose,
        name=loaded.name,
        path=loaded.path,
        options=options,
        cfg=cfg,
        config_text=config_text(choice) if purpose == "train" else "",
        tiny=loaded.tiny,
        folder=folder,
        checkpoint=checkpoint,
        batch_is_fixed=loaded.origins.of("train_dataloader.batch_size") in (SOURCE, OPTIONS),
        new_rates=checkpoint is not None and _changes_rates(cfg, checkpoint.parent),
        device=device,
        seed=cfg.randomness.seed,
        datasets=MappingProxyType(data.datasets),
        classes=data.classes,
        classes_by_task=MappingProxyType(dict(data.by_task)),
        ignore=(*options.ignore, *tuning.renewed),
        trained=tuning.trained,
        weights=weights,
        best_metric=best_metric_of(tasks_of(cfg)),
        notes=(*notes, *data.notes, *tuning.notes),
    )


def _augment_test_data(cfg: Config) -> None:
    """Give the test data the pipeline of the augmentation at test time."""
    keys, advice = ("tta_model", "tta_pipeline"), f"add both to the config, or remove {option('tta')}"
    _require_keys(cfg, keys, where=option("tta"), advice=advice)
    innermost(cfg.test_dataloader.dataset).pipeline = cfg.tta_pipeline


def _notes_on_unused(loaded: LoadedConfig, options: RunOptions) -> list[str]:
    """Return a note on each run whose config is used for a training that does not start from its weights."""
    runs = [] if options.resume else list(filter(None, [loaded.run, *loaded.base_runs]))
    places = [shown_path(run) for run in runs]
    return [f"{run}: its config is used, not its weights; {option('weights', run)} starts from them" for run in places]


def _source_of_classes(options: RunOptions, purpose: Purpose, usual: Path, weights: str | Path | None) -> Path | None:
    """Return the checkpoint whose classes the data must match or may follow, or None."""
    if options.resume and purpose != "test":
        return resumed_checkpoint(options.resume, options.work_dir, usual)
    is_exported = Path(str(weights)).suffix in (".onnx", ".pt2")  # such a file checks its classes itself
    return None if weights is None or is_exported else find_weights(weights)


def _advice_on_classes(checkpoint: Path) -> str:
    run = shlex.quote(display_path(checkpoint.parent))
    return f"to train on other classes, start from the weights of the run: visionzoo train --weights {run} --data DIR"


def _class_counts(data: Numbered, splits: Sequence[str], stated: int | None) -> Counts:
    """Return the class counts of a run. Its first data set states things and stuff if it has all classes.

    Raises:
        ConfigError: the config states another number than the data, or one number for several tasks.
    """
    meta = getattr(data.datasets[splits[0]], "metainfo", None)
    if data.by_task:
        if stated is not None:
            where, advice = option("num_classes"), "set num_classes of a head"
            raise ConfigError(where, expected="one task", found=", ".join(data.by_task), advice=advice)
        return counts_by_task(meta)
    if data.classes is None:
        return None if stated is None else ClassCounts(stated)
    if stated is not None and stated != len(data.classes):
        raise ConfigError(
            option("num_classes"),
            expected=f"the {len(data.classes)} classes of the data ({some_of(data.classes, 6)})",
            found=f"{stated}",
            advice="leave it out, or choose data with this number of classes",
        )
    counts = ClassCounts.of(meta)
    return counts if counts is not None and counts.total == len(data.classes) else ClassCounts(len(data.classes))


def _fill(loaded: LoadedConfig, num_classes: Counts) -> None:
    """Write channels, strides and class counts into the config, so that the saved config is complete."""
    loaded.cfg.model = fill_model(loaded.cfg.model, replaced=loaded.replaced, num_classes=num_classes)
    loaded.replaced.clear()


def _without_workers(cfg: Config) -> None:
    for split in _SPLITS["dry run"]:
        if cfg.get(f"{split}_dataloader") is not None:
            cfg[f"{split}_dataloader"].num_workers = 0


def _places(
    loaded: LoadedConfig, options: RunOptions, purpose: Purpose, usual: Path, held: ExitStack
) -> tuple[Path | None, Path | None, str]:
    """Lock the folder of the results until ``held`` closes.

    Returns:
        The checkpoint to resume or None; the folder, which now exists and is writable; a note to the user or "". For a
        dry run, both paths are None.
    """
    if purpose == "dry run":
        return None, None, ""
    checkpoint, other = None, ""
    if options.resume and purpose != "test":
        checkpoint = resume_point(options.resume, options.work_dir, usual)
        folder = checkpoint.parent
    else:
        wanted = _folder_of_test(loaded, options) if purpose == "test" else Path(options.work_dir or usual)
        folder = free_folder(wanted, overwrite=options.overwrite)
        other = other_folder_text(wanted, folder)
    lock = held.enter_context(locked(folder, "a test" if purpose == "test" else "a training"))
    make_writable(folder)
    return checkpoint, folder, "\n".join(filter(None, (lock.note, other)))


def _folder_of_test(loaded: LoadedConfig, options: RunOptions) -> Path:
    """Return ``--work-dir``, else ``test`` in the folder of the run, else ``work_dirs/NAME_test``."""
    if options.work_dir is not None:
        return Path(options.work_dir)
    run = own_run(loaded.run) or (None if options.weights is None else run_of(Path(options.weights).expanduser()))
    return default_folder(f"{loaded.name}_test") if run is None else run / "test"


def _tuned(loaded: LoadedConfig, options: RunOptions, data: Numbered, counts: Counts, choice: Config) -> Tuning:
    """Return what a training changes about its weights, and set the early stopping of a fine-tuning in the config."""
    tuning = tuning_of(loaded.cfg, options, data, counts)
    if stopping := early_stopping_of(loaded, options, data):
        loaded.cfg.early_stopping = choice.early_stopping = stopping
    return tuning


# Settings that determine the learning rates of a run, and those of its loader that do not.
_RATES = ("optim_wrapper", "param_scheduler", "train_cfg", "auto_scale_lr")
_OF_WORKERS = ("num_workers", "persistent_workers", "prefetch_factor", "pin_memory")


def _changes_rates(cfg: Config, folder: Path) -> bool:
    """Return True if the saved config of a run has other settings of the learning rates or other training data."""
    if run_of(folder) is None:
        return False
    saved = load_config(folder).cfg
    limit_samples(saved, limit_of(folder))
    loaders = [
        {key: value for key, value in each.train_dataloader.items() if key not in _OF_WORKERS} for each in (saved, cfg)
    ]
    return loaders[0] != loaders[1] or any(saved.get(key) != cfg.get(key) for key in _RATES)


def _check_resumable(cfg: Config, checkpoint: Path, *, takes_seed: bool) -> None:
    """Check a checkpoint to resume before anything is built, and take its seed, so that the order of samples is equal.

    Raises:
        CheckpointError: the run cannot resume from it.
    """
    contents = read_resumable(checkpoint, map_location="meta")
    require_same_averaging(contents, checkpoint, has_ema=has_averaging(cfg))
    seed = seed_in(contents["meta"])
    if takes_seed and seed is not None:
        cfg.randomness.seed = seed
