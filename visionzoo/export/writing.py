"""Export of one model of the zoo: from its name to a file, with its parity."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from visionzoo._version import __version__
from visionzoo.errors import RunFailed
from visionzoo.export.exporting import Shape, chosen_shape, export_form, parity_of
from visionzoo.export.parity import Difference
from visionzoo.export.preprocessing import largest_size, multiple_of, steps_of
from visionzoo.graphs.images import image_form
from visionzoo.graphs.registration_pairs import PairForm
from visionzoo.inference.backends import Backend
from visionzoo.inference.exported import SCHEMA
from visionzoo.inference.preparing import test_pipeline_of
from visionzoo.tasks import task_of

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Ready:
    """A model with its form, before a file is written.

    Attributes:
        backend: the loaded model.
        form: what is recorded: an ``ImageForm`` or a ``PairForm``.
        shape: the sizes that the file takes.
        steps: the resizing of images, see :mod:`visionzoo.inference.exported_steps`.
    """

    backend: Backend
    form: Any
    shape: Shape
    steps: list[dict[str, Any]]


@dataclass(frozen=True)
class Exported:
    """A written file.

    Attributes:
        path: the file.
        shape: the sizes that it takes.
        rows: differences between the file and PyTorch, one for each output.
    """

    path: Path
    shape: Shape
    rows: list[Difference]

    def require_parity(self, tolerance: float) -> None:
        """Raise an error if an output differs by more than the tolerance.

        Raises:
            RunFailed: the message names the outputs.
        """
        wrong = [f"{row.name} by {row.absolute:.3g} (relative {row.relative:.3g})" for row in self.rows
                 if not row.within(tolerance)]  # fmt: skip
        if wrong:
            raise RunFailed(f"{self.path}: the outputs differ from PyTorch's above {tolerance:g}: {'; '.join(wrong)}")

    @property
    def is_empty(self) -> bool:
        """True if an output that has values was compared on none, for example because no box was found."""
        return any(row.values == 0 for row in self.rows)


def form_of(backend: Backend) -> Any:
    """Return the form of a model: that of its task, or that of the heads of several tasks.

    Raises:
        NotExportable: the model has no such form.
    """
    tasks, model = backend.tasks, backend.model
    return task_of(tasks[0]).graph(model) if len(tasks) == 1 else image_form(model)


def ready(backend: Backend, size: Sequence[int] | None = None) -> Ready:
    """Return the form of a loaded model and the sizes that its file takes.

    Args:
        backend: a model that PyTorch runs.
        size: (H, W) of the only size of the file; None for any size where the model allows it.

    Raises:
        NotExportable: the model has no exported form; the message states why.
        ConfigError: ``size`` does not fit the model.
    """
    form: Any = form_of(backend).eval()
    if isinstance(form, PairForm):
        steps = _plain(test_pipeline_of(backend.config, backend.name, backend.tasks))
        return Ready(backend, form, Shape(form.required_size(size), True, "a file of pairs has one size"), steps)
    steps = steps_of(backend.prepare)
    form.multiple = math.lcm(form.divisor, multiple_of(steps))
    largest, equal = largest_size(steps, form.divisor)
    return Ready(backend, form, chosen_shape(form, largest, equal, size), steps)


def write(made: Ready, kind: str, path: Path, program: Any = None) -> Exported:
    """Write a file and compare it with PyTorch.

    Args:
        made: what :func:`ready` returned.
        kind: ``onnx`` or ``torch-export``.
        path: the file.
        program: the recorded form, if it was recorded before.

    Raises:
        RunFailed: PyTorch cannot record the model, or translate it.
    """
    export_form(made.form, made.shape, kind, path, metadata_of(made), program)
    return Exported(path, made.shape, parity_of(made.form, made.shape, path))


def metadata_of(made: Ready, precision: str = "float32") -> dict[str, Any]:
    """Return the metadata of a file: all that is needed to run it without the project's configs."""
    backend, form = made.backend, made.form
    several = len(backend.tasks) > 1
    classes = {task: _listed(own.names) for task, own in backend.classes.items()}
    ids = {task: _listed(own.category_ids) for task, own in backend.classes.items()}
    buffers = {name: getattr(form, name) for name in ("mean", "std")}
    size = made.shape.size if made.shape.is_fixed else None
    return {
        "schema": SCHEMA,
        "visionzoo": __version__,
        "name": backend.name,
        "task": list(backend.tasks) if several else backend.task,
        "precision": precision,
        "classes": classes if several else classes[backend.task],
        "category_ids": ids if several else ids[backend.task],
        "preprocessing": {
            "channel_order": "rgb",
            "layout": "NCHW",
            "steps": made.steps,
            "mean": _numbers(buffers["mean"]),
            "std": _numbers(buffers["std"]),
            "normalised_in_graph": True,
            "pad_divisor": form.divisor,
            "pad_value": form.pad_value,
        },
        "inputs": [_plain(asdict(each)) for each in form.inputs(size)],
        "outputs": [{"name": name} for name in form.names],
        "fixed_size": made.shape.reason if made.shape.is_fixed else None,
        "settings": _plain(form.settings),
        "weights": {
            "file": None if backend.weights is None else backend.weights.name,
            "sha256": None if backend.weights is None else sha256_of(backend.weights),
            "step": backend.step,
        },
        "model": _plain(dict(backend.config["model"])),
    }


def _listed(values: Sequence[Any] | None) -> list[Any] | None:
    return list(values) if values else None


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _numbers(values: Any) -> list[float] | None:
    return None if values is None else [round(float(value), 6) for value in values.flatten()]


def _plain(value: Any) -> Any:
    """Return nested values as JSON has them; anything else as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
