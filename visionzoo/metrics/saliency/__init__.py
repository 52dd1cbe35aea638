"""Saliency measures: how well a grey map separates an object from its background, by the two published protocols.

Papers on salient objects report ``pysod``. Papers on co-salient objects report ``gconet`` (CoCA, CoSOD3k, CoSal2015).
Both start from predictions of 8 bits. Do not compare numbers of one protocol with those of the other:

- The S-measure divides the image at the mask's centroid. With ``pysod`` the centroid's row and column belong to the
  upper left blocks, as in MATLAB; with ``gconet`` they do not. Over DSS's maps of SOD's 300 images, S differs in 297
  images, by 8e-4 on average and by at most 0.011; for the whole set it differs by 1e-4 (0.75137, 0.75147).
- ``pysod`` has 256 thresholds at integer levels, ``gconet`` has 255 from 0 to 1. On these maps, the maximum E-measure
  is 0.8207 and 0.8177, the maximum F-measure 0.8038 and 0.8033.
- ``pysod`` stretches a prediction to [0, 1] also for MAE, binarises every mask, and has special cases for masks without
  foreground or background. ``gconet`` does none of this, and it resizes predictions whose size differs from the mask.

The MATLAB results that were published with these maps (ArcherFMY/sal_eval_toolbox) equal those of ``pysod`` up to
rounding for every image: S to 6e-14, MAE to 1e-12; adaptive F, precision, recall and the rates of the ROC exactly. One
name has two meanings: the maximum F of the toolbox is that of the mean precision and recall (0.8439, here
``PR_Fmeasure_max``); in both protocols it is the maximum of the mean F curve (0.8038, ``Fmeasure_max``).
``benchmarks/saliency_metrics.py --sod DIR`` repeats the comparison.
"""

from visionzoo.metrics.saliency.adapter import SaliencyMetric
from visionzoo.metrics.saliency.folders import FolderScores, score_folders
from visionzoo.metrics.saliency.protocols import MEASURES
from visionzoo.metrics.saliency.scores import PairScores, SaliencyScores, score_pair

__all__ = [
    "MEASURES",
    "FolderScores",
    "PairScores",
    "SaliencyMetric",
    "SaliencyScores",
    "score_folders",
    "score_pair",
]
