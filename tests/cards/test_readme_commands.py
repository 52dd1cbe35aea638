"""Commands in the README and the cards exist and parse."""

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from visionzoo.cards import card_folder, card_names, find_card
from visionzoo.cli import COMMANDS

ROOT = card_folder().parent
PAGES = {
    name: ROOT / name
    for name in (
        "README.md",
        *(f"docs/{page}.md" for page in ["data", "explain", "export", "performance", "runs", "scale", "weights"]),
    )
}  # fmt: skip
PAGES |= {f"{name}.md": find_card(name) for name in card_names()}
MODULES = {"check-data": "check_data", "list": "list_models", "show": "show_card", "weights": "manage_weights"}
TOOLS = {"tools/train.py": "train", "tools/test.py": "test", "tools/infer.py": "infer"}


def shown_commands():
    """Yield (page, words) of every `visionzoo ...` or `tools/x.py ...` in shell blocks and in the text."""
    for page, path in PAGES.items():
        text = path.read_text().replace("\\\n", " ")
        blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.S))
        inline = "\n".join(re.findall(r"`(visionzoo [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S)))
        for line in (blocks + "\n" + inline).splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "torchrun":
                words = words[2:]
            if words and (words[0] == "visionzoo" or words[0] in TOOLS):
                yield page, words


COMMANDS_SHOWN = sorted({(page, *words) for page, words in shown_commands()})


def parser_of(words):
    """Return the parser of a command, and the remaining arguments."""
    command, rest = (TOOLS[words[0]], words[1:]) if words[0] in TOOLS else (words[1], words[2:])
    assert command in COMMANDS
    module = import_module(f"visionzoo.cli.{MODULES.get(command, command)}")
    tables = dict.fromkeys(("config", "cards", "weights"), "_VERBS")
    tables |= {"convert": "_CONVERSIONS", "search": "_SEARCHES", "eval": "_KINDS"}
    table = tables.get(command)
    if command == "infer":
        return module.parser(module._first_look([Path(rest[0]).name, *rest[1:]]).inputs), rest
    if command == "explain":
        return module.parser(module._inputs_of([Path(rest[0]).name, *rest[1:]])), rest
    if table is None:
        return module.parser(), rest
    return getattr(module, table)[rest[0]][0](), rest[1:]


def test_pages_show_commands():
    assert len(COMMANDS_SHOWN) > 40


@pytest.mark.parametrize("shown", COMMANDS_SHOWN, ids=" ".join)
def test_shown_command_parses(shown):
    parser, arguments = parser_of(list(shown[1:]))
    assert isinstance(parser.parse_args([word for word in arguments if word != "..."]), argparse.Namespace)


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", PAGES["README.md"].read_text())
    assert "model_cards/images/rcnet_retinanet_tiny.png" in links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_readme_python_runs_as_far_as_it_needs_no_images():
    """Blocks run at full width and without weights, so commands that read trained weights or images are left out."""
    blocks = re.findall(r"```python\n(.*?)```", PAGES["README.md"].read_text(), flags=re.S)
    assert len(blocks) == 2
    names = {}
    exec(blocks[0].partition("inferencer = ")[0], names)
    assert [tuple(feat.shape[-2:]) for feat in names["feats"]] == [(24, 32), (12, 16), (6, 8), (3, 4)]
    assert type(names["with_fpn"].neck).__name__ == "FPN"
    exec(blocks[1], names)
    assert names["neck"].out_channels == (64,) * 5
