"""LAVT's decoder and losses, and the parts of WiCo: identities, padding, permutation, reliabilities."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.config.checking import check_config
from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.heads.wico import GSI, LAVTHead, Reliability, WiCoHead, proposals_of
from visionzoo.heads.wico.losses import PhraseMaskLoss
from visionzoo.heads.wico.scorer import mask_ious
from visionzoo.models.wiring import build_model
from visionzoo.structures.batch import Batch, TextStates
from visionzoo.structures.task_sample import TaskSample

SIZE, IMAGE = (64, 96), (60, 90)
CHANNELS, STRIDES = [8, 16, 24], [8, 16, 32]


def feats(batch: int = 2) -> list[Tensor]:
    torch.manual_seed(3)
    sides = ((side // stride for side in SIZE) for stride in STRIDES)
    return [torch.randn(batch, channels, *each) for channels, each in zip(CHANNELS, sides, strict=True)]


def objects(count: int) -> InstanceData:
    """Return boxes side by side, the masks of which cover the boxes; the last label is unknown."""
    torch.manual_seed(4)
    boxes = torch.tensor([[12.0 * i, 5.0, 12.0 * i + 12, 40.0] for i in range(count)]).reshape(count, 4)
    masks = torch.zeros(count, *IMAGE)
    for i in range(count):
        masks[i, 5:40, 12 * i : 12 * i + 12] = 1
    labels = torch.arange(count) - (torch.arange(count) == count - 1).long() * count
    return InstanceData(boxes=boxes, masks=masks, labels=labels)


def samples(*counts: int) -> list[TaskSample]:
    made = []
    for count in counts:
        sample = TaskSample(metainfo=dict(img_shape=IMAGE, batch_input_shape=SIZE, ori_shape=(30, 45)))
        sample.proposals, sample.gt_map = objects(count), torch.zeros(IMAGE, dtype=torch.uint8)
        sample.gt_map[5:40, 12:24] = 255
        made.append(sample)
    return made


def batch_of(*counts: int) -> Batch:
    torch.manual_seed(5)
    mask = torch.arange(4)[None] < torch.tensor([4, 2, 3])[: len(counts), None]
    return Batch(samples=samples(*counts), text=TextStates(torch.randn(len(counts), 4, 5), mask))


def head(open_gates: bool = False, **settings: object) -> WiCoHead:
    """Build a head; ``open_gates`` lets features pass between the branches."""
    torch.manual_seed(0)
    built = WiCoHead(CHANNELS, STRIDES, "tiny", text_channels=5, **settings)
    if open_gates:
        with torch.no_grad():
            for name, value in built.named_parameters():
                if name.endswith("gate"):
                    value.fill_(0.7)
    return built


# --------------------------------------------------------------------------- LAVT's decoder


@pytest.mark.parametrize("kind", ["cross_entropy", "dice"])
def test_losses_of_a_phrase(kind: str) -> None:
    torch.manual_seed(0)
    logits, masks = torch.randn(2, 2, 5, 7), torch.rand(2, 5, 7) > 0.5
    masks[1] = False  # a phrase that fits nothing
    found = logits.softmax(1)
    if kind == "cross_entropy":
        weights = torch.tensor([0.9, 1.1])[masks.long()]
        each = -found.gather(1, masks.long()[:, None])[:, 0].log()
        expected = (weights * each).sum() / weights.sum()
    else:
        truth = torch.stack([~masks, masks], 1).float()
        common, total = (found * truth).sum((2, 3)), (found + truth).sum((2, 3))
        expected = (1 - (2 * common + 1) / (total + 1)).mean()
    torch.testing.assert_close(PhraseMaskLoss(kind)(logits, masks), expected)


def test_lavt_head_learns_a_mask_and_states_an_empty_one() -> None:
    torch.manual_seed(0)
    built, levels, batch = LAVTHead(CHANNELS, STRIDES, "tiny"), feats(), batch_of(2, 2)
    batch.samples[1].gt_map.zero_()
    optimiser = torch.optim.Adam(built.parameters(), 1e-2)
    for _ in range(40):
        optimiser.zero_grad()
        loss = built.loss(levels, batch)["loss_mask"]
        loss.backward()
        optimiser.step()
    assert loss < 0.3
    found, nothing = built.eval().predict(levels, batch)
    assert found.pred_map.shape == (30, 45)
    assert found.pred_mask.any()
    assert found.pred_score >= 0.5
    assert not nothing.pred_mask.any()
    assert nothing.pred_score < 0.5
    assert nothing.pred_score == nothing.pred_map.max()


def test_a_level_that_phrases_share_is_convolved_once() -> None:
    built, levels = LAVTHead(CHANNELS, STRIDES, "tiny").eval(), feats(3)
    levels[0] = levels[0][:1].expand(3, -1, -1, -1)
    whole = [level.contiguous() for level in levels]
    passed: list[int] = []
    built.decoder[-1][0].register_forward_hook(lambda *_: passed.append(1))
    with torch.no_grad():
        shared = built(levels)
        assert not passed  # the conv of all phrases at once does not run
        torch.testing.assert_close(shared, built(whole), rtol=1e-5, atol=1e-5)
    assert passed


def test_threshold_of_the_mask() -> None:
    built, levels = LAVTHead(CHANNELS, STRIDES, "tiny").eval(), feats()
    areas = []
    for threshold in (0.0, 0.5, 1.0):
        built.mask_threshold = threshold
        areas.append(built.predict(levels, batch_of(0, 0))[0].pred_mask.float().mean().item())
    assert areas[0] == 1 > areas[2] == 0


def test_lavt_head_refuses_other_truth() -> None:
    built, batch = LAVTHead(CHANNELS, STRIDES, "tiny"), batch_of(0, 0)
    batch.samples[1].gt_map = torch.zeros(64, 90)
    with pytest.raises(DataError, match=r"gt_map of \(60, 90\).*found \(64, 90\)"):
        built.loss(feats(), batch)
    with pytest.raises(ConfigError, match=r"at least two levels, found 1"):
        LAVTHead([8], [8])


# --------------------------------------------------------------------------- identities of WiCo


@pytest.mark.parametrize("name", ["bottom_up", "top_down"])
@torch.no_grad()
def test_a_forced_weight_gives_one_branch_bit_for_bit(name: str) -> None:
    built, batch, levels = head(result=name).eval(), batch_of(3, 2), feats()
    found = built(levels, batch)["map"]
    if name == "bottom_up":
        expected = built.bottom_up(levels, batch).softmax(1)[:, 1:]
    else:
        proposals = proposals_of(batch.samples, SIZE)
        scores = built.top_down.scores(built.top_down(levels[1], proposals, batch.text))
        expected = torch.stack([masks[best] for masks, best in zip(proposals.masks, scores.argmax(1))])[:, None]
    assert torch.equal(found, expected)


@torch.no_grad()
def test_closed_gates_separate_the_branches() -> None:
    closed, levels, batch = head().eval(), feats(), batch_of(3, 2)
    apart, opened = head(interaction=None).eval(), head(open_gates=True).eval()
    apart.load_state_dict({name: v for name, v in closed.state_dict().items() if "interaction" not in name})
    assert torch.equal(closed(levels, batch)["maps"], apart(levels, batch)["maps"])
    assert not torch.allclose(opened(levels, batch)["maps"][:, 0], apart(levels, batch)["maps"][:, 0], atol=1e-5)
    assert not torch.allclose(opened(levels, batch)["scores"], apart(levels, batch)["scores"], atol=1e-4)


@pytest.mark.parametrize(("to_pixels", "to_objects"), [(True, False), (False, True)])
@torch.no_grad()
def test_each_direction_of_the_interaction_changes_its_branch(to_pixels: bool, to_objects: bool) -> None:
    levels, batch = feats(), batch_of(3, 2)
    built = head(open_gates=True, interaction=dict(to_pixels=to_pixels, to_objects=to_objects)).eval()
    with_it = built(levels, batch)
    built.interaction = None
    without = built(levels, batch)
    assert torch.equal(with_it["maps"][:, 0], without["maps"][:, 0]) != to_pixels
    assert torch.equal(with_it["scores"], without["scores"]) != to_objects


@torch.no_grad()
def test_images_without_proposals_give_the_bottom_up_result() -> None:
    built, levels, batch = head(open_gates=True).eval(), feats(), batch_of(0, 0)
    separate = built.bottom_up(levels, batch).softmax(1)[:, 1:]
    assert torch.equal(built(levels, batch)["map"], separate)
    mixed = built(levels, batch_of(0, 3))
    torch.testing.assert_close(mixed["map"][:1], separate[:1])
    assert not torch.allclose(mixed["map"][1:], separate[1:], atol=1e-3)
    empty, full = built.predict(levels, batch_of(0, 3))
    assert empty.pred_proposal_scores.shape == (0,)
    assert full.pred_proposal_scores.sum().item() == pytest.approx(1)


@torch.no_grad()
def test_samples_without_proposals_and_without_provider_in_evaluation() -> None:
    built, levels, batch = head(open_gates=True).eval(), feats(), batch_of(2, 2)
    del batch.samples[0].proposals
    first = built.predict(levels, batch)[0]
    assert torch.equal(first.pred_map, first.pred_bottom_up)
    assert "proposals" not in first
    torch.testing.assert_close(built(levels, batch)["map"][1:], built(levels, batch_of(2, 2))["map"][1:])
    of_features = head(top_down=dict(feature_channels=6)).eval()
    assert torch.equal(of_features(levels, batch_of(0, 0))["weights"], torch.tensor([[1.0, 0.0]] * 2))


@torch.no_grad()
def test_objects_with_scores_in_pixels_of_the_original_image() -> None:
    built, batch = head().eval(), batch_of(3, 0)
    for sample in batch.samples:
        sample.set_metainfo(dict(per_object=True))
    found, none = built.predict(feats(), batch)
    assert torch.equal(found.pred_objects.scores, found.pred_proposal_scores)
    assert found.pred_objects.bboxes.tolist() == [[6.0 * i, 2.5, 6.0 * i + 6, 20.0] for i in range(3)]
    assert found.pred_objects.masks.shape == (3, 30, 45)
    assert found.pred_objects.masks[1, 5:18, 7:11].all()
    assert found.pred_objects.labels.tolist() == [0, 1, -1]
    assert (none.pred_objects.bboxes.shape, none.pred_objects.masks.shape) == ((0, 4), (0, 30, 45))
    assert "pred_objects" not in built.predict(feats(), batch_of(3, 0))[0]


@torch.no_grad()
def test_padded_proposals_change_nothing() -> None:
    built, levels, batch = head(open_gates=True).eval(), feats(1), batch_of(2)
    short = built(levels, batch)
    both = batch_of(2, 5)
    both = replace(both, text=TextStates(*(x.repeat(2, *[1] * (x.ndim - 1)) for x in vars(batch.text).values())))
    padded = built([feat.repeat(2, 1, 1, 1) for feat in levels], both)
    for name in ("map", "maps", "weights", "reliability"):
        torch.testing.assert_close(padded[name][:1], short[name], rtol=0, atol=1e-5)
    torch.testing.assert_close(padded["scores"][:1, :2], short["scores"], rtol=0, atol=1e-5)
    assert (padded["scores"][0, 2:] < -1000).all()


@torch.no_grad()
def test_permuted_proposals_permute_scores() -> None:
    built, levels, batch, order = head(open_gates=True).eval(), feats(1), batch_of(4), torch.tensor([2, 0, 3, 1])
    first = built(levels, batch)
    batch.samples[0].proposals = batch.samples[0].proposals[order]
    second = built(levels, batch)
    torch.testing.assert_close(second["scores"], first["scores"][:, order], rtol=0, atol=1e-5)
    torch.testing.assert_close(second["map"], first["map"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_average_of_both_maps() -> None:
    built = head(result="average", integration=None).eval()
    found = built(feats(), batch_of(3, 2))
    torch.testing.assert_close(found["map"], found["maps"].mean(1, keepdim=True))
    assert not any(name.startswith("integration") for name, _ in built.named_parameters())


# --------------------------------------------------------------------------- training and prediction


def test_all_parts_learn() -> None:
    built = head(open_gates=True)
    losses = built.loss(feats(), batch_of(3, 2))
    assert set(losses) == {
        "loss_bottom_up_mask",
        "loss_top_down",
        "loss_dice",
        "loss_mask",
        "loss_reliability",
    }
    sum(losses.values()).backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in built.parameters())


def test_the_loss_of_reliabilities_trains_only_their_prediction() -> None:
    """A branch that is always wrong has the most predictable IoU, so this loss must not reach the branches."""
    built = head(open_gates=True).train()
    found = built.cooperate(feats(), batch_of(3, 2))
    built.integration.loss(found.reliability, torch.tensor([[0.2, 0.9], [0.4, 0.1]])).backward()
    assert {name.split(".")[0] for name, value in built.named_parameters() if value.grad is not None} == {"integration"}


def test_training_works_without_any_proposal() -> None:
    losses = head().loss(feats(), batch_of(0, 0))
    assert losses["loss_top_down"] == 0
    assert torch.stack(list(losses.values())).isfinite().all()


def test_top_down_loss_skips_samples_without_a_good_proposal() -> None:
    built, batch = head(), batch_of(3, 3)
    batch.samples[1].gt_map.zero_()
    batch.samples[1].gt_map[:, 80:] = 1  # no proposal is there
    found = built.cooperate(feats(), batch)
    masks = torch.stack([F.pad(sample.gt_map != 0, (0, 6, 0, 4)) for sample in batch.samples])
    expected = F.cross_entropy(found.scores[:1], torch.tensor([1]))
    torch.testing.assert_close(built.top_down.loss(found.scores, found.proposals, masks), expected)


def test_predictions_are_in_pixels_of_the_original_image() -> None:
    for sample in head().eval().predict(feats(), batch_of(3, 1)):
        maps = (sample.pred_map, sample.pred_bottom_up, sample.pred_top_down)
        assert {tuple(each.shape) for each in maps} == {(30, 45)}
        assert all(each.min() >= 0 and each.max() <= 1 for each in maps)
        assert sample.pred_reliability.shape == (2,)


@torch.no_grad()
def test_soft_choice_of_a_proposal() -> None:
    built, levels, batch = head(soft=True).eval(), feats(), batch_of(3, 2)
    found = built(levels, batch)
    shares = found["scores"].softmax(1)
    expected = (shares[:, :, None, None] * proposals_of(batch.samples, SIZE).masks).sum(1)
    torch.testing.assert_close(found["maps"][:, 1], expected)


def test_another_head_is_the_bottom_up_branch() -> None:
    built = head(bottom_up=dict(type="BinaryMapHead"))
    losses = built.loss(feats(), batch_of(2, 2))
    assert any(name.startswith("loss_bottom_up") for name in losses)
    with pytest.raises(ConfigError, match=r"one logit of the object.*found 8 channels"):
        head(bottom_up=dict(type="ConnectivityHead"))(feats(), batch_of(2, 2))


def test_masks_of_another_resolution_are_resized() -> None:
    batch = batch_of(2)
    batch.samples[0].proposals.masks = F.max_pool2d(batch.samples[0].proposals.masks, 2)
    proposals = proposals_of(batch.samples, SIZE)
    assert proposals.masks.shape == (1, 2, *SIZE)
    assert not proposals.masks[..., 60:, :].any()
    assert not proposals.masks[..., 90:].any()


@torch.no_grad()
def test_features_of_the_provider_replace_those_of_the_map() -> None:
    built, batch = head(top_down=dict(feature_channels=6)).eval(), batch_of(3, 0)
    for sample in batch.samples:
        sample.proposals.features = torch.randn(len(sample.proposals.boxes), 6)
    scores, others = (built(levels, batch)["scores"] for levels in (feats(), [0 * feat for feat in feats()]))
    assert torch.equal(scores, others)
    with pytest.raises(DataError, match=r"features of 6 channels for each proposal, found none"):
        built(feats(), batch_of(3, 0))


def test_wrong_settings_and_samples() -> None:
    with pytest.raises(ConfigError, match=r"a dict for result='mixture', found None"):
        head(integration=None)
    with pytest.raises(ConfigError, match=r"CFI: expected heads that divide 16 channels, found 3"):
        head(interaction=dict(heads=3))
    with pytest.raises(UnknownName, match="result of WiCoHead"):
        head(result="botom_up")
    batch = batch_of(2, 2)
    del batch.samples[1].proposals
    with pytest.raises(DataError, match=r"expected proposals, an InstanceData, found none"):
        head()(feats(), batch)
    batch = batch_of(2, 2)
    del batch.samples[0].proposals.masks
    with pytest.raises(DataError, match=r"proposals with boxes, masks, labels, found none with masks"):
        head()(feats(), batch)


# --------------------------------------------------------------------------- reliabilities


def test_loss_of_reliabilities_equals_the_formula() -> None:
    torch.manual_seed(0)
    mean, logvar, ious = torch.rand(3, 2), torch.randn(3, 2), torch.rand(3, 2)
    expected = sum(0.5 * ((-s).exp() * (i - m) ** 2 + s) for m, s, i in zip(mean.T, logvar.T, ious.T)).mean()
    torch.testing.assert_close(GSI((4, 4)).loss(Reliability(mean, logvar), ious), expected)


def test_draws_are_reproducible_and_equal_for_all_images() -> None:
    one = Reliability(torch.full((3, 2), 0.5), torch.zeros(3, 2))
    drawn = GSI((4, 4), n_samples=5, seed=1).eval()
    assert torch.equal(drawn.weights(one), drawn.weights(one))
    assert len(drawn.weights(one).unique(dim=0)) == 1
    assert not torch.equal(drawn.weights(one), GSI((4, 4), n_samples=5, seed=2).eval().weights(one))
    mean = GSI((4, 4)).eval()
    assert torch.equal(mean.weights(one), torch.full((3, 2), 0.5))
    training = GSI((4, 4)).train()
    torch.manual_seed(7)
    first = training.weights(one)
    assert not torch.equal(first, training.weights(one))
    torch.manual_seed(7)
    assert torch.equal(first, training.weights(one))


def test_a_mixture_beats_the_average_where_branches_are_right_in_turn() -> None:
    """The bottom-up branch is right on even samples, the top-down branch on odd ones."""
    torch.manual_seed(0)
    even, features = torch.arange(64) % 2 == 0, torch.randn(64, 12)
    features[:, 0] = torch.where(even, 1.0, -1.0) + 0.1 * torch.randn(64)
    truth = torch.zeros(64, 8, 8, dtype=torch.bool)
    truth[:, :4, :4] = True
    wrong = truth.flip(1, 2)
    right = torch.stack([even, ~even], 1)[:, :, None, None]
    maps = torch.where(right, truth[:, None], wrong[:, None]).float()
    ious = mask_ious(maps >= 0.5, truth[:, None])
    gsi = GSI((12, 12), width=32)
    optimiser = torch.optim.Adam(gsi.parameters(), 1e-3)
    for _ in range(300):
        optimiser.zero_grad()
        gsi.loss(gsi(features, features), ious).backward()
        optimiser.step()
    gsi.eval()
    with torch.no_grad():
        weights = gsi.weights(gsi(features, features))
    mixture = mask_ious((weights[:, :, None, None] * maps).sum(1) >= 0.5, truth).mean()
    average = mask_ious(maps.mean(1) >= 0.5, truth).mean()
    assert mixture >= average + 0.3


def test_batch_statistics_are_those_of_all_phrases() -> None:
    """Phrases run in groups only with running statistics, also if the head itself is in eval mode."""
    built, levels = LAVTHead(CHANNELS, STRIDES, "tiny"), feats(12)
    with torch.no_grad():
        expected = built.train()(levels)
        built.eval()
        for module in built.modules():
            module.train(isinstance(module, nn.BatchNorm2d))
        assert not built.training
        torch.testing.assert_close(built(levels), expected, rtol=0, atol=1e-6)


# --------------------------------------------------------------------------- whole model


class Words(nn.Module):
    """A text encoder: one state of five channels for each word, drawn from its letters."""

    def __init__(self) -> None:
        super().__init__()
        self.out_channels, self.out_strides = (5,), (1,)
        self.words = nn.Embedding(50, 5)

    def forward(self, phrases: list[str]) -> TextStates:
        rows = [torch.tensor([sum(map(ord, word)) % 50 for word in phrase.split()]) for phrase in phrases]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
        return TextStates(self.words(ids.clamp(min=0)), ids >= 0)


NESTED = dict(
    bottom_up=dict(type="LAVTHead", variant="tiny", loss=dict(kind="dice")),
    top_down=dict(num_labels=3),
    interaction=dict(type="CFI", to_objects=False),
    integration=dict(type="GSI", n_samples=4),
)


def test_a_whole_model_trains_and_predicts_several_phrases_of_an_image() -> None:
    torch.manual_seed(0)
    head_cfg = dict(type="WiCoHead", variant="tiny", **NESTED)
    backbone = dict(type="LAVTSwin", variant="tiny", drop_path_rate=0.0)
    model = build_model(dict(type="TaskModel", backbone=backbone, head=head_cfg, text_encoder=dict(type=Words)))
    listed = samples(3, 2)
    for sample, phrase in zip(listed, ("left red box", "the disc"), strict=True):
        sample.set_metainfo(dict(phrase=phrase))
    sum(model(torch.randn(2, 3, *SIZE), listed, mode="loss").values()).backward()
    assert model.text_encoder.words.weight.grad.abs().sum() > 0
    image = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        together = [each.pred_map for each in model.eval()(image, listed, mode="predict")]
        apart = [model(image, [sample], mode="predict")[0].pred_map for sample in listed]
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)


def test_the_parts_of_the_head_are_checked_in_a_config() -> None:
    def problems(**changes: object) -> list[str]:
        model = dict(type="TaskModel", backbone=dict(type="LAVTSwin", variant="tiny"))
        return check_config(dict(model=model | dict(head=dict(type="WiCoHead", **(NESTED | changes)))), ["model"])

    assert problems() == []
    assert "CFI has no argument" in problems(interaction=dict(type="CFI", to_pixel=True))[0]
