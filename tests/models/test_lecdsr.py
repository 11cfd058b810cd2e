"""LeCDSR as published: masks, gates in loops, alignment, required inputs. Its golden file: test_golden.py."""

import pytest
import torch
from torch.nn import functional as F

from lecdsr.data.batch import PrefixBatch
from lecdsr.data.info import DatasetInfo
from lecdsr.data.negatives import draw_negatives
from lecdsr.models.lecdsr import LeCDSR
from tests.models.zoo import (
    N_X,
    N_Y,
    PADDING,
    USERS,
    batch_of,
    draws,
    generator,
    histories_for,
    make,
    perturb,
    scores,
    training_batch,
)

every_published = pytest.mark.parametrize("variant", LeCDSR.contract.variants)


@every_published
def test_a_sample_without_history_trains(variant):
    network = make("lecdsr", variant).train()
    histories = batch_of([[], []], [0, 1], network.settings.history_length)
    loss, _ = network.loss(PrefixBatch(histories, torch.tensor([2, 9])), draws())
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())


@every_published
def test_score_is_query_times_key_plus_bias(variant):
    network = perturb(make("lecdsr", variant))
    assert isinstance(network, LeCDSR)
    histories = histories_for(network)
    candidates = torch.stack([torch.randperm(N_X + N_Y, generator=generator(i))[:7] for i in range(6)])
    expected = scores(network, histories).gather(1, candidates)
    torch.testing.assert_close(network.score(histories, candidates), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "variant", [name for name, changed in LeCDSR.contract.variants.items() if changed.get("mask_padding", True)]
)
def test_padding_rows_do_not_matter_where_padding_is_masked(variant):
    network = perturb(make("lecdsr", variant))
    histories = histories_for(network)
    before = network.queries(histories)
    with torch.no_grad():
        network.item_embeddings.weight[PADDING] = 17
        network.position_embeddings.weight[0] = -23
        if network.item_vectors is not None:
            network.item_vectors[PADDING] = 5
        for table in (network.W2, network.b2):
            if table is not None:
                table.weight[PADDING] = 3
    assert torch.equal(network.queries(histories), before)


def test_padding_rows_matter_as_published():
    network = perturb(make("lecdsr", "as published"))
    histories = histories_for(network)
    before = network.queries(histories)
    with torch.no_grad():
        network.item_embeddings.weight[PADDING] = 17
    assert not torch.allclose(network.queries(histories), before)


def test_masked_alignment_leaves_padding_out():
    network = perturb(make("lecdsr", "masked"))
    histories, candidates = batch_of([[7, 2], [1]], [0, 1]), torch.tensor([[3, 4], [5, 0]])
    before = network.losses(histories, candidates)
    with torch.no_grad():
        network.item_embeddings.weight[PADDING] = 17
        network.item_vectors[PADDING] = 5
    after = network.losses(histories, candidates)
    assert set(before) == {"ranking", "alignment"}
    assert all(torch.equal(before[name].value(), after[name].value()) for name in before)


@pytest.mark.parametrize("variant", ["masked", "no convolution", "no item text", "ids only", "even length"])
def test_masked_query_by_loop(variant):
    # The formulas of the model over the real positions alone; only the convolution sees zeros in place of padding.
    m = perturb(make("lecdsr", variant))
    length, row = m.settings.history_length, [7, 2, 9]
    histories = batch_of([row], [1], length)  # whose latest profile is in row 3
    ids = m.item_embeddings.weight[row]
    user = m.user_embeddings
    u = m.adapter_user(m.profile_vectors[3]) if user is None else user.weight[1]
    text = None if m.adapter_text is None else m.adapter_text(m.item_vectors[row])
    h = ids
    if text is not None and m.settings.convolution:
        e, t = (F.pad(x, (0, 0, length - 3, 0)) for x in (ids, text))
        spectrum, weight = torch.fft.rfft(e, dim=0, norm="ortho"), torch.view_as_complex(m.complex_weight)[0]
        a = torch.fft.irfft(spectrum * weight, n=length, dim=0, norm="ortho")
        b = torch.fft.irfft(torch.fft.rfft(t, dim=0, norm="ortho") * spectrum, n=length, dim=0, norm="ortho")
        h = (a * torch.sigmoid(m.item_gating(a)) + b * torch.sigmoid(m.fusion_gating(b)))[-3:]
    total, weights = 0, 0
    for place in range(3):
        gate = m.feature_gate_item(h[place]) + m.feature_gate_user(u)
        if text is not None and not m.settings.convolution:
            gate = gate + m.feature_gate_item(text[place])
        f = h[place] * torch.sigmoid(gate)
        column = length - 3 + place
        position = m.position_embeddings.weight[histories.position[0, column]]
        s = f @ m.instance_gate_item[:, 0] + u @ m.instance_gate_user[:, column]
        s = torch.sigmoid(s + position @ m.instance_gate_position[:, 0])
        total, weights = total + s * f, weights + s
    torch.testing.assert_close(m.queries(histories)[0], u + total / weights + h.mean(dim=0))


def test_a_user_without_history_is_scored_by_his_profile():
    network = perturb(make("lecdsr", "masked"))
    histories = batch_of([[], []], [2, 3])
    profile = network.adapter_user(network.profile_vectors[[5, 6]])  # of user 2 the second; of user 3 there is none
    assert not network.profile_vectors[6].any()
    torch.testing.assert_close(network.queries(histories), profile)


def test_the_order_of_the_history_matters():
    network = perturb(make("lecdsr", "no convolution"))
    a, b = network.queries(batch_of([[1, 2, 3], [3, 2, 1]], [0, 0]))
    assert not torch.allclose(a, b)


def test_padding_rows_start_at_zero():
    network = make("lecdsr", "ids only")
    assert not network.item_embeddings.weight[PADDING].any()
    assert not network.W2.weight[PADDING].any()
    assert not network.position_embeddings.weight[0].any()


def test_the_alignment_is_weighed():
    network = make("lecdsr", "masked")
    batch = training_batch(network, network.settings)
    loss, parts = network.loss(batch, draws())
    assert set(parts) == {"ranking", "alignment"}
    drawn = draw_negatives(batch.target, network.settings.negatives, N_X, N_Y, draws())
    terms = network.losses(batch.histories, torch.cat([batch.target.unsqueeze(1), drawn], 1))
    ranking, aligned = terms["ranking"].value(), terms["alignment"].times(1.0).value()
    torch.testing.assert_close(loss, ranking + network.settings.alignment * aligned)


@pytest.mark.parametrize("variant", ["masked", "no item text"])
def test_vectors_are_needed_where_settings_name_them(variant):
    data = DatasetInfo(N_X, N_Y, USERS, None, None, torch.zeros(N_X + N_Y))
    with pytest.raises(ValueError, match="vectors"):
        make("lecdsr", variant, data=data)
    assert torch.isfinite(scores(make("lecdsr", "ids only", data=data), batch_of([[1]], [0]))).all()
