"""The pages of the book: they run, and they keep the form of a page."""

import ast
import json
import re
import statistics
import subprocess
import symtable
import sys

import nbformat
import papermill
import pytest

from helpers import editions
from helpers.editions import jobs, notebooks, parameters, results, run
from helpers.editions.notebooks import contents, has_code, read
from helpers.editions.roles import KEPT, teams_of
from helpers.report import curves
from helpers.runtime.paths import checkout

ROOT = checkout()
PAGES = contents(ROOT)
CODE = [page for page, source in PAGES.items() if has_code(read(source))]
BACK = ("intro", "claims", "execution")
CHAPTERS = [page for page in CODE if page not in BACK]

MAX_LINES = 30
MAX_MEDIAN = 6
MIN_WORDS = 8.0
MAX_WIDTH = 79
SETUP = 12
SENTENCE = 6


def code_cells(page):
    cells = read(PAGES[page]).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def lines(cell):
    """The lines of code of a cell.

    Blank lines and lone brackets are layout; a line that holds nothing but a
    sentence (in a chart's description, say) is prose.
    """
    tree = ast.walk(ast.parse(cell.source))
    prose = {
        number
        for node in tree
        if isinstance(node, ast.Constant | ast.JoinedStr)
        if len(words(ast.get_source_segment(cell.source, node))) >= SENTENCE
        for number in range(node.lineno, node.end_lineno + 1)
    }
    return [
        line
        for number, line in enumerate(cell.source.splitlines(), 1)
        if re.search(r"\w", line) and number not in prose
    ]


def words(text):
    return re.findall(r"[A-Za-z]{2,}|\b[aAI]\b", text or "")


@pytest.mark.parametrize("page", CODE)
def test_runs_at_smoke_size(page, smoke):
    for failure in smoke.failed:
        if failure.page == page:
            pytest.fail(str(failure), pytrace=False)
    assert page in [*smoke.executed, *smoke.reused]


@pytest.mark.parametrize("page", CODE)
def test_papermill_reads_every_parameter(page):
    """What `papermill --help-notebook` prints: type, default and help."""
    found = papermill.inspect_notebook(str(PAGES[page].with_suffix(".ipynb")))
    declared = parameters.of(read(PAGES[page]), page)
    assert list(found) == list(declared)
    for name, parameter in declared.items():
        assert found[name]["inferred_type_name"] == parameter.kind
        assert found[name]["help"] == parameter.help
        default = found[name]["default"].replace("\n", " ")
        assert ast.literal_eval(default) == parameter.default


@pytest.mark.parametrize("page", ["ssl_structure", "receptive_fields"])
def test_papermill_alone_runs_a_page(page, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (job,) = (
        job
        for job in editions.plan(editions.load("smoke", ROOT), ROOT)
        if job.page == page
    )
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", "--no-progress-bar"]
    command += [PAGES[page].with_suffix(".ipynb"), out]
    for name, value in job.overrides.items():
        command += ["-p", name, str(value)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(out, 4).cells
    injected = next(
        c for c in cells if "injected-parameters" in c.metadata.get("tags", [])
    )
    for name, value in job.overrides.items():
        assert f"{name} = {value!r}" in injected.source
    shown = {o.output_type for c in cells for o in c.get("outputs", [])}
    assert {"display_data", "execute_result"} & shown
    assert "error" not in shown


def test_a_report_sets_several_models_side_by_side():
    """What `vitscope inspect A B` runs, at smoke size."""
    page, specs = "your_model", ["lab/vit_narrow_shallow", "lab/mixer_narrow"]
    given = {"model": specs[0], "beside": json.dumps(specs[1:])}
    given |= {"peers": '["lab/mae"]', "num_probed": "1", "shifts": "[]"}
    edition = jobs.amend(
        editions.load("smoke", ROOT),
        [*given.items()],
        [page],
        ROOT,
        "side-by-side",
    )
    outcome = run.run(edition, ROOT, [page])
    assert not outcome.failed, str(outcome.failed[0])
    (job,) = (j for j in editions.plan(edition, ROOT) if j.page == page)
    path = results.executed(edition.folder(ROOT), job)
    found = nbformat.read(path, 4)
    assert {row["spec"] for row in curves.kept_in(found)} == {*specs}
    names = [spec.removeprefix("lab/") for spec in specs]
    outputs = [o for c in found.cells for o in c.get("outputs", [])]
    shown = ["".join(o.get("data", {}).get("text/html", "")) for o in outputs]
    charts = [text for text in shown if "vl-chart" in text]
    both = [text for text in charts if all(n in text for n in names)]
    assert len(charts) - len(both) <= 1  # attention: a Mixer has none
    said = "".join(o.get("data", {}).get("text/markdown", "") for o in outputs)
    for name in names:
        assert f"nearest relative of **{name}** is" in said
    assert f"Left out of {names[1]}: {specs[1]} has no attention" in said
    (summary,) = (text for text in shown if "<th>lowest</th>" in text)
    assert all(f"<th>{name}</th>" in summary for name in names)


@pytest.mark.parametrize("page", CODE)
def test_committed_notebook_equals_its_source(page):
    twin = PAGES[page].with_suffix(".ipynb")
    assert twin.is_file(), "`make notebooks` writes it"
    assert twin.read_bytes() == notebooks.colab(PAGES[page], ROOT), (
        f"{twin.name} does not fit {PAGES[page].name}: `make notebooks`"
    )


NUMBERS = ("int", "float", "list[int]", "list[float]")


@pytest.mark.parametrize("page", CODE)
def test_numbers_out_of_range_are_refused(page):
    """Of a number below zero, and of sets too small for one minibatch."""
    declared = parameters.of(read(PAGES[page]), page)
    defaults = {name: own.default for name, own in declared.items()}
    parameters.check(page, declared, defaults, {})
    for name, own in declared.items():
        if own.kind in NUMBERS:
            values = defaults | {name: [-1] if "list" in own.kind else -1}
            with pytest.raises(ValueError, match=f"{name} is .* but must be"):
                parameters.check(page, declared, values, {})
    if "HSIC" in getattr(declared.get("batch_size"), "help", ""):
        for odd in ({"batch_size": 3}, {"num_images": 0}, {"num_images": 7}):
            with pytest.raises(ValueError, match="but must be"):
                parameters.check(page, declared, defaults | odd, {})


def test_no_notebook_without_a_page():
    twins = {path.stem for path in (ROOT / "book").glob("*.ipynb")}
    assert twins == set(CODE)


def test_every_page_is_in_the_contents():
    assert {path.stem for path in (ROOT / "book").glob("*.md")} == set(PAGES)


def test_the_pages_that_read_the_ledger_come_last():
    jobs = editions.plan(editions.load("lab", ROOT), ROOT, validators={})
    assert tuple(job.page for job in jobs if job.is_back) == BACK
    assert tuple(job.page for job in jobs[-len(BACK) :]) == BACK


@pytest.mark.parametrize("page", CODE)
def test_has_a_kernel(page):
    assert read(PAGES[page]).metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("page", CODE)
def test_source_has_no_version_lines(page):
    header = PAGES[page].read_text("utf-8").split("---")[1]
    assert "jupytext_version" not in header
    assert "formats:" not in header


@pytest.mark.parametrize("page", PAGES)
def test_has_one_title_and_it_is_first(page):
    first, *rest = [
        line
        for cell in read(PAGES[page]).cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.strip()
    ]
    assert first.startswith("# ")
    assert not [line for line in rest if line.startswith("# ")]


@pytest.mark.parametrize("page", CODE)
def test_one_parameters_cell_comes_first(page):
    tagged = [
        "parameters" in cell.metadata.get("tags", [])
        for cell in code_cells(page)
    ]
    assert tagged[0]
    assert sum(tagged) == 1


@pytest.mark.parametrize("page", CODE)
def test_parameters_are_typed_and_explained(page):
    for parameter in parameters.of(read(PAGES[page]), page).values():
        assert parameter.help, f"{parameter.name} has no comment"
        bare = parameter.kind in NUMBERS and not parameter.limits
        assert not bare, f"{parameter.name} declares no range"
        assert parameter.role in ("", KEPT, *teams_of(["lab/vit_cls"]))
        odd = re.sub(r"\([^()]*\)", "", parameter.help)
        assert not re.search("[()≥<>]", odd), "not read as range or role"


@pytest.mark.parametrize("page", CODE)
def test_parameters_keep_their_values(page):
    """The ledger and the charts find a page's controls by its parameters."""
    _, *cells = code_cells(page)
    code = "\n".join(cell.source for cell in cells)
    own = symtable.symtable(code, page, "exec")
    again = {s.get_name() for s in own.get_symbols() if s.is_assigned()}
    assert not again & set(parameters.of(read(PAGES[page]), page))


FORMS = {
    *("lines", "bars", "heatmap", "frames", "overlays", "pictures"),
    "token_maps",
    "linked_map",
    "scatter",
}


def names_in(tree):
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}


def measuring_names(trees):
    """Helpers that a page imports, and its own functions that use them."""
    found = {
        alias.asname or alias.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("helpers")
        for alias in node.names
    } - {"charts"}
    own = [
        node
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    ]
    for _ in own:
        found |= {f.name for f in own if names_in(f) & found}
    return found


def draws(tree):
    """Tell whether a cell ends by drawing a chart."""
    return isinstance(tree.body[-1], ast.Expr) and any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr in FORMS) == ("charts", True)
        for node in ast.walk(tree.body[-1])
    )


@pytest.mark.parametrize("page", CHAPTERS)
def test_cells_that_only_draw_are_folded(page):
    cells = code_cells(page)
    trees = [ast.parse(cell.source) for cell in cells]
    measuring = measuring_names(trees)
    for cell, tree in zip(cells, trees, strict=True):
        only_draws = draws(tree) and not names_in(tree) & measuring
        folded = "hide-input" in cell.metadata.get("tags", [])
        assert folded == only_draws, cell.source


@pytest.mark.parametrize("page", CHAPTERS)
def test_cells_are_short(page):
    sizes = [len(lines(cell)) for cell in code_cells(page)]
    assert max(sizes) <= MAX_LINES
    assert statistics.median(sizes) <= MAX_MEDIAN


@pytest.mark.parametrize("page", CODE)
def test_code_is_narrow(page):
    wide = [
        line
        for cell in code_cells(page)
        for line in cell.source.splitlines()
        if len(line) > MAX_WIDTH
    ]
    assert not wide


@pytest.mark.parametrize("page", CHAPTERS)
def test_words_outweigh_code(page):
    cells = read(PAGES[page]).cells
    prose = " ".join(c.source for c in cells if c.cell_type == "markdown")
    prose = re.sub(r"\$\$.*?\$\$", " ", prose, flags=re.DOTALL)
    written = sum(len(lines(cell)) for cell in code_cells(page))
    if written > SETUP:
        assert len(words(prose)) / written >= MIN_WORDS


@pytest.mark.parametrize("page", CODE)
def test_code_has_no_output_and_parses(page):
    for cell in code_cells(page):
        assert not cell.outputs
        compile(cell.source, page, "exec")


@pytest.mark.parametrize("page", CODE)
def test_prose_stands_between_charts(page):
    """A chart is asked for before, and answered after: never two in a row."""
    shown = re.compile(r"^charts\.(?!setup)\w+\(", re.MULTILINE)
    before = False
    for cell in read(PAGES[page]).cells:
        chart = cell.cell_type == "code" and bool(shown.search(cell.source))
        assert not (before and chart), cell.source
        before = chart


@pytest.mark.parametrize("page", PAGES)
def test_address_of_the_repository_is_not_repeated(page):
    assert "vitscope/vitscope" not in PAGES[page].read_text("utf-8")
