"""The page as one self-contained HTML file; every text from data is escaped by the template engine."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

from lecdsr.report.draw import Plot, to_svg
from lecdsr.report.sections import Section


class Browser(NamedTuple):
    """The browser of users: whose recommendations it shows, and its data (see ``users.browse``)."""

    model: str
    data: Mapping[str, Any]
    all_users: int


class Content(NamedTuple):
    """All that the page shows."""

    pair: str
    domains: Mapping[str, str]
    synthetic: bool
    sections: Sequence[Section]
    browser: Browser


def render(content: Content) -> str:
    """The page as HTML: no request to anywhere, and a policy that forbids any.

    The data of the browser stand in a block of JSON in which ``<``, ``>`` and ``&`` are written as ``\\u003c`` and so
    on, so that no text in them can end the block.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lecdsr.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    environment.filters["code"] = code
    environment.filters["figure"] = figure
    # Their files are part of the program and hold no data.
    script, style = (Markup(environment.get_template(name).render()) for name in ("users.js.jinja", "style.css.jinja"))
    return environment.get_template("page.html.jinja").render(
        content._asdict(),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=style,
        data={**content.browser.data, "domains": list(content.domains.values())},
    )


def code(text: str) -> Markup:
    """Text in which what stands between backticks is code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def figure(plot: Plot) -> Markup:
    """The drawing; matplotlib escapes the texts in it."""
    return Markup(to_svg(plot))
