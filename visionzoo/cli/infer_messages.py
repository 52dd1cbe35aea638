"""What ``visionzoo infer`` prints about its inputs and results."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from visionzoo.cli.common import note
from visionzoo.errors import on_one_line
from visionzoo.system.paths import shown_path

if TYPE_CHECKING:
    from visionzoo.inference.inferencer import Inferencer
    from visionzoo.inference.predictions import Prediction
    from visionzoo.inference.writing import PredictionWriter


def say_end(args: argparse.Namespace, inferencer: Inferencer, writer: PredictionWriter) -> None:
    """Print what the results of all inputs are by task, a threshold of the model that hides some, and the gallery."""
    from visionzoo.inference.gallery import INDEX

    several = len(writer.parts) > 1
    for name, part in writer.parts.items():
        for text in _found(args, inferencer, part):
            note(f"{name}: {text}" if several else text, quiet=args.quiet)
    note(f"gallery of all inputs: {shown_path(writer.out / INDEX)}", quiet=args.quiet or not args.gallery)


def _found(args: argparse.Namespace, inferencer: Inferencer, part: PredictionWriter) -> Iterator[str]:
    """Yield the sentences about the results of one task."""
    from visionzoo.inference.selecting import model_thresholds

    task, usable, selection = part.reader.task, part.done - part.failed, part.reader.selection
    if not usable:
        return
    threshold = f"{selection.threshold:g}" + (" or the threshold of its class" if selection.thresholds else "")
    yield from filter(None, [task.summary(part.tally, usable, threshold)])
    nothing = task.counted is not None and part.tally.best is None
    for path, own in model_thresholds(part.reader.name, inferencer.config, inferencer.model).items():
        if nothing or (args.threshold and min([selection.threshold, *selection.thresholds.values()]) < own):
            yield f"the model itself drops scores below {own:g} ({path}); --cfg-options {path}=0 keeps all"


def say_done(args: argparse.Namespace, prediction: Prediction, writer: PredictionWriter) -> None:
    """Print which parts of the input are not used, what the tasks state about its results, and its files."""
    tasks = {name: part.reader.task for name, part in writer.parts.items()}
    name, inputs = on_one_line(prediction.source.name), next(iter(tasks.values())).inputs
    if prediction.error is None and (text := inputs.unread_parts(prediction.source)):
        note(f"warning: {name}: {text}", quiet=args.quiet)
    said = [text for task, result in prediction.results.items() if (text := tasks[task].said(result))]
    for text in said:
        note(f"{name}: {text}", quiet=args.quiet)
    if said:
        folders = dict.fromkeys(path.partition("/")[0] for path in writer.written)
        note(f"  its files are in the folders {', '.join(folders)}" if folders else "", quiet=args.quiet or not folders)


def say_failed(prediction: Prediction) -> None:
    """Print the error of an input once, and beside it the tasks if others have a result."""
    name = on_one_line(prediction.source.name)
    by_text: dict[str, list[str]] = {}
    for task, error in prediction.errors.items():
        by_text.setdefault(str(error), []).append(task)
    for text, tasks in by_text.items():
        shown = text if name in text else f"{name}: {text}"
        note(f"error: {shown}" + (f" ({', '.join(tasks)})" if prediction.results else ""))
