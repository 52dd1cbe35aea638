"""The suite geo-shift: twelve images counted by hand, trunks on twins, predictions of any origin, bad input."""

import csv
import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from visionzoo.cli.test import main as run_test
from visionzoo.datasets.geo_shift.imagenet_kinds import KINDS
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError
from visionzoo.reports.scatter import Series, scatter_plot
from visionzoo.suites._classifiers import read_image, records_of, reference_crop
from visionzoo.suites._geo_shift_tables import require_one_protocol

COLUMNS = (
    *("id", "country.name", "country.id", "region.id", "type", "imageRelPath", "topics", "place", "income"),
    *("imagenet_synonyms", "imagenet_sysnet_id"),
)
# Twelve images: id, region, income, labels, and the five best classes of the first model. Correct at 1 and at 5:
#
#   africa    a1 1 1   a2 0 1   a3 0 0     1 of 3 and 2 of 3
#   americas  m1 1 1   m2 0 1   m3 1 1     2 of 3 and 3 of 3
#   asia      s1 0 0   s2 0 0   s3 0 1     0 of 3 and 1 of 3
#   europe    e1 1 1   e2 1 1   e3 1 1     3 of 3 and 3 of 3
#
# In all 6 of 12 and 9 of 12. Best - worst region: 3/3 - 0/3 = 1 and 3/3 - 1/3 = 2/3; Europe - Africa: 2/3 and 1/3.
# Q1 has e1, e2, e3 and a3: 3 of 4 at 1, 3 of 4 at 5. Class "toys" is the second topic of m1 only.
TWELVE = (
    ("a1", "af", 100, [831], [831, 1, 2, 3, 4]),
    ("a2", "af", 100, [453], [1, 2, 453, 3, 4]),
    ("a3", "af", 5000, [567], [1, 2, 3, 4, 5]),
    ("m1", "am", 500, [770, 865], [865, 1, 2, 3, 4]),
    ("m2", "am", 500, [896], [1, 2, 3, 4, 896]),
    ("m3", "am", 500, [896], [896, 1, 2, 3, 4]),
    ("s1", "as", 1000, [831], [1, 2, 3, 4, 5]),
    ("s2", "as", 1000, [453], [5, 4, 3, 2, 1]),
    ("s3", "as", 1000, [567], [1, 567, 2, 3, 4]),
    ("e1", "eu", 5000, [831], [831, 1, 2, 3, 4]),
    ("e2", "eu", 5000, [453], [453, 1, 2, 3, 4]),
    ("e3", "eu", 5000, [567], [567, 1, 2, 3, 4]),
)
TOPICS = {831: "sofa", 453: "books", 567: "cooking pots", 770: "shoes", 865: "toys", 896: "kitchen sink"}
IMAGENET = ("n01440764", "n01443537", "n01484850", "n01491361")  # labels 0 to 3
WORDNET = [*IMAGENET, "n01494475", "n01496331", "n01498041", "n01514668", "n01514859", "n01518878"]


@pytest.fixture
def data(tmp_path):
    """Write the twelve images as DollarStreet, and four images of ImageNet."""
    street = tmp_path / "data" / "dollarstreet"
    rows = []
    for number, (name, region, income, labels, _) in enumerate(TWELVE):
        path = street / "assets" / name / f"{name}.jpg"
        write_image(path, number)
        topics = [TOPICS[label] for label in labels]
        about = [name, f"country {region}", region, region, "image", f"assets/{name}/{name}.jpg", str(topics)]
        rows.append([*about, f"house {name[0]}", income, "[]", str(labels)])
    with open(street / "images_v2_imagenet_test.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    for number, wnid in enumerate(IMAGENET):
        write_image(tmp_path / "data" / "imagenet" / "val" / wnid / "a.jpg", number)
    return tmp_path / "data"


def write_image(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    mode, kind = {1: ("L", "JPEG"), 2: ("RGBA", "PNG")}.get(number % 4, ("RGB", "JPEG"))
    Image.new(mode, (20 + number, 15), number).save(path, kind)


def write_predictions(folder, street, imagenet):
    """Write predictions of one model: best classes by id."""
    folder.mkdir(parents=True)
    lines = [json.dumps({"id": name, "top": top, "score": [0.5, 0.2, 0.1, 0.1, 0.1]}) for name, top in street.items()]
    (folder / "dollarstreet.jsonl").write_text("\n".join(reversed(lines)))
    lines = [json.dumps({"id": f"{wnid}/a.jpg", "top": top}) for wnid, top in zip(IMAGENET, imagenet, strict=True)]
    (folder / "imagenet.jsonl").write_text("\n".join(lines))


def shares(number):
    """Return predictions for the ImageNet images of which ``number`` are correct."""
    return [[label if label < number else 500, 501, 502, 503, 504] for label in range(4)]


def suite(*words):
    return run_test([*words, "--suite", "geo-shift", "-q"])


def table(out, name):
    with open(out / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number_of(rows, column="accuracy", **where):
    (row,) = [row for row in rows if all(row[name] == str(value) for name, value in where.items())]
    return float(row[column])


@pytest.fixture
def three(data, tmp_path):
    """Return the folder of a run over three models, whose geographic accuracy grows with that on ImageNet."""
    own = {name: top for name, _, _, _, top in TWELVE}
    less = {**own, "e1": [1, 2, 3, 4, 5], "e2": [1, 2, 3, 4, 5]}  # 4 of 12 at 1
    more = {**own, "s1": [831, 1, 2, 3, 4], "s2": [453, 1, 2, 3, 4]}  # 8 of 12 at 1
    folders = []
    for name, street, right in (("low", less, 1), ("middle", own, 2), ("clip_high", more, 3)):
        folders.append(tmp_path / "predictions" / name)
        write_predictions(folders[-1], street, shares(right))
    out = tmp_path / "out"
    code = suite("--from-predictions", *map(str, folders), "--data", str(data), "-o", str(out), "--set", "repeats=200")
    assert code == 0
    return out


# --- counted by hand ---


def test_twelve_images_counted_by_hand(three):
    rows = table(three, "accuracy")
    of = {"model": "middle", "data": "dollarstreet", "label_mode": "1k"}
    expected = {
        (1, "overall"): {"all": 6 / 12},
        (5, "overall"): {"all": 9 / 12},
        (1, "region"): {"africa": 1 / 3, "americas": 2 / 3, "asia": 0, "europe": 1},
        (5, "region"): {"africa": 2 / 3, "americas": 1, "asia": 1 / 3, "europe": 1},
        (1, "income_group"): {"Q1": 3 / 4, "Q2": 0, "Q3": 2 / 3, "Q4": 1 / 2},
        (5, "income_group"): {"Q1": 3 / 4, "Q2": 1 / 3, "Q3": 1, "Q4": 1},
        (1, "region x income_group"): {"africa | Q1": 0, "africa | Q4": 1 / 2, "europe | Q1": 1, "asia | Q2": 0},
        (1, "country"): {"country af": 1 / 3, "country eu": 1},
        (5, "class"): {"sofa": 2 / 3, "books": 2 / 3, "cooking pots": 2 / 3, "shoes": 1, "kitchen sink": 1},
    }
    for (k, grouping), groups in expected.items():
        for group, accuracy in groups.items():
            found = number_of(rows, **of, k=k, grouping=grouping, group=group)
            assert found == pytest.approx(accuracy), (k, grouping, group)
    assert number_of(rows, "images", **of, k=1, grouping="income_group", group="Q1") == 4


def test_region_x_income_has_the_accuracy_and_images_of_each_cell(three):
    rows = table(three, "region_income")
    (africa,) = [row for row in rows if row["region"] == "africa" and row["model"] == "middle" and row["k"] == "1"]
    assert [africa[name] for name in ("Q1", "Q2", "Q3", "Q4")] == ["0.0", "", "", "0.5"]
    assert [africa[f"images {name}"] for name in ("Q1", "Q2", "Q3", "Q4")] == ["1", "0", "0", "2"]


def test_both_disparities_counted_by_hand(three):
    rows = table(three, "disparity")
    for k, extremes, pair in ((1, 1.0, 2 / 3), (5, 2 / 3, 1 / 3)):
        of = {"model": "middle", "data": "dollarstreet", "k": k}
        assert number_of(rows, "value", **of, definition="best - worst region") == pytest.approx(extremes)
        assert number_of(rows, "value", **of, definition="Europe - Africa") == pytest.approx(pair)
    countries = [row for row in rows if row["definition"].startswith("countries")]
    assert {row["left_out"] for row in countries} == {"4 countries below 10 images, 0 count"}
    assert all(row["value"] == "nan" for row in countries)


def test_progress_ratio_and_robustness_of_three_models_by_hand(three):
    """ImageNet 1/4, 2/4, 3/4 and DollarStreet 4/12, 6/12, 8/12 at k = 1: the slope is (4/12) / (2/4) = 2/3."""
    rows = table(three, "progress")
    of = {"data": "dollarstreet", "k": 1, "kind": "progress rate"}
    assert number_of(rows, "slope", **of) == pytest.approx(2 / 3)
    assert number_of(rows, "r2", **of) == pytest.approx(1)
    assert number_of(rows, "models", **of) == 3
    # best - worst region: 2/3 - 0, 1 - 0 and 1 - 1/3
    trend = {"data": "dollarstreet", "k": 1, "kind": "disparity trend, best - worst region"}
    assert number_of(rows, "slope", **trend) == pytest.approx(0, abs=1e-12)
    # the baseline has two models, through which the line of logits passes; the third is above or below it
    rows = table(three, "robustness")
    by_model = {row["model"]: row for row in rows if row["k"] == "1"}
    assert float(by_model["low"]["value"]) == pytest.approx(0, abs=1e-12)
    assert by_model["clip_high"]["baseline"] == "False"
    logit = {p: math.log(p / (1 - p)) for p in (1 / 4, 1 / 2, 3 / 4, 1 / 3)}
    line = (logit[1 / 2] - logit[1 / 3]) / (logit[1 / 2] - logit[1 / 4])
    predicted = 1 / (1 + math.exp(-line * logit[3 / 4]))
    assert float(by_model["clip_high"]["value"]) == pytest.approx(8 / 12 - predicted)


def test_worst_groups_pairs_and_sheets(three):
    worst = table(three, "worst")
    of = {"model": "middle", "data": "dollarstreet", "k": 1}
    (region,) = [row for row in worst if row["worst"] == "region" and all(row[n] == str(v) for n, v in of.items())]
    assert (region["group"], region["images"], float(region["accuracy"])) == ("asia", "3", 0.0)
    assert float(region["low"]) == float(region["high"]) == 0.0
    paired = table(three, "paired")
    assert number_of(paired, "difference", model="low", data="dollarstreet", k=1) == pytest.approx(-4 / 12)
    assert {row["against"] for row in paired if row["data"] == "dollarstreet"} == {"clip_high"}
    images = [row["id"] for row in table(three, "worst_images")]
    assert images == ["a3", "s1", "s2", "e1", "e2"]  # wrong at k = 5 for three, two, two, one and one model
    for name in ("progress", "worst_dollarstreet"):
        assert np.asarray(Image.open(three / f"{name}.png")).std() > 0


def test_every_row_has_label_mode_and_k_and_every_table_is_in_the_json(three):
    stored = json.loads((three / "report.json").read_text())["tables"]
    assert stored.keys() >= {"accuracy", "disparity", "progress", "robustness", "progress_points", "paired"}
    for name, rows in stored.items():
        assert all({"label_mode", "k"} <= row.keys() for row in rows), name
        assert (three / f"{name}.csv").is_file()
    with pytest.raises(DataError, match="rows of one k, found 1, 5"):
        require_one_protocol([{"label_mode": "1k", "k": 1}, {"label_mode": "1k", "k": 5}])
    with pytest.raises(DataError, match="rows of one label_mode"):
        require_one_protocol([{"label_mode": "1k", "k": 1}, {"label_mode": "original", "k": 1}])


def test_missing_data_sets_are_one_line_each_that_states_where_to_get_them(three):
    notes = json.loads((three / "report.json").read_text())["notes"]
    missing = [note for note in notes if "not measured" in note]
    assert [note.partition(":")[0] for note in missing] == [
        *("imagenet_v2", "imagenet_r", "imagenet_a", "imagenet_sketch", "objectnet", "geode")
    ]
    assert all("README.md" in note and "\n" not in note for note in missing)
    assert (three / "report.md").read_text().count("not measured") == 6


def test_a_region_without_images_is_a_note_and_nan(data, tmp_path):
    path = data / "dollarstreet" / "images_v2_imagenet_test.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith(("a1", "a2", "a3"))))
    shutil.rmtree(data / "imagenet")
    folder = tmp_path / "predictions" / "m"
    write_predictions(folder, {name: top for name, _, _, _, top in TWELVE if name[0] != "a"}, shares(1))
    out = tmp_path / "out"
    assert suite("--from-predictions", str(folder), "--data", str(data), "-o", str(out), "--set", "repeats=50") == 0
    rows = table(out, "accuracy")
    assert math.isnan(number_of(rows, k=1, grouping="region", group="africa"))
    disparities = table(out, "disparity")
    assert number_of(disparities, "value", k=1, definition="best - worst region") == 1.0
    assert math.isnan(number_of(disparities, "value", k=1, definition="Europe - Africa"))
    notes = json.loads((out / "report.json").read_text())["notes"]
    assert any("region africa: no image" in note for note in notes)
    assert any("no progress rates" in note for note in notes)


# --- predictions of any origin ---


def test_logits_and_a_limit(data, tmp_path):
    folder = tmp_path / "predictions" / "arrays"
    folder.mkdir(parents=True)
    logits = np.zeros((12, 1000), np.float32)
    for row, (_, _, _, _, top) in enumerate(TWELVE):
        logits[row, top] = [5, 4, 3, 2, 1]
    np.savez(folder / "dollarstreet.npz", ids=np.array([each[0] for each in TWELVE]), logits=logits)
    out = tmp_path / "out"
    words = ["--from-predictions", str(folder), "--data", str(data), "-o", str(out), "--limit", "6"]
    assert suite(*words, "--set", "repeats=50", "only=dollarstreet") == 0
    rows = table(out, "accuracy")
    assert number_of(rows, k=1, grouping="overall", group="all") == 3 / 6
    assert number_of(rows, k=5, grouping="overall", group="all") == 5 / 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:-1], "dollarstreet.jsonl: expected predictions of the 12 images of dollarstreet, found "),
        (lambda lines: [*lines, lines[0]], "expected every id once, found a1 twice"),
        (lambda lines: [lines[0].replace("a1", "z9"), *lines[1:]], "none for 1 of them (a1) and 1 other ids (z9)"),
        (lambda lines: [lines[0].replace("831", "1831"), *lines[1:]], "line 1: a1: expected top to be 5 or more"),
        (lambda lines: [lines[0].replace("831, ", ""), *lines[1:]], "line 1: a1: expected top to be 5 or more"),
        (lambda lines: ["{}", *lines[1:]], "dollarstreet.jsonl: line 1: expected"),
    ],
)
def test_predictions_that_do_not_fit_name_file_and_id(data, tmp_path, capsys, change, words):
    folder = tmp_path / "m"
    folder.mkdir()
    lines = [json.dumps({"id": name, "top": top}) for name, _, _, _, top in TWELVE]
    (folder / "dollarstreet.jsonl").write_text("\n".join(change(lines)))
    only = ("--set", "only=dollarstreet")
    assert suite("--from-predictions", str(folder), "--data", str(data), "-o", str(tmp_path / "out"), *only) == 2
    assert words in capsys.readouterr().err


def test_wrong_use_is_an_error(data, tmp_path, capsys):
    out, folder = ["-o", str(tmp_path / "out")], tmp_path / "empty"
    folder.mkdir()
    cases = {
        (): "--suite: expected a model, found none",
        ("--from-predictions", str(folder), "--data", str(data)): "expected files of predictions for imagenet, dollar",
        ("timm.test_resnet", "--set", "label_mode=2k"): "no label mode is called '2k'",
        ("timm.test_resnet", "--set", "repeats=0"): "--set repeats: expected 1 or more, found 0",
        ("timm.test_resnet", "--max-samples", "3"): "--max-samples: expected an option of a suite",
        (
            "timm.test_resnet",
            "--weights",
            "none",
            "--data",
            str(folder),
        ): "expected a data set of the suite, found none",
        ("scnn_culane", "--weights", "none", "--tiny", "--set", "only=geode"): "expected a classifier",
    }
    for words, message in cases.items():
        assert suite(*words, *out) == 2
        assert message in capsys.readouterr().err, words
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    assert run_test(["--models", "dinat*"]) == 2
    assert "--models: expected a config, or --suite NAME" in capsys.readouterr().err


# --- models ---


def trunks(out, *words):
    models = ("bossnet_t0_imagenet", "--models", "timm.test_resnet", "timm.test_efficientnet")
    return suite(*models, "--tiny", "--weights", "none", "-o", str(out), "--set", "repeats=20", *words)


def test_three_trunks_on_the_twins_and_a_slow_count_of_their_results(tmp_path):
    """Tables equal a count over the lines of the result files, image by image."""
    out = tmp_path / "out"
    assert trunks(out, "--limit", "24") == 0
    rows = table(out, "accuracy")
    assert {row["model"] for row in rows} == {"bossnet_t0_imagenet", "timm.test_resnet", "timm.test_efficientnet"}
    assert {row["data"] for row in rows} == {*KINDS, "dollarstreet", "geode"}
    folder = resolve_data_root("tiny://geode")
    with open(folder / "metadata.csv", newline="", encoding="utf-8") as file:
        truth = {row["id"]: (row["region"], json.loads(row["1k_index"])) for row in csv.DictReader(file)}
    for path in (out / "results" / "geode").iterdir():
        header, *records = map(json.loads, path.read_text().splitlines())
        for k in (1, 5):
            hits = {}
            for record in records:
                region, labels = truth[record["id"]]
                hits.setdefault(region, []).append(bool(set(record["top"][:k]) & set(labels)))
            for region, flags in hits.items():
                of = dict(model=header["model"], data="geode", k=k, grouping="region", group=region)
                assert number_of(rows, **of) == sum(flags) / len(flags)
                assert number_of(rows, "images", **of) == len(flags)
    shares_found = set()
    for data in ("imagenet", "imagenet_r", "imagenet_a", "imagenet_sketch"):
        for path in (out / "results" / data).iterdir():
            header, *records = map(json.loads, path.read_text().splitlines())
            hits = [record["top"][0] == WORDNET.index(record["id"].partition("/")[0]) for record in records]
            found = number_of(rows, model=header["model"], data=data, k=1, grouping="overall", group="all")
            assert found == sum(hits) / 24
            shares_found.add(found)
    assert any(0 < share < 1 for share in shares_found)
    competing = {0, 2, 4, 6, 8}
    for path in (out / "results" / "imagenet_a").iterdir():
        assert all(set(json.loads(line)["top"]) == competing for line in path.read_text().splitlines()[1:])


def test_original_labels_need_a_model_of_their_classes_and_do_not_mix(tmp_path, capsys):
    out = tmp_path / "out"
    words = ("--set", "only=geode", "label_mode=original")
    assert trunks(out, *words) == 1
    assert "it has 1000 classes, and labels of mode original have 40" in capsys.readouterr().err
    model = ("bossnet_t0_imagenet", "--tiny", "--weights", "none", "-o", str(out))
    assert suite(*model, "--set", "only=geode") == 0  # the folder has no results yet
    assert suite(*model, *words) == 2
    assert "expected results with label_mode '1k'" in capsys.readouterr().err


def test_a_model_of_forty_classes_is_measured_in_original_labels(tmp_path):
    out = tmp_path / "out"
    words = ["--tiny", "--weights", "none", "-o", str(out), "--cfg-options", "model.head.num_classes=40"]
    code = suite("bossnet_t0_imagenet", *words, "--set", "only=geode", "label_mode=original", "repeats=20")
    assert code == 0
    rows = table(out, "accuracy")
    assert {row["label_mode"] for row in rows} == {"original"}
    assert number_of(rows, "images", k=5, grouping="overall", group="all") == 144
    assert any(row["group"] == "tree" for row in rows)


def test_results_do_not_depend_on_the_batch_size(tmp_path):
    tops = []
    for name, words in (("a", ["--batch-size", "1"]), ("b", ["--batch-size", "7"])):
        out = tmp_path / name
        options = ["--tiny", "--weights", "none", "--limit", "9", "-o", str(out), *words]
        assert suite("timm.test_resnet", *options, "--set", "only=geode", "repeats=20") == 0
        (path,) = (out / "results" / "geode").iterdir()
        tops.append([json.loads(line)["top"] for line in path.read_text().splitlines()[1:]])
        assert path.name.startswith("timm.test_resnet.")
    assert tops[0] == tops[1]


@pytest.mark.parametrize("model", ["timm.test_resnet", "bossnet_t0_imagenet"])
def test_the_transform_of_each_model_is_another_protocol(model, tmp_path):
    words = [model, "--tiny", "--weights", "none", "--limit", "5", "-o", str(tmp_path / "out")]
    options = ["only=objectnet,geode", "repeats=20"]
    assert suite(*words, "--set", *options, "transform=model") == 0
    assert {row["images"] for row in table(tmp_path / "out", "accuracy") if row["group"] == "all"} == {"5"}
    assert suite(*words, "--set", *options) == 2


def test_last_layer_retraining_runs_in_the_suite_and_keeps_features(tmp_path):
    out = tmp_path / "out"
    words = ["timm.test_resnet", "--tiny", "--weights", "none", "-o", str(out)]
    options = ["only=dollarstreet,geode", "repeats=20", "retrain_shares=0.5,1", "retrain_epochs=20", "retrain_lr=0.01"]
    assert suite(*words, "--set", *options) == 0
    rows = table(out, "retraining")
    assert {(row["share"], row["seed"]) for row in rows} == {
        ("0.0", ""),
        *((share, seed) for share in ("0.5", "1.0") for seed in ("0", "1", "2", "mean", "deviation")),
    }
    before = number_of(rows, data="dollarstreet", k=5, share="0.0")
    after = number_of(rows, data="dollarstreet", k=5, share="1.0", seed="mean")
    assert after > before + 0.3
    seeds = [number_of(rows, data="dollarstreet", k=5, share="1.0", seed=seed) for seed in (0, 1, 2)]
    assert after == pytest.approx(np.mean(seeds))
    assert number_of(rows, data="dollarstreet", k=5, share="1.0", seed="deviation") == pytest.approx(
        np.std(seeds, ddof=1)
    )
    assert len(list((out / "features").rglob("*.npy"))) == 3


# --- parts ---


def test_grey_and_transparent_images_are_rgb_and_broken_ones_are_named(tmp_path):
    for number, mode in ((1, "L"), (2, "RGBA"), (3, "RGB")):
        write_image(tmp_path / f"{mode}.jpg", number)
        image = read_image(str(tmp_path / f"{mode}.jpg"), border=2)
        assert (image.mode, image.size) == ("RGB", (16 + number, 11))
        assert reference_crop(image, 8).shape == (8, 8, 3)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(DataError, match=r"broken\.jpg: expected an image"):
        read_image(str(tmp_path / "broken.jpg"))


def test_the_reference_crop_is_that_of_torchvision():
    from torchvision import transforms

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (301, 260, 3), dtype=np.uint8))
    expected = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])(image)
    assert np.array_equal(reference_crop(image, 224), np.asarray(expected))


def test_records_have_class_indices_of_the_competing_columns():
    (record,) = records_of(np.array([[1.0, 3.0, 3.0, -np.inf, 0.0, 2.0]]), np.array([5, 7, 11, 13, 17, 19]))
    assert record["top"] == [7, 11, 19, 5, 17]
    assert sum(record["score"]) == pytest.approx(1, abs=1e-5)


def test_a_plot_of_points_without_spread_or_without_numbers_is_drawn():
    empty = scatter_plot([Series("a", [np.nan], [0.5]), Series("b", [1.0, 1.0], [0.0, 1.0])], x_label="x", y_label="y")
    assert empty.shape == (640, 860, 3)
    assert (empty == empty[0, 0]).all(axis=2).mean() < 1
