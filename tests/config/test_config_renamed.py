"""Old names keep working, with a warning that gives the new name."""

from __future__ import annotations

import pytest

from visionzoo import __version__
from visionzoo.config import load_config, renamed
from visionzoo.config.renamed import Renamed


def test_old_key_type_and_argument_still_work(write, monkeypatch):
    monkeypatch.setitem(renamed.TOP_LEVEL_KEYS, "optimizer_wrapper", Renamed("optim_wrapper", until="9.9"))
    monkeypatch.setitem(renamed.TYPES, "RevNeck", Renamed("RCNet", until="9.9"))
    monkeypatch.setitem(renamed.ARGUMENTS, "RCNet", {"outs": Renamed("num_outs", until="9.9")})
    path = write(
        "a.py", "optimizer_wrapper = dict(lr=1)\nmodel = dict(type='M', necks=[dict(type='RevNeck', outs=5)])\n"
    )
    with pytest.warns(FutureWarning) as caught:
        loaded = load_config(path)
    assert loaded.cfg.to_dict() == {
        "optim_wrapper": {"lr": 1},
        "model": {"type": "M", "necks": [{"type": "RCNet", "num_outs": 5}]},
    }
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 3
    assert all("write the new name, the old one works until visionzoo 9.9" in line for line in messages)
    assert any("'RevNeck' is now called 'RCNet'" in line for line in messages)


def test_old_config_name_still_works(monkeypatch):
    monkeypatch.setitem(renamed.CONFIGS, "retinanet_with_rcnet", Renamed("rcnet_retinanet", until="9.9"))
    with pytest.warns(FutureWarning, match="now called 'rcnet_retinanet'"):
        assert load_config("retinanet_with_rcnet").name == "rcnet_retinanet"


def test_no_entry_outlives_its_release():
    tables = [renamed.CONFIGS, renamed.TYPES, renamed.TOP_LEVEL_KEYS, *renamed.ARGUMENTS.values()]
    now = tuple(map(int, __version__.split(".")[:2]))
    late = [old for table in tables for old, entry in table.items() if tuple(map(int, entry.until.split("."))) <= now]
    assert late == []
