"""A book of a few tiny pages, to test the runner on."""

from pathlib import Path

HEADER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""
CONFIG = """\
title: A mini book
author: Nobody
only_build_toc_files: true
exclude_patterns: ["book/**.ipynb"]
execute: {execute_notebooks: cache}
bibtex_bibfiles: [book/references.bib]
sphinx: {extra_extensions: [sphinxcontrib.bibtex]}
parse: {myst_enable_extensions: [amsmath, colon_fence, dollarmath]}
repository: {url: "https://github.com/nobody/mini", branch: main}
"""
TOC = """\
format: jb-book
root: book/start
parts:
  - caption: Pages
    chapters:
      - file: book/first
      - file: book/second
  - caption: Back
    chapters:
      - file: book/claims
      - file: book/references
"""
BIB = """\
@misc{raghu2021, title = {Do {ViTs} See}, year = {2021},
  author = {Raghu, Maithra and Unterthiner, Thomas and Kornblith, Simon}}
@misc{efron1981, title = {The Jackknife}, year = {1981},
  author = {Efron, Bradley and Stein, Charles}}
"""
START = "# Start\n\nNo code here; see [](first.md).\n"
REFERENCES = "# References\n\n```{bibliography}\n```\n"
FIRST = """\
# The first page

Citing {cite}`raghu2021`.

```{code-cell} ipython3
:tags: [parameters]

num_images: int = 4  # images to count (≥ 1)
scale: float = 1.0  # a factor (0 to 10)
names: list[str] = ["a", "b"]  # words
limit: int | None = None  # the most
model: str = "lab/vit_cls"  # model spec: the one to look at
```

Count them.

```{code-cell} ipython3
import time

time.sleep(DELAY)
print("images", num_images, scale, names, limit)
```
"""
SECOND = """\
# The second page

```{code-cell} ipython3
:tags: [parameters]

num_images: int = 4  # images to count
word: str = "hello"  # what to say
```

A line above the code.

```{code-cell} ipython3
def half(number):
    return 1 / number


print(word)
half(num_images - 5)
```
"""
CLAIMS = """\
# Claims

```{code-cell} ipython3
:tags: [parameters]

verbose: bool = False  # say more
```

What the pages found.

```{code-cell} ipython3
import json, os

with open(os.environ["VITSCOPE_LEDGER"]) as file:
    print(sorted(json.load(file)["pages"]), os.environ["BOOK_BUILD"])
```
"""


def make(root: Path, delay: float = 0.0) -> Path:
    """Write the book into a folder."""
    book = root / "book"
    book.mkdir(parents=True)
    (root / "_config.yml").write_text(CONFIG)
    (root / "_toc.yml").write_text(TOC)
    (book / "references.bib").write_text(BIB)
    (book / "start.md").write_text(START)
    (book / "references.md").write_text(REFERENCES)
    first = FIRST.replace("DELAY", str(delay))
    for name, text in (
        ("first", first),
        ("second", SECOND),
        ("claims", CLAIMS),
    ):
        (book / f"{name}.md").write_text(HEADER + text)
    return root


def editions(root: Path) -> Path:
    """Give a mini book two editions, and return the folder of these."""
    folder = root / "data" / "editions"
    folder.mkdir(parents=True)
    for name in ("lab", "smoke"):
        (folder / f"{name}.yaml").write_text("title: A mini book\n")
    return folder
