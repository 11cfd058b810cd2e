"""What dvc.yaml declares for DVC's own commands: metrics, plots and artefacts."""

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lecdsr.core.files import read_json
from lecdsr.core.paths import Artefacts
from lecdsr.evaluate.evaluate import summary_of

ROOT = Path(__file__).parents[2]
#: What DVC accepts as the name of an artefact.
NAME = re.compile(r"[a-z0-9]([a-z0-9-/]*[a-z0-9])?")


def parsed(name: str):
    return YAML(typ="safe").load((ROOT / name).read_text(encoding="utf-8"))


PIPELINE, PARAMS = parsed("dvc.yaml"), parsed("params.yaml")
DEFAULT = [(pair, model) for pair in PARAMS["active"] for model in PARAMS["models"]]


def test_dvc_shows_the_summary_of_each_model_and_no_other_metrics():
    """Every figure of a metrics file is a column of `dvc exp show`."""
    declared = [path for stage in PIPELINE["stages"].values() for entry in stage.get("metrics", ()) for path in entry]
    wanted = str(Artefacts("pair").model_summary("MODEL"))
    assert [path.replace("${item.pair}", "pair").replace("${item.model}", "MODEL") for path in declared] == [wanted]


@pytest.mark.parametrize("path", sorted(Path(ROOT / "metrics").glob("*/summary/*.json")), ids=str)
def test_recorded_summaries_are_those_of_the_metrics(path):
    metrics = read_json(path.parents[1] / path.name)
    assert read_json(path) == summary_of(path.stem, metrics)


def test_trained_models_of_the_default_pairs_are_artefacts():
    artefacts = PIPELINE["artifacts"]
    # A model that is added to the list need not be registered, but none is registered that is not trained.
    assert {entry["path"] for entry in artefacts.values()} <= {str(Artefacts(p).model(m)) for p, m in DEFAULT}
    assert artefacts
    for name, entry in artefacts.items():
        assert NAME.fullmatch(name)
        assert entry["type"] == "model"
        assert entry["desc"]
        assert entry["labels"]


def test_one_plot_overlays_the_curves_of_all_default_models():
    (plot,) = (entry for plots in PIPELINE["plots"] for entry in plots.values())
    assert plot["y"]
    assert plot["y"].items() <= {str(Artefacts(p).training_log(m)): "valid_ndcg@10" for p, m in DEFAULT}.items()
    json.loads((ROOT / f".dvc/plots/{plot['template']}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["params.yaml", *(f"pairs/{path.name}" for path in (ROOT / "pairs").glob("*.yaml"))])
def test_settings_are_values_of_json(name):
    """`dvc exp show` leaves a revision empty whose settings hold a YAML date: days are written in quotes."""
    json.dumps(parsed(name))
