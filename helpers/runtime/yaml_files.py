"""YAML from strangers, read without surprise.

Plain text in, plain values out, and nothing that means something else than
it seems to: a key given twice, a key that is no text, nesting without end, a
small file that unfolds into a huge one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEEPEST = 20  # lists or mappings inside each other
TOO_DEEP = f"values are nested more than {DEEPEST} deep"
LARGEST = 20_000  # values, aliases unfolded


def read(path: Path) -> Any:
    """Read the one document of a YAML file.

    Raises:
        ValueError: not UTF-8, or as `parse`.
    """
    try:
        return parse(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is {error}") from error


def parse(text: str) -> Any:
    """Read the one document of a text.

    Raises:
        ValueError: not YAML, a key twice in one mapping or that is no text,
            or values that are nested too deeply or too many; says what the
            text is (`not YAML: ...`).
    """
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        for count, _ in enumerate(_values(root), 1):
            if count > LARGEST:
                raise ValueError(
                    f"it holds more than {LARGEST} values, aliases unfolded"
                )
        return loader.construct_document(root)
    except RecursionError as error:
        raise ValueError(f"not usable: {TOO_DEEP}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    except ValueError as error:
        raise ValueError(f"not usable: {error}") from error


def _values(node: yaml.Node, depth: int = 0) -> Iterator[yaml.Node]:
    """Walk over all values as they unfold; refuse what surprises."""
    if depth > DEEPEST:
        raise ValueError(TOO_DEEP)
    yield node
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _values(value, depth + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag != "tag:yaml.org,2002:str":
                raise ValueError(
                    f"a key in line {line} is no text"
                    + f"; write '{key.value}' in quotes"
                    * isinstance(key, yaml.ScalarNode)
                )
            if key.value in seen:
                raise ValueError(f"{key.value!r} is there twice, line {line}")
            seen.add(key.value)
            yield from _values(value, depth + 1)
