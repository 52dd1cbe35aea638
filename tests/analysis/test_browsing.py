"""``visionzoo browse``: the sheet of what a model is fed, for tasks with each kind of input."""

import json

import numpy as np
import pytest
from PIL import Image

from visionzoo.analysis.browsing import browse
from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.errors import ConfigError
from visionzoo.reports.captioned_sheets import Tile, captioned_sheet, hatched
from visionzoo.reports.volume_slices import draw_slices

SMALL = {
    "rcnet_retinanet": "tiny://coco?train=4&val=2&size=64",
    "dinat_mini_imagenet": "tiny://imagenet?train=10&val=10&size=24",
    "scnn_tusimple": "tiny://tusimple?train=3&val=2&test=2",
    "voxelmorph_2d": "tiny://oasis_2d?subjects=9&size=32",
}


def small(name, **options):
    root = SMALL[name]
    given = {f"{split}_dataloader.dataset.data_root": root for split in ("train", "val", "test")}
    return load_config(name, tiny=True, options={**given, **options})


@pytest.mark.parametrize(
    ("name", "split", "fact"),
    [
        ("rcnet_retinanet", "train", "classes"),
        ("rcnet_retinanet", "val", "classes"),
        ("dinat_mini_imagenet", "train", "classes"),
        ("scnn_tusimple", "test", "values"),
        ("voxelmorph_2d", "train", "values"),
    ],
)
def test_a_sheet_of_each_kind_of_input(name, split, fact):
    sheet, facts = browse(small(name), split, number=2)
    assert sheet.dtype == np.uint8
    assert facts[0].startswith(f"{name}, {split}: 2 of ")
    assert any(fact in line for line in facts)
    assert "without ground truth" not in " ".join(facts)
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 50


def test_values_before_normalisation_are_those_of_the_file():
    _, facts = browse(small("rcnet_retinanet"), "train", number=1)
    low, high = map(float, facts[1].partition("before normalisation ")[2].split(" to "))
    assert -0.5 <= low < 100 < high <= 255.5


def test_the_same_seed_gives_the_same_sheet_and_another_one_another_order():
    first, again, other = (browse(small("rcnet_retinanet"), "train", 4, seed)[0] for seed in (3, 3, 8))
    assert (first == again).all()
    assert first.shape != other.shape or (first != other).any()


def test_a_config_without_the_split_names_those_that_it_has():
    loaded = small("rcnet_retinanet")
    loaded.cfg.test_dataloader = None
    with pytest.raises(ConfigError, match="data for train, val; choose another --split"):
        browse(loaded, "test")


def test_padding_is_hatched_and_the_image_is_not():
    marked = hatched(np.full((40, 60, 3), 7, np.uint8), 30, 60)
    assert (marked[:30] == 7).all()
    assert {0, 7, 255} == set(np.unique(marked[30:]).tolist())


def test_a_sheet_has_a_legend_and_cuts_long_names():
    tile = Tile(np.zeros((30, 50, 3), np.uint8), ("a" * 500, "50x30"))
    with_legend = captioned_sheet([tile] * 3, ["title"], [(f"class {number}", (0, 0, 9)) for number in range(40)])
    without = captioned_sheet([tile] * 3, ["title"])
    assert with_legend.shape[0] > without.shape[0]
    assert with_legend.shape[1] == without.shape[1]


def test_outlines_of_labels_are_on_the_slices():
    image, labels = np.arange(600.0).reshape(20, 30), np.zeros((20, 30), np.int16)
    labels[5:12, 6:20] = 1
    plain, drawn = (draw_slices([image] * 2, [each, None], ("fixed", "moving")) for each in (None, labels))
    assert plain.shape == drawn.shape
    changed = (plain != drawn).any(axis=2)
    assert 50 < changed.sum() < changed.size / 4


def test_the_command_writes_a_file_and_keeps_an_older_one(tmp_path, capsys):
    path = tmp_path / "sheet.png"
    options = [f"{split}_dataloader.dataset.data_root={SMALL['rcnet_retinanet']}" for split in ("train", "val", "test")]
    words = ["browse", "rcnet_retinanet", "--tiny", "--number", "1", "-q", "-o", str(path), "--cfg-options", *options]
    assert main(words) == 0
    assert main([*words, "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[-1])["file"].endswith("sheet-2.png")
    assert Image.open(path).size == Image.open(tmp_path / "sheet-2.png").size
    assert main(["browse", "rcnet_retinanet", "--tiny", "--number", "0"]) == 2


def test_the_command_writes_png_files_only(tmp_path, capsys):
    for out, advice in ((tmp_path, "sheet.png"), (tmp_path / "a.jpg", ".png")):
        assert main(["browse", "rcnet_retinanet", "--tiny", "-o", str(out)]) == 2
        assert advice in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
