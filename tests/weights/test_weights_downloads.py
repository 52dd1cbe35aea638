"""Downloads from a server on this machine: resumed, checked, cached, and with helpful errors."""

import hashlib
import os
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch

from visionzoo.errors import CheckpointError, UnknownName
from visionzoo.weights.downloads import cached_path, fetch_weights, known_url
from visionzoo.weights.loading import read_weights

CONTENT = os.urandom(300_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(SimpleHTTPRequestHandler):
    """Serve files, also byte ranges unless the server disables them; on request, truncate the first answers."""

    def do_GET(self):
        self.server.ranges.append(self.headers.get("Range"))
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404, "Not Found")
            return
        content, start = path.read_bytes(), 0
        asked = self.headers.get("Range")
        if asked and self.server.resumable:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            self.send_error(416, "Range Not Satisfiable")
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if self.server.cuts:
            body = body[: self.server.cuts.pop(0)]
        self.wfile.write(body)

    def log_message(self, *args):
        """Print nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("VISIONZOO_OFFLINE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "w.pth").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "served")))
    server.resumable, server.cuts, server.ranges, server.folder = True, [], [], tmp_path / "served"
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetched_once_and_kept(server):
    seen = []
    path = fetch_weights(f"{server.url}/w.pth", SHA, progress=lambda done, total: seen.append((done, total)))
    assert path == cached_path(f"{server.url}/w.pth", SHA)
    assert path.name == f"w-{SHA[:8]}.pth"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert fetch_weights(f"{server.url}/w.pth", SHA) == path
    assert len(server.ranges) == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("resumable", [True, False])
def test_a_broken_download_resumes_where_it_stopped(server, resumable):
    """A call continues automatically, and gives up when nothing more arrives; the next call continues from there."""
    server.resumable, server.cuts = resumable, [100_000, 0]
    there = 100_000 if resumable else 0
    with pytest.raises(CheckpointError, match=rf"closed after {there} of 300000 bytes.*by hand"):
        fetch_weights(f"{server.url}/w.pth", SHA)
    assert not cached_path(f"{server.url}/w.pth", SHA).exists()
    server.cuts = [50_000]
    path = fetch_weights(f"{server.url}/w.pth", SHA)
    assert path.read_bytes() == CONTENT
    later = ["bytes=100000-", "bytes=150000-"] if resumable else [None, "bytes=50000-"]
    assert server.ranges == [None, "bytes=100000-", *later]


@pytest.mark.parametrize("size", [50_000, 300_000, 400_000])
def test_a_part_of_another_file_is_fetched_again(server, size):
    path = cached_path(f"{server.url}/w.pth", SHA)
    path.parent.mkdir(parents=True)
    path.with_name(path.name + ".part").write_bytes(bytes(size))
    assert fetch_weights(f"{server.url}/w.pth", SHA).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={size}-", None]


def test_wrong_sha256_is_not_kept(server):
    other = "0" * 64
    with pytest.raises(CheckpointError, match=f"its sha256 is {SHA}.*sha256 {other}"):
        fetch_weights(f"{server.url}/w.pth", other)
    assert list(cached_path(f"{server.url}/w.pth", other).parent.iterdir()) == []


def test_hash_in_the_name_is_checked(server):
    (server.folder / "net-0123456789.pth").write_bytes(CONTENT)
    with pytest.raises(CheckpointError, match=f"its sha256 is {SHA}"):
        fetch_weights(f"{server.url}/net-0123456789.pth")
    (server.folder / f"net-{SHA[:8]}.pth").write_bytes(CONTENT)
    assert fetch_weights(f"{server.url}/net-{SHA[:8]}.pth").name == f"net-{SHA[:8]}.pth"


def test_damaged_file_in_the_cache_is_replaced(server, monkeypatch):
    path = fetch_weights(f"{server.url}/w.pth", SHA)
    path.write_bytes(b"damaged")
    assert fetch_weights(f"{server.url}/w.pth", SHA).read_bytes() == CONTENT
    path.write_bytes(b"damaged")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match=f"expected sha256 {SHA}"):
        fetch_weights(f"{server.url}/w.pth", SHA)


def test_mirror_after_404(server):
    path = fetch_weights(f"{server.url}/gone.pth", SHA, mirrors=[f"{server.url}/w.pth"])
    assert path == cached_path(f"{server.url}/gone.pth", SHA)


def test_404_states_where_to_place_the_file(server):
    url = f"{server.url}/gone.pth"
    with pytest.raises(CheckpointError) as caught:
        fetch_weights(url, SHA)
    message = str(caught.value)
    assert "404 Not Found" in message
    assert all(word in message for word in (url, SHA, str(cached_path(url, SHA)), "--tiny", "init_cfg=None"))
    cached_path(url, SHA).write_bytes(CONTENT)
    assert fetch_weights(url, SHA).read_bytes() == CONTENT


def test_no_server(server):
    with pytest.raises(CheckpointError, match="by hand"):
        fetch_weights("http://127.0.0.1:9/w.pth", SHA)


def test_offline_uses_no_network(server, monkeypatch):
    monkeypatch.setenv("VISIONZOO_OFFLINE", "1")
    with pytest.raises(CheckpointError, match=r"network is off \(--offline"):
        fetch_weights(f"{server.url}/w.pth", SHA)
    assert server.ranges == []


def test_torch_hubs_cache_is_used(server, tmp_path):
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    there = tmp_path / "torch" / "hub" / "checkpoints" / f"net-{SHA[:8]}.pth"
    there.write_bytes(CONTENT)
    assert fetch_weights(f"{server.url}/net-{SHA[:8]}.pth") == there
    assert server.ranges == []


def test_weights_by_address(server):
    torch.save({"fc.weight": torch.ones(2)}, server.folder / "net.pth")
    assert list(read_weights(f"{server.url}/net.pth")) == ["fc.weight"]


def test_short_names(monkeypatch, server):
    assert known_url("torchvision://resnet50") == "https://download.pytorch.org/models/resnet50-0676ba61.pth"
    assert known_url("open-mmlab://resnext101_64x4d").endswith("resnext101_64x4d-ee2c6f71.pth")
    with pytest.raises(UnknownName, match="resnet50"):
        known_url("torchvision://resnt50")
    monkeypatch.setenv("VISIONZOO_OFFLINE", "1")
    with pytest.raises(CheckpointError, match=r"resnet50-0676ba61\.pth by hand.*--tiny"):
        read_weights("torchvision://resnet50")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("HF://org/net", r"expected an address of weights, found the scheme 'HF'; did you mean 'hf'\?"),
        ("relased://net", r"expected an address of weights, found the scheme 'relased'; did you mean 'released'\?"),
        ("s3://net", "expected an address of weights, found the scheme 's3'; known: hf, http, "),
        ("https:///net.pth", "expected https://HOST/FILE, found no host; correct it"),
    ],
)
def test_addresses_of_another_form(address, words):
    with pytest.raises(CheckpointError, match=f"^{address}: {words}"):
        read_weights(address)


TWO_PROCESSES = """
import sys
from torch import distributed
from visionzoo.weights.sources import local_copy
from visionzoo.errors import CheckpointError

distributed.init_process_group("gloo")
try:
    outcome = local_copy(sys.argv[1]).stat().st_size
except CheckpointError as error:
    outcome = str(error).split("; ")[0]
print(f"{outcome}\\n", end="", flush=True)
distributed.destroy_process_group()
"""


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("w.pth", str(len(CONTENT))), pytest.param("no.pth", "404 Not Found", marks=pytest.mark.slow)],
)
def test_of_two_processes_one_fetches_and_both_receive_the_outcome(server, tmp_path, name, outcome):
    script = tmp_path / "fetch.py"
    script.write_text(TWO_PROCESSES)
    line = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, f"{server.url}/{name}"]
    done = subprocess.run([sys.executable, *map(str, line)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [row.endswith(outcome) for row in done.stdout.splitlines()] == [True, True], done.stdout
    assert len(server.ranges) == 1
