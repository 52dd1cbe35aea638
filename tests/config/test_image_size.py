"""``--image-size``: every config declares its sizes or the reason why it has none."""

from __future__ import annotations

import pytest

from visionzoo.config import config_names, load_config
from visionzoo.config.image_size import image_size_settings, size_in_use
from visionzoo.config.tree import all_paths, lookup
from visionzoo.errors import ConfigError

# Configs without a size of their images, by the start of their reason.
FIXED = {
    "density_rcnet_r50": "its images keep",
    "hmode_shanghaitech_a": "its images keep",
    "hmode_shanghaitech_b": "its images keep",
    "hmode_trancos": "its images keep",
    "nasnet_cifar10": "the images of CIFAR",
    "nasnet_large_imagenet": "the layers of its auxiliary classifier",
    "nasnet_mobile_imagenet": "the layers of its auxiliary classifier",
    **{name: "its volumes keep" for name in config_names() if load_config(name).cfg.get("task") == "registration"},
}
# Steps that a size does not belong to: kernels, and crops before the last resize.
OTHER = ("settings.size", "transforms.1.0.scales", "transforms.1.1.crop_size")


@pytest.mark.parametrize("tiny", [False, True])
@pytest.mark.parametrize("name", config_names())
def test_every_config_declares_its_sizes(name, tiny):
    cfg = load_config(name, tiny=tiny).cfg.to_dict()
    if name in FIXED:
        with pytest.raises(ConfigError, match=f"--image-size: expected a config that .* but {FIXED[name]}"):
            image_size_settings(cfg, "64")
        return
    height, width = cfg["image_size"]["size"]
    same, twice = (image_size_settings(cfg, f"{factor * height},{factor * width}") for factor in (1, 2))
    for path, value in same.items():
        old = lookup(cfg, tuple(path.split(".")))
        assert _plain(value) == _plain(old)
        assert twice[path] == _twice(value)
    found = {path for path in all_paths(cfg) if path.endswith(("size", ".scale", "scales", "at_least"))}
    sizes = {path for path in found if ".pipeline." in path and not path.endswith(OTHER)}
    assert {path for path in sizes - set(same) if not _is_share(lookup(cfg, tuple(path.split("."))))} == set()


def _is_share(value):
    """Return True for the shares of an image's area that a crop has."""
    return isinstance(value, (list, tuple)) and isinstance(value[0], float)


def _plain(value):
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _twice(value):
    return type(value)(_twice(item) for item in value) if isinstance(value, (list, tuple)) else 2 * value


@pytest.mark.parametrize(
    ("name", "text", "size", "path", "value"),
    [
        ("fpn_retinanet", "640", (640, 1066), "train_dataloader.dataset.pipeline.2.scale", (1066, 640)),
        ("fpn_retinanet", "480,640", (480, 640), "test_dataloader.dataset.pipeline.1.scale", (640, 480)),
        ("fpn_retinanet", " 480 x 640 ", (480, 640), "test_dataloader.dataset.pipeline.1.scale", (640, 480)),
        ("rcnet_gfl_r101", "400", (400, 666), "train_dataloader.dataset.pipeline.2.scale", [(666, 240), (666, 480)]),
        ("nat_mini_imagenet", "160", (160, 160), "val_dataloader.dataset.pipeline.1.size", 160),
        ("scnn_culane", "144", (144, 400), "train_dataloader.dataset.pipeline.4.size", (144, 400)),
        ("scnn_culane", "360,640", (360, 640), "val_dataloader.dataset.pipeline.1.scale", (640, 360)),
        ("gconet_plus_dinat", "352", (352, 352), "train_dataloader.dataset.sources.1.pipeline.4.size", 352),
        ("road_scene", "576", (576, 1024), "model.heads.lanes.input_size", (576, 1024)),
        ("road_scene", "576", (576, 1024), "train_dataloader.dataset.datasets.detection.pipeline.2.scale", (1024, 576)),
        (
            "image_suite",
            "240",
            (240, 320),
            "train_dataloader.dataset.datasets.saliency.pipeline.3.crop_size",
            (176, 176),
        ),
    ],
)
def test_sizes_in_their_forms(name, text, size, path, value):
    settings = image_size_settings(load_config(name).cfg.to_dict(), text)
    assert settings["image_size.size"] == size
    assert settings[path] == value


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("fpn_retinanet", "0", "found '0'; write 800 or 800,1333"),
        ("fpn_retinanet", "-5", "found '-5'"),
        ("fpn_retinanet", "640,", "found '640,'"),
        ("fpn_retinanet", "1,2,3", "found '1,2,3'"),
        ("fpn_retinanet", "6.5", "found '6.5'"),
        ("fpn_retinanet", "٦٤", "pixels from 1 to 32,768"),
        ("fpn_retinanet", "99999", "pixels from 1 to 32,768"),
        ("scnn_culane", "100,300", "expected multiples of 8, found 100,300; use 96,304"),
        ("nat_mini_imagenet", "160,200", "expected one number, the side of a square, found 160,200"),
        ("road_scene", "144", "expected multiples of 32, found 144; use 128,256"),
    ],
)
def test_refused_sizes(name, text, says):
    with pytest.raises(ConfigError, match=r"^--image-size: ") as caught:
        image_size_settings(load_config(name).cfg.to_dict(), text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("options", "size", "scale"),
    [
        ({"image_size": (480, 640)}, (480, 640), (640, 480)),
        ({"image_size": 400}, (400, 666), (666, 400)),
        (["image_size=480,640"], (480, 640), (640, 480)),
        (["image_size.size=[480, 640]"], (480, 640), (640, 480)),
        ({"image_size.size": (480, 640), "test_dataloader.dataset.pipeline.1.scale": (99, 88)}, (480, 640), (99, 88)),
    ],
    ids=str,
)
def test_an_option_sets_the_size_of_all_pipelines(options, size, scale):
    cfg = load_config("fpn_retinanet", options=options).cfg
    assert tuple(cfg.image_size["size"]) == size
    assert tuple(cfg.test_dataloader.dataset.pipeline[1].scale) == scale
    assert tuple(cfg.train_dataloader.dataset.pipeline[2].scale) == size[::-1]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("fpn_retinanet", (480, -1), "expected N or H,W, pixels from 1 to 32,768, found '480,-1'"),
        ("fpn_retinanet", (0, 64), "expected N or H,W, pixels from 1 to 32,768, found '0,64'"),
        ("fpn_retinanet", (480, 640, 3), "found '480,640,3'"),
        ("fpn_retinanet", "large", "found 'large'"),
        ("hmode_shanghaitech_a", (64, 64), "expected a config that declares image_size, but its images keep"),
        ("nat_mini_imagenet", (160, 200), "expected one number, the side of a square, found 160,200"),
    ],
)
def test_a_refused_option(name, value, says):
    with pytest.raises(ConfigError, match=r"^option image_size: ") as caught:
        load_config(name, options={"image_size": value})
    assert says in str(caught.value)


def test_a_size_of_training_images_only_is_stated():
    (note,) = load_config("connnet_r50", options={"image_size": 224}).notes
    assert note == "option image_size: images of tests and inference keep their own size"
    assert load_config("fpn_retinanet", options={"image_size": 224}).notes == []


def test_a_declared_path_that_does_not_exist():
    cfg = {"image_size": {"size": (8, 8), "paths": ["train_dataloader.sources.*.size"]}}
    with pytest.raises(ConfigError, match=r"image_size.paths: train_dataloader.sources.\*.size: expected a value"):
        image_size_settings(cfg, "16")


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("fpn_retinanet", {}, "image size 800 x 1333 (height x width)"),
        ("fpn_retinanet", {"train_dataloader.dataset.pipeline.2.scale": (640, 480)}, "image size 480 x 640"),
        ("fpn_retinanet", {"image_size": None}, ""),
        ("scnn_culane", {}, "image size 288 x 800"),
        ("gconet_plus_vgg16bn", {}, "image size 256 x 256"),
        ("dinat_mask_rcnn_coco", {}, "image size 480 to 800 x 1333"),
        ("hmode_shanghaitech_a", {}, ""),
    ],
)
def test_the_size_in_use_is_that_of_the_pipeline(name, options, text):
    shown = size_in_use(load_config(name, options=options).cfg.to_dict())
    assert shown.startswith(text)
    assert bool(shown) == bool(text)
