"""Where the sources lie that a report is made from."""

import pytest

import helpers
from helpers.editions import own_copy
from helpers.runtime import paths


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """As after `pip install`: no checkout above, the sources in the wheel."""
    bundled = tmp_path / "package" / "_sources"
    (bundled / "book").mkdir(parents=True)
    (bundled / "_toc.yml").write_text("format: jb-book\n")
    (bundled / "book" / "page.md").write_text("# Page\n")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(own_copy, "BUNDLED", bundled)
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "package" / "helpers")
    return here


def test_a_checkout_is_used_as_it_is(monkeypatch):
    said = []
    assert own_copy.root(said.append) == paths.checkout()
    assert not said


def test_sources_are_copied_once(installed):
    said = []
    folder = own_copy.root(said.append)
    assert folder == installed / f"vitscope-{helpers.__version__}"
    assert [str(folder) in line for line in said] == [True]
    page = folder / "book" / "page.md"
    page.write_text("# Mine\n")
    assert own_copy.root(said.append) == folder
    assert page.read_text() == "# Mine\n"
    assert len(said) == 1


def test_a_copy_that_was_broken_off_is_made_again(installed):
    half = installed / f"vitscope-{helpers.__version__}.part"
    (half / "book").mkdir(parents=True)
    folder = own_copy.root(print)
    assert (folder / "_toc.yml").is_file()
    assert [path.name for path in installed.iterdir()] == [folder.name]


def test_without_sources_the_reader_is_told_to_clone(installed, monkeypatch):
    monkeypatch.setattr(own_copy, "BUNDLED", installed / "nothing")
    with pytest.raises(FileNotFoundError, match="clone the repository"):
        own_copy.root(print)
