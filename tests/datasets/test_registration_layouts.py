"""``--data`` with images to register: what is recognised, how it is paired and divided, and what is refused."""

import re
import zipfile
from itertools import pairwise

import numpy as np
import pytest
from nifti_files import write_nifti

from visionzoo.cli.train import main
from visionzoo.config import load_config
from visionzoo.datasets.layouts import data_settings
from visionzoo.datasets.registration import RegistrationPairs
from visionzoo.errors import DataError

OASIS = load_config("voxelmorph_oasis").cfg
NAMES = [f"s{number}" for number in range(6)]


def touch(root, *patterns, names=NAMES):
    """Make empty files; ``#`` in a pattern is the name of a subject. Only names decide about the layout."""
    for pattern in patterns:
        for name in names:
            path = root / pattern.replace("#", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def pair_list(root, name, header, between):
    touch(root, "scans/#.nii.gz")
    lines = [between.join([f"scans/{a}.nii.gz", f"scans/{b}.nii.gz"]) for a, b in pairwise(NAMES)]
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("\n".join([*header, *lines]))


def npz(root, with_labels):
    for name in NAMES:
        root.mkdir(exist_ok=True)
        np.savez(root / f"{name}.npz", vol=np.eye(3), **({"seg": np.eye(3)} if with_labels else {}))


def two_folders(root, fixed="#", moving="#", maps="_seg"):
    touch(root, f"fixed/{fixed}.nii.gz", f"moving/{moving}.nii.gz")
    if maps:
        touch(root, f"fixed/{fixed}{maps}.nii.gz", f"moving/{moving}{maps}.nii.gz")


def atlas(root, images, *labels):
    touch(root, images, *labels), touch(root, "atlas.nii.gz", "atlas_seg.nii.gz", names=[""])


def ixi(root):
    names = [f"IXI{number:03}-Guys-08{number}0" for number in range(6)]
    touch(root, "IXI-T1/#-T1.nii.gz", "IXI-T2/#-T2.nii.gz", "labels/#-labels.nii.gz", names=names)


def oasis(root):
    files = ("aligned_norm", "aligned_orig", "aligned_seg4", "aligned_seg35", "norm", "seg4")
    touch(root, *[f"OASIS_OAS1_#_MR1/{file}.nii.gz" for file in files])


def splits(root):
    touch(root, "train/#.mgz", "train/#_labels.mgz"), touch(root, "val/#.mgz", names=NAMES[:2])


EACH = "with each other one (val: with the next one)"
THIRD = "no split: every 3rd image (2) is val"
FIFTH = "no split: every 5th pair (1) is val"
DRAWN = {
    "beside": (
        lambda root: touch(root, "#.nii.gz", "#_seg.nii.gz"),
        f"6 images, each *.nii.gz {EACH}, 6 label maps; {THIRD}",
        [12, 2, 2],
    ),
    "no labels": (
        lambda root: touch(root, "scans/#.nii"),
        f"6 images, each scans/*.nii {EACH}, no label maps and so no Dice; {THIRD}",
        [12, 2, 2],
    ),
    "labels in a folder": (
        lambda root: touch(root, "imagesTr/#_0000.nii.gz", "labelsTr/#_0000.nii.gz"),
        f"6 images, each imagesTr/*.nii.gz {EACH}, 6 label maps; {THIRD}",
        [12, 2, 2],
    ),
    "seg of npz": (lambda root: npz(root, True), f"6 images, each *.npz {EACH}, 6 label maps; {THIRD}", [12, 2, 2]),
    "npz": (
        lambda root: npz(root, False),
        f"6 images, each *.npz {EACH}, no label maps and so no Dice; {THIRD}",
        [12, 2, 2],
    ),
    "slices": (
        lambda root: touch(root, "#.png"),
        f"6 images, each *.png {EACH}, no label maps and so no Dice; {THIRD}",
        [12, 2, 2],
    ),
    "masks are not images": (
        lambda root: touch(root, "#_T1.nii.gz", "#_mask.nii.gz", "#_seg.nii.gz"),
        f"6 images, each *_T1.nii.gz {EACH}, 6 label maps; {THIRD}",
        [12, 2, 2],
    ),
    "two folders": (
        two_folders,
        f"6 pairs, fixed/*.nii.gz and moving/*.nii.gz of each subject, 6 label maps; {FIFTH}",
        [5, 1, 1],
    ),
    "two folders of other names": (
        lambda root: two_folders(root, "f#", "m#", ""),
        "6 pairs, fixed/*.nii.gz and moving/*.nii.gz in the order of their names, no label maps and so no Dice; "
        + FIFTH,
        [5, 1, 1],
    ),
    "atlas": (
        lambda root: atlas(root, "subjects/#.nii.gz", "labels/#.nii.gz"),
        "6 images, subjects/*.nii.gz to atlas.nii.gz, 6 label maps; no split: every 5th image (1) is val",
        [5, 1, 1],
    ),
    "atlas beside": (
        lambda root: atlas(root, "#.nii.gz", "#_seg.nii.gz"),
        "6 images, *.nii.gz to atlas.nii.gz, 6 label maps; no split: every 5th image (1) is val",
        [5, 1, 1],
    ),
    "csv": (
        lambda root: pair_list(root, "pairs.csv", ["fixed,moving"], ","),
        f"5 pairs; {FIFTH}",
        [4, 1, 1],
    ),
    "list": (lambda root: pair_list(root, "lists/pairs.txt", [], " "), f"5 pairs; {FIFTH}", [4, 1, 1]),
    "IXI": (ixi, f"6 images, each IXI-T1/*-T1.nii.gz {EACH}, 6 label maps; {THIRD}", [12, 2, 2]),
    "Neurite-OASIS": (oasis, f"6 images, each */aligned_norm.nii.gz {EACH}, 6 label maps; {THIRD}", [12, 2, 2]),
    "FreeSurfer": (
        lambda root: touch(root, "#/mri/norm.mgz", "#/mri/T1.mgz", "#/mri/aparc+aseg.mgz"),
        f"6 images, each */mri/norm.mgz {EACH}, 6 label maps; {THIRD}",
        [12, 2, 2],
    ),
    "splits": (splits, f"8 images, each train/*.mgz {EACH}, 6 label maps; 6 train, 2 val", [30, 2, 2]),
}


def data_sets(options):
    """Build the data sets that the options describe, without the pipelines of the config."""
    for split in ("train", "val", "test"):
        prefix = f"{split}_dataloader.dataset."
        given = {path.removeprefix(prefix): value for path, value in options.items() if path.startswith(prefix)}
        assert given.pop("type") == "RegistrationPairs"
        yield RegistrationPairs(**given)


@pytest.mark.filterwarnings("ignore:.*pairs without labels")
@pytest.mark.parametrize("layout", DRAWN)
def test_layout_is_recognised_divided_and_paired(layout, tmp_path, monkeypatch):
    draw, sentence, sizes = DRAWN[layout]
    root = tmp_path / "data"
    draw(root)
    monkeypatch.chdir(tmp_path)
    settings = data_settings("data", OASIS)
    assert settings.notes[0] == f"data: images to register, {sentence}"
    monkeypatch.chdir("/")  # a run works from another folder
    parts = list(data_sets(settings.options))
    assert [len(each) for each in parts] == sizes
    used = [{path for number in range(len(each)) for path in pair(each, number).values()} for each in parts]
    subjects = [{path for path in paths if "atlas" not in path} for paths in used]
    if "pair" not in sentence or layout.startswith("two folders"):
        assert subjects[0].isdisjoint(subjects[1])
    has_maps = "label maps;" in sentence and layout != "seg of npz"
    assert ("labels" in pair(parts[0], 0)) == ("fixed_labels" in pair(parts[0], 0)) == has_maps
    first = pair(parts[0], 0)
    assert not any(re.search("seg|labels|mask", first[key].rpartition("/")[2]) for key in ("fixed", "moving"))


def pair(data_set, number):
    return data_set.get_data_info(number)["files"]


def test_the_patterns_of_a_config_come_first(tmp_path):
    ixi(tmp_path)
    own = {"fixed": "IXI-T1/*-T1.nii.gz", "moving": "IXI-T2/*-T2.nii.gz", "pairing": "same", "labels": None}
    options = {f"train_dataloader.dataset.{key}": value for key, value in own.items()}
    settings = data_settings(tmp_path, load_config("voxelmorph_oasis", options=options, allow_new=True).cfg)
    assert "6 pairs, IXI-T1/*-T1.nii.gz and IXI-T2/*-T2.nii.gz of each subject, no label maps" in settings.notes[0]
    assert {key: settings.options[f"val_dataloader.dataset.{key}"] for key in own} == own


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda root: root.mkdir(), "expected data for registration: images to register .*, found an empty folder"),
        (
            lambda root: touch(root, "#.nii", names=NAMES[:3]),
            "expected at least four images, two for validation, found 3",
        ),
        (lambda root: touch(root, "#.nii", "#_seg4.nii", "#_seg35.nii"), "found 6 other files, s0_seg4?.*; move those"),
        (lambda root: touch(root, "#.nii", "#_mask.nii"), "found 6 other files, s0_mask.nii, .*; move those"),
        (lambda root: touch(root, "a/#.txt"), "found the folders a; bring the data"),
        (
            lambda root: (root.mkdir(), (root / "p.csv").write_text("reference,source\n")),
            "first line of p.csv is 'reference', 'source'; name the columns fixed, moving there",
        ),
        (lambda root: (root.mkdir(), (root / "p.csv").write_text("fixed,moving\n")), "p.csv: .*found no pair"),
    ],
)
def test_refusal(draw, message, tmp_path):
    root = tmp_path / "data"
    draw(root)
    with pytest.raises(DataError, match=message) as caught:
        data_settings(root, OASIS)
    assert "\n" not in str(caught.value)


def test_volumes_of_other_endings_are_stated(tmp_path):
    touch(tmp_path, "#.nii.gz", names=NAMES[:4]), touch(tmp_path, "#.nii", names=NAMES[4:])
    notes = data_settings(tmp_path, OASIS).notes
    assert notes[1].endswith("2 .nii images are not used")


def test_data_of_other_tasks_are_not_taken_for_pairs(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w"):
        pass
    touch(tmp_path, "#.jpg")
    with pytest.raises(DataError, match="found the files"):
        data_settings(tmp_path, load_config("connnet_r50").cfg)
    touch(tmp_path / "volumes", "#.nii.gz")
    with pytest.raises(DataError, match="found images to register for registration; try the config voxelmorph_oasis"):
        data_settings(tmp_path / "volumes", load_config("connnet_r50").cfg)


def test_a_table_of_other_columns_is_stated(tmp_path):
    pair_list(tmp_path, "p.csv", ["reference,source"], ",")
    assert "p.csv not used, because a list of pairs has the columns" in data_settings(tmp_path, OASIS).notes[1]


def test_training_on_a_folder(tmp_path, capsys):
    rng = np.random.RandomState(0)
    (tmp_path / "data").mkdir()
    for name in NAMES[:4]:
        data = np.kron(rng.rand(4, 4, 4), np.ones((4, 4, 4))).astype(np.float32)
        write_nifti(tmp_path / "data" / f"{name}.nii.gz", data)
        write_nifti(tmp_path / "data" / f"{name}_seg.nii.gz", (data > 0.5).astype(np.float64))
    options = ["train_cfg.max_iters=1", "train_cfg.val_interval=1", "default_hooks.checkpoint.interval=1"]
    argv = ["voxelmorph_oasis", "--tiny", "--data", str(tmp_path / "data"), "--work-dir", str(tmp_path / "run")]
    assert main([*argv, "--no-progress", "--cfg-options", *options]) == 0
    output = capsys.readouterr()
    shown = output.out + output.err
    assert f"{tmp_path / 'data'}: images to register, 4 images, each *.nii.gz {EACH}, 4 label maps" in shown
    assert "reg/dice" in shown
