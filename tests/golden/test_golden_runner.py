"""The runner itself: invalid cases fail, and new cases run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_cases import BadCase, allowed, difference, failures, find_cases, inputs_of, load_port, read_case, strided
from weights import golden_input, golden_tensor, reference_state

from visionzoo.errors import CheckpointError
from visionzoo.necks.rcnet import RCNet

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHIFT = HERE / "rcnet" / "csn_shift"
NECK = HERE / "rcnet" / "neck_bn_plainconv_c64_128x160"


def copy_case(case: Path, folder: Path, name: str | None = None, **changes: Any) -> Path:
    """Copy a case to ``folder``, with changes to its JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    copied = folder / (name or case.name)
    described = json.loads(case.with_suffix(".json").read_text()) | changes
    copied.with_suffix(".json").write_text(json.dumps(described))
    shutil.copy(case.with_suffix(".npz"), copied.with_suffix(".npz"))
    return copied


def change_arrays(case: Path, **arrays: np.ndarray) -> None:
    """Store different arrays under these names."""
    with np.load(case.with_suffix(".npz")) as stored:
        np.savez(case.with_suffix(".npz"), **(dict(stored.items()) | arrays))


def run_pytest(*arguments: str | Path) -> tuple[int, str]:
    """Run the golden tests in their own process, and return exit code and output."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


# --------------------------------------------------------------------------- what must fail


def test_a_changed_value_fails(tmp_path: Path) -> None:
    case = copy_case(SHIFT, tmp_path / "rcnet")
    shifted = np.load(case.with_suffix(".npz"))["shifted"]
    shifted[4, 1, 39, 2, 3] += 1e-3
    change_arrays(case, shifted=shifted)
    assert len(failures(case)) == 1
    assert "shifted: 1 of" in failures(case)[0]


def test_an_unknown_family_fails(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="expected neck_"):
        failures(copy_case(SHIFT, tmp_path / "rcnet", "whole_detector"))


def test_an_unknown_system_fails(tmp_path: Path) -> None:
    with pytest.raises(BadCase, match="expected a system that has a port"):
        failures(copy_case(SHIFT, tmp_path / "nothing_like_it"))


def test_an_output_that_the_port_does_not_return_fails(tmp_path: Path) -> None:
    case = copy_case(SHIFT, tmp_path / "rcnet", outputs=[])
    change_arrays(case, unheard=np.zeros(2))
    assert failures(case) == ["unheard: the port gave no such output"]


def test_a_weight_too_many_fails(tmp_path: Path) -> None:
    state = json.loads(NECK.with_suffix(".json").read_text())["state"]
    with pytest.raises(CheckpointError):
        failures(copy_case(NECK, tmp_path / "rcnet", state=[*state, ["head.weight", [1], "float32"]]))
    with pytest.raises(RuntimeError, match=r"Missing key.*RevFP\.p3\.temp"):
        failures(copy_case(NECK, tmp_path / "rcnet", state=[entry for entry in state if entry[0] != "RevFP.p3.temp"]))


@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_half_a_case_fails(tmp_path: Path, ending: str) -> None:
    case = copy_case(SHIFT, tmp_path / "rcnet")
    case.with_suffix(ending).unlink()
    assert find_cases(tmp_path) == [case]
    with pytest.raises(BadCase, match="readable"):
        failures(case)


@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_an_unreadable_case_fails(tmp_path: Path, ending: str) -> None:
    case = copy_case(SHIFT, tmp_path / "rcnet")
    whole = case.with_suffix(ending).read_bytes()
    case.with_suffix(ending).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadCase, match="readable"):
        failures(case)


def test_listed_outputs_that_are_not_stored_fail(tmp_path: Path) -> None:
    case = copy_case(SHIFT, tmp_path / "rcnet", outputs=[{"name": "shifted", "shape": [5, 2, 40, 3, 4]}, {"name": "b"}])
    with pytest.raises(BadCase, match=r"no b$"):
        read_case(case)
    with pytest.raises(BadCase, match="of shape"):
        read_case(copy_case(SHIFT, tmp_path / "rcnet", outputs=[{"name": "shifted", "shape": [1]}]))


def test_a_run_fails_when_one_case_does_and_never_skips(tmp_path: Path) -> None:
    copy_case(SHIFT, tmp_path / "rcnet")
    copy_case(SHIFT, tmp_path / "rcnet", "unheard_family")
    copy_case(SHIFT, tmp_path / "unheard_system")
    (tmp_path / "empty_system").mkdir()
    code, output = run_pytest("tests/golden/test_golden.py", "--golden", tmp_path)
    assert code == 1
    assert "3 failed, 1 passed" in output
    assert "rcnet/unheard_family" in output


def test_a_place_without_cases_fails(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, output = run_pytest(
        "tests/golden/test_golden.py", "--golden", tmp_path / "empty", "--golden", tmp_path / "absent"
    )
    assert code == 1
    assert "2 failed" in output


def test_the_option_is_known_without_naming_the_folder() -> None:
    code, output = run_pytest("--golden", HERE / "rcnet", "--help")
    assert code == 0
    assert "--golden=DIR" in output


# --------------------------------------------------------------------------- what must run


def test_one_folder_of_a_system_and_a_folder_of_systems(tmp_path: Path) -> None:
    assert NECK in find_cases(HERE / "rcnet")
    assert {case.parent.name for case in find_cases(HERE)} >= {"rcnet", "mmcv_ops"}
    assert find_cases(tmp_path / "absent") == [tmp_path / "absent"]


@pytest.mark.parametrize(
    ("seed", "options", "sizes"),
    [
        (3, {"norm_cfg": None, "out_conv_cfg": {"type": "DCNv2", "deform_groups": 1}}, [(9, 11), (5, 6), (3, 3)]),
        (8, {"norm_cfg": {"type": "GN", "num_groups": 8}, "end_level": -1}, [(12, 20), (6, 10), (3, 5)]),
    ],
)
def test_an_unseen_case_runs(tmp_path: Path, seed: int, options: dict, sizes: list[tuple[int, int]]) -> None:
    """Another seed, other widths, sizes and options, made with our own neck: the runner must follow the description."""
    constructor = {"in_channels": [8, 12, 24], "out_channels": 32, "num_outs": 5} | options
    neck = RCNet(**constructor).eval()
    case: dict[str, Any] = {"seed": seed, "mode": "eval", "constructor": constructor, "tolerance": 1e-5}
    case["state"] = [
        [name, list(x.shape), str(x.dtype).removeprefix("torch.")] for name, x in neck.state_dict().items()
    ]
    shapes = [[2, c, *size] for c, size in zip(constructor["in_channels"], sizes)]
    case["inputs"] = [{"name": f"f{i}", "shape": s, "kind": "normal", "scale": 0.5} for i, s in enumerate(shapes)]
    case["scale"] = {"CSN.": 0.5}
    neck.load_state_dict(reference_state(case))
    with torch.no_grad():
        outs = neck([torch.from_numpy(x) for x in inputs_of(case, {}).values()])
    case["outputs"] = [{"name": f"p{i}", "shape": list(x.shape)} for i, x in enumerate(outs, start=3)]
    path = tmp_path / "rcnet" / "neck_unseen"
    path.parent.mkdir()
    path.with_suffix(".json").write_text(json.dumps(case))
    np.savez(path.with_suffix(".npz"), **{f"p{i}": x.numpy() for i, x in enumerate(outs, start=3)})
    assert not failures(path)
    path.with_suffix(".json").write_text(json.dumps(case | {"seed": seed + 1}))
    assert len(failures(path)) == 5


# --------------------------------------------------------------------------- rules


def test_drawn_values_are_frozen() -> None:
    """Numbers of the published recipe; a change of one of them would break every golden case."""
    close = partial(np.testing.assert_allclose, rtol=1e-6)
    close(golden_input("image", (3,), "uniform", 0), [0.4678071, 0.4620437, 0.929371])
    close(golden_input("image", (3,), "normal", 5), [-0.06525855, 0.7599052, 0.56435597])
    close(golden_tensor("a.weight", (2, 2), seed=1), [[-0.36147365, 0.78708243], [0.3282786, -0.87809485]])
    close(golden_tensor("bn.running_var", (2,), seed=1), [1.1428095, 1.4702775])
    close(golden_tensor("bn.weight", (2,), seed=1), [0.9783653, 1.0529747])
    close(golden_tensor("a.bias", (2,), seed=1), [-0.11475281, 0.06892968])
    assert not golden_tensor("bn.num_batches_tracked", (), "int64").any()


def test_scales_apply_to_what_they_name() -> None:
    state = [["a.weight", [2, 2], "float32"], ["a.bias", [2], "float32"], ["b.weight", [2, 2], "float32"]]
    plain = reference_state({"seed": 0, "state": state})
    named = reference_state({"seed": 0, "state": state, "scale": {"a.": 0.5}})
    deep = reference_state({"seed": 0, "state": state, "scale": {"applies_to": "two dimensions", "factor": 0.5}})
    assert [float((named[n] / plain[n]).mean()) for n in plain] == [0.5, 0.5, 1]
    assert [float((deep[n] / plain[n]).mean()) for n in plain] == [0.5, 1, 0.5]


def test_tolerances() -> None:
    port, reference = load_port("mmcv_ops"), np.array([1.0, -200.0])
    rule = "max|a-b| <= tolerance * max(1, max|reference|)"
    assert allowed(port, {"tolerance": 0.01}, "x", reference) == 0.01
    assert allowed(port, {"tolerance": 0.01, "tolerance_rule": rule}, "x", reference) == 2.0
    assert allowed(port, {"tolerance": 0.01, "tolerance_x": 0.5}, "x", reference) == 0.5
    assert allowed(port, {"tolerance": 0.01, "tolerance_x_relative": 0.5}, "x", reference) == 100
    assert allowed(port, {"relative_tolerance": 0.001}, "x", reference) == pytest.approx(0.2)
    with pytest.raises(BadCase, match="tolerance_rule"):
        allowed(port, {"tolerance": 0.01, "tolerance_rule": "as it seems fit"}, "x", reference)


def test_differences() -> None:
    reference = np.array([1.0, np.nan, np.inf])
    assert difference("x", reference.copy(), reference, {}, 0.0) is None
    assert difference("x", np.array([1.0, 2.0, np.inf]), reference, {}, 10.0)
    assert difference("x", np.array([1.0, np.nan, -np.inf]), reference, {}, 10.0)
    assert "shape" in str(difference("x", np.zeros((1, 3)), reference, {}, 10.0))
    wide = np.arange(12.0).reshape(2, 6)
    assert difference("x", wide, wide[:, ::3], {"strided_outputs": {"x": "[:, ::3]"}}, 0.0) is None


def test_strides() -> None:
    array = np.arange(60).reshape(3, 4, 5)
    assert np.array_equal(strided(array, "[:, ::2, 1:]"), array[:, ::2, 1:])
    assert np.array_equal(strided(array, "[..., ::2]"), array[..., ::2])
    with pytest.raises(BadCase, match="expected slices"):
        strided(array, "[exit()]")


def test_nasnet_returns_cells_in_training_as_well():
    """A training case may request maps of cells; before any weight changes they equal those of eval mode."""
    path = HERE / "nasnet" / "cifar_32_train_step0"
    case, stored = read_case(path)
    maps = {"Cell_1": [4, 24, 32, 32], "Reduction_Cell_0": [4, 64, 16, 16]}
    case["outputs"] = [*case["outputs"], *({"name": name, "shape": shape} for name, shape in maps.items())]
    arrays = load_port("nasnet").run({**case, "name": path.name}, inputs_of(case, stored))
    assert set(arrays) == {entry["name"] for entry in case["outputs"]}
    for name, shape in maps.items():
        assert arrays[name].shape[0] == shape[0]
        assert arrays[name].shape[2:] == tuple(shape[2:])
        assert np.isfinite(arrays[name]).all()
        assert arrays[name].std() > 0
