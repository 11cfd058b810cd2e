"""The plain implementation is the published network: compared with the golden file and with the project's model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common.arithmetic import Counts, count, evaluation_flop, training_flop
from benchmarks.common.profiles import one_profile_each
from benchmarks.plain import shape
from benchmarks.plain.evaluation import ranks_of
from benchmarks.plain.lecdsr import Network, enliven, hinge
from benchmarks.plain.lists import Lists, recency, tensors
from benchmarks.plain.training import loss_of, train
from lecdsr.core.schemas import TEST, TRAIN
from lecdsr.data.batch import Gatherer, prefix_samples
from lecdsr.data.info import DatasetInfo
from lecdsr.data.sequences import Sequences
from lecdsr.evaluate.ranks import rank_targets
from lecdsr.models.lecdsr import LeCDSR
from tests.models.settings import lecdsr_settings
from tests.tiny import info, sequences

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "lecdsr_published.npz"
N_X, N_Y, USERS, LENGTH = 20, 30, 12, 6
CPU = torch.device("cpu")


@pytest.mark.skipif(not GOLDEN.exists(), reason=f"no golden file at {GOLDEN}")
def test_golden_file():
    with np.load(GOLDEN) as arrays:
        golden = {name: torch.from_numpy(arrays[name]) for name in arrays}

    def part(name: str) -> dict[str, Tensor]:
        return {key.removeprefix(name): value for key, value in golden.items() if key.startswith(name)}

    inputs, weights = part("inputs/"), part("full/weights/")
    del weights["user_embeddings.weight"]  # the published class keeps it even where it is not read
    network = Network(inputs["item_vectors"], inputs["user_vectors"], 16, 768, 15, masked=False)
    network.load_state_dict(weights)
    sequence, user = inputs["sequence"], inputs["user"][:, 0]
    scores = network(sequence, inputs["position"], user, inputs["candidates"])
    torch.testing.assert_close(scores, golden["full/scores"], atol=1e-5, rtol=0)
    ranking, aligned = hinge(scores, 9.0), network.alignment(sequence, 7.0)
    torch.testing.assert_close(ranking, golden["full/ranking_loss"], atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(aligned, golden["full/alignment_loss"], atol=1e-5, rtol=0)
    loss = ranking + 0.6 * aligned
    torch.testing.assert_close(loss, golden["full/loss"], atol=1e-5, rtol=1e-6)
    loss.backward()
    found = {name: weight.grad for name, weight in network.named_parameters()}
    expected = part("full/grads/")
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def data_of() -> DatasetInfo:
    """The data set with a profile for each user."""
    texts = torch.randn(USERS, 8, generator=torch.Generator().manual_seed(4))
    return replace(info(N_X, N_Y, USERS, 8), profiles=one_profile_each(texts))


def sequences_of() -> Sequences:
    return sequences(walks(), N_X, profiles=data_of().profiles)


def walks(seed: int = 0) -> list[list[int]]:
    """Draw histories shorter and longer than ``LENGTH``, without repeated items."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(N_X + N_Y)[: 4 + user].tolist() for user in range(USERS)]


def both(masked: bool) -> tuple[Network, LeCDSR]:
    """Build the plain network and the project's model with the same weights."""
    data = data_of()
    chosen = lecdsr_settings(width=16, hidden=32, history_length=LENGTH, mask_padding=masked)
    torch.manual_seed(1)
    users = data.profiles.vectors[data.profiles.whole]
    plain = Network(data.item_vectors, users, 16, 32, LENGTH, masked)
    enliven(plain, 2)
    product = LeCDSR(chosen, data, seed=0)
    product.load_state_dict(plain.state_dict())
    return plain, product


def training_lists(negatives: int = 7) -> Lists:
    built = sequences_of()
    return Lists(built.of_split(TRAIN), info(N_X, N_Y, USERS, 8), LENGTH, negatives, seed=0)


@pytest.mark.parametrize("masked", [False, True])
def test_loss_and_gradients_are_those_of_the_product(masked):
    plain, product = both(masked)
    samples = training_lists()
    batch = [torch.tensor(column) for column in zip(*samples.samples, strict=True)]
    built = sequences_of()
    gathered = Gatherer(built, LENGTH, N_X, N_X + N_Y, CPU).prefixes(prefix_samples(built.of_split(TRAIN)))
    # The lists hold what the product gathers.
    assert torch.equal(batch[0], gathered.histories.sequence)
    assert torch.equal(batch[1], gathered.histories.position)
    assert torch.equal(batch[2], gathered.histories.user)
    assert torch.equal(batch[3][:, 0], gathered.target)
    loss = loss_of(plain, tuple(batch), product.settings)
    loss.backward()
    total = torch.stack([term.value() for term in product.losses(gathered.histories, batch[3]).values()]).sum()
    total.backward()
    torch.testing.assert_close(loss, total, rtol=1e-4, atol=0)
    other = dict(product.named_parameters())
    for name, weight in plain.named_parameters():
        assert weight.grad.abs().max() > 0
        difference = (weight.grad - other[name].grad).abs().max() / other[name].grad.abs().max()
        assert difference < 1e-4, name


def test_a_batch_of_the_loader_is_the_lists():
    samples = training_lists()
    batch = next(iter(torch.utils.data.DataLoader(samples, batch_size=5)))
    for column, expected in zip(tensors(batch), zip(*samples.samples[:5], strict=True), strict=True):
        assert column.tolist() == list(expected)


def test_negatives_are_of_the_domain_and_never_the_target():
    samples = training_lists(negatives=200)
    for _, _, _, (target, *negatives) in samples.samples:
        assert len(negatives) == 200
        assert target not in negatives
        assert {item < N_X for item in negatives} == {target < N_X}
        assert len(set(negatives)) > 10


def test_recency_by_hand():
    assert recency([0, 25, 3, 26, 1], N_X) == [3, 2, 2, 1, 1]


def test_plain_training_learns():
    plain, product = both(masked=True)
    samples = training_lists()
    chosen = product.settings.model_copy(update={"batch_size": 8, "learning_rate": 0.01})
    batch = tuple(torch.tensor(column) for column in zip(*samples.samples, strict=True))
    before = loss_of(plain, batch, chosen).item()
    assert len(list(train(plain, samples, chosen))) == -(-len(samples) // 8)
    assert loss_of(plain, batch, chosen).item() < before


def test_plain_ranks_are_those_of_the_product():
    plain, product = both(masked=True)
    data = info(N_X, N_Y, USERS, 8)
    test = sequences_of().of_split(TEST)
    samples = Lists(test, data, LENGTH, 9, seed=3)
    negatives = [np.array(candidates[1:]) for *_, candidates in samples.samples]
    expected = rank_targets(product, test, data, LENGTH, 5, CPU, negatives=negatives).sampled
    assert np.array_equal(ranks_of(plain, samples, 5).numpy(), expected)
    assert len(set(expected)) > 3


def test_counts_by_hand():
    padding = 9
    sequence = torch.tensor([[9, 9, 1], [9, 1, 2], [3, 4, 1]])
    user = torch.tensor([0, 0, 5])
    assert count(sequence, user, padding, masked=True) == Counts(3, 4, 2, 6, 1 + 4 + 9)
    assert count(sequence, user, padding, masked=False) == Counts(3, 5, 2, 9, 27)


def test_necessary_arithmetic_is_what_is_done_where_nothing_repeats():
    # Distinct items and users, no padding: the plain network then wastes arithmetic on scores and positions alone.
    b, k, d, hidden, wide = 4, 7, 16, 32, 8
    plain, _ = both(masked=False)
    sequence, user = torch.arange(b * LENGTH).view(b, LENGTH), torch.arange(b)
    position = torch.arange(1, LENGTH + 1).expand(b, LENGTH)
    candidates = torch.randint(N_X + N_Y, (b, k), generator=torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as forward:
        scores = plain(sequence, position, user, candidates)
    with FlopCounterMode(display=False) as backward:
        scores.sum().backward()
    waste = 2 * b * k * d * (1 + LENGTH) + 2 * d * (b * LENGTH - LENGTH - 1)
    counts = count(sequence, user, N_X + N_Y, masked=False)
    sizes = (wide, hidden, d, LENGTH, k)
    assert evaluation_flop(counts, *sizes) + waste == forward.get_total_flops()
    both_ways = forward.get_total_flops() + backward.get_total_flops()
    assert training_flop(counts._replace(squares=0), *sizes) + 3 * waste == both_ways


def test_necessary_arithmetic_of_the_alignment():
    # A history of five items: three products forward; one of them has two gradients, two are of a matrix with itself.
    e, t = (torch.randn(1, 5, 16, requires_grad=True) for _ in range(2))
    with FlopCounterMode(display=False) as done:
        (e @ t.mT).sum().backward()
    sizes = (8, 32, 16, LENGTH, 7)
    counts = Counts(samples=1, items=5, users=1, positions=5, squares=25)
    necessary = training_flop(counts, *sizes) - training_flop(counts._replace(squares=0), *sizes)
    one = done.get_total_flops() / 3
    assert necessary == 3 * one + 2 * one + one + one


def test_synthetic_data_has_the_shape_of_food_kitchen():
    data = shape.load("synthetic", width=4)
    made = data.sequences
    assert len(prefix_samples(made.of_split(TRAIN))) == 144_972
    assert len(made.items) == 173_548
    assert data.info.n_users == len(made.of_split(TEST)) == 7_144
    assert data.info.train_counts.sum() == 173_548 - 2 * 7_144
    row = np.arange(len(made.items))
    user = np.repeat(made.user[made.split == TEST], np.diff(np.append(made.start[made.split == TEST], len(row))))
    assert len(np.unique(user * 30_000 + made.items)) == len(row)  # no user has an item twice
    torch.testing.assert_close(data.info.item_vectors[:-1].norm(dim=1), torch.ones(11_837 + 16_258))
    again = shape.load("synthetic", width=4)
    assert np.array_equal(made.items, again.sequences.items)
