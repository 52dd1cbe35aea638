"""The gallery of a run: what its page lists for every kind of task, and that it opens without a server."""

import json
import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from chromium import chromium
from PIL import Image
from static_page import StaticPage

from visionzoo.datasets.volume_pairs import read_pair
from visionzoo.errors import InputError
from visionzoo.inference.backends import TaskClasses
from visionzoo.inference.gallery import Entries
from visionzoo.inference.predictions import Prediction
from visionzoo.inference.readers import Reader
from visionzoo.inference.resuming import remove_old_results
from visionzoo.inference.selecting import Selection
from visionzoo.inference.writing import PredictionWriter
from visionzoo.structures.class_scores import class_scores_of
from visionzoo.structures.counts import CrowdCount
from visionzoo.structures.detections import Detections
from visionzoo.structures.lanes import Lanes
from visionzoo.structures.referred_masks import referred_mask_of
from visionzoo.structures.saliency_maps import SaliencyMap
from visionzoo.structures.semantic_maps import SemanticMap
from visionzoo.tasks import task_of
from visionzoo.tasks.inputs.base import Source
from visionzoo.tasks.inputs.videos import Frame, Video
from visionzoo.tasks.registration import registration_of

HEIGHT, WIDTH = 33, 50
NAMES = ("RBC", "WBC")
SHAPE = (HEIGHT, WIDTH)


def boxes(*found):
    """Return boxes, each a pair of label and score."""
    corners = np.array([[4.0 + 3 * at, 5, 20 + 3 * at, 25] for at in range(len(found))]).reshape(-1, 4)
    labels, scores = np.array([label for label, _ in found], int), np.array([score for _, score in found])
    return Detections(corners, scores, labels, (WIDTH, HEIGHT), names=NAMES)


RESULTS = {
    "detection": boxes((0, 0.9), (1, 0.5), (0, 0.4)),
    "instances": boxes(),
    "classification": class_scores_of(np.array([0.25, 0.75], np.float32), NAMES),
    "saliency": SaliencyMap(np.full(SHAPE, 0.5, np.float32), np.ones(SHAPE, bool)),
    "lanes": Lanes((np.array([[4.0, 30], [20, 9]]),), scores=(0.7,), slots=(2,)),
    "counting": CrowdCount(3.25, np.full((4, 6), 3.25 / 24, np.float32), (WIDTH, HEIGHT)),
    "semantic": SemanticMap((np.arange(HEIGHT * WIDTH).reshape(SHAPE) % 2).astype(np.uint8), NAMES),
}


def source(name, **values):
    return Source(f"images/{name}", None, Path(name), **values)


def predicted(task, result, name="a.jpg", *, origin=None, **values):
    image = np.full((*SHAPE, 3), 120, np.uint8)
    values = {"size": (WIDTH, HEIGHT), "image": image, **values}
    return Prediction(origin or source(name), task, "toy", result=result, **values)


def failed(task, name):
    return Prediction(source(name), task, "toy", error=InputError(f"images/{name}: it is too small </script>"))


def written(out, predictions, *, images=(), earlier=None, gallery=True):
    """Write predictions as a run does, without a model; return the writer."""
    task = predictions[0].task
    readers = {task: Reader(task, task_of(task), TaskClasses(NAMES), Selection(0.0, {}))}
    model = SimpleNamespace(
        readers=readers, name="toy", model=None, weights=None, is_untrained=True, step="", device="cpu",
        form={"name": "exact"},
    )  # fmt: skip
    out.mkdir(exist_ok=True)
    with PredictionWriter(out, model, images, gallery=gallery, earlier=earlier) as writer:
        for prediction in predictions:
            writer.write(prediction)
    return writer


def entries(out):
    first, *lines = (out / "gallery/entries.js").read_text(encoding="utf-8").splitlines()
    assert first.startswith("const gallery = {")
    return [json.loads(re.fullmatch(r"gallery\.add\((.*)\);", line)[1]) for line in lines]


def has_images(out, entry, *, original=True):
    """Check that the images of an entry exist, and return their sizes: small, drawn, and the input."""
    folders = ("small", "drawn", *(["original"] if original else []))
    assert not original or len(folders) == 3
    sizes = []
    for folder in folders:
        with Image.open(out / "gallery" / folder / entry["image"]) as image:
            sizes.append(image.size)
    return sizes


@pytest.mark.parametrize("task", RESULTS)
def test_every_task_lists_its_images(task, tmp_path):
    written(tmp_path / "out", [predicted(task, RESULTS[task]), failed(task, "b.png")])
    good, bad = entries(tmp_path / "out")
    assert (good["name"], good["size"], good["image"]) == ("a.jpg", [WIDTH, HEIGHT], "a.jpg")
    small, drawn, original = has_images(tmp_path / "out", good)
    assert original == (WIDTH, HEIGHT)
    assert max(small) <= 320 < drawn[0] or small == drawn
    assert good["numbers"] or task == "instances"
    assert all((tmp_path / "out" / path).is_file() for path in good["files"])
    assert bad == {"name": "b.png", "error": "b.png: it is too small </script>"}
    assert not (tmp_path / "out/vis").exists()


def test_no_entry_has_a_path_of_the_machine(tmp_path):
    folder = f"{tmp_path}/eve/images"
    origin = Source(f"{folder}/cats/a.jpg", None, Path("cats/a.jpg"), columns={"fixed": f"{folder}/a.nii"})
    bad = Prediction(origin, "detection", "toy", error=InputError(f"{folder}/cats/a.jpg: it is damaged"))
    written(tmp_path / "out", [predicted("detection", RESULTS["detection"], origin=origin, group=folder), bad])
    good, failure = entries(tmp_path / "out")
    assert good["about"] == {"group": ".../eve/images", "fixed": ".../images/a.nii"}
    assert (good["name"], failure["error"]) == ("cats/a.jpg", "cats/a.jpg: it is damaged")
    assert str(tmp_path) not in (tmp_path / "out/gallery/entries.js").read_text()


def test_the_page_loads_nothing_from_elsewhere_and_reads_no_file(tmp_path):
    written(tmp_path / "out", [predicted("detection", RESULTS["detection"])])
    page = tmp_path / "out/gallery/index.html"
    StaticPage(page).require_sound()
    text = page.read_text(encoding="utf-8")
    assert "none (untrained)" in text
    assert not re.search(r"fetch\(|XMLHttp|https?:|import\(", text)


def test_classes_have_their_number_and_best_score(tmp_path):
    written(tmp_path / "out", [predicted("detection", RESULTS["detection"])])
    (entry,) = entries(tmp_path / "out")
    assert entry["numbers"] == {"score": 0.9, "boxes": 3}
    assert entry["classes"] == {"RBC": [2, 0.9], "WBC": [1, 0.5]}


def test_phrases_of_an_image_are_stated(tmp_path):
    about = {"image": "images/a.jpg", "text": "left <box>"}
    origin = Source("images/a.jpg#1", None, Path("a_1.jpg"), columns=about)
    written(tmp_path / "out", [predicted("referring", referred_mask_of("left <box>", np.eye(*SHAPE)), origin=origin)])
    (entry,) = entries(tmp_path / "out")
    assert entry["about"] == about
    assert entry["text"] == "left <box>: score 1.00"
    assert has_images(tmp_path / "out", entry)


def test_groups_are_stated_and_their_sheet_is_written_with_drawn_images_only(tmp_path):
    for images in ((), ("overlay",)):
        out = tmp_path / f"out{len(images)}"
        places = [Path(f"cats/{name}.jpg") for name in "ab"]
        files = [Source(f"images/{place}", f"images/{place}", place) for place in places]
        group = {"group": "images/cats", "group_size": 2}
        maps = [predicted("co_saliency", RESULTS["saliency"], origin=file, **group) for file in files]
        written(out, maps, images=images)
        assert [entry["about"] for entry in entries(out)] == [{"group": "images/cats"}] * 2
        assert (out / "sheets").exists() == (out / "sheets/cats.jpg").exists() == bool(images)
        assert has_images(out, entries(out)[1])


def test_pairs_of_volumes_have_a_sheet_and_no_input(tmp_path):
    pair = read_pair({"fixed": np.eye(12, 15), "moving": np.eye(12, 15)[::-1]})
    result = registration_of(pair, np.zeros((2, 12, 15)))
    written(tmp_path / "out", [predicted("registration", result, "pair.nii.gz", size=(12, 15))])
    (entry,) = entries(tmp_path / "out")
    assert list(entry["numbers"])[:2] == ["ncc", "folded"]
    assert entry["numbers"]["folded"] == 0
    assert entry["text"].startswith("NCC ")
    assert not (tmp_path / "out/gallery/original").exists()
    assert has_images(tmp_path / "out", entry, original=False)[1][0] > 320


def test_a_video_has_one_frame_per_second_and_each_failure(tmp_path):
    video = Video("images/clip.mp4", Path("clip.mp4"), fps=2.0, frames=5)
    frames = [Frame(video, number, number / 2) for number in range(5)]
    found = [
        predicted("detection", RESULTS["detection"], origin=Source(frame.name, None, frame.place, frame))
        for frame in frames
    ]
    writer = written(tmp_path / "out", [*found, failed("detection", "clip.mp4")], images=("overlay",))
    *listed, bad = entries(tmp_path / "out")
    assert [entry["about"]["time"] for entry in listed] == ["0.00 s", "1.00 s", "2.00 s"]
    assert "error" in bad
    assert has_images(tmp_path / "out", listed[2])
    if not writer.notes:  # this OpenCV writes videos
        assert listed[0]["files"] == ["vis/clip.mp4"]


def test_equal_stems_and_special_names_have_files_of_their_own(tmp_path):
    names = ["a.jpg", "a.png", "b#1?.png", "é/%41.jpg"]
    written(tmp_path / "out", [predicted("detection", RESULTS["detection"], name) for name in names])
    images = [entry["image"] for entry in entries(tmp_path / "out")]
    assert images == ["a.jpg", "a-2.jpg", "b#1?.jpg", "é/%41.jpg"]
    assert all(has_images(tmp_path / "out", entry) for entry in entries(tmp_path / "out"))


def test_without_the_option_and_after_overwriting_no_gallery_is_left(tmp_path):
    out = tmp_path / "out"
    written(out, [predicted("detection", RESULTS["detection"])])
    remove_old_results(out)
    assert not (out / "gallery").exists()
    written(out, [predicted("detection", RESULTS["detection"])], gallery=False)
    assert not (out / "gallery").exists()


def many(folder, number):
    """Write a gallery of many inputs that share a few images."""
    kinds = [boxes((0, 0.9), (0, 0.4)), boxes((1, 0.8)), boxes()]
    written(folder, [predicted("detection", kind, f"sub/{at}.jpg") for at, kind in enumerate(kinds)])
    first = entries(folder)
    page = Entries(folder / "gallery/entries.js")
    for at in range(number):
        entry = {**first[at % 3], "name": f"images/sub/{at:05}.jpg"}
        if at % 3 < 2:
            score = round(at / number, 4)
            entry["numbers"] = {**entry["numbers"], "score": score}
            entry["classes"] = {name: [count, score] for name, (count, _) in entry["classes"].items()}
        page.add({"name": entry["name"], "error": f"{entry['name']}: it is damaged"} if at == 7 else entry)
    page.close()
    return folder / "gallery/index.html"


SET = """
const set = (id, value) => {
  const node = document.getElementById(id);
  node.value = value;
  node.dispatchEvent(new Event("input", {bubbles: true}));
};
const status = () => document.getElementById("status").textContent;
const names = () => [...document.querySelectorAll(".tile > span:not([class])")].map((node) => node.textContent);
"""
LEFT, RIGHT, DOWN, ESCAPE, ENTER = "\ue012", "\ue014", "\ue015", "\ue00c", "\ue007"


@pytest.mark.slow
def test_five_thousand_inputs_in_a_browser(tmp_path):
    page = many(tmp_path / "out", 5000)
    with chromium() as browser:
        started = time.monotonic()
        browser.show(page, width=1600)
        assert browser.run(SET + "return status();") == "1 to 60 of 5,000 images; 1 failed"
        opened = time.monotonic() - started
        assert browser.problems() == []
        spent = browser.run(
            SET
            + """
            const started = performance.now();
            set("search", "sub 1"); set("class", "WBC"); set("from", "0.5"); set("sort", "-score");
            return [performance.now() - started, status(), names()[0]];
        """
        )
        kept = [at for at in range(1, 5000, 3) if "1" in f"{at:05}" and round(at / 5000, 4) >= 0.5]
        assert spent[1] == f"1 to 60 of {len(kept)} images, 5,000 in all; 1 failed"
        assert spent[2] == f"{kept[-1]:05}.jpg"
        assert opened < 20, opened
        assert spent[0] < 2000, spent
        print(f"opened in {opened:.2f} s, four choices in {spent[0]:.0f} ms")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(400, False), (1600, True)])
def test_the_page_in_a_browser(tmp_path, width, dark):
    page = many(tmp_path / "out", 130)
    with chromium() as browser:
        browser.show(page, width=width, dark=dark)
        assert browser.problems() == []
        hidden = "return [...document.querySelectorAll('label')].filter((node) => !node.offsetHeight).length"
        assert browser.run(hidden) == 0  # boxes have classes and scores
        assert (
            browser.run(SET + 'set("class", "WBC"); return status();') == "1 to 42 of 42 images, 130 in all; 1 failed"
        )
        assert browser.run(SET + 'set("class", ""); set("state", "failed"); return [status(), names()];') == [
            "1 to 1 of 1 images, 130 in all; 1 failed", ["00007.jpg"],
        ]  # fmt: skip
        assert browser.run(SET + 'set("state", ""); set("sort", "-score"); return names()[0];') == "00129.jpg"
        assert browser.run(SET + 'set("to", "0.1"); set("sort", "+score"); return names()[0];') == "00000.jpg"
        assert browser.run(SET + 'set("to", ""); set("search", "none"); return status();').startswith("no images fit")
        browser.run('document.querySelector("button[type=reset]").click()')
        assert browser.run(SET + "return [status(), names()[0]];") == ["1 to 60 of 130 images; 1 failed", "00000.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1600])
def test_the_gallery_works_without_a_mouse(tmp_path, width):
    page = many(tmp_path / "out", 130)
    opened = 'const view = document.getElementById("view"); return view.open && view.querySelector("h2").textContent;'
    with chromium() as browser:
        browser.show(page, width=width)
        browser.run('document.querySelector(".tile").focus()')
        browser.press(RIGHT)
        assert browser.run("return document.activeElement.dataset.index") == "1"
        ring = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
        assert ring == "solid"
        browser.press(ENTER)
        assert browser.run(opened) == "images/sub/00001.jpg"
        assert browser.problems() == []
        sizes = browser.run("return [...document.querySelectorAll('#pair img')].map((each) => each.naturalWidth)")
        assert sizes == [4 * WIDTH, WIDTH]
        browser.press(RIGHT + RIGHT + LEFT + ESCAPE)
        assert browser.run(opened) is False
        assert browser.run("return document.activeElement.dataset.index") == "2"
        browser.run('document.querySelector(".tile[data-index=\\"59\\"]").focus()')
        browser.press(RIGHT)
        assert browser.run("return document.activeElement.dataset.index") == "60"
        browser.press(DOWN + LEFT)
        assert int(browser.run("return document.activeElement.dataset.index")) > 60


@pytest.mark.slow
def test_a_gallery_without_classes_has_no_choice_of_one(tmp_path):
    written(tmp_path / "out", [predicted("counting", RESULTS["counting"])])
    with chromium() as browser:
        browser.show(tmp_path / "out/gallery/index.html")
        shown = "return ['class', 'number'].map((id) => document.getElementById(id).offsetHeight > 0)"
        assert browser.run(shown) == [False, True]
        assert browser.problems() == []
