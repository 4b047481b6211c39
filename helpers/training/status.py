"""How far the trainings are, and how far from their goals."""

import json
from collections.abc import Sequence
from typing import Any

from helpers.lab.architectures import plain
from helpers.training.cards import measure
from helpers.training.checkpoints import load, place
from helpers.training.recipes import GOALS, recipe


def progress(name: str) -> dict[str, Any]:
    """Tell how far the training of a model is.

    Returns:
        `scenes` seen (the constant part included), `of` how many, the last
        `loss`, `annealed`: scenes of the longest annealed model, its
        accuracies in per cent, the `goal`, and `hours left` at the speed of
        the training so far. Entries are missing where nothing is known.
    """
    how = recipe(name)
    facts: dict[str, Any] = {"model": name, "of": how.scenes}
    folder = place(name).parent
    files = [*folder.glob("annealed-*.pt"), place(name)]
    states = [load(file) for file in files if file.is_file()]
    if states:
        last = max(states, key=lambda state: len(state.losses))
        seen = len(last.losses) * how.batch
        pace = last.seconds / max(seen, 1)
        facts |= {
            "scenes": seen,
            "loss": round(last.losses[-1], 3) if last.losses else None,
            "hours left": round(max(0, how.scenes - seen) * pace / 3600, 2),
        }
    cards = [json.loads(f.read_text("utf-8")) for f in folder.glob("*.json")]
    if cards:
        best = max(cards, key=lambda card: card["samples"])
        kind = measure(name, best["accuracy"])
        facts |= {"annealed": best["samples"], "by": kind} | {
            factor: round(100 * share, 1)
            for factor, share in best["accuracy"][kind].items()
            if isinstance(share, float)
        }
    if goal := GOALS.get(plain(name)):
        wanted = [f"{k} {100 * v:.0f}" for k, v in goal.accuracy.items()]
        facts["goal"] = f"{goal.measure}: {', '.join(wanted)}"
    return facts


def table(names: Sequence[str]) -> str:
    """Write `progress` of models as text, one line for each."""
    lines = []
    for name in names:
        facts = progress(name)
        lines.append(
            f"{name:20} {facts.get('scenes', 0):>9,} of {facts['of']:>9,}"
        )
        if "loss" in facts:
            lines[-1] += (
                f"  loss {facts['loss']}  {facts['hours left']} hours left"
            )
        if "annealed" in facts:
            shares = [
                f"{factor} {facts[factor]}"
                for factor in ("garment", "fabric", "class")
                if factor in facts
            ]
            lines[-1] += (
                f"  at {facts['annealed']:,}: {facts['by']} "
                + " ".join(shares)
            )
        if "goal" in facts:
            lines[-1] += f"  (goal {facts['goal']})"
    return "\n".join(lines)
