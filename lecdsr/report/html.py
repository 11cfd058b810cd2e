"""Render the report as a self-contained HTML file; the template engine escapes all texts from data."""

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
    """Content of the user browser: the model that recommends, and its data (see ``users.browse``)."""

    model: str
    data: Mapping[str, Any]
    all_users: int


class Content(NamedTuple):
    """Everything that the report page shows."""

    pair: str
    domains: Mapping[str, str]
    synthetic: bool
    sections: Sequence[Section]
    browser: Browser


def render(content: Content) -> str:
    """Render the report as an HTML page that makes no requests and forbids them by its content security policy.

    The data of the user browser are in a JSON block in which ``<``, ``>`` and ``&`` are escaped (``\\u003c``, …), so
    that no text can end the block.
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
    # These files are part of the program and contain no data.
    script, style = (Markup(environment.get_template(name).render()) for name in ("users.js.jinja", "style.css.jinja"))
    return environment.get_template("page.html.jinja").render(
        content._asdict(),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=style,
        data={**content.browser.data, "domains": list(content.domains.values())},
    )


def code(text: str) -> Markup:
    """Convert text between backticks to HTML code elements."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def figure(plot: Plot) -> Markup:
    """Return a figure as SVG; matplotlib escapes its texts."""
    return Markup(to_svg(plot))
