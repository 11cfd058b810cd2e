"""Models on disk: the same after loading, and refused if a file or the data does not match."""

import pytest
import torch

from lecdsr.core.errors import UserError
from lecdsr.core.files import read_json, write_json
from lecdsr.models.registry import find_model, model_names
from lecdsr.models.saved import build, load, read_config, save
from tests.errors import refused
from tests.models.zoo import ALL, N_X, N_Y, USERS, config_of, histories_for, make, perturb, scores, settings_of
from tests.tiny import info

every_model = pytest.mark.parametrize(("model", "variant"), ALL)


@every_model
def test_a_saved_model_gives_the_same_scores(model, variant, tmp_path):
    settings, data = settings_of(model, variant), info(N_X, N_Y, USERS)
    network = perturb(make(model, variant, 3, data))
    save(tmp_path, network, config_of(model, settings, 3))
    loaded = load(tmp_path, data)
    assert not loaded.training
    assert loaded.settings == settings
    assert torch.equal(scores(network, histories_for(network)), scores(loaded, histories_for(network)))
    assert not any(path.name.endswith(".tmp") for path in tmp_path.iterdir())


def test_a_control_is_the_same_after_loading(tmp_path):
    # Random and shuffled vectors are drawn from the seed in the config, not saved.
    settings, data = settings_of("lecdsr", "random text"), info(N_X, N_Y, USERS)
    network = build("lecdsr", settings, data, 5)
    save(tmp_path, network, config_of("lecdsr", settings, 5))
    assert torch.equal(load(tmp_path, data).item_vectors, network.item_vectors)


@pytest.fixture
def saved(tmp_path):
    settings = settings_of("sasrec", "ids")
    save(tmp_path, make("sasrec", "ids"), config_of("sasrec", settings))
    return tmp_path


def load_error(code: str, where: object, folder, data=None) -> UserError:
    with refused(code, where) as caught:
        load(folder, data or info(N_X, N_Y, USERS))
    return caught.value


def test_a_broken_model_file(saved):
    path = saved / "model.safetensors"
    whole = path.read_bytes()
    for text in (b"", b"nothing of the kind", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(text)
        load_error("broken-file", path, saved)
    path.unlink()
    load_error("missing-file", path, saved)


def test_weights_of_another_model(saved):
    config = read_json(saved / "config.json")
    config["settings"]["width"] = 16
    write_json(saved / "config.json", config)
    load_error("broken-file", saved / "model.safetensors", saved)


@pytest.mark.parametrize("n_y", [N_Y, N_Y - 1])  # one less: the same number of items in all, so every tensor would fit
def test_another_catalogue(saved, n_y):
    error = load_error("other-data", saved / "config.json", saved, info(N_X + 1, n_y, USERS))
    assert "n_x" in error.what


def test_no_default_stands_in_for_a_setting_that_was_not_saved(saved):
    config = read_json(saved / "config.json")
    del config["settings"]["dropout"]
    write_json(saved / "config.json", config)
    error = load_error("wrong-config", saved / "config.json", saved)
    assert "dropout" in error.what


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
    unknown = changed.get("model") is not None
    place = "params.yaml: models" if unknown else saved / "config.json"
    load_error("unknown-model" if unknown else "wrong-config", place, saved)


def test_a_config_that_is_no_json(saved):
    (saved / "config.json").write_text("{")
    load_error("broken-file", saved / "config.json", saved)
    (saved / "config.json").unlink()
    load_error("missing-file", saved / "config.json", saved)


def test_unknown_model():
    with refused("unknown-model") as caught:
        find_model("sasrek")
    assert all(name in caught.value.what for name in ("'sasrek'", "'sasrec'"))
    assert all(name in caught.value.do for name in model_names())


def test_read_config(saved):
    config, settings = read_config(saved)
    assert config["model"] == "sasrec"
    assert settings == settings_of("sasrec", "ids")
