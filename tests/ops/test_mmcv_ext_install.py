"""The finder: when it serves, when it does not, and its messages. Each case runs in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMPILED = "def nms(*args, **kwargs):\n    return 'compiled'\n"


def run(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    prefix = f"import sys; sys.path[:0] = {[str(folder) for folder in path]}\n"
    return subprocess.run([sys.executable, "-c", prefix + code], capture_output=True, text=True, timeout=120)


def output(code: str, *path: Path) -> list[str]:
    result = run(code, *path)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.fixture
def small_mmcv(tmp_path: Path) -> Path:
    """Write a package called mmcv without its extension, which imports fast."""
    package = tmp_path / "mmcv"
    package.mkdir()
    (package / "__init__.py").touch()
    return package


def test_importing_visionzoo_imports_neither_torch_nor_mmcv():
    assert output("import visionzoo; print('torch' in sys.modules, 'mmcv' in sys.modules)") == ["False", "False"]


def test_finder_is_last_and_appended_once():
    code = """
import visionzoo
before = list(sys.meta_path)
visionzoo.ops.mmcv_ext.install()
print(sys.meta_path == before, type(sys.meta_path[-1]).__name__)
"""
    assert output(code) == ["True", "TorchOpsFinder"]


def test_other_imports_are_unaffected():
    code = """
import visionzoo
for name in ("mmcv._extra", "mmcv.missing", "_ext"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        print(error.name)
"""
    assert output(code) == ["mmcv._extra", "mmcv.missing", "_ext"]


def test_serves_when_nothing_is_compiled():
    code = """
import visionzoo, mmcv._ext as ext, mmcv.ops
print(ext.__spec__.origin, ext.nms.__module__, mmcv.ops.get_compiling_cuda_version().replace(" ", "_"))
"""
    assert output(code) == ["visionzoo.ops.mmcv_ext", "visionzoo.ops.mmcv_ext.nms", "not_available"]


def test_without_visionzoo_there_is_no_extension():
    assert "No module named 'mmcv._ext'" in run("import mmcv.ops").stderr


def test_compiled_module_wins(small_mmcv: Path):
    (small_mmcv / "_ext.py").write_text(COMPILED)
    code = "import visionzoo, mmcv._ext as ext; print(ext.nms(), hasattr(ext, 'roi_align_forward'))"
    assert output(code, small_mmcv.parent) == ["compiled", "False"]


@pytest.mark.parametrize("where", ["create", "exec"])
def test_compiled_module_that_does_not_load_is_an_error(small_mmcv: Path, where: str):
    if where == "exec":
        (small_mmcv / "_ext.py").write_text("raise ImportError('undefined symbol: _ZN3c10')")
    else:
        from importlib.machinery import EXTENSION_SUFFIXES

        (small_mmcv / f"_ext{EXTENSION_SUFFIXES[0]}").write_bytes(b"no library")
    code = """
import visionzoo
from visionzoo.errors import ZooError
try:
    import mmcv._ext
except ImportError as error:
    print(isinstance(error, ZooError), "mmcv._ext" in sys.modules, error.__cause__ is not None)
    print(error)
"""
    result = run(code, small_mmcv.parent)
    assert result.returncode == 0, result.stderr
    flags, message = result.stdout.splitlines()
    assert flags == "True False True"
    assert "pip install" in message
    assert str(small_mmcv) in message


def test_module_compiled_for_another_python_is_an_error(small_mmcv: Path):
    (small_mmcv / "_ext.cpython-36m-x86_64-linux-gnu.so").touch()
    result = run("import visionzoo, mmcv._ext", small_mmcv.parent)
    assert "BrokenOps: mmcv._ext: expected a module compiled for this Python, found" in result.stderr
    assert "pip install" in result.stderr.splitlines()[-1]


def test_missing_op_raises_at_the_call_only():
    code = """
import visionzoo, mmcv.ops
from visionzoo.errors import MissingOp
knn = mmcv._ext.knn_forward
try:
    knn(1, k=2)
except MissingOp as error:
    print(error)
"""
    result = run(code)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1
    assert "knn_forward" in result.stdout
    assert "pip install" in result.stdout


def test_names_of_python_stay_unknown():
    assert output("import visionzoo, mmcv._ext as ext; print(hasattr(ext, '__path__'), hasattr(ext, 'knn'))") == [
        "False",
        "True",
    ]


def describe(tmp_path: Path, *path: Path) -> set[str]:
    code = "from visionzoo.ops.mmcv_ext import describe; print(*[':'.join(row) for row in describe()])"
    return set(output(code, *path))


def test_describe_without_compiled(tmp_path: Path):
    rows = describe(tmp_path)
    assert {"nms:torch", "knn_forward:missing"} < rows


def test_describe_with_compiled(small_mmcv: Path, tmp_path: Path):
    (small_mmcv / "_ext.py").write_text(COMPILED)
    rows = describe(tmp_path, small_mmcv.parent)
    assert {"nms:compiled", "knn_forward:missing", "roi_align_forward:missing"} < rows


def test_describe_with_broken(small_mmcv: Path, tmp_path: Path):
    (small_mmcv / "_ext.py").write_text("raise ImportError('undefined symbol')")
    assert {row.split(":")[1] for row in describe(tmp_path, small_mmcv.parent)} == {"broken"}


SPAWNED_DATASET = """
import visionzoo
from torch.utils.data import DataLoader
{imports}

if __name__ == "__main__":
    loader = DataLoader({dataset}, batch_size=2, num_workers=1, multiprocessing_context="spawn")
    print([batch.tolist() for batch in loader])
"""

KEEPS_ONE_BOX = """
import torch
from mmcv.ops import nms

class Boxes:
    def __len__(self):
        return 2

    def __getitem__(self, index):
        boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 8.0, 7.0]])
        return nms(boxes, torch.tensor([0.5, 0.9]), 0.5)[1]

    def __repr__(self):
        return str(self[0].tolist())
"""


@pytest.mark.slow
def test_spawned_worker_of_a_script(tmp_path: Path):
    """The child imports the script again, and therefore visionzoo."""
    (tmp_path / "boxes.py").write_text(KEEPS_ONE_BOX)
    script = tmp_path / "script.py"
    script.write_text(SPAWNED_DATASET.format(imports="from boxes import Boxes", dataset="Boxes()"))
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert result.stdout == "[[[1], [1]]]\n", result.stderr


def test_spawned_worker_that_only_unpickles_our_objects(tmp_path: Path):
    """The child imports visionzoo only by unpickling, where our class comes before its content."""
    (tmp_path / "boxes.py").write_text(KEEPS_ONE_BOX)
    code = """
import multiprocessing, visionzoo
from boxes import Boxes
from visionzoo.errors import ZooError
worker = multiprocessing.get_context("spawn").Process(target=print, args=(ZooError("ours"), Boxes()))
worker.start()
worker.join()
"""
    assert output(code, tmp_path) == ["ours", "[1]"]
