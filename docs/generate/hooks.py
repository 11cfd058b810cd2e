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
NO_RESULTS = """# Results

No experiment is recorded yet. `lecdsr tune --pair PAIR` runs them and `lecdsr results --pair PAIR` writes this page.
"""
#: Marker on a page that is replaced by a section generated from the code.
SCHEMAS = "<!-- schemas -->"
LINK = re.compile(r"\[([^]]+)]\((\.\./[^)]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are generated from the code."""
    blocks = parameters(settings_classes())
    page = "\n\n".join([PARAMETERS, docstring(Pair), keys(Pair, leave_out=["name"]), blocks])
    files.append(File.generated(config, "parameters.md", content=page))
    files.append(File.generated(config, "commands.md", content=COMMANDS + "\n" + commands(app, "lecdsr")))
    if not (DOCS / "results.md").exists():
        files.append(File.generated(config, "results.md", content=NO_RESULTS))
    files.append(File.generated(config, "code.css", content=_colours()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Insert sections that are generated from the code, and show links to files of the repository as their names."""
    markdown = markdown.replace(SCHEMAS, tables(lecdsr.core.schemas))
    return LINK.sub(lambda link: _named(link, page.file.src_uri), markdown)


def _colours() -> str:
    """Return the style sheet for code, with colours for light and dark pages."""
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
    """Replace a link to a file outside of the pages by the name of the file; keep other links."""
    target = (DOCS / page).parent.joinpath(link[2]).resolve()
    if target.is_relative_to(DOCS):
        return link[0]
    if not target.exists():
        raise PluginError(f"docs/{page} links to {link[2]}, which is not there")
    return link[1]
