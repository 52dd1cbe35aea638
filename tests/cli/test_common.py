"""What all commands share: the advice of an unknown option, and the line before PyTorch is loaded."""

from __future__ import annotations

import sys

import pytest

from visionzoo.cli import main
from visionzoo.cli.common import say_loading
from visionzoo.cli.short_options import load_with_short_options
from visionzoo.cli.train import parser
from visionzoo.config import load_config


@pytest.mark.parametrize(
    ("word", "advice"), [("--epochz=3", "did you mean --epochs?"), ("--zzz", "`visionzoo train --help` lists")]
)
def test_an_unknown_option_names_the_nearest_one(word, advice, capsys):
    assert main(["train", "hmode", word]) == 2
    assert advice in capsys.readouterr().err


@pytest.mark.parametrize(
    ("terminal", "quiet", "shown"), [(True, False, "loading PyTorch ...\n"), (True, True, ""), (False, False, "")]
)
def test_loading_is_stated_on_a_terminal(terminal, quiet, shown, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    say_loading(quiet=quiet)
    assert capsys.readouterr().err == shown


def test_parts_that_a_short_option_replaces_are_not_listed():
    args = parser().parse_args(["scnn_tusimple", "--tiny", "--epochs", "3"])
    loaded = load_with_short_options(args, lambda options: load_config(args.config, tiny=True, options=options))
    assert loaded.cfg.train_cfg.type == "EpochBasedTrainLoop"
    assert not [text for text in loaded.notes if "->" in text and "dropped" in text]
    assert loaded.notes[0].startswith("--epochs 3: ")
