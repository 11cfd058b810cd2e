"""The section on peers from hand-made records, with means computed by hand."""

from lecdsr.core.files import write_json
from lecdsr.core.paths import Artefacts
from lecdsr.report.peers import epoch_seconds, peers_file, peers_section, tables

DOMAINS = ("Food", "Kitchen")


def record(side, role, seed, ndcg, setting=None, valid=0.1, best=4, seconds=(9.0, 2.0, 3.0), ended="patience"):
    block = {"hr@10": 2 * ndcg, "ndcg@10": ndcg} if ndcg is not None else {}
    metrics = {"test": {code: {"full": block, "sampled": block} for code in ("x", "y")}}
    return {
        "side": side, "role": role, "seed": seed, "setting": setting or {}, "valid_ndcg@10": valid, "best_epoch": best,
        "epochs": len(seconds), "ended": ended, "parameters": 1200, "ram_gb": 1.5, "gpu_gb": 0.25,
        "library": "RecTools 0.19.0", "torch": "2.13.0", "python": "3.12.3", "device": "NVIDIA H200", "threads": 1,
        "cores": 16, "precision": "float32", "metrics": metrics if ndcg is not None else None,
        "log": [{"epoch": place, "seconds": one} for place, one in enumerate(seconds, 1)],
    }  # fmt: skip


RECORDS = [
    record("peer", "grid", 1, 0.1, valid=0.3, best=4),
    record("peer", "grid", 1, 0.9, {"width": 8}, valid=0.2),
    record("peer", "time", 1, None),
    record("peer", "seed", 2, 0.2, best=6),
]


def test_means_by_hand():
    text = tables(RECORDS, DOMAINS)
    # Seeds 1 and 2 of the chosen setting: 0.15 ± 0.0707 for NDCG@10, twice that for HR@10.
    cells = "0.3000 ± 0.1414 | 0.1500 ± 0.0707"
    assert text.count(f"| peer | 2 | {cells} | {cells} |") == 2
    # 2.5 s an epoch without the first; epochs 4 and 6, so 10 and 15 s: 12.5 ± 3.5.
    assert epoch_seconds(RECORDS[2]) == 2.5
    assert "| peer | 1,200 | 2.50 | 5 ± 1 | 12 ± 4 | 1.50 | 0.25 |" in text
    assert "| peer | defaults | chosen | 0.3000 | 4 | 3 | NVIDIA H200 |" in text
    assert '| peer | `{"width": 8}` |  | 0.2000 | 4 | 3 | NVIDIA H200 |' in text
    assert "nan" not in text


def test_quality_and_times_can_be_of_different_machines():
    times = [{**record("peer", "time", 1, None), "device": "some processor"}]
    text = tables([*RECORDS[:2], *times], DOMAINS)
    conditions, *_, settings = text.split("\n\n")
    assert "some processor" in conditions
    assert "NVIDIA" not in conditions
    assert settings.count("NVIDIA H200") == 2


def test_runs_that_the_time_limit_stopped_are_marked():
    stopped = [*RECORDS[:3], record("peer", "seed", 2, 0.2, ended="time")]
    assert "stopped by the time limit" in tables(stopped, DOMAINS)
    assert "stopped by the time limit" not in tables(RECORDS, DOMAINS)


def test_the_section_needs_records(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artefacts = Artefacts("demo")
    assert peers_section(artefacts, DOMAINS) is None
    write_json(peers_file(artefacts), {"runs": RECORDS})
    assert peers_section(artefacts, DOMAINS).splitlines()[0] == "### Peers"
    write_json(peers_file(artefacts), {"runs": []})
    assert "Food" not in peers_section(artefacts, DOMAINS)


def test_a_side_that_never_ran_alone_shows_its_best_setting_beside_other_runs():
    text = tables([RECORDS[1], RECORDS[0]], DOMAINS)
    assert "| peer | 1 | 0.2000 | 0.1000 |" in text
    assert "| peer | 1,200 | 2.50, beside other runs | 4 | 10 |" in text
