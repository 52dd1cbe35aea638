"""A server on this machine that answers like the Hugging Face Hub for the requests of huggingface_hub."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest


class Handler(BaseHTTPRequestHandler):
    """Make repositories, take commits and hand out files."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        hub, path = self.server, urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if hub.refuses:
            self.answer(json.dumps({"error": "Invalid username or password."}).encode(), 401)
        elif path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            hub.private[repo] = bool(asked.get("private")) or asked.get("visibility") == "private"
            hub.repos.setdefault(repo, {})
            self.answer(json.dumps({"url": f"{hub.url}/{repo}", "id": repo}).encode())
        elif path == "/api/validate-yaml":
            hub.cards.append(json.loads(body)["content"])
            self.answer(b'{"errors": [], "warnings": []}')
        elif "/preupload/" in path:
            mode = {"uploadMode": "regular", "shouldIgnore": False}
            files = [{"path": each["path"], **mode} for each in json.loads(body)["files"]]
            self.answer(json.dumps({"files": files}).encode())
        elif "/commit/" in path:
            repo = path.removeprefix("/api/models/").partition("/commit/")[0]
            self.commit(repo, [json.loads(line) for line in body.splitlines() if line])
        else:
            self.answer(b'{"error": "not known"}', 404)

    def commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            if line["key"] == "file":
                self.server.repos[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        url = f"{self.server.url}/{repo}/commit/{self.server.oid(repo)}"
        self.answer(json.dumps({"success": True, "commitOid": self.server.oid(repo), "commitUrl": url}).encode())

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.server, unquote(urlsplit(self.path).path).strip("/")
        hub.asked.append(path)
        repo, _, rest = path.partition("/resolve/")
        revision, _, name = rest.partition("/")
        if repo.removeprefix("api/models/").split("/revision")[0] in hub.repos and path.startswith("api/"):
            self.answer(json.dumps({"id": repo, "sha": hub.oid(repo), "siblings": []}).encode())
        elif repo not in hub.repos:
            self.answer(b"{}", 404, X_Error_Code="RepoNotFound")
        elif revision not in ("main", hub.oid(repo)):
            self.answer(b"{}", 404, X_Error_Code="RevisionNotFound")
        elif name not in hub.repos[repo]:
            self.answer(b"{}", 404, X_Error_Code="EntryNotFound", X_Repo_Commit=hub.oid(repo))
        else:
            content = hub.repos[repo][name]
            tag = f'"{hashlib.sha1(content).hexdigest()}"'
            self.answer(content, X_Repo_Commit=hub.oid(repo), ETag=tag)

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Type": "application/json", "Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


class FakeHub(ThreadingHTTPServer):
    """Repositories in memory: files by name."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.cards: list[str] = []
        self.asked: list[str] = []
        self.refuses = False

    def oid(self, repo: str) -> str:
        """Return the commit of the files of a repository."""
        files = sorted(self.repos.get(repo, {}).items())
        return hashlib.sha1(b"".join(name.encode() + content for name, content in files)).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    from huggingface_hub import constants

    hub = FakeHub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    proxies = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    for name in ("VISIONZOO_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN", *proxies):
        monkeypatch.delenv(name, raising=False)
    thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    hub.shutdown()
    thread.join()
    hub.server_close()
