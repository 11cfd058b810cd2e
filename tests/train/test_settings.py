"""Settings shared by all models: defaults, bounds, descriptions."""

import pytest

from lecdsr.config.load import check_values
from lecdsr.train.settings import SharedSettings
from tests.errors import refused


@pytest.mark.parametrize("name", SharedSettings.model_fields)
def test_every_setting_is_described(name):
    assert len(SharedSettings.model_fields[name].description or "") > 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("device", "tpu"),
        ("epochs", 0),
        ("patience", 0),
        ("lr_decays", -1),
        ("lr_decay_factor", 0),
        ("lr_decay_factor", 1),
        ("warmup_steps", -1),
        ("precision", "float16"),
        ("tables", "sparse"),
        # words: off
        ("anneals", 3),  # the former name of lr_decays
        # words: on
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name, value):
    code = "unknown-key" if name not in SharedSettings.model_fields else "wrong-value"
    with refused(code, f"params.yaml: train.shared: {name}"):
        check_values(SharedSettings, {name: value}, "params.yaml: train.shared")
