"""Parameters of MICDIR, VoxelMorph and ICNet, and the conversion of their released formats."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import pytest
import torch
from pairs_for_heads import model_of

from visionzoo.cli.convert import main
from visionzoo.converters import CONVERTERS
from visionzoo.errors import CheckpointError
from visionzoo.weights.array_files import read_array_file
from visionzoo.weights.loading import load_weights

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


def converted(source, system):
    """Return the file that the command writes, beside the given one."""
    out = source.with_name(f"{source.name}.safetensors")
    assert main(["checkpoint", str(source), str(out), "--from", system, "-q"]) == 0
    return out


@pytest.mark.parametrize("absent", [(4,), (4, 5, 6)], ids=str)
def test_a_file_of_micdir_may_lack_the_half_scale(absent, tmp_path):
    names = tuple(f"conv_decoder{layer}_training" for layer in absent)
    entries = nested(released("micdir"))
    torch.save({name: value for name, value in entries.items() if name not in names}, tmp_path / "a.pth")
    with pytest.warns(UserWarning, match=f"the file has no {', '.join(names)}; the velocity of the half scale"):
        out = converted(tmp_path / "a.pth", "micdir")
    first, second = model("micdir"), model("micdir")
    for each in (first, second):
        load_weights(each, out)
    layers = first.head.half_velocity.state_dict()
    assert all(value.std() > 0.01 for value in layers.values())
    assert all(torch.equal(value, second.head.half_velocity.state_dict()[name]) for name, value in layers.items())


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
    network = model(system)
    load_weights(network, converted(tmp_path / "a.pth", system))
    assert all(torch.equal(value, ours[name]) for name, value in network.state_dict().items())
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
    expected = CONVERTERS.get("voxelmorph").convert("model", state, {})
    network = model("voxelmorph", dims=2 if "2d" in case else 3)
    load_weights(network, converted(tmp_path / "a.h5", "voxelmorph"))
    ours = network.state_dict()
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], value) for name, value in expected.items())


@pytest.fixture
def refused(tmp_path, capsys):
    """Return a function that converts a file of VoxelMorph, which must fail, and returns the only line of the error."""

    def convert(path):
        out = tmp_path / "out.safetensors"
        assert main(["checkpoint", str(path), str(out), "--from", "voxelmorph"]) == 2
        assert not out.exists()
        line, *others = capsys.readouterr().err.splitlines()
        assert not others
        return line

    return convert


def test_keras_files_that_are_refused(refused, tmp_path):
    write_keras(tmp_path / "a.h5", released("voxelmorph"), "model_weights/")
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "half.h5").write_bytes(content[: len(content) // 2])
    assert re.search(r"half\.h5: expected a whole HDF5 file, but .*truncated.*; copy or", refused(tmp_path / "half.h5"))
    (tmp_path / "text.h5").write_bytes(b"no HDF5")
    assert "text.h5: expected a checkpoint" in refused(tmp_path / "text.h5")
    h5py.File(tmp_path / "empty.h5", "w").close()
    assert "empty.h5: expected arrays of numbers, found none" in refused(tmp_path / "empty.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["model_weights/dense_1/dense_1/kernel:0"] = [[1.0]]
    assert "expected VxmDense of Keras (unet_enc_conv_0_0/kernel, flow/kernel), found model_weights/dense_1" in refused(
        tmp_path / "other.h5"
    )
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("flow/kernel:0", (10**6, 10**6), dtype="f4", chunks=(1000, 1000), compression="gzip")
    assert "bomb.h5: expected a whole HDF5 file, but flow/kernel:0 states 4,000,000,000,000 bytes" in refused(
        tmp_path / "bomb.h5"
    )


def test_groups_of_equal_layers_are_refused(tmp_path):
    write_keras(tmp_path / "a.h5", released("voxelmorph", "voxelmorph_2d"), "model_weights/")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.copy("model_weights", "copy")
    with pytest.raises(CheckpointError, match="expected one network, found layers of the same name"):
        CONVERTERS.get("voxelmorph").convert("model", read_array_file(tmp_path / "a.h5"), {})


def test_h5py_is_named_where_it_is_missing(refused, tmp_path, monkeypatch):
    write_keras(tmp_path / "a.h5", released("voxelmorph", "voxelmorph_2d"), "")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    assert refused(tmp_path / "a.h5").endswith('a.h5: needs h5py: pip install "visionzoo[medical]"')
