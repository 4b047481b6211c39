"""The built site as one PDF, for `make pdf`.

Chromium prints each page with all its charts drawn; the outline of the PDF
has one entry per page, in the order of the book. Links between pages lead to
the page of the PDF; those to other files of the site are dropped.
"""

import base64
import io
import sys
from pathlib import Path
from urllib.parse import urldefrag

import yaml
from pypdf import PageObject, PdfReader, PdfWriter
from pypdf.generic import ArrayObject, NameObject

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
    "scale": 0.75,
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


def relink(page: PageObject, home: str, sheets: dict[str, PageObject]) -> None:
    """Let the links of a page of the PDF lead to others of its pages.

    Args:
        page: changed in place.
        home: the address of the page of the site that it was printed from.
        sheets: addresses, with and without an anchor, to pages of the PDF.
    """
    for entry in page.get("/Annots", []):
        link = entry.get_object()
        address = link.get("/A", {}).get("/URI") or (
            f"{home}#{str(link.pop('/Dest', '')).removeprefix('/')}"
        )
        sheet = sheets.get(address) or sheets.get(urldefrag(address).url)
        if sheet:
            place = [sheet.indirect_reference, NameObject("/Fit")]
            link[NameObject("/Dest")] = ArrayObject(place)
        if sheet or address.startswith("file:"):
            link.pop("/A", None)


def main(html: Path, target: Path) -> None:
    """Print the site in a folder into one file."""
    if reason := browser.missing():
        sys.exit(f"make pdf: {reason}")
    tab, book = Browser(), PdfWriter()
    homes: list[str] = []
    sheets: dict[str, PageObject] = {}
    for path in pages(html):
        home = path.resolve().as_uri()
        title, content = printed(tab, home)
        part = PdfReader(io.BytesIO(content))
        book.append(part, outline_item=title)
        start = len(homes)
        homes += [home] * len(part.pages)
        sheets[home] = book.pages[start]
        for name, place in part.named_destinations.items():
            number = start + (part.get_destination_page_number(place) or 0)
            sheets[f"{home}#{name.removeprefix('/')}"] = book.pages[number]
    tab.close()
    for sheet, home in zip(book.pages, homes, strict=True):
        relink(sheet, home, sheets)
    book.write(target)
    print(f"{target}: {len(book.pages)} pages")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
