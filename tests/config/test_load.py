"""Settings: how they are read and merged, and the messages for wrong keys, values and files."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field
from ruamel.yaml import YAML

from lecdsr.cli.pairs import check
from lecdsr.config.load import SELECTION, load_block, load_pair, load_selection, pair_names
from lecdsr.config.names import stage_names
from lecdsr.config.schema import Block
from lecdsr.core.errors import UserError
from lecdsr.models.registry import model_names
from lecdsr.models.sasrec import Settings as SASRecSettings
from lecdsr.sequences.settings import Settings as SequencesSettings
from lecdsr.train.settings import SharedSettings
from tests.config.test_defaults import SCHEMAS as WITH_DEFAULTS
from tests.errors import refused

ROOT = Path(__file__).parents[2]
SCHEMAS: dict[str, type[Block]] = {**WITH_DEFAULTS, "train.shared": SharedSettings}
PAIRS = sorted((ROOT / "pairs").glob("*.yaml"))
PAIR = "domains: [Food, Kitchen]\nrelease: 2018\nsource: ../raw\n"


class Inner(Block):
    width: int = Field(ge=1)
    mode: Literal["mlp", "moe"]


class Candidates(Block):
    negatives: int = Field(ge=1)
    share: float
    cuts: tuple[float, float]
    names: list[str]
    inner: Inner


PARAMS = """\
active: [toy]
models: [popularity]
candidates:
  negatives: 9
  share: 0.5
  cuts: [0.1, 0.2]
  names: [a, b]
  inner:
    width: 4
    mode: mlp
train:
  sasrec: {negatives: 3, share: 1.0, cuts: [0, 1], names: [], inner: {width: 1, mode: moe}}
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Write a folder with params.yaml and a pair ``toy``; call it to write other texts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs").mkdir()

    def write(params: str = PARAMS, **pairs: str) -> None:
        (tmp_path / "params.yaml").write_text(params, encoding="utf-8")
        for name, text in ({"toy": PAIR} | pairs).items():
            (tmp_path / "pairs" / f"{name}.yaml").write_text(text, encoding="utf-8")

    write()
    return write


def refuses(code: str, where: object, function: Any, *arguments: Any) -> UserError:
    with refused(code, where) as caught:
        function(*arguments)
    return caught.value


def block_refuses(code: str, where: object, *keys: str) -> UserError:
    return refuses(code, where, load_block, keys[0] if keys else "candidates", Candidates, "toy", *keys[1:])


def test_a_block_is_read(repository):
    assert load_block("candidates", Candidates, "toy") == Candidates(
        negatives=9, share=0.5, cuts=(0.1, 0.2), names=["a", "b"], inner=Inner(width=4, mode="mlp")
    )
    assert load_block("train", Candidates, "toy", "sasrec").inner.mode == "moe"


def test_settings_cannot_be_changed_after_reading(repository):
    settings = load_block("candidates", Candidates, "toy")
    with pytest.raises(ValueError, match="frozen"):
        settings.negatives = 3


def test_a_pair_lays_its_values_over_the_common_ones(repository):
    repository(toy=PAIR + "candidates:\n  share: 0.75\n  names: [c]\n  inner:\n    mode: moe\n")
    settings = load_block("candidates", Candidates, "toy")
    assert settings.negatives == 9  # not set by the pair
    assert settings.share == 0.75
    assert settings.names == ["c"]  # lists are replaced whole
    assert settings.inner == Inner(width=4, mode="moe")  # mappings are merged


def test_pairs_do_not_touch_one_another(repository):
    repository(other=PAIR + "candidates: {share: 0.25}\n")
    assert load_block("candidates", Candidates, "other").share == 0.25
    assert load_block("candidates", Candidates, "toy").share == 0.5


@pytest.mark.parametrize("empty", ["candidates: {}\n", "candidates:\n", ""])
def test_an_empty_block_of_a_pair_sets_nothing(repository, empty):
    repository(toy=PAIR + empty)
    assert load_block("candidates", Candidates, "toy").share == 0.5


def test_unknown_key_of_params(repository):
    repository(PARAMS.replace("negatives: 9", "negatives: 9\n  negativs: 9"))
    error = block_refuses("unknown-key", "params.yaml: candidates.negativs")
    assert "'negatives'" in error.what
    assert "negatives, share, cuts, names, inner" in error.do


def test_a_misspelt_key_is_unknown_before_it_is_missing(repository):
    repository(PARAMS.replace("share: 0.5", "shaer: 0.5"))
    error = block_refuses("unknown-key", "params.yaml: candidates.shaer")
    assert "'share'" in error.what


def test_unknown_key_of_a_pair(repository):
    repository(toy=PAIR + "candidates:\n  inner:\n    widht: 3\n")
    error = block_refuses("unknown-key", f"{Path('pairs/toy.yaml')}: candidates.inner.widht")
    assert "'width'" in error.what
    assert "width, mode" in error.do  # the keys of the inner block


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("negatives: 9", "negatives: many", "candidates.negatives", "integer"),
        ("negatives: 9", "negatives: 0", "candidates.negatives", "greater than or equal to 1"),
        ("negatives: 9", "negatives: 9.5", "candidates.negatives", "integer"),
        ("negatives: 9", "negatives: null", "candidates.negatives", "integer"),
        ("share: 0.5", "share: [0.5]", "candidates.share", "number"),
        ("mode: mlp", "mode: mpl", "candidates.inner.mode", "'mlp' or 'moe'"),
        ("cuts: [0.1, 0.2]", "cuts: [0.1, x]", "candidates.cuts.1", "number"),
        ("names: [a, b]", "names: a", "candidates.names", "list"),
    ],
)
def test_ill_typed_value(repository, old, new, key, expected):
    repository(PARAMS.replace(old, new))
    error = block_refuses("wrong-value", f"params.yaml: {key}")
    assert expected in error.what


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("share: x", "share"),
        ("share: {}", "share"),
        ("cuts: [0.1, x]", "cuts.1"),
        ("names: [a, {}]", "names.1"),
        ("inner: {width: 0}", "inner.width"),
    ],
)
def test_ill_typed_value_of_a_pair_names_the_pairs_file(repository, override, key):
    repository(toy=PAIR + f"candidates: {{{override}}}\n")
    block_refuses("wrong-value", f"{Path('pairs/toy.yaml')}: candidates.{key}")


def test_missing_key(repository):
    repository(PARAMS.replace("  share: 0.5\n", ""))
    block_refuses("missing-key", "params.yaml: candidates.share")


def test_missing_block(repository):
    repository("active: [toy]\nmodels: [popularity]\n")
    block_refuses("missing-key", "params.yaml: candidates.negatives")


@pytest.mark.parametrize("value", ["[1, 2]", "none", "0", "false", "[]", "''"])
def test_a_block_is_a_mapping(repository, value):
    repository(toy=PAIR + f"candidates: {value}\n")
    block_refuses("no-mapping", f"{Path('pairs/toy.yaml')}: candidates")


def test_values_that_do_not_fit_together_name_block_and_rule(repository):
    repository("train:\n  sasrec:\n    width: 64\n", toy=PAIR + "train:\n  sasrec:\n    heads: 7\n")
    where = f"{Path('pairs/toy.yaml')}: train.sasrec"
    error = refuses("wrong-value", where, load_block, "train", SASRecSettings, "toy", "sasrec")
    assert all(word in error.what for word in ("heads", "64", "7"))
    assert "''" not in error.what
    assert "batch_size" not in error.what  # the rule, not the whole block


def test_unknown_block_of_params(repository):
    repository(PARAMS + "trian: {}\n")
    error = block_refuses("unknown-key", "params.yaml")
    assert all(word in error.what for word in ("'trian'", "'train'"))
    assert all(name in error.do for name in SELECTION + stage_names())


def test_unknown_block_of_a_pair(repository):
    repository(toy=PAIR + "candidate: {}\n")
    path = Path("pairs/toy.yaml")
    for error in (block_refuses("unknown-key", path), refuses("unknown-key", path, load_pair, "toy")):
        assert all(word in error.what for word in ("'candidate'", "'candidates'"))


def test_unknown_model_block_of_a_pair(repository):
    # Otherwise what the pair sets for a model would be ignored silently.
    repository(toy=PAIR + "train:\n  sasrek:\n    negatives: 5\n")
    error = block_refuses("unknown-key", f"{Path('pairs/toy.yaml')}: train.sasrek", "train", "sasrec")
    assert "'sasrec'" in error.what


def test_unknown_model_block_of_params(repository):
    repository(PARAMS + "  sasrek: {negatives: 5}\n")
    block_refuses("unknown-key", "params.yaml: train.sasrek", "train", "sasrec")


def test_a_pair_may_set_a_model_that_params_do_not_name(repository):
    repository("active: [toy]\nmodels: [popularity]\n", toy=PAIR + "train:\n  sasrec:\n    width: 8\n")
    assert load_block("train", SASRecSettings, "toy", "sasrec") == SASRecSettings(width=8)


@pytest.mark.parametrize("params", ["active: [toy]\nmodels: [popularity]\n", "sequences: {}\ntrain:\n"])
def test_what_no_file_sets_has_its_default(repository, params):
    repository(params)
    assert load_block("sequences", SequencesSettings, "toy") == SequencesSettings()
    assert load_block("train", SASRecSettings, "toy", "sasrec") == SASRecSettings()


def test_unknown_pair(repository):
    error = refuses("unknown-pair", "pairs", load_pair, "toyy")
    assert all(word in error.what for word in ("'toyy'", "'toy'"))
    error = refuses("unknown-pair", "pairs", load_block, "candidates", Candidates, "nowhere")
    assert "toy" in error.do


@pytest.mark.parametrize("name", ["../x", "../pairs/toy", "./toy", "", "/etc/passwd", "toy.yaml", "*"])
def test_a_path_is_no_pair(repository, name):
    repository(toy=PAIR)
    Path("x.yaml").write_text(PAIR, encoding="utf-8")
    refuses("unknown-pair", "pairs", load_pair, name)


def test_a_file_name_that_is_no_pair_name(repository):
    repository(**{"Bad-Name": PAIR})
    refuses("wrong-value", f"{Path('pairs/Bad-Name.yaml')}: name", load_pair, "Bad-Name")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("[Food, Kitchen]", "[Food, Food]", "domains"),
        ("[Food, Kitchen]", "[Food]", "domains"),
        ("[Food, Kitchen]", "[Food, Kitchen, Garden]", "domains"),
        ("[Food, Kitchen]", "[Food, ../Kitchen]", "domains"),
        ("[Food, Kitchen]", "Food", "domains"),
        ("release: 2018", "release: 2019", "release"),
        ("release: 2018\n", "", "release"),
        ("source: ../raw", "source: 3", "source"),
    ],
)
def test_wrong_values_of_a_pair(repository, old, new, key):
    repository(toy=PAIR.replace(old, new))
    code = "wrong-value" if new else "missing-key"
    with refused(code) as caught:
        load_pair("toy")
    place = f"{Path('pairs/toy.yaml')}: {key}"
    assert caught.value.where in (place, *(f"{place}.{number}" for number in range(3)))


def test_a_pair_is_read(repository):
    pair = load_pair("toy")
    assert (pair.name, pair.domains, pair.release, pair.source) == ("toy", ("Food", "Kitchen"), 2018, ("../raw",))
    assert pair_names() == ["toy"]


BROKEN = {
    "bracket": b"active: [toy\n",
    "tab": b"active:\n\t- toy\n",
    "repeated key": b"active: [toy]\nactive: [toy]\n",
    "tag": b"active: !!python/object:os.system {}\n",
    "bytes": b"active: \xff\xfe\n",
    "no such day": b"sequences:\n  start_date: 2014-02-30\n",
    "two documents": b"active: [toy]\n---\nactive: [toy]\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_broken_yaml(repository, text):
    Path("params.yaml").write_bytes(text)
    refuses("broken-file", "params.yaml", load_selection)
    Path("params.yaml").write_text(PARAMS, encoding="utf-8")
    Path("pairs/toy.yaml").write_bytes(text)
    refuses("broken-file", Path("pairs/toy.yaml"), load_pair, "toy")


@pytest.mark.parametrize("text", ["", "just words", "- a\n- b\n"])
def test_no_mapping_at_all(repository, text):
    repository(text)
    refuses("no-mapping", "params.yaml", load_selection)


def test_missing_params_file(repository):
    Path("params.yaml").unlink()
    refuses("missing-file", "params.yaml", load_selection)


@pytest.mark.parametrize("value", ["", "[]", "toy", "[1]", "{toy: 1}"])
@pytest.mark.parametrize("key", SELECTION)
def test_selection_is_a_list_of_names(repository, key, value):
    repository("\n".join(f"{k}: {value if k == key else '[toy]'}" for k in SELECTION))
    refuses("empty-list", f"params.yaml: {key}", load_selection)


def test_selection_is_read(repository):
    assert load_selection() == (["toy"], ["popularity"])


@pytest.mark.parametrize("value", ["2014-01-01", "'2014-01-01'"])
def test_a_day_may_be_quoted(repository, value):
    repository(f"sequences:\n  start_date: {value}\n")
    assert str(load_block("sequences", SequencesSettings, "toy").start_date) == "2014-01-01"


# The files of this repository.


def blocks_of(file: str) -> dict[str, dict[str, Any]]:
    """Collect what a settings file sets, by block; for ``train`` by model: ``train.sasrec``."""
    values = YAML(typ="safe").load((ROOT / file).read_text(encoding="utf-8"))
    train = {f"train.{name}": block for name, block in values.pop("train", {}).items()}
    return {name: block for name, block in values.items() if name in stage_names()} | train


def defaults_of(block: str) -> dict[str, Any]:
    """Collect the defaults by key; settings without a default are left out."""
    fields = SCHEMAS[block].model_fields
    return {name: field.get_default() for name, field in fields.items() if not field.is_required()}


def checked(block: str, values: dict[str, Any]) -> dict[str, Any]:
    """Merge the values over those of params.yaml, typed by the block."""
    settings = SCHEMAS[block].model_validate({**blocks_of("params.yaml").get(block, {}), **values})
    return {key: getattr(settings, key) for key in values}


def test_every_value_of_params_is_the_default():
    blocks = blocks_of("params.yaml")
    assert len(blocks) > 5
    for block, values in blocks.items():
        defaults = defaults_of(block)
        wrong = {key: value for key, value in checked(block, values).items() if defaults.get(key, value) != value}
        assert wrong == {}, f"{block} differs from the defaults in the code"


def test_what_params_hold_besides_blocks_is_the_selection():
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert set(SELECTION) <= set(values) <= {*SELECTION, *stage_names()}
    assert set(values["models"]) <= set(model_names())


@pytest.mark.parametrize("file", [*(f"pairs/{path.name}" for path in PAIRS), "examples/catalogue/shop.yaml"])
def test_a_pair_holds_only_what_differs_from_the_defaults(file):
    for block, values in blocks_of(file).items():
        assert values, f"{block} is empty"
        defaults = defaults_of(block)
        same = [key for key, value in checked(block, values).items() if key in defaults and defaults[key] == value]
        assert same == [], f"{block} repeats defaults"


def test_the_settings_of_this_repository_are_right(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    check()
    assert f"{len(PAIRS)} pairs" in capsys.readouterr().out
