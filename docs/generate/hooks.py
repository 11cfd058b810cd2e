"""What MkDocs does for this site beside turning Markdown into pages.

Pages and sections that come from the code are made here at every build, so that they cannot be out of date.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from pygments.formatters import HtmlFormatter

import lecdsr.core.schemas
from docs.generate.commands import commands
from docs.generate.parameters import parameters
from docs.generate.tables import tables
from lecdsr.cli.main import app

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
PARAMETERS = """# Parameters

What `params.yaml` sets for every pair; `pairs/NAME.yaml` may set any of it anew for one pair, block by block. A block
has the name of the stage that reads it. Unknown and ill-typed keys are refused; `lecdsr check` checks all of them.
This page is made from the comments of that file.
"""
COMMANDS = """# Command line

What `lecdsr --help` and `lecdsr COMMAND --help` say.
"""
NO_RESULTS = """# Results

No experiment is recorded yet. `lecdsr tune --pair PAIR` runs them and `lecdsr results --pair PAIR` writes this page.
"""
#: Where a page wants a section that comes from the code.
SCHEMAS = "<!-- schemas -->"
LINK = re.compile(r"\[([^]]+)]\((\.\./[^)]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that come from the code."""
    settings = (ROOT / "params.yaml").read_text(encoding="utf-8")
    files.append(File.generated(config, "parameters.md", content=PARAMETERS + "\n" + parameters(settings)))
    files.append(File.generated(config, "commands.md", content=COMMANDS + "\n" + commands(app, "lecdsr")))
    if not (DOCS / "results.md").exists():
        files.append(File.generated(config, "results.md", content=NO_RESULTS))
    files.append(File.generated(config, "code.css", content=_colours()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in sections that come from the code; name files of the repository where the page links to them."""
    markdown = markdown.replace(SCHEMAS, tables(lecdsr.core.schemas))
    return LINK.sub(lambda link: _named(link, page.file.src_uri), markdown)


def _colours() -> str:
    """Colours of code, for light and dark pages."""
    light, dark = (HtmlFormatter(style=style) for style in ("default", "github-dark"))
    return "\n".join(
        [
            light.get_style_defs(".highlight"),
            dark.get_style_defs('[data-bs-theme="dark"] .highlight'),
            # Wide tables and code scroll inside the page, which stays as wide as a phone.
            "table { display: block; overflow-x: auto; }",
        ]
    )


def _named(link: re.Match[str], page: str) -> str:
    """A link out of the folder of the pages, as the name of the file it leads to; other links stay."""
    target = (DOCS / page).parent.joinpath(link[2]).resolve()
    if target.is_relative_to(DOCS):
        return link[0]
    if not target.exists():
        raise PluginError(f"docs/{page} links to {link[2]}, which is not there")
    return link[1]
