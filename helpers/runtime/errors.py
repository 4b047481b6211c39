"""One way to refuse a name: say what was given and what was meant."""

import difflib
from collections.abc import Iterable

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
