"""Lanes: F1 of CULane for folders, accuracy of TuSimple for files of JSON lines."""

from __future__ import annotations

from pathlib import Path

from visionzoo.errors import ConfigError, DataError, counted, in_cwd
from visionzoo.metrics.files._kind import FileKind, Measured


def measure(
    gt: Path,
    pred: Path,
    *,
    images: Path | None = None,
    width: int = 1640,
    height: int = 590,
    lane_width: int = 30,
    pixels: float = 20.0,
) -> Measured:
    """Measure lanes.

    Args:
        gt: folder of ``.lines.txt`` files of CULane, or a file of JSON lines of TuSimple.
        pred: the same kind of path.
        images: for CULane, a list of images or a folder of lists. Default: ``list/test_split`` or ``list/test.txt``
            below ``gt``.
        width, height, lane_width: for CULane, size of the images and width of the drawn lanes, in pixels.
        pixels: for TuSimple, largest distance of a correct point.

    Raises:
        ConfigError: there is no list of images.
        DataError: the paths are of different kinds, or a file is missing, has errors or is of other images.
    """
    from visionzoo.metrics.lanes.folders import score_culane_folders, score_tusimple_files

    for path in (gt, pred):
        if not path.exists():
            expected, found = "a folder of CULane or a file of TuSimple", f"no such path{in_cwd(path)}"
            raise DataError(path, expected=expected, found=found, advice="check the path")
    if gt.is_dir() != pred.is_dir():
        kinds = ["a folder, as CULane" if path.is_dir() else "a file, as TuSimple" for path in (gt, pred)]
        advice = "name two folders of CULane or two files of TuSimple"
        raise DataError(pred, expected=f"{kinds[0]} like {gt}", found=kinds[1], advice=advice)
    if gt.is_file():
        numbers = score_tusimple_files(pred, gt, pixels=pixels)
        return Measured({f"tusimple/{name}": value for name, value in numbers.items()}, protocol="TuSimple")
    lists = images or _lists_of(gt)
    scores = score_culane_folders(pred, gt, lists, size=(width, height), width=lane_width)
    note = f"{counted(len(scores.without_prediction), 'image')} of {scores.images} without a prediction file: no lane"
    return Measured(
        {f"culane/{name}": value for name, value in scores.numbers.items()},
        protocol=f"CULane, lanes of {lane_width} pixels in {width}x{height}",
        notes=(note,) if scores.without_prediction else (),
    )


def _lists_of(gt: Path) -> Path:
    places = [gt / "list/test_split", gt / "list/test.txt"]
    for place in places:
        if place.exists():
            return place
    raise ConfigError(
        "--images",
        expected="a list of images, or a folder of lists",
        found=f"none, and neither {places[0]} nor {places[1]}",
        advice="write --images list/test.txt",
    )


KIND = FileKind(
    truth="CULane: folder of .lines.txt files; TuSimple: test_label.json",
    prediction="CULane: folder of .lines.txt files; TuSimple: file of JSON lines with run_time",
    measure=measure,
    options={
        "images": "CULane: list of images or folder of lists (default: list/test_split or list/test.txt in --gt)",
        "width": "CULane: width of the images in pixels",
        "height": "CULane: height of the images in pixels",
        "lane_width": "CULane: width of the drawn lanes in pixels",
        "pixels": "TuSimple: largest distance of a correct point in pixels",
    },
    examples=("--gt CULane --pred lanes --images CULane/list/test.txt", "--gt test_label.json --pred tusimple.json"),
)
