"""What is released: names, versions, files, sizes."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from helpers import __version__
from helpers.runtime.paths import DATA, checkout

ROOT = checkout()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = {"torch": "pytorch"}
OPEN_ABOVE = ("numpy", "torch", "torchvision", "timm")
TREE_MIB = 62
FILE_MB = 10
TEXT = {".py", ".md", ".yml", ".yaml", ".toml", ".json", ".ipynb", ".cff",
        ".js", ".css", ".bib", ".txt", ""}  # fmt: skip


def tracked():
    """The files that git knows, or would know: (path, bytes)."""
    command = "git ls-files -z --cached --others --exclude-standard"
    listed = subprocess.run(
        command.split(),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def requirements(lines):
    pattern = re.compile(r"([\w.-]+)\s*(.*)")
    return dict(pattern.fullmatch(line).groups() for line in lines)


def test_environment_is_the_conda_form_of_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *listed, pip = environment["dependencies"]
    assert pip == {"pip": ["-e ."]}
    wanted = requirements(
        PROJECT["dependencies"] + PROJECT["optional-dependencies"]["book"]
    )
    wanted = {CONDA.get(name, name): bound for name, bound in wanted.items()}
    found = requirements(listed)
    assert found.pop("python") == PROJECT["requires-python"]
    assert found.pop("pip") == ""
    assert found == wanted


def test_bounds_leave_a_readers_torch_alone():
    bounds = requirements(PROJECT["dependencies"])
    for name in OPEN_ABOVE:
        assert re.fullmatch(r">=[\d.]+", bounds[name])
    book = requirements(PROJECT["optional-dependencies"]["book"])
    for name in ("jupyter-book", "sphinx-book-theme", "pydata-sphinx-theme"):
        assert book[name].startswith("==")


def test_colab_has_what_the_bounds_ask_for():
    """What its runtime had with the oldest torch is not replaced there."""
    text = (ROOT / "tests" / "colab.txt").read_text("utf-8")
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)$", text, re.MULTILINE))
    there = {canonicalize_name(name): pins[name] for name in pins}
    bounds = requirements(PROJECT["dependencies"])
    kept = {canonicalize_name(name): bounds[name] for name in bounds}
    assert set(OPEN_ABOVE) <= there.keys() & kept.keys()
    for name in there.keys() & kept.keys():
        assert there[name] in SpecifierSet(kept[name]), name


def imported(path):
    """The packages that a module imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


def test_imports_are_declared():
    declared = requirements(PROJECT["dependencies"])
    names = {"pil": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
    later = {"pybtex", "ipython", "jupyter_client", "transformers"}  # extras
    for path in (ROOT / "helpers").rglob("*.py"):
        for name in map(str.lower, imported(path)):
            if name not in sys.stdlib_module_names | {"helpers"} | later:
                assert names.get(name, name) in declared, path


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == __version__
    assert citation["license"] == PROJECT["license"] == "MIT"
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert citation["repository-code"] == config["repository"]["url"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(folder))
    return Path(path)


def test_the_wheel_holds_the_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    known = set(tracked())
    for path in known.intersection(DATA.rglob("*")):
        assert f"helpers/data/{path.relative_to(DATA)}" in names
    assert {"helpers/__main__.py", "helpers/py.typed"} <= names
    sources = [ROOT / "_config.yml", ROOT / "_toc.yml", ROOT / "CHANGELOG.md"]
    for path in known.intersection([*sources, *(ROOT / "book").rglob("*")]):
        assert f"helpers/_sources/{path.relative_to(ROOT)}" in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if "dist-info" not in top} == {"helpers"}


def test_the_wheel_works_alone(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import sys; sys.path.insert(0, sys.argv[1])\n"
    code += "from helpers.runtime import paths; print(paths.DATA)"
    out = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert out.stdout.strip() == str(tmp_path / "helpers" / "data")


def test_the_tree_is_small():
    sizes = {path: path.stat().st_size for path in tracked()}
    assert sum(sizes.values()) < TREE_MIB * 2**20
    assert not [p for p, size in sizes.items() if size > FILE_MB * 1e6]


def test_no_path_of_a_machine_is_written_down():
    place = re.compile(r"(?<![\w.:/])/(?:home|Users|root|tmp|work|mnt)/\w")
    for path in tracked():
        if path.suffix in TEXT and "vendor" not in path.parts:
            found = place.search(path.read_text("utf-8", errors="ignore"))
            assert not found, f"{path}: {found}"


def test_ci_runs_the_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o100
    assert "\nmake test\n" in script.read_text()
    assert "make test" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["tests", "publish", "colab", "release"])
def test_workflows_are_valid_yaml(name):
    path = ROOT / ".github" / "workflows" / f"{name}.yml"
    assert yaml.safe_load(path.read_text())["jobs"]
