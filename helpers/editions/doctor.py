"""Is this machine ready for the book? One line per check, with the fix.

What a reader can do without (a browser, a GPU) is told, not held against the
machine.
"""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from helpers.runtime.paths import DATA, checkout

NEEDED = {
    "python": (3, 11),
    "torch": (2, 6),
    "torchvision": (0, 21),
    "timm": (1, 0, 21),
    "numpy": (1, 26),
}
MEMORY = 4.0
"""GiB of memory that the lab edition needs."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: the thing.
        found: what is there.
        mend: what to do about it; empty when it is as it should be.
        needed: whether the book cannot do without.
    """

    what: str
    found: str
    mend: str = ""
    needed: bool = True


def examine() -> Iterator[Finding]:
    """Look at everything, one finding after the other."""
    yield from _versions()
    yield from _tools()
    yield from _machine()
    yield from _data()


def next_step(wrong: int) -> str:
    """Say what to do after the examination.

    Args:
        wrong: how many findings must be mended.
    """
    if wrong:
        return "mend what is marked WRONG, then `vitscope doctor` again"
    if not shutil.which("vitscope"):
        return (
            "`make shell`, or `source .venv/bin/activate`: your shell does "
            "not know vitscope and papermill yet"
        )
    if not (checkout() / "_build/editions/lab/html/index.html").is_file():
        return "`make book` runs the book and builds its site"
    return "`make serve` shows the site; `vitscope inspect SPEC` a model"


def _versions() -> Iterator[Finding]:
    for name, least in NEEDED.items():
        wanted = ".".join(map(str, least))
        mend = f"{name} {wanted} or newer is needed"
        try:
            found = (
                sys.version.split()[0]
                if name == "python"
                else importlib.metadata.version(name)
            )
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "missing", f"{mend}: pip install -e .")
            continue
        numbers = [p for p in found.split("+")[0].split(".") if p.isdigit()]
        fine = tuple(map(int, numbers)) >= least
        yield Finding(name, found, "" if fine else mend)


def _machine() -> Iterator[Finding]:
    import helpers.editions.provenance as provenance

    facts = provenance.environment()
    cores = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count()
    )
    yield Finding("device", f"{facts['device']}, {cores} cores")
    if "SC_PHYS_PAGES" in os.sysconf_names:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        memory = size / 2**30
        mend = "" if memory >= MEMORY else f"the lab needs {MEMORY:.0f} GiB"
        yield Finding("memory", f"{memory:.1f} GiB", mend)


def _tools() -> Iterator[Finding]:
    from jupyter_client.kernelspec import KernelSpecManager

    kernels = KernelSpecManager().find_kernel_specs()
    there = "python3" in kernels
    mend = "" if there else "python -m ipykernel install --sys-prefix"
    yield Finding("kernel python3", kernels.get("python3", "missing"), mend)
    try:
        found = importlib.metadata.version("jupyter-book")
        wrong = "" if found.startswith("1.") else "version 1 is needed: "
    except importlib.metadata.PackageNotFoundError:
        found, wrong = "missing", "needed to build the site: "
    mend = wrong and wrong + 'pip install -e ".[book]"'
    yield Finding("jupyter-book", found, mend)
    browsers = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, browsers)), None)
    mend = "" if browser else "only the tests of the site use it"
    yield Finding("chromium", browser or "missing", mend, needed=False)


def _data() -> Iterator[Finding]:
    from helpers.models import zoo

    try:
        yield Finding("book sources", str(checkout()))
    except FileNotFoundError as error:
        yield Finding("book sources", "missing", str(error))
    for name in ("garments.npz", "claims.yaml"):
        path = DATA / name
        mend = "" if path.is_file() else "the copy of the book is incomplete"
        yield Finding(name, str(path) if not mend else "missing", mend)
    cards = zoo.cards()
    broken = []
    for name in cards:
        try:
            zoo.state(name)
        except (ValueError, FileNotFoundError) as error:
            broken.append(str(error))
    found = f"{len(cards) - len(broken)} of {len(zoo.NAMES)} models, checked"
    yield Finding("zoo", found, "; ".join(broken))
    missing = [name for name in zoo.NAMES if name not in cards]
    if missing:
        mend = f"not trained yet: {', '.join(missing)}; `vitscope train NAME`"
        yield Finding("zoo, missing", str(len(missing)), mend, needed=False)
