"""The stage `settings`: what it refuses, and what it writes for every stage and model."""

import json
from pathlib import Path

import pytest

from lecdsr.config import resolve
from lecdsr.config.load import SHARED, TRAIN, load_block, load_pair
from lecdsr.config.names import model_names, stage_names
from lecdsr.config.resolve import CHOOSING, check_all, load_stage, settings_class, write_resolved
from lecdsr.config.resolved import FACTS, read_resolved
from lecdsr.core.paths import Artefacts
from lecdsr.models.registry import find_model
from stages import settings
from tests.errors import refused

PARAMS = "active: [toy]\nmodels: [sasrec, popularity]\n"
PAIR = "domains: [Food, Kitchen]\nrelease: 2018\nsource: ../raw\n"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder with a short params.yaml and two pairs; call it to write other texts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs").mkdir()

    def write(params: str = PARAMS, **pairs: str) -> None:
        (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
        for name, text in ({"toy": PAIR, "other": PAIR} | pairs).items():
            (tmp_path / "pairs" / f"{name}.yaml").write_text(text, encoding="utf-8")

    write()
    return write


def test_defaults_alone_are_right(repository):
    checked = check_all()
    assert checked.keys() == {"toy", "other"}
    for found in checked.values():
        assert (sorted(found.stages), sorted(found.models)) == (sorted(stage_names()), sorted(model_names()))


def test_the_stage_resolves_a_pair_once(repository, monkeypatch):
    """What it checks is what it writes, and the same as `write_resolved` writes alone."""
    files = {path: path.read_text() for path in write_resolved("toy")}
    loaded = []

    def load(stage, pair):
        loaded.append((stage, pair))
        return load_stage(stage, pair)

    monkeypatch.setattr(resolve, "load_stage", load)
    settings.main("toy")
    assert {path: path.read_text() for path in files} == files
    assert sorted(loaded) == sorted((stage, pair) for stage in stage_names() for pair in ("toy", "other"))


def test_the_stage_refuses_a_pair_without_a_file(repository):
    with refused("unknown-pair", "pairs"):
        settings.main("toyy")


WRONG = {
    "block": ("trian: {}\n", "", "unknown-key", "params.yaml", ["'trian'", "'train'"]),
    "key of a stage": (
        "sequences: {min_itme: 3}\n", "", "unknown-key", "params.yaml: sequences.min_itme", ["'min_item'"]
    ),
    "value of a stage": (
        "sequences: {split: half}\n", "", "wrong-value", "params.yaml: sequences.split", ["'half'", "'temporal'"]
    ),
    "model": ("train: {sasrek: {width: 8}}\n", "", "unknown-key", "params.yaml: train.sasrek", ["'sasrec'"]),
    "key of a model": ("train: {hgn: {widht: 8}}\n", "", "unknown-key", "params.yaml: train.hgn.widht", ["'width'"]),
    "value of a model": (
        "train: {hgn: {width: none}}\n", "", "wrong-value", "params.yaml: train.hgn.width", ["'none'", "integer"]
    ),
    "shared": ("train: {shared: {epochs: 0}}\n", "", "wrong-value", "params.yaml: train.shared.epochs", ["is 0"]),
    "block of a pair": ("", "sequence: {}\n", "unknown-key", "pairs/other.yaml", ["'sequence'", "'sequences'"]),
    "key of a pair": ("", "embed: {widht: 3}\n", "unknown-key", "pairs/other.yaml: embed.widht", ["'width'"]),
    "model of a pair": ("", "train: {hgm: {}}\n", "unknown-key", "pairs/other.yaml: train.hgm", ["'hgn'"]),
    "rule of a model": (
        "", "train: {sasrec: {heads: 7}}\n", "wrong-value", "pairs/other.yaml: train.sasrec", ["heads", "7"]
    ),
    "release": ("", "release: 2019\n", "wrong-value", "pairs/other.yaml: release", ["2019", "2018"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_anywhere_is_named_and_nothing_is_written(repository, case):
    """The pair `other` is not active and `hgn` is not selected, but both are checked."""
    params, pair, code, where, words = WRONG[case]
    text = PAIR.replace("release: 2018\n", "") if case == "release" else PAIR
    repository(PARAMS + params, other=text + pair)
    with refused(code, where.replace("/", str(Path("/")))) as caught:
        check_all()
    assert all(word in caught.value.what for word in words), caught.value
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("selection", "code", "where", "words"),
    [
        ("active: [toyy]\nmodels: [sasrec]\n", "unknown-pair", "pairs", ["'toyy'", "'toy'"]),
        ("active: [toy]\nmodels: [sasrek]\n", "unknown-model", "params.yaml: models", ["'sasrek'", "'sasrec'"]),
        ("active: []\nmodels: [sasrec]\n", "empty-list", "params.yaml: active", []),
        ("active: [toy]\n", "empty-list", "params.yaml: models", []),
    ],
)
def test_selection(repository, selection, code, where, words):
    repository(selection)
    with refused(code, where) as caught:
        check_all()
    assert all(word in caught.value.what for word in words)


def test_resolved_files_hold_defaults_params_and_pair(repository):
    repository(
        PARAMS + "sequences: {min_item: 3}\ntrain: {sasrec: {width: 32}, shared: {seed: 5}}\n",
        toy=PAIR + "sequences: {max_length: 20}\ntrain: {sasrec: {heads: 4}}\n",
    )
    files = write_resolved("toy")
    artefacts = Artefacts("toy")
    selected = ("popularity", "sasrec")
    models = [path(name) for name in selected for path in (artefacts.model_settings, artefacts.refit_settings)]
    assert sorted(files) == sorted([artefacts.stage_settings(name) for name in stage_names() if name != TRAIN] + models)
    assert sorted(files) == sorted(path for path in artefacts.settings.rglob("*") if path.is_file())
    sequences = read_resolved(artefacts.stage_settings("sequences"), settings_class("sequences"))
    default = settings_class("sequences")()
    assert sequences.settings == default.model_copy(update={"min_item": 3, "max_length": 20})
    assert sequences.pair == load_pair("toy")
    sasrec = find_model("sasrec").settings
    found = read_resolved(artefacts.model_settings("sasrec"), sasrec)
    assert found.settings == sasrec(width=32, heads=4) == load_block(TRAIN, sasrec, "toy", "sasrec")
    shared = load_block(TRAIN, settings_class(TRAIN), "toy", SHARED)
    assert found.shared == shared.training.model_dump(mode="json")
    refit = read_resolved(artefacts.refit_settings("sasrec"), sasrec)
    kept = {name: value for name, value in shared if name not in CHOOSING}
    assert (refit.settings, refit.shared) == (found.settings, kept)
    assert found.shared["seed"] == 5


@pytest.mark.parametrize("stage", [name for name in stage_names() if name != TRAIN])
def test_every_stage_reads_what_was_resolved(repository, stage):
    write_resolved("toy")
    found = read_resolved(Artefacts("toy").stage_settings(stage), settings_class(stage))
    assert found.settings == load_stage(stage, "toy")
    assert set(found.facts) == {"name", *FACTS.get(stage, ())}


def test_what_a_stage_does_not_know_does_not_change_its_file(repository):
    def written() -> dict[str, str]:
        return {str(path): path.read_text() for path in write_resolved("toy")}

    before = written()
    assert written() == before
    repository("# A comment.\n" + PARAMS, toy=PAIR.replace("../raw", "../elsewhere"))
    changed = {Path(name).stem for name, text in written().items() if text != before[name]}
    assert changed == {"download", "sequences", "card"}
    repository(PARAMS.replace("popularity", "hgn"))
    after = written()
    assert {Path(name).stem for name in before.keys() ^ after.keys()} == {"popularity", "hgn"}
    assert {Path(name).stem for name in before.keys() & after.keys() if before[name] != after[name]} == {"report"}


def test_a_file_of_other_code_is_named(repository):
    write_resolved("toy")
    path = Artefacts("toy").stage_settings("card")
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "settings": {"plot_dip": 3}}))
    with refused("unknown-key", f"{path}: plot_dip"):
        read_resolved(path, settings_class("card"))
    path.unlink()
    with refused("missing-file", path):
        read_resolved(path, settings_class("card"))


def test_refit_changes_what_the_stage_refit_reads_and_nothing_else(repository):
    before = {str(path): path.read_text() for path in write_resolved("toy")}
    repository(PARAMS + "train: {shared: {refit: all}}\n")
    after = {str(path): path.read_text() for path in write_resolved("toy")}
    changed = {Path(name) for name in after if after[name] != before[name]}
    assert changed == {Artefacts("toy").refit_settings(name) for name in ("popularity", "sasrec")}
