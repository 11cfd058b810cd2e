"""The index of downloads: names as in the files, sizes where known, addresses as in the pairs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lecdsr.config.pair import DOMAIN_NAME, is_url
from lecdsr.readers.amazon_index import BASE_URLS, AmazonDomain, amazon_domains, wanted_files
from lecdsr.readers.layouts import LAYOUTS

ROOT = Path(__file__).parents[2]


def entry(release: int, domain: str) -> AmazonDomain:
    (found,) = [entry for entry in amazon_domains() if (entry.release, entry.domain) == (release, domain)]
    return found


def test_every_release_is_whole():
    releases = [entry.release for entry in amazon_domains()]
    assert {release: releases.count(release) for release in releases} == {2014: 24, 2018: 29, 2023: 34}
    assert set(releases) == set(BASE_URLS) == set(LAYOUTS)


def test_names_are_names_of_domains_and_in_order():
    entries = amazon_domains()
    assert all(re.fullmatch(DOMAIN_NAME, entry.domain) for entry in entries)
    keys = [(entry.release, entry.domain) for entry in entries]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize(
    ("release", "domain"),
    [(2014, "Amazon_Instant_Video"), (2018, "AMAZON_FASHION"), (2023, "Amazon_Fashion"), (2023, "Unknown")],
)
def test_names_that_differ_between_releases(release, domain):
    assert entry(release, domain).domain == domain


def test_published_sizes():
    assert entry(2018, "Toys_and_Games") == AmazonDomain(2018, "Toys_and_Games", 8_201_231, None, None, 634_414)
    assert entry(2014, "Books")[2:] == (22_507_155, 8_026_324, 2_330_066, 2_370_585)
    assert entry(2023, "Subscription_Boxes")[2:] == (16_200, 15_200, 641, None)


def test_sizes_are_possible():
    for found in amazon_domains():
        assert found.interactions is not None
        assert all(size is None or 0 < size <= found.interactions for size in (found.users, found.items))


def test_wanted_files():
    assert wanted_files(2014) == ("ratings_{domain}.csv", "meta_{domain}.json.gz")
    assert wanted_files(2018) == ("categoryFilesSmall/{domain}.csv", "metaFiles2/meta_{domain}.json.gz")
    assert wanted_files(2023)[0].endswith("/{domain}.csv.gz")


@pytest.mark.parametrize("path", sorted((ROOT / "pairs").glob("*.yaml")), ids=lambda path: path.stem)
def test_downloaded_pairs_are_in_the_catalogue(path):
    pair = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    sources = [pair["source"]] if isinstance(pair["source"], str) else pair["source"]
    for source in filter(is_url, sources):
        assert source in BASE_URLS[pair["release"]]
        assert all(entry(pair["release"], domain) for domain in pair["domains"])


def lecdsr(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lecdsr.cli.main", *arguments]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)


@pytest.mark.slow
def test_the_list_outside_any_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = lecdsr(tmp_path, "data", "list")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("base URLs:") == 3
    assert "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2" in done.stdout
    (toys,) = [line for line in done.stdout.splitlines() if "Toys_and_Games" in line and "634,414" in line]
    assert re.findall(r"[\d,]+|\?", toys) == ["8,201,231", "?", "?", "634,414"]


@pytest.mark.slow
def test_the_list_of_one_release(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    output = lecdsr(tmp_path, "data", "list", "--release", "2023").stdout
    assert "Amazon_Fashion" in output
    assert "AMAZON_FASHION" not in output
    assert output.count("base URLs:") == 1
    assert lecdsr(tmp_path, "data", "list", "--release", "2019").returncode == 2
    assert lecdsr(tmp_path, "pairs").returncode == 1  # other commands still need a repository
