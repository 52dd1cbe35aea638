"""Drawn values of every setting of ten configs: the check lists problems, one line each, or the config can be run.

``VISIONZOO_FUZZ=1000`` sets the number of draws per config; ``VISIONZOO_FUZZ_RUNS=20`` the number of runs. Without
``VISIONZOO_FUZZ``, the draws are the same in every run.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from visionzoo.config import LoadedConfig, check_config, load_config
from visionzoo.config.tree import join, plain, with_value
from visionzoo.engine.training import train
from visionzoo.errors import ZooError

CONFIGS = (
    "rcnet_retinanet",
    "connnet_mask_rcnn",
    "dinat_mini_imagenet",
    "nasnet_cifar10",
    "scnn_tusimple",
    "scnn_resnet18_culane",
    "hmode_shanghaitech_a",
    "density_rcnet_r50",
    "connnet_r50",
    "gconet_plus_vgg16bn",
)
DRAWS, RUNS = int(os.environ.get("VISIONZOO_FUZZ", 10)), int(os.environ.get("VISIONZOO_FUZZ_RUNS", 2))
DRAWN = dict(
    deadline=None,
    database=None,
    derandomize="VISIONZOO_FUZZ" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
VALUES: tuple[Any, ...] = (
    *(0, -1, 1, 2, 3, 7, 10**9, 0.5, 1.5, -0.5, 1e-30, 1e300, math.nan, math.inf, -math.inf, True, False, None),
    *("", "two", "0", [], [0], [1, 2], [0.5] * 3, [[1]], ["a", None], (0, -1), {}, {"a": 1}),
)


@cache
def loaded(name: str) -> LoadedConfig:
    return load_config(name, tiny=True)


@cache
def tree_of(name: str) -> dict[str, Any]:
    return loaded(name).cfg.to_dict()


def setting_paths(node: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of all values except dicts; both lists and their items."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from setting_paths(value, join(path, key))
        return
    if path.split(".")[-1] not in ("type", "work_dir", "default_scope"):
        yield path
    for index, value in enumerate(node if isinstance(node, (list, tuple)) else ()):
        yield from setting_paths(value, join(path, index))


@cache
def paths_of(name: str) -> list[str]:
    return list(setting_paths(tree_of(name)))


def changed(name: str, path: str, value: Any) -> dict[str, Any]:
    return with_value(tree_of(name), tuple(path.split(".")), plain(value))


def is_small(value: Any) -> bool:
    """Return True for values that cannot make a run large."""
    return not isinstance(value, (int, float)) or not math.isfinite(value) or abs(value) < 1000


@pytest.mark.parametrize("name", CONFIGS)
def test_drawn_settings_give_lines(name):
    @settings(max_examples=DRAWS, **DRAWN)
    @given(st.sampled_from(paths_of(name)), st.sampled_from(VALUES))
    def check(path: str, value: Any) -> None:
        lines = check_config(changed(name, path, value))
        assert all("\n" not in line and line.startswith("config: ") for line in lines), lines

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_accepted_settings_run_or_give_one_sentence(name):
    @settings(max_examples=RUNS, **DRAWN)
    @given(st.sampled_from(paths_of(name)), st.sampled_from([value for value in VALUES if is_small(value)]))
    def run(path: str, value: Any) -> None:
        require_run_or_sentence(name, path, value)

    run()


def require_run_or_sentence(name: str, path: str, value: Any) -> str:
    """Make a dry run; return ``refused``, ``failed`` or ``ran``. A loss that is not finite is an error."""
    config = dataclasses.replace(loaded(name), cfg=Config(changed(name, path, value)))
    if check_config(config):
        return "refused"
    try:
        outcome = train(config, dry_run=True, quiet=True, device="cpu")
    except ZooError:
        return "failed"
    assert all(math.isfinite(loss) for loss in outcome["losses"].values()), outcome["losses"]
    return "ran"
