"""Suites: evaluations of many models on many data sets. A suite is a file of this folder, found by being there.

``suites/<name>.py`` holds one subclass of :class:`~visionzoo.suites._base.Suite`, and ``suites/<name>.md`` states what
it measures, its licence, limits and protocol choices. Names may be written with hyphens. Plugins have the same folder.
"""

from visionzoo.suites._base import Suite, SuiteData, SuiteModel, SuiteReport, SuiteSettings
from visionzoo.suites._finding import readme_of, suite_names, suite_of
from visionzoo.suites._running import run_suite

__all__ = [
    "Suite",
    "SuiteData",
    "SuiteModel",
    "SuiteReport",
    "SuiteSettings",
    "readme_of",
    "run_suite",
    "suite_names",
    "suite_of",
]
