"""The form that is exported returns the results of the model: boxes, counts, maps and lanes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from visionzoo.cards.seeding import fill_weights, settle_norms
from visionzoo.config import load_config
from visionzoo.export.parity import eager_outputs
from visionzoo.export.writing import metadata_of, ready
from visionzoo.graphs.form import NotExportable
from visionzoo.inference import exported
from visionzoo.inference.torch_backend import torch_backend
from visionzoo.layers.density import pixels_inside, pixels_of_cells
from visionzoo.structures.graph_results import Frame
from visionzoo.structures.task_sample import TaskSample
from visionzoo.tasks import task_of
from visionzoo.tasks.inputs.base import Source

FAST = ["fpn_retinanet", "cells_rcnet_lite", "cells_density_lite", "membrane_connnet_lite", "scnn_resnet18_culane"]
FAST += ["dinat_upernet_ade20k"]
SLOW = ["rcnet_gfl", "rcnet_faster_rcnn", "hmode_shanghaitech_a", "dinat_mini_imagenet", "connnet_binary_r50"]
SLOW += ["rcnet_mask_rcnn", "connnet_mask_rcnn", "nasnet_rcnet_retinanet"]


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_form_returns_the_results_of_the_model(name):
    backend, task = seeded_backend(name)
    made = ready(backend)
    images = [image_of((75, 91), 0), image_of((65, 87), 1)]
    if made.form.divisor == 1:
        images[1] = image_of((75, 91), 1)

    items = [backend.prepare(Source(f"{index}", image, None)) for index, image in enumerate(images)]
    samples = backend.run({key: [item.sample[key] for item in items] for key in ("inputs", "data_samples")})
    expected = [task.read(found[backend.task], item.size, None) for found, item in zip(samples, items, strict=True)]

    run = partial(eager_outputs, made.form)
    metadata = metadata_of(made)
    prepare = exported.ExportedPreparation(made.steps, task.inputs)
    items = [prepare(Source(f"{index}", image, None)) for index, image in enumerate(images)]
    data = {key: [item.sample[key] for item in items] for key in ("inputs", "data_samples")}
    metadata["inputs"] = [{**each, "shape": ["batch", 3, "height", "width"]} for each in metadata["inputs"]]
    found = [task.read(sample, item.size, None)
             for sample, item in zip(exported._run(task, metadata, run, data), items, strict=True)]  # fmt: skip

    for first, second in zip(expected, found, strict=True):
        numbers = flat(vars(first))
        assert len(numbers) > 3
        assert np.allclose(numbers, flat(vars(second)), atol=2e-4, rtol=1e-5)


def seeded_backend(name: str) -> tuple[Any, Any]:
    cfg = load_config(name).cfg
    task = task_of(cfg.task)
    options = task.options(cfg.model)
    backend = torch_backend(
        name, "none", device="cpu", trust_pickle=False, tiny=True, options=options,
        allow_new=True, exact=True,
    )  # fmt: skip
    fill_weights(backend.model, 0)
    settle_norms(backend.model, torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)))
    return backend, task


def image_of(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (*shape, 3), np.uint8)


def flat(value: Any) -> np.ndarray:
    """Return all numbers of nested values."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        parts = [flat(each) for each in value]
        return np.concatenate([np.zeros(0), *parts])
    if value is None or isinstance(value, str):
        return np.zeros(0)
    return np.asarray(value, dtype=float).ravel()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("wico_dinat_refcoco", "proposals are results of another model"), ("direct_registration", "an optimisation")],
)
def test_what_cannot_be_exported_says_why(name, reason):
    with pytest.raises(NotExportable, match=reason):
        ready(backend_of(name))


@pytest.mark.parametrize(("name", "multiple"), [("rcnet_lite", 32), ("hmode_ucf_cc_50", 16)])
def test_sides_of_any_size_are_multiples_of_padding_and_pipeline(name, multiple):
    made = ready(backend_of(name))
    assert not made.shape.is_fixed
    assert made.form.inputs()[0].multiples == {"height": multiple, "width": multiple}


def backend_of(name: str) -> Any:
    return torch_backend(name, "none", device="cpu", trust_pickle=False, tiny=True, options=())


@pytest.mark.parametrize("grid", [(4, 5), (3, 7), (9, 11)])
def test_pixels_of_cells_are_those_of_the_heads(grid):
    size, inside = (33, 45), [(33, 45), (17, 40), (1, 2)]
    samples = [TaskSample(metainfo=dict(img_shape=each)) for each in inside]
    expected = pixels_of_cells(grid, size, samples)
    assert torch.equal(pixels_inside(grid, size, torch.tensor(inside)), expected)
    for each, cells in zip(inside, expected, strict=True):
        rows, columns = Frame(size, each, each).last_cells(grid)
        assert int((cells.sum(1) > 0).sum()) == rows
        assert int((cells.sum(0) > 0).sum()) == columns
