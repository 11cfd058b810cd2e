"""The ABXI-style model against three encoders run one by one, and its adapters."""

import pytest
import torch
from torch.nn import functional as F

from lecdsr.models.abxi_style import MIXED, ABXIStyle, Adapters
from tests.models.settings import settings_for
from tests.models.zoo import (
    ABXI_STYLE,
    N_X,
    N_Y,
    PADDING,
    batch_of,
    draws,
    generator,
    make,
    perturb,
    scores,
    training_batch,
)

every_variant = pytest.mark.parametrize("variant", ABXI_STYLE)


def lora(adapters: Adapters, x, which: int):
    """``B A x`` of one adapter."""
    part = slice(which * adapters.rank, (which + 1) * adapters.rank)
    return x @ adapters.down.weight[part].T @ adapters.up.weight[:, part].T


def encode(m: ABXIStyle, items: list[int], columns: list[int], which: int):
    """States ``[n, d]`` of one sequence alone, without padding, its items numbered by their columns."""
    d, heads = m.settings.width, m.settings.heads
    x = m.item_embeddings.weight[items] * d**0.5 + m.position_embeddings.weight[columns]
    for block in m.blocks:
        q, k, v = block.qkv(block.attention_norm(x)).split(d, dim=1)
        attended = []
        for head in range(heads):
            part = slice(head * d // heads, (head + 1) * d // heads)
            logits = q[:, part] @ k[:, part].T / (d / heads) ** 0.5
            later = torch.ones(len(items), len(items), dtype=torch.bool).triu(1)
            attended.append(logits.masked_fill(later, float("-inf")).softmax(1) @ v[:, part])
        x = x + block.output(torch.cat(attended, dim=1))
        normed = block.feed_forward_norm(x)
        x = x + block.feed_forward(normed) + lora(block.adapters, normed, which)
    return m.norm(x)


def reference(m: ABXIStyle, sequence: torch.Tensor, place: int, domain: int):
    """State ``[d]`` for predicting an item of ``domain`` after the position ``place`` of ``sequence [L]``."""
    columns = [column for column in range(place + 1) if sequence[column] != PADDING]
    items = [int(sequence[column]) for column in columns]
    mixed = encode(m, items, columns, MIXED)[-1]
    own = [at for at, item in enumerate(items) if (item >= N_X) == bool(domain)]
    specific = torch.zeros(m.settings.width)
    if own:
        specific = encode(m, [items[at] for at in own], [columns[at] for at in own], domain)[-1]
    return m.output_norm(specific + m.projector(mixed) + lora(m.invariant_adapters, mixed, domain))


@every_variant
def test_queries_are_those_of_three_encoders(variant):
    m = perturb(make("abxi_style", variant))
    assert isinstance(m, ABXIStyle)
    histories = [[7, 2, 9, 1], [1, 2], [8], [0, 6, 1, 7, 2, 8, 3, 9]]
    batch = batch_of(histories, [0] * 4, m.settings.history_length)
    for row, sequence in zip(scores(m, batch), batch.sequence, strict=True):
        for domain, items in ((0, slice(0, N_X)), (1, slice(N_X, PADDING))):
            expected = m.item_embeddings.weight[items] @ reference(m, sequence, len(sequence) - 1, domain)
            torch.testing.assert_close(row[items], expected.detach(), atol=1e-4, rtol=1e-4)


@every_variant
def test_the_loss_is_that_of_every_prefix(variant):
    m = perturb(make("abxi_style", variant))
    batch = training_batch(m, m.settings)
    found, _ = m.loss(batch, draws())
    losses = []
    for sequence, targets in zip(batch.histories.sequence, batch.targets, strict=True):
        for place, target in enumerate(targets.tolist()):
            if target == PADDING:
                continue
            table = m.item_embeddings.weight
            state = reference(m, sequence, place, int(target >= N_X))
            logits = (table[:N_X] if target < N_X else table[N_X:PADDING]) @ state
            losses.append(F.cross_entropy(logits[None], torch.tensor([target if target < N_X else target - N_X])))
    torch.testing.assert_close(found, torch.stack(losses).mean(), atol=1e-5, rtol=1e-4)


def test_adapters_start_as_nothing():
    adapters = Adapters(8, 2, 3)
    x = torch.randn(2, 4, 8, generator=generator())
    assert not adapters(x, torch.zeros(2, 4, dtype=torch.long)).any()


def test_adapters_are_chosen_by_position():
    adapters = Adapters(8, 2, 3)
    torch.nn.init.normal_(adapters.up.weight)
    x = torch.randn(2, 3, 8, generator=generator())
    chosen = torch.tensor([[0, 1, 2], [2, 2, 0]])
    found = adapters(x, chosen)
    for b in range(2):
        for place in range(3):
            torch.testing.assert_close(found[b, place], lora(adapters, x[b, place], int(chosen[b, place])))


def test_an_item_of_one_domain_speaks_for_the_other_through_the_mixed_sequence():
    m = perturb(make("abxi_style", "ids"))
    one, other = (scores(m, batch_of([[2, item, 3]], [0]))[0] for item in (7, 8))
    assert not torch.allclose(one[:N_X], other[:N_X])
    assert one.shape == (N_X + N_Y,)


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match="divides the width 8"):
        settings_for("abxi_style", width=8, heads=3)
