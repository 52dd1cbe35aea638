"""Referring expressions: refs, splits, masks, phrases, and what is wrong with files."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image
from refer_files import FOLDER, OVER, SQUARE, instances, ref, write_refer

from visionzoo.datasets.referring.refs_file import Ref, refs_of_split
from visionzoo.datasets.referring.segments import area_of, mask_of, mask_sum, parts_of
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import DataError, UnknownName
from visionzoo.registry import TRANSFORMS

PIPELINE = [{"type": "LoadImage"}, {"type": "LoadReferredMask"}, {"type": "ChoosePhrase"}, {"type": "PackTaskInputs"}]


def read(root, **options):
    return build_dataset(dict(type="ReferDataset", data_root=root, serialize_data=False, **options), where="data set")


def read_phrases(root, **options):
    return build_dataset(dict(type="PhraseMaskDataset", data_root=root, serialize_data=False, **options), where="lines")


def test_a_ref_is_one_sample_in_training_and_one_per_phrase_in_testing(tmp_path):
    refs = [ref(1, phrases=("Left box!", "the red one")), ref(2, "val", phrases=("disc",))]
    root = write_refer(tmp_path, refs)
    (sample,) = read(root)
    assert sample["img_path"].endswith(f"{FOLDER}/COCO_train2014_000000000001.jpg")  # without the suffix in refs
    assert (sample["phrases"], sample["ref_id"]) == (["Left box!", "the red one"], 1)
    tested = read(root, test_mode=True)
    assert [(each["phrase"], each["sent_id"]) for each in tested] == [("Left box!", 10), ("the red one", 11)]
    assert len(read(root, split="all", test_mode=True)) == 3


def test_the_json_twin_gives_the_same_samples(tmp_path):
    refs = [ref(1, phrases=("café", "b")), ref(2, "testA"), ref(3, "testAB")]
    first = write_refer(tmp_path / "pickle", refs)
    second = write_refer(tmp_path / "json", refs, file="refs(unc).json")
    for split in ("train", "testA", "testB", "test", "all"):
        samples = [[{**each, "img_path": ""} for each in read(root, split=split)] for root in (first, second)]
        assert samples[0] == samples[1]


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("", [0, 1, 2, 3, 4, 5, 6]),
        ("train", [0]),
        ("val", [1]),
        ("test", [2, 3, 4, 5, 6]),
        ("testA", [3, 5]),
        ("testB", [4, 5, 6]),
        ("testC", [6]),
        ("testAB", [5]),
        ("testBC", [6]),
    ],
)
def test_splits_follow_the_rules_of_refer(split, expected):
    names = ("train", "val", "test", "testA", "testB", "testAB", "testBC")
    refs = [Ref(number, 1, (1,), name, ("a",), (0,)) for number, name in enumerate(names)]
    assert [each.ref_id for each in refs_of_split(refs, split, "refs")] == expected


def test_an_unknown_or_empty_split_names_the_splits(tmp_path):
    root = write_refer(tmp_path, [ref(1), ref(2, "val")])
    with pytest.raises(UnknownName, match="no split of refs is called 'tset'; did you mean 'test'"):
        read(root, split="tset")
    with pytest.raises(DataError, match=r"expected refs of the split testA, found only train \(1\), val \(1\)"):
        read(root, split="testA")


def test_polygons_that_overlap_and_rles():
    size = (17, 23)
    covered = mask_sum([SQUARE, OVER], size)
    assert covered.shape == size
    assert (covered == 2).sum() == 32
    assert area_of([SQUARE, OVER], size) == 128
    assert mask_of([[SQUARE, OVER]], size).sum() == 96
    assert mask_of([[SQUARE, OVER]], size, legacy_overlap=True).sum() == 64
    assert not mask_of([], size).any()
    assert mask_of([[SQUARE], [OVER]], size).sum() == 96  # two objects of one phrase
    code = {"size": [2, 3], "counts": [0, 2, 4]}
    assert mask_of([[code]], (2, 3)).tolist() == [[True, False, False]] * 2
    assert parts_of(code) == [code]


def test_the_mask_is_drawn_for_training_and_at_the_original_size_for_tests(tmp_path):
    root = write_refer(tmp_path, [ref(1, phrases=("a", "b", "c"))])
    resize = {"type": "Resize", "scale": (46, 51), "keep_ratio": False, "backend": "pillow"}
    trained = read(root, pipeline=[PIPELINE[0], PIPELINE[1], resize, *PIPELINE[2:]])[0]["data_samples"]
    tested = read(root, pipeline=[PIPELINE[0], resize, *PIPELINE[1:]], test_mode=True)[0]["data_samples"]
    assert (trained.gt_map.shape, tested.gt_map.shape) == ((51, 46), (17, 23))
    assert trained.gt_map.unique().tolist() == [0, 255]
    assert tested.phrase == "a"


def test_training_draws_another_phrase_each_time_from_the_seed(tmp_path):
    root = write_refer(tmp_path, [ref(1, phrases=("a", "b", "c"))])
    dataset = read(root, pipeline=PIPELINE)

    def drawn():
        np.random.seed(3)
        return [dataset[0]["data_samples"].phrase for _ in range(12)]

    first = drawn()
    assert set(first) == {"a", "b", "c"}
    assert first == drawn()


def test_grefcoco_has_phrases_for_several_objects_and_for_none(tmp_path):
    record = instances(of_1=[SQUARE], of_2=[[15, 1, 20, 1, 20, 5, 15, 5]])
    refs = [ref(1, "val", ann=[1, 2]), ref(2, "val", ann=[-1], no_target=True), ref(3, "val", ann=[])]
    root = write_refer(tmp_path, refs, record, name="grefcoco", file="grefs(unc).json")
    dataset = read(root, name="grefcoco", split="val", pipeline=PIPELINE)
    areas = [int((dataset[n]["data_samples"].gt_map > 0).sum()) for n in range(3)]
    assert areas == [64 + 20, 0, 0]


BAD = {
    "annotation": ([ref(1, ann=77)], {}, "ref 1: ann_id: expected the id of one of the annotations, found 77"),
    "image": ([ref(1, image=9)], {}, "ref 1: image_id: expected the id of one of the images, found 9"),
    "other image": (
        [ref(1, image=2)],
        {},
        "annotation 1: segmentation: expected a mask in the image 2, found one of the image 1",
    ),
    "outside": (
        [ref(1)],
        {"of_1": [[30, 1, 40, 1, 40, 9]]},
        "annotation 1: segmentation: expected a mask in the image 1, found a polygon outside the image of 23x17 pixels",
    ),
    "no mask": ([ref(1)], {"of_1": []}, "found no segmentation"),
    "two corners": ([ref(1)], {"of_1": [[1, 1, 5, 5]]}, "found a polygon of 4 numbers"),
    "twice": ([ref(1), ref(1)], {}, "ref_id: expected 1 in one ref, found it in 2"),
    "no phrase": ([ref(1, phrases=())], {}, "ref 1: sentences: expected a list of objects with raw or sent"),
    "no split": ([ref(1, split="")], {}, "ref 1: split: expected a name, found ''"),
    "no object": ([ref(1), 7], {}, r"refs\[1\]: entry: expected an object, found 7"),
    "no list": ({"refs": []}, {}, "found a value of type dict"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_refs(tmp_path, case):
    refs, segmentations, message = BAD[case]
    root = write_refer(tmp_path, refs, instances(**segmentations))
    with pytest.raises(DataError, match=message):
        read(root)


def test_missing_files_are_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"refcoco: expected a folder with refs\(unc\)\.p.*README.md"):
        read(str(tmp_path))
    root = write_refer(tmp_path, [ref(1)], images=False)
    with pytest.raises(DataError, match=f"expected 1 images in {FOLDER}, found 1 missing"):
        read(root)
    with pytest.raises(DataError, match=r"expected refs\(umd\)\.p, .* found only refs\(unc\)\.p; set split_by"):
        read(root, split_by="umd")
    (tmp_path / "refcoco" / "instances.json").unlink()
    with pytest.raises(DataError, match=r"instances\.json: expected annotations of the refs"):
        read(root)


class RunsCode:
    def __reduce__(self):
        import os

        return os.system, ("touch pwned",)


def test_a_pickle_that_carries_code_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = write_refer(tmp_path, [ref(1)])
    (tmp_path / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps([RunsCode()], protocol=2))
    with pytest.raises(DataError, match=r"names (posix|nt)\.system; it could run code"):
        read(root)
    assert not (tmp_path / "pwned").exists()


@pytest.fixture
def notes(monkeypatch):
    """Texts of all warnings about data."""
    found = []
    monkeypatch.setattr("visionzoo.datasets.findings.say_notes", lambda where, notes: found.append(dict(notes)))
    return found


def test_notes_state_empty_phrases_cut_polygons_and_other_counts(tmp_path, notes):
    record = instances(of_1=[[-9, 1, 10, 1, 10, 9]])
    root = write_refer(tmp_path, [ref(1, phrases=(" ", "a")), ref(2, "val")], record)
    assert len(read(root, test_mode=True)) == 2
    joined = {text: count for each in notes for text, count in each.items()}
    assert joined["empty phrases"] == 1
    assert joined["polygons partly outside their image, cut off"] == 1
    (counts,) = (text for text in joined if "published" in text)
    assert counts.startswith("other numbers of refs than published: train 1, published 42404, val 1, published 3811")


# --- phrases and masks as lines ---


def write_lines(root, *lines):
    Image.fromarray(np.zeros((17, 23, 3), np.uint8)).save(root / "a.jpg")
    mask = np.zeros((17, 23), np.uint8)
    mask[:5, :7] = 255
    Image.fromarray(mask).save(root / "m.png")
    Image.fromarray(mask.T).save(root / "turned.png")
    texts = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in lines]
    (root / "phrases.jsonl").write_text("\n".join(texts), encoding="utf-8-sig")
    return str(root)


def line(mask="m.png", text="left box", **more):
    return {"image": "a.jpg", "text": text, "mask": mask, **more}


def test_lines_have_masks_in_files_polygons_rles_or_none(tmp_path):
    code = {"size": [17, 23], "counts": [0, 17, 17 * 22]}
    root = write_lines(tmp_path, line(), line([SQUARE]), line(code, "linke Säule"), line(None), line(split="val"))
    dataset = read_phrases(root, pipeline=PIPELINE)
    samples = [dataset[number]["data_samples"] for number in range(len(dataset))]
    assert [int((each.gt_map > 0).sum()) for each in samples] == [35, 64, 17, 0, 35]
    assert samples[2].phrase == "linke Säule"
    assert len(read_phrases(root, split="val")) == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (line(text=["left", "right"]), "line 2: text: expected one phrase; write one line for each phrase"),
        ('{"image": "a.jpg", "text": "a", "text": "b", "mask": null}', "a key occurs twice"),
        ({"image": "a.jpg", "text": "a"}, "line 2: mask: expected a value"),
        (line("../m.png"), "line 2: mask: expected a path below the folder of the data"),
        (line(7), "line 2: mask: expected a path, polygons, an RLE or null, found 7"),
        (line([[40, 1, 50, 1, 50, 9]]), "found a polygon outside the image of 23x17 pixels"),
        (line({"size": [3, 3], "counts": [9]}), "found an RLE of size"),
        (line("none.png"), "expected 3 images and masks, found 1 missing"),
        (line("turned.png"), "expected .* found"),
        ("left box", "line 2: line: expected a JSON object"),
    ],
)
def test_what_is_wrong_with_lines(tmp_path, bad, message):
    root = write_lines(tmp_path, line(), bad)
    with pytest.raises(DataError, match=message):
        read_phrases(root, pipeline=PIPELINE)


def test_transforms_say_what_they_load():
    assert {name: TRANSFORMS.get(name).PROVIDES for name in ("ChoosePhrase", "LoadReferredMask")} == {
        "ChoosePhrase": ("phrase",),
        "LoadReferredMask": ("gt_seg_map",),
    }
