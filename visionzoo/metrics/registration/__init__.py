"""Registration measures: overlap of labels, distances, similarity of images, and folds of the deformation.

Papers differ in their rules, and numbers under different rules do not compare:

- Labels: a label that one of both maps lacks has Dice 0 (VoxelMorph), or does not count (Learn2Reg). A label that
  neither map has never counts in a mean.
- Warped labels: the nearest voxel, or one linear map per label and the largest of them (TransMorph).
- Folds: determinants <= 0 at every voxel, or < 0 without the voxels at the border.
- Spread of the log determinant: ``sdlogj`` over every voxel, or ``sdlogj_l2r`` as Learn2Reg computes it, after adding
  3 to each determinant. Published values of 0.07 to 0.13 are the latter. One field has 0.294 and 0.078.
"""

from visionzoo.metrics.registration.adapter import RegistrationMetric
from visionzoo.metrics.registration.deformation import count_folds, log_spread, log_spread_l2r
from visionzoo.metrics.registration.labels import dice_of_labels, hausdorff_95, labels_of, warp_labels
from visionzoo.metrics.registration.points import landmark_errors
from visionzoo.metrics.registration.scoring import LABEL_RULES, score_pair

__all__ = [
    "LABEL_RULES",
    "RegistrationMetric",
    "count_folds",
    "dice_of_labels",
    "hausdorff_95",
    "labels_of",
    "landmark_errors",
    "log_spread",
    "log_spread_l2r",
    "score_pair",
    "warp_labels",
]
