"""`visionzoo eval`: each kind gives the numbers of its metric, and a sentence for every wrong file."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from visionzoo.cli import main
from visionzoo.datasets.findings import Findings
from visionzoo.metrics.classification import ClassificationMetric
from visionzoo.metrics.coco import coco_ap
from visionzoo.metrics.counting.errors import count_errors
from visionzoo.metrics.files import kind_names, kind_of
from visionzoo.metrics.files._coco_results import read_results
from visionzoo.metrics.referring import overlap_of, scores_of
from visionzoo.metrics.saliency.folders import score_folders
from visionzoo.metrics.semantic import count_pixels, semantic_scores

HEIGHT, WIDTH = 31, 46


def evaluate(kind, truth, found, *options):
    return main(["eval", kind, "--gt", str(truth), "--pred", str(found), *map(str, options)])


def numbers_of(capsys, kind, truth, found, *options):
    assert evaluate(kind, truth, found, "--json", "-q", *options) == 0
    return json.loads(capsys.readouterr().out)["metrics"]


def refuses(capsys, message, kind, truth, found, *options):
    """Assert that a command ends with code 2 and one sentence."""
    assert evaluate(kind, truth, found, *options) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert "Traceback" not in said


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)
    return path


def write(path, text):
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


# --- all kinds ---


def test_every_kind_describes_itself(capsys):
    assert main(["eval", "--help"]) == 0
    usage = capsys.readouterr().out
    for name in kind_names():
        assert f"  {name} " in usage
        assert main(["eval", name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert shown.count(f"visionzoo eval {name} ") >= 3  # usage and two examples
        for option, text in kind_of(name).options.items():
            assert f"--{option.replace('_', '-')}" in shown
            assert text


def test_wrong_use_is_one_sentence(capsys):
    assert main(["eval", "panoptics"]) == 2
    assert "did you mean panoptic?" in capsys.readouterr().err
    assert main(["eval", "panoptic", "--gt", "a.json"]) == 2
    assert "--pred" in capsys.readouterr().err
    assert main(["eval", "panoptic", "--gt", "a", "--pred", "b", "--boundary-ratio", "-1"]) == 2
    assert "number >= 0" in capsys.readouterr().err


@pytest.mark.parametrize("kind", kind_names())
def test_missing_files_are_one_sentence(tmp_path, capsys, kind):
    options = ["--classes", "3"] if kind == "semantic" else []
    refuses(capsys, f"{tmp_path / 'no'}", kind, tmp_path / "no", tmp_path / "none", *options)


# --- boxes and masks ---


def coco_files(folder, count=3):
    rng = np.random.default_rng(0)
    truth = {"images": [], "annotations": [], "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}]}
    found = []
    for image in range(1, count + 1):
        truth["images"].append({"id": image, "file_name": f"{image}.jpg", "height": HEIGHT, "width": WIDTH})
        for _ in range(4):
            x, y, w, h = (int(each) for each in rng.integers((0, 0, 5, 5), (25, 15, 20, 15)))
            category = int(rng.choice([3, 7]))
            number = len(truth["annotations"]) + 1
            facts = {"id": number, "area": w * h, "iscrowd": 0, "image_id": image, "category_id": category}
            truth["annotations"].append({**facts, "bbox": [x, y, w, h], "segmentation": encoded(x, y, w, h)})
            near = {"bbox": [x + 1, y, w, h], "segmentation": encoded(x + 1, y, w, h)}
            found.append({"image_id": image, "category_id": category, "score": float(rng.random()), **near})
    return write(folder / "truth.json", truth), write(folder / "found.json", found), truth, found


def encoded(x, y, w, h):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + h, x : x + w] = 1
    run_lengths = rle.encode(np.asfortranarray(mask))
    return {**run_lengths, "counts": run_lengths["counts"].decode()}


def test_boxes(tmp_path, capsys):
    truth, found, *records = coco_files(tmp_path)
    numbers = numbers_of(capsys, "detection", truth, found, "--iou-thrs", 0.3)
    assert numbers == {f"coco/bbox_{name}": value for name, value in coco_ap(*records, iou_thrs=(0.3,)).items()}
    assert 0 < numbers["coco/bbox_mAP"] < 1


def test_masks_with_boundaries(tmp_path, capsys):
    truth, found, *records = coco_files(tmp_path)
    numbers = numbers_of(capsys, "instances", truth, found, "--boundary", "--backend", "pycocotools")
    for iou_type in ("segm", "boundary"):
        for name, value in coco_ap(*records, iou_type, backend="pycocotools").items():
            assert numbers[f"coco/{iou_type}_{name}"] == value


def test_polygons_and_uncompressed_run_lengths_are_read(tmp_path, capsys):
    truth, found, _, entries = coco_files(tmp_path)
    expected = numbers_of(capsys, "instances", truth, found)
    for number, each in enumerate(entries):
        x, y, w, h = each["bbox"]
        mask = rle.decode(each["segmentation"])
        ends = np.flatnonzero(np.diff(np.concatenate([[0], mask.ravel(order="F")])))
        counts = np.diff(np.concatenate([[0], ends + 0, [mask.size]])).tolist()
        plain = {"size": [HEIGHT, WIDTH], "counts": counts}
        polygon = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        inside = x + w <= WIDTH and y + h <= HEIGHT
        each["segmentation"] = polygon if number % 2 and inside else plain
    assert numbers_of(capsys, "instances", truth, write(tmp_path / "other.json", entries)) == expected


def test_numbers_of_an_earlier_evaluation_are_kept(tmp_path, capsys):
    truth, found, *_ = coco_files(tmp_path)
    out = tmp_path / "scores"
    for _ in range(2):
        assert evaluate("detection", truth, found, "-o", out) == 0
    assert "scores-2/metrics.json" in capsys.readouterr().err
    before = (out / "metrics.json").read_bytes()
    assert evaluate("detection", truth, found, "-o", out, "--overwrite", "--iou-thrs", 0.3) == 0
    assert (out / "metrics.json").read_bytes() != before
    assert not (tmp_path / "scores-3").exists()


def test_images_without_a_detection_are_noted(tmp_path, capsys):
    truth, _, _, entries = coco_files(tmp_path)
    found = write(tmp_path / "some.json", [each for each in entries if each["image_id"] != 2])
    assert evaluate("detection", truth, found) == 0
    assert "1 image of 3 without a detection" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(image_id=77), "image_id: expected one of the 3 images of the truth, found 77"),
        (dict(category_id="cat"), "category_id: expected one of the 2 categories"),
        (dict(score=None), "score: expected a number, found None"),
        (dict(score=float("nan")), "score: expected a number, found nan"),
        (dict(bbox=[1, 2, 3]), "bbox: expected left, top, width, height"),
        (dict(category_id=True), "category_id: expected one of the 2 categories"),
        (
            dict(segmentation={"size": [WIDTH, HEIGHT], "counts": "a"}),
            "an RLE of size [46, 31]",
        ),
        (dict(segmentation=None), "found no segmentation"),
        (dict(segmentation={"size": [HEIGHT, WIDTH]}), "found an RLE without counts"),
        (dict(segmentation={"size": [HEIGHT, WIDTH], "counts": [5, 3]}), "counts do not cover the image"),
        (dict(segmentation={"size": [HEIGHT, WIDTH], "counts": "52"}), "counts do not cover the image"),
        (dict(segmentation={"size": [HEIGHT, WIDTH], "counts": "zzz!!"}), "counts do not cover the image"),
        (dict(segmentation={"size": [HEIGHT, WIDTH], "counts": [-3, 1429]}), "counts do not cover the image"),
        (dict(segmentation=[[4, 5]]), "found a polygon of 2 numbers"),
    ],
    ids=str,
)
def test_wrong_detections_are_one_sentence(tmp_path, capsys, change, message):
    truth, _, _, entries = coco_files(tmp_path)
    entries[5] = {**entries[5], **change}
    found = write(tmp_path / "wrong.json", entries)
    refuses(capsys, message, "instances" if "segmentation" in change else "detection", truth, found)


def test_repeated_detections_count_each_time_with_a_warning(tmp_path, capsys, monkeypatch):
    truth, _, _, entries = coco_files(tmp_path)
    notes = []
    monkeypatch.setattr(Findings, "note", lambda self, text, count=1: notes.append(text))
    read_results(write(tmp_path / "twice.json", entries + entries[:2]), json.loads(truth.read_text()), "bbox")
    assert notes == ["detections that occur several times count each time"] * 2
    texts = [{**entry, "image_id": str(entry["image_id"])} for entry in entries]
    found = read_results(write(tmp_path / "texts.json", texts), json.loads(truth.read_text()), "bbox")
    assert [each["image_id"] for each in found] == [each["image_id"] for each in entries]
    assert notes[2:] == ["image_id as text, read as a number"] * len(entries)


def test_a_file_that_is_no_list(tmp_path, capsys):
    truth, *_ = coco_files(tmp_path)
    refuses(capsys, "expected a list of detections", "detection", truth, write(tmp_path / "a.json", {"a": 1}))


# --- folders of maps ---


def semantic_folders(folder):
    rng = np.random.default_rng(1)
    pairs = {}
    for name in ("a", "sub/b"):
        truth = np.kron(rng.integers(0, 3, (4, 5)), np.ones((8, 10), int))
        truth[:2] = 255
        found = np.roll(truth, 2, 1)
        found[found == 255] = 1
        save(folder / f"gt/{name}_ids.png", truth)
        save(folder / f"pred/{name}.png", found)
        pairs[name] = truth, found
    return folder / "gt", folder / "pred", pairs


def test_semantic_maps(tmp_path, capsys):
    truth, found, pairs = semantic_folders(tmp_path)
    classes = write(tmp_path / "names.txt", "road\nsky\n\ntree\n")
    options = ["--classes", classes, "--gt-suffix", "_ids", "--boundary", "--definition", "mmseg"]
    numbers = numbers_of(capsys, "semantic", truth, found, *options)
    images = [count_pixels(*pair, 3, boundary=True) for pair in pairs.values()]
    expected = semantic_scores(images, ["road", "sky", "tree"], "mmseg", boundary=True).numbers
    assert numbers == {f"sem/{name}": value for name, value in expected.items()}
    assert numbers_of(capsys, "semantic", truth, found, "--classes", 3, "--gt-suffix", "_ids").keys() < numbers.keys()


def test_zero_as_no_label(tmp_path, capsys):
    save(tmp_path / "gt/a.png", [[0, 1, 2, 255]])
    save(tmp_path / "pred/a.png", [[1, 0, 1, 0]])
    options = ["--classes", 2, "--reduce-zero-label"]
    assert numbers_of(capsys, "semantic", tmp_path / "gt", tmp_path / "pred", *options)["sem/pACC"] == 1


def test_wrong_maps_are_one_sentence(tmp_path, capsys):
    truth, found, pairs = semantic_folders(tmp_path)
    options = ["--classes", "3", "--gt-suffix", "_ids"]
    refuses(capsys, "--classes: expected the number of classes", "semantic", truth, found)
    refuses(capsys, "which is neither", "semantic", truth, found, "--classes", "no.txt")
    refuses(capsys, "class indices below 2", "semantic", truth, found, "--classes", 2, "--gt-suffix", "_ids")
    refuses(capsys, "none of them (it has a_ids", "semantic", found, truth, "--classes", 3)
    save(found / "a.png", pairs["a"][1][:-1])
    refuses(capsys, "a.png: expected a predicted map of (32, 50)", "semantic", truth, found, *options)
    save(found / "a.bmp", pairs["a"][1])
    refuses(capsys, "expected one file for each name, found 2: a.bmp, a.png", "semantic", truth, found, *options)
    (found / "a.bmp").unlink()
    (found / "a.png").unlink()
    refuses(capsys, "expected all 2 maps of", "semantic", truth, found, *options)
    save(found / "a.png", pairs["a"][1])
    save(found / "c.png", pairs["a"][1])
    refuses(capsys, "1 other (c)", "semantic", truth, found, *options)


def test_saliency_maps(tmp_path, capsys):
    rng = np.random.default_rng(2)
    for name in ("x/a", "x/b"):
        mask = np.zeros((HEIGHT, WIDTH))
        mask[5:20, 9:30] = 255
        save(tmp_path / f"gt/{name}.png", mask)
        save(tmp_path / f"pred/{name}.png", 0.6 * mask + 90 * rng.random(mask.shape))
    truth, found = tmp_path / "gt", tmp_path / "pred"
    for protocol in ("pysod", "gconet"):
        numbers = numbers_of(capsys, "saliency", truth, found, "--protocol", protocol)
        expected = score_folders(found, truth, protocol).numbers
        assert numbers == {f"sal/{name}": value for name, value in expected.items()}
    save(found / "x/a.png", np.zeros((HEIGHT, WIDTH + 1)))
    refuses(capsys, "a.png", "saliency", truth, found)
    (found / "x/a.png").unlink()
    refuses(capsys, "1 missing (x/a.png)", "saliency", truth, found)


# --- lanes ---


def test_lanes_of_culane(tmp_path, capsys):
    for side, shift in (("gt", 0), ("pred", 3)):
        (tmp_path / side / "clip").mkdir(parents=True)
        for number in range(3):
            line = f"{20 + shift} 90 {60 + shift} 10\n"
            write(tmp_path / side / "clip" / f"{number}.lines.txt", line * (number < 2))
    listed = write(tmp_path / "list.txt", "\n".join(f"/clip/{number}.jpg" for number in range(3)))
    options = ["--images", listed, "--width", 100, "--height", 100, "--lane-width", 20]
    numbers = numbers_of(capsys, "lanes", tmp_path / "gt", tmp_path / "pred", *options)
    assert numbers["culane/F1"] == 1
    refuses(capsys, "--images: expected a list of images", "lanes", tmp_path / "gt", tmp_path / "pred")
    refuses(capsys, "found a file, as TuSimple", "lanes", tmp_path / "gt", listed, *options)
    (tmp_path / "pred/clip/0.lines.txt").unlink()
    assert evaluate("lanes", tmp_path / "gt", tmp_path / "pred", *options) == 0
    assert "1 image of 3 without a prediction file" in capsys.readouterr().err


def test_lanes_of_tusimple(tmp_path, capsys):
    lines = [{"raw_file": f"{n}.jpg", "lanes": [[10, 20]], "h_samples": [40, 50], "run_time": 5} for n in range(2)]
    truth = write(tmp_path / "truth.json", "\n".join(map(json.dumps, lines)))
    numbers = numbers_of(capsys, "lanes", truth, truth)
    assert (numbers["tusimple/accuracy"], numbers["tusimple/FP"]) == (1, 0)
    found = write(tmp_path / "one.json", json.dumps(lines[0]))
    refuses(capsys, "1 missing (1.jpg)", "lanes", truth, found)
    twice = write(tmp_path / "twice.json", "\n".join(map(json.dumps, [*lines, lines[0]])))
    refuses(capsys, "0.jpg", "lanes", truth, twice)


# --- counts ---


def test_counts_in_all_forms_of_files(tmp_path, capsys):
    counts = {"a/1.jpg": 2, "a/2.jpg": 0, "b/3.jpg": 3}
    forms = {
        "counts.csv": "image,count\n" + "\n".join(f"{name},{count}" for name, count in counts.items()),
        "points.csv": "image,x,y\na/1.jpg,1,2\nb/3.jpg,1,1\na/1.jpg,4,4\na/2.jpg,,\nb/3.jpg,2,2\nb/3.jpg,3,3",
        "points.jsonl": "\n".join(json.dumps({"image": n, "points": [[1, 2]] * c}) for n, c in counts.items()),
        "counts.json": json.dumps([{"image": name, "count": count} for name, count in counts.items()]),
    }
    found = write(tmp_path / "predictions.csv", "input;count\nout/3.jpg;5\nout/1.jpg;1.5\nout/2.jpg;0.5")
    lines = [{"input": f"out/{n}.jpg", "result": {"count": c}} for n, c in ((3, 5), (1, 1.5), (2, 0.5))]
    infer = write(tmp_path / "predictions.jsonl", "\n".join(map(json.dumps, lines)))
    errors = count_errors([1.5, 0.5, 5], [2, 0, 3])
    for name, text in forms.items():
        for prediction in (found, infer):
            numbers = numbers_of(capsys, "counting", write(tmp_path / name, text), prediction)
            assert (numbers["count/MAE"], numbers["count/RMSE"], numbers["count/NAE"]) == errors.row()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,count\na.jpg,1\na.jpg,2\nb.jpg,1", "expected each image once, found a.jpg twice"),
        ("image,count\na.jpg,1", "1 missing (b.jpg)"),
        ("image,count\na.jpg,1\nb.jpg,1\nc.jpg,1", "1 other (c.jpg)"),
        ("image,count\nx.jpg,1", "none of them (it has x.jpg)"),
        ("image,count\na.jpg,-1\nb.jpg,1", "line 2: expected count, a number >= 0"),
        ("image,count\na.jpg,nan\nb.jpg,1", "found 'nan'"),
        ("image,count\na.jpg\nb.jpg,1", "line 2: expected 2 cells"),
        ("image,number\na.jpg,1\nb.jpg,1", "expected count, a number >= 0, or points, found none"),
        ("count\n1", "a header with the columns image"),
        ("image,count\n", "found no row"),
    ],
)
def test_wrong_counts_are_one_sentence(tmp_path, capsys, text, message):
    truth = write(tmp_path / "truth.csv", "image,count\na.jpg,1\nb.jpg,4")
    refuses(capsys, message, "counting", truth, write(tmp_path / "found.csv", text))


# --- classes ---


def class_files(folder):
    truth = {"1.jpg": "cat", "2.jpg": "dog", "3.jpg": "cat", "4.jpg": "eel"}
    ranked = {"1.jpg": ["cat", "dog"], "2.jpg": ["cat", "dog"], "3.jpg": ["eel", "dog"], "4.jpg": ["eel", "cat"]}
    listed = write(folder / "truth.csv", "path,label\n" + "\n".join(f"{n},{label}" for n, label in truth.items()))
    return listed, ranked


def test_classes_in_all_forms_of_files(tmp_path, capsys):
    truth, ranked = class_files(tmp_path)
    lists = [{"input": n, "result": {"labels": [8, 9], "names": each}} for n, each in ranked.items()]
    rows = [(n, each, 0.9 - 0.1 * place) for n, labels in ranked.items() for place, each in enumerate(labels)]
    forms = {
        "a.jsonl": "\n".join(map(json.dumps, lists)),
        "b.csv": "image,label,score\n" + "\n".join(f"{n},{each},{score}" for n, each, score in rows[::-1]),
    }
    metric = ClassificationMetric(topk=(1, 2))
    metric.dataset_meta = {"classes": ["cat", "dog", "eel"]}
    for true, scores in ((0, [3, 2, 1]), (1, [3, 2, 1]), (0, [1, 2, 3]), (2, [2, 1, 3])):
        metric.process(None, [{"gt_label": true, "pred_score": np.array(scores, float)}])
    expected = metric.evaluate(size=4)
    for name, text in forms.items():
        assert numbers_of(capsys, "classification", truth, write(tmp_path / name, text), "--topk", 1, 2) == expected


def test_class_folders_and_one_label_for_each_image(tmp_path, capsys):
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/3.jpg"):
        save(tmp_path / "val" / name, np.zeros((2, 2, 3)))
    found = write(tmp_path / "p.csv", "input,label,name\n/data/1.jpg,0,cat\n/data/2.jpg,1,dog\n/data/3.jpg,1,dog")
    numbers = numbers_of(capsys, "classification", tmp_path / "val", found)
    assert numbers == {"cls/top1": pytest.approx(2 / 3), "cls/mean_class": 0.75}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n1.jpg,cat\n2.jpg,dog\n3.jpg,cat", "1 missing (4.jpg)"),
        ("path,label\n1.jpg,car\n2.jpg,bus\n3.jpg,car\n4.jpg,van", "expected labels of"),
        ("path,label\n1.jpg,cat\n1.jpg,cat\n2.jpg,dog\n3.jpg,cat\n4.jpg,cat", "each label at most once"),
        ("path,label\n1.jpg,\n2.jpg,dog\n3.jpg,cat\n4.jpg,cat", "at least one, found none"),
        ("path,label,score\n1.jpg,cat,high\n2.jpg,dog,1\n3.jpg,cat,1\n4.jpg,cat,1", "expected 1 scores"),
        ("path,label\n9.jpg,cat", "none of them (it has 9.jpg)"),
    ],
)
def test_wrong_classes_are_one_sentence(tmp_path, capsys, text, message):
    truth, _ = class_files(tmp_path)
    refuses(capsys, message, "classification", truth, write(tmp_path / "p.csv", text))


# --- phrases ---


def phrase_masks():
    rng = np.random.default_rng(3)
    truth = {f"{number}": np.kron(rng.random((4, 5)) < 0.4, np.ones((6, 8))) > 0 for number in range(3)}
    truth["3"] = np.zeros((24, 40), bool)
    return truth, {name: np.roll(mask, 3, 1) for name, mask in truth.items()}


def test_masks_of_phrases(tmp_path, capsys):
    sides = phrase_masks()
    for side, masks in zip(("gt", "pred"), sides, strict=True):
        for name, mask in masks.items():
            save(tmp_path / side / f"{name}.png", 255 * mask)
        lines = []
        for name, mask in masks.items():
            run_lengths = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
            lines.append({"id": name, "rle": {**run_lengths, "counts": run_lengths["counts"].decode()}})
        write(tmp_path / f"{side}.jsonl", "\n".join(map(json.dumps, lines)))
    for protocol in ("refcoco", "grefcoco"):
        overlaps = [overlap_of(found, true) for true, found in zip(*(each.values() for each in sides), strict=True)]
        expected = {f"ref/{name}": value for name, value in scores_of(overlaps, protocol).items()}
        for paths in (("gt", "pred"), ("gt.jsonl", "pred.jsonl")):
            files = (tmp_path / path for path in paths)
            assert numbers_of(capsys, "referring", *files, "--protocol", protocol) == expected


def test_wrong_masks_of_phrases_are_one_sentence(tmp_path, capsys):
    for side in ("gt", "pred"):
        for name in ("a", "b"):
            save(tmp_path / side / f"{name}.png", 255 * np.eye(12, 9))
    truth, found = tmp_path / "gt", tmp_path / "pred"
    save(found / "a.png", np.eye(12, 9))
    refuses(capsys, "levels above 127, found 1 as the largest level", "referring", truth, found)
    save(found / "a.png", 255 * np.eye(12, 8))
    refuses(capsys, "a: expected a predicted mask of (12, 9)", "referring", truth, found)
    (found / "a.png").unlink()
    refuses(capsys, "expected all 2 masks of", "referring", truth, found)
    table = write(tmp_path / "t.jsonl", '{"id": 1, "rle": {"size": [3, 3]}}')
    refuses(capsys, "found a folder", "referring", truth, table)
    refuses(capsys, "expected run lengths with size and counts", "referring", table, table)
    twice = write(tmp_path / "twice.jsonl", (Path(table).read_text() + "\n") * 2)
    refuses(capsys, "expected each phrase once, found 1 twice", "referring", table, twice)
