import importlib.util
import json
import os
import shlex
import subprocess
import sys
from importlib import metadata

import nbformat
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from helpers.editions import notebooks, parameters, provenance
from helpers.editions.markdown import Plain
from tests import minibook


@pytest.fixture
def book(tmp_path):
    return minibook.make(tmp_path)


@pytest.fixture
def plain(book):
    page = book / "book" / "page.md"
    page.write_text("# Page\n\n$$a$$\n")
    return Plain(page, book / "book" / "references.bib")


def test_contents_is_in_the_order_of_the_toc(book):
    pages = notebooks.contents(book)
    assert list(pages) == [
        "start",
        "first",
        "second",
        "claims",
        "references",
    ]
    (book / "book" / "second.md").unlink()
    with pytest.raises(FileNotFoundError, match="book/second"):
        notebooks.contents(book)


def test_equal_sources_give_equal_bytes(book):
    page = book / "book" / "first.md"
    one, two = notebooks.colab(page, book), notebooks.colab(page, book)
    assert one == two
    page.write_text(page.read_text().replace("Count them", "Count these"))
    other = json.loads(notebooks.colab(page, book))["cells"]
    before = json.loads(one)["cells"]
    changed = [a["id"] != b["id"] for a, b in zip(before, other, strict=True)]
    assert sum(changed) == 1


def test_repeated_cells_have_different_ids(book):
    page = book / "book" / "first.md"
    cell = "\n```{code-cell} ipython3\nprint(1)\n```\n"
    page.write_text(page.read_text() + cell + "\nText.\n" + cell)
    ids = [cell.id for cell in notebooks.read(page).cells]
    assert len(set(ids)) == len(ids)


def test_committed_notebook(book):
    page = book / "book" / "first.md"
    notebook = nbformat.reads(notebooks.colab(page, book).decode(), 4)
    nbformat.validate(notebook)
    assert "jupytext" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"
    install, *cells = notebook.cells
    assert "git+https://github.com/nobody/mini" in install.source
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert "parameters" in code[0].metadata.tags
    assert not any(cell.outputs for cell in code)
    prose = "".join(c.source for c in cells if c.cell_type == "markdown")
    assert "(Raghu et al., 2021)" in prose


@pytest.fixture
def install(book, capsys):
    """Runs the install cell in IPython; returns pip's words and the print."""
    page = book / "book" / "first.md"
    cell = json.loads(notebooks.colab(page, book))["cells"][0]

    def run():
        asked = []
        shell = InteractiveShell(
            config=Config(HistoryManager={"enabled": False})
        )
        shell.register_magic_function(asked.append, "line", "pip")
        provenance.environment.cache_clear()
        shell.run_cell("".join(cell["source"])).raise_error()
        return [shlex.split(line) for line in asked], capsys.readouterr().out

    yield run
    provenance.environment.cache_clear()


def test_install_cell_is_idle_where_the_helpers_are(install):
    asked, said = install()
    assert not asked
    assert said.startswith("This page runs on: ")


@pytest.mark.parametrize("there", [[], ["numpy"], ["torch", "numpy"]])
def test_install_cell_keeps_what_is_there(install, there, monkeypatch):
    found = dict.fromkeys(there, "found").get
    monkeypatch.setattr(importlib.util, "find_spec", found)
    (asked,), _ = install()
    assert asked == [
        *("install", "-q"),
        *(f"{name}=={metadata.version(name)}" for name in there),
        "vitscope @ git+https://github.com/nobody/mini",
    ]


@pytest.mark.parametrize(
    ("gpu", "device"), [(True, "Tesla T4"), (False, "CPU")]
)
def test_install_cell_names_the_device(install, gpu, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla T4")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert install()[1] == f"This page runs on: {device}\n"


def test_regenerate_writes_only_what_changed(book):
    names = [path.name for path in notebooks.regenerate(book)]
    assert names == ["first.ipynb", "second.ipynb", "claims.ipynb"]
    assert notebooks.regenerate(book) == []
    page = book / "book" / "second.md"
    page.write_text(page.read_text() + "\nMore.\n")
    assert [p.name for p in notebooks.regenerate(book)] == ["second.ipynb"]


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("see {cite}`efron1981`", "see (Efron and Stein, 1981)"),
        ("{cite:t}`raghu2021` say", "Raghu et al. (2021) say"),
        (
            "{cite:p}`raghu2021, efron1981`",
            "(Raghu et al., 2021; Efron and Stein, 1981)",
        ),
        (":::{note}\nTake care.\n:::", "> **Note**\n>\n> Take care."),
        (
            "```{tip} Look *twice*\n:class: x\n\nOne\n\nTwo\n```",
            "> **Tip**\n>\n> Look *twice*\n>\n> One\n>\n> Two",
        ),
        (
            "::::{note}\n:::{tip}\nx\n:::\n::::",
            "> **Note**\n>\n> > **Tip**\n> >\n> > x",
        ),
        (
            ":::{dropdown} More {cite}`efron1981`\nx\n:::",
            "<details><summary>More (Efron and Stein, 1981)</summary>\n\n"
            "x\n\n</details>",
        ),
        (":::{div} paths\n[](first.md)\n:::", "[The first page](first.ipynb)"),
        ("$$a + b$$", "$$a + b$$"),
        ("[](first.md)", "[The first page](first.ipynb)"),
        ("[go](first.md#count)", "[go](first.ipynb#count)"),
        ("[text only](start.md)", "[text only](start.md)"),
        ("(here)=\n## Head\n% hidden\ntext", "## Head\ntext"),
        ("```python\n{cite}`x` = 1\n```", "```python\n{cite}`x` = 1\n```"),
        ("$x$ and `code` stay", "$x$ and `code` stay"),
    ],
)
def test_myst_becomes_markdown(plain, myst, markdown):
    assert plain(myst) == markdown


@pytest.mark.parametrize(
    ("myst", "message"),
    [
        ("{cite}`raghu2012`", "citation 'raghu2012'; nearest: 'raghu2021'"),
        ("{cit}`raghu2021`", "unknown role 'cit'; nearest: 'cite'"),
        (":::{nota}\nx\n:::", "unknown directive 'nota'; nearest: 'note'"),
        ("{math}`x^2`", "unknown role 'math'"),
        (":::{figure} x.png\n:::", "unknown directive 'figure'"),
        (":::{note}\nx", "never closed"),
    ],
)
def test_what_cannot_be_written_is_refused(plain, myst, message):
    with pytest.raises(ValueError, match=message):
        plain(myst)


def test_parameters_are_read(book):
    page = book / "book" / "first.md"
    found = parameters.of(notebooks.read(page), "first")
    assert list(found) == ["num_images", "scale", "names", "limit", "model"]
    assert found["limit"] == parameters.Parameter(
        "limit", "int | None", None, "the most"
    )
    assert found["num_images"].parse("12") == 12
    assert found["model"].parse("12") == "12"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("count = 4", "must read `name: type = constant"),
        ("count: int = 2 * 2", "plain constant"),
        ("count: int = 'four'", "must be int"),
        ("count: integer = 4", "unknown parameter type 'integer'"),
    ],
)
def test_a_parameters_cell_holds_annotated_constants(line, message):
    cell = nbformat.v4.new_code_cell(line, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[cell])
    with pytest.raises(ValueError, match=message):
        parameters.of(notebook, "page")


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("int", [1], [1.0, True, "1", None]),
        ("float", [1, 1.5], [True, "1"]),
        ("bool", [True], [1, "true"]),
        ("str", ["a"], [1, None, ["a"]]),
        ("list[str]", [[], ["a"]], ["a", ["a", 1]]),
        ("int | None", [None, 1], ["1"]),
        ("dict[str, int]", [{"a": 1}], [{"a": "b"}, ["a"]]),
    ],
)
def test_types(kind, good, bad):
    parameter = parameters.Parameter("x", kind, good[0], "")
    for value in good:
        assert parameter.fit(value, "page") == value
    for value in bad:
        with pytest.raises(ValueError, match="page: parameter x"):
            parameter.fit(value, "page")


def test_papermill_runs_the_committed_notebook(book, root):
    notebooks.regenerate(book)
    command = "papermill book/first.ipynb out.ipynb -p num_images 9"
    done = subprocess.run(
        [sys.executable, "-m", *command.split(), "--no-progress-bar"],
        cwd=book,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    printed = nbformat.read(book / "out.ipynb", 4).cells[-1].outputs[0].text
    assert printed == "images 9 1.0 ['a', 'b'] None\n"


PARAMETERS = (
    "num: int = 4  # images (≥ 2 batch)\n"
    "batch: int = 2  # images at once (> 0)\n"
    'probe: str = "knn"  # which (one of knn, ridge)\n'
    "ks: list[int] = [2, 3]  # neighbours (1 to 3)\n"
)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, ""),
        ({"num": 6, "batch": 3, "probe": "ridge", "ks": []}, ""),
        ({"num": 3}, "num is 3, but must be ≥ 2 batch, like 4"),
        ({"batch": 3}, "num is 4, but must be ≥ 2 batch"),
        ({"batch": 0}, "batch is 0, but must be > 0"),
        ({"probe": "svm"}, "probe is 'svm', but must be one of knn, ridge"),
        ({"ks": [2, 4]}, r"ks is \[2, 4\], but must be 1 to 3"),
        ({"num": "6"}, "num is '6' .str., but must be int"),
    ],
)
def test_a_notebook_checks_its_values(values, message, monkeypatch):
    monkeypatch.setattr(parameters, "checks", dict)
    names = {"num": 4, "batch": 2, "probe": "knn", "ks": [2, 3]} | values
    names["In"] = ["", "import os", "x: int = 7  # (≥ 9)", PARAMETERS, "%ls"]
    names["In"] += ["# Parameters\nnum = 6", "(", "check_here(globals())"]
    if not message:
        return parameters.check_here(names)
    with pytest.raises(ValueError, match=f"this page: parameter {message}"):
        parameters.check_here(names)


def test_outside_a_notebook_there_is_nothing_to_check():
    parameters.check_here({"num": 4})


def test_papermill_alone_refuses_a_value_out_of_range(book, root):
    page = book / "book" / "first.md"
    text = page.read_text().replace(
        'model: str = "lab/vit_cls"', 'model: str = ""'
    )
    page.write_text(text.replace("model spec", "a model"))
    source, out = book / "first.ipynb", book / "out.ipynb"
    source.write_bytes(notebooks.colab(page, book))
    command = [sys.executable, "-m", "papermill", "--no-progress-bar"]
    done = subprocess.run(
        [*command, source, out, "-p", "num_images", "0"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode
    assert "num_images is 0, but must be ≥ 1, like 4" in done.stderr
    cells = nbformat.read(out, 4).cells
    assert not any("images 0" in str(cell.get("outputs")) for cell in cells)
