"""Build the wheel, install only it into a second site folder, import every module, load every config and card."""

import subprocess
import sys
from pathlib import Path

CHECK = """
import sys, visionzoo
from pathlib import Path
site = Path(sys.argv[1]).resolve()
assert Path(visionzoo.__file__).resolve().is_relative_to(site), visionzoo.__file__
from visionzoo.config import config_names, find_config, load_config
from visionzoo.cards import card_names, read_card
names = config_names()
assert len(names) >= 9, names
for name in names:
    assert find_config(name).resolve().is_relative_to(site), find_config(name)
    load_config(name), load_config(name, tiny=True)
assert sorted(card_names()) == sorted(names), (card_names(), names)
for name in card_names():
    read_card(name)
from visionzoo.tokenizers.word_pieces import BERT_VOCABULARY, WordPieceTokenizer
assert BERT_VOCABULARY.resolve().is_relative_to(site) and BERT_VOCABULARY.with_name("NOTICE.md").is_file()
assert len(WordPieceTokenizer()) == 30522
from visionzoo.suites import readme_of, suite_names, suite_of
assert all(suite_of(name) and readme_of(name).resolve().is_relative_to(site) for name in suite_names())
assert len(suite_names()) >= 2
from visionzoo.weights.released import released_file
assert released_file("cells_rcnet_lite").resolve().is_relative_to(site)
from importlib import import_module
from pkgutil import walk_packages
own = [m.name for m in walk_packages(visionzoo.__path__, "visionzoo.") if not m.name.endswith("__main__")]
modules = [name for name in own if not name.startswith(("visionzoo.configs", "visionzoo.model_cards"))]
for name in modules:
    assert Path(import_module(name).__file__).resolve().is_relative_to(site), name
print(f"wheel: {len(names)} configs and cards load, {len(modules)} modules import")
"""


def main(folder: Path) -> None:
    dist, site = folder / "dist", folder / "site"
    python = sys.executable
    subprocess.run([python, "-m", "build", "--wheel", "--outdir", dist, "."], check=True, stdout=subprocess.DEVNULL)
    (wheel,) = dist.glob("*.whl")
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
        site,
        wheel,
    ]
    subprocess.run(pip, check=True)
    # -P keeps the checkout off the path, so that imports find only the wheel.
    subprocess.run(
        [python, "-P", "-c", CHECK, site], check=True, cwd=folder, env={"PYTHONPATH": str(site), **_environ()}
    )


def _environ() -> dict[str, str]:
    import os

    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
