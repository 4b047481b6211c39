"""The built site as one PDF, for `make pdf`.

Chromium prints each page with all its charts drawn; the outline of the PDF
has one entry per page, in the order of the book.
"""

import base64
import io
import sys
from pathlib import Path

import yaml
from pypdf import PdfWriter

from tests import browser
from tests.browser import DESKTOP, Browser

ROOT = Path(__file__).resolve().parent.parent
READY = """
  const done = arguments[0];
  (async () => {
    await window.drawAll?.();
    await window.MathJax?.startup?.promise;
    await document.fonts.ready;
    done(document.querySelector("h1").firstChild.textContent);
  })();
"""
PAPER = {
    "printBackground": True,
    "paperWidth": 8.27,
    "paperHeight": 11.69,
    "displayHeaderFooter": True,
    "headerTemplate": "<span></span>",
    "footerTemplate": "<div style='width: 100%; text-align: center; "
    "font-size: 8px'><span class='title'></span></div>",
}
"""A4, in inches."""


def pages(html: Path) -> list[Path]:
    """List the pages of a site in the order of the book."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    parts = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    names = [toc["root"], *(chapter["file"] for chapter in parts)]
    files = [html / f"{name}.html" for name in names]
    return [path for path in files if path.is_file()]


def printed(tab: Browser, address: str) -> tuple[str, bytes]:
    """Return the title of a page and the page as PDF."""
    tab.open(address, DESKTOP)
    title: str = tab.driver.execute_async_script(READY)
    done = tab.driver.execute_cdp_cmd("Page.printToPDF", PAPER)
    return title, base64.b64decode(done["data"])


def main(html: Path, target: Path) -> None:
    """Print the site in a folder into one file."""
    if reason := browser.missing():
        sys.exit(f"make pdf: {reason}")
    tab, book = Browser(), PdfWriter()
    for path in pages(html):
        title, content = printed(tab, path.resolve().as_uri())
        book.append(io.BytesIO(content), outline_item=title)
    tab.close()
    book.write(target)
    print(f"{target}: {len(book.pages)} pages")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
