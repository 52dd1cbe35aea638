"""Saliency measures: how well a grey map tells an object from its background, by the two published protocols.

``pysod`` is what papers on salient objects report, ``gconet`` what papers on co-salient objects do (CoCA, CoSOD3k,
CoSal2015). Both start from predictions of 8 bits; numbers of one must not be compared with the other's:

- The S-measure cuts the image at the mask's centroid. ``pysod`` counts the centroid's row and column to the upper
  left blocks, as MATLAB does, ``gconet`` does not: S differs by 8e-4 on average over DSS's maps of SOD's 300 images,
  by 0.011 at most and in 297 of them, and by 1e-4 for the whole set (0.75137, 0.75147).
- ``pysod`` has 256 thresholds at whole levels, ``gconet`` 255 from 0 to 1: the E-measure's maximum is 0.8207 and
  0.8177 there, that of F 0.8038 and 0.8033.
- ``pysod`` stretches a prediction to [0, 1] also for MAE, makes every mask binary, and knows masks without
  foreground or background; ``gconet`` does none of it, and resizes predictions of another size.

The MATLAB results that were published with these maps (ArcherFMY/sal_eval_toolbox) are those of ``pysod`` to rounding
for every image: S to 6e-14, MAE to 1e-12, adaptive F, precision, recall and the ROC's rates exactly. One name means
another number: that toolbox takes the maximum F of the mean precision and recall (0.8439, here ``PR_Fmeasure_max``),
both protocols that of the mean F curve (0.8038, ``Fmeasure_max``). ``benchmarks/saliency_metrics.py --sod DIR``
repeats the comparison.
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
