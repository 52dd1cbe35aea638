"""Write the model of a run to the Hugging Face Hub, and compare it with its card after reading it back."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from visionzoo.cards.hub_card import hub_card
from visionzoo.config.files import SAVED
from visionzoo.config.plain_file import require_plain_file
from visionzoo.config.runs import FACTS, facts_of, run_of
from visionzoo.engine.checkpoints import save_weights
from visionzoo.errors import CheckpointError, OutputError
from visionzoo.system.atomic import write_text
from visionzoo.weights.hub import CARD, WEIGHTS, HubAddress, upload
from visionzoo.weights.loading import find_checkpoint, weights_of
from visionzoo.weights.safe_load import is_safetensors, read_checkpoint

# Facts of a run that are published. Others name folders of the machine.
_PUBLIC = ("name", "tiny", "seed", "git", "started", "device", "versions", "command")


def push_model(
    run: Path, target: str, *, license: str = "other", private: bool = False, folder: Path | None = None
) -> str:
    """Write the best weights of a run, its config and its card to the Hub.

    Args:
        run: the folder of a run.
        target: ``hf://ORG/REPO``, made if it does not exist; ``hf://ORG/REPO@BRANCH`` writes to a branch.
        license: licence of the weights, in the spelling of the Hub.
        private: True to make a private repository.
        folder: write the files there and upload nothing.

    Returns:
        The web address of the repository, or the folder.

    Raises:
        CheckpointError: the folder is not that of a run, or has no weights; or the Hub refuses them.
        CardError: the config of the run has no card.
        OutputError: ``folder`` is not empty.
    """
    address = HubAddress.of(target)
    if address.file is not None:
        raise CheckpointError(target, expected="hf://ORG/REPO", found="a file", advice=f"leave out {address.file}")
    if run_of(run) is None:
        raise CheckpointError(run, expected="the folder of a run", found="none", advice="name what training wrote")
    if folder is not None:
        if folder.is_dir() and any(folder.iterdir()):
            raise OutputError(folder, expected="an empty folder", found="files", advice="choose another one")
        folder.mkdir(parents=True, exist_ok=True)
        write_model(run, address, license, folder)
        return f"{folder}"
    with tempfile.TemporaryDirectory() as made:
        write_model(run, address, license, Path(made))
        return upload(Path(made), address, private=private)


def write_model(run: Path, address: HubAddress, license: str, folder: Path) -> None:
    """Write the files of a model into a folder: weights, config, public facts of the run, and card."""
    _write_weights(find_checkpoint(run), folder / WEIGHTS)
    shutil.copyfile(run / SAVED, folder / SAVED)
    require_plain_file(folder / SAVED)
    facts = facts_of(run)
    public = {key: facts[key] for key in _PUBLIC if key in facts}
    write_text(folder / FACTS, json.dumps({**public, "copied_from": f"{address}"}, indent=2) + "\n")
    write_text(folder / CARD, hub_card(run, address, folder / WEIGHTS, license))


def _write_weights(checkpoint: Path, target: Path) -> None:
    if is_safetensors(checkpoint):
        shutil.copyfile(checkpoint, target)
        return
    contents = read_checkpoint(checkpoint)
    meta = contents.get("meta") or {}
    kept = {key: meta[key] for key in ("epoch", "iter", "dataset_meta", "variants", "input") if key in meta}
    save_weights(target, weights_of(contents, str(checkpoint)), kept)
