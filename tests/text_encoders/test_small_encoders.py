"""The encoders without pretrained weights: different words differ, and a phrase can be learned in few steps."""

import pytest
import torch
from torch import nn

from visionzoo.text_encoders.gru import GRUTextEncoder
from visionzoo.text_encoders.phrases import HashedEmbedding
from visionzoo.text_encoders.small_transformer import TinyTextEncoder


def test_word_pieces_have_different_vectors_in_a_small_table():
    with torch.no_grad():
        vectors = HashedEmbedding(1024, 4)(torch.arange(30522)[None])[0]
    assert len(vectors.unique(dim=0)) == 30522


def test_rows_are_evenly_used_and_always_the_same():
    embedding = HashedEmbedding(1024, 1)
    with torch.no_grad():
        for table in embedding.tables:
            table.weight.copy_(torch.arange(1024.0)[:, None])
        sums = embedding(torch.arange(30522)[None]).flatten()
    assert sums[[0, 101, 1996, 2187, 30521]].tolist() == [0, 670, 886, 1139, 1163]
    assert float(sums.mean()) == pytest.approx(1023, abs=5)


@pytest.mark.parametrize("cls", [GRUTextEncoder, TinyTextEncoder])
def test_colours_and_sides_are_learned(cls):
    """The last state of [CLS] must show the colour and the side that phrases of one form name."""
    torch.manual_seed(0)
    cases = [
        (f"the {colour} box on the {side}", c, s)
        for c, colour in enumerate(["red", "blue"])
        for s, side in enumerate(["left", "right"])
    ]
    encoder = cls("tiny")
    head = nn.Linear(*encoder.out_channels, 2)
    truth = torch.tensor([[c, s] for _, c, s in cases]).float()
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(40):
        logits = head(encoder([phrase for phrase, _, _ in cases]).states[:, 0])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_a_gru_computes_in_float32_under_autocast():
    encoder = GRUTextEncoder("tiny")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = encoder(["the left box"]).states
    assert half.dtype == torch.float32
    assert torch.equal(half, encoder(["the left box"]).states)
