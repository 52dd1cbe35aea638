"""Allowed values of arguments of other libraries by name: their classes declare no ranges.

A name has one meaning in mmdet, mmseg and mmcv: ``score_thr`` is a score everywhere. The parts of the zoo declare their
values beside the arguments instead, see :mod:`visionzoo.allowed`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Literal

from visionzoo.allowed import (
    Bounds,
    Count,
    CountOrZero,
    Few,
    Hint,
    Index,
    IndexOrNone,
    Indices,
    Items,
    Numbers,
    Positive,
    Range,
    Share,
    Sides,
    Spreads,
    Steps,
    Weight,
)

_Some = Annotated[Sequence[Positive], Items()]
_NoneOr = Annotated[float, Range(least=-1, most=1)]  # -1 disables the threshold
_Shares = Share | Annotated[Sequence[Share], Items()]
_Most = Annotated[int, Range(whole=True, least=-1, most=1_000_000)]  # 0 and -1 disable the limit
_Four = Annotated[Sequence[float], Items(4, 5)]  # a box, or a box with an angle
_FourAboveZero = Annotated[Sequence[Positive], Items(4, 5)]
_Scales = Sides | Annotated[Sequence[Sides], Items()]
_Size = Count | Sides

# The first pattern that matches the whole name is used.
_BY_NAME: tuple[tuple[str, Hint], ...] = (
    (r"(?!keep_)\w*channels|\w*embed_dims|num_classes|num_groups", Count | Sequence[Count | None] | None),
    (r"num_convs|num_shared_\w+|num_(cls|reg)_\w+", CountOrZero),
    (r"num_(outs|stages|layers|heads|levels|blocks)|groups|base_width|stacked_convs", Few | Sequence[Few]),
    (r"kernel_size|strides?|dilations?|output_size|roi_feat_size|reg_max|topk", Few | Sequence[Few] | None),
    (r"depth", Index | str),
    (r"start_level", Index),
    (r"end_level", IndexOrNone),
    (r"scale", _Scales | Annotated[float, Range(above=0, most=1000)] | None),
    (r"scales", _Some | _Scales),
    (r"crop_size|size|img_scale|random_size_range", _Size | Annotated[Sequence[float], Items(2, 2)] | None),
    (r"ratio_range", Bounds | None),
    (r"ratios|base_sizes", _Some),
    (r"octave_base_scale|scales_per_octave", Annotated[float, Range(above=0, most=1024)] | None),
    (r"pad_size_divisor|size_divisor|mask_size", _Size | None),
    (r"prob|\w+_prob|drop_path_rate|dropout", _Shares | None),
    (
        r"score_thr|min_score|iou_threshold|iou_thr|pos_iou_thr|pos_fraction",
        _Shares,
    ),
    (r"neg_iou_thr", Share | Annotated[Sequence[Share], Items(2, 2)]),
    (r"min_pos_iou|ignore_iof_thr|mask_thr_binary", _NoneOr),
    (r"iou_thrs", _Shares | None),
    (r"mean", Numbers | float | None),
    (r"std", Spreads | Weight | None),
    (r"target_means", _Four),
    (r"target_stds", _FourAboveZero),
    (r"loss_weight", Weight),
    (r"alpha|beta|gamma", Weight | Sequence[Weight] | None),
    (r"nms_pre|max_per_img|max_num", _Most),
    (r"min_bbox_size|min_size", Annotated[float, Range(least=-1)] | Sides),
    (r"allowed_border|neg_pos_ub|pos_weight", Annotated[float, Range(least=-1, most=1e30)]),
    (r"num", Annotated[int, Range(whole=True, least=1, most=1_000_000)]),
    (r"degree", Annotated[float, Range(least=0, most=360)] | Annotated[Sequence[float], Items(2, 2)]),
    (r"seg_pad_val", Annotated[float, Range(least=0, most=255)]),
    (r"max_refetch", Steps | Index),
    (r"out_indices", Indices | Index | None),
    (r"init_cfg", Mapping | Sequence[Mapping] | None),
    (r"keep_ratio|norm_eval|requires_grad|debug|use_(sigmoid|mask)|with_\w+|filter_empty_gt", bool | None),
    (r"match_low_quality|add_gt_as_proposals|reg_class_agnostic|to_rgb|bgr_to_rgb|pad_mask|pad_seg", bool | None),
    (r"pad_val", float | Numbers | Mapping[str, float | Numbers] | None),
    (r"interpolation", Literal["nearest", "bilinear", "bicubic", "area", "lanczos"] | None),
    (r"color_type|backend|imdecode_backend", str | None),
    (r"meta_keys", Sequence[str]),
    (r"data_root|ann_file|img_folder|gt_folder|split|name|part", str | None),
    (r"data_prefix", Mapping[str, str | None] | str | None),
    (r"sigma", Positive | None),
)


@cache
def library_hint(name: str) -> Hint | None:
    """Return the annotation for an argument of another library, or None if its values are not declared.

    Example:
        >>> from visionzoo.allowed import problem_of
        >>> problem_of(5, library_hint("iou_threshold"))
        'expected a number from 0 to 1 or a list of 1 or more items (a number from 0 to 1 each), found 5'
    """
    return next((hint for pattern, hint in _BY_NAME if re.fullmatch(pattern, name)), None)
