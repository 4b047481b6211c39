"""What a page uses: on a package made for it, and on the pages of the book."""

import ast
import shutil
from pathlib import Path

import pytest

from helpers import editions
from helpers.editions import notebooks, provenance, used
from helpers.editions.edition import Edition
from helpers.runtime.paths import checkout

ROOT = checkout()
CODE = {
    page: notebooks.code(notebook)
    for page, (_, notebook) in editions.sources(ROOT).items()
}
MODULES = {
    "__init__": "__version__ = '1'\n",
    "charts/__init__": "from house.charts.bars import bars\n"
    "from house.charts.lines import lines as curves\n",
    "charts/bars": "import house.charts.axes as axes\n\n"
    "def bars(x):\n    return axes.draw(x)\n",
    "charts/lines": "def lines(x):\n    from house.numbers import half\n\n"
    "    return half(x)\n",
    "charts/axes": "def draw(x):\n    return x\n",
    "numbers": "from typing import TYPE_CHECKING\n\n"
    "if TYPE_CHECKING:\n    from house.heavy import Heavy\n\n"
    "def half(x: 'Heavy'):\n    return x / 2\n",
    "heavy": "class Heavy: ...\n",
    "plugin": "import house.heavy\n",
    "late/__init__": "from typing import TYPE_CHECKING\n\n"
    "if TYPE_CHECKING:\n    from house.numbers import half\n"
    "else:\n    __getattr__ = None\n",
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    package = tmp_path / "house"
    for name, text in MODULES.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (package / "charts" / "axes.yaml").write_text("colour: red\n")
    return package


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("import numpy", []),
        ("from house import charts", ["charts/__init__", "charts/axes",
         "charts/bars", "charts/lines", "numbers"]),
        ("from house import charts\ncharts.bars(1)", ["charts/axes",
         "charts/bars"]),
        ("from house import charts as c\nc.curves(1)", ["charts/lines",
         "numbers"]),
        ("from house.charts import curves", ["charts/lines", "numbers"]),
        ("def f():\n    import house.charts.axes\n", ["charts/axes"]),
        ("import house.charts.lines\nhouse.charts.lines.lines(2)",
         ["charts/lines", "numbers"]),
        ("import house", ["__init__"]),
        ("import house\nhouse.__version__", ["__init__"]),
        ("from house import __version__", ["__init__"]),
        ("%matplotlib inline\n!ls\nfrom house import numbers\nnumbers.half",
         ["numbers"]),
        ("import house.plugin", ["heavy", "plugin"]),
        ("from house.late import *", ["late/__init__", "numbers"]),
        ("from house import nothing\nimport house.nowhere", ["__init__"]),
        ("from house import late\nlate.half(2)", ["numbers"]),
        ("from house import charts\nf(charts)", ["charts/__init__",
         "charts/axes", "charts/bars", "charts/lines", "numbers"]),
    ],
)  # fmt: skip
def test_names_are_followed_to_where_they_are_defined(house, source, files):
    found = used.closure(source, house)
    modules = [path for path in found if path.suffix == ".py"]
    named = [str(p.relative_to(house).with_suffix("")) for p in modules]
    assert sorted(named) == sorted(files)
    beside = house / "charts" / "axes.yaml"
    assert (beside in found) == ("charts/axes" in files)


def test_an_import_that_is_added_is_seen(house):
    page = "from house import charts\ncharts.bars(1)"
    before = used.closure(page, house)
    path = house / "charts" / "axes.py"
    path.write_text("import house.heavy\n" + path.read_text())
    assert set(used.closure(page, house)) - set(before) == {house / "heavy.py"}


def test_code_that_is_no_python_is_an_error(house):
    with pytest.raises(SyntaxError):
        used.closure("def f(:", house)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the package, which may be edited."""
    folder = tmp_path_factory.mktemp("copy") / "helpers"
    shutil.copytree(ROOT / "helpers", folder)
    return folder


def changed(package: Path, module: str) -> set[str]:
    """The pages whose digest of modules changes with an edit of one."""

    def digests():
        return {
            page: "".join(
                map(provenance._content, used.closure(code, package))
            )
            for page, code in CODE.items()
        }

    before = digests()
    path = package / module
    path.write_text(path.read_text() + "\n# edited\n")
    after = digests()
    return {page for page in CODE if before[page] != after[page]}


@pytest.mark.parametrize(
    ("module", "pages"),
    [
        ("training/loop.py", {"finetuning_live"}),
        ("training/moco_v3.py", {"the_lab", "finetuning_live"}),
        ("editions/commands.py", set()),
        ("editions/run.py", set()),
        ("__main__.py", set()),
        ("charts/__init__.py", set()),
    ],
)
def test_an_edit_executes_only_pages_that_use_the_module(copy, module, pages):
    assert changed(copy, module) == pages


@pytest.mark.parametrize("form", ["overlays", "token_maps", "frames"])
def test_an_edit_of_a_chart_executes_the_pages_that_draw_it(copy, form):
    through = {"overlays": "explorers.patches"}
    drawing = {
        page
        for page, code in CODE.items()
        if f"charts.{form}(" in code or through.get(form, "---") in code
    }
    assert drawing
    assert changed(copy, f"charts/{form}.py") == drawing


def test_an_edit_of_what_all_models_need_executes_all_pages_with_models(copy):
    loading = {page for page, code in CODE.items() if "models.load" in code}
    assert loading <= changed(copy, "models/specs.py")


def test_the_digest_of_a_job_is_that_of_its_modules(tmp_path):
    jobs = editions.plan(Edition("x", "X"), ROOT, validators={})
    found = {job.page: provenance.inputs(job, {})["helpers"] for job in jobs}
    assert len(set(found.values())) > len(found) / 2


def test_no_module_is_imported_relatively_or_by_a_computed_name():
    """These imports would not be seen."""
    allowed = {ROOT / "helpers" / "runtime" / "lazy.py"}
    found = []
    for path in (ROOT / "helpers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, path
            if isinstance(node, ast.Attribute | ast.Name):
                name = getattr(node, "attr", getattr(node, "id", ""))
                if name in ("import_module", "__import__"):
                    found.append(path)
    assert set(found) <= allowed
