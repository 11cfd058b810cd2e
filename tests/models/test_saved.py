"""Models on disk: the same after loading, and refused if a file or the data does not match."""

import shutil
from dataclasses import replace

import pytest
import torch

import lecdsr
from lecdsr.core.errors import UserError
from lecdsr.core.files import read_json, sha256_file, write_json
from lecdsr.models.registry import find_model, model_names
from lecdsr.models.saved import FORMAT, build, load, read_config, save
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
    for text in (b"", b"nothing of the kind", whole[: len(whole) // 2], whole[:-1], whole[:-1] + b"?"):
        path.write_bytes(text)
        load_error("other-weights", path, saved)
    path.unlink()
    load_error("missing-file", path, saved)


def change(folder, **keys):
    """Change keys of the config, and remove those that are None."""
    path = folder / "config.json"
    config = {key: value for key, value in {**read_json(path), **keys}.items() if value is not None}
    write_json(path, config)


def test_the_config_says_how_the_model_was_made(saved):
    config = read_json(saved / "config.json")
    data = info(N_X, N_Y, USERS)
    assert (config["lecdsr"], config["format"]) == (lecdsr.__version__, FORMAT)
    assert config["sha256"]["weights"] == sha256_file(saved / "model.safetensors")
    assert config["sha256"] == {**config["sha256"], **data.fingerprints()}
    # A copy, such as in an export, is still a model of the version that trained it.
    change(saved, lecdsr="0.0.9")
    again = save(saved / "copy", load(saved, data), read_config(saved)[0])
    assert again == read_json(saved / "copy" / "config.json") == read_json(saved / "config.json")


def test_weights_of_another_model(saved, tmp_path):
    """The shapes are the same, so without its checksum the file could not be told from the right one."""
    other = tmp_path / "other"
    save(other, make("sasrec", "ids", seed=1), config_of("sasrec", settings_of("sasrec", "ids"), 1))
    load(other, info(N_X, N_Y, USERS))
    shutil.copy(other / "model.safetensors", saved)
    load_error("other-weights", saved / "model.safetensors", saved)


def test_weights_that_do_not_fit_the_settings(tmp_path):
    save(tmp_path, make("sasrec", "one layer, one head"), config_of("sasrec", settings_of("sasrec", "ids")))
    load_error("broken-file", tmp_path / "model.safetensors", tmp_path)


@pytest.mark.parametrize("moment", ["weights", "card"])
def test_a_folder_that_was_written_only_in_part(saved, monkeypatch, moment):
    """A kill after the weights or after the card leaves no config, or that of the model before."""
    config, network = config_of("sasrec", settings_of("sasrec", "ids"), 1), make("sasrec", "ids", seed=1)

    def killed(*arguments):
        raise KeyboardInterrupt

    for folder, code in ((saved / "new", "incomplete-model"), (saved, "other-weights")):
        with monkeypatch.context() as patch:
            if moment == "weights":
                patch.setattr("lecdsr.models.saved.write_text", killed)
            else:
                patch.setattr("lecdsr.models.saved.write_json", killed)
            with pytest.raises(KeyboardInterrupt):
                save(folder, network, config, lambda complete: "card")
        load_error(code, folder if code == "incomplete-model" else folder / "model.safetensors", folder)


@pytest.mark.parametrize("number", [None, 1, FORMAT + 1, str(FORMAT)])
def test_a_folder_of_another_format(saved, number):
    change(saved, format=number)
    load_error("wrong-format", saved / "config.json", saved)


@pytest.mark.parametrize(
    "changed",
    [{"seed": 7}, {"model": "hgn", "settings": settings_of("hgn", "ids").model_dump()}, {"settings": "heads"}],
)
def test_a_config_that_was_changed(saved, changed):
    """One head in place of two fits the weights, and would give other scores."""
    if changed == {"settings": "heads"}:
        changed = {"settings": {**read_json(saved / "config.json")["settings"], "heads": 1}}
    change(saved, **changed)
    load_error("changed-config", saved / "config.json", saved)


@pytest.mark.parametrize("fingerprints", [None, {}, [], "settings"])
def test_a_config_without_fingerprints(saved, fingerprints):
    change(saved, sha256=fingerprints)
    load_error("wrong-config", saved / "config.json", saved)


@pytest.mark.parametrize("n_y", [N_Y, N_Y - 1])  # one less: the same number of items in all, so every tensor would fit
def test_another_catalogue(saved, n_y):
    error = load_error("other-data", saved / "config.json", saved, info(N_X + 1, n_y, USERS))
    assert "n_x" in error.what


IDS = {"item_ids": "of the items", "user_ids": "of the users"}


@pytest.mark.parametrize(
    "changed",
    [
        {"item_ids": "of others"},
        {"user_ids": "of others"},
        {"train_counts": torch.arange(N_X + N_Y).flip(0)},
        {"train_days": (0, 10)},
        {"item_vectors": info(N_X, N_Y, USERS, seed=1).item_vectors},
    ],
)
def test_other_data_of_the_same_size(tmp_path, changed):
    data = replace(info(N_X, N_Y, USERS), **IDS)
    save(tmp_path, make("sasrec", "ids", data=data), config_of("sasrec", settings_of("sasrec", "ids")))
    load(tmp_path, data)
    load(tmp_path, replace(data, profiles=None))  # a model reads new profiles as they come
    load_error("other-data", tmp_path / "config.json", tmp_path, replace(data, **changed))


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
    change(saved, **changed)
    unknown = changed.get("model") is not None
    place = "params.yaml: models" if unknown else saved / "config.json"
    load_error("unknown-model" if unknown else "wrong-config", place, saved)


def test_a_config_that_is_no_json(saved):
    (saved / "config.json").write_text("{")
    load_error("broken-file", saved / "config.json", saved)
    (saved / "config.json").unlink()
    load_error("incomplete-model", saved, saved)
    (saved / "model.safetensors").unlink()
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
