"""The built site, served, and a browser for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser
from tests.browser import Browser


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    with browser.serve(site) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if reason := browser.missing():
        pytest.skip(reason)
    tab = Browser()
    yield tab
    tab.close()
