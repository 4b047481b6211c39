"""YAML that means something else than it seems to is refused."""

import time
from pathlib import Path

import pytest
import yaml

from helpers import editions
from helpers.runtime import yaml_files
from helpers.runtime.paths import DATA

BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{'<': [{', '.join([f'*a{i - 1}'] * 9)}]}}\n"
    for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nb: 2\na: 3", "'a' is there twice, line 3"),
        ("pages: {x: {k: 1, k: 2}}", "'k' is there twice, line 1"),
        ("a: 1\n2: b", "a key in line 2 is no text; write '2' in quotes"),
        ("yes: 1", "no text; write 'yes' in quotes"),
        ("? [a, b]\n: 1", "a key in line 1 is no text"),
        ("a: &a {b: 1}\nc: {<<: *a}", "no text; write '<<' in quotes"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested more than 20 deep"),
        ("a: " + "[" * 30 + "]" * 30, "nested more than 20 deep"),
        ("a: &a [*a]", "nested more than 20 deep"),
        (BOMB, "more than 20000 values"),
        (MERGES, "more than 20000 values"),
        ("a: 1\n---\nb: 2", "is not YAML"),
        ("a: [1", "is not YAML"),
        ("a: \0", "is not YAML"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("a: " + "1" * 5000, "is not usable"),
        ("title: Caf\u00e9".encode("latin-1"), r"not UTF-8 \(byte 10\)"),
        ("title: x".encode("utf-16"), r"not UTF-8 \(byte 0\)"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_refused(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    start = time.monotonic()
    with pytest.raises(ValueError, match=message) as error:
        yaml_files.read(path)
    assert str(path) in str(error.value)
    with pytest.raises(ValueError, match=message):
        editions.load(str(path), tmp_path)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "path", sorted(DATA.rglob("*.yaml")), ids=lambda path: path.name
)
def test_values_are_those_of_safe_load(path: Path) -> None:
    known = yaml.safe_load(path.read_text("utf-8"))
    assert known
    assert yaml_files.read(path) == known


def test_an_alias_and_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("a: &a [1, x]\nb: *a\nc: {d: }")
    assert yaml_files.read(path) == {
        "a": [1, "x"],
        "b": [1, "x"],
        "c": {"d": None},
    }
    path.write_text("")
    assert yaml_files.read(path) is None
