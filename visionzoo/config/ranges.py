"""Allowed values of the settings of a run, by their position in a config: the only place where a range is declared.

A position is a dotted path without list indices, see :func:`visionzoo.config.positions.position`. Arguments of models,
data sets and transforms are checked by their classes, except ``frozen_stages``, whose upper bound depends on the class.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

from visionzoo.allowed import Range, shown
from visionzoo.config.positions import position
from visionzoo.errors import ConfigError


def _whole(least: int, **kwargs: Any) -> Range:
    return Range(whole=True, least=least, **kwargs)


_RULES = ("greater", "less")
_YES_NO = Range(words=(True, False))
_YES_NO_DEFAULT = Range(words=(True, False), optional=True)
_SHARE = Range(least=0, below=1, listed=True)
_DICT = Range(mapping=True, optional=True)
_NEVER_OR_EVERY = _whole(1, others=(-1,))

_LOADER = r"\w+_dataloader\."
_HOOK = r"(default_hooks\.\w+|custom_hooks)\."
_OPTIMIZER = r"optim_wrapper(\.\w+)?\.optimizer\."
_SCHEDULER = r"param_scheduler(\.\w+)?\."

# The first pattern that matches the whole position is used.
RANGES: tuple[tuple[str, Range], ...] = (
    (r"\w+_dataloader|(train|val|test)_cfg|optim_wrapper(\.\w+)?(\.clip_grad|\.paramwise_cfg)", _DICT),
    (r"optim_wrapper|default_hooks|env_cfg(\.\w+_cfg)?|randomness|auto_scale_lr|log_processor", _DICT),
    (_LOADER + "(collate_fn|worker_init_fn)", _DICT),
    (r"log_level", Range(words=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))),
    (r"load_from", Range(text=True, optional=True)),
    (r"resume", Range(words=(True, False), optional=True)),
    (r"early_stopping", Range(mapping=True, optional=True, others=(False,))),
    (r"ema", Range(mapping=True, optional=True, others=(False, True))),
    (r"freeze|default_hooks\.checkpoint\.save_best", Range(text=True, optional=True, listed=True)),
    (r"default_hooks\.checkpoint\.rule|early_stopping\.rule", Range(words=_RULES, optional=True, listed=True)),
    (r"early_stopping\.monitor", Range(text=True)),
    (r"early_stopping\.epochs|num_classes", _whole(1, optional=True)),
    (r"linear_probe", _YES_NO_DEFAULT),
    (_LOADER + "batch_size", _whole(1)),
    (_LOADER + "num_workers", _whole(0, most=1024)),
    (_LOADER + "(prefetch_factor|num_batch_per_epoch)", _whole(1, optional=True)),
    (_LOADER + "timeout", Range(least=0)),
    (_LOADER + "(drop_last|persistent_workers|pin_memory)", _YES_NO),
    (_LOADER + r"sampler\.(repeats|block)", _whole(1, optional=True)),
    (_LOADER + r"sampler\.(round_to|seed)", _whole(0, optional=True)),
    (_LOADER + r"(sampler\.(shuffle|round_up)|batch_sampler\.drop_last)", _YES_NO),
    (_LOADER + r"dataset(\.datasets?)*\.test_mode", _YES_NO),
    (_LOADER + r"dataset(\.datasets?)*\.indices", _whole(0, optional=True, listed=True)),
    (r"train_cfg\.(max_epochs|max_iters|val_interval)", _whole(1)),
    (r"train_cfg\.dynamic_intervals", _whole(1, optional=True, listed=True)),
    (r"train_cfg\.val_begin", _whole(0)),
    (r"train_cfg\.by_epoch|(val|test)_cfg\.fp16", _YES_NO),
    (r"optim_wrapper(\.\w+)?\.accumulative_counts", _whole(1)),
    (r"optim_wrapper(\.\w+)?\.clip_grad\.(max_norm|clip_value)", Range(above=0)),
    (r"optim_wrapper(\.\w+)?\.clip_grad\.norm_type", Range(above=0, others=("inf", math.inf))),
    (r"optim_wrapper(\.\w+)?\.clip_grad\.error_if_nonfinite", _YES_NO),
    (_OPTIMIZER + "lr", Range(least=0)),
    (_OPTIMIZER + "(momentum|alpha|betas)", _SHARE),
    (_OPTIMIZER + "(weight_decay|eps|dampening)", Range(least=0, listed=True)),
    (_OPTIMIZER + "(nesterov|amsgrad|maximize|centered)", _YES_NO),
    (_OPTIMIZER + "(foreach|fused|capturable|differentiable)", _YES_NO_DEFAULT),
    (r"optim_wrapper(\.\w+)?\.paramwise_cfg\.head_lr_mult", Range(above=0)),
    (r"optim_wrapper(\.\w+)?\.paramwise_cfg\..*\w+_mult|optim_wrapper\.paramwise_cfg\.\w+_mult", Range(least=0)),
    (r"optim_wrapper(\.\w+)?\.paramwise_cfg\.layer_decay", Range(above=0, most=1)),
    (r"optim_wrapper(\.\w+)?\.paramwise_cfg\.(bypass_duplicate|decay_all)", _YES_NO),
    (_SCHEDULER + "(begin|warmup)", _whole(0)),
    (_SCHEDULER + "(end|T_max|step_size|total_steps)", _whole(1, optional=True)),
    (_SCHEDULER + "milestones", _whole(0, listed=True)),
    (_SCHEDULER + "(gamma|factor|power|every)", Range(above=0)),
    (_SCHEDULER + "start_factor", Range(above=0, most=1)),
    (_SCHEDULER + "end_factor", Range(least=0, most=1)),
    (_SCHEDULER + "(eta_min|eta_min_ratio|warmup_start)", Range(least=0, optional=True)),
    (_SCHEDULER + "last_step", _whole(-1)),
    (_SCHEDULER + "(by_epoch|convert_to_iter_based|verbose)", _YES_NO),
    (r"auto_scale_lr\.enable", _YES_NO),
    (r"auto_scale_lr\.base_batch_size", _whole(1)),
    (r"default_hooks\.logger\.interval", _whole(1)),
    (r"default_hooks\.checkpoint\.save_begin", _whole(0)),
    (_HOOK + "(interval|max_keep_ckpts)", _NEVER_OR_EVERY),
    (_HOOK + "(by_epoch|save_last|save_optimizer|save_param_scheduler|log_metric_by_epoch|update_buffers)", _YES_NO),
    (r"(ema|custom_hooks)\.momentum", Range(above=0, below=1)),
    (r"(ema|custom_hooks)\.gamma", Range(above=0)),
    (r"(ema|custom_hooks)\.(begin_iter|begin_epoch)", _whole(0)),
    (r"ema\.interval", _whole(1)),
    (r"ema\.update_buffers", _YES_NO),
    (r"(early_stopping|custom_hooks)\.patience", _whole(1)),
    (r"(early_stopping|custom_hooks)\.min_delta", Range(least=0)),
    (r"(early_stopping|custom_hooks)\.(strict|check_finite|required)", _YES_NO),
    (r"log_processor\.window_size", _whole(1)),
    (r"randomness\.seed", _whole(0, most=2**32 - 1, optional=True)),
    (r"randomness\.(deterministic|diff_rank_seed)", _YES_NO),
    (r"env_cfg\.cudnn_benchmark", _YES_NO),
    (r"env_cfg\.mp_cfg\.opencv_num_threads", _whole(0, optional=True)),
    (r"env_cfg\.mp_cfg\.mp_start_method", Range(words=("spawn", "fork", "forkserver"), optional=True)),
    (r"env_cfg\.dist_cfg\.timeout", Range(above=0)),
    (r"model\..*frozen_stages", _whole(-1)),
    (r"(model|tta_model)\.(.*\.)?init_cfg", Range(mapping=True, optional=True, listed=True)),
)


@cache
def range_at(at: str) -> Range | None:
    """Return the allowed values at a position; None if no range is declared.

    Example:
        >>> 0 in range_at("train_dataloader.batch_size")
        False
        >>> print(range_at("optim_wrapper.optimizer.lr"))
        a number of at least 0
    """
    return next((allowed for pattern, allowed in RANGES if re.fullmatch(pattern, at)), None)


def range_problem(path: str, value: Any) -> str:
    """Return the problem of a value at a dotted path, or an empty string.

    Example:
        >>> range_problem("train_cfg.max_epochs", 0)
        'expected a whole number of at least 1, found 0'
    """
    allowed = range_at(position(path))
    if allowed is None or value in allowed:
        return ""
    return f"expected {allowed}, found {shown(value)}"


def require_in_range(option: str, value: Any, path: str) -> None:
    """Raise an error if the value of a command line option is outside the range of the setting that it replaces.

    Args:
        option: ``--seed``.
        value: its value.
        path: dotted path of the setting, ``randomness.seed``.

    Raises:
        ConfigError: the value is not allowed.
    """
    allowed = range_at(path)
    if allowed is not None and value not in allowed:
        raise ConfigError(option, expected=f"{allowed}", found=shown(value), advice="use such a number")
