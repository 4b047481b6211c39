"""The roles that parameters of pages have for models, and who can play them.

A role stands in the comment of a parameter, as in `model spec (a ResNet)`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from helpers import models
from helpers.editions.parameters import INSPECTED, MODEL, Parameter
from helpers.editions.required_files import bare
from helpers.features import names
from helpers.measures.attention_weights import obstacle
from helpers.runtime.errors import unknown

OTHERS, ALL = "the others", "all models"
UNTRAINED = "a ViT untrained"
ALIKE = "a ViT of the same depth"
OPTIONAL = "optional"
"""The role of a list that may be empty."""
KEPT = "of the lab"
"""The role of an image set that must stay: its factors are known."""


def teams_of(specs: Sequence[str]) -> dict[str, list[str]]:
    """Sort models by the roles that they can take."""
    built = {spec: bare(spec) for spec in specs}

    def having(layer: str) -> list[str]:
        """List models with a layer, or with blocks that have it."""
        return [
            spec
            for spec, model in built.items()
            if any(name.rpartition(".")[2] == layer for name in model.taps)
        ]

    vits = [s for s, m in built.items() if m.grid and not obstacle(m)]
    depths = [len(names(built[s], "out")) for s in vits]
    first, *rest = specs
    return {
        "a ViT": vits,
        ALIKE: [
            s for s, n in zip(vits, depths, strict=True) if n == depths[0]
        ],
        "a ViT with a class token": [
            s for s in vits if built[s].has_class_token
        ],
        "a ViT without class token": [
            s for s in vits if not built[s].has_class_token
        ],
        UNTRAINED: [models.untrained(s) for s in vits],
        "a ResNet": having("stem"),
        "a Mixer": having("mix"),
        INSPECTED: [first],
        OTHERS: rest,
        ALL: list(specs),
        OPTIONAL: [],
    }


def lacking(
    roles: Mapping[str, str], teams: Mapping[str, Sequence[str]]
) -> list[str]:
    """List the roles that these models cannot take, in words.

    Raises:
        ValueError: a page names a role that there is not.
    """
    found = []
    for role, count in Counter(roles.values()).items():
        if role not in (*teams, KEPT):
            raise unknown("role", role, [*teams, KEPT])
        if role == ALIKE and len(teams[role]) < count:
            found.append(f"{count} ViTs of the same depth")
        elif role.startswith("a ") and not teams[role]:
            found.append(role)
    return sorted(found)


def cast(
    own: Mapping[str, Parameter],
    roles: Mapping[str, str],
    teams: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Cast models; a role met again takes the next one."""
    turns = {role: cycle(team) for role, team in teams.items() if team}
    return {
        name: next(turns[role])
        if own[name].kind == "str"
        else list(teams[role])
        for name, role in roles.items()
        if own[name].help.startswith(MODEL)
    }
