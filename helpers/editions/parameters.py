"""The parameters of a page: read them, and refuse what does not fit.

papermill only logs a misspelt parameter and runs with the default. Here the
`parameters` cell is a contract: every name, type and specification is checked
before a kernel starts. It reads plain annotated constants, nothing computed.
"""

import ast
import io
import math
import tokenize
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml
from nbformat import NotebookNode

from helpers.runtime.errors import unknown

TAG = "parameters"
Check = Callable[[Any], object]


@dataclass(frozen=True)
class Parameter:
    """One annotated constant of a `parameters` cell.

    Attributes:
        name: the variable's name.
        kind: its annotation, as written (`int`, `list[str]`, `str | None`).
        default: the value on the page.
        help: the comment behind it; how it starts (`model spec`, `image
            spec`, `layer selection`, `token choice`) says what it holds.
    """

    name: str
    kind: str
    default: Any
    help: str

    def parse(self, text: str) -> Any:
        """Read a value given on the command line.

        Raises:
            ValueError: brackets or quotes that are not closed, say.
        """
        if self.kind == "str":
            return text
        for number in (int, float):  # YAML takes 010 as 8, 1e-3 as text
            with suppress(ValueError):
                return number(text)
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(
                f"parameter {self.name} is {text!r}, which cannot be read as "
                f"{self.kind}, like {self.default!r}"
            ) from error

    def fit(self, value: Any, page: str) -> Any:
        """Return `value` as this parameter's type.

        Raises:
            ValueError: when it has another type.
        """
        if _fits(ast.parse(self.kind, mode="eval").body, value):
            return value
        raise ValueError(
            f"{page}: parameter {self.name} is {value!r} "
            f"({type(value).__name__}), but must be {self.kind}, "
            f"like {self.default!r}"
        )


def of(notebook: NotebookNode, page: str) -> dict[str, Parameter]:
    """Read the parameters of a page, in order.

    Args:
        notebook: the page.
        page: its name, for errors.

    Returns:
        Name to parameter; empty when no cell is tagged `parameters`.

    Raises:
        ValueError: when the cell holds anything but annotated constants.
    """
    source = "\n".join(
        cell.source
        for cell in notebook.cells
        if TAG in cell.metadata.get("tags", [])
    )
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.AnnAssign) or node.value is None:
            raise ValueError(
                f"{page}: the parameters cell holds `{ast.unparse(node)}`; "
                "every line must read `name: type = constant  # meaning`"
            )
        name, kind = ast.unparse(node.target), ast.unparse(node.annotation)
        try:
            default = ast.literal_eval(node.value)
        except ValueError as error:
            raise ValueError(
                f"{page}: parameter {name} must be a plain constant, not "
                f"`{ast.unparse(node.value)}`"
            ) from error
        comment = comments.get(node.end_lineno or node.lineno, "")
        parameter = Parameter(name, kind, default, comment)
        parameter.fit(default, page)
        found[name] = parameter
    return found


_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
    "None": (type(None),),
}


def _fits(kind: ast.expr, value: Any) -> bool:
    """Tell whether a value has the type; a bool or NaN is no number."""
    match kind:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _fits(left, value) or _fits(right, value)
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return isinstance(value, list) and all(
                _fits(item, entry) for entry in value
            )
        case ast.Subscript(
            value=ast.Name(id="dict"), slice=ast.Tuple(elts=[of_key, item])
        ):
            return isinstance(value, dict) and all(
                _fits(of_key, key) and _fits(item, entry)
                for key, entry in value.items()
            )
        case ast.Constant(value=None):
            return value is None
        case ast.Name(id=name) if name in _PLAIN:
            if isinstance(value, bool):
                return name == "bool"
            if isinstance(value, float) and not math.isfinite(value):
                return False
            return isinstance(value, _PLAIN[name])
    raise unknown("parameter type", ast.unparse(kind), _PLAIN)


def checks() -> dict[str, Check]:
    """Return what validates a specification, by how its comment starts."""
    from helpers import images, models
    from helpers.features import layer_selection

    return {
        "model spec": models.check,
        "image spec": images.check,
        "layer selection": layer_selection.check_selection,
        "token choice": layer_selection.check_tokens,
    }


def check(
    page: str,
    declared: Mapping[str, Parameter],
    values: Mapping[str, Any],
    validators: Mapping[str, Check],
) -> None:
    """Refuse values that a page cannot run with.

    Args:
        page: its name, for errors.
        declared: the page's parameters.
        values: every value that it would run with, by name.
        validators: what validates a specification, by how the comment of a
            parameter starts; each item of a list is validated.

    Raises:
        ValueError: for an unknown name, a wrong type or an invalid
            specification, naming the nearest valid choice.
    """
    for name, value in values.items():
        if name not in declared:
            raise unknown(f"parameter of {page}", name, declared)
        parameter = declared[name]
        parameter.fit(value, page)
        for start, validate in validators.items():
            if parameter.help.startswith(start) and value is not None:
                for spec in value if isinstance(value, list) else [value]:
                    try:
                        validate(spec)
                    except (ValueError, FileNotFoundError) as error:
                        raise type(error)(
                            f"{page}: parameter {name}: {error}"
                        ) from error
