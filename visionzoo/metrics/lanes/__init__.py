"""Lane metrics: CULane's F1 and TuSimple's accuracy, equal to the numbers of the two official programs."""

from visionzoo.metrics.lanes.adapter import CULaneMetric, TuSimpleMetric
from visionzoo.metrics.lanes.culane import (
    LaneCounts,
    LaneMatches,
    count_matches,
    draw_lane,
    lane_iou,
    match_lanes,
    spline_points,
)
from visionzoo.metrics.lanes.folders import CULaneScores, score_culane_folders, score_tusimple_files
from visionzoo.metrics.lanes.tusimple import OneToOne, TuSimpleScores, one_to_one, tusimple_scores

__all__ = [
    "CULaneMetric",
    "CULaneScores",
    "LaneCounts",
    "LaneMatches",
    "OneToOne",
    "TuSimpleMetric",
    "TuSimpleScores",
    "count_matches",
    "draw_lane",
    "lane_iou",
    "match_lanes",
    "one_to_one",
    "score_culane_folders",
    "score_tusimple_files",
    "spline_points",
    "tusimple_scores",
]
