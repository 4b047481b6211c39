"""Margins, gates, cells, protocols and counts of verdicts."""

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from helpers import claims, models
from helpers.claims import gates, multiplicity, protocols, statements
from helpers.claims.gates import Gate
from helpers.claims.protocols import protocol, worded
from helpers.intervals.extremes import smallest
from helpers.intervals.resampling import percentiles
from helpers.models import zoo

Estimate = claims.Estimate


def stated(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
    usual = {"border": 0.0, "side": "above", "margin": 0.1, "because": "why"}
    claim = claims.Claim("x", "p", "s", "page", "S.", "e", **(usual | facts))
    monkeypatch.setattr(statements, "claims", lambda: {"x": claim})


@pytest.mark.parametrize(
    ("border", "side", "low", "high", "verdict"),
    [
        (0, "above", -0.09, 0.09, "no effect"),
        (0, "above", 0.01, 0.09, "no effect"),
        (0, "above", 0.01, 0.11, "holds"),
        (0, "above", -0.11, 0.09, "undecided"),
        (0, "above", -0.11, -0.01, "does not hold here"),
        (0, "below", -0.11, -0.01, "holds"),
        (0, "below", -0.09, 0.09, "no effect"),
        (0.5, "below", 0.45, 0.55, "no effect"),
        (0.5, "below", 0.3, 0.35, "holds"),
        (0.5, "above", 0.45, 0.65, "undecided"),
    ],
)
def test_an_interval_inside_the_margin_is_no_effect(
    monkeypatch: pytest.MonkeyPatch,
    border: float,
    side: str,
    low: float,
    high: float,
    verdict: str,
) -> None:
    stated(monkeypatch, border=border, side=side)
    got = claims.judge("x", Estimate((low + high) / 2, low, high))
    assert got.verdict == verdict


def test_without_a_margin_nothing_is_no_effect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stated(monkeypatch, border=0.5, margin=0)
    got = claims.judge("x", Estimate(0.5, 0.5 - 1e-12, 0.5 + 1e-12))
    assert got.verdict == "undecided"


def test_undefined_draws_are_a_share() -> None:
    draws = [1.0, 2.0, 3.0, np.nan, np.inf]
    found = percentiles(2.0, draws)
    low, high = np.quantile([1, 2, 3], [0.025, 0.975])
    assert found == Estimate(2, low, high, pytest.approx(0.4))
    got = claims.judge("raghu-1-ends", found, "few images")
    assert got.verdict == "holds"
    assert got.note == "few images; 40.0% of the draws are undefined"
    most = percentiles(2.0, [1.0, np.nan, np.nan])
    assert np.isnan(most.low)
    got = claims.judge("raghu-1-ends", most)
    assert got.verdict == "not measurable here"
    assert "66.7% of the draws" in got.note


def test_one_cell_is_its_own_smallest() -> None:
    one = Estimate(0.2, 0.1, 0.4)
    got = smallest([one])
    np.testing.assert_allclose([got.value, got.low, got.high], [0.2, 0.1, 0.4])


def test_the_smallest_of_cells_is_an_intersection_union_test() -> None:
    cells = [Estimate(v, v - 0.2, v + 0.2) for v in (0.3, 0.5, 0.1)]
    found = claims.smallest(cells)
    wider = stats.norm.ppf(1 - 0.025 / 3) / stats.norm.ppf(0.975)
    assert (found.value, found.low) == pytest.approx((0.1, -0.1))
    assert found.high == pytest.approx(0.1 + 0.2 * wider)
    mirrored = claims.largest(-cell for cell in cells)
    assert mirrored == -found
    second = claims.smallest(cells, spare=1)
    wider = stats.norm.ppf(1 - 0.025 / 2) / stats.norm.ppf(0.975)
    ends = [second.value, second.low, second.high]
    want = [0.3, 0.3 - 0.2 * wider, 0.3 + 0.2 * wider]
    np.testing.assert_allclose(ends, want)


def test_cells_that_are_undefined_or_missing() -> None:
    lost = Estimate(np.nan, 0, 1, 0.3)
    found = claims.smallest([Estimate(1, 0, 2, 0.1), lost])
    assert np.isnan(found.value)
    assert found.undefined == 0.3
    for cells, spare in (([], 0), ([lost], 1)):
        with pytest.raises(ValueError, match="more cells than"):
            claims.smallest(cells, spare)


def test_a_closed_gate_says_so_with_the_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stated(monkeypatch, needs={"less-data-costs": 0.02})
    effect = Estimate(1, 0.5, 1.5)
    with pytest.raises(ValueError, match="claim x needs a gate for 'less-da"):
        claims.test("x", effect)
    for found, verdict in (
        (Estimate(0.01, 0.005, 0.015), "not measurable here"),
        (Estimate(0.05, -0.01, 0.11), "not measurable here"),
        (Estimate(np.nan, 0, 0), "not measurable here"),
        (Estimate(0.05, 0.01, 0.09), "holds"),
        (None, "holds"),
    ):
        gate = Gate("less-data-costs", found, why="no card tells")
        got = claims.test("x", effect, gates=[gate])
        assert got.verdict == verdict
        assert (got.effect, got.low, got.high) == (1, 0.5, 1.5)
        if found is None:
            assert got.note.startswith("not checked: accuracy lost")
        elif verdict != "holds":
            assert "the treatment had no effect: accuracy lost" in got.note
            assert f"{found.value:.3g}" in got.note
    assert claims.test("x", "no model").note == "no model"


def test_equal_training_is_open_below_its_margin() -> None:
    cards = zoo.cards()
    same, other = "lab/vit_cls", "lab/moco_v3"
    seen = [
        cards[spec.removeprefix("lab/")]["samples"]
        * len(cards[spec.removeprefix("lab/")]["recipe"]["views"])
        for spec in (same, other)
    ]
    got = claims.equal_training(same, other)
    assert got.found is not None
    assert got.found.value == pytest.approx(abs(np.log2(seen[0] / seen[1])))
    assert not claims.equal_training(same, same).closed(0)
    assert got.closed(got.found.value / 2) == (got.found.value > 0)
    unknown = claims.equal_training(same, "resnet50.tv_in1k")
    assert unknown.found is None
    assert not unknown.closed(0)


def test_what_less_data_costs_is_on_the_cards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def card(share: float) -> dict[str, Any]:
        return {"accuracy": {"knn": {"class": share}}}

    known = {"a": card(0.5), "b": card(0.4)}
    monkeypatch.setattr(zoo, "cards", lambda _="": known)
    found = claims.less_data_costs("lab/b", full="lab/a").found
    assert found is not None
    half = 1.959964 * np.sqrt((0.25 + 0.24) / 2000)
    assert found.value == pytest.approx(0.1)
    assert found.high - found.value == pytest.approx(half)
    both = claims.less_data_costs("lab/b", "lab/a", full="lab/a").found
    assert both is not None
    assert both.value == 0  # the smallest cost counts
    assert claims.less_data_costs("lab/c", full="lab/a").found is None


def test_heads_are_held_to_uniform_attention() -> None:
    relative = np.array([[0.9, 0.6], [1.0, 0.8]])
    loo = np.stack([relative + e for e in (-0.01, 0.0, 0.01)])
    gate = claims.local_heads(
        SimpleNamespace(values=relative, leave_one_out=loo)
    )
    assert gate.found is not None
    assert gate.found.value == pytest.approx(1 - (0.6 + 0.8) / 2)
    assert gate.found.low < 0.3 < gate.found.high
    assert claims.local_heads("a Mixer has none").why == "a Mixer has none"


def test_an_untrained_model_has_learned_nothing() -> None:
    for spec in (
        "lab/vit_narrow?random",
        "lab/vit_narrow?img_size=9&random=7",
    ):
        new = SimpleNamespace(spec=spec)  # which no image has to go through
        gate = gates.learned([new], "wardrobe")  # type: ignore[list-item]
        assert gate.found == Estimate(0, 0, 0)
        assert gate.closed(0.05)


def test_a_supervised_model_has_learned() -> None:
    gate = gates.learned([models.load("lab/vit_narrow", "cpu")], "wardrobe")
    assert gate.found is not None
    assert not gate.closed(0.05)


def test_images_without_labels_leave_learning_unknown(
    tmp_path: Path,
) -> None:
    for i in range(8):
        Image.new("RGB", (64, 64), (30 * i, 0, 0)).save(tmp_path / f"{i}.png")
    model = models.load("lab/vit_narrow", "cpu")
    gate = gates.learned([model], f"folder:{tmp_path}")
    assert gate.found is None
    assert gate.why


PAPERS = {
    "contrastive": "release/moco_v3_vit_b",
    "distilled": "release/dino_vit_b_linear",
    "reconstructive": "release/mae_vit_b",
    "images": "imagenet:/photos",
    "num_images": 1024,
    "batch_size": 32,
    "tokens": "all",
}


@pytest.mark.parametrize(
    ("page", "change", "tier"),
    [
        ("ssl_structure", {}, "exact"),
        ("ssl_structure", {"num_images": 512}, "proxy"),
        ("ssl_structure", {"reconstructive": "deit_base"}, "proxy"),
        ("ssl_structure", {"images": "wardrobe:sketch"}, "lab"),
        ("ssl_structure", {"others": ["lab/mae"]}, "lab"),
        ("ssl_structure", {"distilled": "natural/dino"}, "lab"),
        ("mixers", {}, "proxy"),
    ],
)
def test_protocol_follows_models_and_images(
    page: str, change: dict[str, Any], tier: str
) -> None:
    assert protocol(page, PAPERS | change) == tier
    assert tier in protocols.PROTOCOLS


def test_only_the_papers_own_experiment_speaks_against_it() -> None:
    assert worded("does not hold here", "exact") == "does not hold"
    for tier in ("proxy", "lab", ""):
        assert worded("does not hold here", tier) == "does not hold here"
    assert worded("holds", "exact") == "holds"


def test_the_ledger_words_failures_by_protocol(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    got = claims.judge("shekhar-1a-pair", Estimate(-0.2, -0.3, -0.1))
    assert got.verdict == "does not hold here"
    for given, word in ((PAPERS, "does not hold"), ({}, got.verdict)):
        pages = {"ssl_structure": {"parameters": given}}
        run = {"edition": "paper", "pages": pages}
        file = tmp_path / "ledger.json"
        file.write_text(json.dumps(run))
        monkeypatch.setenv("VITSCOPE_LEDGER", str(file))
        (row,) = claims.table([vars(got)])
        assert row["verdict"] == word


def test_a_claim_judged_twice_is_refused() -> None:
    verdict = claims.judge("raghu-1-ends", Estimate(0.2, 0.1, 0.3))
    with pytest.raises(ValueError, match="raghu-1-ends is judged 2 times"):
        claims.show(verdict, verdict)
    data, metadata = claims.show(verdict)._repr_mimebundle_()
    output = nbformat.v4.new_output("display_data", data, metadata=metadata)
    cell = nbformat.v4.new_code_cell("", outputs=[output])
    notebook = nbformat.v4.new_notebook(cells=[cell, cell])
    with pytest.raises(ValueError, match="raghu-1-ends is judged 2 times"):
        claims.verdicts_in(notebook)


def row(verdict: str, effect: float | None, half: float) -> dict[str, Any]:
    known = effect is not None
    ends = (effect - half, effect + half) if known else (None, None)
    names = ("claim", "verdict", "effect", "low", "high")
    values = ("raghu-1-ends", verdict, effect, *ends)
    return dict(zip(names, values, strict=True))


def test_p_values_agree_with_the_intervals() -> None:
    assert multiplicity.p_value(row("", 1.0, 1.0)) == pytest.approx(0.05)
    assert multiplicity.p_value(row("", -1.0, 1.0)) == pytest.approx(0.05)
    assert multiplicity.p_value(row("", 0.0, 1.0)) == pytest.approx(1)
    assert multiplicity.p_value(row("", 0.5, 0.0)) == 0
    falling = [multiplicity.p_value(row("", e, 1.0)) for e in (0.1, 1, 2)]
    assert all(a > b for a, b in pairwise(falling))


def test_verdicts_by_chance_and_after_correction() -> None:
    rows = [row("undecided", 0.1, 1.0)] * 37
    rows += [row("holds", 1.01, 1.0), row("holds", 9, 1.0)]
    rows += [row("does not hold here", -9, 1.0)]
    rows += [row("not measurable here", None, 0)]
    rows += [row("not measurable here", 9, 1.0)]  # behind a closed gate
    holds, fails = claims.by_chance(rows)
    assert (holds["found"], fails["found"]) == (2, 1)
    assert holds["expected"] == fails["expected"] == pytest.approx(1)
    assert (holds["kept"], fails["kept"]) == (1, 1)
    assert claims.by_chance([])[0]["found"] == 0
    too = [row("holds, untrained too", 9, 1.0), row("holds", 9, 1.0)]
    assert claims.by_chance(too)[0]["kept"] == 2


def test_the_card_of_a_second_training_lies_beside_it(tmp_path: Path) -> None:
    spec = f"lab/vit_cls@{tmp_path}/vit_cls.safetensors"
    assert claims.equal_training(spec, spec).found is None
    card = zoo.cards()["vit_cls"] | {"samples": 128, "tokens": 1.0}
    twice = card | {"samples": 256}
    known = {"vit_cls": card, "mae": twice}
    (tmp_path / "zoo.json").write_text(json.dumps(known))
    other = f"lab/mae@{tmp_path}/mae.safetensors"
    found = claims.equal_training(spec, other).found
    assert found is not None
    assert found.value == 1
