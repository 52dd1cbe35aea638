"""Counting errors: differences between predicted and annotated numbers of people, of whole images and by region.

What papers on crowds call MSE is the root of the mean squared error; here it is called ``RMSE``. The true count is the
number of annotated points, never the sum of a smoothed map.
"""

from visionzoo.metrics.counting.adapter import CountMetric
from visionzoo.metrics.counting.errors import CountErrors, count_errors, mean_over_folds
from visionzoo.metrics.counting.game import game
from visionzoo.metrics.counting.nwpu import LEVELS, LUMINANCES, NWPUErrors, nwpu_errors

__all__ = [
    "LEVELS",
    "LUMINANCES",
    "CountErrors",
    "CountMetric",
    "NWPUErrors",
    "count_errors",
    "game",
    "mean_over_folds",
    "nwpu_errors",
]
