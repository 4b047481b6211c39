"""Headless Chromium that can reach this machine only, for `test_site`."""

import base64
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

HOST = "127.0.0.1"
DESKTOP, PHONE = (1280, 900), (390, 844)
SECONDS = 60

DRAW = """
const done = arguments[0];
(async () => {
  for (const fold of document.querySelectorAll("details:not(figure *)")) {
    fold.open = true;
  }
  const figures = [...document.querySelectorAll("figure.vl-chart")];
  for (const figure of figures) {
    figure.scrollIntoView();
    for (let i = 0; i < 200; i++) {
      if (["done", "error"].includes(figure.dataset.state)) break;
      await new Promise((next) => setTimeout(next, 50));
    }
  }
  done(figures.map((f) => ({
    state: f.dataset.state ?? "never drawn",
    text: f.querySelector(".vl-view").innerText,
    label: f.querySelector("[role=graphics-document]")?.ariaLabel ?? "",
    marks: f.querySelectorAll("svg, canvas").length,
    width: f.querySelector("svg.marks, canvas.marks")?.clientWidth ?? 0,
    room: f.clientWidth,
  })));
})();
"""


def missing() -> str | None:
    """Say which program a browser test lacks."""
    driver = shutil.which("chromedriver")
    chrome = shutil.which("chromium") or shutil.which("google-chrome")
    lacking = [
        name
        for name, path in (("chromium", chrome), ("chromedriver", driver))
        if path is None
    ]
    return f"needs {' and '.join(lacking)}" if lacking else None


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder; yield its address."""
    handler = partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer((HOST, 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Loaded:
    """What loading a page did: hosts asked and lines on the console."""

    hosts: set[str]
    errors: list[str]


class Browser:
    """One Chromium; every page is loaded cold."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = (
            shutil.which("chromium") or shutil.which("google-chrome") or ""
        )
        rules = f"MAP * ~NOTFOUND , EXCLUDE {HOST}"
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--force-prefers-reduced-motion",  # no colour is read half-way
            f"--host-resolver-rules={rules}",
        ):
            options.add_argument(argument)
        logs = {"performance": "ALL", "browser": "ALL"}
        options.set_capability("goog:loggingPrefs", logs)
        service = Service(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(SECONDS)
        self.driver.set_page_load_timeout(SECONDS)
        self.driver.execute_cdp_cmd(
            "Network.setCacheDisabled", {"cacheDisabled": True}
        )

    def close(self) -> None:
        """End the browser."""
        self.driver.quit()

    def js(self, code: str, *arguments: Any) -> Any:
        """Run JavaScript in the page."""
        return self.driver.execute_script(code, *arguments)

    def open(self, url: str, size: tuple[int, int] = DESKTOP) -> None:
        """Load a page at a size in CSS pixels, with empty logs."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": size[0],
                "height": size[1],
                "deviceScaleFactor": 1,
                "mobile": size[0] < 600,
            },
        )
        self.driver.get("about:blank")
        for kind in ("performance", "browser"):
            self.driver.get_log(kind)
        self.driver.get(url)

    def draw(self) -> list[dict[str, Any]]:
        """Scroll to every chart; tell how each came out."""
        charts: list[dict[str, Any]] = self.driver.execute_async_script(DRAW)
        return charts

    def loaded(self) -> Loaded:
        """Read the logs since `open`."""
        hosts = set()
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = urlsplit(message["params"]["request"]["url"])
                if url.scheme not in ("data", "blob"):
                    hosts.add(url.hostname or url.scheme)
        lines = self.driver.get_log("browser")
        errors = [ln["message"] for ln in lines if ln["level"] == "SEVERE"]
        return Loaded(hosts, errors)

    def point(self, x: float, y: float, touch: bool = False) -> None:
        """Move the mouse to a place in the window, or tap there."""
        where = {"x": round(x), "y": round(y)}
        send = self.driver.execute_cdp_cmd
        if touch:
            for kind, points in (("touchStart", [where]), ("touchEnd", [])):
                event = {"type": kind, "touchPoints": points}
                send("Input.dispatchTouchEvent", event)
        else:
            event = {"type": "mouseMoved", **where}
            send("Input.dispatchMouseEvent", event)

    def picture(self, path: Path, whole: bool = False) -> None:
        """Save the page, or what the window shows, as PNG."""
        shot = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": whole}
        )
        path.write_bytes(base64.b64decode(shot["data"]))
