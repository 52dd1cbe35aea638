"""Files and models of the Hugging Face Hub: ``hf://ORG/REPO@REV/FILE`` and ``hf://ORG/REPO@REV``.

They are in the cache of huggingface_hub, which other programs share. Offline, only that cache is used.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionzoo.errors import CheckpointError
from visionzoo.system.offline import offline

SCHEME = "hf://"
# The files of a model that `visionzoo weights push` writes.
CARD, WEIGHTS = "README.md", "model.safetensors"
MODEL_FILES = ("config.py", "run.json", CARD, WEIGHTS)
_ADDRESS = re.compile(r"^hf://(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[^/@\s]+))?(/(?P<file>[^\s@]+))?/?$")


@dataclass(frozen=True)
class HubAddress:
    """An address on the Hub.

    Attributes:
        repo: ``org/name``.
        revision: branch, tag or commit; None for the default branch.
        file: path of a file; None for the whole repository.

    Example:
        >>> HubAddress.of("hf://org/net@v1/a/b.safetensors")
        HubAddress(repo='org/net', revision='v1', file='a/b.safetensors')
    """

    repo: str
    revision: str | None = None
    file: str | None = None

    @classmethod
    def of(cls, source: str) -> HubAddress:
        """Return the parts of an address.

        Raises:
            CheckpointError: the address has another form.
        """
        match = _ADDRESS.match(source)
        if match is None or ".." in (match["file"] or "").split("/"):
            raise CheckpointError(
                source, expected="hf://ORG/REPO, hf://ORG/REPO@REV or hf://ORG/REPO@REV/FILE", found="another form",
                advice="correct it",
            )  # fmt: skip
        return cls(match["repo"], match["revision"], match["file"])

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{self.repo}{revision}" + (f"/{self.file}" if self.file else "")


def hub_file(source: str) -> Path:
    """Return the local copy of a file on the Hub. An address of a repository means its weights.

    Args:
        source: ``hf://ORG/REPO``, ``hf://ORG/REPO@REV`` or ``hf://ORG/REPO@REV/FILE``.

    Raises:
        CheckpointError: the file cannot be fetched.
    """
    address = HubAddress.of(source)
    return _fetched(address, address.file or WEIGHTS)


def hub_files(source: str) -> Path:
    """Return the folder with the local copies of the files of a model, ``MODEL_FILES``, all of one commit.

    Raises:
        CheckpointError: a file cannot be fetched; a repository that `visionzoo weights push` did not write lacks one.
    """
    address = HubAddress.of(source)
    if address.file is not None:
        raise CheckpointError(
            source,
            expected="hf://ORG/REPO@REV as the name of a model",
            found=f"a file, {address.file}",
            advice="leave it out, or use it as weights",
        )
    folder = _fetched(address, MODEL_FILES[0], whole=True).parent  # its name is the commit
    same = HubAddress(address.repo, folder.name)
    for name in MODEL_FILES[1:]:
        if _fetched(same, name, whole=True).parent != folder:
            raise CheckpointError(source, expected="files of one commit", found="several", advice="run it again")
    return folder


def upload(folder: Path, address: HubAddress, *, private: bool) -> str:
    """Write the files of a folder into a repository of the Hub, which is made if it does not exist.

    Returns:
        The web address of the repository.

    Raises:
        CheckpointError: the Hub refuses it or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if offline():
        raise CheckpointError(
            f"{address}",
            expected="to write it to the Hub",
            but="the network is off",
            advice="unset VISIONZOO_OFFLINE and HF_HUB_OFFLINE",
        )
    api = HfApi(endpoint=endpoint(), library_name="visionzoo")
    try:
        repo = api.create_repo(address.repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=address.repo,
            folder_path=folder,
            revision=address.revision,
            commit_message="Add a model of visionzoo",
            allow_patterns=list(MODEL_FILES),
        )
    except (HfHubHTTPError, OSError, ValueError, _http_error()) as error:
        raise CheckpointError(
            f"{address}",
            expected="to write it to the Hub",
            but=" ".join(str(error).split())[:200],
            advice="sign in with `hf auth login`, with a token that may write, and run it again",
        ) from error
    return f"{repo}"


def _http_error() -> type[Exception]:
    """Return the base of the errors of the http library of huggingface_hub, which is httpx or requests."""
    from huggingface_hub import errors

    return errors.HTTPError if hasattr(errors, "HTTPError") else OSError


def _fetched(address: HubAddress, name: str, *, whole: bool = False) -> Path:
    """Return the local copy of a file. ``whole`` states that it is one of several that belong together."""
    from huggingface_hub import hf_hub_download

    _quieten()
    fetch: Callable[..., Any] = hf_hub_download
    given = dict(revision=address.revision, endpoint=endpoint(), library_name="visionzoo")
    try:
        return Path(fetch(address.repo, name, local_files_only=offline(), **given))
    except _hub_errors() as error:
        raise _not_fetched(address, name, error, whole) from error


def _quieten() -> None:
    """Hide the lines of huggingface_hub about its attempts; the error states that all of them failed."""
    logger = logging.getLogger("huggingface_hub")
    if os.environ.get("HF_HUB_VERBOSITY") is None and logger.level < logging.ERROR:
        logger.setLevel(logging.ERROR)


def endpoint() -> str | None:
    """Return the address of another Hub, ``$HF_ENDPOINT``; None for huggingface.co."""
    return os.environ.get("HF_ENDPOINT") or None


def _hub_errors() -> tuple[type[Exception], ...]:
    """Return what huggingface_hub raises: its own errors, those of its http library, and those of the disk."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    own = (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled)
    return (*own, OSError, ValueError, _http_error())


def _not_fetched(address: HubAddress, name: str, error: Exception, whole: bool) -> CheckpointError:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, OfflineModeIsEnabled

    revision = f" --revision {address.revision}" if address.revision else ""
    command = f"hf download {address.repo}" + ("" if whole else f" {name}") + revision
    reason = " ".join(str(error).split())[:200]
    if isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
        reason = "the Hub cannot be reached"
        if offline():
            reason = "the network is off (--offline, VISIONZOO_OFFLINE=1 or HF_HUB_OFFLINE=1)"
    elif isinstance(error, GatedRepoError):
        reason = "its authors ask for an agreement; sign in with `hf auth login`"
    return CheckpointError(
        str(HubAddress(address.repo, address.revision, name)),
        expected="to fetch it from the Hub",
        but=f"{reason}, and it is not in {constants.HF_HUB_CACHE}",
        advice=f"run `{command}` where there is a network and copy its cache to this folder, or name a local file",
    )
