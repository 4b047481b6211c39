"""Fixtures of the whole book: executed at smoke size, and its site."""

import os
from pathlib import Path

import pytest

from helpers import editions
from helpers.editions import run
from helpers.editions.run import Outcome
from helpers.editions.site import build

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def smoke() -> Outcome:
    """The book at smoke size; pages that are up to date are not run again."""
    return run.run(editions.load("smoke", ROOT), ROOT, workers=2)


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Path:
    """The html folder of the built site: that of the smoke edition, or the
    one that VITSCOPE_TEST_SITE names."""
    if given := os.environ.get("VITSCOPE_TEST_SITE"):
        return Path(given)
    outcome: Outcome = request.getfixturevalue("smoke")
    assert not outcome.failed, "\n\n".join(map(str, outcome.failed))
    return build(editions.load("smoke", ROOT), ROOT).parent
