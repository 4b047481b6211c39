"""Sphinx extension: how long a page takes to read.

The time stands below the title of each page with code, and behind the links
of a block of the class `paths`.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

WORDS_A_MINUTE = 180
CELL = 0.25  # minutes for a cell and what it shows
_PATHS = re.compile(r'<div class="paths.*?</div>', re.DOTALL)
_LINK = re.compile(r'(<a [^>]*href="([\w/]+)\.html"[^>]*>.*?</a>)', re.DOTALL)


def minutes(doctree: nodes.document) -> int:
    """Estimate how long a page takes; 0 for one without code."""
    prose = doctree.findall(nodes.paragraph)
    words = sum(len(paragraph.astext().split()) for paragraph in prose)
    cells = sum(
        "cell" in container["classes"]
        for container in doctree.findall(nodes.container)
    )
    return round(words / WORDS_A_MINUTE + CELL * cells) if cells else 0


def remember(app: Sphinx, doctree: nodes.document) -> None:
    """Keep the time of each page that is read."""
    times = getattr(app.env, "reading_times", {})
    app.env.reading_times = times | {app.env.docname: minutes(doctree)}


def tell(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: Any,
) -> None:
    """Write the times into a page."""
    times = getattr(app.env, "reading_times", {})
    folder = pagename.rpartition("/")[0]

    def timed(match: re.Match[str]) -> str:
        time = times.get(f"{folder}/{match[2]}")
        return f"{match[1]} ({time} min)" if time else match[1]

    body = context.get("body", "")
    body = _PATHS.sub(lambda block: _LINK.sub(timed, block[0]), body)
    if time := times.get(pagename):
        told = f'</h1><p class="reading-time">{time} minutes to read</p>'
        body = body.replace("</h1>", told, 1)
    context["body"] = body


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx; hover cards are made of pages without the times."""
    app.connect("doctree-read", remember)
    app.connect("html-page-context", tell, priority=600)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
