"""ABXI compared with three encoders run one by one; its alignment and loss by hand, and its adapters."""

import pytest
import torch
from torch.nn import functional as F

from lecdsr.data.batch import SequenceBatch
from lecdsr.models.abxi import ABXI, MIXED, Adapter, hidden_width
from tests.models.settings import settings_for
from tests.models.zoo import (
    HISTORIES,
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

every_variant = pytest.mark.parametrize("variant", ABXI.contract.variants)


def model(variant: str) -> ABXI:
    m = perturb(make("abxi", variant))
    assert isinstance(m, ABXI)
    return m


def is_y(item: int) -> int:
    return int(item >= N_X)


def swiglu(network, x):
    return (F.silu(x @ network.gate.weight.T) * (x @ network.up.weight.T)) @ network.down.weight.T


def lora(adapter: Adapter, x):
    return (adapter.up.weight @ adapter.down.weight) @ x


def encode(m: ABXI, items: list[int], total: int, which: int, seen: int):
    """Compute the state ``[d]`` of the last of ``items``, which start a sequence of ``total`` items without padding.

    If attention does not ignore padding, zero vectors in front make them ``seen`` vectors.
    """
    d = m.settings.width
    numbers = [total - place for place in range(len(items))]
    x = m.item_embeddings.weight[items] + m.position_embeddings.weight[numbers]
    if not m.settings.mask_padding:
        x = torch.cat([torch.zeros(seen - len(items), d), x])
    attention = torch.nn.MultiheadAttention(d, m.settings.heads, batch_first=True)
    weights = {"in_proj_weight": m.qkv.weight, "in_proj_bias": m.qkv.bias}
    weights |= {"out_proj.weight": m.output.weight, "out_proj.bias": m.output.bias}
    attention.load_state_dict(weights)
    x = m.attention_norm(x + attention(x[-1:], x, x)[0])[-1]  # the last of them may see all
    return m.encoder_norms[which](x + swiglu(m.feed_forward, x) + lora(m.domain_adapters[which], x))


def reference(m: ABXI, items: list[int], total: int, own: list[int], own_total: int, domain: int, seen: int):
    """Compute the state to predict an item of ``domain`` after ``items``, of which ``own`` are in that domain.

    ``seen`` is the number of positions up to there, padding included.
    """
    mixed = encode(m, items, total, MIXED, seen)
    specific = encode(m, own, own_total, domain, seen) if own else torch.zeros(m.settings.width)
    invariant = mixed + swiglu(m.invariant_projector, mixed) + lora(m.invariant_adapters[domain], mixed)
    specific = specific + swiglu(m.own_projectors[domain], specific)
    return m.invariant_norms[domain](invariant) + m.own_norms[domain](specific)


@every_variant
def test_queries_are_those_of_three_encoders(variant):
    m = model(variant)
    histories = [[7, 2, 9, 1], [1, 2], [8], [0, 6, 1, 7, 2, 8, 3, 9]]
    batch = batch_of(histories, [0] * 4, m.settings.history_length)
    for row, sequence in zip(scores(m, batch), batch.sequence.tolist(), strict=True):
        items = [item for item in sequence if item != PADDING]
        for domain, part in ((0, slice(0, N_X)), (1, slice(N_X, PADDING))):
            own = [item for item in items if is_y(item) == domain]
            state = reference(m, items, len(items), own, len(own), domain, len(sequence))
            expected = m.item_embeddings.weight[part] @ state
            torch.testing.assert_close(row[part], expected.detach(), atol=1e-4, rtol=1e-4)


def loss_by_hand(m: ABXI, batch: SequenceBatch, negatives: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Compute the loss of either domain with loops over sequences and positions."""
    table, losses = m.item_embeddings.weight, {"x": [], "y": []}
    for b, sequence in enumerate(batch.histories.sequence.tolist()):
        items = [item for item in sequence if item != PADDING]
        targets = batch.targets[b].tolist()[-len(items) :]
        for domain, name in enumerate("xy"):
            places = [at for at, target in enumerate(targets) if target != PADDING and is_y(target) == domain]
            found = []
            for at in places:
                own = [item for item in items[: at + 1] if is_y(item) == domain]
                # The domain's sequence is what its last target is predicted from.
                whole = [item for item in items[: places[-1] + 1] if is_y(item) == domain]
                place = len(sequence) - len(items) + at
                state = reference(m, items[: at + 1], len(items), own, len(whole), domain, place + 1)
                others = [item for item in range(PADDING) if is_y(item) == domain and item != targets[at]]
                if negatives is not None:
                    others = negatives[b, place].tolist()
                logits = table[[targets[at], *others]] @ state / m.settings.temperature
                found.append(logits.logsumexp(0) - logits[0])
            losses[name].append(torch.stack(found).mean() if found else torch.zeros(()))
    return {name: torch.stack(found).mean() for name, found in losses.items()}


@every_variant
def test_the_loss_is_that_of_plain_loops(variant):
    m = model(variant)
    batch = training_batch(m, m.settings)
    assert isinstance(batch, SequenceBatch)
    # A sequence without a target of one domain counts there all the same.
    assert {0} in [{is_y(target) for target in row if target != PADDING} for row in batch.targets.tolist()]
    negatives = None
    if m.settings.loss == "sampled_softmax":
        negatives = m._negatives(batch.histories.sequence, batch.targets, draws())
    expected = loss_by_hand(m, batch, negatives)
    found, parts = m.loss(batch, draws())
    torch.testing.assert_close(found, sum(expected.values()), atol=1e-5, rtol=1e-4)
    assert parts == pytest.approx({name: value.item() for name, value in expected.items()}, rel=1e-4)


def test_the_state_is_that_of_the_latest_item_of_the_targets_domain():
    m = model("ids")
    sequence = torch.tensor([[PADDING, 0, 6, 7, 1], [8, 9, 2, 3, 10]])
    assert m._latest(sequence, 0).tolist() == [[-1, 1, 1, 1, 4], [-1, -1, 2, 3, 3]]
    assert m._latest(sequence, 1).tolist() == [[-1, -1, 2, 3, 3], [0, 1, 1, 1, 4]]


@pytest.mark.parametrize(
    ("sequence", "targets", "numbers"),
    [
        # 7 is followed by no target of Y, so 6 is the latest of Y's sequence.
        ([0, 6, 7, 1], [6, 7, 1, 2], [2, 1, 0, 1]),
        ([0, 6, 7, 1], [6, 7, 1, 8], [1, 2, 1, 0]),
        # Targets that are left out of the loss leave the numbers.
        ([0, 6, 7, 1], [PADDING, PADDING, PADDING, 2], [2, 0, 0, 1]),
        ([PADDING, PADDING, 6, 1], [PADDING, PADDING, 1, 7], [0, 0, 1, 0]),
        ([0, 1, 2, 3], [1, 2, 3, 4], [4, 3, 2, 1]),
    ],
)
def test_items_are_numbered_from_the_latest_that_a_target_of_their_domain_follows(sequence, targets, numbers):
    m = model("ids")
    assert m._followed(torch.tensor([sequence]), torch.tensor([targets])).tolist() == [numbers]


def test_a_state_is_read_at_the_next_target_of_its_domain():
    m = model("ids")
    sequence = torch.tensor([[PADDING, 0, 6, 7, 1]])
    targets = torch.tensor([[PADDING, 6, 7, 1, 2]])
    # 0 is read for target 1 at position 4, and 6 for target 7 at position 3; 7 is read nowhere.
    assert m._read_at(sequence, targets)[0, 1:].tolist() == [4, 3, 5, 5]


def test_padding_in_attention_changes_the_scores_of_short_histories_only():
    masked, unmasked = model("ids"), model("padding in attention")
    unmasked.load_state_dict(masked.state_dict())
    length = masked.settings.history_length
    whole = batch_of([list(range(length))], [0], length)  # items of X alone
    short = batch_of([[0, 1]], [0], length)
    same = scores(masked, whole)[0, :N_X], scores(unmasked, whole)[0, :N_X]
    torch.testing.assert_close(*same, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(scores(masked, short), scores(unmasked, short), atol=1e-3)


def test_a_fresh_model_is_one_without_adapters():
    m = make("abxi", "ids")
    histories = batch_of(HISTORIES, [0, 1, 2, 3])
    fresh = scores(m, histories)
    adapters = [module for module in m.modules() if isinstance(module, Adapter)]
    assert len(adapters) == 5
    for adapter in adapters:
        x = torch.randn(2, m.settings.width, generator=generator())
        assert not adapter(x).any()
        torch.nn.init.zeros_(adapter.up.weight)
    assert torch.equal(scores(m, histories), fresh)


@pytest.mark.parametrize("which", range(3))
def test_each_encoder_adapter_speaks_in_its_own_sequence(which):
    m = model("ids")
    histories = batch_of([[2, 7, 3]], [0])
    before = scores(m, histories)[0]
    torch.nn.init.normal_(m.domain_adapters[which].up.weight)
    changed = ~torch.isclose(scores(m, histories)[0], before)
    assert changed[:N_X].any() == (which in (0, MIXED))
    assert changed[N_X:].any() == (which in (1, MIXED))


def test_an_item_of_one_domain_speaks_for_the_other_through_the_mixed_sequence():
    m = model("ids")
    one, other = (scores(m, batch_of([[2, item, 3]], [0]))[0] for item in (7, 8))
    assert not torch.allclose(one[:N_X], other[:N_X])
    assert one.shape == (N_X + N_Y,)


def test_negatives_are_of_both_domains_and_none_of_the_sequence():
    m = model("sampled softmax")
    sequence = torch.tensor([[PADDING, 0, 6, 7, 1], [8, 9, 2, 3, 10]])
    targets = torch.tensor([[PADDING, 6, 7, 1, 2], [9, 2, 3, 10, 4]])
    k = m.settings.negatives
    drawn = m._negatives(sequence, targets, draws())
    assert drawn.shape == (2, 5, 2 * k)
    assert (drawn[..., :k] < N_X).all()
    assert ((drawn[..., k:] >= N_X) & (drawn[..., k:] < PADDING)).all()
    for row, seen, wanted in zip(drawn, sequence, targets, strict=True):
        assert not torch.isin(row, torch.cat([seen, wanted])).float().mean() > 0.2  # redrawn three times
        assert len(row.unique(dim=0)) == 5  # drawn separately for every position


@pytest.mark.parametrize(("width", "hidden"), [(256, 680), (64, 168), (8, 16), (1, 8)])
def test_hidden_width(width, hidden):
    assert hidden_width(width) == hidden


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match=r"heads .* width 8, got 3"):
        settings_for("abxi", width=8, heads=3)
