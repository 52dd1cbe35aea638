"""``visionzoo check-data``: everything that is wrong with a data set, in one pass.

Checks that all image tasks share are here. Checks of one task are in ``Task.examined``; records that a strict reader
leaves out are in ``records_as_stated`` of a data set.
"""

from visionzoo.analysis.data_check.checking import Options, check_data
from visionzoo.analysis.data_check.report import Report

__all__ = ["Options", "Report", "check_data"]
