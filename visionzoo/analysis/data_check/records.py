"""Records of a data set, and what its reader reports, without stopping at the first error."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mmengine.logging import MMLogger

from visionzoo.datasets.findings import Findings, every_finding
from visionzoo.datasets.issues import Issue, issue_of
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import ConfigError, ZooError
from visionzoo.registry import DATASETS

# A warning of a reader with one of these words is a finding; others are notes about values with one obvious meaning.
_WRONG = re.compile(
    r"swapped|cut off|left out|outside|narrower|no point|without a point|between 0 and 1|two labels|count as empty|"
    r"more than half|not read|none with"
)
NOTES, WARNINGS = "notes of the reader", "warnings of the reader"
# Warnings about boxes that are findings themselves, and about files that are left out on purpose.
_OWN = re.compile(r"boxes that are not loaded|hidden|links to a folder")


@dataclass
class Records:
    """What was read of one data set.

    Attributes:
        settings: its arguments.
        records: one dict for each sample, before the pipeline.
        classes: class names in label order; None if they are not known.
        issues: what its reader reports.
        is_refused: True if the reader refuses the data.
    """

    settings: dict[str, Any]
    records: list[dict[str, Any]] = field(default_factory=list)
    classes: tuple[str, ...] | None = None
    issues: list[Issue] = field(default_factory=list)
    is_refused: bool = False

    @property
    def root(self) -> str:
        """Folder of the data, for messages; "" if it is not stated."""
        return f"{self.settings.get('data_root') or ''}"


def read_records(settings: Mapping[str, Any], where: str) -> Records:
    """Read a data set without its pipeline.

    Args:
        settings: its arguments, with ``type``.
        where: path of the data set in the config, for messages.

    Raises:
        ConfigError: the config of the data set is wrong.
    """
    found = Records(dict(settings))
    stated = getattr(DATASETS.get(settings["type"]), "records_as_stated", None)
    if stated is not None:
        with listening(found.issues):  # the reader reports the same again, with all findings
            _add_stated(stated, settings, found)
        found.issues[:] = [each for each in found.issues if each.kind.startswith("changes")]
    with listening(found.issues):
        try:
            dataset = build_dataset({**settings, "pipeline": [], "serialize_data": False}, where=where)
        except ZooError as error:
            found.is_refused = True
            _add_refusal(error, found)
            return found
    found.classes = tuple((dataset.metainfo or {}).get("classes") or ()) or found.classes
    if not found.records:
        found.records = [dataset.get_data_info(index) for index in range(len(dataset))]
    return found


def _add_stated(stated: Any, settings: Mapping[str, Any], found: Records) -> None:
    try:
        found.records, issues = stated(settings)
    except ZooError:  # the reader states it
        return
    found.issues += issues
    found.classes = next((tuple(each["classes"]) for each in found.records if "classes" in each), None)


def _add_refusal(error: ZooError, found: Records) -> None:
    """Add the error of the reader, unless its findings are there already."""
    if isinstance(error, ConfigError) and "classes" in f"{error}":
        found.issues.append(issue_of(error, "classes of the config that the file lacks"))
    elif not any(each.kind.startswith(_REFUSED) for each in found.issues):
        found.issues.append(issue_of(error, "data that the reader refuses"))


_REFUSED = "wrong "


@contextmanager
def listening(issues: list[Issue]) -> Iterator[None]:
    """Within the block, turn the findings and warnings of readers into issues instead of printing them."""

    def add(findings: Findings, entry: str, field: str, expected: str, found: str) -> None:
        place = f"{findings.where}: {entry}"
        issues.append(Issue(f"{_REFUSED}{field}", place, f"expected {expected}, found {found}", findings.advice))

    logger, handler = MMLogger.get_current_instance(), _Handler(issues)
    kept = logger.handlers[:]
    logger.handlers[:] = [handler]
    try:
        with every_finding(add):
            yield
    finally:
        logger.handlers[:] = kept


class _Handler(logging.Handler):
    """Handler that turns warnings into issues."""

    def __init__(self, issues: list[Issue]):
        super().__init__(logging.WARNING)
        self.issues = issues

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        where, _, text = message.partition(": ")
        is_note = _OWN.search(message) is not None or _WRONG.search(message) is None
        kind = NOTES if is_note else WARNINGS
        self.issues.append(Issue(kind, where, text, "", is_note))
