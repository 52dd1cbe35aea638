"""Receive a file by http: resumed, with a time limit and a size limit, and never a web page in place of the file."""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from visionzoo.weights.cache_folder import cannot_cache

_BLOCK = 1 << 20
_TIMEOUT = 30  # seconds without data
_RESUMES = 3  # times that one call continues a transfer that ended early
_PAGE = (b"<!doctype html", b"<html")

Progress = Callable[[int, int | None], None]


class TransferError(Exception):
    """A transfer that failed. The message continues ``but ...``."""


class EndedEarly(TransferError):
    """A transfer that ended before the file was complete and can continue."""


# What urllib and sockets raise if a server does not answer or answers wrongly.
NETWORK_ERRORS = (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, socket.gaierror)


def receive(
    url: str, part: Path, *, size: int | None = None, checked: bool = False, progress: Progress | None = None
) -> None:
    """Receive a file into ``part``, which may hold the beginning of it.

    A beginning is continued if the whole file is ``checked`` later, or if the server states that its file did not
    change (ETag). An answer in gzip is decoded.

    Args:
        url: http or https address.
        part: the file to write. After an early end it keeps what was received.
        size: expected number of bytes; None if unknown.
        checked: True if the caller compares a hash of the whole file.
        progress: called with the received and the total number of bytes (None if the server does not state it).

    Raises:
        TransferError: the server sends another size, a web page, or an unknown encoding, or ends early again and again.
        OutputError: the part cannot be written.
    """
    for left in reversed(range(_RESUMES + 1)):
        before = _size(part)
        try:
            _receive_once(url, part, size, checked, progress)
            return
        except EndedEarly:
            if not left or _size(part) <= before:
                raise


def _receive_once(url: str, part: Path, size: int | None, checked: bool, progress: Progress | None) -> None:
    start, tag = _size(part), _tag_of(part)
    if start and not (checked or tag):
        start = 0
    try:
        response = _open(url, start, tag)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not start:
            raise
        if not checked:  # else it is complete, or longer than the file, and the hash decides
            _receive_anew(url, part, size, checked, progress)
        return
    with response:
        if response.status != 206 or _continues(response, start):
            _write_response(response, part, start if response.status == 206 else 0, size, progress)
            return
    _receive_anew(url, part, size, checked, progress)


def _receive_anew(url: str, part: Path, size: int | None, checked: bool, progress: Progress | None) -> None:
    forget(part)
    _receive_once(url, part, size, checked, progress)


def _open(url: str, start: int, tag: str) -> HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "visionzoo", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        if tag:
            request.add_header("If-Range", tag)
    return urllib.request.build_opener(_NoDowngrade).open(request, timeout=_TIMEOUT)


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but not from https to http, on whose way the bytes could be changed."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise TransferError(f"the server redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _continues(response: HTTPResponse, start: int) -> bool:
    """Return True if a part of a file begins at ``start`` and has the bytes of the file itself."""
    begins = (response.headers.get("Content-Range") or f"bytes {start}-").replace(" ", "")
    return begins.startswith(f"bytes{start}-") and not _is_gzip(response)


def _is_gzip(response: HTTPResponse) -> bool:
    """Return True for an answer to decode. Some servers wrongly state the encoding of a .gz file itself."""
    encoding = (response.headers.get("Content-Encoding") or "identity").lower()
    if encoding in ("identity", ""):
        return False
    if encoding not in ("gzip", "x-gzip"):
        raise TransferError(f"the server sends the encoding {encoding}")
    return not urlsplit(response.url).path.endswith((".gz", ".tgz"))


def _write_response(
    response: HTTPResponse, part: Path, start: int, size: int | None, progress: Progress | None
) -> None:
    stated = response.headers.get("Content-Length") or ""
    length = int(stated) if stated.isdigit() else None
    is_gzip = _is_gzip(response)
    total = size if length is None or is_gzip else start + length
    if size is not None and total != size:
        raise TransferError(f"the server offers {total} bytes, not {size}")
    if (response.headers.get("Content-Type") or "").startswith("text/html"):
        raise TransferError("the server sends a web page instead of the file")
    received = _Received(response)
    blocks = _decoded(received) if is_gzip else iter(received)
    _write_blocks(blocks, part, start, total, progress, response.headers.get("ETag") or "")
    if length is not None and received.count != length:
        raise EndedEarly(f"the connection closed after {start + received.count} of {start + length} bytes")
    if total is not None and _size(part) < total:
        raise EndedEarly(f"the connection closed after {_size(part)} of {total} bytes")


class _Received:
    """The blocks of an answer as they arrive, and their number of bytes so far."""

    def __init__(self, response: HTTPResponse):
        self._response, self.count = response, 0

    def __iter__(self) -> Iterator[bytes]:
        while block := self._next():
            self.count += len(block)
            yield block

    def _next(self) -> bytes:
        try:
            return self._response.read1(_BLOCK)
        except TimeoutError as error:
            raise EndedEarly(f"the server sent nothing for {_TIMEOUT} seconds") from error
        except (HTTPException, ConnectionError) as error:
            raise EndedEarly(f"the connection closed after {self.count} bytes") from error


def _decoded(blocks: _Received) -> Iterator[bytes]:
    """Yield the decoded blocks of an answer in gzip. What was received before an early end is not continued."""
    decoder = zlib.decompressobj(wbits=31)
    try:
        for block in blocks:
            yield decoder.decompress(block)
        yield decoder.flush()
    except zlib.error as error:
        raise TransferError("the server sends damaged gzip data") from error
    if not decoder.eof:
        raise EndedEarly(f"the connection closed after {blocks.count} bytes in gzip")


def _write_blocks(
    blocks: Iterator[bytes], part: Path, start: int, total: int | None, progress: Progress | None, tag: str
) -> None:
    file = _opened(part, start, tag)
    with file:
        for block in blocks:
            if start == 0 and block.lstrip()[:14].lower().startswith(_PAGE):
                raise TransferError("the server sends a web page instead of the file")
            start += len(block)
            if total is not None and start > total:
                raise TransferError(f"the server sends more than {total} bytes")
            _written(file, part, block)
            if progress is not None:
                progress(start, total)


def _opened(part: Path, start: int, tag: str) -> BinaryIO:
    try:
        if not start:
            strong = tag if tag.startswith('"') else ""  # a weak tag does not promise equal bytes
            _tag_file(part).write_text(strong, encoding="utf-8")
        file = open(part, "ab" if start else "wb")  # noqa: SIM115 - the caller closes it
        file.truncate(start)
        return file
    except OSError as error:
        raise cannot_cache(part, error) from error


def _written(file: BinaryIO, part: Path, block: bytes) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        raise cannot_cache(part, error) from error


def forget(part: Path) -> None:
    """Remove the beginning of a file that was received."""
    for path in (part, _tag_file(part)):
        path.unlink(missing_ok=True)


def _tag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _tag_of(part: Path) -> str:
    try:
        return _tag_file(part).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _size(path: Path) -> int:
    return os.path.getsize(path) if path.is_file() else 0
