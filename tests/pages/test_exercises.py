"""Exercises: three to a page, and their code runs."""

import ast
import contextlib
import io
import re

import nbformat
import pytest

from helpers.editions.notebooks import contents
from helpers.runtime.paths import checkout

KINDS = ("Predict before you look", "Change one parameter", "Think")
PAGES = {
    page: source.read_text("utf-8").split("\n## Exercises\n")[1]
    for page, source in contents(checkout()).items()
    if "\n## Exercises\n" in source.read_text("utf-8")
}
every_page = pytest.mark.parametrize("page", PAGES)


def solutions(text: str) -> list[str]:
    found = re.findall(r"^(:{3,})\{dropdown\} Solution\n(.*?)^\1$", text,
                       re.MULTILINE | re.DOTALL)  # fmt: skip
    return [body.strip() for _, body in found]


def code_of(text: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return code


def test_at_least_twenty_five_pages_have_exercises():
    assert len(PAGES) >= 25


@every_page
def test_three_kinds_in_their_order_each_with_a_solution(page):
    asked = re.findall(r"^\*\*([^*]+)\.\*\* (.+)$", PAGES[page], re.M)
    assert tuple(kind for kind, _ in asked) == KINDS
    assert "?" in asked[0][1], "a prediction answers a question"
    assert all(f"({letter})" in asked[0][1] for letter in "abc")
    predicted, changed, thought = solutions(PAGES[page])
    assert "```" not in predicted + thought
    assert len(changed.split("```")[2].split()) >= 10, "the result is read"


@every_page
def test_the_code_of_a_solution_runs_by_itself_and_says_something(page):
    code = code_of(PAGES[page])
    assert max(map(len, code.splitlines())) <= 79
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(ast.parse(code), page, "exec"), {})
    assert len(said.getvalue().splitlines()) >= 2
    assert "nan" not in said.getvalue()


@every_page
def test_colab_folds_the_solutions(page):
    twin = contents(checkout())[page].with_suffix(".ipynb")
    text = "\n".join(c.source for c in nbformat.read(twin, 4).cells)
    assert text.count("<summary>Solution</summary>") == len(KINDS)
    assert text.count("</details>") == text.count("<details>")
    assert "{dropdown}" not in text
    assert code_of(PAGES[page]) in text
