"""What every model must do, whatever its settings; and what each of them promises besides."""

import itertools

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F

from lecdsr.base.errors import UserError
from lecdsr.base.files import read_json, write_json
from lecdsr.models.losses import alignment, hinge, softmax_by_domain
from lecdsr.models.popularity import Settings as PopularitySettings
from lecdsr.models.published import Published
from lecdsr.models.registry import MODELS, entry
from lecdsr.models.sasrec import SASRec, standardise
from lecdsr.models.saved import build, load, read_config, save
from lecdsr.models.text import MixtureOfExperts, control, mlp, project_distinct
from lecdsr.ranking.frame import Catalogue, Histories, Recommender
from lecdsr.ranking.histories import PrefixBatch
from lecdsr.ranking.negatives import Draws, draw_negatives
from tests.models.settings import sasrec_settings
from tests.models.zoo import (
    ALL,
    HISTORIES,
    N_X,
    N_Y,
    PADDING,
    PUBLISHED,
    SASREC,
    TRAINED,
    USERS,
    batch_of,
    make,
    settings_of,
    training_batch,
)
from tests.tiny import catalogue

every_model = pytest.mark.parametrize(("model", "variant"), ALL)
every_trained_model = pytest.mark.parametrize(("model", "variant"), TRAINED)
every_published = pytest.mark.parametrize("variant", PUBLISHED)
every_sasrec = pytest.mark.parametrize("variant", SASREC)


def generator(seed: int = 0) -> Draws:
    return Draws(seed)


def histories_for(model: Recommender) -> Histories:
    """All histories, with an empty one and a single item among them."""
    return batch_of([*HISTORIES, [], [7]], [0, 1, 2, 3, 0, 1], model.settings.history_length)


def row(histories: Histories, place: int) -> Histories:
    some = slice(place, place + 1)
    return Histories(histories.sequence[some], histories.position[some], histories.user[some])


def scores(network: Recommender, histories: Histories) -> torch.Tensor:
    keys, bias = network.keys()
    return (network.queries(histories) @ keys.T + bias).detach()


def perturb(network: Recommender, scale: float = 0.3) -> Recommender:
    """Weights of a trained size everywhere, so that a term that vanishes at the start is seen."""
    source = generator(99)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=source)
    return network


@every_model
def test_towers_have_the_shapes_that_ranking_wants(model, variant):
    network = make(model, variant)
    keys, bias = network.keys()
    queries = network.queries(histories_for(network))
    assert queries.shape == (6, keys.shape[1])
    assert keys.shape[0] == N_X + N_Y  # no key for padding
    assert bias.shape == (N_X + N_Y,)
    assert torch.isfinite(queries).all()
    assert torch.isfinite(scores(network, histories_for(network))).all()


@every_model
def test_a_batch_of_one_is_a_row_of_a_batch(model, variant):
    network = perturb(make(model, variant))
    histories = histories_for(network)
    whole = network.queries(histories)
    for place in range(len(whole)):
        torch.testing.assert_close(network.queries(row(histories, place)), whole[place : place + 1])


@every_trained_model
def test_losses_and_gradients_are_finite(model, variant):
    settings = settings_of(model, variant)
    for chosen in (None, [0]):
        network = make(model, variant).train()
        torch.manual_seed(0)
        loss, parts = network.loss(training_batch(network, settings, chosen), generator())
        loss.backward()
        assert torch.isfinite(loss)
        assert sum(parts.values()) == pytest.approx(loss.item(), rel=1e-5)
        gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        assert gradients
        assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


@every_published
def test_a_sample_without_history_trains(variant):
    network = make("published", variant).train()
    histories = batch_of([[], []], [0, 1], network.settings.history_length)
    loss, _ = network.loss(PrefixBatch(histories, torch.tensor([2, 9])), generator())
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())


# Over a history of one item the instance gate weighs nothing.
@pytest.mark.parametrize(("model", "variant"), [case for case in TRAINED if case != ("published", "length 1")])
def test_every_weight_learns(model, variant):
    settings = settings_of(model, variant)
    network = perturb(make(model, variant)).train()
    torch.manual_seed(0)
    loss, _ = network.loss(training_batch(network, settings), generator())
    loss.backward()
    idle = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    assert idle == set()


@every_trained_model
def test_padding_gets_no_gradient(model, variant):
    settings = settings_of(model, variant)
    network = perturb(make(model, variant)).train()
    loss, _ = network.loss(training_batch(network, settings), generator())
    loss.backward()
    gradient = network.item_embeddings.weight.grad
    assert gradient is not None
    assert not gradient[PADDING].any()


@every_trained_model
def test_same_seed_same_weights(model, variant):
    first, again, other = (make(model, variant, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@every_trained_model
def test_frozen_vectors_are_never_trained_nor_saved(model, variant, tmp_path):
    data = catalogue(N_X, N_Y, USERS)
    untouched = catalogue(N_X, N_Y, USERS)
    settings = settings_of(model, variant)
    network = build(model, settings, data, 0)
    before = {name: value.clone() for name, value in network.named_buffers()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        network.loss(training_batch(network, settings), generator())[0].backward()
        optimiser.step()
    for name, value in network.named_buffers():
        assert torch.equal(value, before[name])
    assert torch.equal(data.item_vectors, untouched.item_vectors)
    assert torch.equal(data.user_vectors, untouched.user_vectors)
    save(tmp_path, network, config_of(model, settings))
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == {name for name, _ in network.named_parameters()}


def config_of(model, settings, seed=0):
    sizes = {"n_x": N_X, "n_y": N_Y, "n_users": USERS}
    return {"model": model, "settings": settings.model_dump(), "seed": seed, **sizes}


@every_model
def test_a_saved_model_gives_the_same_scores(model, variant, tmp_path):
    settings, data = settings_of(model, variant), catalogue(N_X, N_Y, USERS)
    network = perturb(build(model, settings, data, 3)).eval()
    save(tmp_path, network, config_of(model, settings, 3))
    loaded = load(tmp_path, data)
    assert not loaded.training
    assert loaded.settings == settings
    assert torch.equal(scores(network, histories_for(network)), scores(loaded, histories_for(network)))
    assert not any(path.name.endswith(".tmp") for path in tmp_path.iterdir())


def test_a_control_is_the_same_after_loading(tmp_path):
    # Random and shuffled vectors are drawn from the seed in the config, not saved.
    settings, data = settings_of("published", "random text"), catalogue(N_X, N_Y, USERS)
    network = build("published", settings, data, 5)
    save(tmp_path, network, config_of("published", settings, 5))
    assert torch.equal(load(tmp_path, data).item_vectors, network.item_vectors)


@pytest.fixture
def saved(tmp_path):
    settings = settings_of("sasrec", "ids")
    save(tmp_path, make("sasrec", "ids"), config_of("sasrec", settings))
    return tmp_path


def refused(folder, data=None) -> UserError:
    with pytest.raises(UserError) as caught:
        load(folder, data or catalogue(N_X, N_Y, USERS))
    return caught.value


def test_a_broken_model_file(saved):
    path = saved / "model.safetensors"
    whole = path.read_bytes()
    for text in (b"", b"nothing of the kind", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(text)
        assert refused(saved).where == str(path)
    path.unlink()
    assert "missing" in str(refused(saved))


def test_weights_of_another_model(saved):
    config = read_json(saved / "config.json")
    config["settings"]["width"] = 16
    write_json(saved / "config.json", config)
    assert refused(saved).where == str(saved / "model.safetensors")


def test_another_catalogue(saved):
    error = refused(saved, catalogue(N_X + 1, N_Y, USERS))
    assert error.where == str(saved / "config.json")
    assert "n_x" in str(error)
    # The same number of items in all, so that every tensor would fit.
    assert "n_x" in str(refused(saved, catalogue(N_X + 1, N_Y - 1, USERS)))


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "nothing"},
        {"settings": {}},
        {"settings": {"width": "wide"}},
        {"settings": None},
        {"model": None},
        {"seed": None},
    ],
)
def test_a_broken_config(saved, changed):
    config = {key: value for key, value in {**read_json(saved / "config.json"), **changed}.items() if value is not None}
    write_json(saved / "config.json", config)
    error = refused(saved)
    assert error.where in (str(saved / "config.json"), "params.yaml: models")


def test_a_config_that_is_no_json(saved):
    (saved / "config.json").write_text("{")
    assert refused(saved).where == str(saved / "config.json")
    (saved / "config.json").unlink()
    assert refused(saved).where == str(saved / "config.json")


def test_unknown_model():
    with pytest.raises(UserError, match="no model 'sasrek'") as caught:
        entry("sasrek")
    assert all(name in str(caught.value) for name in MODELS)


# LeCDSR as published


@every_published
def test_score_is_query_times_key_plus_bias(variant):
    network = perturb(make("published", variant))
    assert isinstance(network, Published)
    histories = histories_for(network)
    candidates = torch.stack([torch.randperm(N_X + N_Y, generator=generator(i))[:7] for i in range(6)])
    expected = scores(network, histories).gather(1, candidates)
    torch.testing.assert_close(network.score(histories, candidates), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", [name for name, changed in PUBLISHED.items() if changed.get("mask_padding", True)])
def test_padding_rows_do_not_matter_where_padding_is_masked(variant):
    network = perturb(make("published", variant))
    histories = histories_for(network)
    before = network.queries(histories)
    with torch.no_grad():
        network.item_embeddings.weight[PADDING] = 17
        network.position_embeddings.weight[0] = -23
        if network.item_vectors is not None:
            network.item_vectors[PADDING] = 5
        network.W2.weight[PADDING], network.b2.weight[PADDING] = 3, 4
    assert torch.equal(network.queries(histories), before)


def test_padding_rows_matter_as_published():
    network = perturb(make("published", "as published"))
    histories = histories_for(network)
    before = network.queries(histories)
    with torch.no_grad():
        network.item_embeddings.weight[PADDING] = 17
    assert not torch.allclose(network.queries(histories), before)


def test_masked_alignment_leaves_padding_out():
    network = perturb(make("published", "masked"))
    histories, candidates = batch_of([[7, 2], [1]], [0, 1]), torch.tensor([[3, 4], [5, 0]])
    before = network.losses(histories, candidates)
    with torch.no_grad():
        network.item_embeddings.weight[PADDING] = 17
        network.item_vectors[PADDING] = 5
    after = network.losses(histories, candidates)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


@pytest.mark.parametrize("variant", ["masked", "no convolution", "no item text", "ids only", "even length"])
def test_masked_query_by_loop(variant):
    # The formulas of the model over the real positions alone; only the convolution sees zeros in place of padding.
    m = perturb(make("published", variant))
    length, row = m.settings.history_length, [7, 2, 9]
    histories = batch_of([row], [3], length)
    ids = m.item_embeddings.weight[row]
    user = m.user_embeddings
    u = m.adapter_user(m.user_vectors[3]) if user is None else user.weight[3]
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
    network = perturb(make("published", "masked"))
    histories = batch_of([[], []], [2, 3])
    profile = network.adapter_user(network.user_vectors[[2, 3]])
    torch.testing.assert_close(network.queries(histories), profile)


def test_the_order_of_the_history_matters():
    network = perturb(make("published", "no convolution"))
    a, b = network.queries(batch_of([[1, 2, 3], [3, 2, 1]], [0, 0]))
    assert not torch.allclose(a, b)


def test_padding_rows_start_at_zero():
    network = make("published", "ids only")
    assert not network.item_embeddings.weight[PADDING].any()
    assert not network.W2.weight[PADDING].any()
    assert not network.position_embeddings.weight[0].any()


def test_the_alignment_is_weighed():
    network = make("published", "masked")
    batch = training_batch(network, network.settings)
    loss, parts = network.loss(batch, generator())
    assert set(parts) == {"ranking", "alignment"}
    drawn = draw_negatives(batch.target, network.settings.negatives, N_X, N_Y, generator())
    terms = network.losses(batch.histories, torch.cat([batch.target.unsqueeze(1), drawn], 1))
    ranking, aligned = terms["ranking"].value(), terms["alignment"].times(1.0).value()
    torch.testing.assert_close(loss, ranking + network.settings.alignment * aligned)


@pytest.mark.parametrize("variant", ["masked", "no item text"])
def test_vectors_are_needed_where_settings_name_them(variant):
    data = Catalogue(N_X, N_Y, USERS, None, None, torch.zeros(N_X + N_Y))
    with pytest.raises(ValueError, match="needs vectors"):
        make("published", variant, data=data)
    assert torch.isfinite(scores(make("published", "ids only", data=data), batch_of([[1]], [0]))).all()


# SASRec


@every_sasrec
def test_sasrec_never_sees_the_future(variant):
    network = perturb(make("sasrec", variant))
    assert isinstance(network, SASRec)
    length = network.settings.history_length
    table = network.table()
    sequence = torch.tensor([[PADDING, 3, 7, 1, 9][-length:], [4, 8, 0, 6, 2][-length:]])
    states = network._states(sequence, table)
    for kept in range(length):
        changed = sequence.clone()
        changed[:, kept + 1 :] = (changed[:, kept + 1 :] + 1) % (N_X + N_Y)
        after = network._states(changed, table)
        assert torch.equal(after[:, : kept + 1], states[:, : kept + 1])
        assert not torch.equal(after[:, kept + 1 :], states[:, kept + 1 :]) or kept + 1 == length


@every_sasrec
def test_sasrec_sees_the_past(variant):
    network = perturb(make("sasrec", variant))
    length = network.settings.history_length
    sequence = torch.tensor([[4, 8, 0, 6, 2][-length:]])
    before = network.queries(Histories(sequence, sequence, torch.tensor([0])))
    for place in range(length):
        changed = sequence.clone()
        changed[0, place] = 1
        assert not torch.allclose(network.queries(Histories(changed, changed, torch.tensor([0]))), before)


@every_sasrec
def test_padding_rows_of_sasrec_do_not_matter(variant):
    network = perturb(make("sasrec", variant))
    histories = histories_for(network)
    before = network.queries(histories)
    with torch.no_grad():
        network.item_embeddings.weight[PADDING] = 17
    assert torch.equal(network.queries(histories), before)


@every_sasrec
def test_sasrec_loss_is_that_of_the_states_one_by_one(variant):
    network = perturb(make("sasrec", variant))
    batch = training_batch(network, network.settings)
    loss, _ = network.loss(batch, generator())
    states, (keys, bias) = network._states(batch.histories.sequence, network.table()), network.keys()
    assert not bias.any()
    losses = []
    for b, place in itertools.product(*(range(n) for n in batch.targets.shape)):
        target = int(batch.targets[b, place])
        if target != PADDING:
            domain = slice(0, N_X) if target < N_X else slice(N_X, None)
            logits = states[b, place] @ keys[domain].T
            losses.append(torch.logsumexp(logits, 0) - logits[target - (domain.start or 0)])
    torch.testing.assert_close(loss, torch.stack(losses).mean())


def test_text_enters_both_sides_of_sasrec():
    data = catalogue(N_X, N_Y, USERS)
    network = perturb(make("sasrec", "text", data=data))
    ids = network.item_embeddings.weight
    expected = ids + standardise(data.item_vectors) @ network.text_projection.weight.T
    torch.testing.assert_close(network.table(), expected)
    torch.testing.assert_close(network.keys()[0], expected[:PADDING])


def test_standardised_vectors():
    vectors = torch.randn(9, 4, generator=generator()) * torch.tensor([1, 5, 0.1, 0]) + 7
    vectors[[2, 8]] = 0
    scaled = standardise(vectors)
    known = [0, 1, 3, 4, 5, 6, 7]
    assert not scaled[[2, 8]].any()
    torch.testing.assert_close(scaled[known].mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled[known].std(0)[:3], torch.ones(3), atol=1e-4, rtol=0)
    assert torch.isfinite(scaled).all()  # the last dimension is constant


@pytest.mark.parametrize("known", [0, 1])
def test_too_few_vectors_to_standardise(known):
    vectors = torch.zeros(3, 4)
    vectors[:known] = 2
    assert torch.equal(standardise(vectors), vectors)


def test_heads_divide_the_width():
    with pytest.raises(ValueError, match="divides the width 8"):
        sasrec_settings(width=8, heads=3)


# Popularity


def test_popularity_scores_are_training_counts():
    data = Catalogue(N_X, N_Y, USERS, None, None, torch.arange(N_X + N_Y) ** 2)
    network = make("popularity", "counts", data=data)
    found = scores(network, histories_for(network))
    assert torch.equal(found, (torch.arange(N_X + N_Y) ** 2).float().expand(6, -1))


def test_popularity_has_nothing_to_train_and_nothing_to_set():
    assert list(make("popularity", "counts").parameters()) == []
    with pytest.raises(ValueError, match="extra"):
        PopularitySettings(width=3)
    with pytest.raises(TypeError, match="does not define a loss"):
        make("popularity", "counts").loss(None, generator())


# Parts


def test_control_none_and_vectors():
    vectors = torch.randn(5, 3, generator=generator())
    assert control(vectors, "none", 0) is None
    assert control(None, "none", 0) is None
    assert torch.equal(control(vectors, "vectors", 0), vectors)
    for mode in ("vectors", "random", "shuffled"):
        with pytest.raises(ValueError, match="needs vectors"):
            control(None, mode, 0)


@pytest.fixture
def vectors():
    rows = torch.randn(40, 6, generator=generator(4)) * torch.linspace(0.1, 9, 40).unsqueeze(1)
    rows[[3, 17, 39]] = 0
    return rows


def test_random_control_keeps_the_size_of_every_vector(vectors):
    before = vectors.clone()
    replaced = control(vectors, "random", 1)
    assert torch.equal(vectors, before)
    torch.testing.assert_close(replaced.norm(dim=1), vectors.norm(dim=1))
    assert not replaced[[3, 17, 39]].any()
    known = vectors.norm(dim=1) > 0
    assert (F.cosine_similarity(replaced[known], vectors[known]).abs() < 0.999).all()


def test_shuffled_control_permutes_the_known_vectors(vectors):
    before = vectors.clone()
    replaced = control(vectors, "shuffled", 1)
    assert torch.equal(vectors, before)
    assert not replaced[[3, 17, 39]].any()
    known = vectors.norm(dim=1) > 0
    assert sorted(replaced[known].tolist()) == sorted(vectors[known].tolist())
    assert (replaced[known] != vectors[known]).any(dim=1).sum() > 30


@pytest.mark.parametrize("mode", ["random", "shuffled"])
def test_controls_repeat(vectors, mode):
    assert torch.equal(control(vectors, mode, 1), control(vectors, mode, 1))
    assert not torch.equal(control(vectors, mode, 1), control(vectors, mode, 2))


@pytest.mark.parametrize("projection", [mlp(6, 7, 5), MixtureOfExperts(6, 5, 3, 0.2)], ids=["mlp", "moe"])
def test_projecting_distinct_rows_is_projecting_every_row(projection, vectors):
    projection.eval()
    for parameter in projection.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ids = torch.tensor([[0, 39, 39, 5], [5, 5, 0, 12]])
    found = project_distinct(projection, vectors, ids)
    torch.testing.assert_close(found, projection(vectors[ids]))
    assert torch.equal(found[0, 1], found[0, 2])
    torch.testing.assert_close(project_distinct(projection, vectors, ids[0]), projection(vectors[ids[0]]))


def test_mixture_of_experts_by_loop():
    moe = MixtureOfExperts(4, 3, 5, dropout=0.5).eval()
    for parameter in moe.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 4, generator=generator())
    for place in range(2):
        weights = torch.softmax(moe.gate.weight @ x[place], 0)
        expected = sum(weights[e] * ((x[place] - moe.bias[e]) @ moe.weight[e]) for e in range(5))
        torch.testing.assert_close(moe(x)[place], expected)


def test_mixture_of_experts_is_noisy_in_training_only():
    moe = MixtureOfExperts(4, 3, 5, dropout=0.0)
    x = torch.randn(2, 4, generator=generator())
    assert not torch.equal(moe(x), moe(x))
    moe.eval()
    assert torch.equal(moe(x), moe(x))


# Losses


def test_hinge_by_hand():
    target, negatives = torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 2.0, -9.0], [0.5, 3.0, -2.0]])
    # tau 2: terms 1 - 1/2, 1, 0 (far below); 1 + 1/4, 1 + 3/2, 0 (exactly one margin below).
    assert hinge(target, negatives, 2.0, "sum").item() == pytest.approx(0.5 + 1 + 0 + 1.25 + 2.5 + 0)
    assert hinge(target, negatives, 2.0, "mean").item() == pytest.approx(5.25 / 6)
    # tau 4: 3/4, 1, 0; 9/8, 7/4, 1/2.
    assert hinge(target, negatives, 4.0, "sum").item() == pytest.approx(0.75 + 1 + 1.125 + 1.75 + 0.5)


def slow_alignment(e, t, tau, mask):
    """½ [CE(Q, A) + CE(Q, Aᵀ)] averaged over the positions that count, twice."""
    total, count = 0.0, 0
    for b in range(len(e)):
        real = [i for i in range(e.shape[1]) if mask[b, i]]
        for i in real:
            similarity = torch.stack([(t[b, i] @ t[b, j] + e[b, i] @ e[b, j]) / (2 * tau) for j in real])
            q = similarity.exp() / similarity.exp().sum()
            forward = torch.stack([e[b, i] @ t[b, j] / tau for j in real])
            backward = torch.stack([e[b, j] @ t[b, i] / tau for j in real])
            for a in (forward, backward):
                total = total + 0.5 * -(q * (a - a.exp().sum().log())).sum()
            count += 1
    return 2 * total / max(count, 1)


@pytest.mark.parametrize("masked", [False, True])
def test_alignment_against_a_slow_loop(masked):
    source = generator(8)
    e, t = (torch.randn(3, 5, 4, generator=source, requires_grad=True) for _ in range(2))
    mask = torch.tensor([[False, False, True, True, True], [True] * 5, [False, False, False, False, True]])
    full = torch.ones_like(mask)
    found = alignment(e, t, 1.5, mask if masked else None)
    expected = slow_alignment(e, t, 1.5, mask if masked else full)
    torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(found, (e, t)), torch.autograd.grad(expected, (e, t))
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("weight", [1, 1000])
def test_alignment_of_a_single_position_has_finite_gradients(weight):
    # A last batch of one sample with one item of history is possible in the one-domain control.
    e, t = (torch.randn(1, 5, 4, generator=generator(), requires_grad=True) for _ in range(2))
    (weight * alignment(e, t, 1.0, torch.tensor([[False] * 4 + [True]]))).backward()
    assert torch.isfinite(e.grad).all()
    assert torch.isfinite(t.grad).all()


def test_alignment_of_nothing():
    e = torch.randn(2, 3, 4, generator=generator(), requires_grad=True)
    found = alignment(e, e * 2, 1.0, torch.zeros(2, 3, dtype=torch.bool))
    found.backward()
    assert found.item() == 0
    assert not e.grad.any()


def test_softmax_by_domain_against_a_loop():
    source = generator(2)
    queries = torch.randn(20, 6, generator=source, requires_grad=True)
    keys, bias = torch.randn(11, 6, generator=source, requires_grad=True), torch.randn(11, generator=source)
    target = torch.randint(11, (20,), generator=source)
    losses = []
    for query, item in zip(queries, target.tolist(), strict=True):
        domain, place = (slice(0, 6), item) if item < 6 else (slice(6, 11), item - 6)
        losses.append(F.cross_entropy((query @ keys[domain].T + bias[domain])[None], torch.tensor([place])))
    expected, found = torch.stack(losses).mean(), softmax_by_domain(queries, keys, bias, target, 6)
    torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(found, (queries, keys)), torch.autograd.grad(expected, (queries, keys))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("target", [[0, 1, 2], [6, 7, 10], []])
def test_softmax_of_one_domain_or_none(target):
    queries = torch.randn(len(target), 3, generator=generator(), requires_grad=True)
    found = softmax_by_domain(queries, torch.randn(11, 3), torch.zeros(11), torch.tensor(target, dtype=torch.long), 6)
    found.backward()
    assert torch.isfinite(found)


def test_read_config(saved):
    config, settings = read_config(saved)
    assert config["model"] == "sasrec"
    assert settings == settings_of("sasrec", "ids")
