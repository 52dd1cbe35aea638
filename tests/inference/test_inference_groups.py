"""Models that read several images together: every folder is a group, and each image has its own result."""

import json

import numpy as np
import pytest
import torch
from inference_scenes import scene
from PIL import Image

from visionzoo import Inferencer
from visionzoo.cli.infer import main
from visionzoo.errors import DataError, InputError
from visionzoo.zoo import get_model

NAME = "gconet_plus"
SOFT = "model.head.cem=False"  # maps that are not nearly binary, so that every change is visible
CHANGED = ["--allow-new", "--cfg-options", SOFT]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Save untrained weights whose maps depend on the other images of the group."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = get_model(NAME, tiny=True, **{"model.head.cem": False})
    path = tmp_path_factory.mktemp("weights") / "groups.pth"
    torch.save({"state_dict": model.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def inferencer(weights):
    return Inferencer(NAME, weights, tiny=True, device="cpu", options=[SOFT], allow_new=True)


@pytest.fixture
def folders(tmp_path):
    """Return two groups of different sizes, one with an unreadable image, and a group with only a text file."""
    root = tmp_path / "in"
    for group, count in (("cats", 3), ("deep/dogs", 2), ("empty", 0)):
        (root / group).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(scene(50 + 9 * number, 71, number)).save(root / group / f"{number}.png")
    (root / "cats" / "x.jpg").write_bytes(b"not an image")
    (root / "empty" / "notes.txt").write_text("nothing to see")
    return root


def test_a_folder_is_a_group(inferencer, folders):
    predictions = list(inferencer(folders, errors="report"))
    assert [each.source.place.as_posix() for each in predictions] == [
        "cats/0.png", "cats/1.png", "cats/2.png", "cats/x.jpg", "deep/dogs/0.png", "deep/dogs/1.png",
    ]  # fmt: skip
    assert [each.group_size for each in predictions] == [4] * 4 + [2] * 2
    assert len({each.group for each in predictions}) == 2
    assert isinstance(predictions[3].error, DataError)
    for each in predictions[:3]:
        assert each.result.map.shape == each.size[::-1]
    assert predictions[0].record()["group"] == str(folders / "cats")


def test_a_group_that_cannot_be_used_leaves_the_others(inferencer, folders, monkeypatch):
    def resized(results):
        if len(results["img"]) == 3:
            raise ValueError("an image is too small")
        return results

    monkeypatch.setattr(inferencer.prepare, "transforms", [resized, *inferencer.prepare.transforms])
    predictions = list(inferencer(folders, errors="report"))
    assert [each.error is None for each in predictions] == [False] * 4 + [True] * 2
    assert "0.png and 2 more: expected" in str(predictions[0].error)
    assert "0.png and 2 more" not in str(predictions[3].error)
    with pytest.raises(InputError, match="2 more: expected an image that the test pipeline can use"):
        list(inferencer([folders / "cats" / f"{number}.png" for number in range(3)]))


def test_images_of_a_group_change_each_other_and_other_groups_do_not(inferencer, folders):
    together = list(inferencer(folders, errors="report"))
    alone = list(inferencer(folders / "deep" / "dogs"))
    assert all(np.array_equal(a.result.map, b.result.map) for a, b in zip(together[4:], alone, strict=True))
    single = inferencer.one(folders / "cats" / "0.png")
    assert single.group_size == 1
    assert not np.array_equal(single.result.map, together[0].result.map)


def test_order_of_inputs_is_order_of_results(inferencer, folders):
    mixed = [folders / "cats" / "0.png", folders / "deep" / "dogs" / "0.png", folders / "cats" / "1.png"]
    predictions = list(inferencer(mixed))
    assert [each.source.value for each in predictions] == mixed
    assert [each.group_size for each in predictions] == [2, 1, 2]


def test_images_in_memory_are_one_group(inferencer):
    predictions = list(inferencer([scene(40, 60), scene(61, 45, 1), scene(1, 1, 2)], keep_images=True))
    assert {each.group for each in predictions} == {"inputs"}
    assert [each.result.map.shape for each in predictions] == [(40, 60), (61, 45), (1, 1)]
    assert predictions[1].image.shape == (61, 45, 3)


def test_a_broken_image_raises_when_it_is_read(inferencer, folders):
    with pytest.raises(DataError, match=r"x\.jpg"):
        list(inferencer(folders))


def test_the_command_writes_maps_and_a_sheet_of_every_group(weights, folders, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([NAME, str(folders), "--tiny", "--weights", str(weights), "-o", str(out), *CHANGED]) == 1  # x.jpg
    assert "x.jpg" in capsys.readouterr().err
    records = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert [record["result"]["map"] for record in records if "result" in record] == [
        "raw/cats/0.png", "raw/cats/1.png", "raw/cats/2.png", "raw/deep/dogs/0.png", "raw/deep/dogs/1.png",
    ]  # fmt: skip
    written = np.asarray(Image.open(out / "raw" / "cats" / "2.png"))
    assert (written.dtype, written.shape) == (np.uint8, (68, 71))
    assert sorted(path.relative_to(out).as_posix() for path in (out / "sheets").rglob("*.jpg")) == [
        "sheets/cats.jpg", "sheets/deep/dogs.jpg",
    ]  # fmt: skip
    assert Image.open(out / "sheets" / "cats.jpg").size == (396, 396)


def test_an_empty_group_is_an_error(weights, folders, tmp_path, capsys):
    line = [NAME, str(folders / "empty"), "--tiny", "--weights", str(weights), "-o", str(tmp_path / "out"), *CHANGED]
    assert main(line) == 2
    assert "expected images, found none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
