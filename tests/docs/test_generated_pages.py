"""Pages from the code: every key, table and option is on them, with what is said of it."""

from pathlib import Path
from typing import Annotated

import pytest
import typer

import lecdsr.core.schemas as schemas
from docs.generate.commands import commands
from docs.generate.parameters import parameters
from docs.generate.tables import tables
from lecdsr.cli.main import app
from lecdsr.core.markdown import text_table

ROOT = Path(__file__).parents[2]


def test_bars_and_line_breaks_do_not_end_a_cell():
    assert text_table(("a", "b"), [("x|y", "one\n  two")]) == "| a | b |\n| --- | --- |\n| x\\|y | one two |"


SETTINGS = """\
# About the file.

# Which.
active: [a, b]

# Stage one.
one:
  # Two
  # lines.
  text: >-
    folded
    text
  # A group.
  group:
    # Inner.
    rate: 1e-5

# Stage train.
train:
  # A model.
  small:
    # Switch.
    on: true
  # Another.
  none: {}
"""


def test_parameters_by_hand():
    head = "| key | default | meaning |\n| --- | --- | --- |\n"
    assert parameters(SETTINGS).split("\n\n") == [
        "## Selection",
        head + '| `active` | `["a", "b"]` | Which. |',
        "## `one`",
        "Stage one.",
        head
        + "| `text` | `folded text` | Two lines. |\n| `group` |  | A group. |\n| `group.rate` | `1e-05` | Inner. |",
        "## `train`",
        "Stage train.",
        "### `train.small`",
        "A model.",
        head + "| `on` | `true` | Switch. |",
        "### `train.none`",
        "Another.",
    ]


def test_a_key_without_a_comment_is_named():
    with pytest.raises(ValueError, match=r"'b' in line 3 has no comment"):
        parameters("# One.\na: 1\nb: 2\n")


def test_every_key_of_the_settings_is_on_the_page():
    page = parameters((ROOT / "params.yaml").read_text(encoding="utf-8"))
    keys = ("models", "synthetic.users", "min_user_total", "profile_instruction", "lr_decays", "tau_outer", "top_k")
    for key in keys:
        assert page.count(f"| `{key}` |") >= 1
    assert "## `sequences`" in page
    assert "### `train.lecdsr`" in page


def test_every_table_is_on_the_page_with_all_its_columns():
    page = tables(schemas)
    for name in ("ITEMS", "USERS", "INTERACTIONS", "WINDOWS", "CANDIDATES", "QUESTIONS", "ANSWERS", "RANKS"):
        section = page.split(f"### {name.lower()}\n")[1].split("\n### ")[0]
        assert "One row per" in section
        assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == getattr(
            schemas, name
        ).names
    assert "| `vector` | `float[width]` |" in page
    assert "| `categories` | `list of string` |" in page
    assert "``" not in page


def test_options_by_hand():
    small = typer.Typer(help="Small.")

    @small.command()
    def go(
        what: Annotated[str, typer.Argument(metavar="WHAT", help="A thing.")],
        times: Annotated[int, typer.Option("-n", help="How often.")] = 3,
        loud: Annotated[bool, typer.Option("--loud", help="Shout.")] = False,
    ) -> None:
        """Go there."""

    @small.command()
    def stay() -> None:
        """Stay."""

    head = "| argument or option | default | meaning |\n| --- | --- | --- |\n"
    rows = "| `WHAT` | required | A thing. |\n| `-n INTEGER` | `3` | How often. |\n| `--loud` |  | Shout. |"
    assert commands(small, "s").split("\n\n") == [
        "Small.",
        "## `s go`", "    s go WHAT [OPTIONS]", "Go there.", head + rows,
        "## `s stay`", "    s stay [OPTIONS]", "Stay.",
    ]  # fmt: skip


def test_every_command_is_on_the_page():
    page = commands(app, "lecdsr")
    for name in ("recommend", "ask", "compare", "tune", "answers import", "data list"):
        assert f"# `lecdsr {name}`" in page
    assert "| `--release 2014\\|2018\\|2023` |" in page
