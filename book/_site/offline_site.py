"""Sphinx extension: everything that the site's pages load lies in the site.

It serves the vendored MathJax, the book's own style sheet and chart script,
and a Vega bundle that vl-convert writes at build time; and it drops the
scripts of other extensions that would ask other machines.
"""

import os
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vl_convert
from sphinx.application import Sphinx
from sphinx.config import Config

import helpers

HERE = Path(__file__).parent
BUNDLE = "vega-bundle.js"


def bundle(folder: Path) -> None:
    """Write the Vega bundle, unless that of this vl-convert is there.

    It is wrapped in a function: its names would clash with Sphinx's.
    """
    stamp = f"// vl-convert {version('vl-convert-python')}\n"
    path = folder / BUNDLE
    if path.is_file() and path.read_text("utf-8").startswith(stamp):
        return
    folder.mkdir(parents=True, exist_ok=True)
    code = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    part = path.with_suffix(".part")
    part.write_text(f"{stamp}(function(){{{code}\n}})();\n", "utf-8")
    part.replace(path)


def name_book(app: Sphinx, config: Config) -> None:
    """Write the title beside the mark, version and day below each page."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    day = datetime.fromtimestamp(float(seconds or time.time()), UTC)
    config.html_theme_options["logo"] = {"text": config.html_title}
    config.html_theme_options["extra_footer"] = (
        f'<p class="version">Version {helpers.__version__}, built on '
        f'<time datetime="{day:%Y-%m-%d}">{day.day} {day:%B %Y}</time></p>'
    )


def add_folders(app: Sphinx) -> None:
    """Serve the static folders, and the bundle made beside the output."""
    generated = Path(app.outdir).parent / "vega"
    bundle(generated)
    folders = [HERE / "static", HERE / "vendor", generated]
    app.config.html_static_path += [str(folder) for folder in folders]


def choose_scripts(
    app: Sphinx,
    pagename: str,
    templatename: str,
    context: dict[str, Any],
    doctree: Any,
) -> None:
    """Drop the scripts of sphinx-thebe; load those that a page needs."""
    scripts = context["script_files"]
    scripts[:] = [s for s in scripts if "thebe" not in str(s).lower()]
    body = context.get("body", "")
    if 'class="vl-chart"' in body:
        app.add_js_file(BUNDLE, loading_method="defer")
        app.add_js_file("charts.js", loading_method="defer")
    if 'class="verdicts ledger"' in body:
        app.add_js_file("ledger.js", loading_method="defer")
    if "cell_input" in body:
        app.add_js_file("code.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx; pages executed by a plain build know of it."""
    os.environ.setdefault("BOOK_BUILD", "1")
    app.add_css_file("book.css")
    app.add_js_file("names.js", loading_method="defer")
    app.connect("config-inited", name_book)
    app.connect("builder-inited", add_folders)
    app.connect("html-page-context", choose_scripts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
