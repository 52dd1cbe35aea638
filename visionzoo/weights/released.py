"""Released weights of a model: fetched, checked, converted and kept as safetensors in the cache.

The card of a model lists its released files, see :mod:`visionzoo.weights.entry`. ``released://NAME`` is the first one,
``released://NAME#ID`` another. The second call reads only the cache.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from visionzoo.errors import CheckpointError, OutputError
from visionzoo.weights.archives import unpack
from visionzoo.weights.cache_folder import alone_with, cannot_cache
from visionzoo.weights.conversion import convert_file, write_safetensors
from visionzoo.weights.downloads import fetch, file_sha256
from visionzoo.weights.pins import add_pin, require_pinned
from visionzoo.weights.release import LOCAL_FILES, SCHEME, UNTRAINED, Release
from visionzoo.weights.safe_load import UNSAFE_ADVICE, is_safetensors
from visionzoo.weights.transfer import Progress


def released_source(source: str) -> Path:
    """Return the converted file of ``released://NAME`` or ``released://NAME#ID``; see :func:`released_file`."""
    return _released(Release.at(source), None)


def prefix_of_backbone(source: str) -> str | None:
    """Return the module whose tensors belong to a backbone in ``released://NAME``; None for other sources.

    Raises:
        UnknownName: no such model or id exists.
        CheckpointError: the card lists no released file.
    """
    if not source.startswith(SCHEME) or Release.at(source).entry.for_ == "backbone":
        return None
    return "backbone"


def released_file(name: str, id: str | None = None, *, progress: Progress | None = None) -> Path:
    """Return a released file of a model under the names of the zoo.

    Args:
        name: name of a config, or the short name of a system.
        id: id of the file in the card; None for the first.
        progress: see :func:`visionzoo.weights.downloads.fetch_weights`.

    Returns:
        A safetensors file. Its header states the source, the sha256 and the conversion under ``released``.

    Raises:
        UnknownName: no such model or id exists.
        CheckpointError: the card lists no file; the file cannot be fetched or read, or is another one.
        OutputError: the cache cannot be written.
    """
    return _released(Release.of(name, id), progress)


def _released(release: Release, progress: Progress | None) -> Path:
    known = release.known_sha256
    if known is not None and release.converted(known).is_file():
        return release.converted(known)
    raw = _obtained(release, progress)
    sha256 = file_sha256(raw)
    _require_same(release, raw, sha256)
    ready = release.converted(sha256)
    if _is_ours(release, raw):
        ready = raw
    elif not ready.is_file():
        with alone_with(ready):
            if not ready.is_file():
                _convert(release, raw, sha256, ready)
    if release.entry.sha256 is None and release.scheme not in LOCAL_FILES:
        add_pin(release.source, raw, sha256)
    return ready


def _obtained(release: Release, progress: Progress | None) -> Path:
    """Return the released file itself, fetched if it is not on this machine."""
    if release.scheme in LOCAL_FILES:
        return LOCAL_FILES[release.scheme](release.source)
    if release.entry.url is not None:
        return fetch(release.download, progress=progress)
    raw = release.raw()
    if raw is None:
        with contextlib.suppress(OSError):
            release.place.parent.mkdir(parents=True, exist_ok=True)
        raise CheckpointError(
            release.model,
            expected=f"the file {release.entry.name}, which only a web page hands out",
            found=f"none in {release.place.parent}",
            advice=f"open {release.entry.page} in a browser, save {release.entry.name} in this folder, and run the "
            f"command again, or {UNTRAINED}",
        )
    release.download.require_fit(raw)
    return raw


def _require_same(release: Release, raw: Path, sha256: str) -> None:
    """Raise an error if a file is not the one that the card or the first download states."""
    stated = release.entry.sha256
    if stated is None:
        require_pinned(release.source, raw, sha256)
    elif stated != sha256:
        raise CheckpointError(raw, expected=f"sha256 {stated}", found=sha256, advice="install or download it again")


def _is_ours(release: Release, raw: Path) -> bool:
    """Return True for a safetensors file that already has the names of the zoo."""
    form = release.entry.format
    return form.converter is None and form.member is None and is_safetensors(raw)


def _convert(release: Release, raw: Path, sha256: str, ready: Path) -> None:
    form = release.entry.format
    try:
        if form.member is None:
            _convert_read(release, raw, sha256, ready)
            return
        with tempfile.TemporaryDirectory(dir=ready.parent, prefix=".unpacked-") as folder:
            _convert_read(release, unpack(raw, form.member, Path(folder)), sha256, ready)
    except CheckpointError as error:
        _forget_unchecked(release, raw)
        raise _with_advice(error, release, raw) from error
    except OSError as error:
        raise cannot_cache(ready, error) from error
    except OutputError as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else None
        raise error if cause is None else cannot_cache(ready, cause) from error


def _convert_read(release: Release, path: Path, sha256: str, ready: Path) -> None:
    from visionzoo.converters import CONVERTERS

    form = release.entry.format
    converter = None if form.converter is None else CONVERTERS.get(form.converter)
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in form.options.items()}
    made = convert_file(path, converter, form.use, options, name=release.entry.name)
    write_safetensors(ready, made.tensors, {**made.stated, "released": release.header(sha256)})


def _forget_unchecked(release: Release, raw: Path) -> None:
    """Remove a download that cannot be converted and that nothing vouches for, so that it is fetched again."""
    if raw == release.download.target and release.entry.checked_by == "first_download":
        raw.unlink(missing_ok=True)


def _with_advice(error: CheckpointError, release: Release, raw: Path) -> CheckpointError:
    """Return an error with the command that continues, for a file that only code can read."""
    if error.advice != UNSAFE_ADVICE:
        return error
    system = release.entry.format.converter or "SYSTEM"
    return CheckpointError(
        error.where,
        expected=error.expected,
        found=error.found,
        advice=f"if you trust its author, download it, run `visionzoo convert checkpoint {raw.name} "
        f"{release.model}.safetensors --from {system} --trust-pickle`, and use --weights {release.model}.safetensors",
    )
