"""Contents of the positions of a config: the registry of a ``type``, and the arguments that are filled in later.

A position is a dotted path without list indices: ``train_dataloader.dataset.pipeline``.
"""

from __future__ import annotations

import re
from functools import cache

from visionzoo.config.parts import LIBRARY_PARTS

# Data sets inside wrappers: `dataset`, a list `datasets`, or a dict `datasets` by the name of the task.
_DATA = r"dataset(\.datasets?)*(\.datasets\.\w+(\.datasets?)*)?"

# The first matching pattern is used, and its registries are searched in order. Types in a model are MODELS, such as
# layers and losses, or TASK_UTILS, such as assigners and box coders.
_REGISTRIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"(.*\.)?(tta_pipeline|infer_pipeline|pipeline|transforms|pre_transform)", ("TRANSFORMS",)),
    (r"(.*\.)?\w+_dataloader\.(sampler|batch_sampler)", ("DATA_SAMPLERS",)),
    (r"(.*\.)?\w+_dataloader\.(collate_fn|worker_init_fn)", ("FUNCTIONS",)),
    (rf"\w+_dataloader\.{_DATA}", ("DATASETS",)),
    (r"(val|test)_evaluator", ("METRICS", "EVALUATOR")),
    (r"(val|test)_evaluator\.metrics(\.\w+)?", ("METRICS",)),
    (r"default_hooks\.\w+|custom_hooks", ("HOOKS",)),
    (r"optim_wrapper(\.\w+)?\.optimizer", ("OPTIMIZERS",)),
    (r"optim_wrapper", ("OPTIM_WRAPPERS",)),
    (r"param_scheduler(\.\w+)?", ("PARAM_SCHEDULERS",)),
    (r"(train|val|test)_cfg", ("LOOPS",)),
    (r"visualizer", ("VISUALIZERS",)),
    (r"(.*\.)?vis_backends", ("VISBACKENDS",)),
    (r"log_processor", ("LOG_PROCESSORS",)),
    (r"(model|tta_model)(\..*)?\.init_cfg(\.override)?", ("WEIGHT_INITIALIZERS",)),
    (r"(model|tta_model)(\..*)?", ("MODELS", "TASK_UTILS")),
)

# Positions where a dict needs a type. The positions in the PARTS of the class of the model are added to these.
_PARTS = (
    r"model",
    rf"model\.(\w+\.)*({'|'.join(LIBRARY_PARTS)})",
    r"model\.data_preprocessor\.batch_augments",
    r"model\.(\w+\.)*(anchor_generator|prior_generator|bbox_coder|assigner|\w+_roi_extractor|roi_layer)",
    r"model\.(\w+\.)*loss_(cls|bbox|mask|iou|dfl|dice|centerness|obj)",
    r"\w+_dataloader\.(dataset|sampler|batch_sampler)",
    r"(\w+_dataloader\.(\w+\.)*)?(pipeline|tta_pipeline|infer_pipeline)",
    r"default_hooks\.\w+|custom_hooks",
    r"optim_wrapper\.optimizer",
    r"param_scheduler",
    r"(val|test)_evaluator(\.metrics)?",
    r"visualizer|vis_backends",
)

# Positions of a dict that holds parts by name, such as the metrics by task, instead of a part.
_BY_NAME = (r"(val|test)_evaluator\.metrics",)

# Default type of a dict without a type, by position.
DEFAULT_TYPES = {
    "optim_wrapper": "OptimWrapper",
    "log_processor": "LogProcessor",
    "val_cfg": "ValLoop",
    "test_cfg": "TestLoop",
}

# Arguments that are filled in when the part is built, by position; a config need not give them.
_INJECTED: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"(model|tta_model)(\..*)?", ("in_channels", "in_strides", "num_classes", "train_cfg", "test_cfg")),
    (r"(.*\.)?(anchor_generator|prior_generator)", ("strides",)),
    (r"(.*\.)?\w*roi_extractor", ("featmap_strides", "out_channels")),
    (r".*\.(pos_|neg_)?sampler", ("num", "pos_fraction", "context")),
    (r"tta_model", ("module",)),
    (r"model\.loss_weighting", ("tasks",)),
    (r"optim_wrapper(\.\w+)?\.optimizer", ("params",)),
    (r"param_scheduler(\.\w+)?", ("optimizer",)),
    (r"\w+_dataloader\.(sampler|batch_sampler)", ("dataset", "sampler", "batch_size")),
    (r"\w+_dataloader\.collate_fn", ("data_batch",)),
    (r"(train|val|test)_cfg", ("runner", "dataloader", "evaluator")),
    (r"(.*\.)?vis_backends", ("save_dir",)),
)

# Layers whose sizes the containing part sets: only unknown arguments are reported, never missing ones.
_SIZED_BY_OWNER = (
    r"(model|tta_model)\..*(_cfg|\.nms)",
    r"(model|tta_model)\..*\.(dcn|sac|cfg|roi_layer|plugins|upsample|conv|norm|act|\w+_layer|\w*encoder|\w*decoder)",
)

# Arguments that the containing part removes from the dict before it builds the layer.
_EXTRA: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r".*norm_cfg", ("requires_grad",)),
    (r".*\.(dcn|sac|conv_cfg|dcn_cfg)", ("fallback_on_stride", "deformable_groups")),
    (r".*\.upsample_cfg", ("scale_factor", "mode", "align_corners")),
    (r".*\.loss_cls", ("bg_cls_weight",)),
    (r".*init_cfg", ("layer", "override", "map_location", "name")),
    (r".*init_cfg\.override", ("name", "layer")),
    (r".*\.(nms|dqs_cfg)", ("class_agnostic", "split_thr", "iou_thr")),
    (r"(train|val|test)_cfg", ("by_epoch",)),
    (r"optim_wrapper", ("constructor", "paramwise_cfg")),
    (r"param_scheduler(\.\w+)?", ("convert_to_iter_based",)),
    (r".*_hooks(\.\w+)?", ("priority",)),
    (rf"\w+_dataloader\.{_DATA}", ("indices",)),
)

# Keys of dicts whose type is the name of a function or layer of mmcv.ops. If it is not, the registries are searched.
OPS_KEYS = ("nms", "dqs_cfg", "roi_layer")

# Dicts whose type is a keyword of the containing part: mmdet's FPG neck and StageCascadeRPNHead, clipped gradients.
_OWN_WORDS = (r".*\.\w+_trans(\.\w+)*", r".*\.adapt_cfg", r"optim_wrapper(\.\w+)?\.clip_grad")


@cache
def position(path: str) -> str:
    """Return a dotted path without the indices of its lists.

    Example:
        >>> position("train_dataloader.dataset.pipeline.2.scale")
        'train_dataloader.dataset.pipeline.scale'
    """
    return ".".join(key for key in path.split(".") if not key.isdigit())


@cache
def registries_at(at: str) -> tuple[str, ...]:
    """Return the names of the registries that hold a ``type`` at this position; empty for an unknown position."""
    return next((names for pattern, names in _REGISTRIES if re.fullmatch(pattern, at)), ())


@cache
def is_part(at: str) -> bool:
    """Return True if a dict at this position must have a ``type``."""
    return any(re.fullmatch(pattern, at) for pattern in _PARTS)


def holds_parts_by_name(at: str, value: object) -> bool:
    """Return True if a value at this position is a dict of parts by name.

    Example:
        >>> holds_parts_by_name("val_evaluator.metrics", {"lanes": {"type": "CULaneMetric"}})
        True
        >>> holds_parts_by_name("val_evaluator.metrics", {"type": "CULaneMetric"})
        False
    """
    named = isinstance(value, dict) and bool(value) and all(isinstance(each, (dict, list)) for each in value.values())
    return named and any(re.fullmatch(pattern, at) for pattern in _BY_NAME)


@cache
def injected_at(at: str) -> frozenset[str]:
    """Return the arguments that are filled in when the part is built."""
    return frozenset(name for pattern, names in _INJECTED if re.fullmatch(pattern, at) for name in names)


@cache
def extra_at(at: str) -> frozenset[str]:
    """Return the arguments that the containing part accepts in addition to those of the class."""
    return frozenset(name for pattern, names in _EXTRA if re.fullmatch(pattern, at) for name in names)


@cache
def has_own_words(at: str) -> bool:
    """Return True if the types at this position are not names of parts."""
    return any(re.fullmatch(pattern, at) for pattern in _OWN_WORDS)


@cache
def is_sized_by_owner(at: str) -> bool:
    """Return True if the containing part sets the sizes of this part."""
    return any(re.fullmatch(pattern, at) for pattern in _SIZED_BY_OWNER) and not at.endswith("init_cfg")
