"""Downloads from a server on this machine that behaves badly: complete and right in the end, or one sentence."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bad_server import (
    bytes_of,
    compressed,
    cut,
    endless,
    error,
    half_without_length,
    of_another_version,
    redirect,
    stalling,
    trickling,
    web_page,
    web_page_called_binary,
    whole,
    without_length,
)

from visionzoo.errors import CheckpointError, OutputError
from visionzoo.weights import transfer
from visionzoo.weights.downloads import Download, cached_path, fetch

CONTENT = os.urandom(300_000)
SHA = hashlib.sha256(CONTENT).hexdigest()
OTHER = os.urandom(300_000)


def get(url: str, **known) -> Path:
    return fetch(Download(url, **known))


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_cut_in_the_middle_is_resumed(server):
    url = server.serve("w.pth", CONTENT, cut(100_000), cut(100_000))
    path = get(url, sha256=SHA)
    assert path.read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=100000-", "bytes=200000-"]
    assert left_in(path.parent) == [path.name]


def test_cut_in_the_middle_is_resumed_without_a_hash_if_the_server_vouches_for_the_file(server):
    url = server.serve("w.pth", CONTENT, cut(100_000))
    assert get(url).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, "bytes=100000-"]


def test_a_file_that_changes_between_two_parts_is_fetched_anew(server):
    url = server.serve("w.pth", CONTENT, cut(100_000), of_another_version)
    assert get(url).read_bytes() == CONTENT


def test_a_server_that_cuts_again_and_again(server):
    url = server.serve("w.pth", CONTENT, *[cut(10_000)] * 9)
    with pytest.raises(CheckpointError, match=r"closed after 40000 of 300000 bytes; place the file.*by hand"):
        get(url, sha256=SHA)
    assert not cached_path(url, SHA).exists()
    assert len(server.requests) == 4
    server.files["w.pth"][1].clear()
    assert get(url, sha256=SHA).read_bytes() == CONTENT
    assert server.requests[-1] == ("w.pth", "bytes=40000-")


def test_wrong_bytes_are_not_kept(server):
    url = server.serve("w.pth", OTHER)
    with pytest.raises(CheckpointError, match=rf"its sha256 is {hashlib.sha256(OTHER).hexdigest()}.*\(sha256 {SHA}\)"):
        get(url, sha256=SHA)
    assert left_in(cached_path(url).parent) == []


def test_wrong_bytes_then_a_mirror(server):
    url, mirror = server.serve("w.pth", OTHER), server.serve("copy/w.pth", CONTENT)
    assert get(url, sha256=SHA, mirrors=(mirror,)).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_an_error_of_the_server_then_a_mirror(server, status):
    url, mirror = server.serve("w.pth", CONTENT, error(status)), server.serve("copy/w.pth", CONTENT)
    assert get(url, sha256=SHA, mirrors=(mirror,)) == cached_path(url, SHA)
    assert [name for name, _ in server.requests] == ["w.pth", "copy/w.pth"]


def test_all_addresses_fail_and_each_reason_is_said(server):
    url, mirror = f"{server.url}/gone.pth", server.serve("copy/w.pth", CONTENT, web_page)
    with pytest.raises(CheckpointError) as caught:
        get(url, sha256=SHA, mirrors=(mirror,))
    assert f"{url}: the server returned 404 Not Found; {mirror}: the server sends a web page" in str(caught.value)


def test_redirects_are_followed(server):
    there = server.serve("there.pth", CONTENT)
    url = server.serve("w.pth", b"", redirect(f"{server.url}/again.pth"))
    server.serve("again.pth", b"", redirect(there))
    assert get(url, sha256=SHA).read_bytes() == CONTENT


def test_redirects_in_a_circle_end(server):
    url = f"{server.url}/w.pth"
    server.serve("w.pth", b"", *[redirect(url)] * 99)
    with pytest.raises(CheckpointError, match=r"redirects in a circle.*by hand"):
        get(url, sha256=SHA)


def test_a_redirect_from_https_to_http_is_refused():
    handler, request = transfer._NoDowngrade(), transfer.urllib.request.Request("https://example.org/w.pth")
    with pytest.raises(transfer.TransferError, match=r"redirects to http://example.org/w.pth, which is not https"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://example.org/w.pth")


@pytest.mark.parametrize("known", [{}, {"sha256": SHA}, {"size": len(CONTENT)}])
def test_no_content_length(server, known):
    url = server.serve("w.pth", CONTENT, without_length)
    assert get(url, **known).read_bytes() == CONTENT


@pytest.mark.parametrize("known", [{"sha256": SHA}, {"size": len(CONTENT)}])
def test_half_a_file_without_a_length_is_not_kept(server, known):
    url = server.serve("w.pth", CONTENT, *[half_without_length] * 9)
    with pytest.raises(CheckpointError, match=r"its sha256 is|closed after 150000 of 300000 bytes"):
        get(url, **known)
    assert not cached_path(url, known.get("sha256")).exists()


def test_half_a_file_in_the_cache_is_replaced(server):
    url = server.serve("w.pth", CONTENT)
    path = cached_path(url)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:150_000])
    assert get(url, size=len(CONTENT)).read_bytes() == CONTENT


def test_a_server_that_stops_sending(server, monkeypatch):
    monkeypatch.setattr(transfer, "_TIMEOUT", 0.2)
    url = server.serve("w.pth", CONTENT, stalling(100_000, 1.0))
    assert get(url, sha256=SHA).read_bytes() == CONTENT
    assert server.requests[-1] == ("w.pth", "bytes=100000-")
    stalled = server.serve("v.pth", CONTENT, *[stalling(0, 1.0)] * 9)
    with pytest.raises(CheckpointError, match=r"sent nothing for 0.2 seconds.*by hand"):
        get(stalled, sha256=SHA)


def test_a_slow_server_is_waited_for(server, monkeypatch):
    monkeypatch.setattr(transfer, "_TIMEOUT", 0.3)
    url = server.serve("w.pth", CONTENT, trickling(8, 0.1))
    assert get(url, sha256=SHA).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_gzip_is_decoded(server):
    url = server.serve("w.pth", CONTENT, compressed)
    assert get(url, sha256=SHA, size=len(CONTENT)).read_bytes() == CONTENT


def test_gzip_of_an_archive_is_the_file_itself(server):
    url = server.serve("w.tar.gz", CONTENT, bytes_of(CONTENT, Content_Encoding="x-gzip"))
    assert get(url, sha256=SHA).read_bytes() == CONTENT


def test_damaged_gzip_and_unknown_encodings(server):
    url = server.serve("w.pth", CONTENT, bytes_of(b"not gzip", Content_Encoding="gzip"))
    with pytest.raises(CheckpointError, match="damaged gzip data"):
        get(url)
    url = server.serve("w.pth", CONTENT, bytes_of(b"other", Content_Encoding="br"))
    with pytest.raises(CheckpointError, match="the server sends the encoding br"):
        get(url)


def test_a_file_of_another_size_is_refused_before_it_is_fetched(server):
    url = server.serve("w.pth", CONTENT)
    with pytest.raises(CheckpointError, match="the server offers 300000 bytes, not 299999"):
        get(url, size=299_999)
    assert left_in(cached_path(url).parent) == []


def test_a_file_that_is_too_large_is_not_received_to_its_end(server):
    url = server.serve("w.pth", CONTENT, endless)
    with pytest.raises(CheckpointError, match="the server sends more than 300000 bytes"):
        get(url, size=len(CONTENT))
    part = cached_path(url).with_name(cached_path(url).name + ".part")
    assert part.stat().st_size <= len(CONTENT)


@pytest.mark.parametrize("page", [web_page, web_page_called_binary])
def test_a_web_page_instead_of_the_file_is_said(server, page):
    url = server.serve("w.pth", CONTENT, page)
    with pytest.raises(CheckpointError, match="the server sends a web page instead of the file"):
        get(url)
    assert not cached_path(url).exists()
    assert get(url).read_bytes() == CONTENT


def test_a_server_that_is_not_there(server):
    with pytest.raises(
        CheckpointError, match=r"but the server cannot be reached \(Connection refused\); place the file.*by hand"
    ):
        get("http://127.0.0.1:9/w.pth")


# --- the cache ---


def test_a_cache_that_cannot_be_written(server, monkeypatch):
    monkeypatch.setenv("VISIONZOO_CACHE", "/proc/none")
    url = server.serve("w.pth", CONTENT)
    with pytest.raises(OutputError) as caught:
        get(url, sha256=SHA)
    assert str(caught.value) == (
        f"/proc/none/weights/w-{SHA[:8]}.pth: expected to write weights into the cache, but the folder cannot be "
        "created; set VISIONZOO_CACHE to a folder that can be written and has free space"
    )
    assert server.requests == []


def test_a_read_only_cache_is_read(server, monkeypatch):
    url = server.serve("w.pth", CONTENT)
    path = get(url, sha256=SHA)

    def refuse(self, *args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    for name in ("mkdir", "touch", "unlink"):
        monkeypatch.setattr(Path, name, refuse)
    assert get(url, sha256=SHA) == path
    with pytest.raises(OutputError, match=r"but the file system is read-only; set VISIONZOO_CACHE to a folder"):
        get(server.serve("v.pth", CONTENT), sha256=SHA)


def test_a_cache_on_a_full_disk(server, monkeypatch):
    url, real = server.serve("w.pth", CONTENT), open

    class Full:
        def __init__(self, file):
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._file.close()

        def __getattr__(self, name):
            return getattr(self._file, name)

        def write(self, data):
            self._file.write(data[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(transfer, "open", lambda *args: Full(real(*args)), raising=False)
    with pytest.raises(OutputError, match=r"but no space is left on the disk; set VISIONZOO_CACHE to a folder"):
        get(url, sha256=SHA)
    monkeypatch.undo()
    assert not cached_path(url, SHA).exists()


TWO_PROCESSES = """
import sys
from visionzoo.weights.downloads import Download, fetch
print(fetch(Download(sys.argv[1], sha256=sys.argv[2])).stat().st_size)
"""


def test_two_processes_that_fetch_at_once(server):
    url = server.serve("w.pth", CONTENT, trickling(10, 0.3))
    line = [sys.executable, "-c", TWO_PROCESSES, url, SHA]
    started = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outcomes = [process.communicate(timeout=60) for process in started]
    assert [out for out, _ in outcomes] == ["300000\n"] * 2, outcomes
    assert len(server.requests) == 1
    assert left_in(cached_path(url, SHA).parent) == [cached_path(url, SHA).name]


def test_a_process_that_is_killed_leaves_no_lock(server):
    url = server.serve("w.pth", CONTENT, trickling(10, 0.3), whole)
    killed = subprocess.Popen([sys.executable, "-c", TWO_PROCESSES, url, SHA])
    while not server.requests and killed.poll() is None:
        pass
    killed.kill()
    killed.wait()
    assert get(url, sha256=SHA).read_bytes() == CONTENT
