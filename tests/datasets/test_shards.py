"""Shards as a data set: samples equal those of the files, in the pipelines of all tasks that read images."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from shard_files import save_shard
from torch.utils.data import DataLoader

from visionzoo.cli.train import main as train
from visionzoo.config import load_config
from visionzoo.datasets.classification import ImageFolder
from visionzoo.datasets.shard_dataset import ShardDataset
from visionzoo.datasets.shard_writing import write_shards
from visionzoo.datasets.shards import ShardMember, expanded_braces, members_of, shards_in
from visionzoo.engine.loaders import build_dataset, build_loader
from visionzoo.engine.shard_sampler import ShardSampler
from visionzoo.errors import ConfigError, DataError

TASKS = (
    "bossnet_t0_imagenet", "rcnet_retinanet", "rcnet_mask_rcnn", "connnet_r50", "hmode_shanghaitech_a", "scnn_culane",
    "mask2former_r50_coconut", "lavt_refcoco",
)  # fmt: skip


@pytest.fixture(scope="module")
def classes():
    return ImageFolder("tiny://imagenet?train=10&val=7&size=24", split="val")


def equal(one, other):
    """Return True if two samples of a pipeline have the same values."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if hasattr(one, "all_items"):
        first, second = ({k: v for k, v in each.all_items() if not k.endswith("_path")} for each in (one, other))
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if hasattr(one, "tensor"):
        return torch.equal(one.tensor, other.tensor)
    if hasattr(one, "masks"):
        return str(one.masks) == str(other.masks)
    return bool(np.all(one == other))


@pytest.mark.parametrize("name", TASKS)
def test_samples_of_a_task_equal_those_of_its_files(name, tmp_path):
    cfg = load_config(name, tiny=True).cfg.train_dataloader.dataset
    files = build_dataset({**cfg, "indices": 6}, where="data")
    write_shards(files, tmp_path / "shards", samples=4)
    shards = dict(type="ShardDataset", shards=str(tmp_path / "shards"), pipeline=cfg["pipeline"])
    dataset = build_dataset(shards, where="data")
    assert dataset.shard_sizes == (4, 2)
    for key in {"classes", "thing_classes"} & set(files.metainfo):
        assert tuple(dataset.metainfo[key]) == tuple(files.metainfo[key])
    with DefaultScope.overwrite_default_scope("visionzoo"):
        loading = dict(batch_size=2, sampler=dict(type="DefaultSampler", shuffle=False))
        loaders = [build_loader(loading, each, seed=3) for each in (files, dataset)]
        for one, other in zip(*loaders, strict=True):
            assert equal(one, other)


def test_training_on_shards_equals_training_on_files(classes, tmp_path, capsys):
    cfg = load_config("bossnet_t0_imagenet", tiny=True).cfg.train_dataloader.dataset
    write_shards(build_dataset(cfg, where="data"), tmp_path / "shards", samples=50)
    data = f"dict(type='ShardDataset',shards={str(tmp_path / 'shards')!r},pipeline={cfg['pipeline']!r})"
    same = ["--cfg-options", "train_cfg.max_epochs=1", "train_dataloader.sampler=dict(type='DefaultSampler')"]
    fixed = ["bossnet_t0_imagenet", "--tiny", "--device", "cpu", "-q", "--seed", "0", "--json"]
    states = []
    for out, further in (("files", []), ("shards", [f"train_dataloader.dataset={data}"])):
        assert train([*fixed, "-o", str(tmp_path / out), *same, *further]) == 0
        checkpoint = json.loads(capsys.readouterr().out)["checkpoint"]
        states.append(torch.load(checkpoint, weights_only=True)["state_dict"])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_endings_of_others_shards(tmp_path, capfd):
    files = {"a/1.seg.png": b"", "a/1.jpg": b"", "a/1.cls": b" 3\n", "a/1.json": b'{"width": 4}', "a/1.txt": b"words",
             "a/2.PNG": b"", "lost.cls": b"1"}  # fmt: skip
    save_shard(tmp_path / "0.tar", files)
    dataset = ShardDataset("0.tar", str(tmp_path), keys={"seg.png": "gt_path"}, classes=["cat", "dog"])
    first, second = (dataset.get_data_info(number) for number in range(2))
    assert (first["gt_label"], first["width"], first["gt_path"].name) == (3, 4, "a/1.seg.png")
    assert str(second["img_path"]) == f"{tmp_path}/0.tar#a/2.PNG"
    assert dataset.metainfo["classes"] == ("cat", "dog")
    assert "gt_label" not in ShardDataset("0.tar", str(tmp_path), keys={"cls": None}).get_data_info(0)
    said = "".join(capfd.readouterr())
    assert "0.tar#lost.cls: samples without an image are left out; the files of a sample must be neighbours (1)" in said


def test_names_of_shards(tmp_path):
    for name in ("00.tar", "01.tar", "other.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in shards_in(tmp_path)] == ["00.tar", "01.tar"]
    assert [path.name for path in shards_in("{00..01}.tar", tmp_path)] == ["00.tar", "01.tar"]
    assert expanded_braces("{9..11}") == ["9", "10", "11"]
    assert expanded_braces("a{}b{x}") == ["a{}b{x}"]
    with pytest.raises(DataError, match=r"02.tar: expected a shard, NAME.tar, found none; check the path"):
        ShardDataset("{00..02}.tar", str(tmp_path))
    assert ShardMember("0.tar", ".hidden", 0, 0).key == (".hidden", "hidden")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"1.jpg": b"", "1.cls": b"cat"}, "0.tar#1.cls: expected the number of a class, from 0, found 'cat'"),
        ({"1.jpg": b"", "1.json": b"[1]"}, "0.tar#1.json: expected a JSON object, found [1]"),
        ({"1.jpg": b"", "1.json": b"{"}, "0.tar#1.json: expected a JSON object, found other text ("),
        ({"1.jpg": b"", "1.json": b"[" * 100_000}, "0.tar#1.json: expected a JSON object, found other text ("),
        (
            {"1.jpg": b"", "1.json": b'{"gt_points": {"array": [1]}}'},
            "0.tar#1.json: expected arrays with dtype and shape, found others ('dtype')",
        ),
        ({"1.json": b'{"img_path": "/a.jpg"}'}, "0.tar: expected samples with an image, found none"),
        ({"1.jpg": b"", "1.png": b""}, "0.tar#1.png: expected one img_path in a sample, found a second one; give "),
        ({"1.cls": b"1", "1.json": b'{"gt_label": 1}'}, "0.tar#1.json: expected one gt_label in a sample, found a"),
        ({"1.txt": b"a"}, "0.tar: expected samples with an image, found none"),
    ],
)
def test_wrong_samples_are_named(tmp_path, files, words):
    save_shard(tmp_path / "0.tar", files)
    with pytest.raises(DataError) as error:
        ShardDataset("0.tar", str(tmp_path))
    assert words in str(error.value)


def test_a_damaged_shard_and_an_unreadable_image(tmp_path, classes, capfd):
    shards = write_shards(classes, tmp_path / "shards", samples=4)
    whole = shards[1].read_bytes()
    shards[1].write_bytes(whole[: whole.index(b"000000006.jpeg")])
    with pytest.raises(DataError, match=r"000001.tar: expected the end of a tar file, a block of zeros, found 0 bytes"):
        ShardDataset(str(tmp_path / "shards"))
    with DefaultScope.overwrite_default_scope("visionzoo"):
        dataset = ShardDataset(str(tmp_path / "shards"), allow_damaged=True, pipeline=[dict(type="LoadImage")])
    assert dataset.shard_sizes == (4, 2)
    assert "the 2 samples before it are used" in "".join(capfd.readouterr())
    image = next(each for each in members_of(shards[0]) if each.name == "000000002.jpeg")
    data = bytearray(shards[0].read_bytes())
    data[image.offset : image.offset + image.size] = b"x" * image.size
    shards[0].write_bytes(data)
    with pytest.raises(DataError, match=r"000000.tar#000000002.jpeg: expected an image"):
        dataset[2]


def test_shards_are_not_written_over_others(tmp_path, classes):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="expected an empty folder, found files in it"):
        write_shards(classes, tmp_path)
    with pytest.raises(ConfigError, match="samples: expected 1 or more, found 0"):
        write_shards(classes, tmp_path / "new", samples=0)
    assert json.loads((write_shards(classes, tmp_path / "new")[0].parent / "shards.json").read_text())["samples"] == 7


# --- order ---


class Sized:
    shard_sizes = (4, 1, 7, 3, 5)

    def __len__(self):
        return 20


@pytest.fixture
def samplers(monkeypatch):
    """Return a function that makes the samplers of all processes."""

    def make(count, **options):
        made = []
        for rank in range(count):
            monkeypatch.setattr("visionzoo.engine.shard_sampler.get_dist_info", lambda rank=rank: (rank, count))
            made.append(ShardSampler(Sized(), **options))
        return made

    return make


def test_all_processes_together_read_each_sample_once(samplers):
    for count in (1, 2, 3, 4):
        orders = [list(each) for each in samplers(count, seed=1, buffer=3)]
        assert len({len(order) for order in orders}) == 1
        drawn = [sample for order in orders for sample in order]
        assert sorted(set(drawn)) == list(range(20))
        assert len(drawn) - 20 < count


def test_the_order_depends_on_seed_and_epoch_only(samplers):
    one, again = (samplers(2, seed=5, buffer=4)[1] for _ in range(2))
    assert list(one) == list(one) == list(again)
    again.set_epoch(1)
    assert list(one) != list(again)
    assert list(samplers(2, seed=6, buffer=4)[1]) != list(one)
    assert list(samplers(1, shuffle=False)[0]) == list(range(20))


def test_a_small_buffer_reads_shards_one_after_another(samplers):
    (sampler,) = samplers(1, seed=2, buffer=2)
    starts = np.cumsum((0, *Sized.shard_sizes))
    shards = [int(np.searchsorted(starts, sample, side="right")) for sample in sampler]
    first = list(dict.fromkeys(shards))
    assert [shards.count(shard) for shard in first] == [Sized.shard_sizes[shard - 1] for shard in first]
    far = [abs(place - sorted(shards, key=first.index).index(shard)) for place, shard in enumerate(shards)]
    assert max(far) <= max(Sized.shard_sizes) + 2
    (mixed,) = samplers(1, seed=2, buffer=20)
    assert [*mixed] != [*sampler]


def test_workers_take_batches_in_turn_and_change_no_order(tmp_path, classes):
    write_shards(classes, tmp_path / "shards", samples=3)
    dataset = ShardDataset(str(tmp_path / "shards"), max_samples=6)
    assert dataset.shard_sizes == (3, 3)
    sampler = ShardSampler(dataset, seed=1, buffer=2)
    drawn = [
        [str(sample["img_path"]) for batch in loader for sample in batch]
        for workers in (0, 2)
        for loader in [DataLoader(dataset, 2, sampler=sampler, num_workers=workers, collate_fn=list)]
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 6


def test_import_of_shards_needs_no_torch():
    code = "import sys, visionzoo.datasets.shards; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
