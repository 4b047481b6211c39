"""The explorers in JupyterLab, where it is installed, in a real browser."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest

from helpers.runtime.paths import checkout
from tests import browser
from tests.browser import HOST, Browser

CELLS = """
import altair
from helpers import charts, explorers, images

charts.setup()
altair.renderers.enable("svg")  # the browser reaches no other machine
scenes = images.load("wardrobe", limit=16)
bank = images.load("wardrobe", "train", limit=40)
---
explorers.patches(["lab/vit_cls"], scenes, batch_size=8)
---
explorers.neighbours(["lab/vit_cls"], scenes, bank)
---
explorers.similarity(["lab/vit_cls", "lab/resnet"], scenes, batch_size=8)
"""
SECONDS = 120
IDLE = "document.body.innerText.includes('| Idle')"
RUN = "window.jupyterapp.commands.execute('notebook:run-all-cells')"
BUTTONS = """
[...document.querySelectorAll('.jupyter-button')]
  .filter((e) => e.innerText === 'Measure')
"""


def until(tab: Browser, condition: str) -> None:
    """Wait for something in the page."""
    end = time.monotonic() + SECONDS
    while not tab.js(f"return Boolean({condition})"):
        assert time.monotonic() < end, f"never came: {condition}"
        time.sleep(0.3)


@pytest.fixture
def lab(tmp_path):
    """The address of a notebook in a JupyterLab that asks for no password."""
    if not importlib.util.find_spec("jupyterlab"):
        pytest.skip("needs jupyterlab")
    if reason := browser.missing():
        pytest.skip(reason)
    cells = [nbformat.v4.new_code_cell(c) for c in CELLS.split("---\n")]
    spec = {"name": "python3", "display_name": "Python 3"}
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": spec}
    )
    nbformat.write(notebook, tmp_path / "try.ipynb")
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    options = {
        "--ip": HOST,
        "--port": port,
        "--ServerApp.port_retries": 0,
        "--ServerApp.root_dir": tmp_path,
        "--IdentityProvider.token": "",
        "--LabApp.expose_app_in_browser": True,
    }
    order = [f"{name}={value}" for name, value in options.items()]
    order += ["--no-browser", "--allow-root"]
    paths = os.pathsep.join(
        [str(checkout()), os.environ.get("PYTHONPATH", "")]
    )
    own = {"HOME": str(tmp_path), "PYTHONPATH": paths, "BOOK_BUILD": "0"}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *order],
            env=os.environ | own,
            stdout=log,
            stderr=log,
        )
    address = f"http://{HOST}:{port}/lab/tree/try.ipynb"
    end = time.monotonic() + SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            break
        except OSError:
            said = (tmp_path / "log").read_text()
            assert server.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.3)
    yield address
    server.terminate()
    server.wait()


def test_a_reader_clicks_through_the_explorers(lab):
    tab = Browser()
    try:
        tab.open(lab)
        until(tab, f"window.jupyterapp && {IDLE}")
        tab.js(RUN)
        until(tab, f"{BUTTONS}.length === 3")
        for number in range(3):
            tab.js(f"{BUTTONS}[{number}].click()")
        done = "document.body.innerText.split('Measured in').length === 4"
        until(tab, done)
        until(tab, "document.querySelectorAll('.pictures img').length > 12")
        until(tab, "document.querySelector('img[src^=\"data:image/svg\"]')")
        tab.js("document.querySelector('[title=\"row 3, column 6\"]').click()")
        until(tab, "document.body.innerText.includes('row 3, column 6, ')")
        assert tab.loaded().errors == []
    finally:
        tab.close()
