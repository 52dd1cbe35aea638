"""Downloads of weights: fetched once, resumable, checked by sha256, stored in the cache.

The cache is ``$VISIONZOO_CACHE/weights`` (by default ``~/.cache/visionzoo/weights``). A file that was placed there by
hand is used too. With ``VISIONZOO_OFFLINE=1`` or ``HF_HUB_OFFLINE=1`` (``--offline``) nothing is fetched.
"""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit

from visionzoo.errors import CheckpointError, require_known
from visionzoo.system.cache import cache_root
from visionzoo.system.offline import offline

_BLOCK = 1 << 20
_TIMEOUT = 30  # seconds without data
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")

Progress = Callable[[int, int | None], None]


def file_sha256(path: str | os.PathLike) -> str:
    """Return the sha256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_sha256(path: str | os.PathLike, expected: str) -> None:
    """Compare the sha256 of a file with ``expected`` (64 hex digits, or at least the first 8).

    Raises:
        CheckpointError: the file has another sha256.
    """
    found = file_sha256(path)
    if not found.startswith(expected.lower()):
        raise CheckpointError(path, expected=f"sha256 {expected}", found=f"{found}", advice="download it again")


def cached_path(url: str, sha256: str | None = None) -> Path:
    """Return the path in the cache for the file of ``url``, whether or not it exists.

    The name contains the start of a hash: that in the address, else of ``sha256``, else of the address itself.

    Example:
        >>> cached_path("https://example.org/resnet50-0676ba61.pth").name
        'resnet50-0676ba61.pth'
        >>> cached_path("https://example.org/weights.pth", sha256="0123456789abcdef").name
        'weights-01234567.pth'
    """
    name = Path(unquote(urlsplit(url).path)).name or "weights"
    if not _HASH_IN_NAME.search(name):
        mark = (sha256 or hashlib.sha256(url.encode()).hexdigest())[:8]
        stem, dot, suffix = name.rpartition(".")
        name = f"{stem}-{mark}.{suffix}" if dot else f"{name}-{mark}"
    return cache_root() / "weights" / name


def fetch_weights(
    url: str, sha256: str | None = None, mirrors: Iterable[str] = (), *, progress: Progress | None = None
) -> Path:
    """Return the local file of ``url``, downloaded if it is not in the cache.

    Args:
        url: http or https address.
        sha256: sha256 of the file, in hex. By default the hash in the file name is used (``resnet50-0676ba61.pth``).
        mirrors: addresses of the same file, tried in order if ``url`` fails.
        progress: called with the received and the total number of bytes (None if the server does not state it).

    Raises:
        CheckpointError: the file cannot be fetched. The message states where to place it by hand.
    """
    expected = sha256 or _hash_in_name(url)
    target = cached_path(url, sha256)
    existing = _already_here(target, expected, url)
    if existing is not None:
        return existing
    if offline():
        raise _place_by_hand(url, target, expected, "the network is off (--offline or VISIONZOO_OFFLINE=1)")
    failures = []
    for address in (url, *mirrors):
        try:
            _download(address, target, expected, progress)
            return target
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, _WrongHash) as error:
            failures.append(f"{address}: {_reason(error)}" if mirrors else _reason(error))
    raise _place_by_hand(url, target, expected, "; ".join(failures))


def _already_here(target: Path, expected: str | None, url: str) -> Path | None:
    """Return the file in visionzoo's or torch hub's cache if it has the expected hash, else None."""
    if target.is_file():
        if expected is None or file_sha256(target).startswith(expected):
            return target
        if offline():
            verify_sha256(target, expected)
        target.unlink()
    other = _torch_hub_path(url)
    if expected and other.is_file() and file_sha256(other).startswith(expected):
        return other
    return None


def _torch_hub_path(url: str) -> Path:
    import torch

    return Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(url).path).name)


def _hash_in_name(url: str) -> str | None:
    match = _HASH_IN_NAME.search(urlsplit(url).path)
    return match.group(1) if match else None


class _WrongHash(Exception):
    """The downloaded file has another hash than expected."""


def _download(url: str, target: Path, expected: str | None, progress: Progress | None) -> None:
    """Fetch into ``target.part``, check the hash, and rename.

    A partial file of an earlier download is continued only if the hash is known.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    if expected is None:
        part.unlink(missing_ok=True)
    resumed = part.is_file() and part.stat().st_size > 0
    _receive(url, part, progress)
    digest = file_sha256(part)
    if expected and not digest.startswith(expected):
        part.unlink()
        if resumed:  # the partial file may belong to another version of the file
            _download(url, target, expected, progress)
            return
        raise _WrongHash(f"its sha256 is {digest}")
    os.replace(part, target)


def _receive(url: str, part: Path, progress: Progress | None) -> None:
    start = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "visionzoo", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # complete, or longer than the file: the hash check decides
            return
        raise
    with response:
        if response.status != 206:
            start = 0
        total = _total_bytes(response.headers.get("Content-Length"), start)
        _copy(response, part, start, total, progress)
    if total is not None and part.stat().st_size != total:
        raise ConnectionError(
            f"the connection closed after {part.stat().st_size} of {total} bytes; run again to resume"
        )


def _total_bytes(content_length: str | None, start: int) -> int | None:
    return start + int(content_length) if content_length and content_length.isdigit() else None


def _copy(response, part: Path, start: int, total: int | None, progress: Progress | None) -> None:  # type: ignore[no-untyped-def]
    with open(part, "ab" if start else "wb") as file:
        while block := response.read(_BLOCK):
            file.write(block)
            start += len(block)
            if progress is not None:
                progress(start, total)
        file.flush()
        os.fsync(file.fileno())


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server returned {error.code} {error.reason}"
    return str(getattr(error, "reason", error)) or type(error).__name__


def _place_by_hand(url: str, target: Path, expected: str | None, reason: str) -> CheckpointError:
    digest = f" (sha256 {expected})" if expected else ""
    return CheckpointError(
        url,
        expected="to download these weights",
        but=f"{reason}",
        advice=(
            f"place the file{digest} at {target} by hand, or use no pretrained weights with --tiny (tiny=True) or the "
            "option model.backbone.init_cfg=None (--cfg-options)"
        ),
    )


# --- short names of backbone weights ---


def known_url(source: str) -> str:
    """Return the address of a short name such as ``torchvision://resnet50`` or ``open-mmlab://resnext101_32x4d``.

    Raises:
        UnknownName: the name is not in the tables of torchvision and mmengine.

    Example:
        >>> known_url("https://example.org/weights.pth")
        'https://example.org/weights.pth'
    """
    scheme, _, name = source.partition("://")
    if scheme in ("http", "https"):
        return source
    urls = _urls_of(scheme)
    require_known(name, urls, f"{scheme}:// checkpoint")
    return urls[name]


def _urls_of(scheme: str) -> dict[str, str]:
    from mmengine.runner import checkpoint

    if scheme in ("torchvision", "modelzoo"):
        return checkpoint.get_torchvision_models()
    if scheme == "mmcls":
        return checkpoint.get_mmcls_models()
    urls = checkpoint.get_external_models()
    renamed = checkpoint.get_deprecated_model_names()
    return {**urls, **{old: urls[new] for old, new in renamed.items() if new in urls}}
