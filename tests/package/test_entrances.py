"""Startup is fast: help, lists and configs import no torch, and help imports no mmengine."""

import subprocess
import sys

import pytest

from visionzoo.cli import COMMANDS, main

PROBE = """
import sys
from visionzoo.cli import main
sys.argv[0] = "visionzoo"
code = main({argv!r})
heavy = [name for name in {heavy!r} if name in sys.modules]
print("heavy:", *heavy, file=sys.stderr)
raise SystemExit(code)
"""


def run_probe(argv, heavy):
    code = PROBE.format(argv=argv, heavy=heavy)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


HEAVY = ["torch", "mmcv", "mmdet", "timm", "cv2", "scipy.ndimage", "matplotlib", "transformers"]


@pytest.mark.parametrize(
    "argv", [["list"], ["config", "show", "rcnet_retinanet"], ["show", "rcnet_retinanet"]], ids=str
)
def test_listing_and_showing_import_no_torch(argv):
    done = run_probe(argv, HEAVY)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].strip() == "heavy:", done.stderr


def test_the_list_imports_neither_mmengine_nor_pydantic():
    """Both take longer than the reading of all cards."""
    done = run_probe(["list"], ["mmengine", "pydantic"])
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].strip() == "heavy:", done.stderr


@pytest.mark.parametrize("argv", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=str)
def test_help_imports_neither_torch_nor_mmengine(argv):
    done = run_probe(argv, [*HEAVY, "mmengine"])
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].strip() == "heavy:", done.stderr
    assert done.stdout.strip()


def test_importing_the_package_is_light():
    code = f"import sys, visionzoo; print([name for name in {[*HEAVY, 'mmengine']!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_commands_help_shows_two_examples(capsys):
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert shown.count(f"visionzoo {name} ") >= 2, name


def test_an_unknown_command_suggests_the_nearest(capsys):
    assert main(["trian"]) == 2
    assert "did you mean train?" in capsys.readouterr().err


def test_no_command_prints_the_usage_and_fails(capsys):
    assert main([]) == 2
    assert "usage: visionzoo COMMAND" in capsys.readouterr().out


# What libraries import at module level and an inference does not call.
NOT_CALLED = [
    *("matplotlib", "sklearn", "imgaug", "imagecorruptions", "numba", "skimage", "scipy", "shapely", "sympy"),
    *("huggingface_hub", "torch._dynamo", "torch.distributed.fsdp", "torchvision.models", "torchvision.datasets"),
]

FIRST_INFERENCE = """
import sys, warnings
warnings.simplefilter("default")
import numpy as np, visionzoo
for name, options in {models!r}:
    for prediction in visionzoo.Inferencer(name, device="cpu", **options)([np.zeros((48, 64, 3), np.uint8)]):
        print(name, prediction.task)
print("heavy:", *[name for name in {heavy!r} if name in sys.modules])
"""


def first_inference(models, heavy):
    code = FIRST_INFERENCE.format(models=models, heavy=heavy)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_first_inference_imports_no_library_that_it_does_not_call():
    """Half of the CPU time of a first inference was such imports."""
    tiny = dict(tiny=True, weights="none")
    names = ["nat_mini_imagenet", "cells_density_lite", "scnn_culane"]
    done = first_inference([(name, tiny) for name in names], [*NOT_CALLED, "mmdet", "mmseg", "timm", "transformers"])
    assert done.returncode == 0, done.stderr
    tasks = ["classification", "counting", "lanes"]
    assert done.stdout.splitlines()[-4:] == [*(f"{name} {task}" for name, task in zip(names, tasks)), "heavy:"]


def test_a_first_detection_imports_of_mmdet_only_mmdet():
    done = first_inference([("cells_rcnet_lite", {})], [*NOT_CALLED, "mmseg", "timm", "transformers"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["cells_rcnet_lite detection", "heavy:"]
    assert "num_anchors" not in done.stderr
