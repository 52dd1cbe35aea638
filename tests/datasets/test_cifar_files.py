"""CIFAR's pickles: what is read, and one error for everything else."""

import pickle
import pickletools

import numpy as np
import pytest

from visionzoo.datasets.cifar import CIFAR10, CIFAR100
from visionzoo.errors import DataError

NAMES = [b"cat", b"dog", b"emu"]


def images(count=3, dtype=np.uint8):
    return np.arange(count * 3072).reshape(count, 3072).astype(dtype)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes the files of a test set; it accepts bytes as well."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    def write(batch, meta=None):
        for name, record in (("test_batch", batch), ("batches.meta", meta or {b"label_names": NAMES})):
            data = record if isinstance(record, bytes) else pickle.dumps(record, protocol=4)
            (folder / name).write_bytes(data)
        return tmp_path

    return write


def read(root, kind=CIFAR10):
    dataset = kind(str(root), split="test")
    return [dataset.get_data_info(index)["gt_label"] for index in range(len(dataset))]


@pytest.mark.parametrize(
    "labels", [[2, 0, 1], np.array([2, 0, 1]), np.array([2, 0, 1], np.uint8), np.array([2, 0, 1], ">i4")]
)
def test_labels_are_a_list_or_an_array(write, labels):
    assert read(write({b"data": images(), b"labels": labels})) == [2, 0, 1]


def test_keys_and_names_are_bytes_or_text(write):
    root = write({"data": images(), "labels": [2, 0, 1]}, {"label_names": ["cat", "dög", "emu"]})
    assert read(root) == [2, 0, 1]
    assert CIFAR10(str(root), split="test").metainfo["classes"] == ("cat", "dög", "emu")


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        ([0, 1], r"2 images of 3072 uint8 numbers, found shape \(3, 3072\)"),
        ([0, 1, 2, 0], "4 images of 3072"),
        ([0, 1, 3], "image 2: label: expected labels 0 to 2, found 3"),
        ([0, -1, 2], "image 1: label: expected labels 0 to 2, found -1"),
        ([0, 2**70, 2], "image 1: label"),
        ([0, 1.0, 2], "image 1: label: .* found 1.0"),
        ([0, float("nan"), 2], "image 1: label: .* found nan"),
        ([0, True, 2], "image 1: label: .* found True"),
        ([0, "1", 2], "image 1: label: .* found str"),
        ([0, None, 2], "image 1: label: .* found NoneType"),
        ([0, [1], 2], "image 1: label: .* found list"),
        ([None, -1, 7], r"found 3 errors \(3 label\)"),
        (7, "found labels of another kind"),
        ("012", "found labels of another kind"),
        ({0: 1}, "found labels of another kind"),
        (np.array([0.0, 1.0, 2.0]), "found labels of another kind"),
        (np.array([[0], [1], [2]]), "found labels of another kind"),
        (np.array([0, 1, None]), "found labels of another kind"),
        (None, "expected an entry 'labels'"),
    ],
)
def test_other_labels(write, labels, what):
    with pytest.raises(DataError, match=what):
        read(write({b"data": images(), b"labels": labels}))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (images(dtype=np.int8), "expected an array of uint8 and a list of labels"),
        (images(dtype=np.float64), "expected an array of uint8"),
        (images(dtype=object), "expected an array of uint8"),
        (images().tolist(), "an array of uint8 .* found list"),
        (images().tobytes(), "an array of uint8 .* found bytes"),
        (images().reshape(3, 3, 32, 32), r"3 images of 3072 uint8 numbers, found shape \(3, 3, 32, 32\)"),
        (images()[:, :-1], "3 images of 3072"),
        (images(0), "3 images of 3072"),
        (np.uint8(7), "names numpy"),
        (np.zeros((), np.uint8), "3 images of 3072"),
        (None, "expected an entry 'data', found b'data', b'labels'"),
    ],
)
def test_other_images(write, data, what):
    with pytest.raises(DataError, match=what):
        read(write({b"data": data, b"labels": [0, 1, 2]}))


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ([], "a list of class names"),
        ("cat", "a list of class names, found str"),
        (None, "an entry 'label_names'"),
        ([b"cat", b"cat", b"dog"], "'cat' 2 times"),
        ([b"cat", b"", b"dog"], "class 1: name: expected visible text"),
        ([b"cat", b"\xff", b"dog"], "class 1: name: expected visible text"),
        ([b"cat", b"a\x00", b"dog"], "class 1: name"),
        ([b"cat", 7, b"dog"], "class 1: name: expected visible text, found int"),
        ([b"cat", [b"emu"], b"dog"], "class 1: name: expected visible text, found list"),
    ],
)
def test_other_names(write, names, what):
    with pytest.raises(DataError, match=what):
        read(write({b"data": images(), b"labels": [0, 1, 2]}, {b"label_names": names}))


def nested(depth):
    """Return lists that are cheap to save and whose text has 2 ** depth entries."""
    value = []
    for _ in range(depth):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "record",
    [
        [1],
        7,
        None,
        {},
        {None: 1, (1, 2): 3},
        nested(60),
        {b"data": images(), b"labels": nested(60)},
        {b"data": nested(60), b"labels": [0]},
        {b"data": images(0), b"labels": []},
    ],
    ids=range(9),
)
def test_other_records(write, record):
    with pytest.raises(DataError) as caught:
        read(write(record))
    assert len(caught.value.sentence) < 600


def stating(count):
    """Return a pickle of bytes that states their number, without them."""
    return b"\x80\x04}(\x8e" + count.to_bytes(8, "little") + b"ab"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"<!DOCTYPE html>",
        b"\x80\x02}q\x01.",
        stating(10**12),
        stating(2**63),
        b"I" + b"9" * 5000 + b"\n.",
    ],
)
def test_damaged_bytes(write, data):
    with pytest.raises(DataError) as caught:
        read(write(data))
    assert caught.value.sentence.isprintable()


def test_an_array_that_states_more_numbers_than_it_has(write):
    data = pickle.dumps({b"data": images(), b"labels": [0, 1, 2]}, protocol=2)
    at = next(at for op, value, at in pickletools.genops(data) if value == 3072)
    huge = data[:at] + b"\x8a\x06" + (10**12).to_bytes(6, "little") + data[at + 3 :]
    with pytest.raises(DataError, match="damaged bytes"):
        read(write(huge))


def test_fine_labels_of_cifar100(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    record = {b"data": images(), b"fine_labels": [2, 0, 1], b"coarse_labels": [0, 0, 0]}
    (folder / "test").write_bytes(pickle.dumps(record, protocol=2))
    (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": NAMES, b"coarse_label_names": [b"x"]}, protocol=2))
    assert read(tmp_path, CIFAR100) == [2, 0, 1]
