"""A server on this machine that behaves badly, as asked."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = b"<!DOCTYPE html>\n<html><body>Quota exceeded</body></html>"

# A way to answer a request for some contents.
Behaviour = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answer a request in the next way that the server was asked for, by default properly and with byte ranges."""

    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].lstrip("/")
        self.server.requests.append((name, self.headers.get("Range")))
        content, behaviours = self.server.files.get(name, (None, []))
        if content is None:
            self.send_error(404, "Not Found")
            return
        behave = behaviours.pop(0) if behaviours else whole
        behave(self, content)

    def log_message(self, *args: Any) -> None:
        """Print nothing."""

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Send an answer; the names of headers have _ in place of -."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def whole(handler: Handler, content: bytes) -> None:
    asked = handler.headers.get("Range")
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    if start >= len(content):
        handler.send_error(416, "Range Not Satisfiable")
        return
    rest, tag = content[start:], '"tag"'
    if start and handler.headers.get("If-Range", tag) == tag:
        stated = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.answer(rest, 206, Content_Length=str(len(rest)), Content_Range=stated, ETag=tag)
        return
    handler.answer(content, Content_Length=str(len(content)), ETag=tag)


def cut(after: int) -> Behaviour:
    """Close the connection after that number of bytes of the answer."""

    def behave(handler: Handler, content: bytes) -> None:
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        rest = content[start:]
        stated = f"bytes {start}-{len(content) - 1}/{len(content)}"
        status, more = (206, {"Content_Range": stated}) if start else (200, {})
        handler.answer(rest[:after], status, Content_Length=str(len(rest)), ETag='"tag"', **more)

    return behave


def of_another_version(handler: Handler, content: bytes) -> None:
    """Answer with the whole file and another tag, as a server whose file changed since."""
    handler.answer(content, Content_Length=str(len(content)), ETag='"newer"')


def bytes_of(other: bytes, **headers: str) -> Behaviour:
    return lambda handler, content: handler.answer(other, **{"Content_Length": str(len(other)), **headers})


def web_page(handler: Handler, content: bytes) -> None:
    handler.answer(PAGE, Content_Type="text/html; charset=utf-8", Content_Length=str(len(PAGE)))


def web_page_called_binary(handler: Handler, content: bytes) -> None:
    handler.answer(PAGE, Content_Type="application/octet-stream", Content_Length=str(len(PAGE)))


def without_length(handler: Handler, content: bytes) -> None:
    handler.answer(content)


def half_without_length(handler: Handler, content: bytes) -> None:
    handler.answer(content[: len(content) // 2])


def compressed(handler: Handler, content: bytes) -> None:
    body = gzip.compress(content)
    handler.answer(body, Content_Encoding="gzip", Content_Length=str(len(body)))


def endless(handler: Handler, content: bytes) -> None:
    """Send more than the file, without a length, until the client leaves."""
    try:
        handler.answer(content)
        for _ in range(1000):
            handler.wfile.write(bytes(10_000))
    except OSError:
        pass


def error(status: int) -> Behaviour:
    return lambda handler, content: handler.send_error(status)


def redirect(to: str) -> Behaviour:
    return lambda handler, content: handler.answer(b"", 302, Location=to, Content_Length="0")


def stalling(after: int, seconds: float) -> Behaviour:
    """Send that number of bytes and then nothing for a while."""

    def behave(handler: Handler, content: bytes) -> None:
        handler.answer(content[:after], Content_Length=str(len(content)))
        time.sleep(seconds)

    return behave


def trickling(pieces: int, pause: float) -> Behaviour:
    """Send a file slowly, in pieces."""

    def behave(handler: Handler, content: bytes) -> None:
        handler.answer(b"", Content_Length=str(len(content)))
        size = len(content) // pieces + 1
        for start in range(0, len(content), size):
            handler.wfile.write(content[start : start + size])
            time.sleep(pause)

    return behave


class BadServer(ThreadingHTTPServer):
    """A server on this machine; ``requests`` lists the names of the asked files and the asked ranges."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, tuple[bytes, list[Behaviour]]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *args: Any) -> None:
        """Print nothing of clients that leave."""

    def serve(self, name: str, content: bytes, *behaviours: Behaviour) -> str:
        """Serve a file and return its address. The first answers are as asked, all later ones proper."""
        self.files[name] = (content, list(behaviours))
        return f"{self.url}/{name}"
