"""Names of every library are resolved, and only where they should be."""

import subprocess
import sys

import pytest
from mmengine.registry import DefaultScope

from visionzoo.config.resolving import all_registries
from visionzoo.errors import UnknownName
from visionzoo.registry import MODELS, SCOPE, TASK_UTILS


@pytest.fixture(autouse=True)
def zoo_scope():
    with DefaultScope.overwrite_default_scope(SCOPE):
        yield


def test_a_librarys_unscoped_default_is_found_in_that_library():
    from mmdet.registry import TASK_UTILS as THEIRS

    MODELS.get("mmdet.ResNet")  # the first name of a library registers its parts
    assigner = THEIRS.build({"type": "mmdet.MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4})
    assert type(assigner.iou_calculator).__name__ == "BboxOverlaps2D"


def test_a_users_unscoped_name_is_not_looked_for_in_other_libraries():
    with pytest.raises(UnknownName, match="no model is called 'RetinaHead'"):
        MODELS.build({"type": "RetinaHead"})
    assert TASK_UTILS.get("BboxOverlaps2D") is None


def test_mmengines_and_mmcvs_names_need_no_scope():
    for name in ("BN", "Conv2d", "DCNv2", "ExponentialMovingAverage"):
        assert MODELS.get(name) is not None, name


def test_an_unknown_name_of_each_library_suggests_one_of_that_library():
    with pytest.raises(UnknownName, match=r"did you mean 'timm.resnet18'"):
        MODELS.build({"type": "timm.resnet18x"})
    with pytest.raises(UnknownName, match=r"did you mean 'mmdet.FPN'"):
        MODELS.build({"type": "mmdet.FPNN"})


def test_a_dotted_name_that_nothing_has_is_unknown():
    with pytest.raises(UnknownName):
        MODELS.build({"type": "nowhere.to.be.Found"})


def test_the_text_of_the_zoo_names_the_module_of_every_part():
    """Only this module is imported when a config uses the part."""
    for kind in all_registries().values():
        for name in kind.own_names():
            part = kind.module_dict[name]
            if part.__module__.startswith("visionzoo."):
                assert part.__module__ in kind._modules_of(name), (kind.name, name)


def test_a_part_is_found_without_the_libraries_of_others():
    code = """
import sys
from visionzoo.registry import MODELS
print(MODELS.get("SCNNHead").__name__, {"mmdet", "mmcv.ops"} & set(sys.modules), MODELS.get("DCNv2").__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "SCNNHead set() ModulatedDeformConv2dPack\n"
