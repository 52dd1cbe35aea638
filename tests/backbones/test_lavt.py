"""LAVT's trunk, its fusion in a neck, and the converter of its files."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.backbones.lavt import LAVTSwin, convert, convert_model, states_of
from visionzoo.backbones.lavt.blocks import WindowAttention, relative_places, shifted_regions
from visionzoo.errors import CheckpointError, ConfigError, DataError
from visionzoo.heads.wico import LAVTHead
from visionzoo.layers.language import PWAM, TextStates, WordAttention, normalised_over_positions
from visionzoo.models.wiring import build_model, fill_model
from visionzoo.necks.language_fusion import LanguageFusion
from visionzoo.registry import MODELS, SCOPE
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample
from visionzoo.weights.safe_load import read_checkpoint

GOLDEN = Path(__file__).parents[1] / "golden" / "wico" / "lavt_tiny_eval.json"

# Size, window, numbers of parameters of trunk with fusion and of the decoder, entries of the authors' state.
SIZES = [
    ("tiny", 7, 34_441_338, 11_617_538, 283),
    ("tiny", 12, 34_491_018, 11_617_538, 283),
    ("small", 7, 55_759_242, 11_617_538, 451),
    ("base", 12, 98_196_856, 20_651_010, 451),
    ("large", 12, 218_442_804, 46_459_394, 451),
]


class Letters(nn.Module):
    """A text encoder: one word per letter, with five channels that depend on the letter."""

    VARIANTS = {"tiny": {}}

    def __init__(self) -> None:
        super().__init__()
        self.out_channels, self.out_strides = (5,), (1,)
        self.letters = nn.Embedding(128, 5)

    def forward(self, phrases: list[str]) -> TextStates:
        ids = torch.zeros(len(phrases), max(map(len, phrases)), dtype=torch.long)
        for row, phrase in zip(ids, phrases, strict=True):
            row[: len(phrase)] = torch.tensor([ord(letter) % 128 for letter in phrase])
        return TextStates(self.letters(ids), ids != 0)


def text(count: int = 2, channels: int = 5) -> TextStates:
    torch.manual_seed(1)
    mask = torch.arange(4)[None] < torch.tensor([4, 2, 3, 1])[:count, None]
    return TextStates(torch.randn(count, 4, channels), mask)


def samples(*phrases: str, size: tuple[int, int] = (64, 96)) -> list[TaskSample]:
    made = []
    for phrase in phrases:
        sample = TaskSample(metainfo=dict(phrase=phrase, img_shape=size, batch_input_shape=size, ori_shape=(50, 70)))
        sample.gt_map = torch.zeros(size, dtype=torch.uint8)
        sample.gt_map[:20, 30:] = 255
        made.append(sample)
    return made


def built(**changes: object) -> nn.Module:
    torch.manual_seed(0)
    model = dict(
        type="TaskModel",
        backbone=dict(type="LAVTSwin", variant="tiny"),
        head=dict(type="LAVTHead", variant="tiny"),
        text_encoder=dict(type=Letters),
    )
    return build_model(model | changes)


# --------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(("size", "window", "trunk", "decoder", "entries"), SIZES)
def test_sizes_of_the_paper(size: str, window: int, trunk: int, decoder: int, entries: int) -> None:
    with torch.device("meta"):
        backbone = LAVTSwin(f"swin_{size}", window_size=window)
        head = LAVTHead(backbone.out_channels, backbone.out_strides)
        model = nn.ModuleDict({"backbone": backbone, "head": head})
        assert sum(value.numel() for value in backbone.parameters()) == trunk
        assert sum(value.numel() for value in head.parameters()) == decoder
        released = released_state(model)
        assert len(released) == entries
        model.load_state_dict(convert_model({"model": released}), assign=True)


def released_state(model: nn.Module) -> dict[str, Tensor]:
    """Return tensors under the authors' names: those of the golden case, with more blocks in stage 3."""
    names = [name for name, *_ in json.loads(GOLDEN.read_text())["state"]]
    for block in range(2, max(len(layer.blocks) for layer in model["backbone"].layers)):
        pattern = re.compile(r"^(backbone\.layers\.2\.blocks\.)1\.")
        names += [pattern.sub(rf"\g<1>{block}.", name) for name in names[:283] if pattern.match(name)]
    names = list(dict.fromkeys(names))
    kept = [name for name in names if not name.endswith("relative_position_index")]
    ours = dict(zip(kept, convert_model({"model": dict.fromkeys(kept, torch.zeros(1))}), strict=True))
    state = model.state_dict()
    return {name: state[ours[name]] if name in ours else torch.zeros(1) for name in names}


# --------------------------------------------------------------------------- trunk


@pytest.mark.parametrize("shift", [0, 1])
def test_windows_equal_the_literal_formula(shift: int) -> None:
    """Every token attends to the tokens of its window that are its neighbours in the padded image."""
    torch.manual_seed(0)
    attn, x = WindowAttention(8, heads=2, window=3, shift=shift), torch.randn(2, 4, 7, 8)
    padded = F.pad(x, (0, 0, 0, 2, 0, 2))
    q, k, v = attn.qkv(padded).unflatten(-1, (3, 2, 4)).unbind(3)
    out = torch.zeros(2, 6, 9, 2, 4)
    spots = [(row, column) for row in range(6) for column in range(9)]

    def place(row: int, column: int) -> tuple[int, ...]:
        moved = (row - shift) % 6, (column - shift) % 9
        return moved[0] // 3, moved[1] // 3, row < shift, column < shift

    for row, column in spots:
        near = [(r, c) for r, c in spots if place(r, c) == place(row, column)]
        rows = torch.tensor([(r - row + 0, c - column + 0) for r, c in near])
        table = attn.relative_position_bias_table[(2 - rows[:, 0]) * 5 + 2 - rows[:, 1]]
        keys, values = (torch.stack([each[:, r, c] for r, c in near], 1) for each in (k, v))
        scores = torch.einsum("bhd,bnhd->bnh", q[:, row, column], keys) / 2 + table
        out[:, row, column] = torch.einsum("bnh,bnhd->bhd", scores.softmax(1), values)
    torch.testing.assert_close(attn(x), attn.proj(out.flatten(3))[:, :4, :7], rtol=1e-4, atol=1e-5)


def test_tables_of_windows() -> None:
    assert relative_places(3)[4].reshape(3, 3).tolist() == [[18, 17, 16], [13, 12, 11], [8, 7, 6]]
    assert shifted_regions(2, 2, 2, 1)[3].tolist() == [4, 5, 7, 8]
    assert len({*shifted_regions(2, 2, 2, 1)[0].tolist()}) == 1


def test_padded_words_change_nothing() -> None:
    words, backbone = text(), LAVTSwin("tiny", text_channels=5).eval()
    longer = TextStates(F.pad(words.states, (0, 0, 0, 3), value=9.0), F.pad(words.mask, (0, 3)))
    images = torch.randn(2, 3, 65, 90)
    with torch.no_grad():
        pairs = zip(backbone(images, Batch(text=words)), backbone(images, Batch(text=longer)), strict=True)
        for feat, other in pairs:
            torch.testing.assert_close(feat, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stages", [(0, 1, 2, 3), (2, 3), (1,)])
def test_one_image_serves_several_phrases(stages: tuple[int, ...]) -> None:
    """All before the first fusion runs once, the rest for two phrases at a time; the result equals single runs.

    In double precision, because some CPUs round a matrix product by the number of its rows.
    """
    torch.manual_seed(0)
    backbone, words = LAVTSwin("tiny", text_channels=5, fusion_stages=stages).eval().double(), text(3)
    words = TextStates(words.states.double(), words.mask)
    image, rows = torch.randn(1, 3, 64, 96, dtype=torch.float64), {name: [] for name in ("patches", 0, 1, 2, 3)}
    for name, module in [("patches", backbone.patch_embed), *enumerate(layer.blocks[0] for layer in backbone.layers)]:
        module.register_forward_hook(lambda module, inputs, out, name=name: rows[name].append(len(out)))
    with torch.no_grad():
        together = backbone(image, Batch(text=words))
        assert rows == {"patches": [1]} | {stage: [1] if stage <= stages[0] else [2, 1] for stage in range(4)}
        apart = backbone(image.expand(3, -1, -1, -1), Batch(text=words))
    for one, other in zip(together, apart, strict=True):
        assert len(one) == 3
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_the_last_gate_is_kept_and_not_trained() -> None:
    backbone = LAVTSwin("tiny", text_channels=5)
    frozen = [name for name, value in backbone.named_parameters() if not value.requires_grad]
    assert frozen == ["layers.3.gate.0.weight", "layers.3.gate.2.weight"]


def test_a_swin_without_language() -> None:
    backbone = LAVTSwin("tiny", fusion_stages=(), out_indices=(1, 2)).eval()
    assert [feat.shape[1:] for feat in backbone(torch.zeros(2, 3, 33, 64))] == [(48, 5, 8), (96, 3, 4)]
    assert not any("fusion" in name for name, _ in backbone.named_parameters())
    assert len(backbone.layers) == 3


def test_recomputed_blocks_give_the_same_gradients() -> None:
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = LAVTSwin("tiny", text_channels=5, with_cp=with_cp, drop_path_rate=0.0)
        sum(feat.sum() for feat in backbone(torch.ones(2, 3, 64, 64), Batch(text=text()))).backward()
        gradients.append(backbone.patch_embed.proj.weight.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(fusion_stages=(3, 1)), r"fusion_stages from 0 to 3, ascending"),
        (dict(fusion_heads=(5, 1, 1, 1)), r"heads that divide 24 channels, found 5"),
        (dict(num_heads=(5, 1, 1, 1)), r"num_heads that divide the channels"),
        (dict(out_indices=(4,)), r"stages from 0 to 3"),
        (dict(window_size=1), r"a window_size of at least 2"),
    ],
)
def test_wrong_settings(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LAVTSwin("tiny", **settings)


def test_wrong_batches() -> None:
    backbone = LAVTSwin("tiny", text_channels=5).eval()
    with pytest.raises(DataError, match=r"encoded phrases for LAVTSwin, found none"):
        backbone(torch.zeros(1, 3, 64, 64))
    with pytest.raises(DataError, match=r"found 3 phrases for 2 images"):
        backbone(torch.zeros(2, 3, 64, 64), Batch(text=text(3)))
    with pytest.raises(DataError, match=r"at least 2 positions .*, found 1; enlarge the images"):
        backbone(torch.zeros(2, 3, 32, 32), Batch(text=text()))


# --------------------------------------------------------------------------- fusion


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_to_words_equals_the_formula(heads: int) -> None:
    torch.manual_seed(0)
    attention, x, words = WordAttention(6, 5, key_channels=4, heads=heads), torch.randn(2, 9, 6), text()
    q = attention.query(x)
    q = (q - q.mean(1, keepdim=True)) / (q.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    k, v = (layer(words.states) * words.mask[..., None] for layer in (attention.key, attention.value))
    parts = []
    for a, b, c in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        scores = a @ b.transpose(1, 2) / 2 + (1e4 * words.mask.float() - 1e4)[:, None]
        parts.append(scores.softmax(-1) @ c)
    expected = normalised_over_positions(attention.out(torch.cat(parts, -1)))
    torch.testing.assert_close(attention(x, words), expected, rtol=1e-4, atol=1e-5)


def test_a_phrase_without_words_is_finite() -> None:
    empty = TextStates(torch.randn(2, 4, 5), torch.zeros(2, 4, dtype=torch.bool))
    assert PWAM(6, 5)(torch.randn(2, 9, 6), empty).isfinite().all()


@pytest.mark.parametrize("gate", [False, True])
def test_the_neck_repeats_an_image_for_its_phrases(gate: bool) -> None:
    """In double precision, because the norm of a map of nine cells amplifies the rounding of a larger batch."""
    neck = LanguageFusion([8, 16], [8, 16], text_channels=5, gate=gate).eval().double()
    feats, words = (torch.randn(1, 8, 5, 6).double(), torch.randn(1, 16, 3, 3).double()), text(3)
    words = TextStates(words.states.double(), words.mask)
    repeated = tuple(feat.expand(3, -1, -1, -1) for feat in feats)
    for one, other in zip(neck(feats, Batch(text=words)), neck(repeated, Batch(text=words)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    with pytest.raises(DataError, match=r"encoded phrases for LanguageFusion"):
        neck(feats)


# --------------------------------------------------------------------------- whole model


TRUNKS = [
    (dict(type="LAVTSwin", variant="tiny"), None),
    (dict(type="DiNAT", variant="tiny"), dict(type="LanguageFusion", gate=True)),
    (dict(type="timm.resnet18", out_indices=(1, 2, 3, 4)), dict(type="LanguageFusion")),
]


@pytest.mark.parametrize(("backbone", "neck"), TRUNKS, ids=["lavt", "dinat", "timm"])
def test_a_model_trains_and_predicts(backbone: dict, neck: dict | None) -> None:
    model, batch = built(backbone=backbone, neck=neck), samples("a dog", "the left box")
    losses = model(torch.randn(2, 3, 64, 96), batch, mode="loss")
    losses["loss_mask"].backward()
    assert model.text_encoder.letters.weight.grad.abs().sum() > 0
    for found in model.eval()(torch.randn(2, 3, 64, 96), batch, mode="predict"):
        assert found.pred_map.shape == found.pred_mask.shape == (50, 70)
        assert 0 <= found.pred_score <= 1


def test_the_phrase_changes_the_map_and_an_image_serves_several() -> None:
    model, image = built().eval(), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        together = model(image, samples("red", "a blue box"))
        assert not torch.allclose(together[0], together[1], atol=1e-4)
        torch.testing.assert_close(together[1:], model(image, samples("a blue box")), rtol=1e-4, atol=1e-4)


def test_text_channels_follow_from_the_encoder() -> None:
    model = dict(type="TaskModel", backbone=dict(type="LAVTSwin", variant="tiny"), text_encoder=dict(type=Letters))
    filled = fill_model(model | dict(head=dict(type="LAVTHead", variant="tiny")))
    assert filled.backbone.text_channels == 5
    with pytest.raises(ConfigError, match=r"model\.backbone\.text_channels: expected 5 from Letters, found 768"):
        built(backbone=dict(type="LAVTSwin", variant="tiny", text_channels=768))


def test_tiles_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"test_cfg\.tile: expected a model without text_encoder, .*found Letters"):
        built(test_cfg=dict(tile=512))


# --------------------------------------------------------------------------- files


def released(*, one: bool) -> dict:
    """Return a file of the authors with the names of trunk, decoder and BERT; its tensors are empty."""
    names = [name for name, *_ in json.loads(GOLDEN.read_text())["state"]]
    words = dict.fromkeys(["embeddings.position_ids", "embeddings.word_embeddings.weight"], torch.zeros(1))
    model = dict.fromkeys(names, torch.zeros(1))
    if one:
        model |= {f"text_encoder.{name}": value for name, value in words.items()}
    options = argparse.Namespace(model="lavt_one" if one else "lavt", lr=5e-5, mha="")
    return {
        "model": model,
        **({} if one else {"bert_model": {f"module.{name}": value for name, value in words.items()}}),
        "optimizer": {"state": {}, "param_groups": [{"lr": 5e-5}]},
        "epoch": 39,
        "args": options,
        "lr_scheduler": {"last_epoch": 3, "lr_lambdas": [None]},
    }


@pytest.mark.parametrize("one", [False, True])
def test_files_of_the_authors_load_without_running_code(tmp_path: Path, one: bool) -> None:
    torch.save(released(one=one), tmp_path / "refcoco.pth")
    checkpoint = read_checkpoint(tmp_path / "refcoco.pth")
    assert checkpoint["args"].lr == 5e-5
    weights = convert_model(checkpoint)
    assert [name for name in weights if name.startswith("text_encoder.")] == [
        "text_encoder.embeddings.word_embeddings.weight"
    ]
    assert len([name for name in weights if name.startswith("backbone.")]) == len(convert(checkpoint)) > 200
    assert not any("index" in name or "position_ids" in name for name in weights)


class Attack:
    def __reduce__(self) -> tuple:
        return (print, ("code of the file",))


def test_options_that_carry_code_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    checkpoint = released(one=True)
    checkpoint["args"].device = Attack()
    torch.save(checkpoint, tmp_path / "refcoco.pth")
    with pytest.raises(CheckpointError, match=r"a pickle that runs .*print when loaded"):
        read_checkpoint(tmp_path / "refcoco.pth")
    assert not capsys.readouterr().out


def test_convert_command_keeps_a_separate_text_encoder(tmp_path: Path) -> None:
    from visionzoo.cli.convert_checkpoint import parser, run

    torch.save(released(one=False), tmp_path / "refcoco.pth")
    out = tmp_path / "lavt.safetensors"
    assert run(parser().parse_args(["--from", "lavt", str(tmp_path / "refcoco.pth"), str(out), "--quiet"])) == 0
    names = read_checkpoint(out)["state_dict"]
    assert "text_encoder.embeddings.word_embeddings.weight" in names


def test_files_of_other_models_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"expected LAVT .*, found layer1\.0\.conv1\.weight"):
        convert_model({"model": {"layer1.0.conv1.weight": torch.zeros(1)}})
    assert list(states_of({"a.b": torch.zeros(1)})) == ["a.b"]


def test_an_official_swin_file_initialises_the_trunk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    swin = LAVTSwin("tiny", fusion_stages=()).state_dict()
    official = {name: torch.full_like(value, 0.5) for name, value in swin.items() if not name.startswith("norm")}
    torch.save({"model": official | {"head.weight": torch.zeros(1, 1)}}, tmp_path / "swin.pth")
    pretrained = dict(type="Pretrained", checkpoint=str(tmp_path / "swin.pth"))
    backbone = MODELS.build(dict(type="LAVTSwin", variant="tiny", init_cfg=pretrained))
    with DefaultScope.overwrite_default_scope(SCOPE):
        backbone.init_weights()
    state = backbone.state_dict()
    assert all((state[name] == 0.5).all() for name in official)
    assert state["layers.0.fusion.visual.weight"].unique().numel() > 1
