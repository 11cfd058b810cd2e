"""Tandem reads profiles: with and without one, by domain, and alike wherever scores are computed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lecdsr.data.sequences import from_tables
from lecdsr.evaluate.ranks import rank, rank_targets
from lecdsr.models.saved import build
from lecdsr.recommend.batch import Options, batch_recommender
from lecdsr.recommend.export import export
from lecdsr.sequences.split import leave_one_out
from tests import tiny
from tests.models.settings import settings_for
from tests.models.zoo import HISTORIES, LENGTH, N_X, N_Y, USERS, batch_of, histories_for, make, perturb, scores
from tests.recommend.built import recommender_of
from tests.recommend.test_every_model import exported_scores

CPU = torch.device("cpu")
READING = ["default", "profile in the query only", "profile untrained", "profile whole"]
PROFILED, STRANGER = [0, 1, 2], 3


def without_profiles(network):
    """The same weights in a model of data without profiles."""
    data = replace(network.info, profiles=None)
    other = build("tandem", network.settings, data, 0).eval()
    weights = {name: value for name, value in network.state_dict().items() if not name.startswith("needs.")}
    other.load_state_dict(weights)
    return other


@pytest.mark.parametrize("variant", READING)
def test_a_user_without_a_profile_is_scored_as_without_profiles(variant):
    network = perturb(make("tandem", variant))
    histories = batch_of(HISTORIES, [0, 1, 2, STRANGER])
    found, expected = scores(network, histories), scores(without_profiles(network), histories)
    torch.testing.assert_close(found[STRANGER], expected[STRANGER])
    for user in PROFILED:
        assert not torch.allclose(found[user], expected[user], atol=1e-3)


@pytest.mark.parametrize("variant", READING)
def test_no_histories_with_profiles_is_no_profile_at_all(variant):
    network = perturb(make("tandem", variant))
    histories = replace(histories_for(network), profile=None)
    torch.testing.assert_close(scores(network, histories), scores(without_profiles(network), histories))


def test_data_without_a_single_profile_build_the_model_without():
    """Most data have no profiles: queries then do not depend on the domain, and nothing is trained for them."""
    known = tiny.info(N_X, N_Y, USERS)
    none = replace(known.profiles, user=np.zeros(0, np.int64), as_of=np.zeros(0, np.int64))
    none = replace(none, whole=known.profiles.whole[-1:], lists=known.profiles.lists[-1:])
    network = build("tandem", settings_for("tandem", width=8), replace(known, profiles=none), 0)
    assert network.rerank_term() is network.rerank_vectors() is None
    assert not network.queries_by_domain
    assert not [name for name, _ in network.named_parameters() if name.startswith("needs")]


@pytest.mark.parametrize("domain", [0, 1])
@pytest.mark.parametrize("variant", ["default", "profile in the query only", "profile untrained"])
def test_scores_of_a_domain_depend_on_its_own_list_alone(variant, domain):
    data = tiny.info(N_X, N_Y, USERS)
    lists = data.profiles.lists.clone()
    lists[:-1, domain] = lists[:-1, domain].flip(0)
    changed = replace(data, profiles=replace(data.profiles, lists=lists))
    before, after = (perturb(make("tandem", variant, data=one)) for one in (data, changed))
    histories = histories_for(before)
    found, other = scores(before, histories), scores(after, histories)
    kept, moved = (data.items_of(one) for one in (1 - domain, domain))
    assert torch.equal(found[:, kept], other[:, kept])
    assert not torch.allclose(found[:3, moved], other[:3, moved], atol=1e-3)


def test_the_age_of_a_profile_matters_in_the_query_alone():
    older = histories_for(make("tandem", "default"))
    older = replace(older, profile=older.profile._replace(age=older.profile.age + 7))
    for variant, same in (("default", False), ("profile untrained", True)):
        network = perturb(make("tandem", variant))
        assert torch.equal(scores(network, older), scores(network, histories_for(network))) == same


@pytest.mark.parametrize("variant", READING)
def test_all_ways_to_score_a_user_agree(variant, tmp_path):
    """Before their last item: ranking, one user, many users, and the exported files."""
    one = recommender_of("tandem", variant)
    user, time = (one.interactions[name].to_numpy() for name in ("user", "time"))
    profiles = one.info.profiles
    windows = leave_one_out(user, time, 1).windows
    built = from_tables(one.interactions, windows, tiny.target_profiles(profiles, one.interactions)).of_split(2)
    ranks = rank_targets(one.network, built, one.info, LENGTH, 3, CPU, exclude_history=False).full
    earlier = np.setdiff1d(np.arange(len(user)), built.target_row)
    one = replace(one, interactions=one.interactions.take(earlier))
    batch = batch_recommender(
        one.network, one.trained, one.info, one.interactions, Options(99, include_owned=True), CPU
    )
    (block,) = batch.blocks(np.arange(USERS))
    export(one, {}, tmp_path / "out")
    for window, (name, target) in enumerate(zip(built.user, built.target, strict=True)):
        domain = int(target >= N_X)
        items = one.info.items_of(domain)
        alone = one.scores(name, *one.history(name), domain)
        np.testing.assert_allclose(exported_scores(tmp_path / "out", name, domain), alone, rtol=1e-4, atol=1e-5)
        here = (block.place == name) & (block.domain == domain)
        together = block.score[here][np.argsort(block.item[here])]
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
        assert ranks[window] == rank(alone.unsqueeze(0), torch.tensor([target - items.start]))
    assert sorted(built.user) == list(range(USERS))


def test_a_list_that_expects_the_target_lifts_it():
    """The text of an item as the first phrase of a list: its score rises, and most of all items'."""
    data = tiny.info(N_X, N_Y, USERS)
    vectors = data.profiles.vectors.clone()
    vectors[data.profiles.lists[1, 0, 0]] = data.item_vectors[4]
    told = replace(data, profiles=replace(data.profiles, vectors=vectors))
    lists = [make("tandem", "default", data=one) for one in (data, told)]
    before, after = (scores(network, batch_of([[0, 6, 1]], [0]))[0, :N_X] for network in lists)
    assert int((after - before).argmax()) == 4
