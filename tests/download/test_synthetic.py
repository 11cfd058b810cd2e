"""The synthetic dataset: reproducible bytes, the layout of real files, and patterns that can be learned."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest

from lecdsr.core.schemas import SECONDS_PER_DAY
from lecdsr.download.synthetic import Settings, generate
from lecdsr.download.synthetic.events import FIRST_DAY, LAST_DAY, SHORTEST, SHORTEST_DOMAIN, Interactions
from lecdsr.download.synthetic.events import interaction_chunks as chunks
from lecdsr.download.synthetic.ids import item_ids, reviewer_ids
from lecdsr.download.synthetic.words import BRANDS, FACETS, STYLES, THEMES, VARIANTS, brand_names
from lecdsr.download.synthetic.world import World, make_world

DOMAINS = ("Pantry", "Cookware")
BAD_LINES = 5


def settings(**changed: Any) -> Settings:
    values = {"seed": 7, "users": 1200, "items_x": 900, "items_y": 800, "interactions_per_user": 24}
    return Settings.model_validate({**values, "bad_lines": BAD_LINES, **changed})


def small(**changed: Any) -> Settings:
    return settings(**{"users": 40, "items_x": 60, "items_y": 50, **changed})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw")
    generate(path, DOMAINS, settings())
    return path


def rating_rows(folder: Path, domain: str) -> tuple[list[list[str]], list[list[str]]]:
    """Return valid and malformed rows of a ratings file."""
    good: list[list[str]] = []
    bad: list[list[str]] = []
    for row in csv.reader((folder / f"{domain}.csv").open(encoding="utf-8", newline="")):
        fine = len(row) == 4 and row[2].replace(".", "").isdigit() and row[3].isdigit()
        (good if fine else bad).append(row)
    return good, bad


def metadata_rows(folder: Path, domain: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the objects of a metadata file, and its malformed lines."""
    good, bad = [], []
    with gzip.open(folder / f"meta_{domain}.json.gz", "rt", encoding="utf-8") as file:
        for line in file:
            try:
                good.append(json.loads(line))
            except json.JSONDecodeError:
                bad.append(line)
    return good, bad


def all_interactions(wanted: Settings) -> tuple[World, Interactions]:
    world = make_world(wanted)
    return world, Interactions.concatenate(list(chunks(world, wanted)))


def codes(world: World, events: Interactions, name: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Return theme, style or facet of items, ``[R]``."""
    code = np.empty(len(events.item), dtype=np.int64)
    for domain, domain_items in enumerate(world.domains):
        rows = events.domain == domain
        code[rows] = getattr(domain_items, name)[events.item[rows]]
    return code


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Bytes


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 7), ("again", 7), ("other", 8)):
        generate(tmp_path / name, DOMAINS, small(seed=seed))
    one, again, other = (contents(tmp_path / name) for name in ("one", "again", "other"))
    assert sorted(one) == ["Cookware.csv", "Pantry.csv", "meta_Cookware.json.gz", "meta_Pantry.json.gz"]
    assert one == again
    assert all(one[name] != other[name] for name in one)


def test_chunks_and_batches_do_not_show_in_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(tmp_path / "whole", DOMAINS, small())
    monkeypatch.setattr("lecdsr.download.synthetic.write.BATCH", 97)
    generate(tmp_path / "pieces", DOMAINS, small())
    assert contents(tmp_path / "whole") == contents(tmp_path / "pieces")


def test_users_and_items_of_many_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lecdsr.download.synthetic.events.CHUNK_ROWS", 150)
    monkeypatch.setattr("lecdsr.download.synthetic.write.PART", 7)
    monkeypatch.setattr("lecdsr.download.synthetic.metadata.PART", 7)
    generate(tmp_path, DOMAINS, small())
    for domain, items in zip(DOMAINS, (60, 50), strict=True):
        ratings, bad_ratings = rating_rows(tmp_path, domain)
        metadata, bad_metadata = metadata_rows(tmp_path, domain)
        assert len({row[1] for row in ratings}) == 40
        assert 0.85 * items <= len({one["asin"] for one in metadata}) <= items
        assert len(bad_ratings) == len(bad_metadata) == BAD_LINES


# Layout


@pytest.mark.parametrize("domain", DOMAINS)
def test_ratings_have_the_layout_of_2018(folder: Path, domain: str) -> None:
    rows, _ = rating_rows(folder, domain)
    asins, reviewers, ratings, times = zip(*rows, strict=True)
    assert list(asins) == sorted(asins)
    assert all(len(asin) == 10 and asin.startswith("B0") and asin.isalnum() for asin in asins)
    assert all(len(one) == 14 and one.startswith("A") and one.isalnum() for one in reviewers)
    assert set(ratings) == {"1.0", "2.0", "3.0", "4.0", "5.0"}
    seconds = np.array(times, dtype=np.int64)
    assert not (seconds % SECONDS_PER_DAY).any()
    days = seconds // SECONDS_PER_DAY
    assert FIRST_DAY <= days.min() < FIRST_DAY + 200
    assert LAST_DAY - 200 < days.max() <= LAST_DAY


@pytest.mark.parametrize("domain", DOMAINS)
def test_metadata_has_the_fields_and_the_odd_types_of_2018(folder: Path, domain: str) -> None:
    rows, _ = metadata_rows(folder, domain)
    assert all(isinstance(row["category"], list) and row["category"][0] == domain for row in rows)
    types = {name: Counter(type(row.get(name)).__name__ for row in rows) for name in rows[0]}
    assert set(types["asin"]) == {"str"}
    assert set(types["title"]) == {"str", "NoneType"}
    assert set(types["description"]) == {"list", "str", "NoneType"}
    assert set(types["brand"]) == {"str", "NoneType"}
    assert set(types["rank"]) == {"list", "str"}
    assert set(types["price"]) == {"str", "float"}
    assert set(types["also_buy"]) == {"list"}


def test_sizes_are_those_asked_for(folder: Path) -> None:
    ratings = {domain: rating_rows(folder, domain)[0] for domain in DOMAINS}
    reviewers = [{row[1] for row in rows} for rows in ratings.values()]
    assert len(reviewers[0]) == len(reviewers[1]) == len(reviewers[0] | reviewers[1]) == 1200
    for domain, items in zip(DOMAINS, (900, 800), strict=True):
        asins = {row[0] for row in ratings[domain]} | {row["asin"] for row in metadata_rows(folder, domain)[0]}
        assert 0.99 * items <= len(asins) <= items
    assert sum(map(len, ratings.values())) / 1200 == pytest.approx(24, rel=0.1)


def test_any_domain_names_work(tmp_path: Path) -> None:
    generate(tmp_path, ("Home_&_Garden", "Zoo-1"), small())
    rows, _ = metadata_rows(tmp_path, "Home_&_Garden")
    assert {row["category"][0] for row in rows} == {"Home &amp; Garden"}
    assert (tmp_path / "Zoo-1.csv").exists()


def test_ids_are_unique_and_apart() -> None:
    wanted = settings(users=50_000, items_x=20_000, items_y=10_000)
    x, y = (item_ids(wanted, domain).to_pylist() for domain in (0, 1))
    assert len(set(x) | set(y)) == 30_000
    reviewers = reviewer_ids(wanted).to_pylist()
    assert len(set(reviewers)) == 50_000
    assert reviewers != sorted(reviewers)


# Oddities


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_file_has_the_malformed_lines_asked_for(folder: Path, domain: str) -> None:
    _, bad_ratings = rating_rows(folder, domain)
    _, bad_metadata = metadata_rows(folder, domain)
    assert [len(row) for row in bad_ratings] == [2, 4, 4, 0, 2]
    assert bad_ratings[1][2] == "five"
    assert bad_ratings[2][3] == "yesterday"
    assert len(bad_metadata) == BAD_LINES
    assert all(line.startswith("{") for line in bad_metadata)


def test_no_malformed_lines_where_none_are_asked_for(tmp_path: Path) -> None:
    generate(tmp_path, DOMAINS, small(bad_lines=0))
    for domain in DOMAINS:
        assert not rating_rows(tmp_path, domain)[1]
        assert not metadata_rows(tmp_path, domain)[1]


@pytest.mark.parametrize("domain", DOMAINS)
def test_titles_and_descriptions_are_as_dirty_as_real_ones(folder: Path, domain: str) -> None:
    rows, _ = metadata_rows(folder, domain)
    titles = [row.get("title") for row in rows]
    n = len(rows)
    assert 0.003 * n < sum(title is None for title in titles) < 0.05 * n
    assert 0.003 * n < sum(title == "" for title in titles) < 0.06 * n
    known = [title for title in titles if title]
    assert 0.005 * n < sum("<b>" in title for title in known) < 0.05 * n
    assert 0.1 * n < sum("&amp;" in title or "&quot;" in title or "&#39;" in title for title in known) < 0.6 * n
    assert sum('"' in title for title in known) > 0
    assert 0.03 * n < sum(not title.isascii() for title in known) < 0.3 * n
    assert 0.03 * n < sum(not row.get("description") for row in rows) < 0.12 * n
    assert 0.02 * n < sum("<br />" in str(row.get("description")) for row in rows) < 0.1 * n
    assert 0.02 * n < sum(not row.get("brand") for row in rows) < 0.12 * n


def test_some_items_have_two_lines_and_some_have_none(folder: Path) -> None:
    fates = Counter[str]()
    for domain in DOMAINS:
        first: dict[str, dict[str, Any]] = {}
        for row in metadata_rows(folder, domain)[0]:
            if row["asin"] not in first:
                first[row["asin"]] = row
            else:
                assert first[row["asin"]]["title"]
                fates["same" if row == first[row["asin"]] else "other" if row["title"] else "empty"] += 1
        fates["none"] += len({row[0] for row in rating_rows(folder, domain)[0]} - set(first))
    assert set(fates) == {"same", "other", "empty", "none"}
    assert 0.01 * 1700 < fates["none"] < 0.04 * 1700
    assert 0.01 * 1700 < fates["same"] + fates["other"] + fates["empty"] < 0.05 * 1700


@pytest.mark.parametrize("domain", DOMAINS)
def test_some_ratings_stand_twice(folder: Path, domain: str) -> None:
    rows = [tuple(row) for row in rating_rows(folder, domain)[0]]
    assert 0.004 * len(rows) < len(rows) - len(set(rows)) < 0.02 * len(rows)


# Something to learn


def test_every_user_has_enough_in_both_domains_and_lengths_are_skewed() -> None:
    _, events = all_interactions(settings())
    total = np.bincount(events.user, minlength=1200)
    in_x = np.bincount(events.user, weights=events.domain == 0, minlength=1200)
    assert total.min() >= SHORTEST
    assert min(in_x.min(), (total - in_x).min()) >= SHORTEST_DOMAIN
    assert np.median(total) < 0.85 * total.mean()
    assert total.max() > 4 * total.mean()


def test_a_mean_below_the_shortest_length_shortens_it() -> None:
    _, events = all_interactions(settings(interactions_per_user=7))
    total = np.bincount(events.user)
    assert total.min() == total.max() == 7


def test_sessions_join_the_domains() -> None:
    world, events = all_interactions(settings())
    theme, style = codes(world, events, "theme"), codes(world, events, "style")
    across = (events.user[1:] == events.user[:-1]) & (events.domain[1:] != events.domain[:-1])
    assert across.mean() > 0.35
    shuffled = np.random.default_rng(0).permutation(len(theme))
    for code, factor in ((theme, 5), (style, 1.8)):
        agree = (code[1:] == code[:-1])[across].mean()
        chance = (code == code[shuffled]).mean()
        assert agree > factor * chance
    # What came last, in the other domain, tells more than what came two steps of the own domain ago.
    own = np.lexsort((np.arange(len(theme)), events.domain, events.user))
    same = (events.user[own][2:] == events.user[own][:-2]) & (events.domain[own][2:] == events.domain[own][:-2])
    assert (theme[1:] == theme[:-1])[across].mean() > 1.3 * (theme[own][2:] == theme[own][:-2])[same].mean()


def test_taste_belongs_to_the_user_and_drifts() -> None:
    world, events = all_interactions(settings(interactions_per_user=60))
    theme = codes(world, events, "theme")
    rng = np.random.default_rng(0)
    place = np.arange(len(theme)) - np.searchsorted(events.user, events.user)
    early = [theme[(events.user == user) & (place < 10)] for user in range(300)]
    soon = [theme[(events.user == user) & (place >= 15) & (place < 25)] for user in range(300)]
    late = [theme[events.user == user][-10:] for user in range(300)]

    def overlap(ones: list[Any], others: list[Any]) -> float:
        return float(np.mean([(a[:, None] == b[None]).mean() for a, b in zip(ones, others, strict=True) if len(b)]))

    strangers = overlap(early, [early[user] for user in rng.permutation(300)])
    assert overlap(early, late) > 1.5 * strangers
    assert overlap(early, soon) > overlap(early, late)


def test_items_have_a_long_tail_and_a_head() -> None:
    _, events = all_interactions(settings())
    for domain, items in enumerate((900, 800)):
        count = np.sort(np.bincount(events.item[events.domain == domain], minlength=items))
        assert 0.05 < (count < 5).mean() < 0.4
        assert ((count >= 5) & (count < 20)).mean() > 0.3
        assert count[-items // 10 :].sum() > 0.25 * count.sum()


def test_repeats_are_rare_and_days_are_shared() -> None:
    _, events = all_interactions(settings())
    key = (events.user.astype(np.int64) * 2 + events.domain) * 1000 + events.item
    assert 1 - len(np.unique(key)) / len(key) < 0.01
    together = events.user[1:] == events.user[:-1]
    step = np.diff(events.day.astype(np.int64))[together]
    assert step.min() == 0
    assert 0.3 < (step == 0).mean() < 0.6


def test_neighbouring_nouns_follow_each_other() -> None:
    world, events = all_interactions(settings())
    theme, facet = codes(world, events, "theme"), codes(world, events, "facet")
    on = (events.user[1:] == events.user[:-1]) & (theme[1:] == theme[:-1])
    ahead = ((facet[1:] - facet[:-1]) % FACETS)[on]
    assert np.isin(ahead, (0, 1)).mean() > 1.3 * 2 / FACETS


def test_titles_tell_theme_and_style_in_words_of_the_domain(folder: Path) -> None:
    world = make_world(settings())
    for number, domain in enumerate(DOMAINS):
        domain_items = world.domains[number]
        place = {asin: item for item, asin in enumerate(item_ids(settings(), number).to_pylist())}
        told = []
        for row in metadata_rows(folder, domain)[0]:
            item = place[row["asin"]]
            title = (row.get("title") or "").replace("&amp;", "&").replace("&#39;", "'")
            theme, style = THEMES[domain_items.theme[item]], STYLES[domain_items.style[item]]
            told.append([any(word in title for word in one.words[number]) for one in (theme, style)])
        assert np.mean(told, axis=0).min() > 0.8


# Vocabulary and settings


def test_vocabulary_has_the_shape_that_the_generator_counts_on() -> None:
    assert len(set(brand_names())) == BRANDS
    assert BRANDS % (len(THEMES) * len(STYLES)) == 0
    assert all(len(nouns) == FACETS for theme in THEMES for nouns in theme.nouns)
    assert all(theme.words[0] != theme.words[1] for theme in THEMES)
    assert all(not set(theme.nouns[0]) & set(theme.nouns[1]) for theme in THEMES)
    assert len(VARIANTS) == 2


@pytest.mark.parametrize(
    "changed",
    [{"users": 0}, {"items_x": 5}, {"interactions_per_user": 2}, {"bad_lines": -1}, {"seed": -1}, {"size": 1}],
)
def test_settings_out_of_range_are_refused(changed: dict[str, int]) -> None:
    with pytest.raises(pydantic.ValidationError):
        settings(**changed)


def test_the_smallest_world_works(tmp_path: Path) -> None:
    generate(tmp_path, DOMAINS, settings(users=1, items_x=24, items_y=24, interactions_per_user=6))
    for domain in DOMAINS:
        rows, _ = rating_rows(tmp_path, domain)
        assert len(rows) >= SHORTEST_DOMAIN
