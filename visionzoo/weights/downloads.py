"""Downloads of weights: fetched once, resumed, checked by sha256, stored in the cache.

The cache is ``$VISIONZOO_CACHE/weights`` (by default ``~/.cache/visionzoo/weights``). A file that was placed there by
hand is used too, and so is a file of known sha256 under its own name in ``by_hand`` below it. With
``VISIONZOO_OFFLINE=1`` or ``HF_HUB_OFFLINE=1`` (``--offline``) nothing is fetched.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
import urllib.error
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from visionzoo.errors import CheckpointError, nearest_or_known, require_known
from visionzoo.system.offline import offline
from visionzoo.weights.cache_folder import alone_with, by_hand_folder, cannot_cache, tell, weights_folder
from visionzoo.weights.transfer import NETWORK_ERRORS, Progress, TransferError, forget, receive

# Hex digits of the sha256 in the name of a file, as in ``resnet50-0676ba61.pth``.
HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
# Schemes of short names, and those of other addresses.
_SHORT = ("torchvision", "modelzoo", "open-mmlab", "openmmlab", "mmcls")
SCHEMES = ("https", "http", "released", "hf", "pip", "package", *_SHORT)
_WITHOUT_BACKBONE = (
    "use no pretrained weights with --tiny (tiny=True) or the option model.backbone.init_cfg=None (--cfg-options)"
)


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


def name_in(url: str) -> str:
    """Return the name of the file of an address.

    Example:
        >>> name_in("https://example.org/a%20b.pth?download=1")
        'a b.pth'
    """
    return Path(unquote(urlsplit(url).path)).name or "weights"


def cached_path(url: str, sha256: str | None = None, name: str | None = None) -> Path:
    """Return the path in the cache for the file of ``url``, whether or not it exists.

    The name contains the start of a hash: that in the name of the file, else of ``sha256``, else of the address itself.

    Args:
        url: address of the file.
        sha256: its sha256, if known.
        name: name of the file; by default the last part of the address.

    Example:
        >>> cached_path("https://example.org/resnet50-0676ba61.pth").name
        'resnet50-0676ba61.pth'
        >>> cached_path("https://example.org/weights.pth", sha256="0123456789abcdef").name
        'weights-01234567.pth'
    """
    name = Path(name or name_in(url)).name
    if not HASH_IN_NAME.search(name):
        mark = (sha256 or hashlib.sha256(url.encode()).hexdigest())[:8]
        stem, dot, suffix = name.rpartition(".")
        name = f"{stem}-{mark}.{suffix}" if dot else f"{name}-{mark}"
    return weights_folder() / name


@dataclass(frozen=True)
class Download:
    """A file to download, and what is known about it.

    Attributes:
        url: http or https address.
        sha256: 64 hex digits, or the first ones; None if unknown.
        mirrors: addresses of the same file.
        size: number of bytes; None if unknown.
        name: name of the file; None for the last part of the address.
        by_hand: place of the file if a user puts it there; None for a download without its own place.
        otherwise: the other choice of a user, the end of a message.

    Example:
        >>> Download("https://example.org/net-0123abcd.pth").expected
        '0123abcd'
    """

    url: str
    sha256: str | None = None
    mirrors: tuple[str, ...] = ()
    size: int | None = None
    name: str | None = None
    by_hand: Path | None = None
    otherwise: str = _WITHOUT_BACKBONE

    @property
    def target(self) -> Path:
        """Place in the cache."""
        return cached_path(self.url, self.sha256, self.name)

    @property
    def expected(self) -> str | None:
        """Hex digits with which the sha256 of the file begins; None if unknown."""
        match = HASH_IN_NAME.search(self.name or name_in(self.url))
        return self.sha256 or (match[1] if match else None)

    @property
    def cached(self) -> tuple[Path, ...]:
        """Places of the downloaded file, whether or not it exists: with the hash of the file and of the address."""
        return self.target, cached_path(self.url, None, self.name)

    @property
    def put_by_hand(self) -> tuple[Path, ...]:
        """Places of a file that a user puts there, whether or not it exists.

        Different files can have one name, so the common folder is only for files whose sha256 is known.
        """
        common = by_hand_folder() / (self.name or name_in(self.url))
        own = () if self.by_hand is None else (self.by_hand,)
        return (*own, common) if self.expected else own

    def fits(self, path: Path) -> bool:
        """Return True if a file has the size and the sha256 that are known."""
        if self.size is not None and path.stat().st_size != self.size:
            return False
        return self.expected is None or file_sha256(path).startswith(self.expected)

    def there(self) -> Path | None:
        """Return the file if it is in visionzoo's cache, in its folder ``by_hand`` or in torch hub's cache.

        Raises:
            CheckpointError: the file that a user put into ``by_hand`` is another one.
        """
        for path in self.cached:
            if path.is_file() and self.fits(path):
                return path
        for path in self.put_by_hand:
            if path.is_file():
                self.require_fit(path)
                return path
        other = _torch_hub_path(self.url)
        return other if self.expected and other.is_file() and self.fits(other) else None

    def require_fit(self, path: Path) -> None:
        """Raise an error if a file has another size or sha256.

        Raises:
            CheckpointError: states what was expected and found.
        """
        if self.size is not None and path.stat().st_size != self.size:
            found = f"{path.stat().st_size}"
            raise CheckpointError(path, expected=f"{self.size} bytes", found=found, advice="download it again")
        if self.expected is not None:
            verify_sha256(path, self.expected)


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
        OutputError: the cache cannot be written.
    """
    return fetch(Download(url, sha256, tuple(mirrors)), progress=progress)


def fetch(wanted: Download, *, progress: Progress | None = None) -> Path:
    """Return the local file of a download. Of several processes on this machine, one fetches it.

    Raises:
        CheckpointError: the file cannot be fetched. The message states where to place it by hand.
        OutputError: the cache cannot be written.
    """
    existing = wanted.there()
    if existing is not None:
        return existing
    if offline():
        if wanted.target.is_file():
            wanted.require_fit(wanted.target)
        raise place_by_hand(wanted, "the network is off (--offline or VISIONZOO_OFFLINE=1)")
    with alone_with(wanted.target):
        return wanted.there() or _fetched(wanted, progress)


def _fetched(wanted: Download, progress: Progress | None) -> Path:
    failures = []
    if sys.stderr.isatty() and progress is None:
        tell(f"downloading {wanted.url} ...")
    for address in (wanted.url, *wanted.mirrors):
        try:
            _download(address, wanted, progress)
            return wanted.target
        except (*NETWORK_ERRORS, TransferError) as error:
            failures.append(f"{address}: {_reason(error)}" if wanted.mirrors else _reason(error))
    raise place_by_hand(wanted, "; ".join(failures))


def _torch_hub_path(url: str) -> Path:
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return Path(home, "hub", "checkpoints", Path(urlsplit(url).path).name).expanduser()


def _download(url: str, wanted: Download, progress: Progress | None) -> None:
    """Fetch into ``target.part``, check size and hash, and rename."""
    part = wanted.target.with_name(wanted.target.name + ".part")
    resumed = part.is_file() and part.stat().st_size > 0
    receive(url, part, size=wanted.size, checked=wanted.expected is not None, progress=progress)
    if not wanted.fits(part):
        found = f"its sha256 is {file_sha256(part)}, its size {part.stat().st_size} bytes"
        forget(part)
        if resumed:  # the partial file may belong to another version of the file
            _download(url, wanted, progress)
            return
        raise TransferError(found)
    try:
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, wanted.target)
        forget(part)
    except OSError as error:
        raise cannot_cache(wanted.target, error) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError):
        return f"the server cannot be reached ({error.reason.strerror or error.reason})"
    if isinstance(error, urllib.error.HTTPError):
        is_circle = 300 <= error.code < 400
        return "the server redirects in a circle" if is_circle else f"the server returned {error.code} {error.reason}"
    return str(getattr(error, "reason", error)) or type(error).__name__


def place_by_hand(wanted: Download, reason: str) -> CheckpointError:
    """Return the error for a file that cannot be fetched: its address, its place, and the command that fetches it."""
    digest = f" (sha256 {wanted.expected})" if wanted.expected else ""
    command = shlex.join(["curl", "-L", "-o", wanted.target.name, wanted.url])
    return CheckpointError(
        wanted.url,
        expected="to download these weights",
        but=reason,
        advice=(
            f"place the file{digest} at {wanted.target} by hand (`{command}` where there is a network), or "
            f"{wanted.otherwise}"
        ),
    )


# --- short names of backbone weights ---


def known_url(source: str) -> str:
    """Return the address of a short name such as ``torchvision://resnet50`` or ``open-mmlab://resnext101_32x4d``.

    Raises:
        CheckpointError: no scheme has this name, or the address has no host.
        UnknownName: the name is not in the tables of torchvision and mmengine.

    Example:
        >>> known_url("https://example.org/weights.pth")
        'https://example.org/weights.pth'
    """
    scheme, _, name = source.partition("://")
    if scheme in ("http", "https"):
        if not urlsplit(source).netloc:
            raise CheckpointError(source, expected=f"{scheme}://HOST/FILE", found="no host", advice="correct it")
        return source
    if scheme not in _SHORT:
        raise CheckpointError(
            source,
            expected="an address of weights",
            found=f"the scheme {scheme!r}",
            advice=nearest_or_known(scheme, SCHEMES),
        )
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
