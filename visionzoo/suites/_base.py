"""What a suite is: data sets, models that are judged on them, and a report of all results.

A suite defines four things; the runner does everything else (missing data, results on disk, continuing, files):

- ``data_sets()``: by name, a function that opens a data set or raises the DataError that states where to get it;
- ``open_model()``: a model that returns one record for each sample;
- ``refusal()``: why a model is not measured on a data set, or an empty text;
- ``report()``: tables and images from all records.

A record is a dict of JSON values with ``id``. It holds everything that the numbers need of one sample, so that a suite
with several kinds of numbers (panoptic, instances, semantic) makes them from one prediction pass: its records have the
counts of each kind, and its report reads them.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visionzoo.converters import parse_options
from visionzoo.errors import ConfigError, nearest_or_known

Record = dict[str, Any]


@dataclass(frozen=True)
class SuiteSettings:
    """Settings that every suite receives.

    Attributes:
        tiny: True to use the twins of the data sets and the tiny variants of models.
        data: folder of the data sets, ``data/<name>``.
        device: device of the models.
        seed: seed of untrained weights, of the bootstrap and of any training.
        limit: number of samples of each data set, the first ones; None for all.
        out: folder of the results.
        options: changes to the configs of models of the zoo.
    """

    tiny: bool = False
    data: str = "data"
    device: str = "auto"
    seed: int = 0
    limit: int | None = None
    out: Path = Path()
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class SuiteData:
    """An open data set.

    Attributes:
        name: its name in the suite.
        samples: facts about each sample, dicts with a unique ``id``.
        about: facts about the data set, as the suite needs them.
        notes: sentences for the report, such as the number of rows that were left out.
        left_out: ids that a limit left out.
    """

    name: str
    samples: Sequence[Mapping[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()

    @property
    def ids(self) -> list[str]:
        """The id of each sample."""
        return [sample["id"] for sample in self.samples]

    def first(self, limit: int | None) -> SuiteData:
        """Return the data set with its first ``limit`` samples."""
        if limit is None or limit >= len(self.samples):
            return self
        return replace(self, samples=self.samples[:limit], left_out=frozenset(self.ids[limit:]))


class SuiteModel(ABC):
    """A model under evaluation.

    Attributes:
        name: its name in tables.
        digest: short hash of everything that decides its results: config, weights and protocol.
        about: facts for the report.
    """

    name: str
    digest: str
    about: Mapping[str, Any] = {}

    @abstractmethod
    def predict(self, data: SuiteData, numbers: Sequence[int]) -> list[Record]:
        """Return the record of each of these samples, without their ids."""


@dataclass
class Results:
    """All records of one model on one data set, in the order of the samples.

    Attributes:
        model: name of the model.
        digest: see :class:`SuiteModel`.
        records: one for each sample.
        about: facts about the model.
    """

    model: str
    digest: str
    records: list[Record]
    about: Mapping[str, Any] = field(default_factory=dict)


Rows = list[dict[str, Any]]


@dataclass
class SuiteReport:
    """Numbers of a suite.

    Attributes:
        tables: rows by the name of the table; each table becomes a CSV file.
        images: (H, W, 3) uint8 RGB by name; each becomes a PNG file.
        notes: sentences.
        shown: names of the tables that ``report.md`` contains, and the terminal prints; the first ones first.
    """

    tables: dict[str, Rows] = field(default_factory=dict)
    images: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    shown: tuple[str, ...] = ()


class Suite(ABC):
    """Base of suites. Keyword-only arguments of ``__init__`` are the options of a suite, ``--set NAME=VALUE``.

    Args:
        settings: settings that every suite receives.
    """

    tasks: ClassVar[tuple[str, ...]] = ()  # of models of the zoo that it judges
    libraries: ClassVar[tuple[str, ...]] = ()  # whose models it judges as well, ``timm``

    def __init__(self, settings: SuiteSettings):
        self.settings = settings

    @classmethod
    def with_options(cls, settings: SuiteSettings, said: Iterable[str] = ()) -> Suite:
        """Return the suite with options of the command line.

        Args:
            settings: settings that every suite receives.
            said: texts ``NAME=VALUE``.

        Raises:
            ConfigError: an option is unknown, or its value has another type.
        """
        said, known = list(said), cls.known_options()
        for text in said:
            name = text.partition("=")[0]
            if name not in known:
                advice = nearest_or_known(name, known)
                raise ConfigError(f"--set {name}", expected="an option of the suite", found="none", advice=advice)
        return cls(settings, **parse_options(said, known))

    @classmethod
    def known_options(cls) -> dict[str, inspect.Parameter]:
        """Return the options of the suite by name."""
        parameters = inspect.signature(cls.__init__, eval_str=True).parameters
        return {name: each for name, each in parameters.items() if each.kind is inspect.Parameter.KEYWORD_ONLY}

    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """Return what results of one folder must have in common; results of other values cannot be mixed with them."""

    @abstractmethod
    def data_sets(self) -> dict[str, Callable[[], SuiteData]]:
        """Return by name a function that opens a data set, or raises the DataError that states where to get it."""

    @abstractmethod
    def open_model(self, name: str, weights: str | None) -> SuiteModel:
        """Return a model.

        Args:
            name: a model of the zoo, a config, the folder of a run, or a model of a library, ``timm.resnet18``.
            weights: a file, the folder of a run, ``none`` for an untrained model, or None for the usual ones.
        """

    def refusal(self, model: SuiteModel, data: SuiteData) -> str:
        """Return why a model is not measured on a data set; empty if it is measured."""
        return ""

    def read_predictions(self, folder: Path, data: SuiteData) -> list[Record] | None:
        """Return the records of predictions in a folder, one for each sample; None if it has none for the data set.

        Raises:
            ConfigError: the suite reads no predictions.
        """
        expected, found = "a suite that reads predictions", type(self).__name__
        raise ConfigError("--from-predictions", expected=expected, found=found, advice="leave it out")

    def extras(self, model: SuiteModel, data: Mapping[str, SuiteData]) -> None:  # noqa: B027, most suites need none
        """Do further work with a model after its predictions, such as a training on its features."""

    @abstractmethod
    def report(self, data: Mapping[str, SuiteData], results: Mapping[str, Sequence[Results]]) -> SuiteReport:
        """Return the numbers of all models.

        Args:
            data: the data sets that are there, by name.
            results: by data set, the complete results of each model.
        """
