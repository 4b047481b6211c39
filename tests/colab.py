"""The committed notebooks in Colab's oldest runtime: `make colab`.

Makes an environment of what Colab had with the oldest torch supported, runs
notebooks there as a reader would, at smoke size, in a folder without the
book, and fails when a package that was there has changed. It fetches a few
gigabytes at its first run, so it is not part of `make test`. The install cell
gets the last commit of this checkout in place of the one on the web.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import nbformat
import yaml

from helpers import editions
from helpers.runtime.paths import checkout

ROOT = checkout()
FOLDER = ROOT / "_build" / "colab"
PYTHON = FOLDER / "env" / "bin" / "python"


def prepare():
    """Make the environment where it is missing; take the book out of it."""
    if not PYTHON.exists():
        venv.create(FOLDER / "env", with_pip=True)
    pins = ROOT / "tests" / "colab.txt"
    for words in (
        ["uninstall", "-q", "-y", "vitscope"],
        ["install", "-q", "-r", pins],
    ):
        subprocess.run([PYTHON, "-m", "pip", *words], check=True)


def packages():
    """Return the packages there with their versions."""
    command = [PYTHON, "-m", "pip", "list", "--format", "json"]
    listed = subprocess.run(command, check=True, capture_output=True)
    return {p["name"]: p["version"] for p in json.loads(listed.stdout)}


def run(job, folder):
    """Execute the committed notebook of a page; return what it says first."""
    notebook = nbformat.read(job.source.with_suffix(".ipynb"), 4)
    at = next(
        i
        for i, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", [])
    )
    values = [f"{name} = {value!r}" for name, value in job.overrides.items()]
    smaller = nbformat.v4.new_code_cell("\n".join(values))
    notebook.cells.insert(at + 1, smaller)
    path = Path(folder, f"{job.page}.ipynb")
    nbformat.write(notebook, path)
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    here = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": config["repository"]["url"],
    }
    others = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run(
        [PYTHON.with_name("jupyter-execute"), "--inplace", path],
        cwd=folder,
        env=others | here,
        check=True,
    )
    return nbformat.read(path, 4).cells[0].outputs[-1].text.strip()


def main(chosen):
    """Run pages, all by default; exit status 1 when a package changed."""
    prepare()
    before = packages()
    for job in editions.plan(editions.load("smoke", ROOT), ROOT):
        if not chosen or job.page in chosen:
            begin = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                said = run(job, folder)
            print(f"{job.page}: {time.perf_counter() - begin:.0f} s; {said}")
    after = packages()
    added = sorted(after.keys() - before.keys())
    print("added:", ", ".join(f"{n} {after[n]}" for n in added))
    changed = [
        f"{name} {version} became {after.get(name, 'nothing')}"
        for name, version in before.items()
        if after.get(name) != version
    ]
    print("changed:", ", ".join(changed) or "nothing that was there")
    sys.exit(bool(changed))


if __name__ == "__main__":
    main(sys.argv[1:])
