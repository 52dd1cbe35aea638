"""``visionzoo infer``: run a model on images and write its predictions."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.cli.common import (
    FirstLook,
    Parser,
    add_config_flags,
    add_offline_flag,
    add_output_flags,
    add_run_flags,
    note,
    readers_on_stderr,
    run_command,
    say_loading,
)
from visionzoo.cli.infer_messages import say_done, say_end, say_failed
from visionzoo.cli.infer_parts import Processes, Run, is_shared, joined, run_parts
from visionzoo.cli.result_options import add_result_flags, split_thresholds, thresholds_of
from visionzoo.errors import ConfigError, InputError, OutputError, ZooError, as_utf8, nearest_name
from visionzoo.system.deferred_imports import deferred_imports
from visionzoo.system.paths import other_folder_text, shown_path
from visionzoo.tasks.inputs.options import add_image_options

if TYPE_CHECKING:
    from visionzoo.config import LoadedConfig
    from visionzoo.inference.inferencer import Inferencer
    from visionzoo.inference.parts import Part
    from visionzoo.inference.resuming import Earlier
    from visionzoo.tasks import Task
    from visionzoo.tasks.inputs.base import Input, Source


def parser(inputs: Input | None = None) -> Parser:
    """Return the parser of the command.

    Args:
        inputs: the kind of inputs of the model's task, which adds its options. None adds those of images.
    """
    parser = Parser(
        "infer",
        "Run a model on images and videos. An unusable input is reported and skipped; the exit code is then 1.",
        "  visionzoo infer work_dirs/rcnet_retinanet images/ --threshold 0.5 cat=0.3 --save-crops --save txt\n"
        '  visionzoo infer rcnet_retinanet "shots/*.png" @more.txt --tiny --weights none --vis overlay,side -o out',
    )
    parser.add_argument(
        "model",
        metavar="NAME_OR_CONFIG",
        help="a model of the zoo (`visionzoo list`), a config file, the folder of a training, hf://ORG/REPO or a file "
        "of `visionzoo export`",
    )
    if inputs is None:
        add_image_options(parser)
    else:
        inputs.add_options(parser)
    add_result_flags(parser)
    parser.add_argument(
        "--batch-size", type=int, default=1, help="images per batch; changes the speed, not the results (default: 1)"
    )
    add_model_flags(parser, images="images to write, or a video for a video: overlay, side, none")
    add_config_flags(parser)
    add_output_flags(parser, "predictions/NAME, or RUN/infer for the folder of a training")
    add_run_flags(parser)
    return parser


def add_model_flags(parser: argparse.ArgumentParser, *, images: str) -> None:
    """Add the flags for weights, drawn images and interrupted runs.

    Args:
        parser: changed in place.
        images: help text of ``--vis``.
    """
    parser.add_argument(
        "--weights",
        help="file, work dir or address; released or an ID of the card (`visionzoo weights list NAME`); none for an "
        "untrained model (default: released)",
    )
    parser.add_argument(
        "--backend", default="torch", choices=("torch", "onnxruntime"),
        help="what runs the model; onnxruntime exports it once into the cache (default: torch)",
    )  # fmt: skip
    parser.add_argument("--vis", default="overlay", metavar="KIND,...", help=f"{images} (default: overlay)")
    parser.add_argument(
        "--gallery",
        action="store_true",
        help="also write a page of all inputs, OUT/gallery/index.html, to sort, filter and look at (default: off)",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="run the model as it is built (default: its fast form on a CPU, equal up to rounding)",
    )
    _add_task_flag(parser)
    parser.add_argument("--strict", action="store_true", help="stop at the first input that cannot be used")
    add_offline_flag(parser)
    parser.add_argument(
        "--trust-pickle", action="store_true", help="let the file of weights run code while it loads (default: refuse)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted run with the same options and inputs: in its folder -o, or in the newest one",
    )


def _add_task_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task",
        metavar="T,...",
        help="tasks of a model with several heads; the others do not run (default: all of them)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 1 if an input is unusable, 2 for wrong use, 130 if interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    command = shlex.join(["visionzoo", "infer", *given])
    with deferred_imports():
        seen = _first_look(given)
        return run_command(parser(seen.inputs), lambda args: _infer(args, command, seen), split_thresholds(given))


_MODEL = ("model", "weights", "tiny", "cfg_options", "allow_new")


@dataclass(frozen=True)
class _Seen:
    """What a first look at a command line finds: the config of the model, which the command then does not load again.

    Attributes:
        given: the values of the arguments that name a model.
        loaded: its config; None if it cannot be loaded.
        inputs: kind of the inputs of its task; None without a config or a task.
    """

    given: tuple[Any, ...] = ()
    loaded: LoadedConfig | None = None
    inputs: Input | None = None


def _first_look(argv: list[str]) -> _Seen:
    look = FirstLook("infer", "", "")
    look.add_argument("model")
    look.add_argument("--weights")
    _add_task_flag(look)
    add_offline_flag(look)
    add_config_flags(look)
    seen = _Seen()
    try:
        args = look.seen(argv)
        seen = _Seen(_named_model(args), _loaded(args))
        return replace(seen, inputs=_tasks_of(args, seen.loaded)[0].inputs)
    except ZooError:
        return seen


def _tasks_of(args: argparse.Namespace, loaded: Any) -> list[Task]:
    """Return the tasks to predict, which have one kind of inputs.

    Raises:
        ConfigError, UnknownName: see :func:`visionzoo.inference.readers.chosen_tasks`.
    """
    from visionzoo.inference.readers import chosen_tasks
    from visionzoo.tasks import task_of

    return [task_of(name) for name in chosen_tasks(loaded.cfg.get("task"), args.task, loaded.source)]


def _named_model(args: argparse.Namespace) -> tuple[Any, ...]:
    return tuple(getattr(args, name) for name in _MODEL)


def _loaded(args: argparse.Namespace) -> LoadedConfig:
    """Load the config of the model that a command line names.

    Raises:
        ConfigError, UnknownName: the config cannot be loaded, or it has another model than the run of the weights.
    """
    from visionzoo.inference.exported import exported_config, exported_file

    if (file := exported_file(args.model)) is not None:
        return exported_config(file)
    from visionzoo.weights.runs import AGAIN, load_with_weights

    options = dict(tiny=args.tiny, options=args.cfg_options, allow_new=args.allow_new)
    return load_with_weights(args.model, args.weights, again=AGAIN, **options)


@dataclass(frozen=True)
class Ran:
    """A finished run: its folder, the numbers of inputs, of unusable ones and of files left out, and the form."""

    out: Path
    inputs: int
    failed: int
    left_out: str = ""
    form: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        counts = {"out": as_utf8(str(self.out)), "inputs": self.inputs, "failed": self.failed, "form": self.form}
        return counts | ({"left_out": self.left_out} if self.left_out else {})


def _infer(args: argparse.Namespace, command: str, seen: _Seen) -> int:
    ran = run_inference(args, command, seen)
    if args.json:
        print(json.dumps(ran.to_json()))
    return 1 if ran.failed else 0


def run_inference(args: argparse.Namespace, command: str, seen: _Seen | None = None, *, only: str = "") -> Ran:
    """Run a model on inputs and write its predictions.

    Args:
        args: values of the options of :func:`parser`.
        command: the command line, for ``run.json``.
        seen: what a first look at the command line found.
        only: the task that the model must have; empty for any task.

    Raises:
        ZooError: wrong use, a model of another task, or weights or a config that cannot be used.
    """
    from visionzoo.inference.exported import exported_file

    needs_torch = exported_file(args.model) is None and args.backend == "torch"
    with joined(args, needs_torch=needs_torch) as processes:
        if not needs_torch:  # the logger of the readers imports it
            return _run_inference(args, command, seen or _Seen(), only, processes)
        say_loading(quiet=args.quiet)
        with deferred_imports(), readers_on_stderr(quiet=args.quiet):
            return _run_inference(args, command, seen or _Seen(), only, processes)


def _run_inference(args: argparse.Namespace, command: str, seen: _Seen, only: str, processes: Processes) -> Ran:
    from visionzoo.system.locks import locked

    if args.resume and args.overwrite:
        raise InputError("--resume and --overwrite", expected="one of them", found="both", advice="leave one out")
    if args.max_samples is not None and args.max_samples < 1:
        found = f"{args.max_samples}"
        raise ConfigError("--max-samples", expected="a whole number above 0", found=found, advice="use 1 or more")
    known = seen.loaded is not None and seen.given == _named_model(args)
    loaded = seen.loaded if known and seen.loaded is not None else _loaded(args)
    tasks = _tasks_of(args, loaded)
    inputs = tasks[0].inputs
    if only and loaded.cfg.get("task") != only:
        raise InputError(f"--model {args.model}", expected=f"a model for {only}", found=f"one for {loaded.cfg.task}",
                         advice=f"`visionzoo list --task {only}` lists them")  # fmt: skip
    images = _chosen_images(args.vis, (*dict.fromkeys(kind for task in tasks for kind in task.images), "none"))
    loaded = _fitted(args, loaded, inputs.changes(args, loaded.cfg.get("model") or {}))
    _require_files(args, tasks)
    sources, left_out = inputs.sources(args), inputs.left_out(args)
    if left_out:
        note(f"warning: {left_out} left out", quiet=args.quiet)
    inferencer = _make_inferencer(args, loaded)
    if unused := inputs.unused(args, inferencer.model):
        note(f"warning: {unused}", quiet=args.quiet)
    default = inferencer.run / "infer" if inferencer.run else Path("predictions", inferencer.name)
    out, args.resume = processes.agree(lambda: (_output_folder(args, Path(args.work_dir or default)), args.resume))
    settings = {**_settings(args, inferencer, images), **inputs.settings(args)}
    about = {"command": as_utf8(command), "seed": args.seed, "out": as_utf8(str(out)), "settings": settings}
    total = _total(args, inputs)
    about |= {"total": total} if total is not None else {}
    about |= {"left_out": left_out} if left_out else {}
    run = Run(args, inferencer, out, images, about)
    if is_shared(out, processes):
        done, failed = run_parts(processes, run, total, _run)
    else:
        with locked(out, "an inference") as lock:
            note(lock.note, quiet=args.quiet or not lock.note)
            done, failed = _run(run, sources, total)
    also = f"; {left_out} left out" if left_out else ""
    note(f"{done - failed} of {done} {inputs.nouns} done{also}, results in {shown_path(out)}", quiet=args.quiet)
    # an exit code other than 0 of another process would let torchrun end the first one
    return Ran(out, done, failed if processes.are_first else 0, left_out, inferencer.form["name"])


def _require_files(args: argparse.Namespace, tasks: Sequence[Task]) -> None:
    """Raise an error for further files of results that no task has."""
    from visionzoo.inference.selecting import require_format, require_option

    for name in args.save:
        if not any(name in task.saves for task in tasks):
            require_format(tasks[0], name)
    if args.save_crops and all(task.crops is None for task in tasks):
        require_option(tasks[0], "crops", "--save-crops")


def _fitted(args: argparse.Namespace, loaded: LoadedConfig, changes: list[str]) -> LoadedConfig:
    """Return the config with changes that fit the inputs, for a model that loads no weights."""
    if not changes:
        return loaded
    from visionzoo.models.parameters import has_parameters

    if args.weights != "none" and (loaded.run or has_parameters(loaded.cfg.model, loaded.replaced)):
        return loaded
    note(f"changed for these inputs: {', '.join(changes)}", quiet=args.quiet)
    args.cfg_options = [*changes, *args.cfg_options]
    return _loaded(args)


def _total(args: argparse.Namespace, inputs: Input) -> int | None:
    """Return the number of inputs to process; None if only reading them shows it."""
    return min(filter(None, (inputs.count(args), args.max_samples)), default=None)


def _output_folder(args: argparse.Namespace, wanted: Path) -> Path:
    """Return the folder of the run to continue, else a folder for a new run."""
    from visionzoo.cli.common import choose_output_dir
    from visionzoo.config.runs import run_of
    from visionzoo.inference.resuming import JOURNAL, interrupted_text, newest_run

    if args.overwrite and run_of(wanted):
        raise OutputError(
            wanted,
            expected="a folder for predictions",
            found="the folder of a training",
            advice=f"leave out --overwrite, or use -o {wanted / 'infer'}",
        )
    newest = newest_run(wanted)
    if args.resume and not (newest / JOURNAL).is_file():
        note(f"{shown_path(newest)}: nothing to resume; a new run starts", quiet=args.quiet)
        args.resume = False
    if args.resume:
        return choose_output_dir(newest, overwrite=True)
    out = choose_output_dir(wanted, overwrite=args.overwrite)
    if out != wanted:
        for text in filter(None, (other_folder_text(wanted, out), interrupted_text(newest))):
            note(text, quiet=args.quiet)
    return out


def _settings(args: argparse.Namespace, inferencer: Inferencer, images: tuple[str, ...]) -> dict[str, object]:
    """Return what determines the results, apart from the inputs."""
    from visionzoo.inference.resuming import digest_of

    cfg = inferencer.config
    return {
        "model": inferencer.name,
        "--tiny": args.tiny,
        "--cfg-options": args.cfg_options,
        "hash of the config": digest_of([cfg.get("model"), cfg.get("test_dataloader")]),
        "hash of the weights": inferencer.fingerprint(),
        **_settings_by_task(inferencer),
        "--vis": images,
        "--save": args.save,
        "--save-crops": args.save_crops,
        "--seed": args.seed,
        **({"--gallery": True} if args.gallery else {}),
        **({"--exact": True} if args.exact else {}),
    }


def _settings_by_task(inferencer: Inferencer) -> dict[str, object]:
    """Return which results are kept: of one task the values, of several the values by task."""
    chosen = {name: reader.selection for name, reader in inferencer.readers.items()}
    by_option: dict[str, dict[str, object]] = {
        "--threshold": {name: [each.threshold, each.thresholds] for name, each in chosen.items()},
        "--classes": {name: each.labels for name, each in chosen.items()},
        "--limit": {name: each.limit for name, each in chosen.items()},
    }
    tasks = {} if isinstance(inferencer.config.get("task"), str) else {"--task": list(chosen)}
    if len(chosen) > 1:
        return {**tasks, **by_option}
    return {**tasks, **{option: next(iter(values.values())) for option, values in by_option.items()}}


def _chosen_images(given: str, known: tuple[str, ...]) -> tuple[str, ...]:
    kinds = tuple(filter(None, given.split(",")))
    for kind in kinds:
        if kind not in known:
            nearest = nearest_name(kind, known)
            answer = f"did you mean {nearest}?" if nearest else "use one or more of them"
            raise InputError(f"--vis {given}", expected=f"{', '.join(known)}", found=f"{kind!r}", advice=f"{answer}")
    return tuple(kind for kind in kinds if kind != "none")


def _make_inferencer(args: argparse.Namespace, loaded: LoadedConfig) -> Inferencer:
    from visionzoo.inference.exported import exported_file
    from visionzoo.inference.inferencer import Inferencer

    threshold, class_thresholds = thresholds_of(args.threshold)
    if exported_file(loaded) is None and args.backend == "torch":
        import torch

        torch.manual_seed(args.seed)
    inferencer = Inferencer(
        loaded,
        args.weights,
        device=args.device,
        batch_size=args.batch_size,
        score_threshold=threshold,
        class_thresholds=class_thresholds,
        classes=args.classes,
        limit=args.limit,
        trust_pickle=args.trust_pickle,
        exact=args.exact,
        backend=args.backend,
        tasks=args.task,
    )
    for line in inferencer.notes:
        note(line, quiet=args.quiet)
    if inferencer.is_untrained:
        note("weights: none (random values; results mean nothing)")
    elif inferencer.weights is not None:
        step = f" ({inferencer.step})" if inferencer.step else ""
        note(f"weights: {shown_path(inferencer.weights)}{step}", quiet=args.quiet)
    return inferencer


def _run(run: Run, sources: Iterator[Source], total: int | None, part: Part | None = None) -> tuple[int, int]:
    """Predict and write all inputs, or those of a part. Return the number of inputs and the number of failed ones."""
    from visionzoo.cli.progress import progress
    from visionzoo.inference.joint_writing import prediction_writer
    from visionzoo.inference.resuming import remove_old_results

    args, out = run.args, run.out
    if args.max_samples is not None:
        sources = islice(sources, args.max_samples)
    sources = sources if part is None else part.own(sources)
    earlier = _earlier(args, out if part is None else part.folder, run.about, sources)
    if earlier is None:
        if part is None:
            remove_old_results(out)
    elif earlier.complete:
        note(f"{out}: the run is already complete", quiet=args.quiet)
        return earlier.run["inputs"], earlier.run["failed"]
    elif total is not None:
        total = max(total - earlier.count, 0)
    drawn = bool(run.images) or args.save_crops or args.gallery
    predictions = run.inferencer(sources, keep_images=drawn, errors="report")
    options = {**run.writing, "earlier": earlier, "part": part}
    with prediction_writer(out, run.inferencer, run.images, run.about, **options) as writer:
        for prediction in progress(predictions, total, "infer", quiet=args.quiet, plain=args.no_progress):
            writer.write(prediction)
            say_done(args, prediction, writer)
            if prediction.error is not None:
                say_failed(prediction)
                if args.strict:
                    writer.stopped = True
                    break
    for line in writer.notes:
        note(f"warning: {line}", quiet=args.quiet)
    if part is None:
        say_end(args, run.inferencer, writer)
    return writer.done, writer.failed


def _earlier(args: argparse.Namespace, out: Path, about: dict[str, Any], sources: Iterator[Source]) -> Earlier | None:
    """Return the run to continue, and take its inputs from ``sources``; None for a new run."""
    from visionzoo.inference.resuming import earlier_run

    earlier = earlier_run(out) if args.resume else None
    if args.resume and earlier is None:
        note(f"{out}: no input of the interrupted run is kept; it starts again", quiet=args.quiet)
    if earlier is not None:
        earlier.require_same(out, about["settings"])
        earlier.sources = sources
        if earlier.complete:
            earlier.require_all()
        else:
            note(f"{out}: continues after {earlier.count} inputs", quiet=args.quiet)
    return earlier
