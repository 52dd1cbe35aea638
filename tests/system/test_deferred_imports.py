"""Imports that are deferred bind the real objects on first use. Nothing else changes."""

import subprocess
import sys

import pytest

from visionzoo.system import deferred_imports as deferring
from visionzoo.system.deferred_imports import DeferringFinder, deferred_imports

LIBRARY = """
from functools import partial
import heavy_lib.deep.parts as parts
import heavy_lib.other
from heavy_lib import Base as Root, Refused, open
try:
    from missing_lib import nothing
except ImportError:
    nothing = None
{more}
kept = partial(Root)

def is_root(x):
    return isinstance(x, Root)

def refused():
    try:
        raise Refused
    except Refused:
        return True

def deep():
    return parts.SIZE, heavy_lib.other.SIZE, open
"""
TARGETS = ("heavy_lib", "heavy_lib.deep.parts", "heavy_lib.other", "missing_lib")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Return a function that writes and imports a library whose imports of another library are deferred."""
    deep = tmp_path / "heavy_lib" / "deep"
    deep.mkdir(parents=True)
    (deep.parent / "__init__.py").write_text("class Base: ...\nclass Refused(Exception): ...\nopen = 'not the builtin'")
    (deep.parent / "other.py").write_text("SIZE = 2")
    (deep / "__init__.py").write_text("")
    (deep / "parts.py").write_text("SIZE = 3")
    monkeypatch.syspath_prepend(str(tmp_path))

    def write_and_import(more: str = ""):
        (tmp_path / "light_lib.py").write_text(LIBRARY.format(more=more))
        monkeypatch.setattr(sys, "meta_path", [DeferringFinder({"light_lib": TARGETS}), *sys.meta_path])
        import light_lib

        return light_lib

    yield write_and_import
    for name in [name for name in sys.modules if name.partition(".")[0] in ("light_lib", "heavy_lib")]:
        del sys.modules[name]


def test_functions_see_the_real_objects(make):
    light = make()
    assert "heavy_lib" not in sys.modules
    assert not light.is_root(3)
    import heavy_lib

    assert light.is_root(heavy_lib.Base())
    assert light.refused()
    assert light.deep() == (3, 2, "not the builtin")
    assert vars(light)["Root"] is heavy_lib.Base
    assert isinstance(light.kept(), heavy_lib.Base)


def test_importers_and_dir_see_the_real_objects(make):
    light = make()
    assert {"Root", "parts", "heavy_lib", "is_root"} <= set(dir(light))
    assert "heavy_lib" not in sys.modules
    from light_lib import Root, parts

    assert parts is sys.modules["heavy_lib.deep.parts"]
    assert Root is sys.modules["heavy_lib"].Base
    scope = {}
    exec("from light_lib import *", scope)
    assert scope["Refused"] is sys.modules["heavy_lib"].Refused
    assert light.nothing is None
    with pytest.raises(AttributeError, match="module 'light_lib' has no attribute 'more'"):
        light.more  # noqa: B018


def test_a_use_at_module_level_imports(make):
    light = make("class Child(Root): ...\nclass Grown(Child): ...\nknown = isinstance(3, Root)")
    assert light.Child.__mro__[1] is sys.modules["heavy_lib"].Base
    assert light.known is False


def test_an_unknown_name_stays_a_name_error(make):
    light = make("def wrong():\n    return unknown")
    with pytest.raises(NameError, match="unknown"):
        light.wrong()


def test_a_key_error_of_the_library_is_an_import_error(make, tmp_path):
    light = make()
    (tmp_path / "heavy_lib" / "other.py").write_text("{}['lost']")
    with pytest.raises(ImportError, match="cannot be imported: KeyError: 'lost'"):
        light.deep()


def test_a_function_that_python_has_specialised_finds_its_names(make):
    light = make("def size(all):\n    return len('ab') + (parts.SIZE if all else 0)")
    assert {light.size(False) for _ in range(200)} == {2}
    assert {light.size(True) for _ in range(200)} == {5}


def test_what_is_imported_already_is_bound_at_once(make):
    import heavy_lib.other

    assert vars(make())["Root"] is heavy_lib.Base


def test_the_finder_is_only_active_in_the_block():
    before = list(sys.meta_path)
    with deferred_imports():
        with deferred_imports():
            assert len(sys.meta_path) == len(before) + 1
        assert isinstance(sys.meta_path[0], DeferringFinder)
    assert sys.meta_path == before


EVERY_NAME = """
import importlib, sys, warnings
warnings.simplefilter("ignore")
from visionzoo.system import deferred_imports as deferring
with deferring.deferred_imports():
    for name in deferring.DEFERRED:
        importlib.import_module(name)
from mmengine.registry import MODEL_WRAPPERS
from visionzoo.registry import STRATEGIES
from mmengine.model import MMFullyShardedDataParallel
assert MODEL_WRAPPERS.get("MMFullyShardedDataParallel") is MMFullyShardedDataParallel
assert STRATEGIES.get("FSDPStrategy").__name__ == "FSDPStrategy"
for name in deferring.DEFERRED:
    module = sys.modules[name]
    for each in dir(module):
        assert not isinstance(getattr(module, each), deferring._Deferred), (name, each)
import torch, torchvision
torch.jit.script(torchvision.ops.roi_align)
from torch.distributed.optim import _NamedOptimizer
missing = [t for targets in deferring.DEFERRED.values() for t in targets if t in sys.modules]
print(len(missing), "modules loaded on use")
"""


def test_every_listed_name_loads():
    done = subprocess.run([sys.executable, "-c", EVERY_NAME], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-5]) >= 15
    assert set(deferring.REGISTERING) <= {each for targets in deferring.DEFERRED.values() for each in targets}
