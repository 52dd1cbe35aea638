"""Exported models of groups of images and of pairs of volumes equal the models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_export_infer import compare

from visionzoo.cards.seeding import fill_weights
from visionzoo.cli import main
from visionzoo.errors import ConfigError, InputError
from visionzoo.export.exporting import chosen_shape
from visionzoo.graphs.form import NotExportable
from visionzoo.graphs.images import image_form
from visionzoo.graphs.registration_pairs import PairForm, pair_form
from visionzoo.inference.exported_pairs import run_pairs
from visionzoo.structures.batch import Batch
from visionzoo.structures.graph_results import resized_by_corners
from visionzoo.structures.task_sample import TaskSample
from visionzoo.zoo import get_model


def seeded(name: str) -> torch.nn.Module:
    model = get_model(name, tiny=True).eval()
    fill_weights(model, 0)
    return model


def test_the_graph_of_a_group_equals_the_head():
    model = seeded("gconet_plus_resnet50")
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (found,) = image_form(model).outputs(model.graph_batch(images), torch.tensor([[64, 64]] * 3))
        samples = [TaskSample(metainfo=dict(group_size=3))]
        expected = model.head(model.extract_feat(images), Batch(images, samples))
    assert torch.allclose(found, expected, atol=1e-4)


def test_aligned_corners_are_those_of_torch():
    maps = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
    for size in ((9, 4), (5, 7), (1, 20)):
        expected = torch.nn.functional.interpolate(maps[None], size, mode="bilinear", align_corners=True)[0]
        assert np.allclose(resized_by_corners(maps.numpy(), size), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["voxelmorph_2d", "micdir_ixi", "icnet_ixi"])
def test_the_form_of_a_pair_equals_the_model(name):
    model = seeded(name)
    form = pair_form(model).eval()
    pair = form.seeded((16,) * form.axes)
    with torch.no_grad():
        field, inverse, warped = form(*(torch.from_numpy(value) for value in pair.values()))
        images = torch.from_numpy(np.concatenate(list(pair.values())))
        (expected,) = model(images, [TaskSample(metainfo=dict(group_size=2))], "predict")
    assert float(field.abs().max()) > 0.01
    assert torch.allclose(field[0], expected.pred_field, atol=1e-5)
    assert torch.allclose(inverse[0], expected.pred_inverse_field, atol=1e-5)
    assert torch.allclose(warped[0], expected.pred_warped, atol=1e-5)


def test_a_pair_needs_a_size_that_fits():
    form = PairForm(get_model("voxelmorph_2d", tiny=True))
    for size in (None, (16, 16, 16), (18, 16), (0, 16)):
        with pytest.raises(ConfigError, match=r"2 sides, multiples of 4.*--size 32 32"):
            form.required_size(size)
    assert form.required_size([16, 32]) == (16, 32)


def test_an_optimisation_of_each_pair_has_a_reason():
    with pytest.raises(NotExportable, match=r"DirectRegistrationHead.*by an optimisation"):
        pair_form(get_model("direct_affine", tiny=True))
    model: Any = get_model("voxelmorph_2d", tiny=True)
    model.head.instance_steps = 2
    with pytest.raises(NotExportable, match="instance_steps"):
        pair_form(model)


def test_a_pair_of_another_size_is_an_error():
    metadata = {"inputs": [{"shape": [1, 1, 8, 8]}], "preprocessing": {"pad_value": 0.0, "pad_divisor": 4}}
    data = {"inputs": [torch.zeros(2, 1, 9, 8)], "data_samples": [TaskSample()]}
    with pytest.raises(InputError, match=r"padded to 8x8 voxels.*found 9x8; export the model with --size 12 8"):
        run_pairs(dict, metadata, data)


@pytest.mark.slow
def test_maps_of_a_group_equal_those_of_the_model(tmp_path):
    pytest.importorskip("onnxruntime")
    name, place = "gconet_plus_resnet50", tmp_path / "images" / "cats"
    place.mkdir(parents=True)
    random = np.random.RandomState(0)
    for index, shape in enumerate([(51, 74), (90, 63), (40, 40)]):
        coarse = Image.fromarray(random.randint(0, 256, (9, 9, 3), np.uint8))
        coarse.resize(shape[::-1], Image.Resampling.BILINEAR).save(place / f"{index}.png")
    run_both(name, [str(place.parent)], [], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "axes"), [("voxelmorph_2d", 2), ("micdir_ixi", 3)])
def test_fields_equal_those_of_the_model(name, axes, tmp_path):
    pytest.importorskip("onnxruntime")
    for index, side in enumerate(("fixed", "moving")):
        coarse = np.random.RandomState(index).rand(*[4] * axes)
        np.savez(tmp_path / f"{side}.npz", vol=np.kron(coarse, np.ones([4] * axes)).astype(np.float32))
    pair = ["--fixed", str(tmp_path / "fixed.npz"), "--moving", str(tmp_path / "moving.npz")]
    run_both(name, pair, ["--size", *["16"] * axes], tmp_path)


def run_both(name: str, inputs: list[str], options: list[str], folder: Path) -> None:
    """Require that a file of a model gives the results of the model."""
    weights, file = folder / "weights.pth", folder / "model.onnx"
    torch.save({"state_dict": seeded(name).state_dict()}, weights)
    model = [name, "--tiny", "--weights", str(weights)]
    assert main(["export", *model, *options, "-o", str(file), "-q"]) == 0
    for source, out in ([str(file)], "file"), (model, "model"):
        assert main(["infer", source[0], *inputs, *source[1:], "-o", str(folder / out), "-q"]) == 0
    compare(folder / "file", folder / "model", 1e-4)


def test_images_have_two_sides():
    with pytest.raises(ConfigError, match="two positive numbers, found 32 32 32"):
        chosen_shape(Any, (64, 64), False, (32, 32, 32))
