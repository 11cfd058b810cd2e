"""Pages generated from the code list every key, table and option, with descriptions."""

from datetime import date
from typing import Annotated, Literal

import pytest
import typer
from pydantic import Field, create_model

import lecdsr.core.schemas as schemas
from docs.generate.commands import commands
from docs.generate.parameters import keys, parameters, settings_classes
from docs.generate.tables import tables
from lecdsr.cli.main import app
from lecdsr.config.names import stage_names
from lecdsr.config.pair import Pair
from lecdsr.config.schema import Block
from lecdsr.core.markdown import text_table
from lecdsr.models.registry import model_names


def test_bars_and_line_breaks_do_not_end_a_cell():
    assert text_table(("a", "b"), [("x|y", "one\n  two")]) == "| a | b |\n| --- | --- |\n| x\\|y | one two |"


class Inner(Block):
    """Inside."""

    rate: float = Field(default=1e-5, gt=0, lt=1, description="How fast.")


class Small(Block):
    """A small block; see :mod:`lecdsr.config`.

    Its ``rate`` is inside.
    """

    name: str = Field(description="Its name.")
    size: int | None = Field(default=None, ge=1, le=2000, description="Its size.")
    on: bool = Field(default=True, description="Switch.")
    mode: Literal["a", "b|c"] = Field(default="a", description="Which way.")
    fixed: Literal[1] = Field(default=1, description="Always one.")
    cuts: tuple[float, float] | tuple[date, date] = Field(default=(0.5, 1.0), description="Two.")
    parts: list[Literal["x", "y"]] = Field(default=["x"], description="Some.")
    inner: Inner = Field(default=Inner(), description="A block.")
    other: Inner | None = Field(default=None, description="A block or none.")
    names: dict[str, str] | None = Field(default=None, description="Some names.")
    mark: str = Field(default=";", min_length=1, max_length=1, description="A mark.")


HEAD = "| key | default | allowed values | meaning |\n| --- | --- | --- | --- |\n"
ROWS = """\
| `name` | required | text | Its name. |
| `size` | `null` | integer in [1, 2,000] or `null` | Its size. |
| `on` | `true` | `true`, `false` | Switch. |
| `mode` | `a` | `a`, `b\\|c` | Which way. |
| `fixed` | `1` | `1` | Always one. |
| `cuts` | `[0.5, 1.0]` | [number, number] or [day, day] | Two. |
| `parts` | `["x"]` | list of `x`, `y` | Some. |
| `inner` |  | keys below | A block. |
| `inner.rate` | `0.00001` | number in (0, 1) | How fast. |
| `other` | `null` | keys below or `null` | A block or none. |
| `other.rate` | `0.00001` | number in (0, 1) | How fast. |
| `names` | `null` | mapping of text to text or `null` | Some names. |
| `mark` | `;` | one character | A mark. |"""


def test_parameters_by_hand():
    page = parameters({"one": Small, "train.shared": Inner, "train.small": Inner, "last": Inner})
    inner = HEAD + "| `rate` | `0.00001` | number in (0, 1) | How fast. |"
    assert page.split("\n\n") == [
        "## `one`", "A small block; see `lecdsr.config`.", "Its `rate` is inside.", HEAD + ROWS,
        "## `train`",
        "### `train.shared`", "Inside.", inner,
        "### `train.small`", "Inside.", inner,
        "## `last`", "Inside.", inner,
    ]  # fmt: skip


def test_keys_that_no_file_holds_are_left_out():
    assert keys(Small, leave_out=["name"]) == HEAD + ROWS.partition("\n")[2]


@pytest.mark.parametrize(
    ("bounds", "shown"),
    [({"ge": 0}, "≥ 0"), ({"gt": 0}, "> 0"), ({"le": 9}, "≤ 9"), ({"lt": 9}, "< 9"), ({"ge": 0, "lt": 1}, "in [0, 1)")],
)
def test_bounds(bounds, shown):
    block = create_model("Bounded", __base__=Block, key=(int, Field(default=1, description="A key.", **bounds)))
    assert f"| integer {shown} |" in keys(block)


def test_every_setting_is_on_the_page():
    classes = settings_classes()
    assert {name for name in classes if "." not in name} == set(stage_names()) - {"train"}
    assert {name for name in classes if "." in name} == {"train.shared", *(f"train.{name}" for name in model_names())}
    sections = parameters(classes).split("\n## ")
    for name, block in classes.items():
        outer, _, inner = name.partition(".")
        (section,) = (text for text in sections if text.removeprefix("## ").startswith(f"`{outer}`"))
        own = section.split(f"### `{name}`\n")[1].split("\n### ")[0] if inner else section
        shown = [line.split("`")[1] for line in own.splitlines() if line.startswith("| `")]
        assert [key for key in shown if "." not in key] == list(block.model_fields), name
    assert "| `synthetic.users` | `1200` |" in sections[0]


def test_every_key_of_a_pair_says_what_it_means():
    rows = [[cell.strip() for cell in line.split(" | ")] for line in keys(Pair).splitlines()[2:]]
    assert len(rows) > 15
    assert [row[0] for row in rows if len(row[3]) < 15] == []
    assert {row[0].strip("| `") for row in rows} >= {"domains", "source", "custom.interactions.time_unit"}


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
