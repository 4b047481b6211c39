"""HTML that a page shows, with the words that stand for it."""

from typing import Any


class Html(str):
    """HTML that a page shows as such, and the words that stand for it."""

    text: str

    def __new__(cls, markup: str, text: str) -> "Html":
        """Make the string; `text` is what a reader without HTML sees."""
        page = super().__new__(cls, markup)
        page.text = text
        return page

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": str(self), "text/plain": self.text}
