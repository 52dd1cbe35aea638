"""NAT, DiNAT and DiNAT_s: sizes, dilations, small maps, both layouts of released weights, and learning."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from visionzoo.backbones.dinat import DiNAT, convert, convert_classifier, named_variant, resize_bias
from visionzoo.backbones.dinat.variants import dilations_of
from visionzoo.errors import CheckpointError, ConfigError, UnknownName

# With a classifier of 1000 classes.
PARAMETERS = {
    "nat_mini": 19_984_174,
    "nat_tiny": 27_901_582,
    "nat_small": 50_743_297,
    "nat_base": 89_769_652,
    "dinat_mini": 19_984_174,
    "dinat_tiny": 27_901_582,
    "dinat_small": 50_719_681,
    "dinat_base": 89_769_652,
    "dinat_large": 200_943_514,
    "dinat_large_k11": 201_144_250,
    "dinat_s_tiny": 28_288_354,
    "dinat_s_small": 49_606_258,
    "dinat_s_base": 87_768_224,
    "dinat_s_large": 196_532_476,
}
# Tensors of the released classifiers.
ENTRIES = {"nat_mini": 253, "dinat_tiny": 409, "dinat_small": 409, "nat_small": 469, "nat_base": 469, "dinat_base": 469}
ENTRIES |= {"dinat_large": 409, "dinat_s_tiny": 173, "dinat_s_base": 329}


def on_meta(variant, **options):
    with torch.device("meta"):
        return DiNAT(variant, **options)


def released(variant, seed=0):
    """Return a classifier's random weights under the authors' names."""
    torch.manual_seed(seed)
    net = DiNAT(variant, out_indices=(3,))
    state = {authors_name(net, name): torch.randn(value.shape) for name, value in net.state_dict().items()}
    channels = net.out_channels[0]
    return state | {"head.weight": torch.randn(6, channels), "head.bias": torch.randn(6)}


def authors_name(net, name):
    name = name.replace("norm3.", "norm.") if name.startswith("norm3") else name
    return re.sub(r"^levels\.", "layers.", name) if net.design.tokenizer == "patch" else name


# --- sizes ---


@pytest.mark.parametrize("variant", PARAMETERS)
def test_parameters_are_the_authors(variant):
    net = on_meta(variant, out_indices=(3,))
    classifier = 1000 * (net.out_channels[0] + 1)
    assert sum(parameter.numel() for parameter in net.parameters()) + classifier == PARAMETERS[variant]
    if variant in ENTRIES:
        assert len(net.state_dict()) + 2 == ENTRIES[variant]


def test_a_dense_backbone_has_a_norm_for_each_map():
    assert sum(parameter.numel() for parameter in on_meta("dinat_tiny").parameters()) == 27_389_478


def test_stages_that_are_not_read_are_not_built():
    net = DiNAT("tiny", out_indices=(0, 2))
    assert net.out_channels == (16, 64)
    assert net.out_strides == (4, 16)
    assert len(net.levels) == 3
    assert net.levels[-1].downsample is None
    assert [feat.shape[2:] for feat in net(torch.zeros(1, 3, 61, 90))] == [(16, 23), (4, 6)]


# --- dilations ---


@pytest.mark.parametrize(
    ("variant", "use", "expected"),
    [
        ("dinat_mini", "imagenet", [(1, 8, 1), (1, 4, 1, 4), (1, 2) * 3, (1,) * 5]),
        ("dinat_large", "imagenet_384", [(1, 13, 1), (1, 6, 1, 6), (1, 3) * 9, (1,) * 5]),
        ("dinat_tiny", "coco", [(1, 28, 1), (1, 7, 1, 14), (1, 3, 1, 5, 1, 7) * 3, (1, 3, 1, 3, 1)]),
        ("dinat_tiny", "ade20k", [(1, 16, 1), (1, 4, 1, 8), (1, 2, 1, 3, 1, 4) * 3, (1, 2, 1, 2, 1)]),
        (
            "dinat_large",
            "ade20k_640",
            [(1, 20, 1), (1, 5, 1, 10), (1, 2, 1, 3, 1, 4, 1, 5) * 2 + (1, 5), (1, 2, 1, 2, 1)],
        ),
        ("dinat_large", "mask2former_coco", [(1, 14, 1), (1, 4, 1, 7), (1, 2, 1, 3) * 4 + (1, 3), (1,) * 5]),
        ("dinat_s_tiny", "imagenet", [(1, 8), (1, 4), (1, 2) * 3, (1, 1)]),
        ("dinat_s_small", "coco", [(1, 28), (1, 14), (1, 3, 1, 5, 1, 7) * 3, (1, 3)]),
        ("dinat_s_large", "ade20k_640", [(1, 20), (1, 10), (1, 2, 1, 3, 1, 4, 1, 5) * 2 + (1, 5), (1, 2)]),
    ],
)
def test_dilations_of_each_use(variant, use, expected):
    net = on_meta(variant, dilations=use)
    assert list(net.dilations) == expected
    dilations = [tuple(layer.attn.dilation for layer in level.blocks) for level in net.levels]
    assert dilations == expected


def test_nat_has_none_and_a_list_is_used_unchanged():
    assert set(sum(on_meta("nat_mini").dilations, ())) == {1}
    assert set(sum(on_meta("dinat_mini", dilations=1).dilations, ())) == {1}
    given = [[1, 3], [1, 2], [2, 1], [1, 1]]
    assert on_meta("tiny", dilations=given).dilations == tuple(map(tuple, given))


def test_the_ade20k_table_of_640_ends_as_the_authors_does():
    assert dilations_of("ade20k_640", (3, 4, 18, 5))[2][-2:] == (1, 5)


# --- small maps ---


@pytest.mark.parametrize("variant", ["tiny", "tiny_s"])
@pytest.mark.parametrize("size", [(1, 1), (33, 70), (97, 131)])
def test_any_size_works(variant, size):
    net = DiNAT(variant).eval()
    with torch.no_grad():
        feats = net(torch.randn(2, 3, *size))
    for feat, stride in zip(feats, net.out_strides):
        assert feat.shape[2:] == tuple(-(-side // stride) for side in size)
        assert feat.isfinite().all()


def test_padded_tokens_are_keys_like_others():
    """Padded tokens have the projection's biases as keys and values; padding the map by hand has the same result."""
    torch.manual_seed(0)
    attn = DiNAT("tiny").levels[0].blocks[1].attn  # kernel 3, dilation 4: needs 12
    x = torch.randn(2, 9, 14, 16)
    padded = torch.cat([x, torch.zeros(2, 3, 14, 16)], dim=1)
    torch.testing.assert_close(attn(x), attn(padded)[:, :9])


def test_small_maps_may_be_an_error():
    net = DiNAT("tiny", small_maps="error")
    net(torch.zeros(1, 3, 96, 96))
    with pytest.raises(ConfigError, match=r"expected kernel \* dilation of at most the map's 8, found 3 \* 4"):
        net(torch.zeros(1, 3, 32, 96))


# --- released weights ---


@pytest.mark.parametrize("variant", ["tiny", "tiny_s", "dinat_mini"])
def test_the_authors_classifier_loads_strictly(variant):
    state = released(variant)
    named = "custom" if variant.startswith("tiny") else variant
    net = DiNAT(variant, out_indices=(3,))
    net.load_state_dict(convert(state, variant=named))
    assert torch.equal(net.norm3.weight, state["norm.weight"])
    assert set(convert_classifier({"model": state})) == {"weight", "bias"}


def test_a_detector_can_reset_its_norms():
    dense = DiNAT("tiny")
    outcome = dense.load_state_dict(convert(released("tiny"), variant="custom", keep_norm=False), strict=False)
    assert outcome.missing_keys == [f"norm{i}.{kind}" for i in range(4) for kind in ("weight", "bias")]
    assert not outcome.unexpected_keys


def as_hugging_face(state, prefix):
    """Return the same weights under Hugging Face's names."""
    renamed = {}
    for name, value in state.items():
        if name.startswith("head."):
            renamed[name.replace("head.", "classifier.")] = value
            continue
        name = re.sub(r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection.", name)
        name = re.sub(r"^patch_embed\.norm\.", "embeddings.norm.", name)
        name = re.sub(r"^norm\.", "layernorm.", name)
        name = re.sub(r"^levels\.(\d+)\.blocks\.(\d+)\.", r"encoder.levels.\1.layers.\2.", name)
        name = re.sub(r"^levels\.", "encoder.levels.", name)
        name = name.replace(".norm1.", ".layernorm_before.").replace(".norm2.", ".layernorm_after.")
        name = name.replace(".mlp.fc1.", ".intermediate.dense.").replace(".mlp.fc2.", ".output.dense.")
        name = name.replace(".attn.proj.", ".attention.output.dense.").replace(".attn.", ".attention.self.")
        if ".qkv." in name:
            for part, rows in zip(("query", "key", "value"), value.chunk(3)):
                renamed[prefix + name.replace("qkv", part)] = rows
        elif name.endswith("gamma1"):
            stem = name.removesuffix("gamma1")
            other = next(
                v for n, v in state.items() if authors_layer(n) == authors_layer(stem) and n.endswith("gamma2")
            )
            renamed[f"{prefix}{stem}layer_scale_parameters"] = torch.stack([value, other])
        elif not name.endswith("gamma2"):
            renamed[prefix + name] = value
    return renamed


def authors_layer(name):
    return re.findall(r"\d+", name)[:2]


@pytest.mark.parametrize("prefix", ["dinat.", "nat.", ""])
def test_hugging_faces_names_load_the_same_weights(prefix):
    state = released("tiny")
    theirs = as_hugging_face(state, prefix)
    assert any("layer_scale_parameters" in name for name in theirs)
    converted, expected = convert(theirs, variant="custom"), convert(state, variant="custom")
    assert set(converted) == set(expected)
    assert all(torch.equal(converted[name], expected[name]) for name in expected)
    assert torch.equal(convert_classifier(theirs)["weight"], state["head.weight"])


def test_norms_of_hugging_faces_backbone():
    state = as_hugging_face(released("tiny"), "")
    state |= {
        f"hidden_states_norms.stage{i}.{kind}": torch.ones(8 * 2**i) for i in (1, 2) for kind in ("weight", "bias")
    }
    assert {"norm0.weight", "norm1.bias"} <= set(convert(state, variant="custom"))


def test_biases_are_resized_to_another_kernel():
    state = released("dinat_mini")
    weights = convert(state, variant="dinat_mini", kernel_size=11)
    net = DiNAT("dinat_mini", kernel_size=11, out_indices=(3,))
    net.load_state_dict(weights)
    table = weights["levels.0.blocks.0.attn.rpb"]
    assert table.shape == (2, 21, 21)
    flat = {"a.rpb": torch.full((2, 13, 13), 3.0), "b": torch.zeros(1)}
    torch.testing.assert_close(resize_bias(flat, 11)["a.rpb"], torch.full((2, 21, 21), 3.0))
    torch.testing.assert_close(table[:, 10, 10], state["levels.0.blocks.0.attn.rpb"][:, 6, 6], atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dinat_mini_in1k_224.pth", "dinat_mini"),
        ("x/dinat_large_in22k_in1k_384_11x11.pth", "dinat_large_k11"),
        ("dinat_s_base_in1k_224.pth", "dinat_s_base"),
        ("nat_small.pth", "nat_small"),
        ("shi-labs/dinat-mini-in1k-224/model.safetensors", None),
        ("checkpoint.pth", None),
    ],
)
def test_file_names_contain_the_variant(name, expected):
    assert named_variant(name) == expected


def test_weights_that_fit_two_variants_need_a_name():
    state = released("dinat_mini")
    with pytest.raises(CheckpointError, match="expected the variant, because nat_mini or dinat_mini have"):
        convert(state)
    assert convert(state, file_name="nat_mini.pth").keys() == convert(state, variant="dinat_mini").keys()
    with pytest.raises(CheckpointError, match=r"found a file called nat_mini\.pth, of nat_mini"):
        convert(state, variant="dinat_mini", file_name="nat_mini.pth")


def test_weights_of_another_variant_are_refused():
    with pytest.raises(
        CheckpointError, match=r"expected weights of dinat_tiny, found those of nat_mini or dinat_mini; d"
    ):
        convert(released("dinat_mini"), variant="dinat_tiny")
    small = {name: value for name, value in released("tiny").items() if "gamma" not in name}
    with pytest.raises(CheckpointError, match="layer scale: True expected, False found"):
        convert(small, variant="tiny")
    with pytest.raises(UnknownName, match="did you mean 'dinat_mini'"):
        convert(released("dinat_mini"), variant="dinat_min")


def test_other_files_are_refused():
    with pytest.raises(CheckpointError, match=r"expected a DiNAT .* found conv1.weight"):
        convert({"conv1.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="found no patch_embed"):
        convert({})
    with pytest.raises(CheckpointError, match="expected a classifier"):
        convert_classifier({"norm.weight": torch.zeros(1)})


def test_the_small_and_the_base_differ_in_layer_scale():
    has = {name: on_meta(name).levels[0].blocks[0].gamma1 is not None for name in PARAMETERS}
    assert [name for name in has if has[name]] == ["nat_small", "nat_base", "dinat_base"]


# --- training ---


def test_frozen_stages_stay():
    net = DiNAT("tiny", frozen_stages=2).train()
    frozen = {
        name.split(".")[0] + "." + name.split(".")[1] for name, p in net.named_parameters() if not p.requires_grad
    }
    assert frozen == {"patch_embed.proj", "patch_embed.norm", "levels.0", "levels.1"}
    assert not net.levels[1].training
    assert net.levels[2].training
    assert net.train() is net


def test_drop_path_grows_to_the_last_layer():
    net = DiNAT("tiny", drop_path_rate=0.7)
    rates = [getattr(layer.drop_path, "p", 0.0) for level in net.levels for layer in level.blocks]
    assert rates == pytest.approx([0.1 * index for index in range(8)])


def test_recomputed_layers_have_the_same_gradients():
    torch.manual_seed(0)
    kept, again = DiNAT("tiny"), DiNAT("tiny", with_cp=True)
    again.load_state_dict(kept.state_dict())
    image = torch.randn(2, 3, 64, 48)
    for net in (kept, again):
        torch.stack([feat.square().mean() for feat in net(image)]).sum().backward()
    for a, b in zip(kept.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        (dict(variant="dinat_min"), UnknownName, "did you mean 'dinat_mini'"),
        (dict(dilations="coc"), UnknownName, "did you mean 'coco'"),
        (dict(dilations=[[1], [1], [1], [1]]), ConfigError, r"expected \[2, 2, 2, 2\] numbers"),
        (dict(dilations=2), ConfigError, "one number per layer"),
        (dict(kernel_size=4), ConfigError, "odd kernel_size"),
        (dict(num_heads=(3, 3, 3, 3)), ConfigError, "num_heads that divide"),
        (dict(depths=(1, 1)), ConfigError, "depths of 4 stages"),
        (dict(tokenizer="pool"), ConfigError, "tokenizer"),
        (dict(out_indices=(3, 1)), ConfigError, "out_indices"),
        (dict(small_maps="mask"), ConfigError, "small_maps 'pad' or 'error'"),
        (dict(frozen_stages=5), ConfigError, "frozen_stages"),
        (dict(drop_path_rate=1.0), ConfigError, "drop_path_rate"),
    ],
)
def test_wrong_settings_are_named(options, error, expected):
    with pytest.raises(error, match=expected):
        DiNAT(**{"variant": "tiny", **options})


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels_are_refused(channels):
    with pytest.raises(RuntimeError, match=f"to have 3 channels, but got {channels}"):
        DiNAT("tiny")(torch.zeros(1, channels, 64, 64))


def test_it_learns_four_classes():
    """Images of 64 pixels have stripes in four directions."""
    torch.manual_seed(0)
    images, labels = stripes(64)
    net, head = DiNAT("tiny", out_indices=(3,), drop_path_rate=0.0), nn.Linear(128, 4)
    optimizer = torch.optim.AdamW([*net.parameters(), *head.parameters()], lr=2e-3)
    for _ in range(40):
        for part in torch.randperm(64).split(16):
            loss = nn.functional.cross_entropy(head(net(images[part])[0].mean((2, 3))), labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if loss < 0.02:
            break
    with torch.no_grad():
        predictions = head(net.eval()(images)[0].mean((2, 3))).argmax(1)
    assert float((predictions == labels).float().mean()) > 0.95


def stripes(count):
    labels = torch.arange(count) % 4
    place = torch.arange(64.0)
    angle = labels * torch.pi / 4
    wave = place[None, :, None] * angle.sin()[:, None, None] + place[None, None] * angle.cos()[:, None, None]
    shift = torch.rand(count)[:, None, None] * 6
    return (torch.sin(0.8 * wave + shift)[:, None] + 0.3 * torch.randn(count, 3, 64, 64)), labels


@pytest.mark.slow
def test_a_large_image_needs_less_than_four_gigabytes():
    """The limit is for memory beyond the process's earlier use: 800 x 1333 pixels, DiNAT-Mini with COCO's dilations."""
    code = (
        "import resource, torch; torch.set_num_threads(1)\n"
        "from visionzoo.backbones.dinat import DiNAT\n"
        "net = DiNAT('dinat_mini', dilations='coco').eval(); image = torch.randn(1, 3, 800, 1333)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with torch.no_grad(): feats = net(image)\n"
        "assert [tuple(f.shape[2:]) for f in feats] == [(200, 334), (100, 167), (50, 84), (25, 42)]\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 4 * 2**30
