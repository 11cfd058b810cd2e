"""The notebook runs from top to bottom where `dvc repro` has run, and shows the recorded results."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from lecdsr.core.files import read_json

ROOT = Path(__file__).parents[2]


def run(folder, monkeypatch, store):
    """Return the notebook's outputs, one text per code cell."""
    monkeypatch.setenv("LECDSR_VECTOR_STORE", store)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    notebook = nbformat.read(folder / "demo.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(out.get("text") or out.data["text/plain"] for out in cell.outputs) for cell in cells]


def test_it_runs_and_says_what_was_recorded(prepared, monkeypatch):
    shown = run(prepared.folder, monkeypatch, prepared.environment["LECDSR_VECTOR_STORE"])
    metrics = read_json(prepared.folder / "metrics/demo/sasrec.json")
    table = next(text for text in shown if "Test metrics on demo" in text)
    for domain in ("x", "y"):
        assert f"{metrics['test'][domain]['full']['ndcg@10']:.4f}" in table
        assert f"{metrics['test'][domain]['sampled']['mrr']:.4f}" in table
    assert any("as recorded in metrics/demo/sasrec.json" in text for text in shown)
    assert any("Next in Pantry" in text for text in shown)
    assert any("Next in Cookware" in text for text in shown)
    assert "its rank among all items of" in shown[-1]


def test_a_model_that_is_not_the_recorded_one_stops_it(copy, monkeypatch):
    path = copy.folder / "metrics/demo/sasrec.json"
    recorded = json.loads(path.read_text())
    recorded["test"]["y"]["full"]["mrr"] += 0.1
    path.write_text(json.dumps(recorded))
    with pytest.raises(CellExecutionError, match="AssertionError"):
        run(copy.folder, monkeypatch, copy.environment["LECDSR_VECTOR_STORE"])


def test_it_is_kept_without_outputs():
    notebook = nbformat.read(ROOT / "demo.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
