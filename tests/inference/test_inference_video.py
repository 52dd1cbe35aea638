"""Videos and numbered images: a stream of frames, immediate results, drawn videos, and broken files."""

import json
import weakref

import cv2
import numpy as np
import pytest
import torch
from inference_scenes import save_video, scene
from PIL import Image

from visionzoo import Inferencer
from visionzoo.cli.infer import main
from visionzoo.errors import DataError, InputError, OutputError
from visionzoo.inference import video_writing
from visionzoo.inference.video_writing import DrawnVideo
from visionzoo.tasks.inputs.files import count_inputs, expand_inputs
from visionzoo.tasks.inputs.videos import read_frames

NAME = "connnet_r50"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "saliency.pth"
    inferencer = Inferencer(NAME, "none", tiny=True, device="cpu")
    torch.save({"state_dict": inferencer.model.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def inferencer(weights):
    return Inferencer(NAME, weights, tiny=True, device="cpu")


@pytest.fixture
def clip(tmp_path):
    return save_video(tmp_path / "clip.mp4")


def infer(weights, out, *args):
    return main([NAME, *map(str, args), "--tiny", "--weights", str(weights), "--device", "cpu", "-o", str(out)])


def lines(out):
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def greys(path):
    return [round(float(image[:20].mean())) for _, image in read_frames(path, path.name, path)]


# --- reading ---


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mov", ".mkv", ".MP4"])
def test_frames_come_in_order_with_their_times(tmp_path, suffix):
    path = save_video(tmp_path / f"clip{suffix.lower()}")
    path = path.rename(path.with_suffix(suffix))
    frames = list(read_frames(path, "clip", path))
    assert [frame.number for frame, _ in frames] == list(range(12))
    np.testing.assert_allclose([frame.seconds for frame, _ in frames], np.arange(12) / 12.5, atol=2e-3)
    lightness = [image[:20].mean() for _, image in frames]
    np.testing.assert_allclose(lightness, 10 + 15 * np.arange(12), atol=7)  # less than half a step to the next frame
    assert {frame.video.fps for frame, _ in frames} == {12.5}
    assert {(image.shape, image.dtype) for _, image in frames} == {((48, 64, 3), np.dtype(np.uint8))}


def test_frames_are_rgb(tmp_path):
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
    writer.write(np.full((32, 32, 3), (0, 0, 255), np.uint8))
    writer.release()
    (frame,) = read_frames(path, "red", path)
    assert frame[1][..., 0].min() > 200
    assert frame[1][..., 2].max() < 60


def test_videos_are_inputs_like_images(tmp_path):
    save_video(tmp_path / "b.mp4", 3)
    for name in ("a.jpg", "c.jpg"):
        Image.fromarray(scene(20, 30)).save(tmp_path / name)
    sources = list(expand_inputs([tmp_path]))
    assert [source.name.removeprefix(f"{tmp_path}/") for source in sources] == [
        "a.jpg", "b.mp4#000000", "b.mp4#000001", "b.mp4#000002", "c.jpg",
    ]  # fmt: skip
    assert [source.place.as_posix() for source in sources][1:3] == ["b/000000.jpg", "b/000001.jpg"]
    assert count_inputs([tmp_path]) == 5
    (tmp_path / "list.txt").write_text("c.jpg\nb.mp4\n")
    assert len(list(expand_inputs([f"@{tmp_path / 'list.txt'}"]))) == 4
    assert len(list(expand_inputs([str(tmp_path / "*.mp4")]))) == 3
    assert [source.place.as_posix() for source in expand_inputs([tmp_path], videos=False)] == ["a.jpg", "c.jpg"]


def test_a_folder_whose_name_ends_like_a_video_is_a_folder(tmp_path):
    (tmp_path / "drive.MP4").mkdir()
    Image.fromarray(scene(20, 30)).save(tmp_path / "drive.MP4" / "00000.jpg")
    (source,) = expand_inputs([tmp_path], recursive=True)
    assert source.place.as_posix() == "drive.MP4/00000.jpg"


def test_frames_are_decoded_on_demand_and_released(inferencer, tmp_path):
    alive, most = [], 0
    sources = expand_inputs([save_video(tmp_path / "long.mp4", 60)])

    def watched():
        for source in sources:
            alive.append(weakref.ref(source.value))
            yield source

    kept = []
    for prediction in inferencer(watched(), batch_size=2):
        kept.append(prediction)
        most = max(most, sum(ref() is not None for ref in alive))
        assert len(alive) <= len(kept) + 8
    assert len(kept) == 60
    assert most <= 10  # those in the window, the one being processed and one read ahead
    assert kept[7].source.value is None
    assert kept[7].record()["frame"] == 7


def test_batches_change_nothing(inferencer, clip):
    single, batched = list(inferencer(clip)), list(inferencer(clip, batch_size=4))
    for one, other in zip(single, batched, strict=True):
        assert one.source.name == other.source.name
        np.testing.assert_allclose(one.result.map, other.result.map, atol=2e-5)


def test_a_frame_is_predicted_as_a_image_is(inferencer, clip):
    frames = [image for _, image in read_frames(clip, "clip", clip)]
    for video, single in zip(inferencer(clip), inferencer(frames), strict=True):
        assert np.array_equal(video.result.map, single.result.map)


# --- sequences ---


def test_a_pattern_takes_images_in_the_order_of_their_numbers(tmp_path):
    for name in ("f2.jpg", "f10.jpg", "f9.jpg", "f009.jpg", "f.jpg", "g1.jpg", "f3.png", "f1x.jpg"):
        Image.fromarray(scene(20, 30)).save(tmp_path / name)
    sources = list(expand_inputs([tmp_path / "f%d.jpg"]))
    assert [source.place.as_posix() for source in sources] == ["f2.jpg", "f009.jpg", "f9.jpg", "f10.jpg"]
    assert [source.place.as_posix() for source in expand_inputs([tmp_path / "f%03d.jpg"])] == ["f009.jpg"]
    assert count_inputs([tmp_path / "f%d.jpg"]) == 4


@pytest.mark.parametrize(("given", "words"), [("g%04d.png", "found none in"), ("no/%d.jpg", "found no folder")])
def test_patterns_that_match_nothing(tmp_path, given, words):
    with pytest.raises(InputError, match=f"expected images with numbers, {words}"):
        expand_inputs([tmp_path / given])


def test_a_file_named_like_a_pattern_is_that_file(tmp_path):
    Image.fromarray(scene(20, 30)).save(tmp_path / "100%d.jpg")
    assert [source.place.name for source in expand_inputs([tmp_path / "100%d.jpg"])] == ["100%d.jpg"]


# --- output of the command --- ---


def test_the_command_writes_a_line_for_every_frame_and_a_video(weights, clip, tmp_path, capsys):
    image = tmp_path / "z.png"
    Image.fromarray(scene(30, 40)).save(image)
    out = tmp_path / "out"
    assert infer(weights, out, clip, image, "--vis", "overlay,side") == 0
    assert "13 of 13 images done" in capsys.readouterr().err
    records = lines(out)
    assert [record["input"] for record in records] == [f"{clip}#{n:06d}" for n in range(12)] + [str(image)]
    assert [record.get("frame") for record in records] == [*range(12), None]
    assert [record["time"] for record in records[:3]] == [0.0, 0.08, 0.16]
    assert [record["result"]["map"] for record in records][11:] == ["raw/clip/000011.png", "raw/z.png"]
    assert sorted(path.name for path in (out / "vis").iterdir()) == ["clip.mp4", "clip_side.mp4", "z.png", "z_side.png"]
    assert len(list((out / "raw" / "clip").iterdir())) == 12
    drawn = list(read_frames(out / "vis" / "clip.mp4", "clip", clip))
    assert len(drawn) == 12
    assert drawn[0][1].shape == (48 * 4, 64 * 4, 3)  # enlarged like images
    assert drawn[0][0].video.fps == 12.5


def test_drawn_frames_show_their_results(weights, inferencer, clip, tmp_path):
    infer(weights, tmp_path / "out", clip, "-q")
    drawn = [image for _, image in read_frames(tmp_path / "out" / "vis" / "clip.mp4", "clip", clip)]
    for prediction, frame in zip(inferencer(clip, keep_images=True), drawn, strict=True):
        expected = inferencer.draw(prediction.image, prediction.result).repeat(4, 0).repeat(4, 1)
        assert np.abs(frame.astype(int) - expected).mean() < 6  # the codec changes some


def test_videos_of_one_stem_keep_their_results_apart(weights, clip, tmp_path):
    other = save_video(tmp_path / "clip.avi", 2)
    out = tmp_path / "out"
    assert infer(weights, out, clip, other, clip, "--max-samples", "26") == 0
    assert sorted(path.name for path in (out / "vis").iterdir()) == ["clip-2.mp4", "clip-3.mp4", "clip.mp4"]
    assert [len(greys(out / "vis" / name)) for name in ("clip.mp4", "clip-2.mp4", "clip-3.mp4")] == [12, 2, 12]
    assert len(list((out / "raw" / "clip-2").iterdir())) == 2
    assert infer(weights, out, other, "--vis", "none", "--overwrite") == 0
    assert [path.name for path in out.rglob("*.mp4")] == []
    names = sorted(path.name for path in out.iterdir())
    assert names == [".infer.jsonl", "predictions.csv", "predictions.jsonl", "raw", "run.json"]


def test_the_first_frames_make_a_whole_video(weights, clip, tmp_path):
    out = tmp_path / "out"
    assert infer(weights, out, clip, "--max-samples", "5") == 0
    assert len(greys(out / "vis" / "clip.mp4")) == len(lines(out)) == 5


# --- broken files ---


@pytest.fixture
def broken(tmp_path):
    """Return an empty file, one that is not a video, one that is truncated in its middle, and one without frames."""
    folder = tmp_path / "broken"
    folder.mkdir()
    whole = save_video(tmp_path / "whole.avi", 40).read_bytes()
    (folder / "cut.avi").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("not a video" * 100)
    save_video(folder / "nothing.avi", 0)
    return folder


def test_broken_videos_are_reported_and_others_are_processed(weights, broken, clip, tmp_path, capsys):
    out = tmp_path / "out"
    assert infer(weights, out, broken, clip, "--vis", "overlay") == 1
    output = capsys.readouterr().err
    records = lines(out)
    failed = {record["input"].rpartition("/")[2]: record["error"] for record in records if "error" in record}
    assert list(failed) == ["cut.avi", "empty.mp4", "nothing.avi", "text.mp4"]
    assert "expected 40 frames as the file states, found" in failed["cut.avi"]
    assert "found an empty file" in failed["empty.mp4"]
    assert "1100 bytes that cannot be opened as one" in failed["text.mp4"]
    assert all(f"error: {error}" in output for error in failed.values())
    done = [record["frame"] for record in records if record["input"].startswith(f"{broken / 'cut.avi'}#")]
    assert done == list(range(len(done)))
    assert 5 < len(done) < 38
    assert len(greys(out / "vis" / "cut.mp4")) == len(done)
    assert len(greys(out / "vis" / "clip.mp4")) == 12
    assert json.loads((out / "run.json").read_text())["failed"] == 4


def test_strict_stops_where_a_video_breaks_off(weights, broken, clip, tmp_path):
    out = tmp_path / "out"
    assert infer(weights, out, broken / "cut.avi", clip, "--strict") == 1
    assert "error" in lines(out)[-1]
    assert sorted(path.name for path in (out / "vis").iterdir()) == ["cut.mp4"]


def test_in_python_a_broken_video_raises_after_its_last_frame(inferencer, broken):
    seen = []
    with pytest.raises(DataError, match="breaks off"):
        seen.extend(prediction.source.frame.number for prediction in inferencer(broken / "cut.avi"))
    assert seen == list(range(len(seen)))
    assert len(seen) > 5


def test_a_missing_video_of_a_list_fails_separately(weights, clip, tmp_path):
    (tmp_path / "list.txt").write_text(f"gone.mp4\n{clip}\n")
    assert infer(weights, tmp_path / "out", f"@{tmp_path / 'list.txt'}", "--max-samples", "3", "--vis", "none") == 1
    first, *others = lines(tmp_path / "out")
    assert first["error"] == "gone.mp4: expected a video, but No such file or directory; check the path"
    assert [record["frame"] for record in others] == [0, 1]


def test_models_of_groups_take_no_videos(clip):
    (source,) = expand_inputs([clip], videos=False)
    groups = Inferencer("gconet_plus", "none", tiny=True, device="cpu")
    with pytest.raises(InputError, match="processes all images of a folder together, found a video"):
        groups.one(clip)
    assert isinstance(source.value, InputError)


# --- drawn videos --- ---


def test_odd_sizes_and_frames_of_other_sizes(tmp_path):
    video = DrawnVideo(tmp_path / "deep" / "v.mp4", np.zeros((33, 47, 3), np.uint8), None)
    for shape in ((33, 47, 3), (20, 60, 3), (50, 47, 3)):
        video.add(np.full(shape, 120, np.uint8))
    assert not video.path.exists()
    video.close(complete=True)
    frames = list(read_frames(video.path, "v", video.path))
    assert [image.shape for _, image in frames] == [(34, 48, 3)] * 3
    assert frames[0][0].video.fps == 25
    assert frames[1][1][25:].mean() > 230  # white below the lower frame
    assert abs(frames[2][1].mean() - 120) < 5
    assert [path.name for path in video.path.parent.iterdir()] == ["v.mp4"]


def test_an_unfinished_video_is_removed(tmp_path):
    video = DrawnVideo(tmp_path / "v.mp4", scene(32, 32), 10)
    video.add(scene(32, 32))
    video.close(complete=False)
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_lacks_frames_is_an_error(tmp_path, monkeypatch):
    video = DrawnVideo(tmp_path / "v.mp4", scene(32, 32), 10)
    video.add(scene(32, 32))
    monkeypatch.setattr(video_writing, "frame_count", lambda path: None)
    with pytest.raises(OutputError, match="expected a video of 1 frames to be written, but 0 are in the file"):
        video.close(complete=True)
    assert list(tmp_path.iterdir()) == []


def test_without_a_codec_frames_become_images(weights, clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(video_writing, "_CODEC", "none")
    out = tmp_path / "out"
    assert infer(weights, out, clip, "--max-samples", "3", "--vis", "overlay,side") == 0
    assert [path.relative_to(out / "vis").as_posix() for path in sorted((out / "vis").rglob("*.*"))] == [
        f"clip/{number:06d}{kind}.jpg" for number in range(3) for kind in ("", "_side")
    ]
    output = capsys.readouterr().err
    assert output.count("this OpenCV cannot write MP4 videos") == 2


def test_an_interruption_keeps_the_frames_that_were_drawn(weights, clip, tmp_path, monkeypatch):
    from visionzoo.inference import writing

    write = writing.PredictionWriter.write

    def interrupted(self, prediction):
        if self.done == 4:
            raise KeyboardInterrupt
        write(self, prediction)

    monkeypatch.setattr(writing.PredictionWriter, "write", interrupted)
    out = tmp_path / "out"
    assert infer(weights, out, clip) == 130
    assert len(greys(out / "vis" / "clip.mp4")) == len(lines(out)) == 4
