"""Verdicts: intervals, borders, and the way into the ledger and back."""

import re

import nbformat
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from scipy import stats

from helpers import claims
from helpers.cka.comparison import Comparison
from helpers.claims import statements
from helpers.intervals.estimates import Estimate
from helpers.runtime.paths import DATA, checkout


def test_every_claim_has_a_page_and_a_reference() -> None:
    bibliography = (checkout() / "book/references.bib").read_text()
    contents = (checkout() / "_toc.yml").read_text()
    rows = yaml.safe_load((DATA / "claims.yaml").read_text())
    assert len({row["id"] for row in rows}) == len(rows)
    for claim in claims.claims().values():
        assert f"{{{claim.paper}," in bibliography
        assert f"book/{claim.page}" in contents
        source = (checkout() / f"book/{claim.page}.md").read_text()
        assert claim.id in source, f"{claim.id} is not judged on its page"


def test_pages_judge_only_known_claims_of_their_own() -> None:
    for path in (checkout() / "book").glob("*.md"):
        used = re.findall(
            r"claims\.(?:test|judge|not_measurable)\(\s*\"([^\"]+)",
            path.read_text(),
        )
        for name in used:
            assert claims.claims()[name].page == path.stem


@pytest.mark.parametrize(
    ("side", "low", "high", "verdict"),
    [
        ("above", 0.1, 0.3, "holds"),
        ("above", -0.3, -0.1, "does not hold here"),
        ("above", -0.1, 0.1, "undecided"),
        ("below", -0.3, -0.1, "holds"),
        ("below", 0.1, 0.3, "does not hold here"),
        ("below", -0.1, 0.1, "undecided"),
        ("above", 2e-16, 2e-16, "undecided"),  # a model and itself
        ("below", 2e-16, 2e-16, "undecided"),
        ("above", 1e-6, 1e-6, "holds"),
    ],
)
def test_verdicts_follow_the_interval(
    monkeypatch: pytest.MonkeyPatch,
    side: str,
    low: float,
    high: float,
    verdict: str,
) -> None:
    stated = claims.Claim("x", "p", "s", "page", "S.", "e", 0.0, side, 0, "")
    monkeypatch.setattr(statements, "claims", lambda: {"x": stated})
    got = claims.judge("x", Estimate((low + high) / 2, low, high))
    assert got.verdict == verdict
    assert (got.low, got.high) == (low, high)


def test_an_undefined_effect_is_not_measurable() -> None:
    name = "raghu-1-uniform"
    got = claims.judge(name, Estimate(float("nan"), 0, 1))
    assert got.verdict == "not measurable here"
    assert got.effect is None
    with pytest.raises(ValueError, match="nearest: 'raghu-1-uniform'"):
        claims.judge("raghu-1-unifrom", Estimate(0, 0, 0))


def test_jackknife_of_a_mean_is_the_t_interval() -> None:
    data = np.random.default_rng(0).normal(3, 2, 17)
    left_out = [np.delete(data, i).mean() for i in range(17)]
    got = claims.jackknife(float, [data.mean()], [left_out])
    low, high = stats.t.interval(
        0.95, 16, loc=data.mean(), scale=stats.sem(data)
    )
    np.testing.assert_allclose(
        [got.value, got.low, got.high], [data.mean(), low, high]
    )


def test_interval_of_a_share_is_wilsons() -> None:
    # solves |p - 5/8| = z sqrt(p (1 - p) / 8)
    z2 = stats.norm.ppf(0.975) ** 2
    ends = np.roots([1 + z2 / 8, -(2 * 5 / 8 + z2 / 8), (5 / 8) ** 2])
    got = claims.share([1, 1, 0, 1, 0, 1, 0, 1])
    np.testing.assert_allclose(
        [got.value, got.low, got.high], [5 / 8, *sorted(ends)]
    )
    assert claims.share(np.ones(9)).low < 1
    assert np.isnan(claims.share([1, np.nan]).value)


def test_jackknife_is_joint() -> None:
    data = np.random.default_rng(1).normal(size=9)
    left_out = np.array([np.delete(data, i).mean() for i in range(9)])
    got = claims.jackknife(
        lambda a, b: a - b,
        [data.mean(), data.mean() - 1],
        [left_out, left_out - 1],
    )
    assert got.value == pytest.approx(1)
    assert got.high - got.low == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="same two or more"):
        claims.jackknife(lambda a, b: 0.0, [1, 1], [[1, 2], [1, 2, 3]])


def _map(values: NDArray[np.float64]) -> Comparison:
    """Make a map of n minibatches, (n, x, y), of which it is the mean."""
    count = len(values)
    layers = [range(n) for n in values.shape[1:]]
    return Comparison(
        *(values.mean(0), (values.sum(0) - values) / (count - 1), 32),
        *layers,
        *(np.linspace(0, 1, len(side)) for side in layers),
        settings={},
    )


def test_interval_of_a_linear_effect_of_a_map_is_the_t_interval() -> None:
    values = np.random.default_rng(4).normal(size=(8, 3, 5))
    weight = np.random.default_rng(5).normal(size=(3, 5))

    def effect(cka: NDArray[np.float64]) -> float:
        return float((weight * cka).sum())

    got = claims.estimate(effect, _map(values), repeats=20_000)
    each = np.array([effect(v) for v in values])
    half = stats.t.ppf(0.975, 7) * stats.sem(each)
    assert got.value == pytest.approx(each.mean())
    assert got.high - got.low == pytest.approx(2 * half, rel=0.1)


def test_interval_covers_an_effect_that_moves_in_steps() -> None:
    """The place of a maximum: the jackknife often gives it no width."""
    truth = np.array([[0.30, 0.50, 0.55, 0.2]])
    noise = np.random.default_rng(6)
    covered = []
    for _ in range(60):
        values = truth + noise.normal(0, 0.4, size=(16, 1, 4))
        got = claims.estimate(
            lambda cka: float(cka.argmax()), _map(values), repeats=100
        )
        covered.append(got.low <= 2 <= got.high)
    assert np.mean(covered) > 0.85


def test_bootstrap_of_a_mean_is_near_the_t_interval() -> None:
    data = np.random.default_rng(2).normal(3, 2, 400)
    got = claims.bootstrap(np.mean, data, repeats=4000)
    want = claims.mean(data)
    assert got.value == want.value
    np.testing.assert_allclose(
        [got.low, got.high], [want.low, want.high], atol=0.02
    )
    assert claims.bootstrap(np.mean, data) == claims.bootstrap(np.mean, data)
    assert claims.bootstrap(np.mean, data, seed=1).low != got.low


def test_bootstrap_draws_the_same_images_for_all() -> None:
    data = np.random.default_rng(3).normal(size=(50, 4))
    got = claims.bootstrap(
        lambda a, b: (a - b).mean(), data, data - 1, repeats=50
    )
    np.testing.assert_allclose([got.value, got.low, got.high], 1)
    with pytest.raises(ValueError, match="same two or more"):
        claims.bootstrap(np.mean, data, data[:-1])
    lost = claims.bootstrap(np.mean, np.full(9, np.nan), repeats=5)
    assert claims.judge("raghu-1-ends", lost).verdict == "not measurable here"


def test_verdicts_return_from_an_executed_notebook() -> None:
    verdict = claims.judge("raghu-1-ends", Estimate(0.2, 0.1, 0.3))
    shown = claims.show(verdict)
    data, metadata = shown._repr_mimebundle_()
    output = nbformat.v4.new_output("display_data", data, metadata=metadata)
    cell = nbformat.v4.new_code_cell("", outputs=[output])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook = nbformat.reads(nbformat.writes(notebook), 4)
    (row,) = claims.verdicts_in(notebook)
    assert row["claim"] == "raghu-1-ends"
    assert row["verdict"] == "holds"
    assert claims.table([row])[0]["paper"] == "raghu2021"
    assert "holds" in data["text/plain"]


def test_no_run_means_an_empty_ledger(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("VITSCOPE_LEDGER", f"{tmp_path}/none.json")
    assert claims.ledger() == {"edition": "none", "pages": {}}
