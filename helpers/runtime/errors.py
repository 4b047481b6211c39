"""One way to refuse a value: say what was given and what was meant."""

import difflib
from collections.abc import Iterable
from numbers import Integral
from typing import Any

LIST_AT_MOST = 12


def unknown(what: str, given: str, choices: Iterable[str]) -> ValueError:
    """Make the error for a name that is not among the valid ones.

    Args:
        what: the kind of thing, in the reader's words ("model").
        given: the name that was asked for.
        choices: every valid name.

    Returns:
        A ValueError, to be raised by the caller, whose message names the
        nearest valid choices, and all of them when they are few.
    """
    valid = list(choices)
    near = difflib.get_close_matches(given, valid, n=3, cutoff=0.4)
    message = f"unknown {what} {given!r}"
    if near:
        message += "; nearest: " + ", ".join(map(repr, near))
    if not valid:
        message += "; there are none to choose from"
    elif len(valid) <= LIST_AT_MOST:
        message += "; valid: " + ", ".join(map(repr, valid))
    elif not near:
        message += "; valid: " + ", ".join(map(repr, valid[:5])) + ", ..."
    return ValueError(message)


def wrong_kind(what: str, given: object, expected: str) -> TypeError:
    """Make the error for a value of a type that a function cannot take.

    Args:
        what: the argument, in the reader's words ("model").
        given: what it was.
        expected: what it should be, and how to get one.
    """
    kind = type(given).__name__
    return TypeError(f"{what} is of type {kind}; expected {expected}")


def whole_number(name: str, given: Any, least: int = 0) -> int:
    """Return a number that must be whole, such as a size or a seed.

    Raises:
        ValueError: it is not whole, or too small.
    """
    whole = isinstance(given, Integral) and not isinstance(given, bool)
    if not whole or given < least:
        which = "positive whole" if least == 1 else "whole"
        raise ValueError(
            f"{name} must be a {which} number, from {least}; got {given!r}"
        )
    return int(given)
