"""The review page of a pull request, compared with hand-made texts."""

import re
from pathlib import Path

from ruamel.yaml import YAML

from lecdsr.report.pull_request import FIRST, MARK, Curve, chart, comment, page, rows_of

ROOT = Path(__file__).parents[2]
HEAD = "| Path | Metric | main | workspace | Change |\n|--|--|--|--|--|"
FULL = "| metrics/demo/sasrec.json | test.x.full.ndcg@10 | 0.1 | 0.2 | 0.1 |"
FIVE = "| metrics/demo/sasrec.json | test.x.full.hr@5 | 0.3 | 0.4 | 0.1 |"
UNTIED = "| metrics/demo/sasrec.json | test.x.untied.full.ndcg@10 | 0.3 | 0.4 | 0.1 |"
METRICS = "\n".join([HEAD, FULL, FIVE, UNTIED]) + "\n\n"
PARAMS = "| Path | Param | main | workspace |\n|--|--|--|--|\n| params.yaml | train.sasrec.width | 64 | 96 |\n"


def test_first_rows_are_shown_and_all_are_folded_away():
    assert rows_of(METRICS, FIRST) == f"{HEAD}\n{FULL}"
    assert rows_of(METRICS, re.compile("nothing")) == ""
    text = page("main (abc)", PARAMS, METRICS, [Curve("sasrec on demo", [0.0, 0.1], [0.0, 0.2, 0.15])])
    shown, folded = text.split("<details>")
    assert shown.startswith(f"{MARK}\n\n## Changes relative to `main (abc)`\n")
    assert "train.sasrec.width | 64 | 96" in shown
    assert FULL in shown
    assert FIVE not in shown
    assert METRICS.strip() in folded.split("</details>")[0]
    assert "line [0.0000, 0.2000, 0.2000]" in folded.split("</details>")[1]


def test_without_a_change_it_says_so():
    text = page("main", "", "", [])
    assert "No setting changed." in text
    assert "No metric changed." in text
    assert page("main", f"{HEAD}\n\n", f"\n{HEAD}\n\n", []) == text  # tables without rows
    assert "mermaid" not in text
    assert "<details>" not in text
    assert "No main metric changed." in page("main", "", f"{HEAD}\n{FIVE}\n", [])


def test_a_chart_holds_the_best_so_far_to_the_last_epoch():
    assert chart(Curve("m on p", [0.1, 0.2], [0.1, 0.05, 0.4])).splitlines() == [
        "```mermaid",
        "xychart-beta",
        '    title "m on p"',
        '    x-axis "epoch" 0 --> 2',
        '    y-axis "NDCG@10" 0 --> 0.4200',
        "    line [0.1000, 0.2000, 0.2000]",
        "    line [0.1000, 0.1000, 0.4000]",
        "```",
    ]
    new = chart(Curve("m on p", [], [0.0]))
    assert new.count("line [") == 1
    assert "0 --> 1.0500" in new


def test_a_comment_is_cut_between_lines_and_closed():
    text = page("main", PARAMS, "\n".join([HEAD, *[FIVE] * 2000]), [])
    assert comment(text) is text or len(text) > 65_000
    short = comment(text, 5_000)
    assert len(short) <= 5_000
    assert short.count("<details>") == short.count("</details>") == 1
    assert "The rest is in the summary of the job." in short
    assert all(line == FIVE for line in short.splitlines() if "hr@5" in line)
    assert comment("short") == "short"


def test_the_workflow_is_yaml_that_needs_no_secret_and_calls_the_script():
    text = (ROOT / ".github/workflows/review.yml").read_text(encoding="utf-8")
    flow = YAML(typ="safe").load(text)
    assert "secrets." not in text
    assert "pull_request_target" not in text  # it would run a stranger's code with our rights
    assert flow["permissions"] == {"contents": "read"}
    steps = flow["jobs"]["review"]["steps"]
    runs = [step.get("run", "") for step in steps]
    assert ".ci/run" in runs
    assert any("scripts/review.py" in run and "GITHUB_STEP_SUMMARY" in run for run in runs)
    assert not [run for run in runs if "${{" in run]  # names of branches are never part of a script
    (commenting,) = [step for step in steps if "gh api" in step.get("run", "")]
    assert "head.repo.full_name == github.repository" in commenting["if"]
    assert MARK in commenting["run"]
