"""What controls and second trainings make of a verdict."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from helpers import charts, claims, editions
from helpers.claims import other_weights
from helpers.editions import measure_again
from helpers.editions.parameters import MODEL
from helpers.intervals import between_trainings
from helpers.runtime.paths import checkout
from tests.bench.verdicts import covered_trainings

Estimate = claims.Estimate
CLAIM = "raghu-1-ends"  # above 0, on representation_structure
PAGE = "representation_structure"
OTHER = "raghu-1-uniform"
GIVEN = {"num_images": 4, "vit": "lab/vit_cls"}


def made(effects: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = {
        name: {"effect": e.value, "low": e.low, "high": e.high, "verdict": "?"}
        if isinstance(e, Estimate)
        else {"why": e}
        for name, e in effects.items()
    }
    empty = dict.fromkeys(sorted(other_weights.RUN_KEYS), "")
    return empty | {"models": {}, "claims": found} | more


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a file of runs; return where it lies."""
    monkeypatch.setattr(other_weights, "FOLDER", tmp_path)
    monkeypatch.setenv("VITSCOPE_LEDGER", str(tmp_path / "none.json"))

    def write(kind: str, runs: dict[str, Any], /, **more: Any) -> Path:
        content = {"page": PAGE, "parameters": GIVEN, "runs": runs} | more
        path = tmp_path / kind / f"{PAGE}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    return write


def around(value: float, half: float = 0.05) -> Estimate:
    return Estimate(value, value - half, value + half)


def row(value: float, **more: Any) -> dict[str, Any]:
    return vars(claims.judge(CLAIM, around(value))) | more


@pytest.mark.parametrize(
    ("effects", "verdict"),
    [
        ([0.2, 0.2, 0.2], "holds, untrained too"),
        ([0.2, 0.2, -0.2], "holds, untrained too"),
        ([0.2, -0.2, 0.0], "holds"),
        ([0.2, -0.2], "holds"),
        ([], "holds"),
    ],
)
def test_a_claim_that_most_draws_hold_is_no_evidence_for_learning(
    keep: Any, effects: list[float], verdict: str
) -> None:
    draws = {
        str(i): made({CLAIM: around(e)}) for i, e in enumerate(effects, 1)
    }
    draws["9"] = made({CLAIM: "nothing to measure"})
    keep("controls", draws)
    found = other_weights.compare(row(0.3), GIVEN)
    assert found["verdict"] == verdict
    if not effects:
        assert found["control"] is None
        return
    got = found["control"]
    assert got["mean"] == pytest.approx(np.mean(effects))
    assert (got["low"], got["high"]) == (min(effects), max(effects))
    assert got["draws"] == len(effects)
    failed = other_weights.compare(row(-0.3), GIVEN)
    assert failed["verdict"] == "does not hold here"


def test_a_control_of_other_parameters_says_nothing(keep: Any) -> None:
    keep("controls", {"1": made({CLAIM: around(0.2)})})
    for given in (GIVEN | {"num_images": 5}, {"vit": "lab/vit_cls"}, {}):
        found = other_weights.compare(row(0.3), given)
        assert found["control"] is None
        assert found["verdict"] == "holds"
    more = GIVEN | {"another_name": 1}  # those of a notebook, say
    assert other_weights.compare(row(0.3), more)["control"]


def test_the_pages_and_the_ledger_show_controls(
    keep: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("controls", {"1": made({CLAIM: around(0.21)})})
    keep("seeds", {"first": made({CLAIM: around(0.3)})})
    page = {"parameters": GIVEN, "outdated": {"controls": ["code"]}}
    (joined,) = claims.table([row(0.3)], {PAGE: page})
    html = charts.verdicts([joined])
    assert "untrained 0.21 (0.21 to 0.21), control of an earlier" in html
    assert "one training" in html
    assert "holds, untrained too" in html
    (alone,) = claims.table([row(0.3)], {})
    assert alone["control"] is None
    shell = type("Shell", (), {"user_ns": GIVEN})
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    html = claims.show(claims.judge(CLAIM, around(0.3)))._repr_mimebundle_()[
        0
    ]["text/html"]
    assert "untrained 0.21 (0.21 to 0.21)</small>" in html


def test_claims_that_no_untrained_model_speaks_of_say_why(keep: Any) -> None:
    name = "raghu-g-depth"
    verdict = vars(claims.judge(name, around(0.3)))
    (joined,) = claims.table([verdict], {})
    assert "no control: the statement is about fine-tuning" in (
        charts.verdicts([joined])
    )
    controls = {"1": made({name: around(0.3)})}
    keep("controls", controls).rename(
        other_weights.FOLDER
        / "controls"
        / "finetuning_and_representations.json"
    )
    path = other_weights.FOLDER / "controls"
    path /= "finetuning_and_representations.json"
    text = path.read_text().replace(PAGE, path.stem)
    path.write_text(text)
    assert other_weights.compare(verdict, GIVEN)["control"] is None


def test_the_verdict_is_taken_from_the_wider_interval(keep: Any) -> None:
    first = {CLAIM: around(0.2), OTHER: around(0.5)}
    second = {CLAIM: around(-0.2), OTHER: around(0.6)}
    runs = {
        "first": made(first),
        "twins": made(second, models={"lab/vit_cls": "0"}),
    }
    keep("seeds", runs)
    found = other_weights.compare(row(0.2), GIVEN)
    error = 0.05 / stats.norm.ppf(0.975)
    ratio = np.sqrt(np.mean([0.4**2 / 2, 0.1**2 / 2])) / error
    reach = stats.t.ppf(0.975, 2) * ratio * error
    half = np.hypot(0.05, reach)
    got = found["trainings"]
    assert got["wide_low"] == pytest.approx(0.2 - half)
    assert got["wide_high"] == pytest.approx(0.2 + half)
    assert (got["count"], got["again"]) == (2, ["lab/vit_cls"])
    assert found["verdict"] == "undecided"
    closed = row(0.2, verdict="not measurable here")
    found = other_weights.compare(closed, GIVEN)
    assert found["verdict"] == "not measurable here"
    html = charts.verdicts(claims.table([row(0.2)], {PAGE: page(GIVEN)}))
    assert "2 trainings [" in html
    assert "again: vit_cls</small>" in html


def test_a_wider_interval_makes_no_effect_of_one_too_small(keep: Any) -> None:
    margin = claims.claims()[CLAIM].margin
    small, again = (around(v * margin, 0.1 * margin) for v in (0.85, 0.92))
    runs = {"first": made({CLAIM: small}), "twins": made({CLAIM: again})}
    keep("seeds", runs)
    judged = vars(claims.judge(CLAIM, small))
    assert judged["verdict"] == "no effect"
    found = other_weights.compare(judged, GIVEN)
    ends = (found["trainings"][f"wide_{end}"] for end in ("low", "high"))
    wide = Estimate(small.value, *ends)
    assert claims.judge(CLAIM, wide).verdict == "holds"
    assert found["verdict"] == "undecided"


def page(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": parameters}


def test_without_a_second_training_nothing_is_wider(keep: Any) -> None:
    keep("seeds", {"first": made({CLAIM: around(0.2)})})
    found = other_weights.compare(row(0.2), GIVEN)
    assert found["trainings"] == {"count": 1}


@pytest.mark.parametrize(
    ("before", "moves"),
    [(0.24, True), (0.26, False), (0.34, False), (0.36, True)],
)
def test_an_effect_that_has_changed_by_more_than_chance_still_moves(
    keep: Any, before: float, moves: bool
) -> None:
    assert claims.claims()[CLAIM].margin < 0.05  # half of the interval
    runs = {"0.25": around(before), "0.125": around(-0.5)}
    keep("lengths", {n: made({CLAIM: e}) for n, e in runs.items()})
    got = other_weights.compare(row(0.3), GIVEN)["shorter"]
    assert (got["share"], got["effect"]) == (0.25, before)
    assert got["effects"] == {0.25: before, 0.125: -0.5}
    assert got["moves"] is moves
    html = charts.verdicts(claims.table([row(0.3)], {PAGE: page(GIVEN)}))
    assert f"at 0.25 of the scenes {before:.3g}" in html
    assert ("still moving" in html) is moves


def test_effects_are_listed_against_the_length_of_training(keep: Any) -> None:
    keep("lengths", {"0.25": made({CLAIM: around(0.2)})})
    keep("controls", {"1": made({CLAIM: around(0.1)})})
    rows = claims.table([row(0.3)], {PAGE: page(GIVEN)})
    found = claims.by_length([*rows, rows[0] | {"shorter": None}], 0.5)
    points = [(point["share"], point["effect"]) for point in found]
    assert points == [(0, 0.1), (0.25, 0.2), (0.5, 0.3)]
    below = claims.by_length([rows[0] | {"side": "below", "border": 1}], 0.5)
    assert below[-1]["effect"] == pytest.approx(0.7)
    assert (below[0]["claim"], below[0]["paper"]) == (
        *(CLAIM, "Raghu et al. 2021"),
    )
    still = rows[0] | {"shorter": rows[0]["shorter"] | {"moves": False}}
    order = claims.by_length([still | {"claim": "still"}, *rows], 0.5)
    assert [point["claim"] for point in order] == [CLAIM] * 3 + ["still"] * 3


@pytest.mark.parametrize("ratio", [0.0, 1.0, 5.0])
def test_wider_intervals_cover_the_effect_of_the_recipe(ratio: float) -> None:
    over_images, wider = covered_trainings(ratio, 400)
    assert 0.93 <= wider <= 0.97
    if ratio >= 1:
        assert over_images < 0.85


def test_an_interval_without_length_widens_by_its_own_trainings() -> None:
    pair = [Estimate(v, v, v) for v in (0.2, 0.4)]
    pooled = between_trainings.spread([pair])
    assert pooled == between_trainings.Spread(0, 0)
    wide = between_trainings.widen(pair[0], pair, pooled)
    reach = stats.t.ppf(0.975, 1) * 0.2 / np.sqrt(2)
    assert wide.high == pytest.approx(0.2 + reach)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"page": "other"}, "must have page, parameters, runs and be named"),
        ({"more": 1}, "must have page, parameters, runs and be named"),
        ({"runs": {"1": {"claims": {}}}}, "run 1 of .* must have claims, c"),
        ({"runs": {"1": made({}) | {"claims": {CLAIM: {"low": 1}}}}},
         f"claim {CLAIM} has neither an effect .* in run 1 of {PAGE}.json"),
    ],
)  # fmt: skip
def test_files_of_another_form_are_refused(
    keep: Any, change: dict[str, Any], words: str
) -> None:
    keep("controls", {}, **change)
    with pytest.raises(ValueError, match=words):
        other_weights.read("controls", PAGE)


def test_a_file_that_is_cut_short_is_named(keep: Any) -> None:
    path = keep("controls", {})
    path.write_text(path.read_text()[:-1])
    with pytest.raises(ValueError, match=f"{PAGE}.json is not JSON"):
        other_weights.read("controls", PAGE)


def bundled(kind: str) -> list[Path]:
    return sorted((other_weights.FOLDER / kind).glob("*.json"))


@pytest.mark.parametrize("kind", other_weights.KINDS)
def test_bundled_numbers_belong_to_the_lab_edition(kind: str) -> None:
    """Of their code, only the ledger says whether it has changed since."""
    edition = editions.load("lab", checkout())
    jobs = editions.plan(edition, checkout(), validators={})
    pages = {job.page: job for job in jobs}
    for path in bundled(kind):
        kept = other_weights.read(kind, path.stem)
        assert kept["parameters"] == pages[path.stem].parameters, path.stem
        specs = set(pages[path.stem].specs(MODEL))
        for run in kept["runs"].values():
            assert run["models"].keys() <= specs
            assert "/root" not in json.dumps(run)


def test_every_claim_has_a_control_once_there_are_any() -> None:
    if bundled("controls"):
        found = measure_again.complaints("controls", checkout(), draws=3)
        assert [words for words, usable in found if not usable] == []
