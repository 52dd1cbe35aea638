"""Notes of readers reach stderr, also after a run whose logger shows only errors."""

import logging

import pytest
from mmengine.logging import MMLogger, print_log

from visionzoo.cli.common import readers_on_stderr


@pytest.fixture
def logger_of_a_run():
    yield MMLogger.get_instance("a run of this test", log_level="ERROR")
    MMLogger._instance_dict.pop("a run of this test")


@pytest.mark.parametrize("quiet", [False, True])
def test_the_level_of_an_earlier_run_hides_no_note(logger_of_a_run, quiet, capsys):
    levels = [handler.level for handler in logger_of_a_run.handlers]
    with readers_on_stderr(quiet=quiet):
        print_log("a.png: the image is empty", "current", logging.WARNING)
    assert capsys.readouterr() == ("", "" if quiet else "warning: a.png: the image is empty\n")
    assert [handler.level for handler in logger_of_a_run.handlers] == levels
