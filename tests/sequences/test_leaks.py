"""No interaction at or after a cut reaches a prompt, a vector or a training batch."""

import gzip
import json
import random

import numpy as np
import pytest
import torch

from lecdsr.config.pair import Pair
from lecdsr.core.files import read_table
from lecdsr.core.schemas import INTERACTIONS, ITEMS, SECONDS_PER_DAY, TEST, TRAIN, USERS, VALID, WINDOWS
from lecdsr.data.batch import Gatherer, prefix_samples, sequence_samples
from lecdsr.data.profiles import Profiles, target_profiles
from lecdsr.data.sequences import from_tables
from lecdsr.prompts.questions import write_questions
from lecdsr.prompts.settings import Settings as Prompts
from lecdsr.sequences.build import build
from tests.sequences.test_build import settings

PAIR = Pair(name="small", domains=("Tea", "Cups"), release=2018, source="here")
FIRST_DAY = 10_000
SPLITS = ("leave_one_out", "ratio_windows", "temporal")


@pytest.fixture
def raw(tmp_path):
    """Give every interaction its own item, whose title names it, so that every leak is found."""
    chance, folder = random.Random(5), tmp_path / "raw"
    folder.mkdir()
    rows, titles = {"Tea": [], "Cups": []}, {"Tea": [], "Cups": []}
    for user in range(30):
        for place in range(chance.randrange(8, 30)):
            # The last ten users are of one domain; days are tied now and then.
            domain = "Tea" if user >= 20 else ("Tea", "Cups")[(user + place) % 2]
            asin, day = f"I{user:02}x{place:02}", FIRST_DAY + user % 7 + 3 * (place // 2)
            rows[domain].append(f"{asin},U{user:02},5.0,{day * SECONDS_PER_DAY}\n")
            titles[domain].append({"asin": asin, "title": f"only {asin} day {day}"})
    for domain in rows:
        chance.shuffle(rows[domain])
        (folder / f"{domain}.csv").write_text("".join(rows[domain]))
        with gzip.open(folder / f"meta_{domain}.json.gz", "wt") as file:
            file.writelines(json.dumps(line) + "\n" for line in titles[domain])
    return folder


class Made:
    """The tables of one build, and by a simple rule the rows at or after a cut."""

    def __init__(self, raw, folder, split, overlap):
        chosen = settings(split=split, overlap=overlap, min_history=2, min_user_total=5, min_window=3)
        self.facts = build(PAIR, chosen, raw, folder, folder / "rejected")
        schemas = {"items": ITEMS, "users": USERS, "interactions": INTERACTIONS, "windows": WINDOWS}
        for name, schema in schemas.items():
            setattr(self, name, read_table(folder / f"{name}.parquet", schema))
        self.split, self.overlap = split, overlap
        self.user, self.time = (self.interactions[name].to_numpy() for name in ("user", "time"))

    def forbidden(self):
        """List the rows that only evaluation may read."""
        if self.split == "temporal":
            part = self.interactions["split"].to_numpy()
            return self.time >= self.time[part != TRAIN].min()
        late = np.zeros(len(self.user), np.bool_)
        n_x, n_y = (self.users[name].to_numpy() for name in ("n_x", "n_y"))
        for user in range(len(self.users)):
            rows = np.flatnonzero(self.user == user)
            if self.overlap == "prefer" and min(n_x[user], n_y[user]) == 0:
                continue  # in training whole
            kept = len(rows) - 2 if self.split == "leave_one_out" else int(round(len(rows) * 0.8, 9) // 1)
            late[rows[kept:]] = True
        return late

    def questions(self, version):
        instruction = {"profile_instruction": "Describe.", "description_instruction": "Describe."}
        chosen = Prompts(
            profiles=True, descriptions=False, profile_versions=[version], history_length=50, model="m",
            version="v1", history_tokens=10_000, temperature=0.0, max_tokens=9, resample=0, **instruction,
        )  # fmt: skip
        return write_questions(self.items, self.users, self.interactions, PAIR.domains, chosen).table

    def leaks(self, windows=None):
        """List the forbidden items in prompts, in training batches, and in training counts."""
        item = self.interactions["item"].to_numpy()
        late = set(item[self.forbidden()].tolist())
        asin = self.items["asin"].to_pylist()
        found = set()
        for version in ("first_half", "training", 2):
            bodies = "\n".join(self.questions(version)["body"].to_pylist())
            found |= {("prompt", i) for i in late if asin[i] in bodies}
        for i in self._in_batches() & late:
            found.add(("batch", i))
        counts = self.items["train_count"].to_numpy()
        return found | {("count", i) for i in late if counts[i]}

    def profile_leaks(self):
        """List the profiles in batches that were written from the time of the target or later, and count all read."""
        profiles = self.profiles()
        time = dict(zip(self.interactions["item"].to_pylist(), self.time, strict=True))  # every item occurs once
        sequences = from_tables(self.interactions, self.windows, target_profiles(profiles, self.interactions))
        training, held_out = sequences.of_split(TRAIN), sequences.take(sequences.split != TRAIN)
        n_x = int((self.items["domain"].to_numpy() == 0).sum())
        gatherer = Gatherer(sequences, 50, n_x, len(self.items), torch.device("cpu"))
        many = gatherer.sequences(sequence_samples(training, 50))
        last = gatherer.histories(held_out.user, held_out.start, held_out.end - 1).profile.row[:, -1]
        pairs = zip(many.histories.profile.row.flatten().tolist(), many.targets.flatten().tolist(), strict=True)
        read = [*pairs, *zip(last.tolist(), held_out.target.tolist(), strict=True)]
        read = [(row, target) for row, target in read if target < len(self.items) and row != profiles.unknown]
        return [(row, target) for row, target in read if profiles.as_of[row] >= time[target]], len(read)

    def profiles(self):
        """A version of every user's profile as of each of their times, so that any later one read is found."""
        versions = np.unique(np.stack([self.user, self.time], axis=1).astype(np.int64), axis=0)
        whole, lists = torch.zeros(len(versions) + 1).long(), torch.zeros(len(versions) + 1, 2, 1).long()
        return Profiles(versions[:, 0], versions[:, 1], torch.zeros(1, 2), whole, lists)

    def _in_batches(self):
        """List every item in the tensors of training batches, as history or as target."""
        sequences = from_tables(self.interactions, self.windows)
        training = sequences.of_split(TRAIN)
        n_x = int((self.items["domain"].to_numpy() == 0).sum())
        gatherer = Gatherer(sequences, 50, n_x, len(self.items), torch.device("cpu"))
        one = gatherer.prefixes(prefix_samples(training))
        many = gatherer.sequences(sequence_samples(training, 50))
        tensors = (one.histories.sequence, one.target, many.histories.sequence, many.targets)
        return {item for tensor in tensors for item in tensor.flatten().tolist()} - {len(self.items)}


@pytest.mark.parametrize("overlap", ["only", "prefer", "all"])
@pytest.mark.parametrize("split", SPLITS)
def test_nothing_at_or_after_a_cut_is_seen(raw, tmp_path, split, overlap):
    made = Made(raw, tmp_path / "out", split, overlap)
    assert made.forbidden().any()
    assert made._in_batches()
    assert made.leaks() == set()
    assert made.facts["one_domain_share"] == (0 if overlap == "only" else pytest.approx(1 / 3))
    later = made.facts["training_later_than_test_share"]
    assert later == 0 if split == "temporal" else later > 0 or split == "ratio_windows"


@pytest.mark.parametrize("split", SPLITS)
def test_no_target_reads_a_profile_of_its_time_or_later(raw, tmp_path, split):
    made = Made(raw, tmp_path / "out", split, "only")
    leaks, read = made.profile_leaks()
    assert leaks == []
    assert read > 100


@pytest.mark.parametrize("split", SPLITS)
def test_a_profile_as_of_the_targets_time_is_seen(raw, tmp_path, split, monkeypatch):
    made, before = Made(raw, tmp_path / "out", split, "only"), Profiles.before
    monkeypatch.setattr(Profiles, "before", lambda self, user, time: before(self, user, time + 1))
    leaks, read = made.profile_leaks()
    assert len(leaks) > read / 2


@pytest.mark.parametrize("split", SPLITS)
def test_the_check_sees_a_leak(raw, tmp_path, split):
    made = Made(raw, tmp_path / "out", split, "only")
    part = made.interactions["split"].to_numpy().copy()
    part[part == VALID] = TRAIN
    place = made.interactions.schema.get_field_index("split")
    made.interactions = made.interactions.set_column(place, "split", [part])
    if split != "temporal":  # whose rule is read from the splits themselves
        assert {kind for kind, _ in made.leaks()} == {"prompt"}
    windows = made.windows["split"].to_numpy().copy()
    windows[windows == TEST] = TRAIN
    made.windows = made.windows.set_column(0, "split", [windows])
    assert "batch" in {kind for kind, _ in made.leaks()}
