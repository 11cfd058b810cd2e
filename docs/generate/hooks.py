"""Hooks of MkDocs for this site, which generate pages and sections from the code.

They are generated at every build, so that they cannot be out of date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from pygments.formatters import HtmlFormatter

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
# MkDocs loads this file by its path, with only this file's folder on the import path.
sys.path.insert(0, str(ROOT))

import lecdsr.core.schemas
from docs.generate.commands import commands
from docs.generate.models import model_classes
from docs.generate.parameters import docstring, keys, parameters, settings_classes
from docs.generate.tables import tables
from lecdsr.cli.main import app
from lecdsr.config.pair import Pair

PARAMETERS = """# Parameters

Every setting with its default, which is in the code. `params.yaml` holds the few that are most likely to change, and
any other may be written there, to change it for all pairs, or in `pairs/PAIR.yaml`, to change it for one. Settings come
in blocks with the name of the stage that reads them; those of `train` have a block inside for each model.

```yaml
train:
  sasrec:
    dropout: 0.5
```

For one run, `dvc exp run -S 'train.sasrec.width=128'` changes a setting that `params.yaml` holds, and
`dvc exp run -S '++train.sasrec.dropout=0.5'` one that it does not. Unknown keys and values out of range are refused;
`lecdsr check` checks all files. In an interval a round bracket excludes its end: [0, 1) contains 0 but not 1.

## Selection

The keys of `params.yaml` beside the blocks.

| key | meaning |
| --- | --- |
| `active` | Pairs to build; each has a file `pairs/PAIR.yaml`. |
| `models` | Models to train and evaluate on every active pair; each has a file `lecdsr/models/MODEL.py`. |

## A pair
"""
COMMANDS = """# Command line

What `lecdsr --help` and `lecdsr COMMAND --help` say.
"""
API, GLOSSARY = "api.md", "glossary.md"
NO_RESULTS = """# Results

No experiment is recorded yet. `lecdsr tune --pair PAIR` runs them and `lecdsr results --pair PAIR` writes this page.
"""
#: Where a page wants a section that comes from the code.
SCHEMAS, MODELS = "<!-- schemas -->", "<!-- models -->"
#: References in docstrings, which Python's own tools read and Markdown does not.
ROLE = re.compile(r":(?:attr|class|func|meth|mod):<code>~?([^<]+)</code>")
TERM = re.compile(r"^- \*\*([^*]+)\*\*", re.MULTILINE)
#: A dotted key that fills the cell of a table.
KEY = re.compile(r"<td><code>[\w.]+</code></td>")
DOCS_PAGE = re.compile(r"docs/(\w+)\.md")
LINK = re.compile(r"\[([^]]+)]\((\.\./[^)]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are generated from the code."""
    blocks = parameters(settings_classes())
    page = "\n\n".join([PARAMETERS, docstring(Pair), keys(Pair, leave_out=["name"]), blocks])
    files.append(File.generated(config, "parameters.md", content=page))
    files.append(File.generated(config, "commands.md", content=COMMANDS + "\n" + commands(app, "lecdsr")))
    if not (DOCS / "results.md").exists():
        files.append(File.generated(config, "results.md", content=NO_RESULTS))
    files.append(File.generated(config, "code.css", content=_styles()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in sections that come from the code; name files of the repository where the page links to them."""
    markdown = markdown.replace(SCHEMAS, tables(lecdsr.core.schemas)).replace(MODELS, model_classes())
    if page.file.src_uri == GLOSSARY:
        markdown = TERM.sub(_anchored, markdown)
    return LINK.sub(lambda link: _named(link, page.file.src_uri), markdown)


def _anchored(term: re.Match[str]) -> str:
    """A term of the glossary with an anchor for each of its names: ``**Data card, model card**`` has two."""
    names = (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in term[1].split(","))
    return "- " + "".join(f'<span id="{name}"></span>' for name in names) + f"**{term[1]}**"


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Let keys break after their dots; turn what docstrings refer to, other names and pages, into code and links."""
    html = KEY.sub(lambda cell: cell[0].replace(".", ".<wbr>"), html)
    if page.file.src_uri != API:
        return html
    return DOCS_PAGE.sub(lambda found: _page_link(found[1]), ROLE.sub(r"<code>\1</code>", html))


def _page_link(name: str) -> str:
    """A link to a page that a docstring names by its file."""
    file = DOCS / f"{name}.md"
    if name == "parameters":  # written by this file
        title = PARAMETERS
    elif file.exists():
        title = file.read_text(encoding="utf-8")
    else:
        raise PluginError(f"a docstring names docs/{name}.md, which is not there")
    return f'<a href="{name}.html">{title.splitlines()[0].removeprefix("# ")}</a>'


def _styles() -> str:
    """Colours of code, for light and dark pages, and what this site changes in the theme."""
    light, dark = (HtmlFormatter(style=style) for style in ("default", "github-dark"))
    return "\n".join(
        [
            light.get_style_defs(".highlight"),
            dark.get_style_defs('[data-bs-theme="dark"] .highlight'),
            Path(__file__).with_name("site.css").read_text(encoding="utf-8"),
        ]
    )


def _named(link: re.Match[str], page: str) -> str:
    """Replace a link to a file outside of the pages by the name of the file; keep other links."""
    target = (DOCS / page).parent.joinpath(link[2]).resolve()
    if target.is_relative_to(DOCS):
        return link[0]
    if not target.exists():
        raise PluginError(f"docs/{page} links to {link[2]}, which is not there")
    return link[1]
