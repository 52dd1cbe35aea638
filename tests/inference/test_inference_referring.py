"""Referring segmentation from the command line and from Python: phrases, lists, videos, thresholds, files, mistakes."""

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from PIL import Image

from visionzoo import Inferencer
from visionzoo.cli.infer import main
from visionzoo.datasets.referring.listed_objects import ListedObjects
from visionzoo.errors import InputError
from visionzoo.inference.writing import PredictionWriter
from visionzoo.registry import MODELS
from visionzoo.structures.detections import decode_mask
from visionzoo.structures.shared_images import distinct_images

CONFIGS = Path(__file__).parents[2] / "configs"
COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (40, 60, 220)}
CONFIG = """
_base_ = ["_base_/refcoco.py", "_base_/schedule_40e_poly.py", "_base_/runtime.py"]
task = "referring"
model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", mean=[0, 0, 0], std=[255, 255, 255]),
    backbone=dict(type="ToyPixels"),
    head=dict(type="ToyFinder"),
)
"""


class ToyPixels(torch.nn.Module):
    """A backbone that returns the images."""

    out_channels, out_strides = (3,), (1,)

    def forward(self, x):
        return (x,)


class ToyFinder(torch.nn.Module):
    """A head that finds the colour that a phrase names, in the half that it names, and counts its calls."""

    calls: tuple = ()

    def forward(self, feats, batch):
        return torch.stack([self.map_of(image, sample.phrase) for image, sample in zip(feats[0], batch.samples)])

    def loss(self, feats, batch):
        return {"loss": feats[0].sum() * 0}

    def predict(self, feats, batch):
        type(self).calls = (*self.calls, distinct_images(batch.samples))
        for values, sample in zip(self(feats, batch), batch.samples):
            size = sample.ori_shape[:2]
            grown = torch.nn.functional.interpolate(values[None, None], size, mode="bilinear")[0, 0]
            sample.pred_map, sample.pred_mask = grown, grown >= 0.5
        return batch.samples

    @staticmethod
    def map_of(image, phrase):
        words = phrase.lower().split()
        named = [colour for name, colour in COLOURS.items() if name in words] or [(128, 128, 128)]
        colour = torch.tensor(named[0])[:, None, None] / 255
        near = 0.9 - 2 * (image - colour).abs().amax(0)
        if "left" in words:
            near[:, image.shape[2] // 2 :] = 0.1
        if "right" in words:
            near[:, : image.shape[2] // 2] = 0.1
        return near.clamp(0.05, 1)


class ToyChooser(ToyFinder):
    """A head of two branches that chooses between the halves of the image."""

    has_proposals = True

    def predict(self, feats, batch):
        for sample in super().predict(feats, batch):
            height, width = sample.ori_shape[:2]
            sample.pred_bottom_up, sample.pred_top_down = sample.pred_map, 0 * sample.pred_map
            sample.pred_reliability = torch.tensor([0.75, 0.25])
            if sample.metainfo.get("per_object"):
                masks = torch.zeros(2, height, width, dtype=torch.bool)
                masks[0, :, : width // 2] = masks[1, :, width // 2 :] = True
                boxes = torch.tensor([[0.0, 0, width // 2, height], [width // 2, 0, width, height]])
                scores, labels = torch.tensor([0.2, 0.8]), torch.tensor([-1, 1])
                sample.pred_objects = InstanceData(bboxes=boxes, masks=masks, scores=scores, labels=labels)
        return batch.samples


@pytest.fixture(autouse=True)
def parts(monkeypatch):
    monkeypatch.setattr(ToyFinder, "calls", ())
    for part in (ToyPixels, ToyFinder, ToyChooser):
        MODELS.register_module(module=part, force=True)
    yield
    for part in (ToyPixels, ToyFinder, ToyChooser):
        MODELS._module_dict.pop(part.__name__)


def scene(height=61, width=90):
    image = np.full((height, width, 3), 225, np.uint8)
    image[10:30, 5:25] = COLOURS["red"]
    image[35:55, 60:80] = COLOURS["red"]
    image[5:20, 55:85] = COLOURS["green"]
    return image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.py").write_text(CONFIG.replace('"_base_/', f'"{CONFIGS}/_base_/'))
    Image.fromarray(scene()).save(tmp_path / "a.png")
    Image.fromarray(scene()[:, ::-1].copy()).save(tmp_path / "b.png")
    return tmp_path


def infer(*words, code=0):
    assert main(["toy.py", *words, "--weights", "none", "--device", "cpu", "-o", "out", "-q"]) == code


def lines(folder):
    return [json.loads(line) for line in (folder / "out" / "predictions.jsonl").read_text("utf-8").splitlines()]


def test_objects_branches_and_reliabilities_on_request(folder, capsys):
    (folder / "toy.py").write_text((folder / "toy.py").read_text().replace("ToyFinder", "ToyChooser"))
    infer("a.png", "--text", "red box", "--text", "green", "--per-object", "--save", "branches")
    first = lines(folder)[0]["result"]
    assert first["reliability"] == {"bottom_up": 0.75, "top_down": 0.25}
    assert (first["objects"]["scores"], first["objects"]["names"]) == ([0.8, 0.2], ["1", "-1"])
    assert first["objects"]["boxes"][0] == [45, 0, 90, 61]
    assert decode_mask(first["objects"]["masks"][1])[:, :45].all()
    assert first["branches"] == ["branches/a_1/bottom_up.png", "branches/a_1/top_down.png"]
    maps = [np.asarray(Image.open(folder / "out" / path)) for path in first["branches"]]
    assert (maps[0].shape, maps[0].max() > 100, maps[1].max()) == ((61, 90), True, 0)
    model = Inferencer("toy.py", weights="none", device="cpu")
    plain, asked = (next(iter(model("a.png", text="red", per_object=each))).result for each in (False, True))
    assert (plain.objects, len(asked.objects)) == (None, 2)
    assert plain.branches["top_down"].shape == (61, 90)


def test_a_model_that_chooses_among_nothing_says_so(folder, capsys):
    assert main(["toy.py", "a.png", "--text", "red", "--per-object", "--weights", "none", "-o", "out"]) == 0
    assert "warning: --per-object changes nothing" in capsys.readouterr().err
    assert "objects" not in lines(folder)[0]["result"]


def results_of(folder, name, image_id, **entry):
    """Write results of a segmenter for one image: two boxes."""
    squares = [[[5, 10, 25, 10, 25, 30, 5, 30]], [[60, 35, 80, 35, 80, 55, 60, 55]]]
    entries = [{"image_id": image_id, "category_id": 1, "segmentation": each, "score": 0.9} | entry for each in squares]
    (folder / name).write_text(json.dumps(entries))


@pytest.mark.parametrize("image_id", ["a_000007.png", "a_000007", 7])
def test_objects_of_a_results_file(folder, image_id, capsys):
    (folder / "a.png").rename(folder / "a_000007.png")
    results_of(folder, f"{image_id}.json", image_id)  # one note for each file
    words = ["a_000007.png", "b.png", "--text", "red", "--proposals", f"{image_id}.json", "--per-object", "-o", "out"]
    assert main(["wico_lavt_refcoco", *words, "--weights", "none", "--tiny", "--device", "cpu"]) == 0
    listed, unlisted = (each["result"]["objects"] for each in lines(folder))
    assert sorted(np.round(listed["boxes"]).tolist()) == [[5, 10, 25, 30], [60, 35, 80, 55]]
    assert unlisted["boxes"] == []
    assert "no entry for b.png; images without an entry have no proposals" in capsys.readouterr().err


def test_objects_of_an_earlier_inference_are_found_by_its_lines(folder):
    results_of(folder, "predictions.coco.json", 2)
    names = "".join(json.dumps({"input": name}) + "\n" for name in ("b.png", "sub/a.png"))
    (folder / "predictions.jsonl").write_text(names)
    listed = ListedObjects(folder / "predictions.coco.json")
    assert [len(listed.of(name)) for name in ("images/a.png", "sub/a.png", "b.png", "2.png")] == [2, 2, 0, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("[", "--proposals: .*bad.json"), ('{"a": 1}', "bad.json: expected results in COCO's format"), (None, "bad.json")],
)
def test_unusable_results_are_one_sentence(folder, capsys, text, message):
    if text is not None:
        (folder / "bad.json").write_text(text)
    infer("a.png", "--text", "red", "--proposals", "bad.json", code=2)
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert "Traceback" not in said


def middle(mask):
    rows, columns = np.nonzero(mask)
    return int(columns.mean()), int(rows.mean())


def test_one_line_per_image_and_phrase_with_masks_rle_and_scores(folder):
    infer("a.png", "b.png", "--text", "left red box", "--text", "the  green box", "--save", "map,rle")
    records = lines(folder)
    assert [each["input"] for each in records] == ["a.png#1", "a.png#2", "b.png#1", "b.png#2"]
    assert [(each["image"], each["text"]) for each in records[:2]] == [
        ("a.png", "left red box"),
        ("a.png", "the green box"),
    ]
    first = records[0]["result"]
    mask = np.asarray(Image.open(folder / "out" / first["mask"]))
    assert mask.shape == (61, 90)
    assert set(np.unique(mask)) == {0, 255}
    assert middle(mask) == (14, 19)
    assert (decode_mask(first["rle"]) == (mask > 0)).all()
    assert abs(np.array(first["box"]) - (5, 10, 25, 30)).max() <= 1
    assert first["found"] is True
    assert first["message"] == f"score {first['score']:.2f}"
    assert middle(np.asarray(Image.open(folder / "out" / records[2]["result"]["mask"])))[0] < 45  # b.png is mirrored
    assert {path.name for path in (folder / "out" / "maps").iterdir()} == {f"{x}_{n}.png" for x in "ab" for n in (1, 2)}
    assert json.loads((folder / "out" / first["rle_file"]).read_text())["text"] == "left red box"
    with open(folder / "out" / "predictions.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["input", "image", "text", "found", "score", "area", "left", "top", "right", "bottom"]
    assert [row["found"] for row in rows] == ["1"] * 4


def test_the_overlay_has_the_phrase_and_the_mask(folder):
    infer("a.png", "--text", "left red box", "--text", "blue disc")
    drawn = [np.asarray(Image.open(folder / "out" / "vis" / f"a_{number}.png")).astype(int) for number in (1, 2)]
    scale = drawn[0].shape[0] // 61
    plain = np.kron(scene(), np.ones((scale, scale, 1), int))
    changed = [np.abs(each - plain).max(2) > 20 for each in drawn]
    assert changed[0][15 * scale : 25 * scale, 10 * scale : 20 * scale].mean() > 0.9
    assert 0 < changed[1].mean() < changed[0].mean()  # only the text


def test_a_phrase_that_fits_nothing_says_so(folder, capsys):
    assert main(["toy.py", "a.png", "--text", "blue disc", "--weights", "none", "--device", "cpu", "-o", "out"]) == 0
    (record,) = lines(folder)
    result = record["result"]
    assert (result["found"], result["box"], result["area"]) == (False, None, 0)
    assert result["message"] == f"nothing found (best {result['score']:.2f})"
    assert 0 < result["score"] < 0.5
    said = capsys.readouterr().err
    assert f"a.png#1: blue disc: nothing found (best {result['score']:.2f})" in said
    assert "a mask for 0 of 1 phrases; nothing found for the other (best" in said


def test_thresholds_of_masks_and_scores(folder):
    infer("a.png", "--text", "left red box", "--text", "red box", "--mask-threshold", "0.85")
    strict = [each["result"]["area"] for each in lines(folder)]
    infer("a.png", "--text", "left red box", "--text", "red box", "--mask-threshold", "0.2", "--overwrite")
    loose = [each["result"]["area"] for each in lines(folder)]
    assert all(a < b for a, b in zip(strict, loose))
    infer("a.png", "--text", "red box", "--score-threshold", "0.99", "--overwrite")
    assert lines(folder)[0]["result"]["message"].startswith("nothing found (best 0.")


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.jsonl"])
def test_lists_name_images_with_phrases_of_their_own(folder, name):
    (folder / "sub").mkdir()
    pairs = [("../a.png", "left red box"), ("b.png", "grüne Säule, rechts"), ("../a.png", "the green box")]
    (folder / "b.png").rename(folder / "sub" / "b.png")
    if name.endswith(".csv"):
        text = "Image;Text\n" + "".join(f"{image};{phrase}\n" for image, phrase in pairs)
    else:
        text = "".join(json.dumps({"image": a, "text": b, "mask": None}, ensure_ascii=False) + "\n" for a, b in pairs)
    (folder / "sub" / name).write_text(text, encoding="utf-8-sig")
    infer(f"sub/{name}")
    records = lines(folder)
    assert [each["input"].rpartition("/")[2] for each in records] == ["a.png#1", "b.png#1", "a.png#2"]
    assert [each["text"] for each in records] == [phrase for _, phrase in pairs]


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_an_interrupted_run_continues_between_the_phrases_of_an_image(folder, monkeypatch, killed_at):
    words = ["a.png", "b.png", "--text", "left red box", "--text", "the green box", "--save", "map,rle"]
    infer(*words)
    (folder / "out").rename(folder / "whole")
    write = PredictionWriter.write

    def interrupted(self, prediction):
        if self.done == killed_at:
            raise KeyboardInterrupt
        write(self, prediction)

    with monkeypatch.context() as patch:
        patch.setattr(PredictionWriter, "write", interrupted)
        infer(*words, code=130)
    assert len(lines(folder)) == killed_at
    infer(*words, "--resume")
    names = sorted(path.relative_to(folder / "whole") for path in (folder / "whole").rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(folder / "out") for path in (folder / "out").rglob("*") if path.is_file())
    assert len(names) > 12
    changed = [name for name in names if (folder / "out" / name).read_bytes() != (folder / "whole" / name).read_bytes()]
    assert [name.name for name in changed] == ["run.json"]  # it has times


def test_bad_entries_of_a_list_are_reported_and_the_others_done(folder):
    rows = ["image,text", "a.png,red box", "a.png,", "none.png,red box", 'a.png,"open quote', "b.png,a,b", "b.png,red"]
    (folder / "pairs.csv").write_text("\n".join(rows))
    infer("pairs.csv", code=1)
    errors = [each.get("error") for each in lines(folder)]
    assert [error is None for error in errors] == [True, False, False, False, False, True]
    assert "pairs.csv: line 3: text: expected one text, found none; write one line for each phrase" in errors[1]
    assert "expected an image, found no such file" in errors[2]
    assert "pairs.csv: line 5: expected every quote closed on its line" in errors[3]
    assert "line 6: expected 2 cells" in errors[4]
    (folder / "pairs.jsonl").write_text(
        '{"image": "a.png", "text": ["left", "right"]}\n{"image": "a.png", "text": "red"}'
    )
    infer("pairs.jsonl", "--overwrite", code=1)
    assert (
        "pairs.jsonl: line 1: text: expected one text, found ['left', 'right']; write one line"
        in lines(folder)[0]["error"]
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.png"], r'expected --text "PHRASE" for these images, found none'),
        (["a.png", "--text", " "], "--text: expected a phrase, found an empty text; describe the object"),
        (["a.png", "--text", "x", "--mask-threshold", "1.5"], "--mask-threshold: expected a probability above 0"),
        (["a.jpeg", "--text", "x"], "a.jpeg: expected an image, found no such file"),
        (["empty.csv"], "empty.csv: line 1: expected a header with the columns image, text"),
        (["empty.jsonl"], "empty.jsonl: expected .* found no entry"),
        (["a.png", "--text", "x", "--save", "txt"], "--save txt"),
    ],
)
def test_mistakes_are_one_sentence(folder, capsys, words, message):
    for name in ("empty.csv", "empty.jsonl"):
        (folder / name).write_text("")
    infer(*words, code=2)
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert "Traceback" not in said


def test_long_and_foreign_phrases_are_used_as_they_are(folder):
    phrases = [" ".join(["the red box"] * 80), "красный ящик 赤い箱 🟥"]
    infer("a.png", "--text", phrases[0], "--text", phrases[1])
    assert [each["text"] for each in lines(folder)] == phrases


def test_a_phrase_follows_the_frames_of_a_video(folder):
    video = cv2.VideoWriter("clip.mp4", cv2.VideoWriter_fourcc(*"mp4v"), 10, (90, 60))
    for number in range(3):
        video.write(np.roll(scene(60, 90), number, axis=0)[..., ::-1].copy())
    video.release()
    infer("clip.mp4", "--text", "left red box", "--text", "the green box")
    records = lines(folder)
    assert [each["input"] for each in records] == [f"clip.mp4#{frame:06d}#{n}" for n in (1, 2) for frame in range(3)]
    assert [each["frame"] for each in records] == [0, 1, 2, 0, 1, 2]
    assert {path.name for path in (folder / "out" / "vis").iterdir()} == {"clip_1.mp4", "clip_2.mp4"}


def test_from_python_and_in_batches(folder):
    inferencer = Inferencer("toy.py", "none", device="cpu", options={"image_size": (61, 90)})
    phrases = ["left red box", "right red box", "the green box"]
    single = [inferencer.one(scene(), text=phrase) for phrase in phrases]
    ToyFinder.calls = ()
    batched = list(inferencer(scene(), text=phrases))
    assert [each.source.name for each in batched] == ["input 0#1", "input 0#2", "input 0#3"]
    assert ToyFinder.calls == (([0], [0, 0, 0]),)  # the model can see that the images are one
    for one, other in zip(single, batched, strict=True):
        np.testing.assert_allclose(one.result.map, other.result.map, atol=1e-6)
    assert inferencer.one("a.png", text="left red box").result.box[0] < 45
    assert next(inferencer("a.png", text="red", mask_threshold=0.3)).result.is_found
    with pytest.raises(InputError, match="text: expected a phrase, or a list of phrases, found none"):
        next(inferencer("a.png"))
    with pytest.raises(InputError, match="text: expected a phrase, found a value of type int"):
        next(inferencer("a.png", text=[3]))


@pytest.mark.parametrize(
    ("size", "phrases", "batches"),
    [(1, 3, [3, 3, 3]), (2, 3, [6, 3]), (1, 20, [16, 4, 16, 4, 16, 4])],
)
def test_phrases_of_an_image_count_as_one_image_of_a_batch(folder, size, phrases, batches):
    inferencer = Inferencer("toy.py", "none", device="cpu", options={"image_size": (61, 90)})
    found = list(inferencer([scene()] * 3, text=["red box"] * phrases, batch_size=size))
    assert [each.source.name for each in found] == [f"input {i}#{n + 1}" for i in range(3) for n in range(phrases)]
    assert [len(images) for _, images in ToyFinder.calls] == batches
