"""Schema of a card: the standard fields of the Hugging Face Hub, and the fields of the zoo under the key ``visionzoo``.

Unknown fields are errors, and types are not converted. Each number has the origin ``paper``, with the place where it is
printed, or ``measured``, with the command that measures it again.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from visionzoo.card_fields import Fields, Positive, Slug, Text, Url
from visionzoo.registry import task_names
from visionzoo.weights.entry import Weights, unique_ids

SCHEMA_VERSION = 1

STATUS = {
    "reproduced": "trained or evaluated here on the data of the paper; the number of the paper was reached",
    "parity": "every output equals that of the authors' code; the authors' weights were not measured",
    "combination": "the parts are compared with reference code, the whole model with these settings is not",
    "baseline": "a plainer model, for comparison",
    "trained here": "trained here on the data that the card names; the numbers were measured with these weights",
}


def _known_tasks(given: str | list[str]) -> str | list[str]:
    names = [given] if isinstance(given, str) else given
    for name in names:
        if name not in task_names():
            raise ValueError(f"expected a task ({', '.join(task_names())}), found {name!r}")
    if not isinstance(given, str) and (len(names) < 2 or len(set(names)) < len(names)):
        raise ValueError(f"expected one task, or a list of several different tasks, found {given!r}")
    return given


Task = Annotated[str | list[str], AfterValidator(_known_tasks)]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")]
Count = Annotated[int, Field(ge=0)]
Tolerance = Annotated[float, Field(ge=0)]


# --------------------------------------------------------------------------- numbers


class PaperNumber(Fields):
    """A number printed by the authors. The ``source`` of its result states where."""

    origin: Literal["paper"]
    unit: Text


class MeasuredNumber(Fields):
    """A number measured here. ``run`` is the id of the run in ``visionzoo.runs``."""

    origin: Literal["measured"]
    unit: Text
    run: Slug


class Metric(Fields):
    """One number in the ``model-index`` of the Hub. ``args`` states its origin."""

    type: Text
    name: Text
    value: float
    args: Annotated[PaperNumber | MeasuredNumber, Field(discriminator="origin")]


class ResultTask(Fields):
    """Kind of task of a result, in the words of the Hub. ``name`` is a task of the model, if it has several."""

    type: Text
    name: Text | None = None


class ResultData(Fields):
    """Data set and split of a result."""

    name: Text
    type: Text
    split: Text


class Source(Fields):
    """Place where the authors print a number."""

    name: Text
    url: Url


class Result(Fields):
    """Numbers on one data set."""

    task: ResultTask
    dataset: ResultData
    metrics: Annotated[list[Metric], Field(min_length=1)]
    source: Source | None = None

    @model_validator(mode="after")
    def _paper_needs_source(self) -> Result:
        if self.source is None and any(metric.args.origin == "paper" for metric in self.metrics):
            raise ValueError("a paper's number needs a `source` with name and url beside `metrics`, found none")
        return self


class IndexEntry(Fields):
    """Results of one model."""

    name: Text
    results: list[Result]


# --------------------------------------------------------------------------- what a model is


class Paper(Fields):
    """Paper of the model."""

    title: Text
    venue: Text
    year: Annotated[int, Field(ge=1950, le=2100)]
    url: Url


class SourceCode(Fields):
    """Code of the authors that the model was compared with."""

    url: Url
    commit: Commit | None = None
    license: Text


class Licenses(Fields):
    """Licences of code, weights and data."""

    code: Text
    weights: Text
    data: Text


class Tensor(Fields):
    """One input or output. ``shape`` has letters or numbers; ``unit`` and ``range`` describe the values."""

    name: Text
    dtype: Text
    shape: Text
    unit: Text
    range: Text | None = None
    meaning: Text


class Compute(Fields):
    """Size of the full model. ``at`` states the classes and the input. ``flops`` counts a multiply-add as two."""

    params: Count
    trainable: Count
    flops: Positive | None = None
    at: Text


class Run(Fields):
    """A run that measured numbers. Run ``command`` at ``commit``, or with this ``version``, to measure them again."""

    command: Text
    date: date
    commit: Commit | None = None
    version: Text | None = None
    hardware: Text

    @model_validator(mode="after")
    def _state_is_known(self) -> Run:
        if self.commit is None and self.version is None:
            raise ValueError("a run needs the `commit` or the `version` of visionzoo, found none")
        return self


class Export(Fields):
    """An export format, and the reason if it does not work."""

    format: Text
    works: bool
    reason: Text | None = None


class FastForm(Fields):
    """Fast form of the tiny variant with seeded weights, compared with the model as it is built.

    Attributes:
        folded_norms: number of norms that are part of a convolution.
        channels_last: True if it uses this memory format.
        difference: largest difference of an output, relative to the largest magnitude of that output.
        rounding: the same for the model as it is built, compared with float64; only if ``difference`` is above 1e-5.
        double: the same for both forms in float64, where only a wrong form differs; likewise.
    """

    folded_norms: Annotated[int, Field(ge=0)]
    channels_last: bool
    difference: Annotated[float, Field(ge=0)]
    rounding: Annotated[float, Field(ge=0)] | None = None
    double: Annotated[float, Field(ge=0)] | None = None


# --------------------------------------------------------------------------- checks


class BuildCheck(Fields):
    """Check the parameter counts of the full model, which are exactly ``compute.params`` and ``compute.trainable``."""

    kind: Literal["build"]


class ForwardCheck(Fields):
    """Compare outputs of the tiny variant for seeded weights and a seeded image with ``arrays/<name>.npz``."""

    kind: Literal["forward"]
    seed: Annotated[int, Field(ge=0)] = 0
    size: Annotated[list[Positive], Field(min_length=2, max_length=3)] = [90, 126]
    tolerance: Tolerance = 1e-3


class MetricCheck(Fields):
    """Measure ground truth of the drawn images, with seeded changes and scores, by the metric of the config."""

    kind: Literal["metric"]
    seed: Annotated[int, Field(ge=0)] = 0
    metrics: dict[str, float]
    tolerance: Tolerance = 2e-3


class EvalCheck(Fields):
    """Run loader, model, post-processing and metric on the drawn images with seeded weights."""

    kind: Literal["eval"]
    seed: Annotated[int, Field(ge=0)] = 0
    metrics: dict[str, float]
    tolerance: Tolerance = 5e-3


class LearnCheck(Fields):
    """Check that the loss is below ``ratio`` times its first value after ``steps`` training steps.

    A negative loss must fall by the same share of its magnitude.
    """

    kind: Literal["learn"]
    seed: Annotated[int, Field(ge=0)] = 0
    steps: Positive
    ratio: Annotated[float, Field(gt=0, lt=1)]


class WeightsCheck(Fields):
    """Load the released file ``id``, predict drawn images, and compare with ``arrays/<name>_weights.npz``.

    ``data`` is the address of the drawn data set, whose validation split is predicted.
    """

    kind: Literal["weights"]
    id: Slug
    data: Annotated[str, Field(pattern=r"^tiny://\S+$")]
    tolerance: Tolerance = 5e-3


class FullCheck(Fields):
    """Check that ``command`` returns ``metrics`` within ``tolerance`` on the real data. It is run manually."""

    kind: Literal["full"]
    command: Text
    metrics: dict[str, float]
    tolerance: Tolerance


Check = Annotated[
    BuildCheck | ForwardCheck | MetricCheck | EvalCheck | LearnCheck | WeightsCheck | FullCheck,
    Field(discriminator="kind"),
]


# --------------------------------------------------------------------------- the card


class ZooFields(Fields):
    """Fields under the key ``visionzoo``.

    The reader fills in ``name`` and ``config`` from the name of the file, and ``exports`` from the file
    ``exports.json``, which ``visionzoo export --all`` writes, and ``fast_form`` from ``fast_forms.json``, which
    ``visionzoo cards record`` writes. If ``headline`` is true, the name of the system is a short name of this model.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")]
    name: Slug = Field(default_factory=str)
    system: Slug
    headline: bool = False
    task: Task
    status: Literal["reproduced", "parity", "combination", "baseline", "trained here"]
    config: Text = Field(default_factory=str)
    paper: Paper
    source_code: SourceCode
    licenses: Licenses
    weights: Annotated[list[Weights], AfterValidator(unique_ids)]
    inputs: Annotated[list[Tensor], Field(min_length=1)]
    outputs: Annotated[list[Tensor], Field(min_length=1)]
    compute: Compute
    runs: dict[Slug, Run] = {}
    extras: list[Text] = []
    exports: list[Export] = []
    fast_form: FastForm | None = None
    checks: Annotated[list[Check], Field(min_length=1)]
    limits: Annotated[list[Text], Field(min_length=1)]


class CardFields(Fields):
    """The front matter of a card."""

    license: Text
    pipeline_tag: Text
    library_name: Literal["visionzoo"] = "visionzoo"
    tags: list[Text] = []
    datasets: Annotated[list[Text], Field(min_length=1)]
    base_model: Text | None = None
    model_index: Annotated[list[IndexEntry], Field(alias="model-index", min_length=1, max_length=1)]
    visionzoo: ZooFields


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the front matter, which ``model_cards/schema.json`` stores."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **CardFields.model_json_schema(by_alias=True),
        "title": "Front matter of a visionzoo model card",
    }
