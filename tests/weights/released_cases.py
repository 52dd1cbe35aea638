"""One case for each format of released files: a file in this format, fetched and converted, and a prediction.

A case is registered under a kind. Every entry of a card belongs to a kind, see :func:`kind_of`. A case gets
``released``, which serves a file under the address of an entry, or puts it where a user puts a file by hand, and
returns what :func:`visionzoo.weights.released.released_file` makes of it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torchvision
from mmdet.structures import DetDataSample
from released_layouts import (
    auto_drive_names,
    detectron2_names,
    hugging_face_names,
    openmmlab_file,
    write_keras,
    write_tar,
    write_tf_bundle,
)
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"
sys.path.append(str(GOLDEN))

from golden_cases import allowed, difference, inputs_of, load_port, read_case  # noqa: E402
from weights import golden_tensor, reference_state  # noqa: E402

from visionzoo.config import load_config  # noqa: E402
from visionzoo.registry import MODELS  # noqa: E402
from visionzoo.weights.entry import Weights  # noqa: E402
from visionzoo.weights.ready_model import ready_model  # noqa: E402

State = Mapping[str, Tensor]
# From card, id, file and options of the converter to the tensors of the converted file.
Released = Callable[..., dict[str, Tensor]]


@dataclass(frozen=True)
class Case:
    """A card's entry of one kind, and the function that makes its file and compares a prediction."""

    card: str
    id: str
    run: Callable[[Case, Path, Released], None]
    slow: bool = False


CASES: dict[str, Case] = {}


@dataclass(frozen=True)
class Part:
    """Which released tensors replace those of a converter of a port: names that begin with ``old``, then with ``new``.

    ``partial`` means that the released file has only some of them.
    """

    old: str = ""
    new: str = ""
    partial: bool = False


def kind_of(card: str, entry: Weights) -> str:
    """Return the kind of an entry: its converter, its use, and its layout where a converter reads several."""
    form, where = entry.format, f"{entry.url or ''} {entry.name}"
    if form.converter is None:
        return "mmdet"
    layouts = {
        "huggingface.co/shi-labs": "hub",
        "maskrcnn": "mask_rcnn",
        "upernet": "upernet",
        "mask2former": "mask2former",
        "tensorflow.org": "tensorflow",
        "timm": "timm",
        "pytorch-image-models": "timm",
        "swin_base": "swin",
        "vgg16_scnn": "auto_drive",
        "nasnetalarge-a1897284": "background",
    }
    layout = next((kind for part, kind in layouts.items() if part in where), "")
    use = "" if form.use in (None, "model", "classifier") else form.use
    return "_".join(filter(None, [form.converter, layout, use]))


# --- cases of the authors' numbers ---


def golden(
    kind: str,
    entry: str,
    path: str,
    write: Callable[[Path, State], Path],
    replaced: Mapping[str, Part],
    *,
    slow: bool = False,
    module: str | None = None,
    **options: Any,
) -> None:
    """Register a case of tests/golden.

    Args:
        kind: see :func:`kind_of`.
        entry: card and id, ``card#id``.
        path: the case, ``dinat/dinat_mini_224``.
        write: writes the released file into a folder.
        replaced: the converters of the port whose results are replaced by released tensors, and which.
        slow: whether the case takes minutes.
        module: the module of the port with the converters, if it is not the port itself.
        options: options of the converter in place of those in the card, for sizes that no paper has.
    """

    def run(case: Case, folder: Path, released: Released) -> None:
        described, stored = read_case(GOLDEN / path)
        port = load_port(path.partition("/")[0])
        state = reference_state(described)
        file = write(folder, _of_port(port, described, state))
        tensors = released(case.card, case.id, file, **options)
        converters = port if module is None else sys.modules[module]
        originals = {name: getattr(converters, name) for name in replaced}
        for name, part in replaced.items():
            setattr(converters, name, _replacing(originals[name], tensors, part))
        try:
            outputs = port.run(described, inputs_of(described, stored))
        finally:
            for name, original in originals.items():
                setattr(converters, name, original)
        expected = {name: value for name, value in stored.items() if not name.startswith("input:")}
        wrong = [
            line
            for name, value in expected.items()
            if (line := difference(name, outputs.get(name), value, described, allowed(port, described, name, value)))
        ]
        assert not wrong

    card, _, id = entry.partition("#")
    CASES[kind] = Case(card, id, run, slow)


def _of_port(port: ModuleType, case: Mapping[str, Any], state: State) -> State:
    """Return the weights of a case, in the layout of TensorFlow if the case has it."""
    return port._reference_weights(case) if any(len(entry) > 3 for entry in case["state"]) else state


def _replacing(original: Callable[..., Any], tensors: State, part: Part) -> Callable[..., Any]:
    """Return a converter whose first result has the released values, with the names and order of the original's."""
    calls = []

    def converter(given: Any, **options: Any) -> Any:
        ours = original(given, **options)
        if calls:
            return ours
        calls.append(part)
        kept = {name: value for name, value in tensors.items() if name.startswith(part.old)}
        found = {part.new + name.removeprefix(part.old): value for name, value in kept.items()}
        found = {name: value for name, value in found.items() if not name.startswith("text_encoder.")}
        assert found
        assert set(found) <= set(ours) if part.partial else set(found) == set(ours)
        return {name: found.get(name, value) for name, value in ours.items()}

    return converter


def torch_file(name: str, wrapper: str | None = None, also: Callable[[State], State] | None = None) -> Any:
    """Return a writer of ``torch.save``, with the tensors below ``wrapper`` and those that ``also`` adds or renames."""

    def write(folder: Path, state: State) -> Path:
        held = dict(state if also is None else also(state))
        torch.save(held if wrapper is None else {wrapper: held, "epoch": 3}, folder / name)
        return folder / name

    return write


def _safetensors(folder: Path, state: State) -> Path:
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
    return folder / "model.safetensors"


def _tensorflow_archive(folder: Path, state: State) -> Path:
    """Write averaged weights beside the last ones, and a classifier with the class for no image."""
    arrays: dict[str, np.ndarray] = {"global_step": np.array(3, "int64")}
    for name, value in state.items():
        array = value.contiguous().numpy()
        if name.startswith("final_layer/FC/"):
            array = np.concatenate([np.full_like(array[..., :1], 9), array], axis=-1)
        arrays |= {name: array + 1, f"{name}/ExponentialMovingAverage": array}
    write_tf_bundle(folder / "model.ckpt", arrays)
    write_tar(folder / "nasnet-a_mobile_04_10_2017.tar.gz", sorted(folder.glob("model.ckpt*")))
    return folder / "nasnet-a_mobile_04_10_2017.tar.gz"


def _trunk_with_others(state: State) -> dict[str, Tensor]:
    return {**state, "norm.weight": torch.ones(256), "norm.bias": torch.zeros(256), "head.weight": torch.ones(3, 256),
            "head.bias": torch.zeros(3)}  # fmt: skip


def _with_text_encoder(state: State) -> dict[str, Any]:
    return {"model": dict(state), "bert_model": {"embeddings.word_embeddings.weight": torch.ones(4, 8)}, "epoch": 39}


def _lavt_file(folder: Path, state: State) -> Path:
    torch.save(_with_text_encoder(state), folder / "refcoco.pth")
    return folder / "refcoco.pth"


def _swin_file(folder: Path, state: State) -> Path:
    """Write only what an official Swin has: no layers for language, one norm, a classifier and computed masks."""
    own = {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
    trunk = {name: value for name, value in own.items() if not re.search(r"\.(fusion|res_gate)\.|^norm\d\.", name)}
    trunk |= {"norm.weight": torch.ones(768), "norm.bias": torch.zeros(768), "head.weight": torch.ones(5, 768)}
    trunk |= {"head.bias": torch.zeros(5), "layers.0.blocks.1.attn_mask": torch.zeros(4, 49, 49)}
    torch.save({"model": trunk}, folder / "swin_base_patch4_window12_384_22k.pth")
    return folder / "swin_base_patch4_window12_384_22k.pth"


def _keras_file(folder: Path, state: State) -> Path:
    write_keras(folder / "vxm_dense_brain_T1_3D_mse.h5", state)
    return folder / "vxm_dense_brain_T1_3D_mse.h5"


_CLASSIFIER = {"convert": Part("backbone."), "convert_classifier": Part("head.fc.")}
_TRUNK, _MODEL = {"convert": Part()}, {"convert_model": Part()}
_TRUNK_OF_MODEL = {"convert_model": Part("", "backbone.", partial=True)}
golden("dinat", "dinat_mini_imagenet#in1k_224", "dinat/dinat_mini_224", torch_file("dinat_mini.pth"), _CLASSIFIER)
golden(
    "dinat_hub",
    "dinat_mini_imagenet#hugging_face",
    "dinat/dinat_narrow_pad_116x90",
    torch_file("pytorch_model.bin", also=hugging_face_names),
    _CLASSIFIER,
    variant="custom",
)
golden(
    "dinat_backbone",
    "dinat_rcnet_retinanet#imagenet",
    "dinat/dinat_backbone_narrow_160x224",
    torch_file("dinat_mini_in1k_224.pth", also=_trunk_with_others),
    _TRUNK,
    variant="custom",
    keep_norm=False,
)
_BOSS = torch_file("BossNet-T0-80_8.pth", "model")
golden("bossnet", "bossnet_t0_imagenet#t0", "bossnet/bossnet_t0_64x96", _BOSS, _CLASSIFIER)
golden("bossnet_backbone", "bossnet_rcnet_retinanet#imagenet", "bossnet/bossnet_t0_64x96", _BOSS, _TRUNK, slow=True)
_PORT = torch_file("nasnetamobile-7e03cead.pth")
golden("nasnet", "nasnet_mobile_imagenet#cadene", "nasnet/mobile_96", _PORT, _CLASSIFIER)
golden("nasnet_backbone", "nasnet_rcnet_retinanet#imagenet", "nasnet/mobile_96", _PORT, _TRUNK, slow=True)
golden(
    "nasnet_background",
    "nasnet_large_imagenet#cadene",
    "nasnet/large_narrow_75",
    torch_file("nasnetalarge-a1897284.pth", "state_dict"),
    _CLASSIFIER,
    variant="custom",
    drop_background=False,  # the case has 10 classes
)
golden(
    "nasnet_timm",
    "nasnet_large_imagenet#timm_hugging_face",
    "nasnet/large_narrow_75",
    _safetensors,
    _CLASSIFIER,
    variant="custom",
)
golden(
    "nasnet_tensorflow",
    "nasnet_mobile_imagenet#tensorflow",
    "nasnet/mobile_tf_72x101",
    _tensorflow_archive,
    _CLASSIFIER,
)
golden(
    "gconet_plus",
    "gconet_plus_vgg16bn#duts_cocoseg",
    "gconet_plus/eval_vgg16bn_k50",
    torch_file("ultimate_duts_cocoseg.pth"),
    _MODEL,
    keep_unused=True,
)
_SCNN_SIZE = dict(input_size=(96, 160))
golden(
    "scnn",
    "scnn_culane#authors",
    "scnn/vgg16_w9_160x96",
    torch_file("vgg_SCNN_DULR_w9.pth", "net"),
    _MODEL,
    **_SCNN_SIZE,
)
golden(
    "scnn_auto_drive",
    "scnn_culane#pytorch_auto_drive",
    "scnn/vgg16_w9_160x96",
    torch_file("vgg16_scnn_culane_20210309.pt", "model", auto_drive_names),
    _MODEL,
    slow=True,
    **_SCNN_SIZE,
)
golden(
    "hmode",
    "hmode_shanghaitech_a#shanghaitech_a",
    "crowd_counting/hmode_64x96",
    torch_file("best_model.pth"),
    _MODEL,
    slow=True,
)
golden("lavt", "lavt_refcoco#refcoco", "wico/lavt_tiny_eval", _lavt_file, _MODEL)
golden("icnet", "icnet_ixi#author", "micdir/icnet", torch_file("model.pth"), {"convert_icnet": Part()},
       module="ports.micdir_networks")  # fmt: skip
golden("voxelmorph", "voxelmorph_oasis#brain_t1_3d_mse", "micdir/voxelmorph_3d", _keras_file,
       {"convert_voxelmorph": Part()}, module="ports.micdir_networks")  # fmt: skip
golden("lavt_backbone", "wico_lavt_refcoco#lavt_refcoco", "wico/lavt_tiny_eval", _lavt_file, _TRUNK_OF_MODEL, slow=True)
golden("lavt_swin_backbone", "lavt_grefcoco#imagenet_22k", "wico/lavt_tiny_eval", _swin_file,
       _TRUNK_OF_MODEL)  # fmt: skip


# --- cases whose reference is another library, or the same model under our names ---


def case(kind: str, entry: str, *, slow: bool = False) -> Callable[[Any], Any]:
    """Return a decorator that registers a case; ``entry`` is ``card#id``."""

    def add(run: Callable[[Case, Path, Released], None]) -> Callable[[Case, Path, Released], None]:
        card, _, id = entry.partition("#")
        CASES[kind] = Case(card, id, run, slow)
        return run

    return add


def _fill(module: torch.nn.Module) -> State:
    """Give a module the golden weights of its names, and return them."""
    own = module.state_dict()
    state = {
        name: torch.from_numpy(golden_tensor(name, value.shape, str(value.dtype).removeprefix("torch.")))
        for name, value in own.items()
    }
    module.load_state_dict(state)
    module.eval()
    return state


def _image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _resnet_stages(net: torchvision.models.ResNet, image: Tensor) -> list[Tensor]:
    x, maps = net.maxpool(net.relu(net.bn1(net.conv1(image)))), []
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = stage(x)
        maps.append(x)
    return maps


def _equal_maps(backbone: torch.nn.Module, expected: list[Tensor], image: Tensor) -> None:
    backbone.eval()  # mmdet's returns None
    with torch.no_grad():
        for ours, theirs in zip(backbone(image), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@case("resnet_backbone", "scnn_resnet18_culane#imagenet")
def resnet(case: Case, folder: Path, released: Released) -> None:
    import mmdet.models  # noqa: F401 - registers mmdet.ResNet

    net, image = torchvision.models.resnet18(), _image(2, 3, 65, 96)
    torch.save(_fill(net), folder / "resnet18-f37072fd.pth")
    backbone = MODELS.build(dict(type="mmdet.ResNet", depth=18))
    backbone.load_state_dict(released(case.card, case.id, folder / "resnet18-f37072fd.pth"))
    with torch.no_grad():
        expected = _resnet_stages(net, image)
    _equal_maps(backbone, expected, image)


@case("biconnets_backbone", "connnet_r50#biconnet_cpd")
def biconnets(case: Case, folder: Path, released: Released) -> None:
    """The file has CPD's names: a second branch of the last two stages, and an aggregation with eight outputs."""
    import mmdet.models  # noqa: F401 - registers mmdet.ResNet

    net, image = torchvision.models.resnet18(), _image(2, 3, 65, 96)
    own = {name: value for name, value in _fill(net).items() if not name.startswith("fc.")}
    branches = {name: re.sub(r"^layer([34])", r"layer\1_1", name) for name in own}
    file = {f"resnet.{branches[name]}": value for name, value in own.items()}
    second = {name.replace("_1.", "_2.", 1): value + 1 for name, value in file.items() if "_1." in name}
    agg = {"agg2.conv5.weight": torch.ones(8, 96, 1, 1), "agg2.conv5.bias": torch.zeros(8)}
    torch.save({**file, **second, **agg}, folder / "CPD_model.pth")
    backbone = MODELS.build(dict(type="mmdet.ResNet", depth=18))
    backbone.load_state_dict(released(case.card, case.id, folder / "CPD_model.pth"))
    with torch.no_grad():
        expected = _resnet_stages(net, image)
    _equal_maps(backbone, expected, image)


@case("vgg_backbone", "scnn_culane#imagenet")
def vgg(case: Case, folder: Path, released: Released) -> None:
    net, image = torchvision.models.vgg11_bn(), _image(2, 3, 33, 64)
    net.classifier = torch.nn.Sequential(torch.nn.Linear(2, 3))
    torch.save(_fill(net), folder / "vgg16_bn-6c64b313.pth")
    backbone = MODELS.build(dict(type="VGG", variant="11_bn"))
    backbone.load_state_dict(released(case.card, case.id, folder / "vgg16_bn-6c64b313.pth"))
    expected, x = [], image
    with torch.no_grad():
        for layer in net.features:
            if isinstance(layer, torch.nn.MaxPool2d):
                expected.append(x)
            x = layer(x)
    _equal_maps(backbone, expected, image)


def _same_predictions(
    case: Case, folder: Path, released: Released, file: Callable[[State], Any], **options: Any
) -> None:
    """Compare the tiny variant of a model with itself, its weights taken through a released file."""
    loaded = load_config(case.card, tiny=True)
    model, other = ready_model(loaded), ready_model(load_config(case.card, tiny=True))
    state = {name: value + 0.01 * _image(*value.shape) if value.is_floating_point() else value
             for name, value in model.state_dict().items()}  # fmt: skip
    model.load_state_dict(state)
    torch.save(file(state), folder / "released.pth")
    other.load_state_dict(released(case.card, case.id, folder / "released.pth", **options))
    for ours, theirs in zip(_outputs(other), _outputs(model), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def _outputs(model: torch.nn.Module) -> list[Tensor]:
    """Return the raw outputs of a model; of one with proposals, its detections and scores."""
    image = _image(2, 3, 64, 96)
    if not hasattr(model, "roi_head"):
        return _leaves(model(image))
    model.roi_head.test_cfg["score_thr"] = 0.0
    sizes = dict(img_shape=(64, 96), ori_shape=(64, 96), pad_shape=(64, 96), batch_input_shape=(64, 96))
    samples = [DetDataSample(metainfo={**sizes, "scale_factor": (1.0, 1.0)}) for _ in image]
    found = [each.pred_instances for each in model(image, samples, mode="predict")]
    assert all(len(each) for each in found)
    return [value for each in found for value in (each.bboxes, each.scores, each.labels, each.masks)]


def _leaves(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    return [leaf for each in outputs for leaf in _leaves(each)] if isinstance(outputs, list | tuple) else []


@case("mmdet", "fpn_retinanet#mmdet_coco")
def mmdet_detector(case: Case, folder: Path, released: Released) -> None:
    _same_predictions(case, folder, released, openmmlab_file)


@case("dinat_mask_rcnn", "dinat_mask_rcnn_coco#dinat_mini")
def dinat_mask_rcnn(case: Case, folder: Path, released: Released) -> None:
    _same_predictions(case, folder, released, openmmlab_file, variant="custom")


@case("dinat_upernet", "dinat_upernet_ade20k#dinat_mini")
def dinat_upernet(case: Case, folder: Path, released: Released) -> None:
    _same_predictions(case, folder, released, openmmlab_file, variant="custom")


@case("dinat_mask2former", "dinat_mask2former_coco#coco_panoptic")
def dinat_mask2former(case: Case, folder: Path, released: Released) -> None:
    def file(state: State) -> dict[str, Any]:
        return {"model": detectron2_names(state), "iteration": 737_499}

    _same_predictions(case, folder, released, file, variant="custom")
