"""The parameters of a page: read them, and refuse what does not fit.

papermill only logs a misspelt parameter and runs with the default. Here the
`parameters` cell is a contract: every name, type, specification and range is
checked before a kernel starts. It reads plain annotated constants, nothing
computed. What a comment says about its parameter:

- it starts with `model spec`, `image spec`, `layer selection` or
  `token choice`: the value is such a text;
- `model spec (a ResNet)`, `image spec (optional)`: its role, what a new
  edition may put there (`helpers.editions.new_edition`);
- `(≥ 4)`, `(> 0)`, `(0 to 1)`, `(one of ridge, logistic)`: its range, of a
  list that of each item; a bound may be another parameter or some of it, as
  in `(≥ 2 batch_size)`.
"""

import ast
import io
import re
import reprlib
import tokenize
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode

from helpers.editions.values import fits, within
from helpers.runtime import yaml_files
from helpers.runtime.errors import unknown

TAG = "parameters"
MODEL, IMAGES = "model spec", "image spec"
INSPECTED = "the one inspected"
"""The role of the model that a report is about."""
Check = Callable[[Any], object]
_ROLE = re.compile(rf"(?:{MODEL}|{IMAGES}) \(([^)]*)\)")
_RANGE = re.compile(r"\(((?:[≥>] |\S+ to |one of )[^)]+)\)")


@dataclass(frozen=True)
class Parameter:
    """One annotated constant of a `parameters` cell.

    Attributes:
        name: the variable's name.
        kind: its annotation, as written (`int`, `list[str]`, `str | None`).
        default: the value on the page.
        help: the comment behind it.
    """

    name: str
    kind: str
    default: Any
    help: str

    @property
    def role(self) -> str:
        """What a new edition may put there; empty where it keeps the lab's."""
        found = _ROLE.match(self.help)
        return found[1] if found else ""

    @property
    def limits(self) -> list[str]:
        """The ranges that the comment declares."""
        return _RANGE.findall(self.help)

    def specs(self, values: Mapping[str, Any]) -> list[str]:
        """List the specs that this parameter has among the values of a page.

        Empty for a parameter that is not given, or an empty text.
        """
        value = values[self.name]
        return value if isinstance(value, list) else [value] if value else []

    def parse(self, text: str) -> Any:
        """Read a value given on the command line.

        Raises:
            ValueError: as `yaml_files.parse`; brackets that are not closed,
                say.
        """
        if self.kind == "str":
            return text
        for number in (int, float):  # YAML takes 010 as 8, 1e-3 as text
            with suppress(ValueError):
                return number(text)
        try:
            return yaml_files.parse(text)
        except ValueError as error:
            raise ValueError(
                f"parameter {self.name} is {reprlib.repr(text)}, which cannot "
                f"be read as {self.kind}, like {self.default!r}: it is "
                + str(error).splitlines()[0]
            ) from error

    def fit(self, value: Any, page: str) -> Any:
        """Return `value` as this parameter's type.

        Raises:
            ValueError: when it has another type.
        """
        if fits(self.kind, value):
            return value
        raise ValueError(
            f"{page}: parameter {self.name} is {value!r} "
            f"({type(value).__name__}), but must be {self.kind}, "
            f"like {self.default!r}"
        )

    def limit(self, values: Mapping[str, Any], page: str) -> None:
        """Refuse a value outside the ranges that the comment declares.

        Args:
            values: those of all parameters of the page.
            page: its name, for errors.

        Raises:
            ValueError: it, or an item of it, is outside.
        """
        value = values[self.name]
        for text in self.limits:
            for item in value if isinstance(value, list) else [value]:
                if not within(text, item, values):
                    raise ValueError(
                        f"{page}: parameter {self.name} is {value!r}, but "
                        f"must be {text}, like {self.default!r}"
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
    return declared(source, page)


def declared(source: str, page: str) -> dict[str, Parameter]:
    """Read the source of a `parameters` cell; see `of`."""
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


def checks() -> dict[str, Check]:
    """Return what validates a specification, by how its comment starts."""
    from helpers import images, models
    from helpers.features import layer_selection

    return {
        MODEL: models.check,
        IMAGES: images.check,
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
        ValueError: for an unknown name, a wrong type, a value out of range or
            an invalid specification, naming the nearest valid choice.
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
        parameter.limit(values, page)


def check_here(names: Mapping[str, Any]) -> None:
    """Refuse values that the page of this notebook cannot run with.

    For papermill alone, and for a reader who edits the cell: the comments are
    read from the input history of the kernel.

    Args:
        names: the global names of the notebook.

    Raises:
        ValueError: as `check`.
    """
    for source in reversed(names.get("In", [])):
        with suppress(ValueError, SyntaxError, tokenize.TokenError):
            if own := declared(source, "this page"):
                break
    else:
        return
    values = {name: names[name] for name in own}
    check("this page", own, values, checks())
