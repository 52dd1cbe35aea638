"""Models and files of the Hugging Face Hub, from a server on this machine: pushed, read back, checked, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save

import visionzoo
from visionzoo.cards.files import read_copied_card
from visionzoo.cards.hub_card import require_hub_card
from visionzoo.cards.pushing import push_model
from visionzoo.cli import main
from visionzoo.config.plain_file import require_plain_file
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import CardError, CheckpointError, ConfigError, OutputError
from visionzoo.weights.hub import HubAddress
from visionzoo.weights.hub_model import hub_model
from visionzoo.weights.loading import find_weights
from visionzoo.weights.runs import load_with_weights

REPO = "hf://me/my_net"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short run."""
    source = resolve_data_root("tiny://coco?train=4&val=2&size=64")
    data = shutil.copytree(source, tmp_path_factory.mktemp("data") / "coco")
    folder = tmp_path_factory.mktemp("runs") / "first"
    roots = [f"{split}_dataloader.dataset.data_root={data}" for split in ("train", "val", "test")]
    argv = ["train", "rcnet_retinanet", "--tiny", "-q", "-o", str(folder), "--cfg-options", *roots]
    assert main([*argv, "train_cfg.max_epochs=1"]) == 0
    return folder


def test_push_writes_card_weights_and_model_index_and_hf_reads_them_back(hub, run, capsys, tmp_path, monkeypatch):
    assert main(["weights", "push", str(run), REPO, "--license", "mit", "--private"]) == 0
    assert capsys.readouterr().out.strip() == f"{hub.url}/me/my_net"
    assert sorted(hub.repos["me/my_net"]) == ["README.md", "config.py", "model.safetensors", "run.json"]
    assert hub.private == {"me/my_net": True}
    model, own = visionzoo.get_model(REPO), visionzoo.get_model(run)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in own.state_dict().items())
    assert model.dataset_meta["classes"] == own.dataset_meta["classes"]
    assert main(["weights", "verify", REPO]) == 0
    assert "its weights, config and card agree (rcnet_retinanet, " in capsys.readouterr().out
    hub.asked.clear()
    monkeypatch.setenv("VISIONZOO_OFFLINE", "1")
    visionzoo.get_model(REPO)
    assert hub.asked == []


def test_the_hub_reads_the_numbers_of_the_card(hub, run):
    from huggingface_hub import ModelCard

    push_model(run, REPO, license="mit")
    (text,) = set(hub.cards)
    card = ModelCard(text)
    measured = json.loads((run / "metrics.json").read_text())["metrics"]
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found == {name: value for name, value in measured.items() if value is not None}
    assert (card.data.license, card.data.library_name, card.data.pipeline_tag) == (
        "mit",
        "visionzoo",
        "object-detection",
    )
    assert f'visionzoo.get_model("{REPO}")' in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["visionzoo"]["status"] == "trained here"
    assert front["visionzoo"]["weights"][0]["url"] == f"{REPO}/model.safetensors"


def test_infer_takes_a_model_of_the_hub_and_writes_beside_the_user(hub, run, tmp_path, monkeypatch, capsys):
    from imageio import imwrite

    push_model(run, REPO)
    monkeypatch.chdir(tmp_path)
    imwrite(tmp_path / "a.png", torch.zeros(48, 64, 3, dtype=torch.uint8).numpy())
    assert main(["infer", REPO, "a.png", "--vis", "none", "-q", "--device", "cpu"]) == 0, capsys.readouterr().err
    assert (tmp_path / "predictions" / "my_net" / "predictions.jsonl").is_file()


def test_a_training_of_a_model_of_the_hub_may_start_from_a_run_with_another_head(hub, run, tmp_path):
    push_model(run, REPO)
    other = shutil.copytree(run, tmp_path / "other")
    text = (other / "config.py").read_text().replace("task = 'detection'", "task = 'instances'")
    (other / "config.py").write_text(f"{text}\nmodel['bbox_head']['stacked_convs'] = 3\n")
    assert load_with_weights(REPO, other, again="", other_heads=True).name == "my_net"
    with pytest.raises(ConfigError, match=r"found another one \(different: model.bbox_head.stacked_convs"):
        load_with_weights(REPO, other, again="")


def test_a_file_of_the_hub_and_its_revision(hub):
    hub.repos["org/nets"] = {"a/b.safetensors": save({"weight": torch.ones(2)})}
    path = find_weights("hf://org/nets/a/b.safetensors")
    assert path.read_bytes() == hub.repos["org/nets"]["a/b.safetensors"]
    assert find_weights(f"hf://org/nets@{hub.oid('org/nets')}/a/b.safetensors").read_bytes() == path.read_bytes()
    with pytest.raises(CheckpointError, match=r"^hf://org/nets@v9/a/b.safetensors: expected to fetch it from the Hub"):
        find_weights("hf://org/nets@v9/a/b.safetensors")
    with pytest.raises(CheckpointError, match=r"expected to fetch it from the Hub, but .*hf download org/nets no.pth"):
        find_weights("hf://org/nets/no.pth")
    with pytest.raises(CheckpointError, match=r"^hf://org/none/a.pth: expected to fetch it from the Hub"):
        find_weights("hf://org/none/a.pth")


def test_without_a_network_one_sentence_says_the_command(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("VISIONZOO_OFFLINE", "1")
    with pytest.raises(CheckpointError) as caught:
        find_weights("hf://org/nets@v1/a.safetensors")
    assert str(caught.value) == (
        "hf://org/nets@v1/a.safetensors: expected to fetch it from the Hub, but the network is off (--offline, "
        f"VISIONZOO_OFFLINE=1 or HF_HUB_OFFLINE=1), and it is not in {tmp_path / 'hub'}; run `hf download org/nets "
        "a.safetensors --revision v1` where there is a network and copy its cache to this folder, or name a local file"
    )
    assert hub.asked == []


def test_a_hub_that_is_not_there(monkeypatch, hub):
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)  # between its tries
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="expected to fetch it from the Hub, but the Hub cannot be reached"):
        find_weights("hf://org/nets/a.safetensors")


@pytest.mark.parametrize("source", ["hf://org", "hf://org/a/../b", "hf://org/net@/x", "hf://org/net@v1@v2"])
def test_addresses_of_another_form(source):
    with pytest.raises(CheckpointError, match=r"expected hf://ORG/REPO"):
        HubAddress.of(source)


# --- models that are not as they should be ---


@pytest.fixture
def pushed(hub, run) -> dict[str, bytes]:
    push_model(run, REPO)
    return hub.repos["me/my_net"]


def test_other_weights_than_those_of_the_card(pushed):
    pushed["model.safetensors"] = save({"weight": torch.ones(2)})
    with pytest.raises(CheckpointError, match=r"model.safetensors: expected sha256 .*, found"):
        visionzoo.get_model(REPO)


def test_a_card_with_another_number_of_parameters(pushed):
    text = pushed["README.md"].decode()
    number = yaml.safe_load(text.split("---\n")[1])["visionzoo"]["compute"]["params"]
    pushed["README.md"] = text.replace(f"params: {number}", "params: 5").encode()
    with pytest.raises(CardError, match=rf"expected 5 parameters, .* found {number} and"):
        require_hub_card(hub_model(REPO))


def test_a_card_against_the_schema(pushed):
    pushed["README.md"] = pushed["README.md"].replace(b"status: trained here", b"status: best")
    with pytest.raises(CardError, match=r"visionzoo.status: the value should"):
        read_copied_card(hub_model(REPO) / "README.md")


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "x = __import__('os').system('touch /tmp/evil')",
        "x = open('/etc/passwd').read()",
        "x = [y for y in (1, 2)]",
        "x = dict(**{'a': 1})",
        "_base_ = ['rcnet_retinanet.py']",
        "custom_imports = dict(imports=['antigravity'])",
        "x = model",
    ],
)
def test_a_config_with_code_is_not_run(pushed, line):
    pushed["config.py"] += f"\n{line}\n".encode()
    with pytest.raises(ConfigError, match=r"config.py"):
        visionzoo.get_model(REPO)


def test_every_saved_config_is_plain(run):
    require_plain_file(run / "config.py")


def test_a_repository_of_other_files(hub):
    hub.repos["org/other"] = {"pytorch_model.bin": b"x"}
    with pytest.raises(CheckpointError, match=r"^hf://org/other/config.py: expected to fetch it from the Hub"):
        visionzoo.get_model("hf://org/other")


# --- pushing ---


def test_push_into_a_folder(run, tmp_path):
    assert push_model(run, REPO, folder=tmp_path / "out") == str(tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["README.md", "config.py", "model.safetensors", "run.json"]
    assert require_hub_card(tmp_path / "out").status == "trained here"
    with pytest.raises(OutputError, match="expected an empty folder"):
        push_model(run, REPO, folder=tmp_path / "out")


def test_push_without_a_token(hub, run):
    hub.refuses = True
    with pytest.raises(CheckpointError, match=r"expected to write it to the Hub, but .*; sign in with `hf auth login`"):
        push_model(run, REPO)


def test_push_offline_and_of_no_run(run, tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="expected the folder of a run, found none"):
        push_model(tmp_path, REPO)
    with pytest.raises(CheckpointError, match="expected hf://ORG/REPO, found a file"):
        push_model(run, f"{REPO}/a.pth")
    monkeypatch.setenv("VISIONZOO_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="but the network is off; unset VISIONZOO_OFFLINE"):
        push_model(run, REPO)
