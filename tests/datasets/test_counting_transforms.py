"""Images with points: resizing, cropping, flipping, density maps, stored maps, regions, batches."""

from __future__ import annotations

import sys

import cv2
import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat

from visionzoo.datasets.transforms.counting import (
    FlipPoints,
    LoadDensity,
    LoadRoi,
    MakeDensityMap,
    RandomCropPoints,
    ResizeToFit,
    crop_to_smallest,
    points_inside,
)
from visionzoo.datasets.transforms.packing import PackTaskInputs
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import ConfigError, DataError, MissingExtra, UnknownName
from visionzoo.ops.density_maps import adaptive_density, blurred_dots, dot_map, fixed_density
from visionzoo.registry import FUNCTIONS, TRANSFORMS

SHAPE = (40, 57)


def drawn(seed=0, count=12, shape=SHAPE):
    """Return a sample whose pixels encode their position: the column in red, the row in green."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    img = np.stack([columns, rows, np.zeros(shape)], axis=2).astype(np.uint8)
    points = rng.integers(0, shape[::-1], (count, 2)).astype(float)
    return dict(
        img=img,
        img_path="a.jpg",
        ori_shape=shape,
        img_shape=shape,
        gt_points=points,
        gt_count=float(count),
        gt_roi=(columns > 9).astype(np.uint8),
    )


def colours_at(sample):
    """Return the positions that the points' pixels encode."""
    columns, rows = sample["gt_points"].astype(int).T
    return sample["img"][rows, columns, :2].astype(float)


# --- resizing ---


@pytest.mark.parametrize(
    ("arguments", "shape", "want"),
    [
        (dict(size=(1024, 1024), multiple=16), (2000, 3001), (688, 1024)),  # 682.4 and 1024
        (dict(size=(1024, 1024), multiple=16), (500, 700), (496, 704)),  # not enlarged
        (dict(size=(768, 1024)), (768, 1024), (768, 1024)),
        (dict(size=(768, 1024)), (1536, 1025), (768, 513)),  # 512.5 is rounded up
        (dict(size=(2048, 2048), at_least=(576, 768), multiple=16), (300, 400), (576, 768)),
        (dict(size=(2048, 2048), at_least=(576, 768), multiple=16), (4000, 6000), (1360, 2048)),
        (dict(size=(2048, 2048), at_least=(576, 768), multiple=16), (100, 2000), (576, 11520)),
        (dict(multiple=16), (5, 24), (16, 32)),
        (dict(multiple=16), (767, 1023), (768, 1024)),
    ],
)
def test_sizes_of_c3_and_nwpu(arguments, shape, want):
    assert ResizeToFit(**arguments).target(shape) == want


def test_points_are_scaled_by_the_ratio_of_each_side():
    sample, before = drawn(), drawn()
    results = ResizeToFit(multiple=16).transform(sample)
    assert results["img"].shape == (48, 64, 3)
    assert results["gt_roi"].shape == (48, 64)
    assert results["scale_factor"] == (64 / 57, 48 / 40)
    np.testing.assert_allclose(results["gt_points"], before["gt_points"] * [64 / 57, 48 / 40])
    assert results["img_shape"] == (48, 64)
    assert results["ori_shape"] == SHAPE


def test_truth_for_measuring_stays():
    results = ResizeToFit(size=(20, 20), truth=False).transform(drawn())
    assert results["img"].shape == (14, 20, 3)
    assert results["gt_roi"].shape == SHAPE
    np.testing.assert_array_equal(results["gt_points"], drawn()["gt_points"])


def test_a_density_is_made_after_resizing():
    sample = MakeDensityMap().transform(drawn())
    with pytest.raises(ConfigError, match="expected no density yet"):
        ResizeToFit(multiple=16).transform(sample)
    with pytest.raises(ConfigError, match=r"ResizeToFit\.multiple: expected a whole number from 1 to 65,536, found 0"):
        ResizeToFit(multiple=0)


# --- cropping ---


@pytest.mark.parametrize("seed", range(5))
def test_a_crop_keeps_the_points_that_lie_in_it(seed):
    np.random.seed(seed)
    before = drawn(seed)
    results = RandomCropPoints((16, 24)).transform(MakeDensityMap().transform(drawn(seed)))
    assert results["img"].shape == (16, 24, 3)
    assert results["gt_density"].shape == results["gt_roi"].shape == results["img_shape"] == (16, 24)
    corner = results["img"][0, 0, :2].astype(int)
    inside = ((before["gt_points"] >= corner) & (before["gt_points"] < corner + np.array([24, 16]))).all(axis=1)
    np.testing.assert_array_equal(colours_at(results), before["gt_points"][inside])
    assert results["gt_count"] == inside.sum()
    whole = fixed_density(before["gt_points"], SHAPE) * before["gt_roi"]
    np.testing.assert_array_equal(results["gt_density"], whole[corner[1] :, corner[0] :][:16, :24])


def test_crops_are_everywhere():
    np.random.seed(0)
    corners = {tuple(RandomCropPoints((38, 55)).transform(drawn())["img"][0, 0, :2].tolist()) for _ in range(100)}
    assert corners == {(x, y) for x in range(3) for y in range(3)}


def test_a_smaller_image_is_padded():
    sample = MakeDensityMap().transform(drawn())
    results = RandomCropPoints((64, 57), pad_val=(9, 8, 7)).transform(sample)
    assert results["img"].shape == (64, 57, 3)
    assert (results["img"][40:] == [9, 8, 7]).all()
    assert not results["gt_density"][40:].any()
    assert not results["gt_roi"][40:].any()
    np.testing.assert_array_equal(results["gt_points"], drawn()["gt_points"])


def test_the_whole_image_keeps_points_outside():
    points = np.array([[-3.0, 5], [80, 80], [4.5, 40.2], [56.9, 39.9]])
    np.testing.assert_array_equal(points_inside(points, SHAPE, (0, 0), SHAPE), points)
    np.testing.assert_allclose(points_inside(points, SHAPE, (30, 30), (10, 27)), [[50, 50], [26.9, 9.9]])
    assert len(points_inside(np.zeros((0, 2)), SHAPE, (0, 0), (5, 5))) == 0


def test_a_multiple_of_its_size():
    results = RandomCropPoints(multiple=32).transform(drawn())
    assert results["img"].shape == (32, 32, 3)
    assert RandomCropPoints(multiple=64).transform(drawn())["img"].shape == (40, 57, 3)
    for wrong in (dict(size=(0, 4)), dict(size=(4,)), dict(multiple=0)):
        with pytest.raises(ConfigError, match=r"RandomCropPoints\.(size|multiple): expected a (list|whole number)"):
            RandomCropPoints(**wrong)


# --- flipping ---


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_a_flip_moves_points_with_their_pixels(direction):
    sample = MakeDensityMap("adaptive").transform(drawn())
    before = colours_at(sample)
    density, roi = sample["gt_density"], sample["gt_roi"]
    results = FlipPoints(1.0, direction).transform(sample)
    assert results["flip_direction"] == direction
    np.testing.assert_array_equal(colours_at(results), before)
    axes = {"horizontal": (1,), "vertical": (0,), "diagonal": (0, 1)}[direction]
    np.testing.assert_array_equal(results["gt_density"], np.flip(density, axes))
    np.testing.assert_array_equal(results["gt_roi"], np.flip(roi, axes))
    again = FlipPoints(1.0, direction).transform(results)
    np.testing.assert_array_equal(again["gt_points"], drawn()["gt_points"])


def test_flips_of_dots_before_and_after_the_map_are_equal():
    first = FlipPoints(1.0).transform(MakeDensityMap("sigma").transform(drawn()))
    second = MakeDensityMap("sigma").transform(FlipPoints(1.0).transform(drawn()))
    np.testing.assert_allclose(first["gt_density"], second["gt_density"], atol=1e-6)


def test_as_often_as_configured():
    np.random.seed(0)
    flipped = [FlipPoints(0.25).transform(drawn())["flip"] for _ in range(400)]
    assert 60 < sum(flipped) < 140
    assert not any(FlipPoints(0.0).transform(drawn())["flip"] for _ in range(5))


# --- density maps ---


@pytest.mark.parametrize(
    ("arguments", "make"),
    [
        (dict(), lambda points: fixed_density(points, SHAPE)),
        (dict(settings=dict(sigma=2.0, size=9)), lambda points: fixed_density(points, SHAPE, sigma=2.0, size=9)),
        (dict(kind="adaptive"), lambda points: adaptive_density(points, SHAPE)),
        (dict(kind="adaptive", settings=dict(truncate=3.0)), lambda p: adaptive_density(p, SHAPE, truncate=3.0)),
        (dict(kind="sigma"), lambda points: blurred_dots(points, SHAPE)),
        (dict(kind="sigma", settings=dict(mode="constant")), lambda p: blurred_dots(p, SHAPE, mode="constant")),
    ],
)
def test_density_maps_of_every_kind(arguments, make):
    sample = drawn()
    del sample["gt_roi"]
    results = TRANSFORMS.build(dict(type="MakeDensityMap", **arguments)).transform(sample)
    assert results["gt_density"].dtype == np.float32
    np.testing.assert_array_equal(results["gt_density"], make(sample["gt_points"]))


def test_nothing_is_left_outside_the_region():
    results = MakeDensityMap().transform(drawn())
    assert not results["gt_density"][:, :10].any()
    assert results["gt_density"].any()


def test_a_image_without_people_has_an_empty_map():
    for kind in ("fixed", "adaptive", "sigma"):
        results = MakeDensityMap(kind).transform(drawn(count=0))
        assert results["gt_density"].shape == SHAPE
        assert not results["gt_density"].any()


def test_kinds_and_settings_that_there_are_not():
    with pytest.raises(UnknownName, match="no kind of MakeDensityMap is called 'fix'; did you mean 'fixed'"):
        MakeDensityMap("fix")
    for kind, name in (("fixed", "factor"), ("adaptive", "sigma"), ("fixed", "truncate"), ("sigma", "size")):
        with pytest.raises(UnknownName, match=f"no setting of {kind} density maps is called '{name}'"):
            MakeDensityMap(kind, {name: 1})


# --- stored densities and regions ---


@pytest.fixture
def processed(tmp_path):
    """Write the output of HMoDE's preparation: two images, the second with a text file of its points."""
    densities = {}
    for name, points in (("IMG_1", drawn(1)["gt_points"]), ("IMG_2", drawn(2)["gt_points"])):
        folder = tmp_path / "train_data"
        for sub in ("images", "ground_truth"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"images/{name}.jpg"), np.zeros((*SHAPE, 3), np.uint8))
        densities[name] = fixed_density(points, SHAPE)
        with h5py.File(folder / f"ground_truth/{name}_sigma4.h5", "w") as file:
            file["density"] = densities[name].astype(np.float64)
    (folder / "images/IMG_2.txt").write_text("".join(f"{x} {y} 1\n" for x, y in points))
    return tmp_path, densities


def build(root, **arguments):
    steps = [dict(type="LoadImage"), dict(type="LoadDensity"), dict(type="PackTaskInputs")]
    config = dict(type="ShanghaiTechDataset", data_root=str(root), part=None, density_suffix="_sigma4.h5")
    return build_dataset({**config, "pipeline": steps, "test_mode": True, **arguments}, where="dataset")


def test_densities_as_hmode_stores_them(processed):
    root, densities = processed
    dataset = build(root)
    first, second = (dataset[index]["data_samples"] for index in range(2))
    np.testing.assert_array_equal(first.gt_density, densities["IMG_1"])
    assert "gt_points" not in first
    assert float(first.gt_count) == pytest.approx(12, abs=1e-4)
    np.testing.assert_array_equal(second.gt_points, drawn(2)["gt_points"])
    assert float(second.gt_count) == 12


def test_without_h5py_the_extra_is_named(processed, monkeypatch):
    dataset = build(processed[0])
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra, match=r'IMG_1_sigma4.h5: needs h5py: pip install "visionzoo\[counting\]"'):
        dataset[0]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("density", np.zeros((4, 5)), "expected a density of 57x40 pixels like .*IMG_1.jpg, found 5x4"),
        ("density", np.full(SHAPE, np.nan), r"expected finite values \(H, W\)"),
        ("map", np.zeros(SHAPE), "expected a data set called density, found none"),
        (None, b"no hdf5", "expected a density in HDF5, but it cannot be read"),
    ],
)
def test_stored_densities_that_cannot_be(processed, name, values, words):
    path = processed[0] / "train_data/ground_truth/IMG_1_sigma4.h5"
    path.write_bytes(values if name is None else b"")
    if name is not None:
        with h5py.File(path, "w") as file:
            file[name] = values
    with pytest.raises(DataError, match=words):
        build(processed[0])[0]


def test_a_stored_density_that_is_missing(processed):
    (processed[0] / "train_data/ground_truth/IMG_2_sigma4.h5").unlink()
    with pytest.raises(DataError, match=r"expected 2 densities, found 1 missing \(ground_truth/IMG_2_sigma4.h5\)"):
        build(processed[0])
    assert "LoadDensity" in repr(LoadDensity())


def test_regions(tmp_path):
    sample = drawn() | {"roi_path": str(tmp_path / "mask.mat")}
    region = sample.pop("gt_roi")
    savemat(tmp_path / "mask.mat", {"BW": region * 255})
    np.testing.assert_array_equal(LoadRoi().transform(sample)["gt_roi"], region)
    savemat(tmp_path / "mask.mat", {"BW": region[:-1]})
    with pytest.raises(DataError, match=r"expected a region of 57x40 pixels like a\.jpg, found 57x39"):
        LoadRoi().transform(sample)
    savemat(tmp_path / "mask.mat", {"mask": region})
    with pytest.raises(DataError, match="expected the variable BW, found mask"):
        LoadRoi().transform(sample)


# --- batches ---


def packed(seed, shape, count=12):
    return PackTaskInputs().transform(MakeDensityMap().transform(drawn(seed, count, shape)))


def test_a_batch_is_cut_to_its_smallest_image():
    np.random.seed(0)
    batch = [packed(0, (70, 100)), packed(1, (65, 131)), packed(2, (90, 97), count=0)]
    results = FUNCTIONS.get("crop_to_smallest")(batch)
    for inputs, sample in zip(results["inputs"], results["data_samples"], strict=True):
        assert inputs.shape == (3, 64, 96)
        assert sample.gt_density.shape == sample.gt_roi.shape == sample.metainfo["img_shape"] == (64, 96)
        columns, rows = sample.gt_points.long().T
        source = inputs[:2, rows, columns].T.double() - inputs[:2, 0, 0]
        assert torch.equal(source, sample.gt_points)
        assert int(sample.gt_count) == len(sample.gt_points)
    assert batch[0]["inputs"].shape == (3, 70, 100)  # the samples are unchanged
    assert len(batch[0]["data_samples"].gt_points) == 12


def test_a_batch_of_one_stays_whole():
    one = packed(0, (33, 41))
    results = crop_to_smallest([one])
    assert results["inputs"][0] is one["inputs"]
    assert results["data_samples"][0] is one["data_samples"]
    assert crop_to_smallest([one, packed(1, (20, 90))])["inputs"][1].shape == (3, 20, 32)


def test_dots_of_a_sample_are_what_it_shows():
    """Resize, map, crop, flip and pack in a row; every dot is still on its pixel."""
    np.random.seed(3)
    sample = drawn(4)
    steps = [RandomCropPoints((32, 48)), FlipPoints(1.0), MakeDensityMap("sigma", dict(sigma=0.3)), PackTaskInputs()]
    for step in steps:
        sample = step.transform(sample)
    truth = sample["data_samples"]
    dots = dot_map(truth.gt_points.numpy(), (32, 48)) * truth.gt_roi.numpy()
    assert (truth.gt_density.numpy() > 0.5).sum() == dots.sum()
    assert truth.metainfo["flip"] is True


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 5)])
def test_images_of_one_pixel(shape, direction):
    sample = {"img": np.zeros((*shape, 3), np.uint8), "gt_points": np.array([[0.0, 0.0], [7.0, -3.0]])}
    steps = [
        FlipPoints(1.0, direction),
        ResizeToFit(size=(2, 2)),
        MakeDensityMap(),
        FlipPoints(1.0, direction),
        RandomCropPoints(size=(4, 4)),
        FlipPoints(1.0, direction),
        PackTaskInputs(),
    ]
    for step in steps:
        sample = step(sample)
    batch = crop_to_smallest([sample, sample])
    assert [tuple(each.shape) for each in batch["inputs"]] == [(3, 4, 4)] * 2
    assert batch["data_samples"][0].gt_density.sum() == pytest.approx(2.0)


def test_a_density_map_needs_points():
    with pytest.raises(DataError, match=r"a\.png: expected points for its density, found none"):
        MakeDensityMap()({"img": np.zeros((4, 6, 3), np.uint8), "img_path": "a.png"})


def test_region_of_data_without_regions():
    with pytest.raises(
        DataError, match=r"a\.jpg: expected a region of interest .* use a config without the step LoadRoi"
    ):
        LoadRoi().transform({"img_path": "a.jpg"})
