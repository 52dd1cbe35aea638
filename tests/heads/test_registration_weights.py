"""Parameters of MICDIR, VoxelMorph and ICNet, and the conversion of their released formats."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import pytest
import torch
from pairs_for_heads import model_of

from visionzoo.converters import CONVERTERS
from visionzoo.errors import CheckpointError
from visionzoo.heads.voxelmorph import read_keras

CASES = Path(__file__).parents[1] / "golden" / "micdir"
SYSTEMS = {"micdir": "mscgunet_32x32x48", "voxelmorph": "voxelmorph_3d", "icnet": "icnet"}
NAMES = {"micdir": "MICDIR", "voxelmorph": "VoxelMorph", "icnet": "ICNet"}


def model(system, **options):
    name = NAMES[system]
    return model_of({"type": f"{name}Encoder", **options}, {"type": f"{name}Head", **options})


def released(system, case=None):
    """Return a file of the authors, with random tensors."""
    torch.manual_seed(0)
    state = json.loads((CASES / f"{case or SYSTEMS[system]}.json").read_text())["state"]
    return {name: torch.rand(shape).to(getattr(torch, dtype)) for name, shape, dtype in state}


def nested(state):
    """Return the 15 entries of MICDIR's training script."""
    entries: dict = {}
    for name, value in state.items():
        entry, _, inner = name.partition(".")
        entries.setdefault(entry, {})[inner] = value
    return entries


@pytest.mark.parametrize(
    ("system", "count"), [("micdir", 421_373), ("voxelmorph", 327_331), ("icnet", 1_111_840)], ids=str
)
def test_parameters_are_those_of_the_authors(system, count):
    assert sum(value.numel() for value in model(system).parameters()) == count


def test_parameters_by_part():
    head = model("micdir").head
    parts = {"latent_graph": 8_082 + 560 + 171, "decoder": 35_424 + 3 * 55_296 + 41_472}
    parts |= {"full_velocity": 14_256 + 6_912 + 1_296, "half_velocity": 13_824 + 6_912 + 1_296}
    assert {name: sum(v.numel() for v in head.get_submodule(name).parameters()) for name in parts} == parts


@pytest.mark.parametrize("system", SYSTEMS)
def test_released_files_load_strictly(system, tmp_path):
    state = released(system)
    grids = {"spatial_transformer.grid" if system != "icnet" else "grid": torch.zeros(3)}
    file = {
        "micdir": nested(state | {f"warp.{name}": value for name, value in grids.items()}),
        "voxelmorph": {"config": {"inshape": [32, 32, 48], "bidir": False}, "model_state": state | grids},
        "icnet": {f"module.{name}": value for name, value in (state | grids).items()},
    }[system]
    torch.save(file, tmp_path / "a.pth")
    ours = CONVERTERS.get(system).convert("model", torch.load(tmp_path / "a.pth", weights_only=True), {})
    model(system).load_state_dict(ours)
    assert len({value.sum() for value in ours.values() if value.ndim > 1}) == sum(v.ndim > 1 for v in state.values())
    if system == "micdir":
        assert len(nested(state)) == 15
        assert ours.keys() == CONVERTERS.get(system).convert("model", state, {}).keys()


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("change", ["unknown", "missing", "other"])
def test_other_files_are_refused(system, change):
    state = released(system)
    if change == "unknown":
        state["stranger.weight"] = torch.zeros(1)
    elif change == "missing":
        state = dict(list(state.items())[1:])
    else:
        state = {"layer1.0.conv1.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="checkpoint: expected"):
        CONVERTERS.get(system).convert("model", state, {})


# --------------------------------------------------------------------------- Keras

LAYERS = {
    r"unet_model\.encoder\.(\d)\.(\d)\.main": "unet_enc_conv_{}_{}",
    r"unet_model\.decoder\.(\d)\.(\d)\.main": "unet_dec_conv_{}_{}",
    r"unet_model\.remaining\.(\d)\.main": "unet_dec_final_conv_{}",
    r"flow": "flow",
}


def keras_name(name, deepest):
    """Return layer and variable of Keras, which counts the decoder's levels from the finest one."""
    for pattern, layer in LAYERS.items():
        if match := re.fullmatch(rf"{pattern}\.(weight|bias)", name):
            *numbers, leaf = match.groups()
            if "dec_conv" in layer:
                numbers[0] = deepest - int(numbers[0])
            return f"vxm_dense_{layer.format(*numbers)}", "kernel:0" if leaf == "weight" else "bias:0"
    raise LookupError(name)


def write_keras(path, state, group):
    with h5py.File(path, "w") as file:
        for name, value in state.items():
            layer, variable = keras_name(name, deepest=3)
            axes = (*range(2, value.ndim), 1, 0) if value.ndim > 1 else (0,)
            file[f"{group}{layer}/{layer}/{variable}"] = value.permute(axes).numpy()
        file["optimizer_weights/Adam/iterations:0"] = 3


@pytest.mark.parametrize("group", ["model_weights/", ""], ids=["whole model", "weights"])
@pytest.mark.parametrize("case", ["voxelmorph_3d", "voxelmorph_2d"])
def test_keras_files_equal_the_torch_files(group, case, tmp_path):
    state = released("voxelmorph", case)
    write_keras(tmp_path / "a.h5", state, group)
    ours, expected = (
        CONVERTERS.get("voxelmorph").convert("model", each, {}) for each in (read_keras(tmp_path / "a.h5"), state)
    )
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], value) for name, value in expected.items())
    model("voxelmorph", dims=2 if "2d" in case else 3).load_state_dict(ours)


def test_bad_keras_files(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"no HDF5")
    with pytest.raises(CheckpointError, match=r"a\.h5: expected an HDF5 file of Keras"):
        read_keras(tmp_path / "a.h5")
    h5py.File(tmp_path / "b.h5", "w").close()
    with pytest.raises(CheckpointError, match=r"b\.h5: expected variables of Keras, found none"):
        read_keras(tmp_path / "b.h5")
    other = {"dense_1/kernel": torch.zeros(2, 2), "vxm_dense_flow/kernel": torch.zeros(3, 3, 16, 2)}
    with pytest.raises(CheckpointError, match="found dense_1/kernel"):
        CONVERTERS.get("voxelmorph").convert("model", other, {})
