"""Registration measures as a metric of mmengine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mmengine.evaluator import BaseMetric

from visionzoo.allowed import Index
from visionzoo.errors import ZooError, require_known
from visionzoo.metrics.meaning import SHARE, Meaning
from visionzoo.metrics.means import exact_mean
from visionzoo.metrics.registration.labels import INTERPOLATIONS
from visionzoo.metrics.registration.scoring import LABEL_RULES, score_pair
from visionzoo.metrics.required import required, sample_name
from visionzoo.registry import METRICS

_METRIC = "RegistrationMetric"
# By argument of `score_pair`, the values of a sample for the fixed and the moving image, and the name of the measure.
_PAIRS = {
    "images": ("gt_fixed", "gt_moving"),
    "labels": ("gt_fixed_labels", "gt_moving_labels"),
    "points": ("gt_fixed_points", "gt_moving_points"),
}


@METRICS.register_module()
class RegistrationMetric(BaseMetric):
    """Means over pairs of the measures of :func:`score_pair`, such as ``reg/dice`` and ``reg/dice_before``.

    Each sample needs ``pred_field``, (n, *S) in voxels. It is compared by whatever the sample has: ``gt_fixed_labels``
    and ``gt_moving_labels`` (*S); ``gt_fixed`` and ``gt_moving``, the images (C, *S), with ``pred_warped`` if the model
    provides it; ``gt_fixed_points`` and ``gt_moving_points`` (N, n). All are on the grid of the fixed image.
    ``spacing`` in the metainfo, the length of a voxel along each axis in millimetres, makes ``hd95`` and ``tre``
    millimetres instead of voxels.

    ``reg/dice`` is of labels warped by nearest neighbour, ``reg/dice_onehot`` of one linear map per label. A mean is
    over the pairs that have its measure; ``reg/pairs`` is the number of pairs, ``reg/labels`` the mean number of labels
    in a pair's mean. Only numbers are stored until the evaluation ends.

    Args:
        labels: labels to compare; default: all labels other than 0 of each pair.
        rule: ``either``: a label counts if one of both maps has it (VoxelMorph). ``both``: only if both have it
            (Learn2Reg).
        interpolations: some of ``nearest`` and ``onehot``. The latter takes one warp per label.
        distances: whether to measure ``hd95``, the slowest measure.
        per_label: True to add ``reg/dice/<label>``.
        per_pair: True to store one row for each pair in the attribute ``per_pair`` after an evaluation: ``image`` and
            the numbers.
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``reg`` in the names.

    Raises:
        UnknownName: an unknown rule or interpolation.

    Example:
        >>> import numpy as np
        >>> squares = np.kron([[1, 2], [0, 3]], np.ones((4, 4), int))
        >>> metric = RegistrationMetric()
        >>> sample = {"pred_field": np.zeros((2, 8, 8)), "gt_fixed_labels": squares, "gt_moving_labels": squares}
        >>> metric.process(None, [sample])
        >>> metric.evaluate(size=1)["reg/dice"]
        1.0
    """

    default_prefix = "reg"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {
        "dice*": SHARE,
        "hd95*": Meaning("lower", "mm"),
        "tre_outside": Meaning("lower", "points"),
        "tre*": Meaning("lower", "mm"),
        "ncc*": Meaning("higher", "correlation"),
        "mi*": Meaning("higher", "bits"),
        "ssim*": Meaning("higher", "similarity"),
        "folded*": Meaning("lower", "percent"),
        "sdlogj*": Meaning("lower", "log ratio"),
        "labels": Meaning(unit="labels"),
        "pairs": Meaning(unit="pairs"),
    }

    def __init__(
        self,
        labels: Sequence[Index] | None = None,
        rule: str = "either",
        interpolations: str | Sequence[str] = ("nearest",),
        distances: bool = True,
        per_label: bool = False,
        per_pair: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        require_known(rule, LABEL_RULES, f"rule of {_METRIC}")
        chosen = (interpolations,) if isinstance(interpolations, str) else tuple(interpolations)
        for name in chosen:
            require_known(name, INTERPOLATIONS, f"interpolation of {_METRIC}")
        self.options: dict[str, Any] = dict(
            only=None if labels is None else tuple(labels),
            rule=rule,
            interpolations=chosen,
            distances=distances,
            per_label=per_label,
        )
        self.wants_rows = per_pair
        self.per_pair: list[dict[str, Any]] = []

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch: one dict for each pair, with predictions and ground truth.

        Raises:
            DataError: a sample has no field, only one value of a pair, or values on different grids.
        """
        for sample in data_samples:
            name = sample_name(sample, len(self.results))
            self.results.append((name, self._scores(sample, name)))

    def _scores(self, sample: Mapping[str, Any], name: str) -> dict[str, float]:
        field = required(sample, "pred_field", _METRIC, name)
        given: dict[str, Any] = {
            argument: tuple(required(sample, key, _METRIC, name) for key in keys)
            for argument, keys in _PAIRS.items()
            if any(sample.get(key) is not None for key in keys)
        }
        values: dict[str, Any] = dict(warped=sample.get("pred_warped"), spacing=sample.get("spacing"))
        try:
            return score_pair(field, **given, **values, **self.options)
        except ZooError as error:
            raise error.at(name) from None

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix; ``*`` stands for any text."""
        both = ["ncc", "mi", "ssim", "tre", "dice", *(["hd95"] if self.options["distances"] else [])]
        names = ["folded", "folded_interior", "sdlogj", "sdlogj_l2r", "labels", "pairs", "tre_outside"]
        names += [*both, *(f"{name}_before" for name in both)]
        names += ["dice_onehot"] if "onehot" in self.options["interpolations"] else []
        return names + (["dice/*"] if self.options["per_label"] else [])

    def compute_metrics(self, results: list[tuple[str, dict[str, float]]]) -> dict[str, float]:
        """Compute the means from the results of all processes."""
        if self.wants_rows:
            self.per_pair = [{"image": name} | scores for name, scores in results]
        names = dict.fromkeys(name for _, scores in results for name in scores)
        means = {name: exact_mean(scores[name] for _, scores in results if name in scores) for name in names}
        return means | {"pairs": float(len(results))}
