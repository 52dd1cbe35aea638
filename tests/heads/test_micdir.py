"""MICDIR's head: the graph with and without ``compat``, both directions in one batch, losses of two scales."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from pairs_for_heads import model_of, pairs, predicted, samples_of

from visionzoo.engine.hooks import FiniteLossHook
from visionzoo.errors import RunFailed
from visionzoo.heads.micdir.graph import SelfConstructingGraph

SIZE = (32, 40)


def build(compat, variant="tiny", both=True, **options):
    encoder = "unetmss" if variant == "unetmss" else "tiny"
    backbone = dict(type="MICDIREncoder", variant=encoder, dims=2, both_directions=both)
    return model_of(backbone, dict(type="MICDIRHead", variant=variant, dims=2, compat=compat, **options))


def losses_of(model, images):
    return model(images, samples_of(images), mode="loss")


@pytest.mark.parametrize("compat", [True, False])
def test_both_directions_in_one_batch_equal_two_passes(compat):
    """In evaluation mode each loss of both directions is the sum of those of two models of one direction."""
    images = pairs(3, SIZE)[0]
    both, one = (build(compat, both=flag, consistency_weight=0.0).eval() for flag in (True, False))
    found, forth, back = losses_of(both, images), losses_of(one, images), losses_of(one, images.flip(1))
    assert (
        set(found)
        == set(forth)
        == {f"loss_{name}" for name in ("similarity", "smooth", "graph", "half_similarity", "half_smooth")}
    )
    for name, value in found.items():
        torch.testing.assert_close(value, forth[name] + back[name])


def test_consistency_of_both_directions():
    images = pairs(2, SIZE)[0]
    assert "loss_consistency" in losses_of(build(False), images)
    assert "loss_consistency" not in losses_of(build(True), images)
    assert "loss_consistency" not in losses_of(build(False, both=False), images)
    assert "loss_consistency" in losses_of(build(True, consistency_weight=1.0), images)


def test_pairs_depend_on_the_batch_only_with_compat():
    images = pairs(3, SIZE)[0]
    for compat in (True, False):
        model = build(compat, last="leaky").eval()
        whole, single = (predicted(model, each) for each in (images, images[:1]))
        assert torch.allclose(whole[0].pred_field, single[0].pred_field, atol=1e-6) != compat


def test_nodes_are_sampled_only_in_training():
    graph = SelfConstructingGraph(8, 4, 6, per_axis=4, dims=2, compat=True)
    pooled = torch.rand(2, 8, 4, 4)
    first, second = (graph.train().graph(pooled).nodes for _ in range(2))
    assert not torch.equal(first, second)
    found = graph.eval().graph(pooled)
    assert torch.equal(found.nodes, found.mean.reshape(2, 16, 4))


def test_nodes_are_cells_without_compat():
    pooled = torch.arange(2 * 3 * 4.0).reshape(2, 3, 2, 2)
    for compat in (True, False):
        graph = SelfConstructingGraph(3, 4, 6, per_axis=2, dims=2, compat=compat)
        nodes = graph._as_nodes(pooled)
        assert torch.equal(graph._as_map(nodes), pooled)
        assert torch.equal(nodes[0, 0], pooled[0, :, 0, 0]) != compat


def test_negative_degrees_give_no_nan_without_compat():
    """Nodes of opposite features have negative edges; their sum exceeds the node's own edge."""
    for compat in (True, False):
        graph = SelfConstructingGraph(8, 4, 6, per_axis=4, dims=2, compat=compat).eval()
        edges = torch.eye(16).expand(1, 16, 16) - 1.0
        assert graph._normalised(edges).isfinite().all() != compat
    graph.mu[0].weight.data.zero_(), graph.mu[0].bias.data.zero_()  # nodes without length
    latent, loss = graph(torch.rand(1, 8, 5, 7))
    assert latent.isfinite().all()
    assert loss.isfinite()


def test_a_channel_of_opposite_sign_makes_the_losses_nan_only_with_compat():
    """With ``compat`` a node is a part of one channel, so that 7 of 64 nodes are parallel and opposite to all others.

    Their degree is negative for entries above 0.2, and its root is NaN, as are all fields. The loss of the graph does
    not contain degrees, and a warp samples 0 at positions that are NaN, so only the losses of smoothness are NaN.
    """
    images = pairs(2, (16, 17, 18))[0]
    for compat in (True, False):
        backbone = dict(type="MICDIREncoder", variant="tiny", dims=3, both_directions=True)
        head = dict(type="MICDIRHead", variant="tiny", dims=3, graph_features=(9, 16), compat=compat)
        model = model_of(backbone, head).train()
        mean = model.head.latent_graph.mu[0]
        mean.weight.data.zero_(), mean.bias.data.fill_(4.0)
        mean.bias.data[0] = -4.0
        losses = losses_of(model, images)
        outputs = {"loss": sum(losses.values())} | losses
        if compat:
            with pytest.raises(RunFailed, match="found loss_smooth = nan, loss_half_smooth = nan for"):
                FiniteLossHook().after_train_iter(SimpleNamespace(iter=0), 0, None, outputs)
            assert losses["loss_graph"].isfinite()
        else:
            FiniteLossHook().after_train_iter(SimpleNamespace(iter=0), 0, None, outputs)
            outputs["loss"].backward()
            assert all(value.grad.isfinite().all() for value in model.parameters())


@pytest.mark.parametrize("compat", [True, False])
def test_unetmss_has_no_graph(compat):
    model, images = build(compat, "unetmss"), pairs(2, SIZE)[0]
    assert model.head.latent_graph is None
    losses = losses_of(model.train(), images)
    assert "loss_graph" not in losses
    sum(losses.values()).backward()
    assert all(value.grad is not None for value in model.parameters())
    velocity = model.head(model.extract_feat(images))["velocity"]
    assert model.head.last == ("tanh" if compat else "linear")
    assert velocity.abs().max() < 1


def test_the_first_fields_are_almost_zero_with_a_linear_last_layer():
    images = pairs(2, SIZE)[0]
    assert max(float(each.pred_field.abs().max()) for each in predicted(build(False), images)) < 1e-2
