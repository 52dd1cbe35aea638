"""An installed package adds parts, configs, cards, tasks and twins with one entry point."""

from __future__ import annotations

import sys

import pytest

from visionzoo import registry
from visionzoo.cards.files import card_names, find_card, missing_cards, own_cards, read_card
from visionzoo.config import config_names, display_path, find_config, load_config
from visionzoo.converters import CONVERTERS
from visionzoo.datasets.tiny import _text_digest, resolve_data_root, twin_modules
from visionzoo.errors import PluginError, ZooError
from visionzoo.plugins import packages, plugins


@pytest.fixture
def toy(toy_site, monkeypatch):
    monkeypatch.syspath_prepend(str(toy_site))
    yield toy_site / "toy_zoo"
    _forget("toy_zoo")


def _forget(package):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def test_finding_imports_nothing(toy):
    assert [package.name for package in packages()] == ["visionzoo", "toy_zoo"]
    assert registry.task_modules()["dotting"] == "toy_zoo.tasks.dotting"
    assert "dotting" in registry.task_names()
    assert "_parts" not in registry.task_names()
    assert "toy_retinanet" in config_names()
    assert "toy_retinanet" in card_names()
    assert twin_modules()["dots"] == "toy_zoo.datasets.tiny.dots"
    assert not [name for name in sys.modules if name.partition(".")[0] == "toy_zoo"]


def test_without_it_nothing_of_it_is_there():
    assert "toy_zoo" not in [package.name for package in plugins()]
    assert "toy_retinanet" not in config_names()
    assert "dotting" not in registry.task_names()


def test_configs_and_cards(toy):
    path = find_config("toy_retinanet")
    assert path == toy / "configs" / "toy_retinanet.py"
    assert find_config("toy") == path  # the short name, from the card
    assert display_path(path) == "toy_zoo/configs/toy_retinanet.py"
    assert load_config("toy_retinanet").cfg.model == load_config("fpn_retinanet").cfg.model
    assert find_card("toy_retinanet") == toy / "model_cards" / "toy_retinanet.md"
    assert read_card("toy_retinanet").zoo.headline
    assert missing_cards() == []
    assert "toy_retinanet" not in [card.name for card in own_cards()]


def test_a_card_that_is_wrong_names_the_plugin(toy):
    path = toy / "model_cards" / "toy_retinanet.md"
    path.write_text(path.read_text().replace("  status: ", "  stauts: "))
    with pytest.raises(ZooError, match=r"^toy_zoo/model_cards/toy_retinanet\.md: "):
        read_card("toy_retinanet")


def test_parts_and_converters(toy, fresh_models, monkeypatch):
    monkeypatch.setattr(CONVERTERS, "_converters", dict(CONVERTERS._converters))
    assert registry.MODELS.get("ToyHead").__module__ == "toy_zoo.heads.toy"
    assert "ToyHead" in registry.own_parts("heads")
    assert "ToyHead" not in registry.own_parts("backbones")
    assert "SCNNHead" in registry.own_parts("heads")
    assert CONVERTERS.get("toy").convert("model", {"w": 2}, {"width": 3}) == {"head.w": 6}


def test_drawn_data(toy, monkeypatch, tmp_path):
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "cache"))
    assert (resolve_data_root("tiny://dots?count=5") / "dots.txt").read_text() == "....."


def test_data_are_drawn_anew_after_a_change_of_the_text_that_draws(toy, monkeypatch, tmp_path):
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "cache"))
    resolve_data_root("tiny://dots?count=5")
    module = toy / "datasets" / "tiny" / "dots.py"
    module.write_text(module.read_text().replace('"." * count', '"::" * count'))
    _forget("toy_zoo")  # as in a new process
    _text_digest.cache_clear()
    assert (resolve_data_root("tiny://dots?count=5") / "dots.txt").read_text() == "::::::::::"


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_module", r"ModuleNotFoundError \(No module named 'no_such_module'\)"),
        ("raise RuntimeError('broken')", r"RuntimeError \(broken\)"),
        (
            "from visionzoo.registry import MODELS\n@MODELS.register_module()\nclass VGG: ...",
            r"KeyError \(VGG is already registered in model at visionzoo\.backbones\.vgg\)",
        ),
    ],
)
def test_a_plugin_that_does_not_import_is_an_error(install, monkeypatch, fresh_models, source, cause):
    monkeypatch.syspath_prepend(str(install("broken_zoo", {"heads/__init__.py": "", "heads/new.py": source})))
    expected = rf"plugin 'broken_zoo': expected broken_zoo\.heads\.new to import, found {cause}; fix it or uninstall it"
    for _ in range(2):
        with pytest.raises(PluginError, match=expected):
            registry.MODELS.get("VGG")


def test_a_removed_package_is_an_error(install, monkeypatch):
    site = install("gone_zoo")
    (site / "gone_zoo" / "__init__.py").unlink()
    (site / "gone_zoo").rmdir()
    monkeypatch.syspath_prepend(str(site))
    with pytest.raises(PluginError, match="plugin 'gone_zoo': expected the package 'gone_zoo', found none"):
        config_names()


@pytest.mark.parametrize(
    ("path", "what", "ask"),
    [
        ("configs/scnn_culane.py", "config", config_names),
        ("model_cards/scnn_culane.md", "model card", card_names),
    ],
)
def test_a_name_of_the_zoo_is_an_error(install, monkeypatch, path, what, ask):
    monkeypatch.syspath_prepend(str(install("clash_zoo", {path: ""})))
    expected = f"plugin 'clash_zoo': expected a {what} with a unique name, found 'scnn_culane', which visionzoo has"
    with pytest.raises(PluginError, match=expected):
        ask()


def test_a_twin_of_the_zoo_is_an_error(install, monkeypatch):
    monkeypatch.syspath_prepend(str(install("twin_zoo", {"datasets/tiny/coco.py": "def draw(folder): ..."})))
    with pytest.raises(PluginError, match=r"found 'coco', which visionzoo has as well \(twin_zoo\.datasets"):
        twin_modules()


def test_two_plugins_are_named_where_they_clash(install, monkeypatch):
    install("one_zoo", {"tasks/dotting.py": ""})
    monkeypatch.syspath_prepend(str(install("two_zoo", {"tasks/dotting.py": ""})))
    with pytest.raises(PluginError, match=r"plugin 'two_zoo': expected a task .* found 'dotting', which one_zoo has"):
        registry.task_modules()


def test_a_module_of_ours_that_does_not_import_is_an_error(monkeypatch, fresh_models):
    def broken(name):
        raise RuntimeError(f"{name} is broken")

    monkeypatch.setattr(registry, "import_module", broken)
    with pytest.raises(RuntimeError, match=r"visionzoo\.backbones\.vgg is broken"):
        registry.MODELS.get("VGG")
