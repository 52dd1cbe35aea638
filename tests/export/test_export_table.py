"""The table of what exports is generated, and the cards read the same file."""

from __future__ import annotations

from itertools import count

import pytest

from visionzoo.cards import card_names, read_card
from visionzoo.cards.exports import read_exports
from visionzoo.errors import RunFailed
from visionzoo.export import table
from visionzoo.export.limit import cpu_limit
from visionzoo.export.table import measure, page_path, with_table


def test_page_shows_the_measured_exports():
    text = page_path().read_text(encoding="utf-8")
    assert text == with_table(text), "run `visionzoo export --all NAME`"


def test_cards_have_the_measured_exports():
    exports = read_exports()
    assert exports
    assert set(exports) <= set(card_names())
    for name in list(exports)[:3]:
        found = {each.format: (each.works, each.reason) for each in read_card(name).zoo.exports}
        assert found == {kind: (row["works"], row.get("reason")) for kind, row in exports[name].items()}


def test_every_card_has_a_row_with_numbers_or_reasons():
    lines = page_path().read_text(encoding="utf-8").splitlines()
    names = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")]
    assert set(card_names()) <= set(names)
    for name, rows in read_exports().items():
        assert set(rows) == {"onnx", "torch-export"}, name
        for row in rows.values():
            assert row["absolute"] >= 0 and row["relative"] >= 0 if row["works"] else row["reason"], name


def test_a_limit_of_the_cpu_time_is_a_reason():
    endless = cpu_limit(0.05)(lambda: sum(1 for _ in count()))
    with pytest.raises(RunFailed, match=r"more than 0.05 CPU seconds"):
        endless()


def test_a_model_without_a_form_has_a_reason():
    rows = measure("direct_affine")
    assert set(rows) == {"onnx", "torch-export"}
    assert all(not row["works"] and "optimisation" in row["reason"] for row in rows.values())


def test_equal_tiny_variants_are_measured_once(monkeypatch, tmp_path):
    names = ["nat_mini_imagenet", "voxelmorph_2d", "nat_base_imagenet"]
    monkeypatch.setattr(table, "exports_path", lambda: tmp_path / "exports.json")
    monkeypatch.setattr(table, "read_exports", dict)
    measured: list[str] = []
    monkeypatch.setattr(table, "measure", lambda name, limit: measured.append(name) or {"onnx": {"reason": name}})
    rows = dict(table.record(names))
    assert measured == names[:2]
    assert rows[names[2]] == rows[names[0]] != rows[names[1]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "nasnet_mobile_imagenet",
        "dinat_mini_imagenet",
        "bossnet_t0_imagenet",
        "fpn_retinanet",
        "cells_rcnet_lite",
        "rcnet_gfl",
        "rcnet_faster_rcnn",
        "rcnet_mask_rcnn",
        "cells_density_lite",
        "hmode_ucf_cc_50",
        "membrane_connnet_lite",
        "scnn_resnet18_culane",
        "image_suite",
    ],
)
def test_files_equal_torch(name):
    pytest.importorskip("onnxruntime")
    for kind, row in measure(name).items():
        assert row["works"], (kind, row["reason"])
