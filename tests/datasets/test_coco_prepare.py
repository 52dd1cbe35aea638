"""datasets/coco/prepare.py against a small COCO on a local server."""

import http.server
import importlib.util
import io
import json
import threading
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "datasets" / "coco" / "prepare.py"
IMAGES = {"train": ["1.jpg", "2.jpg", "3.jpg"], "val": ["9.jpg"]}


@pytest.fixture
def prepare(monkeypatch):
    """Return the script, with the sizes of the small COCO."""
    spec = importlib.util.spec_from_file_location("prepare_coco", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "prepare_coco", module)
    spec.loader.exec_module(module)
    archives = make_archives()
    for split in IMAGES:
        path = f"zips/{split}2017.zip"
        monkeypatch.setitem(module.IMAGES, split, module.Archive(path, len(archives[path])))
        monkeypatch.setitem(module.COUNTS, split, len(IMAGES[split]))
    path = module.ANNOTATIONS.path
    monkeypatch.setattr(module, "ANNOTATIONS", module.Archive(path, len(archives[path])))
    return module


def make_archives():
    annotations = {
        f"annotations/instances_{split}2017.json": json.dumps({"images": [{"file_name": name} for name in names]})
        for split, names in IMAGES.items()
    }
    archives = {"annotations/annotations_trainval2017.zip": zipped(annotations)}
    for split, names in IMAGES.items():
        archives[f"zips/{split}2017.zip"] = zipped({f"{split}2017/{name}": name * 400 for name in names})
    return archives


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2017, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = make_archives()[self.path[1:]]
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.server.asked.append((self.path, start))
        self.send_response(206)
        self.end_headers()
        self.wfile.write(data[start:][: self.server.most])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked, running.most = [], 10**9
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def run(prepare, server, *args):
    return prepare.main([*map(str, args), "--server", f"http://127.0.0.1:{server.server_port}"])


def test_downloads_unpacks_and_finds_it_complete(prepare, server, tmp_path):
    assert run(prepare, server, tmp_path) == 0
    assert (tmp_path / "train2017" / "3.jpg").read_text() == "3.jpg" * 400
    assert list((tmp_path / "downloads").iterdir()) == []
    asked = len(server.asked)
    assert run(prepare, server, tmp_path) == 0
    assert len(server.asked) == asked  # no file is downloaded twice


def test_continues_in_pieces_and_from_a_file_placed_by_hand(prepare, server, tmp_path):
    server.most = 300
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "val2017.zip").write_bytes(make_archives()["zips/val2017.zip"])
    assert run(prepare, server, tmp_path, "--split", "val", "--keep-zips") == 0
    assert "/zips/val2017.zip" not in {path for path, _ in server.asked}
    assert [start for _, start in server.asked][:2] == [0, 300]
    assert not (tmp_path / "train2017").exists()


def test_check_reports_what_is_missing(prepare, server, tmp_path, capsys):
    assert run(prepare, server, tmp_path, "--check") == 1
    assert "instances_train2017.json: missing" in capsys.readouterr().err
    run(prepare, server, tmp_path)
    (tmp_path / "train2017" / "2.jpg").unlink()
    assert run(prepare, server, tmp_path, "--check") == 1
    assert "1 of 3 images missing (2.jpg" in capsys.readouterr().err


def test_a_server_that_sends_nothing_and_a_broken_zip(prepare, server, tmp_path, capsys):
    server.most = 0
    assert run(prepare, server, tmp_path) == 2
    assert "sent nothing more after 0 bytes" in capsys.readouterr().err
    path = tmp_path / "downloads" / "train2017.zip"
    path.write_bytes(b"x" * prepare.IMAGES["train"].bytes)
    assert run(prepare, server, tmp_path) == 2
    assert "expected a zip of COCO" in capsys.readouterr().err
    path.write_bytes(b"x" * (prepare.IMAGES["train"].bytes + 1))
    assert run(prepare, server, tmp_path) == 2
    assert "delete it and run again" in capsys.readouterr().err


def test_an_unreachable_server(prepare, server, tmp_path, capsys):
    assert prepare.main([str(tmp_path), "--server", "http://127.0.0.1:9"]) == 2
    assert "run again to continue, or place the file at" in capsys.readouterr().err


def test_files_outside_the_folder_are_refused(prepare, tmp_path):
    (tmp_path / "bad.zip").write_bytes(zipped({"../evil": "x"}))
    with pytest.raises(prepare.Refused, match="outside"):
        prepare.unpack(tmp_path / "bad.zip", tmp_path / "coco")
    assert not (tmp_path / "evil").exists()
