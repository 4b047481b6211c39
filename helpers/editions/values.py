"""Whether a value has the type and lies in the range that a page declares."""

import ast
import math
from collections.abc import Mapping
from typing import Any

from helpers.runtime.errors import unknown

_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
    "None": (type(None),),
}


def fits(kind: str, value: Any) -> bool:
    """Tell whether a value has a type; a bool or NaN is no number.

    Args:
        kind: an annotation, as written.
        value: any value.

    Raises:
        ValueError: a type that no parameter has.
    """
    return _fits(ast.parse(kind, mode="eval").body, value)


def _fits(kind: ast.expr, value: Any) -> bool:
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


def within(limit: str, value: Any, values: Mapping[str, Any]) -> bool:
    """Tell whether a value lies in a range.

    Args:
        limit: `≥ 4`, `> 0`, `0 to 1` or `one of ridge, logistic`; an end may
            be a product of numbers and other parameters, as `2 batch_size`.
        value: one value.
        values: those of all parameters of the page.
    """
    match limit.split(maxsplit=1):
        case ["one", rest]:
            return value in rest.removeprefix("of ").split(", ")
        case ["≥", least]:
            return bool(value >= _bound(least, values))
        case [">", least]:
            return bool(value > _bound(least, values))
    low, high = (_bound(end, values) for end in limit.split(" to "))
    return bool(low <= value <= high)


def _bound(text: str, values: Mapping[str, Any]) -> float:
    return math.prod(float(values.get(part, part)) for part in text.split())
