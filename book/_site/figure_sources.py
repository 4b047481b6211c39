"""Sphinx extension: a caption names the paper's figure that it re-measures."""

import re
from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx

SOURCES: dict[str, dict[str, str]] = yaml.safe_load(
    Path(__file__).with_suffix(".yaml").read_text("utf-8")
)
_FIGURE = re.compile(
    r'(<figure class="vl-chart" id="([^"]+)">.*?)(</figcaption>)', re.DOTALL
)


def source(page: str, figure: str) -> str:
    """Return the paper's figure, nothing for a figure of the book's own.

    Args:
        page: its name.
        figure: its id; the longest start that is known decides.
    """
    known = SOURCES.get(page, {})
    starts = sorted(filter(figure.startswith, known), key=len)
    return known[starts[-1]] if starts else ""


def name_sources(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: Any,
) -> None:
    """Write the sources into the captions of a page."""
    page = pagename.rpartition("/")[2]

    def named(match: re.Match[str]) -> str:
        told = source(page, match[2])
        note = f" <cite>Re-measures {told}.</cite>" if told else ""
        return f"{match[1]}{note}{match[3]}"

    if "body" in context:
        context["body"] = _FIGURE.sub(named, context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("html-page-context", name_sources)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
