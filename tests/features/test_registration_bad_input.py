"""Files that cannot be registered, through the command line: one sentence each, and results of files that are odd.

One run reads all pairs of a list. A pair that cannot be read is stated, the others are registered, and the exit code is
1. The exit code of a list that cannot be read is 2. ``datasets/registration/README.md`` has the table.
"""

import contextlib
import csv
import gzip
import io
import os
import shutil
import struct
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from visionzoo.cli.infer import main
from visionzoo.cli.transform import main as transform
from visionzoo.datasets import findings
from visionzoo.datasets.field_files import array_bytes, field_bytes
from visionzoo.structures.volumes import Volume

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed (extra medical)")

# Oblique, anisotropic and left-handed.
# Oblique, anisotropic and left-handed, with axes at right angles.
TURN, STRETCH = np.linalg.qr([[-1.2, 0.3, 0.1], [0.2, 0.9, -0.4], [0.1, 0.35, 2.1]])
AFFINE = np.eye(4)
AFFINE[:3, :3] = TURN * np.sign(np.diag(STRETCH)) * [1.2, 1.0, 2.1]
AFFINE[:3, 3] = 10, -20, 5
SHAPE = (16, 15, 14)
RNG = np.random.RandomState(0)
BLOB = np.exp(-0.5 * sum(((x - 7) / 3) ** 2 for x in np.meshgrid(*map(np.arange, SHAPE), indexing="ij")))
IMAGE = (100 * BLOB + ndimage.gaussian_filter(RNG.rand(*SHAPE), 1)).astype(np.float32)
FAR = AFFINE + np.array([[0, 0, 0, 1000.0]] * 3 + [[0] * 4])


def nifti(data=IMAGE, affine=AFFINE, kind=nibabel.Nifti1Image):
    """Return the bytes of a file."""
    return kind(data, affine).to_bytes()


def with_bytes(start, new):
    content = bytearray(nifti())
    content[start : start + len(new)] = new
    return bytes(content)


def stating(*shape):
    return with_bytes(40, struct.pack("<8h", 3, *shape, 1, 1, 1, 1))


def numpy_header(shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(100)


def zipped(**entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def two_affines():
    image, shifted = nibabel.Nifti1Image(IMAGE, AFFINE), AFFINE.copy()
    shifted[0, 3] += 4
    image.header.set_sform(AFFINE, 1)
    image.header.set_qform(shifted, 1)
    return image.to_bytes()


def saved(save, *args, **kwargs):
    file = io.BytesIO()
    save(file, *args, **kwargs)
    return file.getvalue()


COLOURS = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
CONTENT = np.zeros((40, 15, 14), np.float32)
CONTENT[:3] = 1  # only where the centred fixed image does not reach

# Name of the moving image -> its bytes, and a part of the error.
BAD = {
    "shape.nii": (nifti(IMAGE[:10], None), "expected images of one shape, or an affine in both files, found 16x15x14"),
    "all_nan.nii": (nifti(IMAGE * np.nan), "expected finite intensities, found 3360 voxels"),
    "infinite.nii": (nifti(np.where(IMAGE > 50, np.inf, IMAGE)), "expected finite intensities, found"),
    "constant.nii": (nifti(IMAGE * 0 + 3), "expected an image with at least two values, found the value 3"),
    "zero.nii.gz": (gzip.compress(nifti(IMAGE * 0)), "found the value 0 at every voxel"),
    "slice.png": (png(RNG.randint(0, 255, (16, 15)).astype(np.uint8)), "a moving image of 3 axes like the fixed one"),
    "series.nii": (nifti(RNG.rand(8, 8, 8, 5)), "found a series of 5 volumes, 8x8x8x5; save one of them"),
    "thin.nii": (nifti(IMAGE[:, :1]), "expected two or three axes of at least 2 voxels, found 16x1x14"),
    "half.nii.gz": (gzip.compress(nifti())[:5000], "expected a complete file, but it breaks off; copy"),
    "head.nii.gz": (gzip.compress(nifti())[:60], "expected a complete file, but it breaks off; copy"),
    "half.nii": (nifti()[:5000], "expected a complete file, but it breaks off; copy"),
    "half.npz": (saved(np.savez, vol=IMAGE)[:5000], "expected a complete .npz file, but"),
    "half.npy": (saved(np.save, IMAGE)[:5000], "expected a complete .npy file, but it breaks off"),
    "singular.nii": (with_bytes(280, bytes(48)), "affine: expected a matrix that can be inverted, found"),
    "nan_affine.nii": (with_bytes(280, struct.pack("<12f", *[np.nan] * 12)), "affine: expected a matrix that can be"),
    "no_overlap.nii": (nifti(CONTENT, FAR), "expected images that overlap, found the value 0 of the moving image"),
    "bomb.nii": (stating(32767, 32767, 32767), "expected at most 1,073,741,824 voxels, found a header that states 327"),
    "bomb.nii.gz": (gzip.compress(stating(32767, 32767, 32767)), "found a header that states 32767x32767x32767"),
    "bomb_2.nii.gz": (gzip.compress(stating(1000, 1000, 1000)), "expected a complete file, but it breaks off"),
    "negative.nii": (stating(-4, 5, 6), "expected"),
    "bomb.mgz": (gzip.compress(struct.pack(">5i", 1, 9999, 9999, 9999, 1) + bytes(300)), "states 9999x9999x9999"),
    "bomb.npy": (numpy_header((10**5, 10**5, 10**3)), "expected a complete .npy file, but it breaks off"),
    "bomb.npz": (zipped(vol=numpy_header((10**5, 10**5, 10**3))), "states more values than fit into memory"),
    "bomb_2.npz": (zipped(vol=numpy_header((900, 900, 900))), "expected a complete .npz file, but it breaks off"),
    "names.npz": (saved(np.savez, a=IMAGE, b=IMAGE), "expected an array called vol, found a, b; rename one"),
    "seg.npz": (saved(np.savez, vol=IMAGE, seg=np.zeros(3)), "expected seg of the shape (16, 15, 14) of vol"),
    "text.npz": (saved(np.savez, vol=np.array(["a"])), "expected"),
    "objects.npy": (saved(np.save, np.array([{}]), allow_pickle=True), "expected a complete .npy file, but"),
    "png.nii.gz": (png(np.eye(9, dtype=np.uint8)), "found an image; correct the ending of its name"),
    "npz.nii": (saved(np.savez, vol=IMAGE), "found an archive; correct the ending of its name"),
    "nifti.mgz": (gzip.compress(nifti()), "expected the header of a .mgz file, but"),
    "mgz.nii.gz": (gzip.compress(nifti(kind=nibabel.MGHImage)), "expected the header of a .nii.gz file, but"),
    "nifti.npz": (gzip.compress(nifti()), "expected a complete .npz file, but"),
    "nifti.png": (nifti(), "expected a slice"),
    "text.nii": (b"hello", "expected the header of a .nii file, but"),
    "empty.nii.gz": (b"", "expected a volume, found an empty file"),
    "colours.nii": (nifti(COLOURS), "expected one number per voxel, found colours; export it in grey levels"),
    "complex.nii": (nifti(IMAGE.astype(np.complex64)), "expected one number per voxel, found"),
    "scan.dcm": (b"DICM", "found the ending '.dcm'; convert it to NIfTI"),
    "scan": (b"DICM", "found no ending; convert it to NIfTI"),
    "folder": (None, "expected a volume, found a folder"),
    "folder.nii": (None, "expected a volume, found a folder"),
    "none.nii": (None, "expected a volume, found no such file"),
}
BAD_EXTRAS = {
    "intensities": ("labels", nifti(IMAGE), "expected whole numbers as labels, found"),
    "other_grid": (
        "labels",
        nifti(np.eye(9, dtype=np.uint8)[None] + np.zeros((8, 1, 1), np.uint8), None),
        "labels: pair",
    ),
    "of_two_axes": ("labels", nifti((IMAGE > 50).astype(np.uint8)[:, :, 0], None), "labels: pair: expected"),
    "nothing": ("fixed_mask", nifti((IMAGE * 0).astype(np.uint8)), "fixed mask: expected voxels other than 0"),
    "small": (
        "fixed_mask",
        nifti(np.ones((5, 5, 5), np.uint8), None),
        "fixed mask: pair: expected images of one shape",
    ),
}
POINTS = {"two_axes": "1 2\n", "words": "1 2 a\n", "nothing": "", "infinite": "1 2 inf\n"}

# Name of the moving image -> its bytes, and a part of the note.
ODD = {
    "same.nii": (nifti(), ""),
    "nan.nii": (nifti(np.where(IMAGE > 90, np.nan, IMAGE)), "voxels are NaN and are read as 0"),
    "no_affine.nii": (nifti(IMAGE, None), "the moving image has no affine, so the images are compared voxel by voxel"),
    "two_affines.nii": (two_affines(), "sform and qform disagree by 4"),
    "flipped.nii": (
        nifti(IMAGE[::-1], AFFINE @ np.array([[-1, 0, 0, 15], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])),
        "1.2x1x2.1 mm, RAS) is resampled to the grid of the fixed one (16x15x14, 1.2x1x2.1 mm, LAS)",
    ),
    "turned.mgz": (
        gzip.compress(nifti(IMAGE.transpose(1, 0, 2), AFFINE[:, [1, 0, 2, 3]], nibabel.MGHImage)),
        "(15x16x14, 1x1.2x2.1 mm, ALS) is resampled to the grid of the fixed one",
    ),
    "far.nii": (nifti(IMAGE, FAR), "have no common place by their affines, so their centres are matched"),
    "tail.nii.gz": (gzip.compress(nifti() + bytes(10**7)), ""),
}


def write(folder, name, content):
    path = folder / name
    if content is not None:
        path.write_bytes(content)
    elif name.startswith("folder"):
        path.mkdir()
    return path


def infer(*words):
    """Register without a network, and return the exit code and what is written to stderr."""
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown):
        code = main(["direct_affine", *map(str, words), "--no-progress"])
    return code, shown.getvalue()


def run(folder, rows):
    """Write a list of pairs and register them."""
    columns = ("fixed", "moving", "labels", "fixed_mask", "points", "fixed_points")
    with (folder / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return infer("--pairs", folder / "pairs.csv", "-o", folder / "out", "--overwrite")


@pytest.fixture(autouse=True)
def new_notes(monkeypatch):
    """Print notes as a new process does: one process prints each note about a file once."""
    monkeypatch.setattr(findings, "_printed", set())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    image = nibabel.Nifti1Image(IMAGE, AFFINE)
    image.header["descrip"] = b"scanner 7"
    nibabel.save(image, folder / "fixed.nii.gz")
    return folder


def test_pairs_that_cannot_be_registered(folder):
    rows, messages = [], []
    for name, (content, message) in BAD.items():
        write(folder, name, content)
        rows.append({"fixed": "fixed.nii.gz", "moving": name})
        messages.append(message)
    for name, (column, content, message) in BAD_EXTRAS.items():
        write(folder, f"{name}.nii", content)
        rows.append({"fixed": "fixed.nii.gz", "moving": "fixed.nii.gz", column: f"{name}.nii"})
        messages.append(message)
    for name, text in POINTS.items():
        (folder / f"{name}.txt").write_text(text)
        rows.append({"fixed": "fixed.nii.gz", "moving": "fixed.nii.gz", "points": f"{name}.txt"})
        messages.append("expected lines of 3 voxel indices")
    code, shown = run(folder, rows)
    assert code == 1
    lines = [line for line in shown.splitlines() if line.startswith("error: ")]
    found = [(row["moving"], line) for row, line, message in zip(rows, lines, messages) if message not in line]
    assert found == []
    assert len(lines) == len(rows)
    assert not any("Traceback" in line or len(line) > 500 for line in lines)


def test_odd_files_are_registered_with_a_note(folder):
    for name, (content, _) in ODD.items():
        write(folder, name, content)
    code, shown = run(folder, [{"fixed": "fixed.nii.gz", "moving": name} for name in ODD])
    assert code == 0
    for name, (_, note) in ODD.items():
        named = [line for line in shown.splitlines() if line.startswith(f"warning: fixed-{name.partition('.')[0]}: ")]
        assert bool(named) == bool(note), (name, named)
        assert not note or note in named[0], (name, named)
    written = sorted(folder.glob("out/warped/*.nii.gz"))
    assert len(written) == len(ODD)
    for path in written:
        image = nibabel.load(path)
        assert image.shape == SHAPE, path
        assert np.abs(image.affine - AFFINE).max() < 1e-5, path
        assert image.header["descrip"].item() == b"scanner 7", path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "fixed,other\na.nii,b.nii\n",
            "expected a header with the columns fixed, moving, found 'fixed,other'",
        ),
        ("", "expected"),
        ("fixed,moving\n", "found no pair; add a line for each pair"),
        ("fixed,moving\nfixed.nii.gz\n", "line 2"),
        ("a.nii b.nii c.nii\n", "line 1: pair: expected two paths"),
        ("\x00\x01\x02", "expected"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path, text, message):
    (tmp_path / "pairs.csv").write_text(text)
    code, shown = infer("--pairs", tmp_path / "pairs.csv", "-o", tmp_path / "out")
    assert code == 2
    assert message in shown
    assert "Traceback" not in shown
    assert not (tmp_path / "out").exists()


def test_paths_that_are_no_list(folder, tmp_path):
    for path in (folder / "fixed.nii.gz", folder, folder / "nowhere.csv"):
        code, shown = infer("--pairs", path, "-o", tmp_path / "out")
        assert code == 2
        assert shown.startswith(f"error: {path}: expected")


def test_pairs_that_are_listed_twice_have_two_results(folder):
    assert run(folder, [{"fixed": "fixed.nii.gz", "moving": "fixed.nii.gz"}] * 2)[0] == 0
    assert len(list((folder / "out" / "warped").iterdir())) == 2


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="the rights of files are not checked")
def test_a_file_that_may_not_be_read(folder):
    shutil.copy(folder / "fixed.nii.gz", folder / "locked.nii.gz")
    Path(folder / "locked.nii.gz").chmod(0)
    code, shown = run(folder, [{"fixed": "fixed.nii.gz", "moving": "locked.nii.gz"}])
    assert code == 1
    assert "expected a volume that can be read, but Permission denied; check its rights" in shown


def test_colours_of_a_slice_are_read_as_grey_levels(folder):
    pixels = np.repeat((2 * IMAGE[:, :, 7, None]).astype(np.uint8), 3, axis=2)
    for name in ("a.png", "b.png"):
        write(folder, name, png(pixels))
    code, shown = run(folder, [{"fixed": "a.png", "moving": "b.png"}])
    assert code == 0
    assert "the colours of the image are read as grey levels" in shown


# --- visionzoo transform ---

SMALL = Volume(np.zeros((5, 6, 7), np.float32), None)
FIELDS = {
    "far.nii.gz": (field_bytes(np.zeros((3, 5, 6, 7)), replace(SMALL, affine=FAR)), 1, "expected a file in the space"),
    "other.npz": (
        array_bytes(np.zeros((3, 5, 6, 7)), SMALL),
        1,
        "expected the shape of 5x6x7, no affine, or an affine",
    ),
    "slice.npz": (array_bytes(np.zeros((2, 5, 6)), SMALL), 1, "expected 2 axes, found 3"),
    "nan.npz": (array_bytes(np.full((3, 5, 6, 7), np.nan), SMALL), 2, "expected finite displacements"),
    "image.nii": (nifti(), 2, "expected a displacement field"),
    "cut.nii.gz": (field_bytes(np.zeros((3, 5, 6, 7)), SMALL)[:60], 2, "expected a complete file, but it breaks off"),
    "bomb.nii.gz": (gzip.compress(stating(32767, 32767, 32767)), 2, "expected at most 1,073,741,824 voxels"),
    "map.txt": (b"1 0 0 0\n0 1 0 0\n0 0 0 0\n0 0 0 1\n", 2, "expected a map that can be inverted"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_transforms_that_do_not_fit(name, tmp_path):
    content, code, message = FIELDS[name]
    write(tmp_path, name, content), write(tmp_path, "image.nii", nifti())
    option, shown = ("--affine" if name.endswith(".txt") else "--field"), io.StringIO()
    with contextlib.redirect_stderr(shown):
        found = transform([option, str(tmp_path / name), str(tmp_path / "image.nii"), "-o", str(tmp_path / "out")])
    assert found == code
    assert shown.getvalue().startswith("error: ")
    assert message in shown.getvalue().partition("\n")[0]
