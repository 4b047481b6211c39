"""Sphinx extension: the first use of a glossary term on a page is a link.

Pages are plain prose, so that they read well in Colab, too; the links, and
with them the hover cards, are made here.
"""

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.addnodes import glossary
from sphinx.application import Sphinx

CLOSED = (
    *(nodes.reference, nodes.literal, nodes.literal_block, nodes.caption),
    *(nodes.title, nodes.math, nodes.term, nodes.raw, nodes.table),
)
"""In these, words stay as they are."""


def terms(app: Sphinx) -> dict[str, tuple[str, str]]:
    """Return each term of the glossary, with its page and its anchor."""
    found = app.env.get_domain("std").get_objects()
    return {
        name: (page, anchor)
        for name, _, kind, page, anchor, _ in found
        if kind == "term"
    }


def pattern(names: list[str]) -> re.Pattern[str]:
    """Match any of the terms, the longest first, alone or as a plural.

    A word may begin a sentence; an acronym is written in one way only.
    """

    def spelt(name: str) -> str:
        first = name[0]
        start = f"[{first}{first.upper()}]" if name.islower() else first
        return start + re.escape(name[1:])

    longest = sorted(names, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])({'|'.join(map(spelt, longest))})s?(?!\w)")


def prose(doctree: nodes.document) -> Iterator[nodes.Text]:
    """Yield the text of paragraphs that is not closed to links."""
    for text in list(doctree.findall(nodes.Text)):
        above, inside = text.parent, False
        while above is not None and not isinstance(above, (*CLOSED, glossary)):
            inside = inside or isinstance(above, nodes.paragraph)
            above = above.parent
        if inside and above is None:
            yield text


def link(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn the first use of each term on a page into a link."""
    known = terms(app)
    pages = {page for page, _ in known.values()}
    if not known or docname in pages or app.builder.format != "html":
        return
    left = {name.lower(): place for name, place in known.items()}
    search = pattern(list(known))
    for text in prose(doctree):
        pieces: list[nodes.Node] = []
        source, end = str(text), 0
        for match in search.finditer(source):
            place = left.pop(match[1].lower(), None)
            if place is None:
                continue
            page, anchor = place
            address = f"{app.builder.get_relative_uri(docname, page)}#{anchor}"
            pieces.append(nodes.Text(source[end : match.start()]))
            pieces.append(
                nodes.reference(
                    "", match[0], refuri=address, internal=True,
                    classes=["term"],
                )
            )  # fmt: skip
            end = match.end()
        if pieces:
            rest = nodes.Text(source[end:])
            text.parent.replace(text, [*pieces, rest])


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("doctree-resolved", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
